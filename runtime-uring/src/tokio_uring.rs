//! The backend over the crate `tokio-uring`, which is known nowhere else.
//!
//! Known of version 0.5: a future that is dropped in flight is not cancelled, and what it brings is
//! lost; operations are submitted only when the thread is about to sleep, so each pass of the loop
//! that does not sleep waits for an empty operation instead: that enters the kernel once.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::rc::Rc;

use ripcurrent_proto::api::Transmission;
use tokio_uring::buf::{BoundedBuf, IoBuf};
use tokio_uring::net::TcpStream;

use crate::carrier::Sockets;
use crate::cursor::Cursor;
use crate::options::HostError;
use crate::protected::send_last;
use crate::release;

/// The first kernel that the crate is made for; rings of older ones lack operations.
const LEAST_KERNEL: (u32, u32) = (5, 11);

/// The sockets of the crate.
pub(crate) struct TokioUring;

/// A runtime with its ring, not running yet.
pub(crate) struct Ring {
    runtime: tokio_uring::Runtime,
}

impl Ring {
    /// Makes a ring, with the flags of newer kernels where they are known.
    pub(crate) fn new(entries: u32) -> Result<Self, HostError> {
        release::check(LEAST_KERNEL)?;
        // Older kernels answer EINVAL to flags they do not know.
        let runtime = match build(entries, true) {
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(entries, false),
            built => built,
        };
        let runtime = runtime.map_err(HostError::of_ring)?;
        Ok(Ring { runtime })
    }

    /// Runs the loop to its end.
    pub(crate) fn block_on<F: Future>(&self, running: F) -> F::Output {
        self.runtime.block_on(running)
    }
}

fn build(entries: u32, cooperative: bool) -> io::Result<tokio_uring::Runtime> {
    let mut ring = tokio_uring::uring_builder();
    if cooperative {
        ring.setup_coop_taskrun();
    }
    ring.setup_cqsize(4 * entries);
    let mut builder = tokio_uring::builder();
    builder.entries(entries).uring_builder(&ring);
    tokio_uring::Runtime::new(&builder)
}

impl Sockets for TokioUring {
    type Listener = tokio_uring::net::TcpListener;
    type Stream = TcpStream;

    fn listen(listener: TcpListener) -> io::Result<Self::Listener> {
        // The ring itself waits; a non-blocking socket would make it give up at once.
        listener.set_nonblocking(false)?;
        Ok(tokio_uring::net::TcpListener::from_std(listener))
    }

    async fn accept(listener: &Self::Listener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept().await
    }

    fn adopt(stream: tokio::net::TcpStream) -> io::Result<TcpStream> {
        let stream = stream.into_std()?;
        // As for a listener.
        stream.set_nonblocking(false)?;
        Ok(TcpStream::from_std(stream))
    }

    fn send_at_once(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }

    async fn receive(
        stream: &TcpStream,
        buffer: Vec<u8>,
        most: usize,
    ) -> (Vec<u8>, io::Result<usize>) {
        let (result, part) = stream.read(buffer.slice(..most)).await;
        (part.into_inner(), result)
    }

    async fn send(
        stream: &TcpStream,
        transmission: Transmission,
    ) -> (Transmission, io::Result<()>) {
        let shared = Rc::new(transmission);
        let result = send_all(stream, &shared).await;
        let home =
            Rc::into_inner(shared).expect("the writes are done and have dropped their shares");
        (home, result)
    }

    fn send_last(stream: &TcpStream, bytes: &[u8]) {
        // SAFETY: the stream owns the descriptor, which stays open through the call.
        let socket = unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) };
        send_last(&socket, bytes);
    }

    fn shut_down(stream: &TcpStream) {
        // It fails where the connection is over already.
        let _ = stream.shutdown(Shutdown::Both);
    }

    async fn enter() {
        // It fails only where the ring itself does, and then every operation says so.
        let _ = tokio_uring::no_op().await;
    }
}

async fn send_all(stream: &TcpStream, transmission: &Rc<Transmission>) -> io::Result<()> {
    let mut cursor = Cursor::default();
    loop {
        let rest = |from| Rest {
            transmission: Rc::clone(transmission),
            from,
        };
        let gathered: Vec<Rest> = cursor.rest(transmission).map(rest).collect();
        if gathered.is_empty() {
            return Ok(());
        }
        let (result, _gathered) = stream.writev(gathered).await;
        cursor.advance(transmission, result?)?;
    }
}

/// What is left of one part of a transmission.
struct Rest {
    transmission: Rc<Transmission>,
    from: Cursor,
}

impl Rest {
    fn bytes(&self) -> &[u8] {
        self.from.bytes(&self.transmission)
    }
}

// SAFETY: the bytes lie in a vector or a slab that the transmission owns or shares; it is behind an
// `Rc` that this value holds, nobody changes it meanwhile, and moving this value does not move them.
unsafe impl IoBuf for Rest {
    fn stable_ptr(&self) -> *const u8 {
        self.bytes().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.bytes().len()
    }

    fn bytes_total(&self) -> usize {
        self.bytes().len()
    }
}

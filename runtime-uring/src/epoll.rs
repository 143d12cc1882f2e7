//! The backend over the crate `tokio`, and so over epoll: for kernels without io_uring and for
//! containers that forbid it.
//!
//! An operation waits until its socket is ready, then does what does not block. Unlike over a ring, a
//! future that is dropped would lose nothing; the carrier sees each of them to its end all the same.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};

use ripcurrent_proto::api::Transmission;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime;
use tokio::task;

use crate::carrier::Sockets;
use crate::cursor::Cursor;
use crate::protected::send_last;

/// The sockets of the crate.
pub(crate) struct Epoll;

/// A runtime with its epoll, not running yet.
pub(crate) struct Reactor {
    runtime: runtime::Runtime,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_io().enable_time().build()?;
        Ok(Reactor { runtime })
    }

    /// Runs the loop to its end.
    pub(crate) fn block_on<F: Future>(&self, running: F) -> F::Output {
        // The loop lets others run by itself; the crate would have it do so in the middle of a
        // batch.
        self.runtime.block_on(task::unconstrained(running))
    }
}

impl Sockets for Epoll {
    type Listener = TcpListener;
    type Stream = TcpStream;

    fn listen(listener: std::net::TcpListener) -> io::Result<TcpListener> {
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    }

    async fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        listener.accept().await
    }

    fn adopt(stream: TcpStream) -> io::Result<TcpStream> {
        Ok(stream)
    }

    fn send_at_once(stream: &TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)
    }

    async fn receive(
        stream: &TcpStream,
        mut buffer: Vec<u8>,
        most: usize,
    ) -> (Vec<u8>, io::Result<usize>) {
        let result = receive_some(stream, &mut buffer[..most]).await;
        (buffer, result)
    }

    async fn send(
        stream: &TcpStream,
        transmission: Transmission,
    ) -> (Transmission, io::Result<()>) {
        let result = send_all(stream, &transmission).await;
        (transmission, result)
    }

    fn send_last(stream: &TcpStream, bytes: &[u8]) {
        send_last(stream, bytes);
    }

    fn shut_down(stream: &TcpStream) {
        // It fails where the connection is over already.
        let _ = SockRef::from(stream).shutdown(Shutdown::Both);
    }

    async fn enter() {
        task::yield_now().await;
    }
}

async fn receive_some(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            // It was ready no longer, or never was.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            done => return done,
        }
    }
}

async fn send_all(stream: &TcpStream, transmission: &Transmission) -> io::Result<()> {
    let mut cursor = Cursor::default();
    let mut gathered = Vec::new();
    loop {
        let rest = cursor.rest(transmission);
        gathered.extend(rest.map(|from| IoSlice::new(from.bytes(transmission))));
        if gathered.is_empty() {
            return Ok(());
        }
        stream.writable().await?;
        match stream.try_write_vectored(&gathered) {
            Ok(sent) => cursor.advance(transmission, sent)?,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        gathered.clear();
    }
}

//! One connection of one host: its two halves, shaped and bounded, and what is in flight on them.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::turmoil::net::TcpStream;
use ::turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use ripcurrent_proto::api::Transmission;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::cancel::Cancel;
use super::clock::Clock;
use super::wires::{Window, Wires};
use crate::network::Ends;
use crate::shaper::Shaper;

/// A host's line to the network: one shaper for each direction, whichever process uses it.
#[derive(Debug)]
pub(super) struct Lanes {
    up: RefCell<Shaper>,
    down: RefCell<Shaper>,
}

impl Lanes {
    /// An idle line of these rates, in bytes per second.
    pub(super) fn new(up: Option<NonZeroU64>, down: Option<NonZeroU64>) -> Self {
        Lanes {
            up: RefCell::new(Shaper::new(up)),
            down: RefCell::new(Shaper::new(down)),
        }
    }

    /// Sets the rates, in bytes per second.
    pub(super) fn set_rates(&self, up: Option<NonZeroU64>, down: Option<NonZeroU64>) {
        self.up.borrow_mut().set_rate(up);
        self.down.borrow_mut().set_rate(down);
    }
}

/// A host's line and the clock that it is used by.
#[derive(Clone, Debug)]
pub(super) struct Link {
    clock: Clock,
    lanes: Rc<Lanes>,
}

impl Link {
    pub(super) fn new(clock: Clock, lanes: Rc<Lanes>) -> Self {
        Link { clock, lanes }
    }

    /// Waits until `bytes` have passed `direction` of the link.
    async fn pass(&self, direction: &RefCell<Shaper>, bytes: usize) {
        let passed = direction.borrow_mut().reserve(self.clock.now(), bytes);
        self.clock.sleep_until(passed).await;
    }
}

/// The half of a connection that bytes come in by.
pub(super) struct Inlet {
    half: OwnedReadHalf,
    window: Rc<Window>,
    link: Link,
}

impl Inlet {
    /// Receives into `buffer`; 0 at the end of the stream.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let quantum = self.link.lanes.down.borrow().quantum().min(buffer.len());
        let received = self.half.read(&mut buffer[..quantum]).await?;
        self.window.free(received);
        self.link.pass(&self.link.lanes.down, received).await;
        Ok(received)
    }

    /// Whether there is something to read, or nothing to wait for; takes nothing out.
    pub(super) fn poll_arrival(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut byte = [0];
        let mut no_room = ReadBuf::new(&mut byte);
        no_room.set_filled(1);
        let half = Pin::new(&mut self.half);
        half.poll_read(context, &mut no_room).map(|_| ())
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.window.abandon();
    }
}

/// The half of a connection that bytes go out by.
pub(super) struct Outlet {
    half: OwnedWriteHalf,
    window: Rc<Window>,
    link: Link,
}

impl Outlet {
    /// Sends all of `transmission`, a quantum of the link at a time.
    pub(super) async fn write(&mut self, transmission: &Transmission) -> io::Result<()> {
        let quantum = self.link.lanes.up.borrow().quantum();
        let mut gathered = Vec::with_capacity(quantum.min(transmission.len()));
        for part in &transmission.parts {
            let mut bytes = transmission.bytes(part);
            while !bytes.is_empty() {
                let (now, later) = bytes.split_at(bytes.len().min(quantum - gathered.len()));
                gathered.extend_from_slice(now);
                bytes = later;
                if gathered.len() == quantum {
                    self.put(&gathered).await?;
                    gathered.clear();
                }
            }
        }
        if !gathered.is_empty() {
            self.put(&gathered).await?;
        }
        Ok(())
    }

    async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.window.take(bytes.len()).await;
        self.link.pass(&self.link.lanes.up, bytes.len()).await;
        self.half.write_all(bytes).await
    }
}

/// Takes a new connection apart. Its operations are to run under `cancel`.
pub(super) fn split(
    stream: TcpStream,
    link: &Link,
    wires: &Wires,
    cancel: &Cancel,
) -> (Inlet, Outlet) {
    let ends = (stream.local_addr(), stream.peer_addr());
    let (Ok(here), Ok(there)) = ends else {
        unreachable!("a simulated stream knows both of its ends");
    };
    let ends = Ends { here, there };
    wires.enter(ends, cancel);
    let (read, write) = stream.into_split();
    let inlet = Inlet {
        half: read,
        window: wires.window(ends.reversed()),
        link: link.clone(),
    };
    let outlet = Outlet {
        half: write,
        window: wires.window(ends),
        link: link.clone(),
    };
    (inlet, outlet)
}

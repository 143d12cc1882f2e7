//! One connection of one host: its two halves, shaped and bounded, and what is in flight on them.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU64;
use std::rc::Rc;

use ::turmoil::net::TcpStream;
use ::turmoil::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use ripcurrent_proto::api::Transmission;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::clock::Clock;
use super::window::{Window, Windows};
use crate::shaper::Shaper;

/// A host's link to the network: one shaper for each direction.
#[derive(Clone, Debug)]
pub(super) struct Link {
    clock: Clock,
    up: Rc<RefCell<Shaper>>,
    down: Rc<RefCell<Shaper>>,
}

impl Link {
    /// An idle link of these rates, in bytes per second.
    pub(super) fn new(clock: Clock, up: Option<NonZeroU64>, down: Option<NonZeroU64>) -> Self {
        let shaper = |rate| Rc::new(RefCell::new(Shaper::new(rate)));
        Link {
            clock,
            up: shaper(up),
            down: shaper(down),
        }
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
        let quantum = self.link.down.borrow().quantum().min(buffer.len());
        let received = self.half.read(&mut buffer[..quantum]).await?;
        self.window.free(received);
        self.link.pass(&self.link.down, received).await;
        Ok(received)
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
        let quantum = self.link.up.borrow().quantum();
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
        self.link.pass(&self.link.up, bytes.len()).await;
        self.half.write_all(bytes).await
    }
}

/// Takes a new connection apart.
pub(super) fn split(stream: TcpStream, link: &Link, windows: &Windows) -> (Inlet, Outlet) {
    let ends = (stream.local_addr(), stream.peer_addr());
    let (Ok(here), Ok(there)) = ends else {
        unreachable!("a simulated stream knows both of its ends");
    };
    let (read, write) = stream.into_split();
    let inlet = Inlet {
        half: read,
        window: windows.between(there, here),
        link: link.clone(),
    };
    let outlet = Outlet {
        half: write,
        window: windows.between(here, there),
        link: link.clone(),
    };
    (inlet, outlet)
}

//! One end of a connection: what was received and not yet read, what is being sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ripcurrent_proto::api::{EndReason, Transmission};
use ripcurrent_proto::base::id::{ConnId, Id};
use ripcurrent_proto::base::time::Instant;

use super::parcel::Parcel;

/// A host, by its place in the network.
pub(super) type HostId = usize;

/// A socket, in the table of all sockets.
pub(super) type SocketId = Id;

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) host: HostId,
    pub(super) port: u16,
    /// The name that the host's machine gave it.
    pub(super) conn: Option<ConnId>,
    /// The machine knows that it is connected: bytes may flow.
    pub(super) open: bool,
    pub(super) far_host: HostId,
    /// The other end; `None` while that is being called.
    pub(super) far: Option<SocketId>,
    pub(super) far_addr: SocketAddr,
    /// When the last packet arrives at the other end: no later one may overtake it.
    pub(super) last_arrival: Instant,
    pub(super) inflow: Inflow,
    pub(super) outflow: Outflow,
}

/// The direction that bytes come in by.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    /// What arrived and was not handed over.
    pub(super) inbox: VecDeque<Box<Parcel>>,
    /// What comes after the inbox, once that is known.
    pub(super) end: Option<EndReason>,
    /// How many bytes of the first parcel are passing the host's link.
    pub(super) passing: usize,
    /// How many bytes were handed over.
    pub(super) received: u64,
    /// How many bytes may be.
    pub(super) until: u64,
    /// The machine was told of the end.
    pub(super) ended: bool,
}

/// The direction that bytes go out by.
#[derive(Debug, Default)]
pub(super) struct Outflow {
    /// What is being sent, until the machine has it back.
    pub(super) transmission: Option<Transmission>,
    /// How much of it is still to be reserved, in bytes.
    pub(super) left: usize,
    /// The part that comes next, and what has gone of it.
    next: (usize, usize),
    /// How many bytes are passing the host's link.
    pub(super) passing: usize,
    /// Bytes sent or passing, and not yet taken out by the reader: at most the window.
    pub(super) used: usize,
    /// How many of these the reader has taken out, and its acknowledgements are kept back.
    pub(super) unacknowledged: usize,
    /// Waits until the reader has taken some.
    pub(super) blocked: bool,
    /// The connection was reset: nothing can be sent any more.
    pub(super) broken: bool,
}

impl Socket {
    /// A socket of `host` at `port`, towards a socket of `far_host`.
    pub(super) fn new(host: HostId, port: u16, far_host: HostId, far_addr: SocketAddr) -> Self {
        Socket {
            host,
            port,
            conn: None,
            open: false,
            far_host,
            far: None,
            far_addr,
            last_arrival: Instant::ZERO,
            inflow: Inflow::default(),
            outflow: Outflow::default(),
        }
    }
}

impl Inflow {
    /// How many bytes may be read next, all from one parcel; 0 if there is nothing to read, no
    /// credit, or a read under way.
    pub(super) fn readable(&self) -> usize {
        let credit = self.credit();
        let waiting = self.inbox.front();
        match waiting {
            Some(parcel) if self.passing == 0 => {
                let waiting = parcel.left();
                usize::try_from(credit).map_or(waiting, |credit| credit.min(waiting))
            }
            _ => 0,
        }
    }

    /// The end of the stream, if that is what a read would find now.
    pub(super) fn reached_end(&self) -> Option<EndReason> {
        let reached = self.inbox.is_empty() && self.credit() > 0 && !self.ended;
        if reached { self.end } else { None }
    }

    /// Whether something arrived that nobody has begun to read.
    pub(super) fn has_unread(&self) -> bool {
        let waiting = self.inbox.iter().map(|parcel| parcel.left());
        waiting.sum::<usize>() > self.passing
    }

    fn credit(&self) -> u64 {
        self.until.saturating_sub(self.received)
    }
}

impl Outflow {
    /// Begins to send.
    pub(super) fn begin(&mut self, transmission: Transmission) {
        self.left = transmission.len();
        self.next = (0, 0);
        let before = self.transmission.replace(transmission);
        debug_assert!(before.is_none(), "one transmission at a time");
    }

    /// The bytes that have passed the host's link, gathered from the parts. Whether slabs hold tags
    /// and zeros the host's world says.
    pub(super) fn gather(&mut self, is_compact: bool) -> Parcel {
        let mut passed = std::mem::take(&mut self.passing);
        let mut gathered = Parcel::default();
        let Some(transmission) = &self.transmission else {
            return gathered;
        };
        let (mut at, mut gone) = self.next;
        while passed > 0 {
            let part = &transmission.parts[at];
            let end = transmission.bytes(part).len();
            let to = end.min(gone + passed);
            gathered.push_part(transmission, part, gone..to, is_compact);
            passed -= to - gone;
            (at, gone) = if to == end { (at + 1, 0) } else { (at, to) };
        }
        self.next = (at, gone);
        gathered
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ripcurrent_proto::base::slab::Slab;

    use super::*;

    /// However a transmission is cut, the same bytes go out in order.
    #[test]
    fn parts_are_gathered_across_their_bounds() {
        for quantum in 1..8 {
            let mut transmission = Transmission::default();
            transmission.push_slab(slab_of(b"ab"), 0, 2);
            transmission.push_head(|head| head.push(b'-'));
            transmission.push_slab(slab_of(b""), 0, 0);
            transmission.push_slab(slab_of(b"xcdefgx"), 1, 6);
            let mut outflow = Outflow::default();
            outflow.begin(transmission);
            let mut sent = Vec::new();
            while outflow.left > 0 {
                outflow.passing = outflow.left.min(quantum);
                outflow.left -= outflow.passing;
                let passing = outflow.passing;
                let mut parcel = outflow.gather(false);
                sent.extend_from_slice(parcel.read(passing, &mut [0; 8]));
            }
            assert_eq!(sent, b"ab-cdefg", "{quantum} at a time");
        }
    }

    /// A read takes what one parcel and the credit allow, and one at a time.
    #[test]
    fn credit_bounds_a_read() {
        let mut inflow = Inflow::default();
        for byte in 1..3 {
            inflow.inbox.push_back(Box::new(Parcel::new(&[byte; 10])));
        }
        assert_eq!(inflow.readable(), 0, "no credit");
        inflow.until = 7;
        assert_eq!(inflow.readable(), 7);
        inflow.until = 100;
        assert_eq!(inflow.readable(), 10);
        inflow.passing = 10;
        assert_eq!(inflow.readable(), 0, "one is under way");
        assert!(inflow.has_unread());
        inflow.inbox.pop_back();
        assert!(!inflow.has_unread());
    }

    fn slab_of(bytes: &[u8]) -> Arc<Slab> {
        let mut slab = Slab::new(bytes.len());
        slab.set_len(bytes.len());
        slab.as_mut_slice().copy_from_slice(bytes);
        Arc::new(slab)
    }
}

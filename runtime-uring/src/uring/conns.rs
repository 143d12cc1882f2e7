//! The table of connections, by the slot of their ids.
//!
//! Invariant: an entry stays until `Closed` was said, and that is said only when the machine has
//! asked for it and nothing is under way on the connection: its descriptor is closed after that, so
//! none is used again while the kernel may work on it.

use std::net::Shutdown;
use std::os::fd::AsRawFd;

use io_uring::types::Fd;
use ripcurrent_proto::api::EndReason;
use ripcurrent_proto::base::id::{ConnId, Id};
use socket2::Socket;

use crate::shield::Shield;

/// One connection.
pub(super) struct Conn {
    id: ConnId,
    pub(super) socket: Option<Socket>,
    /// What stands between the stream and the machine, where the connection is protected.
    pub(super) shield: Option<Box<Shield>>,
    pub(super) connecting: Connecting,
    pub(super) receiving: Receiving,
    pub(super) transmitting: bool,
    /// Bytes received, and the offset up to which there is credit.
    pub(super) received: u64,
    pub(super) until: u64,
    /// Something was received since the last receive was started.
    pub(super) fed: bool,
    /// Sending has failed: nothing more will be received than what was received before.
    pub(super) failed: Option<EndReason>,
    /// It will be looked at before the loop waits.
    pub(super) noted: bool,
    /// Nothing more will be received, and the machine knows.
    ended: bool,
    closing: bool,
    /// `Closed` is on its way.
    settled: bool,
}

/// What is under way to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connecting {
    No,
    /// It is not known yet whom to believe.
    Waiting,
    InFlight,
}

/// What is under way to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Nothing,
    /// As many bytes as there was credit for.
    Once,
    /// Whatever comes, until it is stopped.
    Always(Id),
    /// It was told to stop.
    Stopping(Id),
}

impl Conn {
    fn new(id: ConnId) -> Self {
        Conn {
            id,
            socket: None,
            shield: None,
            connecting: Connecting::No,
            receiving: Receiving::Nothing,
            transmitting: false,
            received: 0,
            until: 0,
            fed: false,
            failed: None,
            noted: false,
            ended: false,
            closing: false,
            settled: false,
        }
    }

    /// Whether the machine still wants to hear of this connection.
    pub(super) fn is_live(&self) -> bool {
        !self.ended && !self.closing
    }

    /// Whether the machine wants it to be closed.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether there is a stream.
    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some() && self.connecting == Connecting::No
    }

    /// The descriptor, once there is one.
    pub(super) fn fd(&self) -> Option<Fd> {
        self.socket.as_ref().map(|socket| Fd(socket.as_raw_fd()))
    }

    /// How much may be received now.
    pub(super) fn credit(&self) -> u64 {
        self.until.saturating_sub(self.received)
    }

    /// How much may be received from the stream now.
    pub(super) fn appetite(&self) -> u64 {
        match &self.shield {
            None => self.credit(),
            Some(shield) => shield.appetite(),
        }
    }

    /// Whether anything is under way on the connection.
    pub(super) fn is_in_flight(&self) -> bool {
        let writing = self
            .shield
            .as_ref()
            .is_some_and(|shield| shield.is_writing());
        let receiving = self.receiving != Receiving::Nothing;
        let connecting = self.connecting == Connecting::InFlight;
        receiving || self.transmitting || connecting || writing
    }

    /// Ends the connection for the far end and for whatever is under way on it.
    pub(super) fn shut_down(&self) {
        if let Some(socket) = &self.socket {
            // It fails where the connection is over already, or was never made.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

/// All connections.
#[derive(Default)]
pub(super) struct Conns {
    slots: Vec<Option<Conn>>,
}

impl Conns {
    /// A connection that never came to be, or comes to be yet.
    pub(super) fn insert(&mut self, id: ConnId) -> &mut Conn {
        let slot = id.0.slot() as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(
            self.slots[slot].is_none(),
            "a slot is reused only after its Closed"
        );
        self.slots[slot].insert(Conn::new(id))
    }

    /// The connection under this id, slot and generation.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let slot = self.slots.get_mut(id.0.slot() as usize)?;
        slot.as_mut().filter(|conn| conn.id == id)
    }

    pub(super) fn remove(&mut self, id: ConnId) {
        if self.get_mut(id).is_some() {
            self.slots[id.0.slot() as usize] = None;
        }
    }

    /// Raises the credit; lower offsets change nothing.
    pub(super) fn credit(&mut self, id: ConnId, until: u64) {
        if let Some(conn) = self.get_mut(id) {
            conn.until = conn.until.max(until);
        }
    }

    /// Marks the connection as ended; whether the machine has to be told.
    pub(super) fn end(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let live = conn.is_live();
        conn.ended = true;
        live
    }

    /// Marks the connection as one to be closed.
    pub(super) fn close(&mut self, id: ConnId) {
        if let Some(conn) = self.get_mut(id) {
            conn.closing = true;
        }
    }

    /// Whether this is the moment to say `Closed`; true once.
    pub(super) fn take_settled(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let settled = conn.closing && !conn.is_in_flight() && !conn.settled;
        conn.settled |= settled;
        settled
    }

    /// The ids of all connections.
    pub(super) fn ids(&self) -> Vec<ConnId> {
        self.slots.iter().flatten().map(|conn| conn.id).collect()
    }
}

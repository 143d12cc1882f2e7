//! The table of connections, by the slot of their ids, whatever carries them.
//!
//! Invariant: an entry stays until `Closed` was said, and that is said only when the machine has
//! asked for it and nothing is under way on the connection: its socket is closed after that, so none
//! is used again while the kernel may work on it.

use std::ops::{Deref, DerefMut};

use ripcurrent_proto::base::id::ConnId;

use crate::shield::Shield;

/// What carries one connection: its socket, and what is under way to connect and to receive.
pub(crate) trait Link {
    /// Whether there is a socket.
    fn is_there(&self) -> bool;

    /// Whether a connect or a receive is under way.
    fn is_under_way(&self) -> bool;

    /// Ends the stream, if there is one, for the far end and for whatever is under way on it.
    fn shut_down(&self);

    /// Sends what the system takes at once, while nothing else is being sent; the rest is lost.
    fn send_last(&self, words: &[u8]);
}

/// One connection.
pub(crate) struct Conn<L> {
    id: ConnId,
    link: L,
    /// What stands between the stream and the machine, where the connection is protected.
    pub(crate) shield: Option<Box<Shield>>,
    pub(crate) transmitting: bool,
    /// Bytes received, and the offset up to which there is credit.
    pub(crate) received: u64,
    pub(crate) until: u64,
    /// Nothing more will be received, and the machine knows.
    ended: bool,
    closing: bool,
    /// `Closed` is on its way.
    settled: bool,
}

impl<L> Deref for Conn<L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.link
    }
}

impl<L> DerefMut for Conn<L> {
    fn deref_mut(&mut self) -> &mut L {
        &mut self.link
    }
}

impl<L> Conn<L> {
    /// Whether the machine still wants to hear of this connection.
    pub(crate) fn is_live(&self) -> bool {
        !self.ended && !self.closing
    }

    /// Whether the machine wants it to be closed.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing
    }

    /// How much may be received now.
    pub(crate) fn credit(&self) -> u64 {
        self.until.saturating_sub(self.received)
    }

    /// How much may be received from the stream now.
    pub(crate) fn appetite(&self) -> u64 {
        match &self.shield {
            None => self.credit(),
            Some(shield) => shield.appetite(),
        }
    }
}

impl<L: Link> Conn<L> {
    /// Whether anything is under way on the connection.
    pub(crate) fn is_in_flight(&self) -> bool {
        let shield = self.shield.as_ref();
        let is_writing = shield.is_some_and(|shield| shield.is_writing());
        self.is_under_way() || self.transmitting || is_writing
    }

    /// Ends the stream, if there is one, for the far end and for whatever is under way on it.
    pub(crate) fn shut_down(&self) {
        self.link.shut_down();
    }
}

/// All connections.
pub(crate) struct Conns<L> {
    slots: Vec<Option<Conn<L>>>,
}

impl<L> Default for Conns<L> {
    fn default() -> Self {
        Conns { slots: Vec::new() }
    }
}

impl<L> Conns<L> {
    /// A connection that is there, comes to be yet, or never will.
    pub(crate) fn insert(&mut self, id: ConnId, link: L) -> &mut Conn<L> {
        let slot = id.0.slot() as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(
            self.slots[slot].is_none(),
            "a slot is reused only after its Closed"
        );
        self.slots[slot].insert(Conn {
            id,
            link,
            shield: None,
            transmitting: false,
            received: 0,
            until: 0,
            ended: false,
            closing: false,
            settled: false,
        })
    }

    /// The connection under this id, slot and generation.
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn<L>> {
        let slot = self.slots.get_mut(id.0.slot() as usize)?;
        slot.as_mut().filter(|conn| conn.id == id)
    }

    pub(crate) fn remove(&mut self, id: ConnId) {
        if self.get_mut(id).is_some() {
            self.slots[id.0.slot() as usize] = None;
        }
    }

    /// Raises the credit; lower offsets change nothing.
    pub(crate) fn credit(&mut self, id: ConnId, until: u64) {
        if let Some(conn) = self.get_mut(id) {
            conn.until = conn.until.max(until);
        }
    }

    /// Marks the connection as ended; whether the machine has to be told.
    pub(crate) fn end(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let live = conn.is_live();
        conn.ended = true;
        live
    }

    /// Marks the connection as one to be closed.
    pub(crate) fn close(&mut self, id: ConnId) {
        if let Some(conn) = self.get_mut(id) {
            conn.closing = true;
        }
    }

    /// The ids of all connections.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.slots.iter().flatten().map(|conn| conn.id).collect()
    }
}

impl<L: Link> Conns<L> {
    /// Whether this is the moment to say `Closed`; true once.
    pub(crate) fn take_settled(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let settled = conn.closing && !conn.is_in_flight() && !conn.settled;
        conn.settled |= settled;
        settled
    }
}

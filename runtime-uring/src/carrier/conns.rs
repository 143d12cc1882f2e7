//! The table of connections, by the slot of their ids.
//!
//! Invariant: an entry stays until `Closed` was said, and that is said only when the machine has
//! asked for it and neither a connect nor a receive nor a transmission is in flight.

use std::rc::Rc;

use futures_util::future::AbortHandle;
use ripcurrent_proto::base::id::ConnId;

use super::{Sockets, shut_down};
use crate::shield::Shield;

/// One connection.
pub(super) struct Conn<S: Sockets> {
    id: ConnId,
    pub(super) stream: Option<Rc<S::Stream>>,
    /// What stands between the stream and the machine, where the connection is protected.
    pub(super) shield: Option<Box<Shield>>,
    /// Cancels a connect in flight; `None` when there is none.
    pub(super) connecting: Option<AbortHandle>,
    pub(super) receiving: bool,
    pub(super) transmitting: bool,
    /// Bytes received, and the offset up to which there is credit.
    pub(super) received: u64,
    pub(super) until: u64,
    /// The last receive filled its buffer: the next gets a large one.
    pub(super) busy: bool,
    /// Nothing more will be received, and the machine knows.
    ended: bool,
    closing: bool,
    /// `Closed` is on its way.
    settled: bool,
}

impl<S: Sockets> Conn<S> {
    fn new(id: ConnId) -> Self {
        Conn {
            id,
            stream: None,
            shield: None,
            connecting: None,
            receiving: false,
            transmitting: false,
            received: 0,
            until: 0,
            busy: false,
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
}

/// All connections.
pub(super) struct Conns<S: Sockets> {
    slots: Vec<Option<Conn<S>>>,
}

impl<S: Sockets> Default for Conns<S> {
    fn default() -> Self {
        Conns { slots: Vec::new() }
    }
}

impl<S: Sockets> Conns<S> {
    /// A connection in the making.
    pub(super) fn insert_connecting(&mut self, id: ConnId, abort: AbortHandle) {
        let mut conn = Conn::new(id);
        conn.connecting = Some(abort);
        self.insert(conn);
    }

    /// A connection that never came to be.
    pub(super) fn insert_stillborn(&mut self, id: ConnId) {
        self.insert(Conn::new(id));
    }

    /// A connection that came in.
    pub(super) fn insert_connected(&mut self, id: ConnId, stream: S::Stream) {
        let mut conn = Conn::new(id);
        conn.stream = Some(Rc::new(stream));
        self.insert(conn);
    }

    fn insert(&mut self, conn: Conn<S>) {
        let slot = conn.id.0.slot() as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        assert!(
            self.slots[slot].is_none(),
            "a slot is reused only after its Closed"
        );
        self.slots[slot] = Some(conn);
    }

    /// The connection under this id, slot and generation.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn<S>> {
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

    /// Cancels whatever is in flight.
    pub(super) fn close(&mut self, id: ConnId) {
        if let Some(conn) = self.get_mut(id) {
            conn.closing = true;
            conn.cancel();
        }
    }

    /// Whether this is the moment to say `Closed`; true once.
    pub(super) fn take_settled(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.get_mut(id) else {
            return false;
        };
        let writing = conn
            .shield
            .as_ref()
            .is_some_and(|shield| shield.is_writing());
        let in_flight = conn.receiving || conn.transmitting || conn.connecting.is_some() || writing;
        let settled = conn.closing && !in_flight && !conn.settled;
        conn.settled |= settled;
        settled
    }

    /// Cancels everything on every connection.
    pub(super) fn shut_all_down(&mut self) {
        for conn in self.slots.iter().flatten() {
            conn.cancel();
        }
    }
}

impl<S: Sockets> Conn<S> {
    /// Makes every operation in flight end by itself.
    pub(super) fn cancel(&self) {
        shut_down::<S>(self.stream.as_deref());
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
    }
}

//! Protected connections: between the stream and the machine stands a [`Session`], and both are told
//! only what it lets through.
//!
//! The machine hears `Connected` when the far end has proven who it is. Credit counts what is
//! unsealed. Without credit the stream is read all the same, for TLS speaks on its own account too,
//! but only while nothing unsealed waits to be handed over: so that is what one receive brought, at
//! most. One write is in flight at most.

use std::io::{self, IoSlice};
use std::rc::Rc;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::{Carrier, Cursor, Done, Sockets, shut_down};
use crate::errno;
use crate::tls::{End, Session};

/// How much of the stream is received at once, in bytes.
const RECEIVED_MAX: u64 = 16 << 10;

/// The most parts that are sealed in one step.
const PARTS_MAX: usize = 64;

/// What stands between a stream and the machine.
pub(super) struct Shield {
    session: Session,
    /// Whether the machine knows that the connection is made.
    told: bool,
    /// What the machine sends, and how far it is sealed.
    sending: Option<(Transmission, Cursor)>,
    /// Sealed bytes are being written.
    pub(super) writing: bool,
    /// Empty, kept for its memory.
    spare: Transmission,
    /// The stream itself failed.
    failed: Option<EndReason>,
}

impl Shield {
    pub(super) fn new(session: Session) -> Self {
        Shield {
            session,
            told: false,
            sending: None,
            writing: false,
            spare: Transmission::default(),
            failed: None,
        }
    }

    /// Takes what the machine sends.
    pub(super) fn send(&mut self, transmission: Transmission) {
        self.sending = Some((transmission, Cursor::default()));
    }

    /// How much of the stream may be received now.
    pub(super) fn appetite(&self) -> u64 {
        match self.end().is_some() || self.session.has_plain() {
            true => 0,
            false => RECEIVED_MAX,
        }
    }

    /// How it ended.
    fn end(&self) -> Option<EndReason> {
        let of_session = || match self.session.end()? {
            End::Goodbye => Some(EndReason::Eof),
            End::Broken(error) => Some(EndReason::Tls(error)),
        };
        self.failed.or_else(of_session)
    }

    /// Whether there is something to tell the machine.
    fn has_news(&self, has_credit: bool) -> bool {
        match self.session.has_plain() {
            true => has_credit,
            false => self.end().is_some(),
        }
    }

    /// Whether nothing more of what the machine sends can be sealed.
    fn is_broken(&self) -> bool {
        matches!(self.end(), Some(EndReason::Failed(_) | EndReason::Tls(_)))
    }

    /// What is to be written next; empty if there is nothing.
    fn seal(&mut self) -> Transmission {
        let mut sealed = std::mem::take(&mut self.spare);
        sealed.clear();
        sealed.push_head(|out| {
            self.session.take_sealed(out);
            if let Some((transmission, cursor)) = &mut self.sending {
                let rest = cursor.rest(transmission).take(PARTS_MAX);
                let parts: Vec<_> = rest
                    .map(|at| IoSlice::new(at.bytes(transmission)))
                    .collect();
                // Nothing at its end, while the far end has proven nothing, or without room.
                let len = self.session.seal(&parts);
                if len > 0 && cursor.advance(transmission, len).is_ok() {
                    self.session.take_sealed(out);
                }
            }
        });
        sealed
    }

    /// What the machine sent, once all of it was sealed and written.
    fn take_sent(&mut self) -> Option<Transmission> {
        let all = |(transmission, cursor): &mut (Transmission, Cursor)| {
            cursor.rest(transmission).next().is_none()
        };
        let (transmission, _) = self.sending.take_if(all)?;
        Some(transmission)
    }
}

impl<S: Sockets> Carrier<S> {
    /// Writes on: what TLS itself has to say, then what the machine sends.
    pub(super) fn write_on(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let is_closing = entry.is_closing();
        let (Some(stream), Some(shield)) = (&entry.stream, &mut entry.shield) else {
            return;
        };
        if shield.writing || is_closing {
            return;
        }
        let sealed = shield.seal();
        if !sealed.is_empty() {
            shield.writing = true;
            let stream = Rc::clone(stream);
            return self.start(async move {
                let (sealed, result) = S::send(&stream, sealed).await;
                Done::Written {
                    conn,
                    sealed,
                    result,
                }
            });
        }
        shield.spare = sealed;
        if let Some(transmission) = shield.take_sent() {
            let result = Ok(());
            self.ready.push_back(Done::Transmitted {
                conn,
                transmission,
                result,
            });
        }
    }

    pub(super) fn on_written<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        sealed: Transmission,
        result: io::Result<()>,
    ) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        if let Some(shield) = &mut entry.shield {
            shield.writing = false;
            shield.spare = sealed;
            if let Err(error) = result {
                // A receive in flight ends by this; what it says is no news then.
                shut_down::<S>(entry.stream.as_deref());
                let reason = EndReason::Failed(errno::io_error(&error));
                shield.failed.get_or_insert(reason);
                self.deliver(machine, conn);
            }
        }
        self.write_on(conn);
        self.bring_home(conn);
        self.settle(conn);
    }

    /// Sealed bytes came, or the stream ended.
    pub(super) fn on_sealed<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        received: io::Result<&[u8]>,
    ) {
        let entry = self.conns.get_mut(conn);
        let Some(shield) = entry.and_then(|entry| entry.shield.as_mut()) else {
            return;
        };
        match received {
            Ok([]) => shield.session.cut_off(),
            Ok(sealed) => shield.session.unseal(sealed),
            Err(error) => {
                let reason = EndReason::Failed(errno::io_error(&error));
                shield.failed.get_or_insert(reason);
            }
        }
        self.deliver(machine, conn);
        self.complain(conn);
        self.bring_home(conn);
        self.write_on(conn);
    }

    /// Tells the machine the next thing: that the connection is made, what was unsealed as far as
    /// there is credit, or after the last of it the end. One at a time, for it may want to close.
    pub(super) fn deliver<M: Machine>(&mut self, machine: &mut M, conn: ConnId) {
        let now = self.now();
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        let credit = entry.credit();
        let Some(shield) = &mut entry.shield else {
            return;
        };
        if shield.session.is_made() && !shield.told {
            shield.told = true;
            machine.handle(now, Input::Connected { conn });
        } else if shield.session.has_plain() {
            let data = shield.session.take_plain(credit);
            if !data.is_empty() {
                entry.received += data.len() as u64;
                machine.handle(now, Input::Received { conn, data });
            }
        } else if let Some(reason) = shield.end() {
            return self.end(machine, conn, reason);
        }
        self.deliver_soon(conn);
        self.receive(conn);
    }

    /// Delivers in the next turn if there is something to deliver.
    pub(super) fn deliver_soon(&mut self, conn: ConnId) {
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        let has_credit = entry.credit() > 0;
        if entry
            .shield
            .as_ref()
            .is_some_and(|shield| shield.has_news(has_credit))
        {
            self.start(async move { Done::News { conn } });
        }
    }

    /// Says once on a broken connection what is wrong with it (RFC 8446, section 6.2).
    fn complain(&mut self, conn: ConnId) {
        let entry = self.conns.get_mut(conn);
        let shield = entry.and_then(|entry| entry.shield.as_ref());
        if shield.is_some_and(|shield| shield.is_broken()) {
            self.send_last_words(conn);
        }
    }

    /// Says before it is closed that nothing more comes (RFC 8446, section 6.1).
    pub(super) fn say_goodbye(&mut self, conn: ConnId) {
        let entry = self.conns.get_mut(conn);
        if let Some(shield) = entry.and_then(|entry| entry.shield.as_mut())
            && shield.told
            && !shield.is_broken()
        {
            shield.session.say_goodbye();
            self.send_last_words(conn);
        }
    }

    /// What TLS has to say goes out at once or not at all: the machine closes next.
    fn send_last_words(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && let (Some(stream), Some(shield)) = (&entry.stream, &mut entry.shield)
            && !shield.writing
        {
            let mut words = Vec::new();
            shield.session.take_sealed(&mut words);
            S::send_last(stream, &words);
        }
    }

    /// Gives back what can never be sent any more, unless it is being written.
    pub(super) fn bring_home(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let is_closing = entry.is_closing();
        if let Some(shield) = &mut entry.shield
            && (is_closing || shield.is_broken())
            && !shield.writing
            && let Some((transmission, _)) = shield.sending.take()
        {
            entry.transmitting = false;
            let home = Input::Returned { conn, transmission };
            self.ready.push_back(Done::Answer(home));
        }
    }
}

//! Protected connections: a [`Shield`](crate::shield::Shield) stands between the stream and the
//! machine, whatever carries the stream.

use std::io;
use std::os::fd::AsFd;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};
use socket2::SockRef;

use crate::conns::{Conns, Link};
use crate::errno;
use crate::shield::News;

/// A backend whose connections may be protected: what it has to do, and what follows from it.
pub(crate) trait Protected: Backend {
    /// What carries a connection.
    type Link: Link;

    /// All connections.
    fn conns(&mut self) -> &mut Conns<Self::Link>;

    /// Starts to write sealed bytes, and says what became of it by [`Protected::on_written`].
    fn start_writing(&mut self, conn: ConnId, sealed: Transmission);

    /// Tells in the next turn that all of what the machine sent is.
    fn transmitted_soon(&mut self, conn: ConnId, transmission: Transmission);

    /// [Delivers](Protected::deliver) in the next turn.
    fn news_soon(&mut self, conn: ConnId);

    /// Tells the machine in the next turn.
    fn answer_soon(&mut self, input: Input<'static>);

    /// Receives more, as far as there is an appetite.
    fn receive_more(&mut self, conn: ConnId);

    /// Tells the machine once that nothing more will be received.
    fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason);

    /// Says the last word on a connection that closes, once nothing of it is in flight.
    fn settle(&mut self, conn: ConnId);

    /// Writes on: what TLS itself has to say, then what the machine sends.
    fn write_on(&mut self, conn: ConnId) {
        let entry = self.conns().get_mut(conn);
        let Some(entry) = entry.filter(|entry| !entry.is_closing() && entry.is_there()) else {
            return;
        };
        let Some(shield) = &mut entry.shield else {
            return;
        };
        if let Some(sealed) = shield.write() {
            self.start_writing(conn, sealed);
        } else if let Some(transmission) = shield.take_sent() {
            self.transmitted_soon(conn, transmission);
        }
    }

    /// What was sealed is sent, or never will be.
    fn on_written<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        sealed: Transmission,
        result: io::Result<()>,
    ) {
        let Some(entry) = self.conns().get_mut(conn) else {
            return;
        };
        if let Some(shield) = &mut entry.shield {
            shield.written(sealed);
            if let Err(error) = result {
                shield.fail(EndReason::Failed(errno::io_error(&error)));
                // A receive in flight ends by this; what it says is no news then.
                entry.shut_down();
                self.deliver(machine, conn);
            }
        }
        self.write_on(conn);
        self.bring_home(conn);
        self.settle(conn);
    }

    /// Something was unsealed, or the stream has ended.
    fn after_unsealing<M: Machine>(&mut self, machine: &mut M, conn: ConnId) {
        self.deliver(machine, conn);
        self.complain(conn);
        self.bring_home(conn);
        self.write_on(conn);
    }

    /// Tells the machine the next thing.
    fn deliver<M: Machine>(&mut self, machine: &mut M, conn: ConnId) {
        let now = self.now();
        let entry = self.conns().get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        let credit = entry.credit();
        let Some(shield) = &mut entry.shield else {
            return;
        };
        match shield.take_news(credit) {
            Some(News::Made) => machine.handle(now, Input::Connected { conn }),
            Some(News::Plain(data)) => {
                entry.received += data.len() as u64;
                machine.handle(now, Input::Received { conn, data });
            }
            Some(News::End(reason)) => return self.end(machine, conn, reason),
            None => {}
        }
        self.deliver_soon(conn);
        self.receive_more(conn);
    }

    /// Delivers in the next turn if there is something to deliver.
    fn deliver_soon(&mut self, conn: ConnId) {
        let entry = self.conns().get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        let has_credit = entry.credit() > 0;
        let shield = entry.shield.as_ref();
        if shield.is_some_and(|shield| shield.has_news(has_credit)) {
            self.news_soon(conn);
        }
    }

    /// Says once on a broken connection what is wrong with it.
    fn complain(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns().get_mut(conn)
            && entry.is_there()
            && let Some(shield) = &mut entry.shield
            && let Some(words) = shield.complaint()
        {
            entry.send_last(&words);
        }
    }

    /// Says before it is closed that nothing more comes.
    fn say_goodbye(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns().get_mut(conn)
            && entry.is_there()
            && let Some(shield) = &mut entry.shield
            && let Some(words) = shield.goodbye()
        {
            entry.send_last(&words);
        }
    }

    /// Gives back what can never be sent any more, unless it is being written.
    fn bring_home(&mut self, conn: ConnId) {
        let Some(entry) = self.conns().get_mut(conn) else {
            return;
        };
        let is_closing = entry.is_closing();
        if let Some(shield) = &mut entry.shield
            && let Some(transmission) = shield.take_unsent(is_closing)
        {
            entry.transmitting = false;
            self.answer_soon(Input::Returned { conn, transmission });
        }
    }
}

/// Sends what the system takes at once, while nothing else is being sent: the machine closes next.
pub(crate) fn send_last(socket: &impl AsFd, words: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let _ = SockRef::from(socket).send_with_flags(words, flags);
}

//! Protected connections: a [`Shield`](crate::shield::Shield) stands between the stream and the
//! machine.

use std::io;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};
use socket2::Socket;

use super::kernel::Kernel;
use super::{Ready, Uring};
use crate::errno;
use crate::shield::News;

impl<K: Kernel> Uring<K> {
    /// Writes on: what TLS itself has to say, then what the machine sends.
    pub(super) fn write_on(&mut self, conn: ConnId) {
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| !entry.is_closing()) else {
            return;
        };
        let Some(shield) = &mut entry.shield else {
            return;
        };
        if let Some(sealed) = shield.write() {
            self.send(conn, sealed, true);
        } else if let Some(transmission) = shield.take_sent() {
            self.ready
                .push_back(Ready::Transmitted { conn, transmission });
        }
    }

    /// What was sealed is sent, or never will be.
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
    pub(super) fn after_unsealing<M: Machine>(&mut self, machine: &mut M, conn: ConnId) {
        self.deliver(machine, conn);
        self.complain(conn);
        self.bring_home(conn);
        self.write_on(conn);
    }

    /// Tells the machine the next thing.
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
        self.note(conn);
    }

    /// Delivers in the next turn if there is something to deliver.
    pub(super) fn deliver_soon(&mut self, conn: ConnId) {
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        let has_credit = entry.credit() > 0;
        let shield = entry.shield.as_ref();
        if shield.is_some_and(|shield| shield.has_news(has_credit)) {
            self.ready.push_back(Ready::News { conn });
        }
    }

    /// Says once on a broken connection what is wrong with it.
    fn complain(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && let (Some(socket), Some(shield)) = (&entry.socket, &mut entry.shield)
            && let Some(words) = shield.complaint()
        {
            send_last(socket, &words);
        }
    }

    /// Says before it is closed that nothing more comes.
    pub(super) fn say_goodbye(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && let (Some(socket), Some(shield)) = (&entry.socket, &mut entry.shield)
            && let Some(words) = shield.goodbye()
        {
            send_last(socket, &words);
        }
    }

    /// Gives back what can never be sent any more, unless it is being written.
    pub(super) fn bring_home(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let is_closing = entry.is_closing();
        if let Some(shield) = &mut entry.shield
            && let Some(transmission) = shield.take_unsent(is_closing)
        {
            entry.transmitting = false;
            let home = Input::Returned { conn, transmission };
            self.ready.push_back(Ready::Answer(home));
        }
    }
}

/// Sends what the system takes at once, while nothing else is being sent: the machine closes next.
fn send_last(socket: &Socket, words: &[u8]) {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let _ = socket.send_with_flags(words, flags);
}

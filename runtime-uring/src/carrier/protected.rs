//! Protected connections: a [`Shield`](crate::shield::Shield) stands between the stream and the
//! machine.

use std::io;
use std::rc::Rc;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::{Carrier, Done, Sockets, shut_down};
use crate::errno;
use crate::shield::News;

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
        if is_closing {
            return;
        }
        if let Some(sealed) = shield.write() {
            let stream = Rc::clone(stream);
            self.start(async move {
                let (sealed, result) = S::send(&stream, sealed).await;
                Done::Written {
                    conn,
                    sealed,
                    result,
                }
            });
        } else if let Some(transmission) = shield.take_sent() {
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
            shield.written(sealed);
            if let Err(error) = result {
                // A receive in flight ends by this; what it says is no news then.
                shut_down::<S>(entry.stream.as_deref());
                let reason = EndReason::Failed(errno::io_error(&error));
                shield.fail(reason);
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
            Ok(sealed) => shield.unseal(sealed),
            Err(error) => shield.fail(EndReason::Failed(errno::io_error(&error))),
        }
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

    /// Says once on a broken connection what is wrong with it.
    fn complain(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && let (Some(stream), Some(shield)) = (&entry.stream, &mut entry.shield)
            && let Some(words) = shield.complaint()
        {
            S::send_last(stream, &words);
        }
    }

    /// Says before it is closed that nothing more comes.
    pub(super) fn say_goodbye(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && let (Some(stream), Some(shield)) = (&entry.stream, &mut entry.shield)
            && let Some(words) = shield.goodbye()
        {
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
            && let Some(transmission) = shield.take_unsent(is_closing)
        {
            entry.transmitting = false;
            let home = Input::Returned { conn, transmission };
            self.ready.push_back(Done::Answer(home));
        }
    }
}

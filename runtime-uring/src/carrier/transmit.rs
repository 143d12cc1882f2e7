//! Sending: one transmission in flight for each connection at most.

use std::io;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::{Carrier, Done, Sockets};
use crate::errno;
use crate::protected::Protected;

impl<S: Sockets> Carrier<S> {
    /// Starts to send.
    pub(super) fn transmit(&mut self, conn: ConnId, transmission: Transmission) {
        let entry = self.conns.get_mut(conn);
        let stream = entry.and_then(|entry| {
            assert!(!entry.transmitting, "one transmission is in flight at most");
            let stream = entry
                .stream
                .clone()
                .filter(|_| entry.connecting.is_none())?;
            entry.transmitting = true;
            Some((stream, entry.shield.as_mut()))
        });
        match stream {
            Some((_, Some(shield))) => {
                shield.send(transmission);
                self.write_on(conn);
            }
            Some((stream, None)) => self.start(async move {
                let (transmission, result) = S::send(&stream, transmission).await;
                Done::Transmitted {
                    conn,
                    transmission,
                    result,
                }
            }),
            // Never connected: it comes home as it went.
            None => {
                let home = Input::Returned { conn, transmission };
                self.ready.push_back(Done::Answer(home));
            }
        }
    }

    pub(super) fn on_transmitted<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        transmission: Transmission,
        result: io::Result<()>,
    ) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.transmitting = false;
        let live = entry.is_live();
        if result.is_err() && live {
            // A receive in flight ends by this; what it says is no news then.
            entry.shut_down();
        }
        machine.handle(now, Input::Returned { conn, transmission });
        match result {
            Ok(()) => machine.handle(now, Input::Sent { conn }),
            Err(error) if live => {
                let reason = EndReason::Failed(errno::io_error(&error));
                self.end(machine, conn, reason);
            }
            Err(_) => {}
        }
        self.settle(conn);
    }
}

//! Receiving: one read in flight for each connection with credit, into a buffer that is ours again
//! as soon as the machine has seen the bytes.
//!
//! A read in flight holds its buffer, so an idle connection holds a small one: memory for receiving
//! is [`SMALL`] for each idle connection and [`LARGE`] for each busy one, and as much again at most
//! for buffers that rest.

use std::io;
use std::rc::Rc;

use ripcurrent_proto::api::{EndReason, Input};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::{Carrier, Done, Sockets};
use crate::errno;
use crate::protected::Protected;

/// The buffer of a connection that brings little, in bytes.
const SMALL: usize = 16 << 10;

/// The buffer of a connection that brings much, in bytes; larger ones measured no faster.
const LARGE: usize = 128 << 10;

/// The most resting buffers of each size.
const RESTING: usize = 32;

/// The most memory of all buffers, in bytes.
pub(crate) const fn receive_bytes(connections: u64) -> u64 {
    connections * LARGE as u64 + RESTING as u64 * (LARGE + SMALL) as u64
}

/// Buffers that rest; the one used last, still in the processor's cache, is used first.
#[derive(Default)]
pub(super) struct Buffers {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Buffers {
    fn take(&mut self, large: bool) -> Vec<u8> {
        let (resting, size) = match large {
            true => (&mut self.large, LARGE),
            false => (&mut self.small, SMALL),
        };
        resting.pop().unwrap_or_else(|| vec![0; size])
    }

    fn give(&mut self, buffer: Vec<u8>) {
        let resting = match buffer.len() {
            LARGE => &mut self.large,
            _ => &mut self.small,
        };
        if resting.len() < RESTING {
            resting.push(buffer);
        }
    }
}

impl<S: Sockets> Carrier<S> {
    /// Starts to receive, if there is credit and nothing against it.
    pub(super) fn receive(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let credit = usize::try_from(entry.appetite()).unwrap_or(usize::MAX);
        let Some(stream) = &entry.stream else { return };
        if entry.receiving || credit == 0 || !entry.is_live() {
            return;
        }
        let stream = Rc::clone(stream);
        let buffer = self.buffers.take(entry.busy);
        let len = credit.min(buffer.len());
        entry.receiving = true;
        self.start(async move {
            let (buffer, result) = S::receive(&stream, buffer, len).await;
            Done::Received {
                conn,
                buffer,
                result,
            }
        });
    }

    pub(super) fn on_received<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        mut buffer: Vec<u8>,
        result: io::Result<usize>,
    ) {
        let now = self.now();
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.receiving = false;
            match result {
                _ if !entry.is_live() => {}
                result if entry.shield.is_some() => {
                    self.on_sealed(machine, conn, result.map(|len| &buffer[..len]));
                }
                Ok(0) => self.end(machine, conn, EndReason::Eof),
                Ok(len) => {
                    entry.received += len as u64;
                    entry.busy = len >= SMALL;
                    let data = &mut buffer[..len];
                    machine.handle(now, Input::Received { conn, data });
                    self.receive(conn);
                }
                Err(error) => {
                    let reason = EndReason::Failed(errno::io_error(&error));
                    self.end(machine, conn, reason);
                }
            }
        }
        self.buffers.give(buffer);
        self.settle(conn);
    }

    /// Sealed bytes came, or the stream ended.
    fn on_sealed<M: Machine>(
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
        self.after_unsealing(machine, conn);
    }

    /// Tells the machine once that nothing more will be received.
    pub(super) fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        let now = self.now();
        if self.conns.end(conn) {
            machine.handle(now, Input::Ended { conn, reason });
        }
    }
}

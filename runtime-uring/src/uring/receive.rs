//! Receiving: into buffers that all connections share, so that only bytes that came hold memory.
//!
//! Where there is credit for all that the buffers hold, one entry receives whatever comes. Once there
//! is less it is told to stop, and hears that before it receives again: between two calls of the
//! kernel no more comes than the buffers hold, so nothing ever comes beyond the credit.
//!
//! Where there is less credit, or a session must see what came before more does, each entry receives
//! once and no more than may come.
//!
//! What is to be done is decided once a turn, when the machine has said all that it wants: see
//! [`note`](Uring::note).

use std::{io, mem, ptr};

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use ripcurrent_proto::api::{EndReason, Input};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::kernel::{BUFFER_GROUP, Kernel};
use super::link::Receiving;
use super::ring::Outcome;
use super::send::is_passing;
use super::{Operation, Ready, Uring};
use crate::errno;
use crate::protected::Protected;

impl<K: Kernel> Uring<K> {
    /// Looks at the connection before the loop waits: what can be received may have changed.
    pub(super) fn note(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && !entry.noted
        {
            entry.noted = true;
            self.noted.push(conn);
        }
    }

    /// Looks at it first, because it found no buffer where others did: whoever has most would
    /// otherwise have all of them.
    fn note_first(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn)
            && !entry.noted
        {
            entry.noted = true;
            self.starved.push(conn);
        }
    }

    /// Looks at all connections of which something was noted.
    pub(super) fn tend(&mut self) {
        let mut starved = mem::take(&mut self.starved);
        let mut noted = mem::take(&mut self.noted);
        for conn in starved.drain(..).chain(noted.drain(..)) {
            self.receive(conn);
        }
        self.starved = starved;
        self.noted = noted;
    }

    /// Starts to receive, or stops, or says that nothing more will come, as things stand.
    fn receive(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.noted = false;
        let is_open = entry.is_live() && entry.is_connected();
        let Some(fd) = entry.fd().filter(|_| is_open) else {
            return;
        };
        let appetite = entry.appetite();
        let plenty = self.ring.buffers().bytes() as u64;
        let failed = entry.failed.filter(|_| entry.shield.is_none());
        match entry.receiving {
            Receiving::Nothing if appetite > 0 => {
                let lasting = appetite >= plenty && entry.shield.is_none();
                let entry = match lasting {
                    true => opcode::RecvMulti::new(fd, BUFFER_GROUP).build(),
                    false => once(fd, appetite),
                };
                // SAFETY: the memory is that of the ring's own buffers; the descriptor is closed
                // only when nothing of the connection is under way.
                let id = unsafe { self.ring.start(entry, Operation::Receive(conn)) };
                let receiving = match lasting {
                    true => Receiving::Always(id),
                    false => Receiving::Once,
                };
                if let Some(entry) = self.conns.get_mut(conn) {
                    entry.receiving = receiving;
                    entry.fed = false;
                }
            }
            Receiving::Nothing => {
                if let Some(reason) = failed {
                    self.ready.push_back(Ready::Ended { conn, reason });
                }
            }
            Receiving::Always(id) if appetite < plenty => {
                entry.receiving = Receiving::Stopping(id);
                self.ring.cancel(id);
            }
            _ => {}
        }
    }

    /// A receive has brought something, or ended.
    pub(super) fn on_received<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        outcome: Outcome,
    ) {
        let result = outcome.result();
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.receiving = match entry.receiving {
                _ if outcome.is_last => Receiving::Nothing,
                // It has not heard, or only after this.
                Receiving::Stopping(id) => Receiving::Always(id),
                receiving => receiving,
            };
            match result {
                _ if !entry.is_live() => {}
                Ok(0) => self.on_end(machine, conn, EndReason::Eof),
                Ok(len) => self.on_bytes(machine, conn, outcome.buffer, len as usize),
                // It was told to stop, was disturbed, or found no buffer; those are back by now.
                Err(error) if goes_on(&error) => {
                    if error.raw_os_error() == Some(libc::ENOBUFS) && !entry.fed {
                        self.note_first(conn);
                    }
                }
                Err(error) => {
                    let reason = EndReason::Failed(errno::io_error(&error));
                    self.on_end(machine, conn, reason);
                }
            }
        }
        if let Some(buffer) = outcome.buffer {
            self.ring.buffers().give(buffer);
        }
        self.note(conn);
        self.settle(conn);
    }

    fn on_bytes<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        buffer: Option<u16>,
        len: usize,
    ) {
        let now = self.now();
        let buffer = buffer.expect("bytes come in one of our buffers");
        let data = self.ring.buffers().filled(buffer, len);
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.fed = true;
        match &mut entry.shield {
            Some(shield) => {
                shield.unseal(data);
                self.after_unsealing(machine, conn);
            }
            None => {
                entry.received += len as u64;
                machine.handle(now, Input::Received { conn, data });
            }
        }
    }

    /// The stream has ended, or failed.
    fn on_end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        match &mut entry.shield {
            Some(shield) => {
                match reason {
                    EndReason::Eof => shield.unseal(&[]),
                    reason => shield.fail(reason),
                }
                self.after_unsealing(machine, conn);
            }
            None => {
                let reason = entry.failed.unwrap_or(reason);
                self.end(machine, conn, reason);
            }
        }
    }

    /// Tells the machine once that nothing more will be received.
    pub(super) fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        let now = self.now();
        if self.conns.end(conn) {
            machine.handle(now, Input::Ended { conn, reason });
        }
    }
}

/// Whether a receive that ended so only has to be started again.
fn goes_on(error: &io::Error) -> bool {
    let stopped = matches!(error.raw_os_error(), Some(libc::ECANCELED | libc::ENOBUFS));
    stopped || is_passing(error)
}

/// An entry that receives up to `most` bytes, or as many as a buffer holds.
fn once(fd: Fd, most: u64) -> squeue::Entry {
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    let receive = opcode::Recv::new(fd, ptr::null_mut(), most).buf_group(BUFFER_GROUP);
    receive.build().flags(squeue::Flags::BUFFER_SELECT)
}

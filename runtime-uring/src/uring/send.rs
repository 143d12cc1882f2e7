//! Sending: one transmission in flight for each connection at most, gathered from wherever its parts
//! lie; what one send leaves over is sent by the next.

use std::io;
use std::mem;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};

use super::kernel::Kernel;
use super::{Operation, Ready, Uring};
use crate::cursor::Cursor;
use crate::errno;
use crate::protected::Protected;

/// The most boxes that rest for their memory.
const RESTING: usize = 64;

/// A transmission and how far it is sent. The kernel reads what lies here while a send is under way,
/// so it stays in its box.
pub(super) struct Sending {
    conn: ConnId,
    transmission: Transmission,
    cursor: Cursor,
    /// It was sealed on a protected connection; the machine knows nothing of it.
    sealed: bool,
    /// What is left of the parts, and the header that names them.
    parts: Vec<libc::iovec>,
    header: libc::msghdr,
}

/// Boxes that rest.
#[derive(Default)]
#[expect(
    clippy::vec_box,
    reason = "what the kernel reads stays where it is while it goes around"
)]
pub(super) struct Boxes(Vec<Box<Sending>>);

impl Boxes {
    fn pack(&mut self, conn: ConnId, transmission: Transmission, sealed: bool) -> Box<Sending> {
        match self.0.pop() {
            Some(mut sending) => {
                sending.conn = conn;
                sending.transmission = transmission;
                sending.cursor = Cursor::default();
                sending.sealed = sealed;
                sending
            }
            None => Box::new(Sending {
                conn,
                transmission,
                cursor: Cursor::default(),
                sealed,
                parts: Vec::new(),
                // SAFETY: all zeroes are a header without a name, parts and control data.
                header: unsafe { mem::zeroed() },
            }),
        }
    }

    fn unpack(&mut self, mut sending: Box<Sending>) -> Transmission {
        let transmission = mem::take(&mut sending.transmission);
        if self.0.len() < RESTING {
            self.0.push(sending);
        }
        transmission
    }
}

impl Sending {
    /// The entry that sends what is left, as much as one can; `None` once that is nothing.
    fn entry(&mut self, fd: Fd) -> Option<squeue::Entry> {
        // All of it or an error, and none of the signals that end a process.
        let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
        self.parts.clear();
        let rest = self.cursor.rest(&self.transmission);
        self.parts.extend(rest.map(|at| {
            let (place, len) = at.place(&self.transmission);
            libc::iovec {
                iov_base: place.cast_mut().cast(),
                iov_len: len,
            }
        }));
        match self.parts[..] {
            [] => None,
            // What is shared out by 32 bits is no longer than that.
            [part] => {
                let send = opcode::Send::new(fd, part.iov_base.cast(), part.iov_len as u32);
                Some(send.flags(flags).build())
            }
            _ => {
                self.header.msg_iov = self.parts.as_mut_ptr();
                self.header.msg_iovlen = self.parts.len() as _;
                let send = opcode::SendMsg::new(fd, &raw const self.header);
                Some(send.flags(flags as u32).build())
            }
        }
    }

    /// Takes in what a send has come to.
    ///
    /// # Errors
    /// If the next would fare no better.
    fn advance(&mut self, result: io::Result<u32>) -> io::Result<()> {
        match result {
            Ok(sent) => self.cursor.advance(&self.transmission, sent as usize),
            // It was disturbed, and has sent nothing.
            Err(error) if is_passing(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn is_all_sent(&self) -> bool {
        self.cursor.rest(&self.transmission).next().is_none()
    }
}

impl<K: Kernel> Uring<K> {
    /// Starts to send what the machine wants to be sent.
    pub(super) fn transmit(&mut self, conn: ConnId, transmission: Transmission) {
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_connected()) else {
            // Never connected: it comes home as it went.
            let home = Input::Returned { conn, transmission };
            return self.ready.push_back(Ready::Answer(home));
        };
        assert!(!entry.transmitting, "one transmission is in flight at most");
        entry.transmitting = true;
        match &mut entry.shield {
            Some(shield) => {
                shield.send(transmission);
                self.write_on(conn);
            }
            None => self.send(conn, transmission, false),
        }
    }

    /// Starts to send bytes as they are; where there are none, they are sent.
    pub(super) fn send(&mut self, conn: ConnId, transmission: Transmission, sealed: bool) {
        let sending = self.boxes.pack(conn, transmission, sealed);
        if let Err(sending) = self.send_on(sending) {
            let transmission = self.boxes.unpack(sending);
            self.ready
                .push_back(Ready::Transmitted { conn, transmission });
        }
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// If that is nothing.
    fn send_on(&mut self, mut sending: Box<Sending>) -> Result<(), Box<Sending>> {
        let entry = self.conns.get_mut(sending.conn);
        let fd = entry.and_then(|entry| entry.fd());
        let Some(entry) = fd.and_then(|fd| sending.entry(fd)) else {
            return Err(sending);
        };
        // SAFETY: the header, the list of parts and the parts themselves lie in the box, or in
        // vectors, shared slabs and mappings that it owns; nobody unmaps them, and of ours nobody
        // changes them, before it is back. A file that was cut short under a mapping makes the send
        // fail, no more: it is the kernel that reads. The descriptor is closed only after that.
        unsafe { self.ring.start(entry, Operation::Send(sending)) };
        Ok(())
    }

    /// A send has come to something.
    pub(super) fn on_sent<M: Machine>(
        &mut self,
        machine: &mut M,
        mut sending: Box<Sending>,
        result: io::Result<u32>,
    ) {
        let conn = sending.conn;
        let mut result = sending.advance(result);
        if result.is_ok() && !sending.is_all_sent() {
            let entry = self.conns.get_mut(conn);
            if entry.is_none_or(|entry| entry.is_closing()) {
                result = Err(io::Error::from_raw_os_error(libc::ECANCELED));
            } else {
                match self.send_on(sending) {
                    Ok(()) => return,
                    Err(back) => sending = back,
                }
            }
        }
        let sealed = sending.sealed;
        let transmission = self.boxes.unpack(sending);
        match sealed {
            true => self.on_written(machine, conn, transmission, result),
            false => self.on_transmitted(machine, conn, transmission, result),
        }
    }

    /// What the machine has sent is home.
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
        machine.handle(now, Input::Returned { conn, transmission });
        match result {
            Ok(()) => machine.handle(now, Input::Sent { conn }),
            Err(error) => {
                // What has come and was not read yet is heard before the end.
                let reason = EndReason::Failed(errno::io_error(&error));
                entry.failed.get_or_insert(reason);
                entry.shut_down();
                self.note(conn);
            }
        }
        self.settle(conn);
    }
}

/// Whether an operation that ended so only has to be started again.
pub(super) fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN))
}

//! Bytes of files that are open: the ring moves them, while threads do whatever else there is to do
//! on a disk.

use std::io;

use io_uring::types::Fd;
use io_uring::{opcode, squeue};
use ripcurrent_proto::api::{Disk, DiskDone, Input};
use ripcurrent_proto::drive::Machine;

use super::kernel::Kernel;
use super::{Operation, Ready, Uring};
use crate::disk::{Buffer, Call, Route, Transfer};

impl<K: Kernel> Uring<K> {
    pub(super) fn carry_disk(&mut self, disk: Disk) {
        let route = self.work.disk_by_ring(disk);
        if let Some(done) = self.go_on(route) {
            self.ready.push_back(Ready::Answer(Input::Disk(done)));
        }
    }

    /// A read or a write has come to its end, or part of it.
    pub(super) fn on_transferred<M: Machine>(
        &mut self,
        machine: &mut M,
        transfer: Box<Transfer>,
        result: io::Result<u32>,
    ) {
        if let Some(done) = self.transferred(transfer, result) {
            machine.handle(self.now, Input::Disk(done));
        }
    }

    /// The same; what is left of it goes on. The answer, if it is there.
    pub(super) fn transferred(
        &mut self,
        transfer: Box<Transfer>,
        result: io::Result<u32>,
    ) -> Option<DiskDone> {
        let result = result.map(|count| count as usize);
        let route = self.work.transferred(transfer, result);
        self.go_on(route)
    }

    fn go_on(&mut self, route: Route) -> Option<DiskDone> {
        match route {
            Route::Done(done) => Some(done),
            Route::Thread => None,
            Route::Ring(mut transfer) => {
                let entry = entry(transfer.call());
                // SAFETY: the entry points into the slab of the transfer, whose memory stays where it
                // is and which the transfer leaves alone until it has landed; the transfer also keeps
                // the descriptor open.
                unsafe { self.ring.start(entry, Operation::File(transfer)) };
                None
            }
        }
    }
}

fn entry(call: Call) -> squeue::Entry {
    let (file, len) = (Fd(call.descriptor), call.len);
    match call.buffer {
        Buffer::Read(bytes) => opcode::Read::new(file, bytes, len)
            .offset(call.offset)
            .build(),
        Buffer::Write(bytes) => opcode::Write::new(file, bytes, len)
            .offset(call.offset)
            .build(),
    }
}

#[cfg(test)]
mod tests;

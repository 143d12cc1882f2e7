//! A read or a write under way on a ring, one step after the other.

use std::io;
use std::os::fd::RawFd;
use std::sync::Arc;

use ripcurrent_proto::api::{DiskDone, DiskError, StorageId};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::meta::layout::FileIndex;

use super::step::{Progress, Step, Way};
use super::storage::{Storage, of_file};

/// See the documentation of the module. The slab comes home with the answer, whatever happens.
pub(crate) struct Transfer {
    op: OpId,
    pub(super) storage: StorageId,
    shared: Arc<Storage>,
    way: Way,
    slab: Slab,
    /// What is left to do, the next one last; never empty.
    steps: Vec<Step>,
}

/// A system call that a ring is to make. What it points at belongs to the transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) descriptor: RawFd,
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
    pub(crate) buffer: Buffer,
    /// In bytes.
    pub(crate) len: u32,
}

/// Where in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Buffer {
    /// Bytes to read into.
    Read(*mut u8),
    /// Bytes to write.
    Write(*const u8),
}

/// What becomes of a transfer.
pub(super) enum Outcome {
    /// The ring has more to do.
    Again(Box<Transfer>),
    /// A thread is to do the rest.
    Elsewhere(Box<Transfer>),
    /// That was all.
    Over(DiskDone),
}

impl Transfer {
    pub(super) fn new(
        (op, storage): (OpId, StorageId),
        shared: Arc<Storage>,
        way: Way,
        slab: Slab,
        mut steps: Vec<Step>,
    ) -> Self {
        steps.reverse();
        Transfer {
            op,
            storage,
            shared,
            way,
            slab,
            steps,
        }
    }

    /// What is to be done next. Until it has come to its end nobody may touch the transfer, which
    /// keeps the descriptor open and the memory where it is, also when it is moved itself.
    pub(crate) fn call(&mut self) -> Call {
        let step = self
            .steps
            .last()
            .expect("a transfer with nothing to do is over");
        let range = step.range.clone();
        // The kernel takes no more at once; the rest comes later.
        let len = u32::try_from(range.len()).unwrap_or(1 << 30);
        let buffer = match self.way {
            Way::Read => Buffer::Read(self.slab.as_mut_slice()[range].as_mut_ptr()),
            Way::Write => Buffer::Write(self.slab.as_slice()[range].as_ptr()),
        };
        Call {
            descriptor: step.descriptor(),
            offset: step.offset,
            buffer,
            len,
        }
    }

    /// What is asked for by [`call`](Self::call) has come to its end.
    pub(super) fn landed(mut self: Box<Self>, result: io::Result<usize>) -> Outcome {
        let Some(mut step) = self.steps.pop() else {
            return Outcome::Over(self.answer(Ok(())));
        };
        let (index, progress) = (step.index, step.advance(self.way, result));
        match progress {
            Ok(Progress::Over) => self.changed(index),
            Ok(Progress::Again) => self.steps.push(step),
            Ok(Progress::Elsewhere) => {
                self.steps.push(step);
                return Outcome::Elsewhere(self);
            }
            Ok(Progress::Refused) => {
                self.shared.write_cached_from_now_on();
                self.steps.push(step);
                return Outcome::Elsewhere(self);
            }
            Err(error) => {
                self.changed(index);
                return Outcome::Over(self.answer(Err(of_file(index, &error))));
            }
        }
        match self.steps.is_empty() {
            true => Outcome::Over(self.answer(Ok(()))),
            false => Outcome::Again(self),
        }
    }

    /// Does the rest on this thread.
    pub(super) fn finish(mut self) -> DiskDone {
        while let Some(step) = self.steps.pop() {
            let index = step.index;
            let done = match self.way {
                Way::Read => step.read(self.slab.as_mut_slice()),
                Way::Write => self.shared.write_step(step, self.slab.as_slice()),
            };
            if let Err(error) = done {
                return self.answer(Err(of_file(index, &error)));
            }
        }
        self.answer(Ok(()))
    }

    /// A step has ended that may have changed the file: only now, so that no sync which has begun
    /// before counts for it.
    fn changed(&self, index: FileIndex) {
        if self.way == Way::Write {
            self.shared.changed(index);
        }
    }

    fn answer(self, result: Result<(), DiskError>) -> DiskDone {
        let Transfer { op, slab, way, .. } = self;
        match way {
            Way::Read => DiskDone::Read { op, slab, result },
            Way::Write => DiskDone::Written { op, slab, result },
        }
    }
}

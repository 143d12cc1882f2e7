//! A ring and what is under way on it: an operation goes in with its entry and comes back with what
//! the kernel says of it.
//!
//! Invariant: the ring owns an operation, and so all that the kernel reads and writes for it, until
//! its last completion was taken. Only then is its number used again, under another generation: a
//! completion that comes late or twice finds nothing.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd};
use io_uring::{opcode, squeue};
use ripcurrent_proto::base::id::{Id, Slots};

use super::buffers::{Buffers, Shape};
use super::kernel::{Kernel, Wait};

/// The number of entries whose completion interests nobody; no operation has it, because there are
/// fewer than 2^32 at once.
const NOBODY: u64 = u64::MAX;

/// How long to wait before entries are handed over again that the kernel had no memory for.
const SHORTAGE: Duration = Duration::from_millis(10);

/// How long a ring that is dropped with operations under way waits for them.
const FAREWELL: Duration = Duration::from_millis(100);
const FAREWELLS: usize = 100;

/// See the documentation of the module.
pub(super) struct Ring<K: Kernel, O> {
    kernel: K,
    flying: Slots<O>,
    /// Entries for which there was no room, the oldest first.
    unsent: VecDeque<squeue::Entry>,
    buffers: Buffers,
}

/// What has happened to an operation.
#[derive(Debug)]
pub(super) struct Landed<O> {
    pub(super) flight: Flight<O>,
    pub(super) outcome: Outcome,
}

/// Whether more is to come of an operation.
#[derive(Debug)]
pub(super) enum Flight<O> {
    /// It goes on; [`Ring::get`] shows it.
    On(Id),
    /// It is over.
    Over(O),
}

/// What the kernel says of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    result: i32,
    /// The buffer that was received into; to be given back.
    pub(super) buffer: Option<u16>,
    /// Nothing more comes of the operation.
    pub(super) is_last: bool,
}

impl Outcome {
    /// What the system call has returned.
    pub(super) fn result(self) -> io::Result<u32> {
        u32::try_from(self.result).map_err(|_| io::Error::from_raw_os_error(-self.result))
    }
}

impl<K: Kernel, O> Ring<K, O> {
    pub(super) fn new(mut kernel: K, shape: Shape) -> io::Result<Self> {
        // They are dropped after the kernel's end, or never: see `drop`.
        let buffers = Buffers::new(&mut kernel, shape)?;
        Ok(Ring {
            kernel,
            flying: Slots::new(),
            unsent: VecDeque::new(),
            buffers,
        })
    }

    /// Starts an operation with the next [`enter`](Self::enter). Nobody waits for room: what does
    /// not fit into the kernel's queue goes a little later, in order.
    ///
    /// # Safety
    /// All memory that the entry points at is owned by `operation`, or by nobody in need of it, at
    /// an address that moving `operation` does not change, and nothing touches it until the
    /// operation has landed for the last time. File descriptors stay open as long.
    pub(super) unsafe fn start(&mut self, entry: squeue::Entry, operation: O) -> Id {
        let id = self.flying.insert(operation);
        self.push(entry.user_data(number(id)));
        id
    }

    /// Makes an operation end soon, if it has not ended yet; it lands all the same.
    pub(super) fn cancel(&mut self, id: Id) {
        if self.flying.get(id).is_some() {
            let cancel = opcode::AsyncCancel::new(number(id)).build();
            self.push(cancel.user_data(NOBODY));
        }
    }

    /// Makes all operations on a file descriptor end soon; they land all the same.
    pub(super) fn cancel_all_on(&mut self, fd: Fd) {
        let all = CancelBuilder::fd(fd).all();
        let cancel = opcode::AsyncCancel2::new(all).build();
        self.push(cancel.user_data(NOBODY));
    }

    /// An operation that is under way.
    pub(super) fn get(&self, id: Id) -> Option<&O> {
        self.flying.get(id)
    }

    /// How many operations are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.flying.len()
    }

    /// The buffers that receives choose from, to look at what was received and to give them back.
    pub(super) fn buffers(&mut self) -> &mut Buffers {
        &mut self.buffers
    }

    /// Takes what has happened next.
    pub(super) fn next(&mut self) -> Option<Landed<O>> {
        while let Some(completion) = self.kernel.completion() {
            let id = id(completion.user_data);
            let outcome = Outcome {
                result: completion.result,
                buffer: completion.buffer(),
                is_last: completion.is_last(),
            };
            let flight = match outcome.is_last {
                true => self.flying.remove(id).map(Flight::Over),
                false => self.flying.get(id).map(|_| Flight::On(id)),
            };
            if let Some(flight) = flight {
                return Some(Landed { flight, outcome });
            }
            if let Some(buffer) = outcome.buffer {
                self.buffers.give(buffer);
            }
        }
        None
    }

    /// Hands over what was started, lets the kernel work, and waits as it is told to.
    ///
    /// # Errors
    /// If the ring cannot be used any more.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        self.push_unsent();
        while !self.unsent.is_empty() {
            // Those before must go first, without waiting.
            if let Err(error) = self.kernel.enter(true, Wait::No) {
                return self.yield_to(error, wait);
            }
            if !self.push_unsent() {
                // It took nothing: its completions come first.
                return Ok(());
            }
        }
        match self.kernel.enter(true, wait) {
            Ok(()) => Ok(()),
            Err(error) => self.yield_to(error, wait),
        }
    }

    /// Queues what had no room, as far as there is some now; whether there was.
    fn push_unsent(&mut self) -> bool {
        let before = self.unsent.len();
        while let Some(entry) = self.unsent.front() {
            // SAFETY: as for `push`.
            if !unsafe { self.kernel.push(entry) } {
                break;
            }
            self.unsent.pop_front();
        }
        self.unsent.len() < before
    }

    /// Waits on where an error only asks for patience.
    fn yield_to(&mut self, error: io::Error, wait: Wait) -> io::Result<()> {
        match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR) => Ok(()),
            // Completions must be taken first, or memory must become free.
            Some(libc::EAGAIN | libc::EBUSY) => {
                let wait = match wait {
                    Wait::No => return Ok(()),
                    Wait::For(None) => SHORTAGE,
                    Wait::For(Some(longest)) => longest.min(SHORTAGE),
                };
                match self.kernel.enter(false, Wait::For(Some(wait))) {
                    Err(error) if !is_passing(&error) => Err(error),
                    _ => Ok(()),
                }
            }
            _ => Err(error),
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: whoever starts an operation promises that its memory stays, and the ring keeps the
        // operation until it has landed; to cancel takes no memory.
        let fits = self.unsent.is_empty() && unsafe { self.kernel.push(&entry) };
        if !fits {
            self.unsent.push_back(entry);
        }
    }

    /// Ends everything that is under way; whether it is over.
    fn bring_home(&mut self) -> bool {
        for entry in mem::take(&mut self.unsent) {
            self.flying.remove(id(entry.get_user_data()));
        }
        for _ in 0..FAREWELLS {
            if self.flying.is_empty() {
                return true;
            }
            let all = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
            self.push(all.user_data(NOBODY));
            match self.enter(Wait::For(Some(FAREWELL))) {
                Ok(()) => while self.next().is_some() {},
                Err(_) => return false,
            }
        }
        self.flying.is_empty()
    }
}

impl<K: Kernel, O> Drop for Ring<K, O> {
    /// Waits until everything has landed: the kernel may write to whatever is under way. What it
    /// does not give back, in ten seconds, is never freed.
    fn drop(&mut self) {
        if !self.bring_home() {
            mem::forget(mem::take(&mut self.flying));
            self.buffers.leak();
        }
    }
}

/// The number of an operation at the kernel.
fn number(id: Id) -> u64 {
    u64::from(id.generation()) << 32 | u64::from(id.slot())
}

/// The operation of a number.
fn id(number: u64) -> Id {
    Id::from_parts(number as u32, (number >> 32) as u32)
}

/// Whether an error of a wait only asks for patience.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY)
    )
}

#[cfg(test)]
mod tests;

//! A kernel that does what a test tells it to: it keeps what was handed over, and completes it when,
//! how and as often as the test likes.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;

use io_uring::types::BufRingEntry;
use io_uring::{opcode, squeue};

use super::kernel::{Completion, Kernel, Wait};

/// More is to come of the entry (`IORING_CQE_F_MORE`).
pub(super) const MORE: u32 = 1 << 1;
/// A buffer was chosen (`IORING_CQE_F_BUFFER`); its number stands above bit 16.
const BUFFER: u32 = 1;

/// What is under way on a descriptor is cancelled (`IORING_ASYNC_CANCEL_FD`).
pub(super) const ON_FD: u32 = 1 << 1;
/// Whatever is under way is cancelled (`IORING_ASYNC_CANCEL_ANY`).
const ANY: u32 = 1 << 2;

/// An entry as the kernel reads it (`struct io_uring_sqe`).
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(super) struct Sqe {
    pub(super) opcode: u8,
    pub(super) flags: u8,
    pub(super) ioprio: u16,
    pub(super) fd: i32,
    pub(super) off: u64,
    pub(super) addr: u64,
    pub(super) len: u32,
    pub(super) op_flags: u32,
    pub(super) user_data: u64,
    pub(super) group: u16,
    personality: u16,
    file_index: u32,
    rest: [u64; 2],
}

/// The kernel's end; the test keeps a clone.
#[derive(Clone, Default)]
pub(super) struct Scripted(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    /// Entries that fit into the queue; 0 for any number.
    room: usize,
    queued: Vec<Sqe>,
    submitted: VecDeque<Sqe>,
    /// Completions that fit into their queue; 0 for any number.
    completion_room: usize,
    completions: VecDeque<Completion>,
    overflown: VecDeque<Completion>,
    entered: Vec<(bool, Wait)>,
    /// What the next calls fail by.
    failures: VecDeque<i32>,
    buffers: Option<(*mut BufRingEntry, u16)>,
    /// How many buffers were taken.
    taken: u16,
    /// What is done in every call.
    habit: Option<Habit>,
    /// Entries whose last completion was not made yet.
    open: BTreeSet<u64>,
    /// Whoever cancels everything is obeyed.
    lets_go: bool,
}

type Habit = fn(&Scripted);

impl Scripted {
    /// A kernel whose queues have so much room.
    pub(super) fn with_room(entries: usize, completions: usize) -> Self {
        let script = Scripted::default();
        script.0.borrow_mut().room = entries;
        script.0.borrow_mut().completion_room = completions;
        script
    }

    /// The next call fails.
    pub(super) fn fail(&self, errno: i32) {
        self.0.borrow_mut().failures.push_back(errno);
    }

    /// From now on every call does this.
    pub(super) fn always(&self, habit: Habit) {
        self.0.borrow_mut().habit = Some(habit);
    }

    /// When everything is cancelled, as at the end of a test, everything ends.
    pub(super) fn lets_go(&self) {
        self.0.borrow_mut().lets_go = true;
    }

    /// The calls since the last look.
    pub(super) fn entered(&self) -> Vec<(bool, Wait)> {
        std::mem::take(&mut self.0.borrow_mut().entered)
    }

    /// What was handed over and not looked at yet, the oldest first.
    pub(super) fn submitted(&self) -> Vec<Sqe> {
        self.0.borrow_mut().submitted.drain(..).collect()
    }

    /// The oldest entry of an opcode that was handed over, if any.
    pub(super) fn find(&self, opcode: u8) -> Option<Sqe> {
        let submitted = &mut self.0.borrow_mut().submitted;
        let at = submitted.iter().position(|sqe| sqe.opcode == opcode)?;
        submitted.remove(at)
    }

    /// The oldest entry of an opcode, which must have been handed over.
    pub(super) fn take(&self, opcode: u8) -> Sqe {
        let found = self.find(opcode);
        found.unwrap_or_else(|| panic!("no entry {opcode} among {:?}", self.0.borrow().submitted))
    }

    /// Completes an entry.
    pub(super) fn complete(&self, sqe: &Sqe, result: i32, flags: u32) {
        self.post(sqe.user_data, result, flags);
    }

    /// Says something of an entry, whether it was handed over or not.
    pub(super) fn post(&self, user_data: u64, result: i32, flags: u32) {
        let state = &mut *self.0.borrow_mut();
        if flags & MORE == 0 {
            state.open.remove(&user_data);
        }
        let full = state.completion_room > 0 && state.completions.len() >= state.completion_room;
        let queue = match full {
            true => &mut state.overflown,
            false => &mut state.completions,
        };
        queue.push_back(Completion {
            user_data,
            result,
            flags,
        });
    }

    /// Receives into the next buffer, as far as it and the entry allow; how many bytes that was.
    /// Without a buffer the entry ends by ENOBUFS.
    pub(super) fn receive(&self, sqe: &Sqe, bytes: &[u8], flags: u32) -> usize {
        let Some((number, at, size)) = self.take_buffer() else {
            self.complete(sqe, -libc::ENOBUFS, 0);
            return 0;
        };
        let most = match sqe.len {
            0 => size,
            len => size.min(len as usize),
        };
        let len = bytes.len().min(most);
        // SAFETY: the ring says that the buffer is ours and as long as that.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at, len) };
        self.complete(sqe, len as i32, flags | BUFFER | u32::from(number) << 16);
        len
    }

    /// Takes a buffer as the kernel does: its number, address and size.
    pub(super) fn take_buffer(&self) -> Option<(u16, *mut u8, usize)> {
        let state = &mut *self.0.borrow_mut();
        let (ring, count) = state.buffers?;
        // SAFETY: the ring was promised to stay; its first entry holds the tail.
        let tail = unsafe { *BufRingEntry::tail(ring) };
        if tail == state.taken {
            return None;
        }
        let place = usize::from(state.taken & (count - 1));
        state.taken = state.taken.wrapping_add(1);
        // SAFETY: there are `count` entries.
        let entry = unsafe { &*ring.add(place) };
        Some((entry.bid(), entry.addr() as *mut u8, entry.len() as usize))
    }

    /// How many buffers are there to be taken.
    pub(super) fn buffers_left(&self) -> usize {
        let state = self.0.borrow();
        let (ring, _) = state.buffers.expect("buffers were provided");
        // SAFETY: as above.
        let tail = unsafe { *BufRingEntry::tail(ring) };
        usize::from(tail.wrapping_sub(state.taken))
    }
}

impl State {
    fn submit(&mut self) {
        for sqe in self.queued.drain(..) {
            let is_end = sqe.opcode == opcode::AsyncCancel::CODE && sqe.op_flags & ANY != 0;
            if self.lets_go && is_end {
                for user_data in std::mem::take(&mut self.open) {
                    self.completions.push_back(Completion {
                        user_data,
                        result: -libc::ECANCELED,
                        flags: 0,
                    });
                }
            }
            self.open.insert(sqe.user_data);
            self.submitted.push_back(sqe);
        }
    }
}

impl Kernel for Scripted {
    unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        let state = &mut *self.0.borrow_mut();
        if state.room > 0 && state.queued.len() >= state.room {
            return false;
        }
        const { assert!(size_of::<Sqe>() == size_of::<squeue::Entry>()) };
        // SAFETY: an entry is the kernel's own structure, of integers alone.
        state
            .queued
            .push(unsafe { std::mem::transmute_copy(entry) });
        true
    }

    fn enter(&mut self, submit: bool, wait: Wait) -> io::Result<()> {
        let habit = {
            let state = &mut *self.0.borrow_mut();
            state.entered.push((submit, wait));
            if let Some(errno) = state.failures.pop_front() {
                return Err(io::Error::from_raw_os_error(errno));
            }
            if submit {
                state.submit();
            }
            let room = match state.completion_room {
                0 => usize::MAX,
                most => most.saturating_sub(state.completions.len()),
            };
            let late = state.overflown.len().min(room);
            state.completions.extend(state.overflown.drain(..late));
            state.habit
        };
        if let Some(habit) = habit {
            habit(self);
        }
        Ok(())
    }

    fn completion(&mut self) -> Option<Completion> {
        self.0.borrow_mut().completions.pop_front()
    }

    unsafe fn provide(&mut self, ring: *mut BufRingEntry, buffers: u16) -> io::Result<()> {
        self.0.borrow_mut().buffers = Some((ring, buffers));
        Ok(())
    }
}

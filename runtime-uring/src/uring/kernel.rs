//! What a ring needs of the kernel: a queue of entries to it, a queue of completions from it, and one
//! call that turns both. Behind a trait, so that tests can play the kernel at its worst.

use std::io;
use std::time::Duration;

use io_uring::types::{BufRingEntry, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, cqueue, squeue};

/// The number of the one group of buffers that receives choose from.
pub(super) const BUFFER_GROUP: u16 = 0;

/// Whether a call to the kernel waits for a completion where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// It lets the kernel work and comes back.
    No,
    /// It waits, no longer than this.
    For(Option<Duration>),
}

/// The kernel's end of a ring.
pub(super) trait Kernel {
    /// Queues an entry; `false` where the queue is full.
    ///
    /// # Safety
    /// What the entry points at stays where it is, and nobody else touches it, until the last
    /// completion of the entry was taken.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> bool;

    /// Hands over what is queued, unless `submit` is false; lets the kernel work on everything that
    /// is under way, and waits.
    ///
    /// # Errors
    /// `ETIME` and `EINTR` after a wait that was in vain, `EAGAIN` and `EBUSY` where completions
    /// have to be taken before more can be handed over; all others are final.
    fn enter(&mut self, submit: bool, wait: Wait) -> io::Result<()>;

    /// Takes the oldest completion.
    fn completion(&mut self) -> Option<Completion>;

    /// Makes the ring of buffers known as [`BUFFER_GROUP`].
    ///
    /// # Safety
    /// `ring` points at as many entries as there are `buffers` (a power of two), at the beginning
    /// of a page; they and what they point at stay until the kernel's end is dropped.
    unsafe fn provide(&mut self, ring: *mut BufRingEntry, buffers: u16) -> io::Result<()>;
}

/// What the kernel says of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// The entry's own number.
    pub(super) user_data: u64,
    /// What the system call would have returned, or a negative `errno`.
    pub(super) result: i32,
    pub(super) flags: u32,
}

impl Completion {
    /// Whether nothing more comes of the entry.
    pub(super) fn is_last(self) -> bool {
        !cqueue::more(self.flags)
    }

    /// The buffer that was chosen.
    pub(super) fn buffer(self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// A ring of Linux.
pub(super) struct Linux(IoUring);

impl Linux {
    /// Makes a ring, and the calling thread the only one that may use it.
    pub(super) fn new(entries: u32) -> io::Result<Self> {
        let mut builder = IoUring::builder();
        // Completions are made in our own calls, not whenever the kernel likes: in large batches
        // and while their data is in this processor's cache.
        builder.setup_single_issuer();
        builder.setup_defer_taskrun();
        builder.setup_coop_taskrun();
        // One bad entry does not hold up those behind it.
        builder.setup_submit_all();
        // An entry may complete many times. What finds no room is kept by the kernel.
        builder.setup_cqsize(entries.saturating_mul(4));
        Ok(Linux(builder.build(entries)?))
    }
}

impl Kernel for Linux {
    unsafe fn push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: the caller keeps what the entry points at.
        unsafe { self.0.submission().push(entry) }.is_ok()
    }

    fn enter(&mut self, submit: bool, wait: Wait) -> io::Result<()> {
        let queued = match submit {
            true => self.0.submission().len() as u32,
            false => 0,
        };
        let mut flags = EnterFlags::GETEVENTS;
        let timeout;
        let mut args = SubmitArgs::new();
        let least = match wait {
            Wait::No => 0,
            Wait::For(None) => 1,
            Wait::For(Some(longest)) => {
                timeout = Timespec::from(longest);
                args = args.timespec(&timeout);
                flags |= EnterFlags::EXT_ARG;
                1
            }
        };
        let args = flags.contains(EnterFlags::EXT_ARG).then_some(&args);
        // SAFETY: the arguments are those that the flag announces, and they live through the call;
        // no more entries are handed over than were queued.
        unsafe { self.0.submitter().enter(queued, least, flags.bits(), args) }.map(drop)
    }

    fn completion(&mut self) -> Option<Completion> {
        let entry = self.0.completion().next()?;
        Some(Completion {
            user_data: entry.user_data(),
            result: entry.result(),
            flags: entry.flags(),
        })
    }

    unsafe fn provide(&mut self, ring: *mut BufRingEntry, buffers: u16) -> io::Result<()> {
        let submitter = self.0.submitter();
        // SAFETY: the caller keeps the ring and its buffers.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, buffers, BUFFER_GROUP, 0) }
    }
}

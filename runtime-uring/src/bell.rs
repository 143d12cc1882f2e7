//! What wakes the loop: one eventfd for everything that finishes elsewhere.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Makes a waiting host call its `control` and take a turn. Cheap to clone; may be used from any
/// thread and inside a signal handler: it does one atomic swap and at most one `write`.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Bell>);

#[derive(Debug)]
struct Bell {
    /// A non-blocking eventfd.
    eventfd: File,
    /// Rung and not yet heard; saves the system calls of further rings.
    rung: AtomicBool,
}

impl Waker {
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointers; its result is checked before it is used.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new, valid and owned by nobody else.
        let eventfd = unsafe { File::from_raw_fd(fd) };
        let rung = AtomicBool::new(false);
        Ok(Waker(Arc::new(Bell { eventfd, rung })))
    }

    /// Wakes the host. Calls before it has woken up count as one.
    pub fn wake(&self) {
        if !self.0.rung.swap(true, Ordering::AcqRel) {
            // It fails only where the counter is at its limit, and then the host is awake already.
            let _ = (&self.0.eventfd).write(&1u64.to_ne_bytes());
        }
    }
}

/// The host's end of the bell, readable once it was rung.
pub(crate) struct Ear(pub(crate) Waker);

impl Ear {
    /// Forgets the rings so far. What they announced must be looked for after this call.
    pub(crate) fn hear(&self) {
        let bell = &*self.0.0;
        let mut count = [0; 8];
        let _ = (&bell.eventfd).read(&mut count);
        // A swap, not a store: what whoever rang had done before is then seen after this.
        bell.rung.swap(false, Ordering::AcqRel);
    }

    /// Whether it was rung since the last call, of which the eventfd keeps a count that nobody
    /// needs. What was announced must be looked for after this call.
    pub(crate) fn was_rung(&self) -> bool {
        self.0.0.rung.swap(false, Ordering::AcqRel)
    }
}

impl AsRawFd for Ear {
    fn as_raw_fd(&self) -> RawFd {
        self.0.0.eventfd.as_raw_fd()
    }
}

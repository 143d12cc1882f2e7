//! One sync of a whole file system in place of one of each file.
//!
//! On a file system with a journal each sync of a file that has grown waits for a commit: thousands of
//! small files take minutes where one `syncfs` takes a second, most of it spent by threads of the
//! kernel that write side by side. It also waits for what others have written there; so a few files
//! are synced one by one.
//!
//! What could not be written back is told to every descriptor that was open before, once. Whoever
//! asks has held a folder of the file system open since before the first write, so that no failure of
//! ours goes unheard. A failure may be somebody else's: before the first answer, when it may also be
//! of long ago, each file is asked by itself; after that nobody can tell, and it counts as ours.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{fstatfs, syncfs};
use rustix::io::Errno;

use super::looks::{Device, Looks};
use crate::release;

/// From how many files and folders on one sync of all is asked for.
pub(super) const MANY: usize = 32;

/// The kernel from which on `syncfs` tells that something could not be written back.
const TELLS_FAILURES: (u32, u32) = (5, 8);

/// As the kernel's `magic.h` has them.
const EXT4: i64 = 0xef53;
const XFS: i64 = 0x5846_5342;
const BTRFS: i64 = 0x9123_683e;
const F2FS: i64 = 0xf2f5_2010;
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;

/// What came of a sync of the file system that a storage lies on.
#[derive(Debug)]
pub(super) enum Answer {
    /// All that was written to this one before is durable.
    Durable(Device),
    /// Nothing is known; the files are to be synced one by one.
    Unknown,
    /// Something could not be written back.
    Lost(io::Error),
}

/// What the file system of a storage has said so far.
#[derive(Debug, Default)]
pub(super) struct System {
    /// It has told of what had happened until then, good or bad.
    has_answered: AtomicBool,
}

impl System {
    /// Syncs the file system of `folder`, if its word can be relied on.
    pub(super) fn sync(&self, folder: BorrowedFd<'_>) -> Answer {
        let Some(device) = reliable(folder) else {
            return Answer::Unknown;
        };
        self.heard(device, syncfs(folder))
    }

    fn heard(&self, device: Device, answer: Result<(), Errno>) -> Answer {
        // A sandbox that does not know the call.
        if let Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) = answer {
            return Answer::Unknown;
        }
        let has_answered = self.has_answered.swap(true, Ordering::Relaxed);
        match answer {
            Ok(()) => Answer::Durable(device),
            Err(error) if has_answered => Answer::Lost(error.into()),
            Err(_) => Answer::Unknown,
        }
    }
}

/// The file system of a folder, if it is known that a sync of it makes everything durable and tells
/// what it could not. Those over a network or another file system, or in a process, are not.
fn reliable(folder: BorrowedFd<'_>) -> Option<Device> {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let tells = *TELLS.get_or_init(|| release::is_at_least(TELLS_FAILURES));
    let is_known = matches!(kind(folder)?, EXT4 | XFS | BTRFS | F2FS | TMPFS);
    let device = || Some(Looks::at(folder, ".").ok()?.device());
    (tells && is_known).then(device)?
}

/// Whether a file lies in memory alone. On tmpfs a read that must not wait is refused, although
/// none waits.
pub(super) fn is_in_memory(file: impl AsFd) -> bool {
    matches!(kind(file), Some(TMPFS | RAMFS))
}

/// The type of a file system.
fn kind(file: impl AsFd) -> Option<i64> {
    #[expect(
        clippy::useless_conversion,
        reason = "the type differs between architectures"
    )]
    let kind = i64::try_from(fstatfs(file).ok()?.f_type).ok()?;
    // Where it has 32 bits, the highest of them is no sign.
    Some(kind & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::super::paths::open_folder;
    use super::*;

    const DEVICE: Device = (8, 1);

    /// The first failure may be of long ago and somebody else's; one after an answer is not.
    #[test]
    fn a_failure_since_the_last_answer_counts() {
        for first in [Ok(()), Err(Errno::IO)] {
            let system = System::default();
            let answer = system.heard(DEVICE, first);
            match first {
                Ok(()) => assert!(matches!(answer, Answer::Durable(DEVICE))),
                Err(_) => assert!(matches!(answer, Answer::Unknown)),
            }
            for failure in [Errno::IO, Errno::NOSPC, Errno::DQUOT] {
                let Answer::Lost(error) = system.heard(DEVICE, Err(failure)) else {
                    panic!("{failure} was lost");
                };
                assert_eq!(error.raw_os_error(), Some(failure.raw_os_error()));
            }
        }
    }

    /// A call that was not let through has told nothing.
    #[test]
    fn a_refused_call_is_no_answer() {
        let system = System::default();
        for refusal in [Errno::NOSYS, Errno::PERM, Errno::ACCESS] {
            let answer = system.heard(DEVICE, Err(refusal));
            assert!(matches!(answer, Answer::Unknown));
        }
        let answer = system.heard(DEVICE, Err(Errno::IO));
        assert!(matches!(answer, Answer::Unknown), "the first answer");
    }

    /// What is not known to keep its word is not asked.
    #[test]
    fn what_is_no_file_system_of_files_is_not_asked() {
        let proc = open_folder("/proc".as_ref()).unwrap();
        assert!(matches!(
            System::default().sync(proc.as_fd()),
            Answer::Unknown
        ));
    }
}

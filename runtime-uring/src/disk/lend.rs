//! What is to be sent and lies in the page cache is not read: it is lent, as a part of a mapping of its
//! file, and the kernel copies it once, from there to the socket.
//!
//! Nothing here may wait, so only what is in the page cache is lent. When it is sent it mostly still
//! is; where the system took it back in between, the send waits for the disk. A file that is cut short
//! in between makes the send fail.
//!
//! Invariant: all mappings that there are stand in [`Windows`], [`WINDOWS_MAX`] at most, and one of which
//! something is lent stays. This process never touches what is mapped: a file may change, or end, at
//! any time.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Mutex, Weak};

use ripcurrent_proto::api::FileSpan;
use ripcurrent_proto::base::slab::{PAGE, Slab};

use super::cache::{Open, OpenFiles};
use super::storage::{Storage, read_without_waiting};
use crate::pool::lock;

/// How much of a file is mapped at once, in bytes: a mapping costs as much as a few copies of 64 KiB,
/// and who asks for a part of a piece asks for the next one soon.
const WINDOW: u64 = 1 << 20;

/// The most mappings. What was sent from one counts as memory of this process until it is gone; where
/// there is no room for another one, bytes are read as ever.
const WINDOWS_MAX: usize = 32;

/// What all mappings may count for, in bytes: each begins and ends in the middle of a page.
pub(crate) const MAPPED_BYTES: usize = WINDOWS_MAX * (WINDOW as usize + 2 * PAGE);

/// A part of a mapping, in place of the bytes of a slab.
pub(crate) struct Lent {
    window: Arc<Window>,
    /// Where in the mapping it begins, and how long it is.
    from: usize,
    len: usize,
}

impl Lent {
    /// What the slab was filled with, if that is lent.
    pub(crate) fn of(slab: &Slab) -> Option<&Lent> {
        slab.loan()?.downcast_ref()
    }

    /// Where `len` of its bytes lie, from the byte `from` on.
    pub(crate) fn place(&self, from: usize, len: usize) -> *const u8 {
        assert!(from + len <= self.len, "no more is lent than that");
        self.window.memory.as_ptr().wrapping_add(self.from + from)
    }
}

/// A mapped part of a file.
struct Window {
    memory: NonNull<u8>,
    len: usize,
    /// Its first byte in the file; a page begins there.
    offset: u64,
}

// SAFETY: it is an address that nobody reads or writes through; to unmap it takes no thread of its
// own.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// Maps the file from the page of `offset` on.
    fn new(file: &File, offset: u64, len: usize) -> io::Result<Self> {
        let at = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        let (protection, flags) = (libc::PROT_READ, libc::MAP_SHARED);
        // SAFETY: a new mapping anywhere takes nothing from anybody; the result is checked.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                protection,
                flags,
                file.as_raw_fd(),
                at,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let memory = NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Window {
            memory,
            len,
            offset,
        })
    }

    /// Where in the mapping `len` bytes at `offset` of the file begin, if they lie in it.
    fn position(&self, offset: u64, len: usize) -> Option<usize> {
        let from = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        (from.checked_add(len)? <= self.len).then_some(from)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made; whoever was lent something of it held it.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.len) };
    }
}

/// The mappings.
#[derive(Default)]
pub(super) struct Windows {
    /// Each with the file that it is of, the one that was lent of last at the end.
    windows: Mutex<VecDeque<(Weak<Open>, Arc<Window>)>>,
}

impl Windows {
    /// `len` bytes at `offset` of a file that has `file_len`.
    fn get(&self, open: &Arc<Open>, offset: u64, len: usize, file_len: u64) -> Option<Lent> {
        let mut windows = lock(&self.windows);
        let mut known = windows.iter().enumerate();
        let found = known.find_map(|(at, (owner, window))| {
            let from = window.position(offset, len)?;
            ptr::eq(owner.as_ptr(), Arc::as_ptr(open)).then_some((at, from))
        });
        let (window, from) = match found {
            Some((at, from)) => (windows.remove(at)?.1, from),
            None => {
                make_room(&mut windows)?;
                let start = offset - offset % PAGE as u64;
                let end = file_len.min(start + WINDOW).max(offset + len as u64);
                let mapped = usize::try_from(end - start).ok()?;
                let window = Window::new(&open.file, start, mapped).ok()?;
                (Arc::new(window), (offset - start) as usize)
            }
        };
        windows.push_back((Arc::downgrade(open), Arc::clone(&window)));
        Some(Lent { window, from, len })
    }

    /// Lets go of what is mapped of files that are not open any more.
    pub(super) fn prune(&self) {
        retain_open(&mut lock(&self.windows));
    }
}

/// Sees to it that there may be one more; `None` if something is lent of each.
fn make_room(windows: &mut VecDeque<(Weak<Open>, Arc<Window>)>) -> Option<()> {
    retain_open(windows);
    if windows.len() >= WINDOWS_MAX {
        let mut idle = windows.iter();
        let oldest = idle.position(|(_, window)| Arc::strong_count(window) == 1)?;
        windows.remove(oldest);
    }
    Some(())
}

/// Lets go of what is mapped of files that are not open any more, unless it is lent.
fn retain_open(windows: &mut VecDeque<(Weak<Open>, Arc<Window>)>) {
    windows.retain(|(open, window)| open.strong_count() > 0 || Arc::strong_count(window) > 1);
}

impl Storage {
    /// Fills the slab with what is lent, if it may be and that needs no waiting: the bytes are those of
    /// one file that is open, and in the page cache. Otherwise false.
    pub(super) fn lend(&self, files: &OpenFiles, slab: &mut Slab, spans: &[FileSpan]) -> bool {
        let [
            FileSpan {
                file: Some(index),
                offset,
                len,
                ..
            },
        ] = *spans
        else {
            return false;
        };
        let (len, whole) = (u64::from(len), slab.len());
        if !slab.accepts_loan() || len != whole as u64 || len > WINDOW {
            return false;
        }
        let Some(open) = files.get((self.plan.number, index.0)) else {
            return false;
        };
        if !is_cached(&open, offset, len) {
            return false;
        }
        let file_len = self.plan.layout.files()[index.at()].len;
        match files.windows.get(&open, offset, whole, file_len) {
            Some(lent) => {
                slab.lend(Box::new(lent));
                true
            }
            None => false,
        }
    }
}

/// Whether all of it is there and in the page cache, so that nobody waits who reads it. Where the
/// system does not tell, it is not.
fn is_cached(open: &Open, offset: u64, len: u64) -> bool {
    let Some(last) = (offset + len).checked_sub(1) else {
        return false;
    };
    let first_page = offset / PAGE as u64;
    let pages = last / PAGE as u64 + 1 - first_page;
    // What is being read is in the page cache too. It comes in its order, so the last byte comes last;
    // and if the file ends before that, this is not read.
    cached_pages(&open.file, offset, len) == Some(pages)
        && read_without_waiting(open, &mut [0], last)
}

/// How many pages of a range are in the page cache (`cachestat(2)`, Linux 6.5), where the system
/// tells: of files of others it does not.
fn cached_pages(file: &File, offset: u64, len: u64) -> Option<u64> {
    /// The same number on all architectures but alpha.
    const CACHESTAT: libc::c_long = 451;
    /// As the kernel's `mman.h` has them.
    #[repr(C)]
    struct Range {
        offset: u64,
        len: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Counts {
        cached: u64,
        dirty: u64,
        writeback: u64,
        evicted: u64,
        recently_evicted: u64,
    }
    let range = Range { offset, len };
    let mut counts = Counts::default();
    let (fd, no_flags) = (file.as_raw_fd(), 0u32);
    // SAFETY: both are of the kernel's shape and live through the call, which writes to the second.
    let result =
        unsafe { libc::syscall(CACHESTAT, fd, &raw const range, &raw mut counts, no_flags) };
    (result == 0).then_some(counts.cached)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// A file of so many bytes that tell where they are, open.
    fn open(len: usize) -> Arc<Open> {
        let file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..len).map(|at| (at / 7 % 251) as u8).collect();
        file.write_all_at(&bytes, 0).unwrap();
        Arc::new(Open::new(file, false))
    }

    /// Has the kernel copy what is lent, as a socket would.
    fn send(lent: &Lent, from: usize, len: usize) -> io::Result<Vec<u8>> {
        let to = tempfile::tempfile()?;
        let place = lent.place(from, len).cast();
        // SAFETY: the kernel reads so many bytes, or fails where there are none.
        let sent = unsafe { libc::write(to.as_raw_fd(), place, len) };
        let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        let mut bytes = vec![0; sent];
        to.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    /// Wherever it lies in pages and mappings, what is lent is what the file holds there.
    #[test]
    fn what_is_lent_is_what_the_file_holds() {
        let len = 3 * WINDOW as usize + 5;
        let (open, windows) = (open(len), Windows::default());
        let mut whole = vec![0; len];
        open.file.read_exact_at(&mut whole, 0).unwrap();
        let window = WINDOW as usize;
        let ranges = [
            (0, 1),
            (1, PAGE),
            (PAGE - 1, 2),
            (window - 3, 7),
            (window + 17, window),
            (2 * window, window + 5),
            (len - 1, 1),
            (5, 256 << 10),
        ];
        for (offset, count) in ranges {
            assert!(is_cached(&open, offset as u64, count as u64) || cannot_tell(&open));
            let lent = windows.get(&open, offset as u64, count, len as u64);
            let lent = lent.expect("a file can be mapped");
            assert!(send(&lent, 0, count).unwrap() == whole[offset..offset + count]);
            let half = count / 2;
            assert!(
                send(&lent, half, count - half).unwrap() == whole[offset + half..offset + count]
            );
        }
    }

    fn cannot_tell(open: &Open) -> bool {
        cached_pages(&open.file, 0, 1).is_none()
    }

    /// Chunks of a piece share a mapping; there are so many and no more, of open files or lent; and what
    /// is lent stays where it is, whatever becomes of the file.
    #[test]
    fn mappings_are_few() {
        let len = 64 << 20;
        let (large, small, windows) = (open(len), open(100), Windows::default());
        let lend = |offset: u64| windows.get(&large, offset, 1000, len as u64);
        let count = || lock(&windows.windows).len();
        let (first, second) = (lend(0).unwrap(), lend(200_000).unwrap());
        assert!(Arc::ptr_eq(&first.window, &second.window));
        drop(second);
        windows.get(&small, 0, 100, 100).unwrap();
        for piece in 1..40 {
            lend(piece << 20).unwrap();
        }
        assert_eq!(count(), WINDOWS_MAX);
        let all: Vec<Lent> = (1..WINDOWS_MAX as u64)
            .map(|piece| lend(piece << 20).unwrap())
            .collect();
        assert!(lend(50 << 20).is_none(), "something is lent of each");
        assert!(lend(5 << 20).is_some(), "there already");
        drop(all);
        windows.get(&small, 0, 100, 100).unwrap();
        let before = send(&first, 10, 20).unwrap();
        drop(large);
        windows.prune();
        assert_eq!(count(), 2, "of the small file, and what is lent");
        assert_eq!(send(&first, 10, 20).unwrap(), before);
        drop(first);
        windows.prune();
        assert_eq!(count(), 1);
    }

    /// What is not there is not lent, and what was cut off since fails when it is sent.
    #[test]
    fn a_file_cut_short_is_an_error() {
        let (open, windows) = (open(100_000), Windows::default());
        assert!(!is_cached(&open, 99_999, 2) && !is_cached(&open, 200_000, 1));
        assert!(!is_cached(&open, 0, 0));
        let lent = windows.get(&open, 0, 100_000, 100_000).unwrap();
        open.file.set_len(10_000).unwrap();
        assert!(!is_cached(&open, 0, 100_000));
        let error = send(&lent, 50_000, 1000).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
        assert!(send(&lent, 0, 100_000).unwrap().len() < 100_000);
    }
}

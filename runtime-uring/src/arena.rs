//! Memory for slabs in huge pages.
//!
//! What is received goes into slabs that were last touched a while ago, wherever they lie. In pages of
//! 4 KiB every one of them costs a fault when it is new and a walk through the page tables ever after,
//! and a direct write has to look up each. Huge pages, where the system has them, cost a five
//! hundredth of that; and the way bytes are copied counts as well (see [`copy`]).
//!
//! Invariant: every byte belongs to one extent or to the gaps. What belongs to the gaps is zero and
//! takes no memory.

mod copy;
mod gaps;

use std::fmt;
use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex};

use ripcurrent_proto::base::slab::{Memory, PAGE, Source};

use crate::pool::lock;
use gaps::Gaps;

/// A huge page, in bytes.
const HUGE: usize = 2 << 20;

/// How much is set aside for each byte that may be in use: extents of many lengths leave gaps, which
/// take room and no memory.
const ROOM: usize = 2;

/// Memory that slabs are cut from, in huge pages where the system has them. It takes as much as the
/// slabs that are there, rounded up to huge pages, and may be given to an engine by
/// [`Engine::set_slab_source`](ripcurrent_proto::engine::Engine::set_slab_source).
pub struct Arena {
    shared: Arc<Shared>,
}

struct Shared {
    start: NonNull<u8>,
    len: usize,
    gaps: Mutex<Gaps>,
}

// SAFETY: it owns its mapping, which belongs to no thread; what is changed is under a lock.
unsafe impl Send for Shared {}
// SAFETY: as above; the bytes are reached through extents, of which there is one for each byte.
unsafe impl Sync for Shared {}

impl Arena {
    /// Room for slabs of `budget` bytes in all, with the page that each takes beyond its capacity.
    ///
    /// # Errors
    /// If the system has no such range of addresses left.
    pub fn new(budget: usize) -> io::Result<Self> {
        let len = budget
            .checked_mul(ROOM)
            .and_then(|len| len.checked_next_multiple_of(HUGE))
            .ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Arena {
            shared: Arc::new(Shared {
                start: map(len)?,
                len,
                gaps: Mutex::new(Gaps::new(len)),
            }),
        })
    }
}

impl Source for Arena {
    fn allocate(&self, len: usize) -> Option<Box<dyn Memory>> {
        let len = len.checked_next_multiple_of(PAGE)?;
        let at = lock(&self.shared.gaps).take(len)?;
        Some(Box::new(Extent {
            shared: Arc::clone(&self.shared),
            at,
            len,
        }))
    }
}

impl fmt::Debug for Arena {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arena({})", self.shared.len)
    }
}

/// A part of an arena, in whole pages.
struct Extent {
    shared: Arc<Shared>,
    at: usize,
    len: usize,
}

impl Extent {
    fn start(&self) -> *mut u8 {
        // SAFETY: an extent lies in the mapping.
        unsafe { self.shared.start.add(self.at).as_ptr() }
    }
}

impl Memory for Extent {
    fn bytes(&self) -> &[u8] {
        // SAFETY: they lie in the mapping, which began as zeros, and are this extent's alone.
        unsafe { slice::from_raw_parts(self.start(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: they lie in the mapping, which began as zeros, and are this extent's alone.
        unsafe { slice::from_raw_parts_mut(self.start(), self.len) }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        copy::copy(&mut self.bytes_mut()[at..at + bytes.len()], bytes);
    }
}

impl Drop for Extent {
    fn drop(&mut self) {
        // SAFETY: these pages are this extent's alone, and nothing borrows of them any more; they are
        // zero from now on. On anonymous memory that is not locked it cannot fail.
        let result = unsafe { libc::madvise(self.start().cast(), self.len, libc::MADV_DONTNEED) };
        if result != 0 {
            self.bytes_mut().fill(0);
        }
        lock(&self.shared.gaps).give(self.at, self.len);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `map` made; extents, which borrow of it, hold it.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// `len` bytes of zeros, whole huge pages, which take memory only once they are touched.
fn map(len: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let longer = len.checked_add(HUGE).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: a new mapping anywhere takes nothing from anybody; the result is checked.
    let mapped = unsafe { libc::mmap(ptr::null_mut(), longer, protection, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let mapped: NonNull<u8> = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
    let before = mapped.as_ptr().align_offset(HUGE);
    // SAFETY: `before` is less than the huge page by which the mapping is longer than asked for. What
    // lies before and behind the `len` bytes is given back: whole pages, that nobody knows of. The
    // advice changes no content; where there are no huge pages, small ones do.
    unsafe {
        let start = mapped.add(before);
        if before > 0 {
            libc::munmap(mapped.as_ptr().cast(), before);
        }
        let behind = HUGE - before;
        if behind > 0 {
            libc::munmap(start.add(len).as_ptr().cast(), behind);
        }
        libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE);
        Ok(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken is zero, aligned to pages and nobody else's; what was given back is zero again.
    #[test]
    fn extents_are_apart_and_begin_as_zeros() {
        let arena = Arena::new(4 << 20).unwrap();
        for _ in 0..3 {
            let mut extents: Vec<_> = [1, PAGE, 70_000, 1 << 20, (2 << 20) + 1]
                .map(|len| (len, arena.allocate(len).unwrap()))
                .into();
            for (number, (len, extent)) in (1..).zip(&mut extents) {
                assert!(extent.bytes().len() >= *len);
                assert_eq!(extent.bytes().as_ptr().align_offset(PAGE), 0);
                assert!(extent.bytes().iter().all(|byte| *byte == 0), "{len}");
                extent.bytes_mut().fill(number);
            }
            for (number, (_, extent)) in (1..).zip(&extents) {
                assert!(extent.bytes().iter().all(|byte| *byte == number));
            }
            // In another order than they were taken.
            extents.swap(0, 3);
        }
        let all = arena.allocate(8 << 20);
        assert!(all.is_some(), "all came back, and the gaps became one");
        assert!(arena.allocate(1).is_none());
    }

    /// An extent lives on without its arena.
    #[test]
    fn the_mapping_outlives_its_arena() {
        let arena = Arena::new(1 << 20).unwrap();
        let mut extent = arena.allocate(10_000).unwrap();
        drop(arena);
        extent.put(5, b"still here");
        assert_eq!(&extent.bytes()[5..15], b"still here");
    }

    /// What cannot be had is an error or nothing, not a panic.
    #[test]
    fn too_much_is_refused() {
        assert!(Arena::new(usize::MAX).is_err());
        assert!(Arena::new(usize::MAX / 2 - HUGE).is_err());
        let arena = Arena::new(1 << 20).unwrap();
        assert!(arena.allocate(usize::MAX).is_none());
        assert!(arena.allocate(3 << 20).is_none());
    }
}

//! Memory of pages that the kernel gives: for receive buffers, and for pieces that are written with
//! direct I/O.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

/// A huge page, in bytes. Pieces in huge pages are pinned and described to the disk a page at a time.
const HUGE: usize = 2 << 20;

/// A mapping of zeroes, aligned to huge pages.
pub(crate) struct Memory {
    mapped: NonNull<u8>,
    mapped_len: usize,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its mapping, which belongs to no thread.
unsafe impl Send for Memory {}
// SAFETY: to change anything takes `&mut`, or a slab, of which there is one for each byte.
unsafe impl Sync for Memory {}

impl Memory {
    /// `len` bytes, each page of which is there already.
    pub(crate) fn new(len: usize, huge: bool) -> io::Result<Memory> {
        let mapped_len = len + HUGE;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping anywhere takes nothing from anybody; the result is checked.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), mapped_len, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapped: NonNull<u8> = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let skip = mapped.as_ptr().align_offset(HUGE);
        // SAFETY: `skip` is less than the page by which the mapping is longer than asked for.
        let start = unsafe { mapped.add(skip) };
        let advice = match huge {
            true => libc::MADV_HUGEPAGE,
            false => libc::MADV_NOHUGEPAGE,
        };
        // SAFETY: the range lies in the mapping, and the advice changes no content. Where huge pages
        // are not to be had, small ones do.
        unsafe { libc::madvise(start.as_ptr().cast(), len, advice) };
        let mut memory = Memory {
            mapped,
            mapped_len,
            start,
            len,
        };
        memory.range(0, len).fill(0);
        Ok(memory)
    }

    /// Where it starts.
    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// A part of it. What the kernel may write to at the moment must not be asked for.
    pub(crate) fn range(&mut self, from: usize, len: usize) -> &mut [u8] {
        assert!(from <= self.len && len <= self.len - from, "{from}, {len}");
        // SAFETY: the range lies in the mapping, which was made of zeroes; `&mut self` is held as
        // long as the result.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr().add(from), len) }
    }
}

/// Room for one piece. Each is there once: who has it may read and write it.
pub(crate) struct Slab {
    /// Its place among the slabs.
    pub(crate) number: usize,
    start: NonNull<u8>,
    len: usize,
    _memory: Arc<Memory>,
}

// SAFETY: no two slabs share a byte, and their memory belongs to no thread.
unsafe impl Send for Slab {}

impl Slab {
    /// `count` slabs of `len` bytes, whole pages, in a row.
    pub(crate) fn all(count: usize, len: usize, huge: bool) -> io::Result<Vec<Slab>> {
        let memory = Arc::new(Memory::new(count * len, huge)?);
        let slab = |number: usize| Slab {
            number,
            // SAFETY: there are `count` times `len` bytes.
            start: unsafe { memory.start.add(number * len) },
            len,
            _memory: Arc::clone(&memory),
        };
        Ok((0..count).map(slab).collect())
    }

    /// Its bytes.
    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: they lie in the mapping, were made of zeroes, and are this slab's alone.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    /// Its bytes.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: they lie in the mapping, were made of zeroes, and are this slab's alone.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this is the mapping that `new` made; nothing borrows of it any more.
        unsafe { libc::munmap(self.mapped.as_ptr().cast(), self.mapped_len) };
    }
}

/// The most memory that this process has had, in bytes.
pub(crate) fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

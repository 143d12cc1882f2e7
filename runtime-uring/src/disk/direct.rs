//! Writes past the page cache, from the slab to the disk.
//!
//! They take whole pages, which must lie in memory as in the file: slabs are shifted for that. A
//! page that two pieces share is only ever written through the page cache, and so is the last part
//! of a page of a file.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use ripcurrent_proto::base::slab::PAGE;
use rustix::fs::{AtFlags, StatxFlags, statx};

use super::paths::{Mode, open_file};

/// The least that is worth a write of its own, in bytes. Half of it costs a thread more than the page
/// cache does (measured: see the module `disk`).
pub(super) const LEAST: usize = 128 << 10;

/// The least length of a file, in bytes, that is worth a second descriptor, and blocks allocated before
/// they are written. To make and write a file of 1 to 200 KiB took two thirds of the processor time
/// through the page cache, and a twentieth of the time (ext4, one thread, one write for each).
pub(super) const LEAST_FILE: u64 = 1 << 20;

/// The largest unit, in bytes, that a file system may want to be written at once.
const COARSEST: u64 = 64 << 10;

/// A second descriptor of a file, whose writes pass the page cache by.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) file: File,
    alignment: Alignment,
}

/// What the file system demands of direct writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Alignment {
    /// Of memory, in bytes: at most a page.
    memory: usize,
    /// Of places in the file, in bytes: at least a page.
    offset: u64,
}

impl Direct {
    /// Opens `name` in `folder` again, which is `file`; `None` where its file system offers no
    /// direct writes, or whatever else is in the way: it is for speed alone.
    pub(super) fn of(file: &File, folder: BorrowedFd<'_>, name: &str) -> Option<Self> {
        let alignment = Alignment::of(file)?;
        let direct = open_file(folder, name, Mode::Direct).ok()?;
        is_same(file, &direct).ok()?.then_some(Direct {
            file: direct,
            alignment,
        })
    }

    /// The part of `len` bytes at `offset` of the file and at `address` of memory that is worth a
    /// direct write, counted from their first byte.
    pub(super) fn interior(&self, address: usize, offset: u64, len: usize) -> Option<Range<usize>> {
        self.alignment.interior(address, offset, len)
    }

    /// Whether a direct write may go on at `offset`.
    pub(super) fn may_go_on(&self, offset: u64) -> bool {
        offset.is_multiple_of(self.alignment.offset)
    }
}

impl Alignment {
    fn of(file: &File) -> Option<Self> {
        let known = statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN).ok()?;
        let told = StatxFlags::from_bits_retain(known.stx_mask).contains(StatxFlags::DIOALIGN);
        let (memory, offset) = (known.stx_dio_mem_align, known.stx_dio_offset_align);
        Alignment::new(memory, offset).filter(|_| told)
    }

    /// Zeros say that there are no direct writes.
    fn new(memory: u32, offset: u32) -> Option<Self> {
        let (memory, offset) = (memory as usize, u64::from(offset));
        let can_be = memory.is_power_of_two() && offset.is_power_of_two();
        (can_be && memory <= PAGE && offset <= COARSEST).then_some(Alignment {
            memory,
            // Less would be allowed, and have the file system take care that nobody writes to the
            // rest of a page at the same time.
            offset: offset.max(PAGE as u64),
        })
    }

    fn interior(self, address: usize, offset: u64, len: usize) -> Option<Range<usize>> {
        let start = offset.checked_next_multiple_of(self.offset)?;
        let end = offset.checked_add(len as u64)? / self.offset * self.offset;
        let whole = end.checked_sub(start)?;
        let from = (start - offset) as usize;
        let fits = (address + from).is_multiple_of(self.memory);
        (fits && whole >= LEAST as u64).then(|| from..from + whole as usize)
    }
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: Alignment = Alignment {
        memory: 512,
        offset: 4096,
    };
    const MIB: usize = 1 << 20;

    /// Only whole pages go directly: of a piece that begins and ends inside of pages, both edges
    /// stay behind, and the page of each with them.
    #[test]
    fn the_interior_is_whole_pages() {
        let interior = |offset, len| PAGES.interior(offset as usize, offset, len);
        assert_eq!(interior(0, MIB), Some(0..MIB));
        assert_eq!(interior(4096, MIB + 1), Some(0..MIB));
        assert_eq!(interior(4097, MIB), Some(4095..MIB - 1));
        assert_eq!(interior(1, MIB), Some(4095..MIB - 1));
    }

    /// What is too small is not worth it, and never more than there is.
    #[test]
    fn little_goes_through_the_page_cache() {
        let interior = |offset, len| PAGES.interior(offset as usize, offset, len);
        assert_eq!(interior(0, LEAST), Some(0..LEAST));
        assert_eq!(interior(0, LEAST - 1), None);
        assert_eq!(interior(1, LEAST), None);
        for len in [0, 1, 4095, 4096] {
            assert_eq!(interior(4095, len), None);
        }
        assert_eq!(interior(u64::MAX - 10, MIB), None);
    }

    /// Memory that lies otherwise than the file cannot be written directly, as far as the device
    /// minds.
    #[test]
    fn memory_must_lie_as_the_file_does() {
        assert_eq!(PAGES.interior(1, 0, MIB), None);
        assert_eq!(PAGES.interior(512, 0, MIB), Some(0..MIB));
        assert_eq!(PAGES.interior(512 + 1, 1, MIB), Some(4095..MIB - 1));
    }

    /// No less than a page is aligned to, and what no slab can be aligned to is not offered.
    #[test]
    fn demands_that_cannot_be_met_are_none() {
        let offset = |offset| Some(Alignment { memory: 4, offset });
        assert_eq!(Alignment::new(4, 512), offset(4096));
        assert_eq!(Alignment::new(4, 16384), offset(16384));
        for (memory, offset) in [(0, 0), (8192, 4096), (4, 1 << 20), (3, 512)] {
            assert_eq!(Alignment::new(memory, offset), None);
        }
        let coarse = Alignment::new(4, 16384).unwrap();
        assert_eq!(coarse.interior(4096, 4096, MIB), Some(12288..MIB - 4096));
    }
}

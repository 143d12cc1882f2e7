//! The buffers that all connections receive into: the kernel takes one when there is something to put
//! into it, so that a connection which brings nothing holds none.
//!
//! Invariant: a buffer belongs to the kernel, except from the completion that names it until it is
//! given back.

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;

use super::kernel::Kernel;

/// How many buffers there are, and how large each is in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// A power of two, 32,768 at most.
    pub(crate) count: u16,
    /// Whole pages.
    pub(crate) size: u32,
}

impl Shape {
    /// The memory of all buffers, in bytes.
    pub(crate) const fn bytes(self) -> usize {
        self.count as usize * self.size as usize
    }

    /// Where the buffers begin, in bytes: behind the ring that tells the kernel of them.
    const fn data(self) -> usize {
        (self.count as usize * size_of::<BufRingEntry>()).next_multiple_of(PAGE)
    }
}

const PAGE: usize = 4096;

/// See the documentation of the module.
pub(super) struct Buffers {
    /// One mapping: the ring, then the buffers.
    memory: NonNull<u8>,
    shape: Shape,
    /// How many times a buffer was given to the kernel, modulo 2^16.
    tail: u16,
    /// The kernel may still write here: the memory is never freed.
    leaked: bool,
}

impl Buffers {
    /// Makes the buffers and gives all of them to `kernel`. They must live until it is dropped.
    pub(super) fn new(kernel: &mut impl Kernel, shape: Shape) -> io::Result<Self> {
        assert!(shape.count.is_power_of_two(), "as the kernel wants it");
        let memory = map(shape.data() + shape.bytes())?;
        let mut buffers = Buffers {
            memory,
            shape,
            tail: 0,
            leaked: false,
        };
        for number in 0..shape.count {
            buffers.give(number);
        }
        // SAFETY: the mapping begins with so many entries, and lives until after the kernel's end,
        // as the caller promises.
        unsafe { kernel.provide(buffers.ring(), shape.count) }?;
        Ok(buffers)
    }

    /// How large one buffer is, in bytes.
    pub(super) fn size(&self) -> usize {
        self.shape.size as usize
    }

    /// How much all buffers hold, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.shape.bytes()
    }

    /// The first `len` bytes of a buffer that the kernel has filled and that was not given back.
    pub(super) fn filled(&mut self, number: u16, len: usize) -> &mut [u8] {
        assert!(len <= self.size(), "no buffer holds {len} bytes");
        // SAFETY: the address lies in the mapping, which was made of zeroes and holds so many bytes
        // from there on; the kernel does not touch it until it is given back, which takes `&mut`.
        unsafe { slice::from_raw_parts_mut(self.data(number), len) }
    }

    /// Gives a buffer to the kernel.
    pub(super) fn give(&mut self, number: u16) {
        let place = self.tail & (self.shape.count - 1);
        let data = self.data(number);
        // SAFETY: there are `count` entries, and the kernel reads none of those beyond the tail.
        let entry = unsafe { &mut *self.ring().add(usize::from(place)) };
        entry.set_addr(data as u64);
        entry.set_len(self.shape.size);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry, which is there, aligned as a `u16`; the kernel
        // reads it while we write, so both do so as a whole.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// Keeps the memory for ever.
    pub(super) fn leak(&mut self) {
        self.leaked = true;
    }

    fn ring(&self) -> *mut BufRingEntry {
        self.memory.as_ptr().cast()
    }

    fn data(&self, number: u16) -> *mut u8 {
        assert!(number < self.shape.count, "there is no buffer {number}");
        let offset = self.shape.data() + usize::from(number) * self.size();
        // SAFETY: that is within the mapping.
        unsafe { self.memory.as_ptr().add(offset) }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if self.leaked {
            return;
        }
        let len = self.shape.data() + self.shape.bytes();
        // SAFETY: this is the mapping that `map` made; nothing borrows of it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), len) };
    }
}

/// Pages of zeroes, which take memory only once they are touched.
fn map(len: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping anywhere takes nothing from anybody; the result is checked.
    let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

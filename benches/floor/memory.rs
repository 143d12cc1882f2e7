//! Memory from the client's own arena: for receive buffers, and for pieces that are written with
//! direct I/O.

use std::io;

use ripcurrent_proto::base::slab::{Memory, Source as _};
use ripcurrent_runtime_uring::Arena;

/// So many pieces of memory of `len` bytes each, whole pages, each of which is there already.
pub(crate) fn all(count: usize, len: usize) -> io::Result<Vec<Box<dyn Memory>>> {
    let arena = Arena::new(count * len)?;
    let all = (0..count).map(|_| {
        let mut memory = arena.allocate(len).ok_or(io::ErrorKind::OutOfMemory)?;
        memory.bytes_mut().fill(0);
        Ok(memory)
    });
    all.collect()
}

/// One of `len` bytes.
pub(crate) fn one(len: usize) -> io::Result<Box<dyn Memory>> {
    Ok(all(1, len)?.remove(0))
}

/// Room for one piece.
pub(crate) struct Slab {
    /// Its place among the slabs.
    pub(crate) number: usize,
    pub(crate) memory: Box<dyn Memory>,
}

impl Slab {
    /// `count` slabs of `len` bytes, whole pages.
    pub(crate) fn all(count: usize, len: usize) -> io::Result<Vec<Slab>> {
        let memory = all(count, len)?.into_iter().enumerate();
        Ok(memory
            .map(|(number, memory)| Slab { number, memory })
            .collect())
    }
}

/// The most memory that this process has had, in bytes.
pub(crate) fn peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

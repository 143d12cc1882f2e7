//! Bytes that travel together.
//!
//! In a [compact](crate::content) world next to all of them are zeros: what is more is kept, and laid
//! into a buffer of zeros for the moment in which a machine reads it. So a block costs its header
//! and its tag, however often it is sent.

use std::ops::Range;

use ripcurrent_proto::api::{Part, Transmission};
use smallvec::SmallVec;

use crate::content::tags::{is_blank, places};

/// A string of bytes, zeros but for some runs.
///
/// Invariant: the runs are in order and do not overlap, and `bytes` are theirs in a row.
#[derive(Debug, Default)]
pub(super) struct Parcel {
    len: usize,
    runs: SmallVec<[Run; 2]>,
    bytes: SmallVec<[u8; 64]>,
    /// How many of the bytes were read.
    read: usize,
}

/// A range of a parcel that need not be zeros.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: usize,
    to: usize,
}

impl Parcel {
    /// Bytes of any kind.
    #[cfg(test)]
    pub(super) fn new(bytes: &[u8]) -> Self {
        let mut parcel = Parcel::default();
        parcel.push(bytes);
        parcel
    }

    /// How many bytes are left to be read.
    pub(super) fn left(&self) -> usize {
        self.len - self.read
    }

    /// Appends `range` of a part of a transmission. If the sender's world is compact, what lies in a
    /// slab is a tag at the beginning of each block, and zeros.
    pub(super) fn push_part(
        &mut self,
        transmission: &Transmission,
        part: &Part,
        range: Range<usize>,
        is_compact: bool,
    ) {
        let bytes = &transmission.bytes(part)[range.clone()];
        match part {
            Part::Slab { from, .. } if is_compact => {
                self.push_tags(*from as usize + range.start, bytes);
            }
            _ => self.push(bytes),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        let from = self.len;
        self.len += bytes.len();
        self.bytes.extend_from_slice(bytes);
        match self.runs.last_mut() {
            Some(run) if run.to == from => run.to = self.len,
            _ => self.runs.push(Run { from, to: self.len }),
        }
    }

    /// Appends what begins at `start` of a slab, whose first byte is the first of a block.
    fn push_tags(&mut self, start: usize, bytes: &[u8]) {
        debug_assert!(is_blank(start as u64, bytes), "payload with more than tags");
        let end = self.len + bytes.len();
        let begin = self.len;
        for place in places(start as u64, bytes.len()) {
            self.len = begin + place.at;
            self.push(&bytes[place.within()]);
        }
        self.len = end;
    }

    /// The next `count` bytes, which are then read. They are in the parcel itself, or laid into
    /// `zeros` until [`Parcel::clear`].
    pub(super) fn read<'a>(&'a mut self, count: usize, zeros: &'a mut [u8]) -> &'a mut [u8] {
        let from = self.read;
        self.read += count;
        if self.is_literal() {
            return &mut self.bytes[from..from + count];
        }
        let zeros = &mut zeros[..count];
        self.overlaps(from..from + count, |at, bytes| {
            zeros[at..at + bytes.len()].copy_from_slice(bytes);
        });
        zeros
    }

    /// Makes the buffer all zeros again into which the last `count` bytes were laid.
    pub(super) fn clear(&self, count: usize, zeros: &mut [u8]) {
        if self.is_literal() {
            return;
        }
        let from = self.read - count;
        self.overlaps(from..self.read, |at, bytes| {
            zeros[at..at + bytes.len()].fill(0);
        });
    }

    /// Whether all of its bytes are kept.
    fn is_literal(&self) -> bool {
        self.bytes.len() == self.len
    }

    /// Visits what lies in `range` and need not be zeros, with its place there.
    fn overlaps(&self, range: Range<usize>, mut visit: impl FnMut(usize, &[u8])) {
        let mut bytes = &self.bytes[..];
        for run in &self.runs {
            let (own, later) = bytes.split_at(run.to - run.from);
            bytes = later;
            let (from, to) = (run.from.max(range.start), run.to.min(range.end));
            if from < to {
                visit(from - range.start, &own[from - run.from..to - run.from]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ripcurrent_proto::base::slab::Slab;

    use super::*;
    use crate::content::tags::{BLOCK, Tags};

    /// However a stream is cut, its reader finds the same bytes, and leaves zeros behind.
    #[test]
    fn what_was_packed_is_read() {
        let mut slab = Slab::new(2 * BLOCK as usize);
        slab.set_len(slab.capacity());
        Tags::new(7, 2 * BLOCK as u32).fill(0, slab.as_mut_slice());
        let slab = Arc::new(slab);
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend_from_slice(b"head"));
        transmission.push_slab(slab, 8, 20_000);
        transmission.push_head(|head| head.extend_from_slice(b"tail"));
        let parts = transmission.parts.iter();
        let whole: Vec<u8> = parts
            .flat_map(|part| transmission.bytes(part))
            .copied()
            .collect();
        let mut zeros = vec![0; whole.len()];
        for is_compact in [true, false] {
            for step in [13, 1_000, 16_384, 50_000] {
                let mut parcel = Parcel::default();
                for part in &transmission.parts {
                    let len = transmission.bytes(part).len();
                    for from in (0..len).step_by(step) {
                        let range = from..len.min(from + step);
                        parcel.push_part(&transmission, part, range, is_compact);
                    }
                }
                let mut found = Vec::new();
                while parcel.left() > 0 {
                    let count = parcel.left().min(step);
                    found.extend_from_slice(parcel.read(count, &mut zeros));
                    parcel.clear(count, &mut zeros);
                    assert!(zeros.iter().all(|byte| *byte == 0));
                }
                assert!(found == whole, "in steps of {step}");
                assert!(!is_compact || parcel.bytes.len() < 100 + whole.len() / step * 8);
            }
        }
    }
}

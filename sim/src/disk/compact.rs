//! A file of a compact torrent: what became of each block.
//!
//! Files are cut into blocks as the torrent is, so a file's first and last block may be parts of
//! one. What of a block's tag lies in the file is remembered, with the file's own length; a block
//! that has no byte of its tag here is zeros, which is right. All other bytes are zeros by the rule
//! of a compact world, in slabs too: reading sets tags and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::layout::FileEntry;

use crate::content::tags::{BLOCK, TAG, Tag, Tags, are_zeros, blocks, is_blank, places};

#[derive(Debug)]
pub(super) struct Compact {
    tags: Tags,
    /// Where the whole file lies in the torrent, in bytes.
    place: Range<u64>,
    /// The blocks with at least one byte of their tag there.
    blocks: Range<u64>,
    /// The file's length in bytes.
    len: u64,
    content: Blocks,
}

/// What the tags of a file's blocks are, counted from its first. Neither right nor odd: zeros.
///
/// Invariant: nothing is both right and odd.
#[derive(Clone, Debug)]
struct Blocks {
    right: Bitfield,
    /// Bytes outside the file are zeros.
    odd: BTreeMap<u32, Tag>,
}

impl Compact {
    /// A file of its full length that was never written.
    pub(super) fn new(tags: Tags, entry: &FileEntry) -> Self {
        let blocks = blocks(entry.offset, entry.len);
        let content = Blocks {
            right: Bitfield::new((blocks.end - blocks.start) as usize),
            odd: BTreeMap::new(),
        };
        Compact {
            tags,
            place: entry.offset..entry.offset + entry.len,
            blocks,
            len: entry.len,
            content,
        }
    }

    /// Makes all of it right.
    pub(super) fn complete(&mut self) {
        self.content.right = Bitfield::full(self.content.right.len());
        self.content.odd.clear();
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Sets the tags in `into`, which is filled from `from`: a range of the file.
    pub(super) fn read(&self, from: u64, into: &mut [u8]) {
        let start = self.place.start + from;
        for place in places(start, into.len()) {
            let tag = self.tag(place.block);
            into[place.within()].copy_from_slice(&tag[place.of_tag]);
        }
        debug_assert!(is_blank(start, into), "a slab with more than tags");
    }

    /// Takes the tags out of `bytes`, which are written at `at`.
    pub(super) fn write(&mut self, at: u64, bytes: &[u8]) {
        let start = self.place.start + at;
        debug_assert!(is_blank(start, bytes), "payload with more than tags");
        self.len = self.len.max(at + bytes.len() as u64);
        for place in places(start, bytes.len()) {
            let found = &bytes[place.within()];
            if place.of_tag.len() == TAG {
                let mut tag = [0; TAG];
                tag.copy_from_slice(found);
                self.set(place.block, tag);
            } else {
                let mut tag = self.tag(place.block);
                tag[place.of_tag].copy_from_slice(found);
                self.set(place.block, tag);
            }
        }
    }

    /// Whether it is as long as it should be and all of it is right.
    pub(super) fn is_whole(&self, entry: &FileEntry) -> bool {
        let is_right = |block| self.tag(block) == self.right(block);
        let is_here = self.place.start == entry.offset && self.len == entry.len;
        is_here && (self.content.right.is_full() || self.blocks.clone().all(is_right))
    }

    /// What the file has of a block's tag; zeros for the rest.
    fn tag(&self, block: u64) -> Tag {
        let index = self.index(block);
        if self.content.right.contains(index as usize) {
            return self.right(block);
        }
        self.content.odd.get(&index).copied().unwrap_or_default()
    }

    fn set(&mut self, block: u64, tag: Tag) {
        let index = self.index(block);
        if tag == self.right(block) {
            self.content.right.insert(index as usize);
            self.content.odd.remove(&index);
            return;
        }
        self.content.right.remove(index as usize);
        if are_zeros(&tag) {
            self.content.odd.remove(&index);
        } else {
            self.content.odd.insert(index, tag);
        }
    }

    /// What the file should have of a block's tag; zeros for the rest.
    fn right(&self, block: u64) -> Tag {
        let mut tag = self.tags.of(block);
        let begin = block * BLOCK;
        let before = self.place.start.saturating_sub(begin) as usize;
        tag[..before].fill(0);
        let within = (self.place.end - begin).min(TAG as u64) as usize;
        tag[within..].fill(0);
        tag
    }

    fn index(&self, block: u64) -> u32 {
        (block - self.blocks.start) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::base::rng::Rng;
    use ripcurrent_proto::meta::layout::FileKind;

    const WHOLE: u64 = 100_000;

    /// The torrent's bytes, and a file of them.
    fn scene(place: Range<u64>) -> (Vec<u8>, FileEntry, Compact) {
        let tags = Tags::new(3, 32 << 10);
        let mut bytes = vec![0; WHOLE as usize];
        tags.fill(0, &mut bytes);
        let entry = FileEntry {
            path: vec!["file".into()],
            len: place.end - place.start,
            offset: place.start,
            kind: FileKind::Regular { executable: false },
        };
        let bytes = bytes[place.start as usize..place.end as usize].to_vec();
        let file = Compact::new(tags, &entry);
        (bytes, entry, file)
    }

    /// Ranges that begin and end at blocks, between them, and inside tags.
    fn ranges() -> Vec<Range<u64>> {
        let edges = [0, 7, 16, 17, 16_384, 16_390, 40_000, 65_536, 65_543, WHOLE];
        let pairs = edges.iter().flat_map(|from| {
            let to = edges.iter().filter(move |to| from <= to);
            to.map(move |to| *from..*to)
        });
        pairs.collect()
    }

    /// A file is whole once all of it was written, in parts of any length and order, and reads as
    /// it should, wherever it begins and ends.
    #[test]
    fn any_file_is_kept() {
        let mut rng = Rng::from_seed([1; 32]);
        for place in ranges() {
            for step in [5_000, 16_384, 60_001] {
                let (bytes, entry, mut file) = scene(place.clone());
                let mut parts: Vec<_> = bytes.chunks(step).zip((0..).step_by(step)).collect();
                rng.shuffle(&mut parts);
                for (part, at) in parts {
                    file.write(at, part);
                }
                assert!(file.is_whole(&entry), "{place:?} in steps of {step}");
                let mut read = vec![0; bytes.len()];
                file.read(0, &mut read);
                assert!(read == bytes, "{place:?} in steps of {step}");
                file.complete();
                file.read(0, &mut read);
                assert!(read == bytes, "{place:?} made whole");
            }
        }
    }

    /// A tag that is wrong in any of the file's own bytes is kept as it is until it is written over.
    #[test]
    fn odd_tags_are_kept() {
        for place in ranges() {
            let (bytes, entry, mut file) = scene(place.clone());
            file.complete();
            for at in (0..bytes.len()).filter(|at| (place.start as usize + at) % 16_384 < TAG) {
                let mut odd = bytes.clone();
                odd[at] ^= 0x55;
                file.write(0, &odd);
                assert!(!file.is_whole(&entry), "{place:?}, byte {at}");
                let mut read = vec![0; bytes.len()];
                file.read(0, &mut read);
                assert!(read == odd, "{place:?}, byte {at}");
                file.write(0, &bytes);
                assert!(file.is_whole(&entry), "{place:?}, byte {at}");
                assert!(file.content.odd.is_empty());
            }
        }
    }

    /// What was never written is zeros, over what a recycled slab held there.
    #[test]
    fn absent_blocks_read_as_zeros() {
        let (bytes, entry, mut file) = scene(0..WHOLE);
        file.write(16_384, &bytes[16_384..32_768]);
        assert!(!file.is_whole(&entry));
        let mut read = bytes.clone();
        file.read(0, &mut read);
        assert!(are_zeros(&read[..16_384]) && are_zeros(&read[32_768..]));
        assert!(read[16_384..32_768] == bytes[16_384..32_768]);
    }
}

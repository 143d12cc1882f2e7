//! A file of a compact torrent: what became of each block.
//!
//! Files are cut into blocks as the torrent is, so a file's first and last block may be parts of
//! one. What of a block's tag lies in the file is remembered, with the file's own length; a block
//! that has no byte of its tag here is zeros, which is right. All other bytes are zeros by the rule
//! of a compact world, in slabs too: reading sets tags and nothing else.

use std::collections::BTreeMap;
use std::ops::Range;

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::FileEntry;

use super::Layer;
use super::power::{Fate, Tear};
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
    /// What programs read.
    written: Blocks,
    /// What lies on the platter.
    durable: Blocks,
    /// What was written when the sync under way began.
    in_sync: Option<Box<Blocks>>,
}

/// What the tags of a file's blocks are, counted from its first. Neither right nor odd: zeros.
///
/// Invariant: nothing is both right and odd.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Blocks {
    right: Bitfield,
    /// Bytes outside the file are zeros.
    odd: BTreeMap<u32, Tag>,
}

impl Compact {
    /// A file of its full length that was never written.
    pub(super) fn new(tags: Tags, entry: &FileEntry) -> Self {
        let blocks = blocks(entry.offset, entry.len);
        let blank = Blocks {
            right: Bitfield::new((blocks.end - blocks.start) as usize),
            odd: BTreeMap::new(),
        };
        Compact {
            tags,
            place: entry.offset..entry.offset + entry.len,
            blocks,
            len: entry.len,
            written: blank.clone(),
            durable: blank,
            in_sync: None,
        }
    }

    /// Makes all of it right.
    pub(super) fn complete(&mut self) {
        self.written.right = Bitfield::full(self.written.right.len());
        self.written.odd.clear();
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Where the whole file begins in the torrent, in bytes.
    pub(super) fn offset(&self) -> u64 {
        self.place.start
    }

    /// Sets the tags in `into`, which is filled from `from`: a range of the file.
    pub(super) fn read(&self, from: u64, into: &mut [u8], layer: Layer) {
        let start = self.place.start + from;
        for place in places(start, into.len()) {
            let tag = self.tag(place.block, layer);
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
            let mut tag = match place.of_tag.len() {
                TAG => [0; TAG],
                _ => self.tag(place.block, Layer::Written),
            };
            tag[place.of_tag.clone()].copy_from_slice(&bytes[place.within()]);
            self.set(place.block, tag, Layer::Written);
        }
    }

    /// Whether `len` bytes at `from` are those that the torrent has at `start`.
    pub(super) fn holds(&self, from: u64, start: u64, len: u64, layer: Layer) -> bool {
        if self.place.start + from != start || from + len > self.len {
            return false;
        }
        let is_all = from == 0 && start + len == self.place.end;
        if is_all && self.layer(layer).right.is_full() {
            return true;
        }
        places(start, len as usize).all(|place| {
            let right = self.tags.of(place.block);
            self.tag(place.block, layer)[place.of_tag.clone()] == right[place.of_tag]
        })
    }

    /// From here on, what is written is not covered by the next [`sync`](Compact::sync).
    pub(super) fn sync_begins(&mut self) {
        self.in_sync = Some(Box::new(self.written.clone()));
    }

    /// Makes durable what was written before the sync began; all, if nobody told when that was.
    pub(super) fn sync(&mut self) {
        match self.in_sync.take() {
            Some(written) => self.durable = *written,
            None if self.durable != self.written => self.durable = self.written.clone(),
            None => {}
        }
    }

    /// Each block that was not synced is what it was, what it was to be, or half of each.
    pub(super) fn lose_power(&mut self, tear: Tear, rng: &mut Rng) {
        self.in_sync = None;
        for block in self.blocks.clone() {
            let (old, new) = (
                self.tag(block, Layer::Durable),
                self.tag(block, Layer::Written),
            );
            if old == new {
                continue;
            }
            match tear.fate(rng) {
                Fate::Landed => {}
                Fate::Lost => self.set(block, old, Layer::Written),
                Fate::Torn => {
                    let mut torn = new;
                    torn[TAG / 2..].copy_from_slice(&old[TAG / 2..]);
                    self.set(block, torn, Layer::Written);
                }
            }
        }
        self.sync();
    }

    /// Flips a bit of the block on the platter that `at` is in, if any of its tag is in the file.
    pub(super) fn flip(&mut self, at: u64, rng: &mut Rng) {
        let block = (self.place.start + at) / BLOCK;
        if !self.blocks.contains(&block) {
            return;
        }
        let begin = (block * BLOCK).max(self.place.start);
        let end = (block * BLOCK + TAG as u64).min(self.place.end);
        let at = begin - block * BLOCK + rng.below(end - begin);
        let old = self.tag(block, Layer::Durable);
        let mut flipped = old;
        flipped[at as usize] ^= 1 << rng.below(8);
        if self.tag(block, Layer::Written) == old {
            self.set(block, flipped, Layer::Written);
        }
        self.set(block, flipped, Layer::Durable);
    }

    /// Makes it shorter, or longer by zeros; only when all is durable.
    pub(super) fn set_len(&mut self, len: u64) {
        debug_assert!(self.durable == self.written, "nothing waits to be synced");
        let end = self.place.start + len;
        for block in (end / BLOCK).max(self.blocks.start)..self.blocks.end {
            let kept = end.saturating_sub(block * BLOCK).min(TAG as u64);
            let mut tag = self.tag(block, Layer::Written);
            tag[kept as usize..].fill(0);
            self.set(block, tag, Layer::Written);
        }
        self.len = len;
        self.sync();
    }

    /// What the file has of a block's tag; zeros for the rest.
    fn tag(&self, block: u64, layer: Layer) -> Tag {
        let (index, blocks) = (self.index(block), self.layer(layer));
        if blocks.right.contains(index as usize) {
            return self.right(block);
        }
        blocks.odd.get(&index).copied().unwrap_or_default()
    }

    fn set(&mut self, block: u64, tag: Tag, layer: Layer) {
        let index = self.index(block);
        let is_right = tag == self.right(block);
        let blocks = match layer {
            Layer::Written => &mut self.written,
            Layer::Durable => &mut self.durable,
        };
        if is_right {
            blocks.right.insert(index as usize);
            blocks.odd.remove(&index);
            return;
        }
        blocks.right.remove(index as usize);
        if are_zeros(&tag) {
            blocks.odd.remove(&index);
        } else {
            blocks.odd.insert(index, tag);
        }
    }

    fn layer(&self, layer: Layer) -> &Blocks {
        match layer {
            Layer::Written => &self.written,
            Layer::Durable => &self.durable,
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

    fn is_whole(file: &Compact, entry: &FileEntry) -> bool {
        file.holds(0, entry.offset, entry.len, Layer::Written)
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
                assert!(is_whole(&file, &entry), "{place:?} in steps of {step}");
                let mut read = vec![0; bytes.len()];
                file.read(0, &mut read, Layer::Written);
                assert!(read == bytes, "{place:?} in steps of {step}");
                file.complete();
                file.read(0, &mut read, Layer::Written);
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
                assert!(!is_whole(&file, &entry), "{place:?}, byte {at}");
                let mut read = vec![0; bytes.len()];
                file.read(0, &mut read, Layer::Written);
                assert!(read == odd, "{place:?}, byte {at}");
                file.write(0, &bytes);
                assert!(is_whole(&file, &entry), "{place:?}, byte {at}");
                assert!(file.written.odd.is_empty());
            }
        }
    }

    /// What was never written is zeros, over what a recycled slab held there.
    #[test]
    fn absent_blocks_read_as_zeros() {
        let (bytes, entry, mut file) = scene(0..WHOLE);
        file.write(16_384, &bytes[16_384..32_768]);
        assert!(!is_whole(&file, &entry));
        let mut read = bytes.clone();
        file.read(0, &mut read, Layer::Written);
        assert!(are_zeros(&read[..16_384]) && are_zeros(&read[32_768..]));
        assert!(read[16_384..32_768] == bytes[16_384..32_768]);
    }

    /// Without power every block is the old one, the one that was to be, or a mix of both; what was
    /// synced stays.
    #[test]
    fn blocks_are_old_or_new_or_torn() {
        let mut rng = Rng::from_seed([2; 32]);
        let (mut lost, mut torn, mut landed) = (0, 0, 0);
        for _ in 0..100 {
            let (bytes, entry, mut file) = scene(10_000..WHOLE);
            file.write(0, &bytes[..30_000]);
            file.sync();
            file.write(30_000, &bytes[30_000..]);
            assert!(is_whole(&file, &entry));
            assert!(!file.holds(0, entry.offset, entry.len, Layer::Durable));
            let tear = Tear::draw(&mut rng);
            file.lose_power(tear, &mut rng);
            assert_eq!(file.written, file.durable);
            assert!(file.holds(0, entry.offset, 30_000, Layer::Durable));
            for block in 3..7 {
                match file.tag(block, Layer::Durable) {
                    tag if tag == file.right(block) => landed += 1,
                    tag if are_zeros(&tag) => lost += 1,
                    tag => {
                        assert_eq!(tag[..8], file.right(block)[..8]);
                        torn += 1;
                    }
                }
            }
        }
        assert!(
            lost > 50 && torn > 10 && landed > 50,
            "{lost} {torn} {landed}"
        );
    }

    /// A shorter file has lost the tags past its end, in part where it ends inside one.
    #[test]
    fn what_is_cut_off_is_gone() {
        for len in [0, 6_400, 16_384, 22_777, 90_000] {
            let (bytes, entry, mut file) = scene(10_000..WHOLE);
            file.complete();
            file.sync();
            file.set_len(len);
            assert!(!is_whole(&file, &entry) || len == entry.len);
            file.set_len(entry.len);
            let mut read = vec![0; bytes.len()];
            file.read(0, &mut read, Layer::Written);
            assert!(read[..len as usize] == bytes[..len as usize], "{len}");
            assert!(read[len as usize..].iter().all(|byte| *byte == 0), "{len}");
        }
    }

    /// A flipped bit is found wherever the block has a tag, and is written over.
    #[test]
    fn flips_are_at_rest() {
        let mut rng = Rng::from_seed([2; 32]);
        let (bytes, entry, mut file) = scene(10_000..WHOLE);
        file.write(0, &bytes);
        file.sync();
        file.flip(0, &mut rng);
        assert!(
            is_whole(&file, &entry),
            "the first block's tag is elsewhere"
        );
        file.flip(50_000, &mut rng);
        assert!(!is_whole(&file, &entry));
        assert!(!file.holds(0, entry.offset, entry.len, Layer::Durable));
        file.write(0, &bytes);
        assert!(is_whole(&file, &entry));
    }
}

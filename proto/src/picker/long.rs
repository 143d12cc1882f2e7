//! Pieces too long to be held whole: they are fetched in sections of some blocks, each of which is
//! written when it is complete, unverified. The piece is verified when all of it is written.
//!
//! Who picks works through a piece section by section, so that few have a slab at once.

use super::Picker;
use super::open::OpenPiece;
use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::meta::layout::{Block, PieceIndex};

/// The most long pieces that are open at once: what is known of their blocks takes memory, however
/// few of them have any.
pub const LONG_OPEN_MAX: usize = 8;

impl Picker {
    /// Pieces are fetched in sections of so many blocks from now on.
    ///
    /// # Panics
    /// If a piece is open.
    pub fn set_section(&mut self, blocks: u32) {
        assert!(self.open.is_empty(), "before anything is picked");
        self.section = blocks;
    }

    /// Whether another piece may be opened.
    #[must_use]
    pub fn has_place(&self) -> bool {
        self.section == 0 || self.open.len() < LONG_OPEN_MAX
    }

    /// If all blocks of the section of `block` have come, it is being written from now on; whether
    /// they have.
    pub fn seal(&mut self, block: Block) -> bool {
        self.change(block, OpenPiece::seal).unwrap_or(false)
    }

    /// What has come of the section of `block`, which is open, is being written from now on.
    pub fn begin_write(&mut self, block: Block) {
        self.change(block, OpenPiece::begin_write);
    }

    /// The section of `block` was written. Whether all of its piece has come and is written now.
    pub fn end_write(&mut self, block: Block) -> bool {
        self.change(block, OpenPiece::end_write).unwrap_or(false)
    }

    /// What came of the section of `block` is lost, and its slab was given back.
    pub fn close_section(&mut self, block: Block) {
        self.change(block, OpenPiece::close_section);
    }

    /// Whether sections of `piece` are being written.
    #[must_use]
    pub fn is_busy(&self, piece: PieceIndex) -> bool {
        self.open.get(piece).is_some_and(OpenPiece::is_busy)
    }

    /// Whether `piece` is open and nobody is asked for any of its blocks.
    #[must_use]
    pub fn is_idle(&self, piece: PieceIndex) -> bool {
        self.open.get(piece).is_some_and(OpenPiece::is_idle)
    }

    /// `who` is not asked for more for now, or gone: what it was to fetch alone others may.
    pub fn resigned(&mut self, who: ConnId) {
        if self.section == 0 {
            return;
        }
        let open = self.open.iter().map(|(slot, _)| slot);
        let open: smallvec::SmallVec<[u32; LONG_OPEN_MAX]> = open.collect();
        for slot in open {
            self.open.update(slot, |open| open.resigned(who));
        }
    }

    /// Opens a closed piece of which the sections that are whole in `blocks` lie on the disk, from an
    /// earlier run: `giver` stands for whoever gave them.
    ///
    /// # Panics
    /// If the piece is not closed, or `blocks` are not its blocks.
    pub fn restore_sections(&mut self, piece: PieceIndex, blocks: &Bitfield, giver: ConnId) {
        assert!(self.is_closed(piece), "{piece:?} is closed");
        assert_eq!(blocks.len(), self.layout.blocks_in(piece) as usize);
        let slot = self.open_closed(piece);
        let (section, all) = (self.section, blocks.len() as u32);
        self.open.update(slot, |open| {
            for begin in (0..all).step_by(section as usize) {
                let range = begin..(begin + section).min(all);
                if range.clone().all(|at| blocks.contains(at as usize)) {
                    open.open_section(begin);
                    range.for_each(|at| {
                        open.arrived(giver, at);
                    });
                    open.begin_write(begin);
                    open.end_write(begin);
                }
            }
        });
    }

    /// Opens a section of an open piece, that of `block`, of which these blocks are there already:
    /// counted from its first one.
    pub fn restore_section(&mut self, block: Block, blocks: &Bitfield, giver: ConnId) {
        self.change(block, |open, begin| {
            open.open_section(begin);
            for at in blocks.iter() {
                open.arrived(giver, begin + at as u32);
            }
        });
    }

    /// Changes the open piece of `block`, by the number of that block.
    fn change<R>(
        &mut self,
        block: Block,
        change: impl FnOnce(&mut OpenPiece, u32) -> R,
    ) -> Option<R> {
        let slot = self.open.slot(block.piece)?;
        let at = block.begin / crate::meta::layout::BLOCK_LEN;
        Some(self.open.update(slot, |open| change(open, at)))
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;
    use crate::base::id::Id;
    use crate::base::rng::Rng;
    use crate::meta::layout::{BLOCK_LEN, FileEntry, FileKind, Layout};
    use crate::picker::Arrival;

    /// Blocks of a section.
    const EACH: u32 = 4;

    fn picker(pieces: u32, blocks: u32, seed: u8) -> Picker {
        let file = FileEntry {
            path: vec!["file".into()],
            // The last piece lacks a block and a half.
            len: u64::from(pieces * blocks * BLOCK_LEN - BLOCK_LEN * 3 / 2),
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(blocks * BLOCK_LEN, vec![file]).unwrap();
        let mut picker = Picker::new(Arc::new(layout), Rng::from_seed([seed; 32]));
        picker.set_section(EACH);
        picker
    }

    fn peer(number: u32) -> ConnId {
        ConnId(Id::from_parts(number, 0))
    }

    fn section_of(block: Block) -> (PieceIndex, u32) {
        (block.piece, block.begin / BLOCK_LEN / EACH)
    }

    /// Peers share the section that is open before another one is, one that fits no memory is not
    /// opened, and where nothing else is left a block is asked for twice.
    #[test]
    fn sections_are_opened_one_by_one() {
        let mut picker = picker(1, 10, 1);
        let have = Bitfield::full(1);
        let _seed = picker.peer_joined(&have);
        assert!(
            picker.pick(peer(0), &have, false).is_none(),
            "nothing is open"
        );
        assert!(picker.could_open(peer(0), &have));
        let picks: Vec<_> = (0..8)
            .map(|at| picker.pick(peer(at % 2), &have, true).unwrap())
            .collect();
        let opens: Vec<bool> = picks.iter().map(|pick| pick.opens).collect();
        assert_eq!(
            opens,
            [true, false, false, false, true, false, false, false]
        );
        assert!(picker.could_open(peer(0), &have));
        let last = picker.pick(peer(0), &have, true).unwrap();
        assert!(last.opens && last.block.begin == 8 * BLOCK_LEN && last.block.len == BLOCK_LEN / 2);
        assert!(!picker.could_open(peer(0), &have));
        let again = picker.pick(peer(1), &have, true).unwrap();
        assert!(again.duplicate && !again.opens);
        picker.check_invariant();
    }

    /// A section is written when its last block has come, the piece is whole when the last section is
    /// written; begun anew, what is still being written is not opened before that is over.
    #[test]
    fn nothing_is_opened_that_is_being_written() {
        let mut picker = picker(1, 8, 1);
        let have = Bitfield::full(1);
        let who = peer(0);
        let mut blocks = Vec::new();
        while let Some(pick) = picker.pick(who, &have, true).filter(|pick| !pick.duplicate) {
            blocks.push(pick.block);
        }
        let sealed: Vec<bool> = blocks
            .iter()
            .map(|block| {
                assert!(matches!(picker.arrived(who, *block), Arrival::New { .. }));
                picker.seal(*block)
            })
            .collect();
        assert_eq!(sealed, [false, false, false, true, false, false, true]);
        let (first, last) = (blocks[0], blocks[6]);
        assert!(!picker.end_write(first) && picker.is_busy(first.piece));
        picker.failed(first.piece, true);
        picker.check_invariant();
        let picked = |picker: &mut Picker| -> Vec<u32> {
            let picks = core::iter::from_fn(|| picker.pick(who, &have, true));
            picks.map(|pick| pick.block.begin / BLOCK_LEN).collect()
        };
        assert_eq!(
            picked(&mut picker),
            [0, 1, 2, 3],
            "the other is being written"
        );
        assert!(!picker.end_write(last));
        assert_eq!(picked(&mut picker), [4, 5, 6]);
        assert!(picker.pick(peer(1), &have, true).is_none(), "one alone");
        picker.resigned(who);
        assert!(picker.pick(peer(1), &have, true).is_none(), "it is at it");
        for block in blocks {
            picker.release(who, block);
        }
        assert!(
            picker.pick(peer(1), &have, false).is_some(),
            "another may, where there is memory"
        );
        picker.check_invariant();
    }

    /// Whatever comes, fails, is written or given up in whatever order: the books agree, no section is
    /// opened twice, and in the end everything is there.
    #[test]
    fn whatever_happens_the_books_agree() {
        for seed in 0..40 {
            let mut story = Story::new(seed);
            (0..3000).for_each(|_| story.step());
            story.finish();
        }
    }

    struct Story {
        picker: Picker,
        rng: Rng,
        have: Bitfield,
        asked: Vec<(ConnId, Block)>,
        /// Sections with a slab.
        open: BTreeSet<(PieceIndex, u32)>,
        /// One block of each section that is being written.
        writing: Vec<Block>,
        /// Pieces of which all is written.
        whole: Vec<PieceIndex>,
    }

    impl Story {
        fn new(seed: u8) -> Self {
            let mut picker = picker(12, 11, seed);
            let have = Bitfield::full(12);
            let _seed = picker.peer_joined(&have);
            Story {
                picker,
                rng: Rng::from_seed([seed; 32]),
                have,
                asked: Vec::new(),
                open: BTreeSet::new(),
                writing: Vec::new(),
                whole: Vec::new(),
            }
        }

        fn step(&mut self) {
            match self.rng.below(20) {
                0..8 => self.pick(),
                8..14 => self.arrive(),
                14..16 => self.written(),
                16 => self.release(),
                17 => self.verify(),
                18 => self.give_up(),
                _ => self.resign(),
            }
            self.picker.check_invariant();
        }

        fn pick(&mut self) {
            let who = peer(self.rng.below(4) as u32);
            let may_open = self.open.len() < 6;
            let Some(pick) = self.picker.pick(who, &self.have, may_open) else {
                return;
            };
            let section = section_of(pick.block);
            if pick.opens {
                assert!(may_open && self.open.insert(section), "{section:?} twice");
                let is_written = |block: &Block| section_of(*block) == section;
                assert!(!self.writing.iter().any(is_written), "{section:?}");
            }
            assert!(self.open.contains(&section), "{section:?} has no slab");
            assert!(self.picker.open_pieces().count() <= LONG_OPEN_MAX);
            self.asked.push((who, pick.block));
        }

        fn any<T>(&mut self, list: fn(&mut Self) -> &mut Vec<T>) -> Option<T> {
            let len = list(self).len();
            let at = self.rng.index(len.max(1));
            (len > 0).then(|| list(self).swap_remove(at))
        }

        fn arrive(&mut self) {
            let Some((who, block)) = self.any(|story| &mut story.asked) else {
                return;
            };
            let section = section_of(block);
            if !self.open.contains(&section) {
                return self.picker.release(who, block);
            }
            if let Arrival::New { .. } = self.picker.arrived(who, block)
                && self.picker.seal(block)
            {
                self.open.remove(&section);
                self.writing.push(block);
            }
        }

        fn written(&mut self) {
            if let Some(block) = self.any(|story| &mut story.writing) {
                if self.rng.below(8) == 0 {
                    self.picker.close_section(block);
                } else if self.picker.end_write(block) {
                    self.whole.push(block.piece);
                }
            }
        }

        fn release(&mut self) {
            if let Some((who, block)) = self.any(|story| &mut story.asked) {
                self.picker.release(who, block);
            }
        }

        fn resign(&mut self) {
            let who = peer(self.rng.below(4) as u32);
            for (_, block) in self.asked.extract_if(.., |(asked, _)| *asked == who) {
                self.picker.release(who, block);
            }
            self.picker.resigned(who);
        }

        fn verify(&mut self) {
            if let Some(piece) = self.any(|story| &mut story.whole) {
                match self.rng.below(3) {
                    0 => self.picker.failed(piece, self.rng.below(2) == 0),
                    _ => self.picker.verified(piece),
                }
            }
        }

        fn give_up(&mut self) {
            let Some((piece, section)) = self.open.first().copied() else {
                return;
            };
            let layout = self.picker.layout.clone();
            let block = layout.nth_block(piece, section * EACH);
            self.open.remove(&(piece, section));
            self.picker.close_section(block);
        }

        fn finish(&mut self) {
            (0..4).for_each(|who| self.picker.resigned(peer(who)));
            for _ in 0..100_000 {
                if self.picker.is_done() {
                    return;
                }
                self.pick();
                self.arrive();
                self.written();
                while let Some(piece) = self.whole.pop() {
                    self.picker.verified(piece);
                }
                if self.rng.below(50) == 0 {
                    self.resign();
                }
            }
            panic!("{} are missing", self.picker.missing_wanted());
        }
    }
}

//! Pieces too long for the memory budget: received in sections, each of which is written as soon as it
//! is complete, and verified from the disk when all are written.
//!
//! What lies there unverified is nobody's: no state claims it before it is left in good order, no peer
//! is told of it, no file is finished by it. It lies in the places of a piece that is missing, so it
//! covers nothing that was verified.
//!
//! Invariant: a piece stays open while anything of it is being written or digested, and until then
//! nobody looks at what lies on the disk.

use alloc::vec::Vec;

use super::Torrent;
use super::shared::{Op, Shared};
use crate::api::{Disk, DiskError, Event, Output, Phase};
use crate::base::slab::{PAGE, Slab};
use crate::base::time::Instant;
use crate::meta::layout::{BLOCK_LEN, Block, Layout, PieceIndex};
use crate::picker::LONG_OPEN_MAX;
use crate::store::suspects::{BLOCKS_MAX, sole_giver};

/// The longest section, in bytes: beyond it writes cost no less.
const SECTION_MAX: usize = 1 << 20;
/// The share of the memory budget that a piece may take to be held whole: one in so many bytes. Three
/// of them then have room while uploads have theirs: one fills, one is hashed, one is written.
const WHOLE_SHARE: usize = 4;
/// The same of a section: enough have room for peers that share none.
const SECTION_SHARE: usize = 20;

/// The sections of a torrent's pieces.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// The length of each but the last of a piece, in bytes; 0 if pieces are held whole.
    len: u32,
    /// Writes under way, of whole pieces as well.
    pub(super) writes: usize,
    /// Open pieces whose digests are being told.
    digesting: Vec<PieceIndex>,
}

impl Sections {
    /// Those of a torrent of this layout.
    pub(super) fn new(layout: &Layout, budget: usize) -> Self {
        Sections {
            len: section_len(layout.piece_length(), budget).unwrap_or(0),
            ..Sections::default()
        }
    }

    /// How many blocks each has; 0 if pieces are held whole.
    pub(super) fn blocks(&self) -> u32 {
        self.len / BLOCK_LEN
    }
}

/// How long the sections of pieces of this length are, in bytes, a power of two of blocks; `None` if
/// pieces are held whole.
pub(super) fn section_len(piece_length: u32, budget: usize) -> Option<u32> {
    if piece_length as usize + PAGE <= budget / WHOLE_SHARE {
        return None;
    }
    let most = SECTION_MAX.min(budget / SECTION_SHARE);
    let blocks = (most / BLOCK_LEN as usize).max(1);
    Some(BLOCK_LEN << blocks.ilog2())
}

/// The capacity of the slabs of a torrent of this layout, in bytes.
pub(super) fn slab_capacity(layout: &Layout, budget: usize) -> u32 {
    let section = section_len(layout.piece_length(), budget);
    section.unwrap_or(layout.piece_length())
}

/// The most pieces of a torrent of this layout that are open, and the most pieces or sections that
/// have a slab, if there are so many slabs in all.
pub(super) fn most_open(layout: &Layout, budget: usize, slabs: u64) -> [u64; 2] {
    let pieces = u64::from(layout.pieces());
    match section_len(layout.piece_length(), budget) {
        Some(_) => [pieces.min(LONG_OPEN_MAX as u64), slabs],
        None => [pieces.min(slabs); 2],
    }
}

impl Torrent {
    /// Whether its pieces are too long to be held whole.
    pub(super) fn is_in_sections(&self) -> bool {
        self.sections.len > 0
    }

    /// The size of the slab of a piece, or of a section of a long one, in bytes.
    pub(crate) fn slab_capacity(&self) -> usize {
        match self.sections.len {
            0 => self.layout.piece_length() as usize,
            len => len as usize,
        }
    }

    /// What has a slab of its own around `block`: its piece or its section.
    pub(super) fn range_of(&self, block: Block) -> Block {
        let whole = self.layout.whole(block.piece);
        match self.sections.len {
            0 => whole,
            len => {
                let begin = block.begin / len * len;
                let len = len.min(whole.len - begin);
                Block {
                    begin,
                    len,
                    ..whole
                }
            }
        }
    }

    /// `block` came: if its section is complete by it, that is written.
    pub(super) fn seal(&mut self, block: Block, shared: &mut Shared) {
        if !self.picker.seal(block) {
            return;
        }
        let range = self.range_of(block);
        let slab = self.assembly.close(range.piece, range.begin);
        let slab = slab.expect("a complete section has its slab");
        self.write(range, slab, shared);
    }

    /// A section was written: of a piece that is complete by it the digest is asked for.
    pub(super) fn section_written(
        &mut self,
        now: Instant,
        range: Block,
        slab: Slab,
        shared: &mut Shared,
    ) {
        let is_whole = self.picker.end_write(range);
        if is_whole && matches!(self.phase, Phase::Downloading | Phase::Seeding) {
            let piece = range.piece;
            let every = self.layout.piece_len(piece);
            return self.digest(Op::Digest(piece), piece, slab, every, shared);
        }
        shared.give(slab);
        if self.picker.wants(range.piece) {
            self.settle_section(range.piece);
        } else {
            self.give_up_unless_busy(range.piece);
        }
        self.check_more(now, shared);
    }

    /// Asks for the digests of each so many bytes of a piece that lies on the disk.
    pub(super) fn digest(
        &mut self,
        op: Op,
        piece: PieceIndex,
        mut slab: Slab,
        every: u32,
        shared: &mut Shared,
    ) {
        if matches!(op, Op::Digest(_) | Op::DigestAgain(_) | Op::Blame(_)) {
            self.sections.digesting.push(piece);
        }
        slab.set_len(slab.capacity());
        let spans = self.layout.spans(self.layout.whole(piece));
        let (op, storage) = (shared.begin(self.id, op), self.id);
        shared.push(Output::Disk(Disk::Digest {
            op,
            storage,
            slab,
            spans,
            every,
        }));
    }

    /// Whether the one digest that was asked for is the piece's hash.
    pub(super) fn is_told_right(&self, piece: PieceIndex, digests: &[[u8; 20]]) -> bool {
        digests.iter().any(|digest| self.is_hash_of(piece, *digest))
    }

    /// The digests of an open piece are told.
    fn is_digested(&mut self, piece: PieceIndex) {
        let mut digesting = self.sections.digesting.iter();
        if let Some(at) = digesting.position(|other| *other == piece) {
            self.sections.digesting.swap_remove(at);
        }
    }

    /// The digest of a downloaded piece is told, or it cannot be read. Before anybody is blamed the disk
    /// is asked twice.
    pub(crate) fn digested(
        &mut self,
        now: Instant,
        op: Op,
        slab: Slab,
        result: Result<Vec<[u8; 20]>, DiskError>,
        shared: &mut Shared,
    ) {
        let (Op::Digest(piece) | Op::DigestAgain(piece)) = op else {
            unreachable!("{op:?} does not verify")
        };
        self.is_digested(piece);
        let is_right = match &result {
            Ok(digests) => self.is_told_right(piece, digests),
            Err(_) => false,
        };
        let is_over = match self.phase {
            // Whoever looks at everything again is to look at this one too.
            Phase::Failed | Phase::Checking => true,
            Phase::Leaving => !is_right || self.delete,
            _ => false,
        };
        if is_over {
            shared.give(slab);
            self.give_up_unless_busy(piece);
            return self.check_more(now, shared);
        }
        match result {
            Err(error) => {
                shared.give(slab);
                self.fail(now, "read", error, shared);
            }
            Ok(_) if is_right => {
                tracing::debug!(piece = piece.0, "piece verified");
                if self.suspects.knows(piece) {
                    self.digest(Op::Acquit(piece), piece, slab, BLOCK_LEN, shared);
                } else {
                    shared.give(slab);
                }
                self.is_had(now, piece, shared);
            }
            Ok(_) if op == Op::Digest(piece) => {
                let every = self.layout.piece_len(piece);
                self.digest(Op::DigestAgain(piece), piece, slab, every, shared);
            }
            Ok(_) => self.long_corrupt(piece, slab, shared),
        }
    }

    /// Finds out who lied: at once if it can only be one, else by the digests of all blocks.
    fn long_corrupt(&mut self, piece: PieceIndex, slab: Slab, shared: &mut Shared) {
        shared.tell(Event::Corrupt {
            torrent: self.id,
            piece: piece.0,
        });
        self.wasted.corrupt += u64::from(self.layout.piece_len(piece));
        let givers = self.givers_of(piece);
        let culprit = sole_giver(&givers);
        let are_known = givers.iter().any(Option::is_some) && givers.len() <= BLOCKS_MAX;
        if culprit.is_none() && are_known {
            return self.digest(Op::Blame(piece), piece, slab, BLOCK_LEN, shared);
        }
        shared.give(slab);
        self.fetch_again(piece, shared);
        if let Some(culprit) = culprit {
            self.ban(culprit, "corrupt data", shared);
        }
    }

    /// The digests of the blocks of a piece that was not right are told, or it cannot be read.
    pub(crate) fn failed_digested(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        slab: Slab,
        result: Result<Vec<[u8; 20]>, DiskError>,
        shared: &mut Shared,
    ) {
        self.is_digested(piece);
        shared.give(slab);
        if let Ok(digests) = result {
            let givers = self.givers_of(piece);
            self.suspects.remember(piece, digests.into_iter(), &givers);
        }
        match self.phase {
            Phase::Downloading | Phase::Seeding => self.fetch_again(piece, shared),
            _ => self.give_up_unless_busy(piece),
        }
        self.check_more(now, shared);
    }

    /// The same of a piece that is right now, and was not before.
    pub(crate) fn passed_digested(
        &mut self,
        piece: PieceIndex,
        slab: Slab,
        result: Result<Vec<[u8; 20]>, DiskError>,
        shared: &mut Shared,
    ) {
        shared.give(slab);
        let truth = result.unwrap_or_default();
        // What could not be read accuses nobody.
        let is_whole = truth.len() == self.layout.blocks_in(piece) as usize;
        for liar in self.suspects.passed_with(piece, &truth) {
            if is_whole {
                self.ban(liar, "corrupt data", shared);
            }
        }
    }

    /// Fetches a piece that was not right from one peer alone.
    fn fetch_again(&mut self, piece: PieceIndex, shared: &mut Shared) {
        self.picker.failed(piece, true);
        self.assembly.forget(piece);
        shared.freed = true;
    }

    /// Whether anything of the disk's is under way that could change what lies there, or tells of it.
    pub(super) fn are_sections_busy(&self) -> bool {
        self.is_in_sections() && (self.sections.writes > 0 || !self.sections.digesting.is_empty())
    }

    fn is_busy(&self, piece: PieceIndex) -> bool {
        self.picker.is_busy(piece) || self.sections.digesting.contains(&piece)
    }

    /// Forgets what was written of a piece, unless something of it is under way: then it is forgotten
    /// when that is over.
    pub(super) fn give_up_unless_busy(&mut self, piece: PieceIndex) {
        if self.is_in_sections() && self.picker.is_open(piece) && !self.is_busy(piece) {
            self.assembly.forget(piece);
            self.picker.close_piece(piece);
        }
    }

    /// The same of all pieces.
    pub(super) fn give_up_sections(&mut self) {
        for piece in self.open_long_pieces() {
            self.give_up_unless_busy(piece);
        }
    }

    /// The torrent stands still: what was written of incomplete pieces is remembered if it leaves.
    pub(super) fn settle_sections(&mut self) {
        for piece in self.open_long_pieces() {
            self.settle_section(piece);
        }
    }

    /// The same of one piece, if nothing of it is under way any more.
    pub(super) fn settle_section(&mut self, piece: PieceIndex) {
        let is_still = matches!(self.phase, Phase::Leaving | Phase::Failed | Phase::Checking);
        if !is_still || !self.is_in_sections() || self.is_busy(piece) {
            return;
        }
        let had = self.picker.blocks_had(piece);
        if self.phase == Phase::Leaving && !self.delete && had.count() > 0 {
            self.ledger.park(piece, had);
        }
        self.give_up_unless_busy(piece);
    }

    fn open_long_pieces(&self) -> Vec<PieceIndex> {
        match self.is_in_sections() {
            true => self.picker.open_pieces().collect(),
            false => Vec::new(),
        }
    }

    /// As many long pieces are open as may be, and somebody who has none of them waits: gives up one
    /// that nobody works on.
    pub(crate) fn rescue_place(&mut self, shared: &mut Shared) {
        if self.picker.has_place() || self.phase != Phase::Downloading || self.hungry.is_empty() {
            return;
        }
        let open = self.open_long_pieces().into_iter();
        let idle = open.filter(|piece| self.picker.is_idle(*piece) && !self.is_busy(*piece));
        let Some(piece) = idle.min_by_key(|piece| self.picker.blocks_had(*piece).count()) else {
            return;
        };
        let had = self.picker.blocks_had(piece).count() as u64;
        self.wasted.given_up += had * u64::from(BLOCK_LEN);
        self.close_ranges(piece, shared);
        self.give_up_unless_busy(piece);
        shared.freed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;

    /// Pieces are held whole where a few fit, and sections follow the budget.
    #[test]
    fn sections_follow_the_budget() {
        let len = |piece: u32, budget: u32| section_len(piece, budget as usize);
        assert_eq!(len(8 * MIB, 64 * MIB), None);
        assert_eq!(len(16 * MIB, 64 * MIB), Some(MIB));
        assert_eq!(len(256 * MIB, 64 * MIB), Some(MIB));
        assert_eq!(len(64 * MIB, 16 * MIB), Some(MIB / 2));
        assert_eq!(len(256 << 10, MIB), Some(32 << 10));
        assert_eq!(len(128 << 10, MIB), None);
    }
}

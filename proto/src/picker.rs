//! Floor 2: which block to ask of which peer. Rarest first (BEP 3 leaves the choice open; the paper
//! "Incentives Build Robustness in BitTorrent", section 2.4, gives the reasons), whole pieces before
//! new ones, and an endgame.
//!
//! A piece is in one of four states:
//!
//! - *had*: verified;
//! - *open*: it has a slab, and each of its blocks is free, asked for or arrived;
//! - *closed*: missing, wanted and not open: it stands in the rarity order;
//! - *unwanted*: missing and not to be opened.
//!
//! Invariant: `needed` is what is wanted and not had; the rarity order holds exactly the pieces of
//! `needed` that are not open; `counts` is, of each piece, how many of the peers counted by pieces
//! have it. Peers that join with everything are in `seeds` alone. [`Picker::check_invariant`] tells.
//!
//! A peer is given, in this order: a free block of a piece it already works on; one of the oldest
//! other open piece; the first block of the rarest closed piece it has (of a random one until the
//! first piece is had, so that something is soon there to trade); a piece that another was to fetch
//! alone and left; and in the endgame, when at most [`ENDGAME_PIECES`] pieces have blocks left to
//! ask for, a block that others were asked for already. In sequential mode the lowest piece goes
//! first instead.
//!
//! Cost: a HAVE O(1); a bitfield, or its peer's leaving, O(pieces); a seed O(1). A pick looks at the
//! open pieces with free blocks (few: peers share them) and opens from the rarity order within
//! O(pieces / 64) and a few steps; it allocates nothing once as many pieces were open before. Memory:
//! 11 bytes for each piece, 3 when all is had; 8 for each block of an open piece.

mod open;
mod rarity;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::base::rng::Rng;
use crate::meta::layout::{BLOCK_LEN, Block, Layout, PieceIndex};

use open::{ASKERS_MAX, OpenPiece, OpenPieces};
use rarity::Rarity;

/// Blocks are asked of several peers (three at most) once this many pieces or fewer have blocks
/// left that nobody was asked for.
pub const ENDGAME_PIECES: usize = 4;

/// For how many blocks at a time a peer is asked that others were asked for too: enough to replace a
/// peer that is slow, not so many that the end of each torrent comes twice.
pub const DUPLICATES_MAX: usize = 4;

/// How far into the rarity order a pick looks before it searches the peer's own pieces instead.
const SCAN_MAX: usize = 128;

/// The picker of one torrent.
#[derive(Debug)]
pub struct Picker {
    layout: Arc<Layout>,
    rng: Rng,
    wanted: Bitfield,
    had: Bitfield,
    needed: Bitfield,
    counts: Vec<u16>,
    counted_peers: u16,
    seeds: u32,
    rarity: Rarity,
    open: OpenPieces,
    /// Missing pieces whose hash was wrong and which one peer at a time may fetch.
    suspects: BTreeSet<PieceIndex>,
    sequential: bool,
}

/// How a peer is counted in the availability of pieces: given when it joins, handed back when it
/// leaves, so that exactly what was done is undone.
#[derive(Debug)]
#[must_use = "without it the peer's pieces stay counted for ever"]
pub struct Counted(How);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It joined with everything.
    AsSeed,
    /// By its pieces, even when it comes to have everything.
    ByPieces,
    /// Not at all: more peers are counted by pieces than 16 bits can tell.
    Not,
}

/// A block to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// What to ask for.
    pub block: Block,
    /// Whether its piece was closed until now: the caller reserves a slab.
    pub opens: bool,
    /// Whether others were asked for it too (endgame).
    pub duplicate: bool,
}

/// What to do with a block that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It came for the first time: keep it. [`Picker::asked`] then tells whom to send a cancel.
    New {
        /// Whether all blocks of its piece are there now.
        piece_complete: bool,
    },
    /// It is there already, its piece is not open, or another is to fetch that piece alone: throw
    /// it away.
    Unwanted,
}

/// Where a pick may look: pieces that the peer has, and perhaps only some of those.
#[derive(Clone, Copy)]
struct Reach<'a> {
    have: &'a Bitfield,
    only: Option<&'a [PieceIndex]>,
}

impl Reach<'_> {
    fn covers(&self, piece: PieceIndex) -> bool {
        self.have.contains(piece.at()) && self.only.is_none_or(|only| only.contains(&piece))
    }
}

/// The crowd: what peers have.
impl Picker {
    /// Everything wanted, nothing had, nobody there.
    #[must_use]
    pub fn new(layout: Arc<Layout>, mut rng: Rng) -> Self {
        let pieces = layout.pieces() as usize;
        let rarity = Rarity::all(layout.pieces(), &mut rng);
        Picker {
            layout,
            rng,
            wanted: Bitfield::full(pieces),
            had: Bitfield::new(pieces),
            needed: Bitfield::full(pieces),
            counts: alloc::vec![0; pieces],
            counted_peers: 0,
            seeds: 0,
            rarity,
            open: OpenPieces::default(),
            suspects: BTreeSet::new(),
            sequential: false,
        }
    }

    /// A peer is there and has these pieces. O(1) for none and for all, else O(pieces).
    ///
    /// A peer that tells of its pieces later joins with none, and again when it does.
    pub fn peer_joined(&mut self, have: &Bitfield) -> Counted {
        if have.is_full() {
            self.seeds += 1;
            return Counted(How::AsSeed);
        }
        if self.counted_peers == u16::MAX {
            return Counted(How::Not);
        }
        self.counted_peers += 1;
        for piece in have.iter() {
            self.count_up(piece);
        }
        Counted(How::ByPieces)
    }

    /// A peer that is there has one more piece. O(1). To be called once for each piece.
    pub fn peer_gained(&mut self, counted: &Counted, piece: PieceIndex) {
        if counted.0 == How::ByPieces {
            self.count_up(piece.at());
        }
    }

    /// A peer with these pieces is gone: those it joined with and those it gained. What it was asked
    /// for is released apart.
    pub fn peer_left(&mut self, counted: Counted, have: &Bitfield) {
        match counted.0 {
            How::AsSeed => self.seeds -= 1,
            How::ByPieces => {
                self.counted_peers -= 1;
                for piece in have.iter() {
                    self.count_down(piece);
                }
            }
            How::Not => {}
        }
    }

    /// How many connected peers have `piece`.
    #[must_use]
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.counts[piece.at()])
    }

    /// How many copies of the torrent the connected peers have together, in thousandths: whole
    /// copies, and of the next one the part of its pieces that is there. O(pieces).
    #[must_use]
    pub fn distributed_copies(&self) -> u64 {
        let whole = self.counts.iter().min().copied().unwrap_or(0);
        let above = self.counts.iter().filter(|count| **count > whole).count() as u64;
        let part = above * 1000 / self.counts.len() as u64;
        (u64::from(self.seeds) + u64::from(whole)) * 1000 + part
    }

    fn count_up(&mut self, piece: usize) {
        let count = &mut self.counts[piece];
        self.rarity.count_grew(piece as u32, *count, &mut self.rng);
        *count += 1;
    }

    fn count_down(&mut self, piece: usize) {
        let count = &mut self.counts[piece];
        self.rarity
            .count_shrank(piece as u32, *count, &mut self.rng);
        *count -= 1;
    }
}

/// The goal: what is wanted and what is had.
impl Picker {
    /// Whether `piece` is to be fetched. An open piece stays open when it is no longer wanted, but
    /// nothing more of it is picked: cancel its requests and close it.
    pub fn set_wanted(&mut self, piece: PieceIndex, wanted: bool) {
        if wanted {
            self.wanted.insert(piece.at());
        } else {
            self.wanted.remove(piece.at());
        }
        self.refresh(piece);
    }

    /// Lowest piece first instead of rarest first.
    pub fn set_sequential(&mut self, on: bool) {
        self.sequential = on;
    }

    /// `piece` is there and right, as far as the check at the start can tell. Closes it.
    pub fn set_had(&mut self, piece: PieceIndex) {
        self.open.close(piece);
        self.suspects.remove(&piece);
        self.had.insert(piece.at());
        self.refresh(piece);
        if self.is_done() && self.open.is_empty() {
            self.open = OpenPieces::default();
        }
    }

    /// `piece` is not there, or no longer.
    pub fn set_missing(&mut self, piece: PieceIndex) {
        self.had.remove(piece.at());
        self.refresh(piece);
    }

    /// Whether `piece` is wanted and not had.
    #[must_use]
    pub fn wants(&self, piece: PieceIndex) -> bool {
        self.needed.contains(piece.at())
    }

    /// Whether a peer with these pieces has any that is wanted and not had: what *interested* says
    /// (BEP 3). O(pieces / 64).
    #[must_use]
    pub fn wants_from(&self, have: &Bitfield) -> bool {
        self.needed.meets(have)
    }

    /// How many pieces are wanted and not had.
    #[must_use]
    pub fn missing_wanted(&self) -> u32 {
        self.needed.count() as u32
    }

    /// Whether everything wanted is had.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.needed.count() == 0
    }

    /// Brings `needed`, the rarity order and the queue of open pieces into line for one piece.
    fn refresh(&mut self, piece: PieceIndex) {
        let needed = self.wanted.contains(piece.at()) && !self.had.contains(piece.at());
        if needed {
            self.needed.insert(piece.at());
        } else {
            self.needed.remove(piece.at());
        }
        let slot = self.open.slot(piece);
        if let Some(slot) = slot {
            self.open.update(slot, |open| open.set_wanted(needed));
        }
        let count = self.counts[piece.at()];
        match (needed && slot.is_none(), self.rarity.place(piece.0)) {
            (true, None) => {
                let pieces = self.layout.pieces();
                self.rarity.insert(piece.0, count, pieces, &mut self.rng);
            }
            (false, Some(_)) => self.rarity.remove(piece.0, count),
            _ => {}
        }
    }
}

/// The work: picks and what becomes of them.
impl Picker {
    /// The next block to ask of `who`, which has these pieces; it counts as asked from now on. A
    /// closed piece is opened only if `may_open`.
    pub fn pick(&mut self, who: ConnId, have: &Bitfield, may_open: bool) -> Option<Pick> {
        self.pick_within(who, Reach { have, only: None }, may_open)
    }

    /// The same among a few pieces only: those that a peer lets us have while it chokes us (BEP 6,
    /// allowed fast).
    pub fn pick_among(
        &mut self,
        who: ConnId,
        have: &Bitfield,
        pieces: &[PieceIndex],
        may_open: bool,
    ) -> Option<Pick> {
        let only = Some(pieces);
        self.pick_within(who, Reach { have, only }, may_open)
    }

    /// A request is void: rejected, choked, timed out, cancelled, or its peer is gone. Does nothing
    /// for a block that `who` is not asked for.
    pub fn release(&mut self, who: ConnId, block: Block) {
        if let Some((slot, at)) = self.find(block) {
            self.open.update(slot, |open| open.release(who, at));
        }
    }

    /// Whether `block` would be kept if it came from `who` now.
    #[must_use]
    pub fn needs(&self, who: ConnId, block: Block) -> bool {
        let found = self.find(block);
        found.is_some_and(|(slot, at)| self.open.at(slot).needs(who, at))
    }

    /// A block came from `who`, asked for or not. Its request is over.
    pub fn arrived(&mut self, who: ConnId, block: Block) -> Arrival {
        let Some((slot, at)) = self.find(block) else {
            return Arrival::Unwanted;
        };
        if !self.open.update(slot, |open| open.arrived(who, at)) {
            return Arrival::Unwanted;
        }
        let piece_complete = self.open.at(slot).is_complete();
        Arrival::New { piece_complete }
    }

    /// Who is still asked for `block`, arrived or not; at most three peers. After an arrival these
    /// are the ones to send a cancel, and to [`release`](Self::release).
    pub fn asked(&self, block: Block) -> impl Iterator<Item = ConnId> {
        let found = self.find(block).into_iter();
        found.flat_map(|(slot, at)| self.open.at(slot).asked(at))
    }

    /// Who gave each block of an open piece, in order of the blocks that arrived: of a complete
    /// piece one for each block. Empty if it is not open.
    pub fn contributors(&self, piece: PieceIndex) -> impl Iterator<Item = ConnId> {
        let open = self.open.get(piece).into_iter();
        open.flat_map(OpenPiece::givers)
    }

    /// The hash of `piece` was right: it is had and closed.
    pub fn verified(&mut self, piece: PieceIndex) {
        self.set_had(piece);
    }

    /// The hash of `piece` was wrong: all its blocks are free again, and it stays open.
    ///
    /// With `exclusive` one peer at a time may fetch it from now on, so that the next failure has one
    /// culprit: whoever picks first, until its requests are all released without the piece being
    /// complete; what it gave is then void.
    pub fn failed(&mut self, piece: PieceIndex, exclusive: bool) {
        if exclusive {
            self.suspects.insert(piece);
        }
        if let Some(slot) = self.open.slot(piece) {
            self.open.update(slot, |open| {
                open.reset();
                if exclusive {
                    open.make_exclusive();
                }
            });
        }
    }

    /// Forgets all requests for an open piece and all its blocks: its slab is to be given back.
    pub fn close_piece(&mut self, piece: PieceIndex) {
        self.open.close(piece);
        self.refresh(piece);
    }

    /// Whether `piece` is open.
    #[must_use]
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.slot(piece).is_some()
    }

    /// The open pieces, ascending.
    pub fn open_pieces(&self) -> impl Iterator<Item = PieceIndex> {
        self.open.iter().map(|(_, open)| open.piece())
    }

    fn pick_within(&mut self, who: ConnId, reach: Reach<'_>, may_open: bool) -> Option<Pick> {
        let continued = self.open_choice(who, reach);
        let closed = if may_open && (continued.is_none() || self.sequential) {
            self.closed_choice(reach)
        } else {
            None
        };
        match (continued, closed) {
            (Some(slot), Some(piece)) if piece < self.open.at(slot).piece() => {
                self.open_piece(who, piece)
            }
            (Some(slot), _) => self.ask_free(who, slot),
            (None, Some(piece)) => self.open_piece(who, piece),
            (None, None) => self
                .take_over(who, reach)
                .or_else(|| self.ask_again(who, reach)),
        }
    }

    /// The open piece, by its slot, whose next free block `who` should have.
    fn open_choice(&self, who: ConnId, reach: Reach<'_>) -> Option<u32> {
        let fits = |slot: &u32| {
            let open = self.open.at(*slot);
            reach.covers(open.piece()) && open.admits(who)
        };
        let mut fitting = self.open.queue().iter().copied().filter(fits);
        if self.sequential {
            return fitting.min_by_key(|slot| self.open.at(*slot).piece());
        }
        let oldest = fitting.next()?;
        let mut own = core::iter::once(oldest).chain(fitting);
        let own = own.find(|slot| self.open.at(*slot).employs(who));
        own.or(Some(oldest))
    }

    /// The closed piece that a peer should open.
    fn closed_choice(&mut self, reach: Reach<'_>) -> Option<PieceIndex> {
        let place = |piece: &PieceIndex| self.rarity.place(piece.0);
        if let Some(only) = reach.only {
            let closed = only.iter().copied();
            let closed = closed.filter(|piece| reach.covers(*piece) && place(piece).is_some());
            return match self.sequential {
                true => closed.min(),
                false => closed.min_by_key(place),
            };
        }
        // Tells at once when there is nothing, so that no scan ends in vain.
        let lowest = self.lowest_closed(reach.have)?;
        if self.sequential {
            return Some(lowest);
        }
        if self.had.count() == 0
            && let Some(piece) = self.random_closed(reach.have)
        {
            return Some(piece);
        }
        self.rarest_closed(reach.have)
    }

    /// The first closed piece of a peer with these: one to ask it for if one can be opened.
    /// O(pieces / 64).
    #[must_use]
    pub fn lowest_closed(&self, have: &Bitfield) -> Option<PieceIndex> {
        let mut common = self.needed.common(have).map(|piece| piece as u32);
        let lowest = common.find(|piece| self.rarity.place(*piece).is_some());
        lowest.map(PieceIndex)
    }

    /// A random closed piece among those of `have`, if one is soon found.
    fn random_closed(&mut self, have: &Bitfield) -> Option<PieceIndex> {
        let order = self.rarity.order();
        let (before, after) = order.split_at(self.rng.index(order.len()));
        let found = after
            .iter()
            .chain(before)
            .take(SCAN_MAX)
            .find(|piece| have.contains(**piece as usize));
        found.map(|piece| PieceIndex(*piece))
    }

    /// The first of the rarity order among those of `have`.
    fn rarest_closed(&self, have: &Bitfield) -> Option<PieceIndex> {
        // A piece of which no count is kept is had by seeds alone.
        let skip = if have.is_full() {
            0
        } else {
            self.rarity.zeros()
        };
        let front = self.rarity.order().iter().skip(skip).take(SCAN_MAX);
        let mut front = front.filter(|piece| have.contains(**piece as usize));
        if let Some(piece) = front.next() {
            return Some(PieceIndex(*piece));
        }
        let common = self.needed.common(have).map(|piece| piece as u32);
        let closed = common.filter_map(|piece| Some((self.rarity.place(piece)?, piece)));
        closed.min().map(|(_, piece)| PieceIndex(piece))
    }

    fn open_piece(&mut self, who: ConnId, piece: PieceIndex) -> Option<Pick> {
        self.rarity.remove(piece.0, self.counts[piece.at()]);
        let exclusive = self.suspects.contains(&piece);
        let blocks = self.layout.blocks_in(piece);
        let slot = self.open.open(piece, blocks, exclusive);
        let pick = self.ask_free(who, slot)?;
        Some(Pick {
            opens: true,
            ..pick
        })
    }

    fn ask_free(&mut self, who: ConnId, slot: u32) -> Option<Pick> {
        let at = self.open.update(slot, |open| open.ask_free(who))?;
        Some(self.pick_of(slot, at, false))
    }

    /// A piece that one peer was to fetch alone, and whose peer is asked for nothing more of it.
    fn take_over(&mut self, who: ConnId, reach: Reach<'_>) -> Option<Pick> {
        let mut queue = self.open.queue().iter().copied();
        let slot = queue.find(|slot| {
            let open = self.open.at(*slot);
            reach.covers(open.piece()) && open.is_abandoned()
        })?;
        self.open.update(slot, OpenPiece::reset);
        self.ask_free(who, slot)
    }

    /// Endgame: the block asked of the fewest others.
    fn ask_again(&mut self, who: ConnId, reach: Reach<'_>) -> Option<Pick> {
        if !self.is_endgame() || self.duplicates(who) >= DUPLICATES_MAX {
            return None;
        }
        let (slot, at) = (1..ASKERS_MAX).find_map(|askers| {
            let mut open = self.open.iter();
            open.find_map(|(slot, open)| {
                let covered = reach.covers(open.piece());
                let at = covered.then(|| open.shared_block(who, askers))??;
                Some((slot, at))
            })
        })?;
        self.open.update(slot, |open| open.ask(who, at))?;
        Some(self.pick_of(slot, at, true))
    }

    /// For how many missing blocks both `who` and others are asked.
    fn duplicates(&self, who: ConnId) -> usize {
        let open = self.open.iter();
        open.map(|(_, open)| open.duplicates(who)).sum()
    }

    /// Whether few pieces that anybody has are left with blocks that nobody is asked for.
    fn is_endgame(&self) -> bool {
        let unavailable = if self.seeds == 0 {
            self.rarity.zeros()
        } else {
            0
        };
        let left = self.rarity.len() - unavailable + self.open.queue().len();
        left <= ENDGAME_PIECES
    }

    fn pick_of(&self, slot: u32, at: u32, duplicate: bool) -> Pick {
        Pick {
            block: self.layout.nth_block(self.open.at(slot).piece(), at),
            opens: false,
            duplicate,
        }
    }

    /// The slot and the number of a block that can be asked for in an open piece.
    fn find(&self, block: Block) -> Option<(u32, u32)> {
        let slot = self.open.slot(block.piece)?;
        let at = block.begin / BLOCK_LEN;
        let whole = at < self.layout.blocks_in(block.piece)
            && self.layout.nth_block(block.piece, at) == block;
        whole.then_some((slot, at))
    }

    /// Panics unless all books agree. For tests: O(pieces x peers).
    pub fn check_invariant(&self) {
        self.rarity.check_invariant(&self.counts);
        self.open.check_invariant();
        for piece in (0..self.layout.pieces()).map(PieceIndex) {
            let (wanted, had) = (
                self.wanted.contains(piece.at()),
                self.had.contains(piece.at()),
            );
            assert_eq!(self.wants(piece), wanted && !had, "{piece:?}");
            let closed = self.wants(piece) && !self.is_open(piece);
            assert_eq!(self.rarity.place(piece.0).is_some(), closed, "{piece:?}");
            assert!(!(had && self.is_open(piece)), "{piece:?}");
            assert!(self.counts[piece.at()] <= self.counted_peers, "{piece:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use crate::meta::layout::{FileEntry, FileKind};
    use alloc::vec;

    const BLOCKS: u32 = 4;

    fn picker(pieces: u32) -> Picker {
        let file = FileEntry {
            path: vec!["file".into()],
            len: u64::from(pieces * BLOCKS * BLOCK_LEN),
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(BLOCKS * BLOCK_LEN, vec![file]).unwrap();
        Picker::new(Arc::new(layout), Rng::from_seed([9; 32]))
    }

    fn peer(number: u32) -> ConnId {
        ConnId(Id::from_parts(number, 0))
    }

    fn only(pieces: &[usize], len: usize) -> Bitfield {
        let mut have = Bitfield::new(len);
        for piece in pieces {
            have.insert(*piece);
        }
        have
    }

    /// Picks until nothing more is given.
    fn drain(picker: &mut Picker, who: ConnId, have: &Bitfield) -> Vec<Pick> {
        core::iter::from_fn(|| picker.pick(who, have, true)).collect()
    }

    fn pieces_of(picks: &[Pick]) -> Vec<u32> {
        let opened = picks.iter().filter(|pick| pick.opens);
        opened.map(|pick| pick.block.piece.0).collect()
    }

    fn fetch(picker: &mut Picker, who: ConnId, piece: u32) {
        let have = only(&[piece as usize], picker.counts.len());
        for _ in 0..BLOCKS {
            let block = picker.pick(who, &have, true).unwrap().block;
            picker.arrived(who, block);
        }
        picker.verified(PieceIndex(piece));
    }

    /// Once something is had, pieces are opened by how few peers have them, and seeds change nothing
    /// about the order.
    #[test]
    fn the_rarest_piece_is_opened_first() {
        let mut picker = picker(10);
        let seed = Bitfield::full(10);
        fetch(&mut picker, peer(0), 9);
        let _seed = picker.peer_joined(&seed);
        for crowd in [&[1, 2, 3][..], &[2, 3], &[3]] {
            let _counted = picker.peer_joined(&only(crowd, 10));
        }
        let order = pieces_of(&drain(&mut picker, peer(0), &seed));
        assert_eq!(order.len(), 9);
        assert_eq!(order[6..], [1, 2, 3]);
        assert_eq!(picker.availability(PieceIndex(3)), 4);
        assert_eq!(picker.distributed_copies(), 1300);
    }

    /// The rarest is found even where a peer has only what hundreds of rarer pieces stand before.
    #[test]
    fn the_rarest_piece_is_found_far_down_the_order() {
        let mut picker = picker(300);
        fetch(&mut picker, peer(0), 0);
        let most: Vec<usize> = (0..298).collect();
        for crowd in [&most[..], &[298], &[298], &[298, 299], &[299]] {
            let _counted = picker.peer_joined(&only(crowd, 300));
        }
        let order = pieces_of(&drain(&mut picker, peer(0), &only(&[298, 299], 300)));
        assert_eq!(order, [299, 298]);
    }

    /// Until one piece is had a random one is opened, and another seed chooses another.
    #[test]
    fn the_first_piece_is_random() {
        let have = Bitfield::full(200);
        let first = |seed: u8| {
            let layout = picker(200).layout;
            let mut picker = Picker::new(layout, Rng::from_seed([seed; 32]));
            let _rare = picker.peer_joined(&only(&(1..200).collect::<Vec<_>>(), 200));
            picker.pick(peer(0), &have, true).unwrap().block.piece
        };
        let chosen: BTreeSet<_> = (0..20).map(first).collect();
        assert!(chosen.len() > 15, "{chosen:?}");
        assert_eq!(first(3), first(3));
    }

    /// What two peers both have is fetched by both, piece by piece; each goes on with its own first.
    #[test]
    fn open_pieces_go_first_and_own_ones_before_those() {
        let mut picker = picker(50);
        let have = Bitfield::full(50);
        let first = picker.pick(peer(0), &have, true).unwrap();
        assert!(first.opens);
        let joined = picker.pick(peer(1), &have, true).unwrap();
        assert_eq!(joined.block.piece, first.block.piece);
        let mut without = have.clone();
        without.remove(first.block.piece.at());
        let second = picker.pick(peer(2), &without, true).unwrap();
        assert!(second.opens);
        let own = picker.pick(peer(2), &have, true).unwrap();
        assert_eq!(own.block.piece, second.block.piece);
    }

    /// Without leave to open, a peer works on open pieces alone.
    #[test]
    fn no_piece_is_opened_without_leave() {
        let mut picker = picker(50);
        let have = Bitfield::full(50);
        assert_eq!(picker.pick(peer(0), &have, false), None);
        for _ in 0..BLOCKS {
            picker.pick(peer(0), &have, true);
        }
        assert_eq!(picker.pick(peer(0), &have, false), None);
        picker.check_invariant();
    }

    /// A released block is given to the next who asks, and only once.
    #[test]
    fn a_void_request_frees_its_block() {
        let mut picker = picker(50);
        let have = Bitfield::full(50);
        let picks: Vec<_> = (0..BLOCKS)
            .filter_map(|_| picker.pick(peer(0), &have, true))
            .collect();
        picker.release(peer(0), picks[1].block);
        picker.release(peer(0), picks[1].block);
        picker.check_invariant();
        let again = picker.pick(peer(1), &have, true).unwrap();
        assert_eq!(again.block, picks[1].block);
        assert_eq!(
            picker.arrived(peer(1), again.block),
            Arrival::New {
                piece_complete: false
            }
        );
        picker.release(peer(1), again.block);
        assert!(picker.pick(peer(1), &have, true).unwrap().opens);
    }

    /// In the endgame a block goes to three peers at most, the least asked first; the one who brings
    /// it is known and so are those to cancel.
    #[test]
    fn the_endgame_asks_a_few_and_knows_whom_to_cancel() {
        let mut picker = picker(1);
        let have = Bitfield::full(1);
        let first = drain(&mut picker, peer(0), &have);
        assert_eq!(first.len(), 4);
        let second = drain(&mut picker, peer(1), &have);
        assert!(second.len() == 4 && second.iter().all(|pick| pick.duplicate));
        let block = second[0].block;
        picker.release(peer(0), block);
        assert_eq!(picker.pick(peer(2), &have, true).unwrap().block, block);
        drain(&mut picker, peer(2), &have);
        assert_eq!(drain(&mut picker, peer(3), &have).len(), 1);
        assert_eq!(drain(&mut picker, peer(4), &have), []);
        picker.arrived(peer(2), block);
        assert_eq!(picker.asked(block).collect::<Vec<_>>(), [peer(1), peer(3)]);
        assert_eq!(picker.arrived(peer(1), block), Arrival::Unwanted);
        picker.release(peer(3), block);
        assert_eq!(picker.asked(block).count(), 0);
        assert_eq!(picker.contributors(PieceIndex(0)).next(), Some(peer(2)));
        picker.check_invariant();
    }

    /// With many pieces left to ask for, no block is asked for twice, even if a peer has nothing else.
    #[test]
    fn no_duplicates_before_the_endgame() {
        let mut picker = picker(50);
        let _seed = picker.peer_joined(&Bitfield::full(50));
        let have = only(&[7], 50);
        assert_eq!(drain(&mut picker, peer(0), &have).len(), 4);
        assert_eq!(picker.pick(peer(1), &have, true), None);
    }

    /// One peer does not ask again for all that others were asked for: a few blocks, and with each
    /// that comes another.
    #[test]
    fn duplicates_are_few_at_a_time() {
        let mut picker = picker(4);
        let have = Bitfield::full(4);
        assert_eq!(drain(&mut picker, peer(0), &have).len(), 16);
        let again = drain(&mut picker, peer(1), &have);
        assert_eq!(again.len(), DUPLICATES_MAX);
        picker.arrived(peer(1), again[0].block);
        assert_eq!(drain(&mut picker, peer(1), &have).len(), 1);
    }

    /// Pieces that nobody has do not keep the endgame from the others.
    #[test]
    fn the_endgame_does_not_wait_for_what_nobody_has() {
        let mut picker = picker(50);
        let have = only(&[7], 50);
        let _counted = picker.peer_joined(&have);
        drain(&mut picker, peer(0), &have);
        assert!(picker.pick(peer(1), &have, true).unwrap().duplicate);
    }

    /// After a failure one peer alone fetches the piece; when it gives up, what it gave is void and
    /// the next one begins anew, so that the blame is never divided.
    #[test]
    fn a_suspect_piece_has_one_contributor() {
        let mut picker = picker(1);
        let (have, piece) = (Bitfield::full(1), PieceIndex(0));
        for who in [peer(0), peer(1), peer(0), peer(1)] {
            let block = picker.pick(who, &have, true).unwrap().block;
            picker.arrived(who, block);
        }
        assert_eq!(picker.contributors(piece).count(), 4);
        picker.failed(piece, true);
        let kept = picker.pick(peer(2), &have, false).unwrap().block;
        let left = picker.pick(peer(2), &have, false).unwrap().block;
        assert_eq!(picker.pick(peer(3), &have, true), None);
        assert_eq!(picker.arrived(peer(3), left), Arrival::Unwanted);
        picker.arrived(peer(2), kept);
        picker.release(peer(2), left);
        picker.check_invariant();
        for _ in 0..BLOCKS {
            let block = picker.pick(peer(3), &have, false).unwrap().block;
            picker.arrived(peer(3), block);
        }
        assert!(picker.contributors(piece).all(|giver| giver == peer(3)));
    }

    /// A peer that fell silent after its last block came does not keep a suspect piece for ever.
    #[test]
    fn an_abandoned_suspect_piece_is_taken_over() {
        let mut picker = picker(1);
        let have = Bitfield::full(1);
        let block = picker.pick(peer(0), &have, true).unwrap().block;
        picker.failed(block.piece, true);
        let block = picker.pick(peer(0), &have, true).unwrap().block;
        picker.arrived(peer(0), block);
        assert_eq!(picker.pick(peer(1), &have, false).unwrap().block, block);
        assert_eq!(picker.contributors(block.piece).count(), 0);
        picker.check_invariant();
    }

    /// Sequential mode takes the lowest piece, open or not, and skips what is not wanted.
    #[test]
    fn sequential_mode_goes_from_the_front() {
        let mut picker = picker(6);
        let have = Bitfield::full(6);
        picker.set_sequential(true);
        picker.set_had(PieceIndex(0));
        picker.set_wanted(PieceIndex(2), false);
        let late = only(&[4], 6);
        picker.pick(peer(0), &late, true);
        let order = pieces_of(&drain(&mut picker, peer(0), &have));
        assert_eq!(order, [1, 3, 5]);
        assert!(picker.wants_from(&late) && !picker.wants_from(&only(&[0, 2], 6)));
    }

    /// While choked only the pieces allowed are picked.
    #[test]
    fn picks_among_a_few_pieces_stay_among_them() {
        let mut picker = picker(20);
        let have = only(&[1, 2, 3], 20);
        picker.pick(peer(0), &only(&[5], 20), true);
        let allowed = [2, 5, 9].map(PieceIndex);
        for _ in 0..BLOCKS {
            let pick = picker.pick_among(peer(1), &have, &allowed, true).unwrap();
            assert_eq!(pick.block.piece, PieceIndex(2));
        }
        assert_eq!(picker.pick_among(peer(1), &have, &allowed, true), None);
    }

    /// What is lost, unwanted or closed changes sides at once, and a finished torrent keeps little.
    #[test]
    fn pieces_change_sides() {
        let mut picker = picker(2);
        let have = Bitfield::full(2);
        let pick = picker.pick(peer(0), &have, true).unwrap();
        let (open, other) = (pick.block.piece, PieceIndex(1 - pick.block.piece.0));
        picker.set_wanted(open, false);
        picker.check_invariant();
        assert_ne!(picker.pick(peer(0), &have, true).unwrap().block.piece, open);
        picker.close_piece(open);
        picker.set_had(other);
        picker.check_invariant();
        assert!(picker.is_done() && picker.open_pieces().next().is_none());
        assert_eq!(picker.arrived(peer(0), pick.block), Arrival::Unwanted);
        picker.set_missing(other);
        assert_eq!(picker.missing_wanted(), 1);
        assert!(picker.pick(peer(0), &have, true).unwrap().opens);
        picker.check_invariant();
    }

    /// A peer that comes to have everything leaves no count behind when it goes.
    #[test]
    fn leaving_undoes_what_joining_and_gaining_did() {
        let mut picker = picker(3);
        let mut have = only(&[1], 3);
        let counted = picker.peer_joined(&have);
        for piece in [0, 2] {
            have.insert(piece);
            picker.peer_gained(&counted, PieceIndex(piece as u32));
        }
        assert_eq!(picker.distributed_copies(), 1000);
        picker.peer_left(counted, &have);
        let seed = picker.peer_joined(&have);
        picker.peer_left(seed, &have);
        assert_eq!((picker.seeds, &picker.counts[..]), (0, &[0; 3][..]));
        picker.check_invariant();
    }

    /// A range that is no whole block of an open piece is nothing we asked for.
    #[test]
    fn odd_ranges_are_unwanted() {
        let mut picker = picker(1);
        let whole = picker
            .pick(peer(0), &Bitfield::full(1), true)
            .unwrap()
            .block;
        for (begin, len) in [(1, BLOCK_LEN), (0, 5), (0, 2 * BLOCK_LEN)] {
            let odd = Block {
                begin,
                len,
                ..whole
            };
            assert_eq!(picker.arrived(peer(0), odd), Arrival::Unwanted);
            picker.release(peer(0), odd);
        }
        assert_eq!(picker.asked(whole).count(), 1);
    }
}

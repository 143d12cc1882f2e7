//! Floor 2: which block to ask of which peer. Rarest first (BEP 3 leaves the choice open; the paper
//! "Incentives Build Robustness in BitTorrent", section 2.4, gives the reasons), whole pieces before
//! new ones, and an endgame.
//!
//! A piece is in one of four states:
//!
//! - *had*: verified;
//! - *open*: it has a slab, and each of its blocks is free, asked for or arrived;
//! - *closed*: missing, wanted and not open: it stands in the rarity order of its priority;
//! - *unwanted*: missing and not to be opened.
//!
//! Invariant: `needed` is what is wanted and not had; the rarity order holds exactly the pieces of
//! `needed` that are not open; `counts` is, of each piece, how many of the peers counted by pieces
//! have it. Peers that join with everything are in `seeds` alone. [`Picker::check_invariant`] tells.
//!
//! A peer is given something of the highest priority that it can serve. Within one priority, in
//! this order: a free block of a piece it already works on; one of the oldest open piece that nobody
//! works on; one of the rarest piece it has, open before closed. Until the first piece is had, open
//! pieces go before closed ones, and of these goes a random one, so that something is soon there to
//! trade. In sequential mode the lowest piece goes first instead.
//!
//! So peers work together on a piece only where none of them has a rarer one. A seed above all is
//! not to help with what others can give: where it was, ten leechers all had the same pieces, and
//! for want of anybody interested a sixth of what they could have sent was lost.
//!
//! Where no priority offers anything: a piece that another was to fetch alone and left; and in the
//! endgame, when at most [`ENDGAME_PIECES`] pieces have blocks left to ask for, a block that others
//! were asked for already.
//!
//! A piece that is too long to be held has sections, each with a slab of its own, and a few
//! such pieces are open at once.
//!
//! Cost: a HAVE O(1); a bitfield, or its peer's leaving, O(pieces); a seed O(1); a new priority
//! O(the highest count). A pick looks at the open pieces with free blocks (few: about one for each
//! peer that lets us ask), and where the peer works on none of them, takes O(pieces / 64) to tell
//! whether it has closed pieces of a priority. It opens the rarest after a few steps, or O(pieces) if
//! all that the peer has is common. It allocates nothing once as many pieces were open before.
//! Memory: 12 bytes for each piece, 2 when all is had and none while nobody tells of pieces; 8 for each block of an open piece.

mod choice;
mod crowd;
mod each;
mod long;
mod open;
mod rarity;
mod sections;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::base::rng::Rng;
use crate::meta::layout::{BLOCK_LEN, Block, Layout, PieceIndex, Priority};

pub use crowd::Counted;
use each::Each;
pub use long::LONG_OPEN_MAX;
use open::{OpenPiece, OpenPieces};
use rarity::Rarity;

/// Blocks are asked of several peers (three at most) once this many pieces or fewer have blocks
/// left that nobody was asked for.
pub const ENDGAME_PIECES: usize = 4;

/// For how many blocks at a time a peer is asked that others were asked for too: enough to replace a
/// peer that is slow, not so many that the end of each torrent comes twice.
pub const DUPLICATES_MAX: usize = 4;

/// The picker of one torrent.
#[derive(Debug)]
pub struct Picker {
    layout: Arc<Layout>,
    rng: Rng,
    priorities: Each<Priority>,
    had: Bitfield,
    needed: Bitfield,
    counts: Each<u16>,
    counted_peers: u16,
    seeds: u32,
    rarity: Rarity,
    open: OpenPieces,
    /// Missing pieces whose hash was wrong and which one peer at a time may fetch.
    suspects: BTreeSet<PieceIndex>,
    sequential: bool,
    /// Blocks of a section of a piece; 0 if pieces are held whole.
    section: u32,
}

/// A block to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// What to ask for.
    pub block: Block,
    /// Whether its piece, or its section of a long one, was closed until now: the caller reserves a
    /// slab.
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

impl Picker {
    /// Everything wanted with normal priority, nothing had, nobody there.
    #[must_use]
    pub fn new(layout: Arc<Layout>, mut rng: Rng) -> Self {
        let pieces = layout.pieces() as usize;
        let rarity = Rarity::all(layout.pieces(), Priority::default(), &mut rng);
        Picker {
            priorities: Each::same(Priority::default(), pieces),
            needed: Bitfield::full(pieces),
            rarity,
            ..Picker::unwanted(layout, rng)
        }
    }

    /// Nothing wanted, nothing had, nobody there: that of a seed. Holds no memory for its pieces until
    /// a peer tells of some.
    #[must_use]
    pub fn unwanted(layout: Arc<Layout>, rng: Rng) -> Self {
        let pieces = layout.pieces() as usize;
        Picker {
            layout,
            rng,
            priorities: Each::same(Priority::Unwanted, pieces),
            had: Bitfield::new(pieces),
            needed: Bitfield::new(pieces),
            counts: Each::same(0, pieces),
            counted_peers: 0,
            seeds: 0,
            rarity: Rarity::default(),
            open: OpenPieces::default(),
            suspects: BTreeSet::new(),
            sequential: false,
            section: 0,
        }
    }
}

/// The goal: what is wanted and what is had.
impl Picker {
    /// How urgently `piece` is to be fetched, from the next pick on; had pieces keep it for the day
    /// they go missing. O(the highest count of a piece).
    ///
    /// An open piece stays open, and its blocks follow the new priority. If that is
    /// [`Priority::Unwanted`], nothing more of it is picked, but what arrives is still kept. To let
    /// go of it: send a cancel to each of [`asked`](Self::asked) for each of its blocks and
    /// [`release`](Self::release) them, then [`close_piece`](Self::close_piece) and give back its
    /// slab. A piece whose blocks are all there is not worth it: it is being hashed or written.
    pub fn set_priority(&mut self, piece: PieceIndex, priority: Priority) {
        let old = self.priorities.set(piece.at(), priority);
        if old != priority && self.rarity.place(piece.0).is_some() {
            self.rarity
                .remove(piece.0, old, self.counts.get(piece.at()));
        }
        self.refresh(piece);
    }

    /// How urgently `piece` is to be fetched, had or not.
    #[must_use]
    pub fn priority(&self, piece: PieceIndex) -> Priority {
        self.priorities.get(piece.at())
    }

    /// Lowest piece first instead of rarest first, among those of one priority.
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

    /// Whether nobody can be given a block of an open piece, whatever they have: all are asked for,
    /// and asking twice is not due. O(1), or O(open pieces) of long ones.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        let mut queue = self.open.queue().iter();
        let are_whole = self.section == 0;
        !queue.any(|slot| are_whole || self.open.at(*slot).offers(false)) && !self.is_endgame()
    }

    /// Whether everything wanted is had.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.needed.count() == 0
    }

    /// Brings `needed`, the rarity order and the queue of open pieces into line for one piece.
    fn refresh(&mut self, piece: PieceIndex) {
        let priority = self.priorities.get(piece.at());
        let needed = priority.is_wanted() && !self.had.contains(piece.at());
        if needed {
            self.needed.insert(piece.at());
        } else {
            self.needed.remove(piece.at());
        }
        let slot = self.open.slot(piece);
        if let Some(slot) = slot {
            self.open.update(slot, |open| open.set_priority(priority));
        }
        let count = self.counts.get(piece.at());
        match (needed && slot.is_none(), self.rarity.place(piece.0)) {
            (true, None) => {
                let pieces = self.layout.pieces();
                self.rarity
                    .insert(piece.0, priority, count, pieces, &mut self.rng);
            }
            (false, Some(_)) => self.rarity.remove(piece.0, priority, count),
            _ => {}
        }
    }
}

/// The work: what becomes of the blocks that were picked.
impl Picker {
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

    /// Opens a closed piece of which these blocks are there already, from an earlier run: `giver`
    /// stands for whoever gave them. Whether all of them are there.
    ///
    /// # Panics
    /// If the piece is not closed (see [`Picker::is_closed`]), or `blocks` are not its blocks.
    pub fn restore(&mut self, piece: PieceIndex, blocks: &Bitfield, giver: ConnId) -> bool {
        assert!(self.is_closed(piece), "{piece:?} is closed");
        assert_eq!(blocks.len(), self.layout.blocks_in(piece) as usize);
        let slot = self.open_closed(piece);
        self.open.update(slot, |open| {
            for at in blocks.iter() {
                open.arrived(giver, at as u32);
            }
        });
        self.open.at(slot).is_complete()
    }

    /// The blocks of `piece` that have arrived; empty if it is not open.
    #[must_use]
    pub fn blocks_had(&self, piece: PieceIndex) -> Bitfield {
        let mut had = Bitfield::new(self.layout.blocks_in(piece) as usize);
        if let Some(open) = self.open.get(piece) {
            for at in open.arrivals() {
                had.insert(at);
            }
        }
        had
    }

    /// Whether `piece` is missing, wanted and not open.
    #[must_use]
    pub fn is_closed(&self, piece: PieceIndex) -> bool {
        self.wants(piece) && !self.is_open(piece)
    }

    /// Who is still asked for `block`, arrived or not; at most three peers. After an arrival these
    /// are the ones to send a cancel, and to [`release`](Self::release).
    pub fn asked(&self, block: Block) -> impl Iterator<Item = ConnId> + use<> {
        let found = self.find(block);
        let asked = found.map(|(slot, at)| self.open.at(slot).asked(at));
        asked.unwrap_or_default().into_iter().flatten()
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

    /// The slot and the number of a block that can be asked for in an open piece.
    fn find(&self, block: Block) -> Option<(u32, u32)> {
        let slot = self.open.slot(block.piece)?;
        let rest = self
            .layout
            .piece_len(block.piece)
            .checked_sub(block.begin)?;
        let whole = block.begin.is_multiple_of(BLOCK_LEN) && block.len == rest.min(BLOCK_LEN);
        (whole && rest > 0).then_some((slot, block.begin / BLOCK_LEN))
    }

    /// Panics unless all books agree. For tests: O(pieces x peers).
    pub fn check_invariant(&self) {
        let priorities: Vec<Priority> = self.priorities.iter().collect();
        let counts: Vec<u16> = self.counts.iter().collect();
        self.rarity.check_invariant(&priorities, &counts);
        self.open.check_invariant();
        for piece in (0..self.layout.pieces()).map(PieceIndex) {
            let (priority, had) = (self.priority(piece), self.had.contains(piece.at()));
            let needed = priority.is_wanted() && !had;
            assert_eq!(self.wants(piece), needed, "{piece:?}");
            let closed = self.wants(piece) && !self.is_open(piece);
            assert_eq!(self.rarity.place(piece.0).is_some(), closed, "{piece:?}");
            assert!(!(had && self.is_open(piece)), "{piece:?}");
            let open = self.open.get(piece).map(OpenPiece::priority);
            assert!(open.is_none_or(|open| open == priority), "{piece:?}");
            assert!(counts[piece.at()] <= self.counted_peers, "{piece:?}");
        }
    }
}

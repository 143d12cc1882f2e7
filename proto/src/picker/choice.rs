//! The choice: which block a peer is asked for next.

use super::open::{ASKERS_MAX, OpenPiece};
use super::{DUPLICATES_MAX, ENDGAME_PIECES, Pick, Picker};
use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::meta::layout::PieceIndex;

/// How far into the rarity order a pick looks before it searches the peer's own pieces instead.
const SCAN_MAX: usize = 128;

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

    /// The first closed piece of a peer with these: one to ask it for if one can be opened.
    /// O(pieces / 64).
    #[must_use]
    pub fn lowest_closed(&self, have: &Bitfield) -> Option<PieceIndex> {
        let mut common = self.needed.common(have).map(|piece| piece as u32);
        let lowest = common.find(|piece| self.rarity.place(*piece).is_some());
        lowest.map(PieceIndex)
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
}

//! The choice: which block a peer is asked for next.

use core::cmp::Reverse;

use super::open::{ASKERS_MAX, OpenPiece};
use super::{DUPLICATES_MAX, ENDGAME_PIECES, Pick, Picker};
use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::meta::layout::{PieceIndex, Priority};

/// How far into the rarity order a pick looks before it searches the peer's own pieces instead.
const SCAN_MAX: usize = 128;

/// Where a pick may look: pieces that the peer has, and perhaps only some of those.
#[derive(Clone, Copy)]
struct Reach<'a> {
    have: &'a Bitfield,
    only: Option<&'a [PieceIndex]>,
}

/// An open piece that a peer may be given a block of.
#[derive(Clone, Copy)]
struct OpenChoice {
    slot: u32,
    piece: PieceIndex,
    priority: Priority,
    claim: Claim,
}

/// How much an open piece needs a peer, most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// The peer works on it.
    Own,
    /// Nobody works on it; or it is the first of all, which is to be there soon.
    Left,
    /// Others work on it, and so many have it.
    Shared(u16),
}

impl OpenChoice {
    fn is_shared(&self) -> bool {
        matches!(self.claim, Claim::Shared(_))
    }
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

    /// Whether a peer with these pieces has a closed one: something to ask it for if a piece may be
    /// opened. O(pieces / 64).
    #[must_use]
    pub fn has_closed(&self, have: &Bitfield) -> bool {
        let mut priorities = Priority::WANTED.into_iter();
        self.has_place() && priorities.any(|priority| self.rarity.members(priority).meets(have))
    }

    /// Whether there is something to ask of `who`, which has these pieces, if it may open a piece or
    /// a section.
    #[must_use]
    pub fn could_open(&self, who: ConnId, have: &Bitfield) -> bool {
        let mut queue = self.open.queue().iter();
        let offers = |slot: &u32| {
            let open = self.open.at(*slot);
            have.contains(open.piece().at()) && open.admits(who) && open.closed_sections() > 0
        };
        self.has_closed(have) || (self.section > 0 && queue.any(offers))
    }

    fn pick_within(&mut self, who: ConnId, reach: Reach<'_>, may_open: bool) -> Option<Pick> {
        let open = self.open_choice(who, reach, may_open);
        let closed = if may_open && self.has_place() {
            self.closed_choice(reach, open)
        } else {
            None
        };
        match (closed, open) {
            (Some(piece), _) => self.open_piece(who, piece),
            (None, Some(open)) => self.ask_free(who, open.slot, may_open),
            (None, None) => self
                .take_over(who, reach)
                .or_else(|| self.ask_again(who, reach)),
        }
    }

    /// The open piece whose next free block `who` should have, unless it should open another.
    fn open_choice(&self, who: ConnId, reach: Reach<'_>, may_open: bool) -> Option<OpenChoice> {
        let mut best: Option<OpenChoice> = None;
        // Of a piece that is held whole every free block can be asked for.
        let are_whole = self.section == 0;
        for slot in self.open.queue().iter().copied() {
            let open = self.open.at(slot);
            if !(reach.covers(open.piece())
                && open.admits(who)
                && (are_whole || open.offers(may_open)))
            {
                continue;
            }
            if best.is_some_and(|best| best.priority != open.priority()) {
                break;
            }
            let choice = OpenChoice {
                slot,
                piece: open.piece(),
                priority: open.priority(),
                claim: self.claim(who, open),
            };
            if !self.sequential && choice.claim == Claim::Own {
                return Some(choice);
            }
            if best.is_none_or(|best| self.goes_before(choice, best)) {
                best = Some(choice);
            }
        }
        best
    }

    /// Which of two open pieces of one priority a peer should have.
    fn goes_before(&self, one: OpenChoice, other: OpenChoice) -> bool {
        match self.sequential {
            true => one.piece < other.piece,
            false => one.claim < other.claim,
        }
    }

    /// How much `who` is needed for an open piece.
    fn claim(&self, who: ConnId, open: &OpenPiece) -> Claim {
        if open.employs(who) {
            Claim::Own
        } else if open.is_idle() || self.had.count() == 0 {
            Claim::Left
        } else {
            Claim::Shared(self.counts.get(open.piece().at()))
        }
    }

    /// The closed piece that a peer should open rather than go on with an open piece.
    fn closed_choice(&mut self, reach: Reach<'_>, open: Option<OpenChoice>) -> Option<PieceIndex> {
        let sequential = self.sequential;
        let goes_first = |priority: Priority| {
            open.is_none_or(|open| {
                let equal = priority == open.priority;
                priority > open.priority || equal && (sequential || open.is_shared())
            })
        };
        let piece = match reach.only {
            Some(only) => {
                let fitting = only.iter().copied().filter(|piece| reach.covers(*piece));
                self.closed_among(fitting.filter(|piece| goes_first(self.priority(*piece))))
            }
            None => {
                let mut priorities = Priority::WANTED
                    .into_iter()
                    .take_while(|at| goes_first(*at));
                priorities.find_map(|priority| self.closed_of(priority, reach.have))
            }
        }?;
        let goes_on = |open: OpenChoice| {
            let equal = self.priority(piece) == open.priority;
            equal
                && match open.claim {
                    _ if sequential => open.piece < piece,
                    Claim::Shared(count) => count <= self.counts.get(piece.at()),
                    Claim::Own | Claim::Left => true,
                }
        };
        (!open.is_some_and(goes_on)).then_some(piece)
    }

    /// The closed piece of a few that goes before the others.
    fn closed_among(&self, pieces: impl Iterator<Item = PieceIndex>) -> Option<PieceIndex> {
        let closed = pieces.filter_map(|piece| Some((self.rarity.place(piece.0)?, piece)));
        let first = if self.sequential {
            closed.min_by_key(|(_, piece)| (Reverse(self.priority(*piece)), *piece))
        } else {
            // The rarity order is one of priorities before all.
            closed.min()
        };
        first.map(|(_, piece)| piece)
    }

    /// The closed piece of this priority that a peer with these pieces should open.
    fn closed_of(&mut self, priority: Priority, have: &Bitfield) -> Option<PieceIndex> {
        // Tells at once when there is nothing, so that no scan ends in vain.
        let lowest = self.rarity.members(priority).common(have).next()?;
        if self.sequential {
            return Some(PieceIndex(lowest as u32));
        }
        if self.had.count() == 0
            && let Some(piece) = self.random_closed(priority, have)
        {
            return Some(piece);
        }
        self.rarest_closed(priority, have)
    }

    /// A random closed piece among those of `have`, if one is soon found.
    fn random_closed(&mut self, priority: Priority, have: &Bitfield) -> Option<PieceIndex> {
        let order = self.rarity.order(priority);
        let (before, after) = order.split_at(self.rng.index(order.len()));
        let found = after
            .iter()
            .chain(before)
            .take(SCAN_MAX)
            .find(|piece| have.contains(**piece as usize));
        found.map(|piece| PieceIndex(*piece))
    }

    /// The first in the rarity order among those of `have`.
    fn rarest_closed(&self, priority: Priority, have: &Bitfield) -> Option<PieceIndex> {
        // A piece of which no count is kept is had by seeds alone.
        let skip = if have.is_full() {
            0
        } else {
            self.rarity.zeros(priority)
        };
        let order = self.rarity.order(priority);
        let mut front = order.iter().skip(skip).take(SCAN_MAX);
        if let Some(piece) = front.find(|piece| have.contains(**piece as usize)) {
            return Some(PieceIndex(*piece));
        }
        let common = self.rarity.members(priority).common(have);
        self.closed_among(common.map(|piece| PieceIndex(piece as u32)))
    }

    fn open_piece(&mut self, who: ConnId, piece: PieceIndex) -> Option<Pick> {
        let slot = self.open_closed(piece);
        let pick = self.ask_free(who, slot, true)?;
        Some(Pick {
            opens: true,
            ..pick
        })
    }

    /// Opens a closed piece: its slot.
    pub(super) fn open_closed(&mut self, piece: PieceIndex) -> u32 {
        let priority = self.priority(piece);
        self.rarity
            .remove(piece.0, priority, self.counts.get(piece.at()));
        let exclusive = self.suspects.contains(&piece);
        let blocks = self.layout.blocks_in(piece);
        let blocks = (blocks, self.section);
        self.open.open(piece, priority, blocks, exclusive)
    }

    fn ask_free(&mut self, who: ConnId, slot: u32, may_open: bool) -> Option<Pick> {
        let (at, opens) = (self.open).update(slot, |open| open.ask_free(who, may_open))?;
        let pick = self.pick_of(slot, at, false);
        Some(Pick { opens, ..pick })
    }

    /// A piece that one peer was to fetch alone, and whose peer is asked for nothing more of it.
    fn take_over(&mut self, who: ConnId, reach: Reach<'_>) -> Option<Pick> {
        let mut queue = self.open.queue().iter().copied();
        let slot = queue.find(|slot| {
            let open = self.open.at(*slot);
            reach.covers(open.piece()) && open.is_up_for_taking()
        })?;
        self.open.update(slot, OpenPiece::reset);
        self.ask_free(who, slot, false)
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
    pub(super) fn is_endgame(&self) -> bool {
        let unavailable = if self.seeds == 0 {
            let zeros = Priority::WANTED.map(|priority| self.rarity.zeros(priority));
            zeros.iter().sum()
        } else {
            0
        };
        let left = self.rarity.len() - unavailable + self.open.queue().len();
        left <= ENDGAME_PIECES && (self.section == 0 || self.sections_left() <= ENDGAME_PIECES)
    }

    /// How many sections of open pieces nobody was asked for yet.
    fn sections_left(&self) -> usize {
        let queue = self.open.queue().iter();
        queue
            .map(|slot| self.open.at(*slot).closed_sections())
            .sum()
    }

    fn pick_of(&self, slot: u32, at: u32, duplicate: bool) -> Pick {
        Pick {
            block: self.layout.nth_block(self.open.at(slot).piece(), at),
            opens: false,
            duplicate,
        }
    }
}

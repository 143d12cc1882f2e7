//! The open pieces: those with a slab, some of whose blocks are asked for or have arrived.
//!
//! Invariant: `index` is sorted by piece and names each open piece's slot in `table` once; `queue`
//! holds the slots of those that are wanted and have a free block, by priority, the oldest of each
//! first; all other slots of `table` are in `spare` and keep their vectors, so that opening a piece
//! allocates nothing once as many were open before.

use alloc::vec::Vec;
use core::cmp::Reverse;

use super::sections::Sections;
use crate::base::id::ConnId;
use crate::meta::layout::{PieceIndex, Priority};

/// The most peers that are asked for one block at a time.
pub(super) const ASKERS_MAX: usize = 3;

/// No member of the crew.
const NOBODY: u16 = u16::MAX;

/// The open pieces.
#[derive(Debug, Default)]
pub(super) struct OpenPieces {
    index: Vec<(PieceIndex, u32)>,
    table: Vec<OpenPiece>,
    spare: Vec<u32>,
    queue: Vec<u32>,
    opened: u64,
}

/// An open piece.
///
/// Invariant: `free` blocks are neither asked for nor given, none of them below `free_from`; `given`
/// have arrived; each member of the crew counts its own blocks.
#[derive(Debug)]
pub(super) struct OpenPiece {
    piece: PieceIndex,
    /// Which in the row of all pieces ever opened: its age.
    serial: u64,
    blocks: Vec<BlockState>,
    free: u32,
    free_from: u32,
    given: u32,
    crew: Vec<Member>,
    /// Unwanted if nothing of it is to be picked.
    priority: Priority,
    /// With which priority it stands in the queue, if it does.
    queued: Option<Priority>,
    /// Whether one peer at a time may fetch it, and who that is.
    exclusive: bool,
    holder: Option<ConnId>,
    sections: Sections,
}

/// What the queue is sorted by: the highest priority first, then the oldest.
type Rank = (Reverse<Priority>, u64);

/// Members of the crew that are asked for a block and that gave it. A peer may still be asked for a
/// block that another gave: until its request is void.
#[derive(Clone, Copy, Debug)]
struct BlockState {
    given_by: u16,
    asked_of: [u16; ASKERS_MAX],
}

/// A peer that is asked for blocks of a piece or gave some; with neither, its place is free.
#[derive(Debug)]
struct Member {
    conn: ConnId,
    asked: u32,
    given: u32,
}

impl OpenPieces {
    pub(super) fn slot(&self, piece: PieceIndex) -> Option<u32> {
        let at = self.position(piece).ok()?;
        Some(self.index[at].1)
    }

    pub(super) fn get(&self, piece: PieceIndex) -> Option<&OpenPiece> {
        self.slot(piece).map(|slot| self.at(slot))
    }

    pub(super) fn at(&self, slot: u32) -> &OpenPiece {
        &self.table[slot as usize]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Every open piece with its slot, by index.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &OpenPiece)> {
        self.index.iter().map(|(_, slot)| (*slot, self.at(*slot)))
    }

    /// The slots of the wanted pieces with a free block: by priority, and the oldest of each first.
    pub(super) fn queue(&self) -> &[u32] {
        &self.queue
    }

    /// Opens a wanted piece that is not open, in sections of so many blocks or, if that is 0, whole.
    pub(super) fn open(
        &mut self,
        piece: PieceIndex,
        priority: Priority,
        (blocks, section): (u32, u32),
        exclusive: bool,
    ) -> u32 {
        let slot = self.spare.pop().unwrap_or(self.table.len() as u32);
        if slot as usize == self.table.len() {
            self.table.push(OpenPiece::empty());
        }
        let at = self.position(piece).unwrap_or_else(|at| at);
        self.index.insert(at, (piece, slot));
        self.opened += 1;
        let serial = self.opened;
        self.update(slot, |open| {
            open.piece = piece;
            open.serial = serial;
            open.priority = priority;
            open.exclusive = exclusive;
            open.blocks.resize(blocks as usize, BlockState::FREE);
            open.sections.lay_out(blocks, section);
            open.reset();
        });
        slot
    }

    /// Closes a piece; whether it was open.
    pub(super) fn close(&mut self, piece: PieceIndex) -> bool {
        let Ok(at) = self.position(piece) else {
            return false;
        };
        let slot = self.index[at].1;
        self.update(slot, |open| open.priority = Priority::Unwanted);
        self.index.remove(at);
        self.spare.push(slot);
        true
    }

    /// Changes an open piece and keeps the queue right.
    pub(super) fn update<R>(&mut self, slot: u32, change: impl FnOnce(&mut OpenPiece) -> R) -> R {
        let open = &mut self.table[slot as usize];
        let result = change(open);
        if open.queued != open.to_queue() {
            self.requeue(slot);
        }
        result
    }

    /// Moves a piece to where it belongs in the queue, or in or out.
    fn requeue(&mut self, slot: u32) {
        if let Some(rank) = self.at(slot).rank() {
            self.queue.remove(self.place_of(rank));
        }
        let open = &mut self.table[slot as usize];
        open.queued = open.to_queue();
        if let Some(rank) = open.rank() {
            self.queue.insert(self.place_of(rank), slot);
        }
    }

    /// Where in the queue a piece of this rank stands or would stand.
    fn place_of(&self, rank: Rank) -> usize {
        let before = |slot: &u32| self.at(*slot).rank() < Some(rank);
        self.queue.partition_point(before)
    }

    fn position(&self, piece: PieceIndex) -> Result<usize, usize> {
        self.index.binary_search_by_key(&piece, |(open, _)| *open)
    }

    /// Panics unless the invariants of this file hold.
    pub(super) fn check_invariant(&self) {
        assert!(self.index.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(self.index.len() + self.spare.len(), self.table.len());
        let rank = |slot: &u32| self.at(*slot).rank();
        assert!(self.queue.is_sorted_by(|one, next| rank(one) < rank(next)));
        let mut queued = 0;
        for (piece, slot) in &self.index {
            let open = self.at(*slot);
            assert_eq!(open.piece, *piece);
            assert!(!self.spare.contains(slot));
            assert_eq!(open.queued, open.to_queue());
            assert_eq!(self.queue.contains(slot), open.queued.is_some());
            queued += usize::from(open.queued.is_some());
            open.check_invariant();
        }
        assert_eq!(self.queue.len(), queued);
    }
}

impl OpenPiece {
    fn empty() -> Self {
        OpenPiece {
            piece: PieceIndex(0),
            serial: 0,
            blocks: Vec::new(),
            free: 0,
            free_from: 0,
            given: 0,
            crew: Vec::new(),
            priority: Priority::Unwanted,
            queued: None,
            exclusive: false,
            holder: None,
            sections: Sections::default(),
        }
    }

    pub(super) fn piece(&self) -> PieceIndex {
        self.piece
    }

    pub(super) fn priority(&self) -> Priority {
        self.priority
    }

    /// With which priority it is to be in the queue, if it is.
    fn to_queue(&self) -> Option<Priority> {
        (self.priority.is_wanted() && self.free > 0).then_some(self.priority)
    }

    /// Its place in the queue, if it has one.
    fn rank(&self) -> Option<Rank> {
        self.queued.map(|priority| (Reverse(priority), self.serial))
    }

    /// Whether all blocks have arrived.
    pub(super) fn is_complete(&self) -> bool {
        self.given as usize == self.blocks.len()
    }

    /// Whether nothing would keep `who` from taking a free block.
    pub(super) fn admits(&self, who: ConnId) -> bool {
        !self.exclusive || self.holder.is_none_or(|holder| holder == who)
    }

    /// Whether `who` is asked for blocks of it or gave some.
    pub(super) fn employs(&self, who: ConnId) -> bool {
        self.find(who).is_some()
    }

    /// Whether nobody is asked for any of its blocks.
    pub(super) fn is_idle(&self) -> bool {
        self.crew.iter().all(|member| member.asked == 0)
    }

    /// Whether its one peer is asked for nothing more, though blocks are missing.
    fn is_abandoned(&self) -> bool {
        self.exclusive && !self.is_complete() && self.is_idle()
    }

    /// Whether another peer may begin it anew. Whoever fetches a long piece may wait for memory.
    pub(super) fn is_up_for_taking(&self) -> bool {
        self.is_abandoned() && self.sections.is_empty()
    }

    pub(super) fn set_priority(&mut self, priority: Priority) {
        self.priority = priority;
    }

    /// From now on one peer at a time may fetch it.
    pub(super) fn make_exclusive(&mut self) {
        self.exclusive = true;
    }

    /// Forgets all requests and arrivals.
    pub(super) fn reset(&mut self) {
        self.blocks.fill(BlockState::FREE);
        self.free = self.blocks.len() as u32;
        self.free_from = 0;
        self.given = 0;
        self.crew.clear();
        self.holder = None;
        self.sections.reset();
    }

    /// Whether a free block can be asked for; of a long piece one of a section that has a slab, or of
    /// any if it `may_open` one.
    pub(super) fn offers(&self, may_open: bool) -> bool {
        self.sections.offer(may_open)
    }

    /// Asks `who`, which is admitted, for the first free block that is [offered](Self::offers), and
    /// tells whether that opened a section. `None` only if there is none or if the crew is past
    /// counting.
    pub(super) fn ask_free(&mut self, who: ConnId, may_open: bool) -> Option<(u32, bool)> {
        let (at, opens) = match self.sections.is_empty() {
            true => {
                let rest = self.blocks.get(self.free_from as usize..)?;
                let at = self.free_from + rest.iter().position(|block| block.is_free())? as u32;
                self.ask(who, at)?;
                self.free_from = at + 1;
                (at, false)
            }
            false => self.ask_free_of_section(who, may_open)?,
        };
        self.free -= 1;
        if self.exclusive {
            self.holder = Some(who);
        }
        Some((at, opens))
    }

    fn ask_free_of_section(&mut self, who: ConnId, may_open: bool) -> Option<(u32, bool)> {
        let (range, opens) = self.sections.next(may_open)?;
        let begin = range.start;
        let mut blocks = self.blocks[range].iter();
        let at = (begin + blocks.position(|block| block.is_free())?) as u32;
        self.ask(who, at)?;
        if opens {
            self.sections.open(at);
        }
        self.sections.took(at);
        Some((at, opens))
    }

    /// How many missing blocks both `who` and others are asked for.
    pub(super) fn duplicates(&self, who: ConnId) -> usize {
        let Some(me) = self.find(who) else {
            return 0;
        };
        let shared = |block: &&BlockState| {
            block.given_by == NOBODY
                && block.askers().count() > 1
                && block.askers().any(|asker| asker == me)
        };
        self.blocks.iter().filter(shared).count()
    }

    /// The first block that is asked of exactly `askers` peers, but not of `who`.
    pub(super) fn shared_block(&self, who: ConnId, askers: usize) -> Option<u32> {
        if self.exclusive || !self.priority.is_wanted() || self.is_complete() {
            return None;
        }
        let me = self.find(who).unwrap_or(NOBODY);
        let fits = |(at, block): (usize, &BlockState)| {
            block.given_by == NOBODY
                && block.askers().count() == askers
                && block.askers().all(|other| other != me)
                && self.sections.is_open(at as u32)
        };
        let at = self.blocks.iter().enumerate().position(fits);
        at.map(|at| at as u32)
    }

    /// Asks `who` for block `at`, which fewer than [`ASKERS_MAX`] others are asked for.
    pub(super) fn ask(&mut self, who: ConnId, at: u32) -> Option<()> {
        let asked_of = &self.blocks[at as usize].asked_of;
        let place = asked_of.iter().position(|asked| *asked == NOBODY)?;
        let member = self.enlist(who)?;
        self.blocks[at as usize].asked_of[place] = member;
        self.crew[usize::from(member)].asked += 1;
        Some(())
    }

    /// `who` is no longer asked for block `at`.
    pub(super) fn release(&mut self, who: ConnId, at: u32) {
        if !self.forget_request(who, at) {
            return;
        }
        if self.holder == Some(who) && self.is_abandoned() {
            // What this peer gave must not be mixed with what the next one gives.
            self.reset();
        } else if self.blocks[at as usize].is_free() {
            self.free += 1;
            self.free_from = self.free_from.min(at);
            if !self.sections.is_empty() {
                self.sections.freed(at);
            }
        }
    }

    /// `who` will not be asked for more of it soon: if it was to fetch it alone, another may.
    pub(super) fn resigned(&mut self, who: ConnId) {
        if self.holder == Some(who) && self.is_abandoned() {
            self.reset();
        }
    }

    /// Whether block `at` would be new if it came from `who`.
    pub(super) fn needs(&self, who: ConnId, at: u32) -> bool {
        let missing = self.blocks[at as usize].given_by == NOBODY;
        missing && (!self.exclusive || self.holder == Some(who))
    }

    /// Block `at` came from `who`; whether it is new.
    pub(super) fn arrived(&mut self, who: ConnId, at: u32) -> bool {
        let was_free = self.blocks[at as usize].is_free();
        self.forget_request(who, at);
        if !self.needs(who, at) {
            return false;
        }
        let Some(member) = self.enlist(who) else {
            return false;
        };
        self.blocks[at as usize].given_by = member;
        self.crew[usize::from(member)].given += 1;
        self.given += 1;
        self.free -= u32::from(was_free);
        if !self.sections.is_empty() {
            if was_free {
                self.sections.took(at);
            }
            self.sections.gave(at);
        }
        true
    }

    /// Begins to write the section of block `at`, if all of its blocks have come; whether they have.
    pub(super) fn seal(&mut self, at: u32) -> bool {
        let is_complete = self.sections.is_complete(at);
        if is_complete {
            self.sections.begin_write(at);
        }
        is_complete
    }

    /// Begins to write what has come of the section of block `at`.
    pub(super) fn begin_write(&mut self, at: u32) {
        self.sections.begin_write(at);
    }

    /// The section of block `at` was written; whether the piece is complete and all of it written.
    pub(super) fn end_write(&mut self, at: u32) -> bool {
        self.sections.end_write(at);
        self.is_complete() && !self.sections.are_busy()
    }

    /// The section of block `at` has a slab from now on.
    pub(super) fn open_section(&mut self, at: u32) {
        self.sections.open(at);
    }

    /// Forgets all requests and arrivals of the section of block `at`, which has no slab any more.
    pub(super) fn close_section(&mut self, at: u32) {
        for block in &mut self.blocks[self.sections.around(at)] {
            if block.is_free() {
                continue;
            }
            for asked in block.askers() {
                self.crew[usize::from(asked)].asked -= 1;
            }
            if let Some(giver) = self.crew.get_mut(usize::from(block.given_by)) {
                giver.given -= 1;
                self.given -= 1;
            }
            *block = BlockState::FREE;
            self.free += 1;
        }
        self.sections.close(at);
    }

    /// Whether sections of it are being written.
    pub(super) fn is_busy(&self) -> bool {
        self.sections.are_busy()
    }

    /// How many sections could be opened.
    pub(super) fn closed_sections(&self) -> usize {
        self.sections.closed()
    }

    /// Who is asked for block `at`.
    pub(super) fn asked(&self, at: u32) -> [Option<ConnId>; ASKERS_MAX] {
        let member = |asked: u16| self.crew.get(usize::from(asked));
        let asked_of = self.blocks[at as usize].asked_of;
        asked_of.map(|asked| member(asked).map(|member| member.conn))
    }

    /// The blocks that have arrived.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = usize> {
        let blocks = self.blocks.iter().enumerate();
        blocks
            .filter(|(_, block)| block.given_by != NOBODY)
            .map(|(at, _)| at)
    }

    /// Who gave each block that arrived, in order of the blocks.
    pub(super) fn givers(&self) -> impl Iterator<Item = ConnId> {
        let given = self.blocks.iter().map(|block| block.given_by);
        given
            .filter(|member| *member != NOBODY)
            .map(|member| self.crew[usize::from(member)].conn)
    }

    /// Takes `who` off the askers of block `at`; whether it was one. Does not count free blocks.
    fn forget_request(&mut self, who: ConnId, at: u32) -> bool {
        let Some(member) = self.find(who) else {
            return false;
        };
        let mut asked_of = self.blocks[at as usize].asked_of.iter_mut();
        let Some(place) = asked_of.find(|asked| **asked == member) else {
            return false;
        };
        *place = NOBODY;
        self.crew[usize::from(member)].asked -= 1;
        true
    }

    fn find(&self, who: ConnId) -> Option<u16> {
        let works = |member: &Member| member.conn == who && !member.is_idle();
        self.crew.iter().position(works).map(|at| at as u16)
    }

    /// The place of `who` in the crew; one of those that left is taken over before the crew grows.
    fn enlist(&mut self, who: ConnId) -> Option<u16> {
        if let Some(at) = self.find(who) {
            return Some(at);
        }
        let vacant = self.crew.iter().position(Member::is_idle);
        let at = vacant.unwrap_or(self.crew.len());
        let place = u16::try_from(at).ok().filter(|at| *at != NOBODY)?;
        let member = Member {
            conn: who,
            asked: 0,
            given: 0,
        };
        match vacant {
            Some(at) => self.crew[at] = member,
            None => self.crew.push(member),
        }
        Some(place)
    }

    fn check_invariant(&self) {
        let count = |is: fn(&BlockState) -> bool| {
            self.blocks.iter().filter(|block| is(block)).count() as u32
        };
        assert_eq!(count(BlockState::is_free), self.free);
        assert_eq!(count(|block| block.given_by != NOBODY), self.given);
        let below = &self.blocks[..self.free_from as usize];
        assert!(!below.iter().any(BlockState::is_free));
        for (at, member) in (0..).zip(&self.crew) {
            let asked = |block: &&BlockState| block.askers().any(|asker| asker == at);
            let given = |block: &&BlockState| block.given_by == at;
            assert_eq!(
                self.blocks.iter().filter(asked).count() as u32,
                member.asked
            );
            assert_eq!(
                self.blocks.iter().filter(given).count() as u32,
                member.given
            );
            let stranger = self.exclusive && self.holder != Some(member.conn);
            assert!(!stranger || member.is_idle());
        }
        self.sections.check_invariant(|at| {
            let block = &self.blocks[at];
            (block.is_free(), block.given_by != NOBODY)
        });
    }
}

impl BlockState {
    const FREE: BlockState = BlockState {
        given_by: NOBODY,
        asked_of: [NOBODY; ASKERS_MAX],
    };

    fn is_free(&self) -> bool {
        self.given_by == NOBODY && self.askers().next().is_none()
    }

    fn askers(&self) -> impl Iterator<Item = u16> {
        let askers = self.asked_of.into_iter();
        askers.filter(|member| *member != NOBODY)
    }
}

impl Member {
    fn is_idle(&self) -> bool {
        self.asked == 0 && self.given == 0
    }
}

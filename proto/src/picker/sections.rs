//! The sections of a long piece: what of it has a slab, and what lies on the disk, unverified.
//!
//! A section is in one of five states:
//!
//! - *closed*: all of its blocks are free, and it has no slab;
//! - *open*: it has a slab;
//! - *writing*: its blocks are there, or all that came of them, and are on their way to the disk;
//! - *written*: they lie there;
//! - *stale*: the piece was begun anew while it was being written: nobody may open it until that is
//!   over, for what was written before must not come to lie on what is written after it.
//!
//! Invariant: `closed` counts the closed sections, `open_free` the free blocks of open ones; no section
//! before `first` has a free block.

use alloc::vec::Vec;
use core::ops::Range;

/// The sections of one open piece; of a piece that is held whole there are none.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// Blocks in each but the last.
    each: u32,
    /// Blocks of the piece.
    blocks: u32,
    list: Vec<Section>,
    closed: u32,
    open_free: u32,
    first: usize,
}

#[derive(Clone, Copy, Debug)]
struct Section {
    state: State,
    free: u32,
    given: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open,
    Writing,
    Written,
    Stale,
}

impl Sections {
    /// Those of a piece of so many blocks that was just opened, of `each` blocks; 0 for a piece that
    /// is held whole.
    pub(super) fn lay_out(&mut self, blocks: u32, each: u32) {
        (self.each, self.blocks) = (each, blocks);
        self.list.clear();
        if each > 0 {
            let closed = Section {
                state: State::Closed,
                free: 0,
                given: 0,
            };
            self.list.resize(blocks.div_ceil(each) as usize, closed);
        }
    }

    /// Whether the piece is held whole.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Nothing was asked for and nothing has come.
    pub(super) fn reset(&mut self) {
        (self.closed, self.open_free, self.first) = (0, 0, 0);
        for at in 0..self.list.len() {
            let len = self.range(at).len() as u32;
            let section = &mut self.list[at];
            (section.free, section.given) = (len, 0);
            section.state = match section.state {
                State::Open => State::Open,
                State::Writing | State::Stale => State::Stale,
                State::Closed | State::Written => State::Closed,
            };
            match section.state {
                State::Closed => self.closed += 1,
                State::Open => self.open_free += len,
                _ => {}
            }
        }
    }

    /// The blocks of the section that holds `block`.
    pub(super) fn around(&self, block: u32) -> Range<usize> {
        self.range(self.of(block))
    }

    /// Whether a free block can be asked for, in a section that is open or, if it `may_open` one, in
    /// another.
    pub(super) fn offer(&self, may_open: bool) -> bool {
        self.list.is_empty() || self.open_free > 0 || (may_open && self.closed > 0)
    }

    /// How many could be opened.
    pub(super) fn closed(&self) -> usize {
        self.closed as usize
    }

    /// The blocks of a section that can be asked for its next free one, and whether it is closed.
    pub(super) fn next(&mut self, may_open: bool) -> Option<(Range<usize>, bool)> {
        while self.list.get(self.first).is_some_and(|next| next.free == 0) {
            self.first += 1;
        }
        let state = match self.open_free > 0 {
            true => State::Open,
            false if may_open && self.closed > 0 => State::Closed,
            false => return None,
        };
        let mut rest = self.list[self.first..].iter();
        let at = self.first + rest.position(|next| next.state == state && next.free > 0)?;
        Some((self.range(at), state == State::Closed))
    }

    /// The section of `block`, which is closed, has a slab from now on.
    pub(super) fn open(&mut self, block: u32) {
        let at = self.of(block);
        let section = &mut self.list[at];
        debug_assert_eq!(section.state, State::Closed, "a section is opened once");
        section.state = State::Open;
        self.closed -= 1;
        self.open_free += section.free;
    }

    /// A block that was free is asked for.
    pub(super) fn took(&mut self, block: u32) {
        let at = self.of(block);
        let section = &mut self.list[at];
        section.free -= 1;
        self.open_free -= u32::from(section.state == State::Open);
    }

    /// A block is free again.
    pub(super) fn freed(&mut self, block: u32) {
        let at = self.of(block);
        let section = &mut self.list[at];
        section.free += 1;
        self.open_free += u32::from(section.state == State::Open);
        self.first = self.first.min(at);
    }

    /// A block has come.
    pub(super) fn gave(&mut self, block: u32) {
        let at = self.of(block);
        self.list[at].given += 1;
    }

    /// Whether the section of `block` has a slab.
    pub(super) fn is_open(&self, block: u32) -> bool {
        let section = self.list.get(self.of(block));
        section.is_none_or(|section| section.state == State::Open)
    }

    /// Whether all blocks of the section of `block` have come.
    pub(super) fn is_complete(&self, block: u32) -> bool {
        let at = self.of(block);
        self.list[at].given as usize == self.range(at).len()
    }

    /// The section of `block`, which is open, is being written.
    pub(super) fn begin_write(&mut self, block: u32) {
        let at = self.of(block);
        let section = &mut self.list[at];
        debug_assert_eq!(section.state, State::Open, "a section is written once");
        section.state = State::Writing;
        self.open_free -= section.free;
    }

    /// The section of `block` was written, or was so before.
    pub(super) fn end_write(&mut self, block: u32) {
        let at = self.of(block);
        match self.list[at].state {
            State::Stale => self.close(block),
            _ => self.list[at].state = State::Written,
        }
    }

    /// The section of `block` has no slab any more, and all of its blocks are free.
    pub(super) fn close(&mut self, block: u32) {
        let at = self.of(block);
        let len = self.range(at).len() as u32;
        let section = &mut self.list[at];
        match section.state {
            State::Closed => return,
            State::Open => self.open_free -= section.free,
            _ => {}
        }
        *section = Section {
            state: State::Closed,
            free: len,
            given: 0,
        };
        self.closed += 1;
        self.first = self.first.min(at);
    }

    /// Whether any is being written.
    pub(super) fn are_busy(&self) -> bool {
        let is_busy = |section: &Section| matches!(section.state, State::Writing | State::Stale);
        self.list.iter().any(is_busy)
    }

    fn of(&self, block: u32) -> usize {
        block.checked_div(self.each).unwrap_or(0) as usize
    }

    fn range(&self, at: usize) -> Range<usize> {
        let begin = at * self.each as usize;
        begin..(begin + self.each as usize).min(self.blocks as usize)
    }

    /// Panics unless the invariant holds; tells of each block whether it is free and whether it was
    /// given.
    pub(super) fn check_invariant(&self, tell: impl Fn(usize) -> (bool, bool)) {
        let (mut closed, mut open_free) = (0, 0);
        for (at, section) in self.list.iter().enumerate() {
            let told = || self.range(at).map(&tell);
            assert_eq!(told().filter(|told| told.0).count(), section.free as usize);
            assert_eq!(told().filter(|told| told.1).count(), section.given as usize);
            assert!(at >= self.first || section.free == 0, "section {at}");
            closed += u32::from(section.state == State::Closed);
            open_free += match section.state {
                State::Open => section.free,
                _ => 0,
            };
            let is_free = section.free as usize == self.range(at).len();
            let must_be = matches!(section.state, State::Closed | State::Stale);
            assert!(is_free || !must_be, "section {at}: {section:?}");
        }
        assert_eq!((closed, open_free), (self.closed, self.open_free));
    }
}

//! What the far end asked of our client, as far as our client has read it.

use std::collections::VecDeque;

/// A block as it was asked for: piece, begin, length.
pub(super) type Range = [u32; 3];

/// The most pieces that may pass a request by: as many as our client lets wait, and says so
/// (`reqq`, BEP 10).
const PASSED_MAX: u32 = ripcurrent_proto::peer::upload::UPLOAD_QUEUE_MAX as u32;
/// The most requests remembered where ignoring one is no fault (without BEP 6).
const REMEMBERED_MAX: usize = 1024;
/// An answer that must come is due in our client's next words but one: it may have been about to
/// speak.
const DUE: u8 = 2;

/// The requests that our client has read and not answered, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Wants {
    open: VecDeque<Want>,
    /// Requests read.
    read: u32,
    /// How many had been read when our client spoke last.
    read_before: u32,
    /// Pieces handed over.
    served: u32,
    /// How many of the open ones have an answer due.
    due: usize,
    /// There were more than are remembered, all of which may be answered.
    is_flooded: bool,
}

#[derive(Clone, Copy, Debug)]
struct Want {
    range: Range,
    /// How many were read before.
    number: u32,
    /// How many pieces had been handed over before.
    served: u32,
    /// In how many breaths an answer is due; 0 if it may wait.
    due: u8,
}

/// What a piece or a rejection is an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A request.
    Right,
    /// A request for another length of the same block.
    OtherLength(u32),
    /// Nothing that was asked.
    Nothing,
}

impl Wants {
    /// A request was read. With the fast extension each has its own answer; without, one answer
    /// serves those for the same block.
    pub(super) fn asked(&mut self, range: Range, is_fast: bool) {
        let number = self.read;
        self.read = self.read.wrapping_add(1);
        if !is_fast && self.open.iter().any(|want| want.range == range) {
            return;
        }
        if !is_fast && self.open.len() == REMEMBERED_MAX {
            self.is_flooded = true;
            return;
        }
        self.open.push_back(Want {
            range,
            number,
            served: self.served,
            due: 0,
        });
    }

    /// A cancel was read. With the fast extension the request has an answer all the same.
    pub(super) fn cancelled(&mut self, range: Range, is_fast: bool) {
        let Some(at) = self.open.iter().position(|want| want.range == range) else {
            return;
        };
        match is_fast {
            true => self.make_due(at),
            false => {
                self.open.remove(at);
            }
        }
    }

    /// Our client answers, by a piece if `by_piece`.
    pub(super) fn answered(&mut self, range: Range, by_piece: bool) -> Answer {
        self.served = self.served.wrapping_add(u32::from(by_piece));
        if let Some(at) = self.open.iter().position(|want| want.range == range) {
            let want = self.open.remove(at).expect("it was found there");
            self.due -= usize::from(want.due > 0);
            return Answer::Right;
        }
        let same_place = |want: &&Want| want.range[..2] == range[..2];
        match self.open.iter().find(same_place) {
            _ if self.is_flooded => Answer::Right,
            Some(want) => Answer::OtherLength(want.range[2]),
            None => Answer::Nothing,
        }
    }

    /// Our client chokes: what it had read when it spoke last is rejected (BEP 6) but for pieces in
    /// `exempt`, or forgotten (BEP 3). What it has read since may have come after it meant to.
    pub(super) fn choked(&mut self, is_fast: bool, exempt: &[u32]) {
        self.withdraw(self.read_before, is_fast, exempt);
    }

    /// Our client has spoken, and chokes or not. Names a request whose answer is overdue.
    pub(super) fn spoken(&mut self, is_fast: bool, chokes: bool, exempt: &[u32]) -> Option<Range> {
        self.read_before = self.read;
        if chokes && !self.open.is_empty() {
            self.withdraw(self.read, is_fast, exempt);
        }
        self.overdue().or_else(|| self.passed_by(is_fast))
    }

    /// Withdraws the requests that were read before number `before`.
    fn withdraw(&mut self, before: u32, is_fast: bool, exempt: &[u32]) {
        if !is_fast {
            self.is_flooded = false;
            return self.open.retain(|want| want.number >= before);
        }
        for at in 0..self.open.len() {
            let want = &self.open[at];
            if want.number < before && !exempt.contains(&want.range[0]) {
                self.make_due(at);
            }
        }
    }

    fn make_due(&mut self, at: usize) {
        let want = &mut self.open[at];
        if want.due == 0 {
            want.due = DUE;
            self.due += 1;
        }
    }

    /// A breath has passed: a request whose answer was due in it.
    fn overdue(&mut self) -> Option<Range> {
        if self.due == 0 {
            return None;
        }
        let late = self.open.iter().find(|want| want.due == 1);
        let late = late.map(|want| want.range);
        self.open.retain(|want| want.due != 1);
        let due = self.open.iter_mut().filter(|want| want.due > 0);
        self.due = due.map(|want| want.due -= 1).count();
        late
    }

    /// The oldest request, if more were served since than can have stood before it.
    fn passed_by(&mut self, is_fast: bool) -> Option<Range> {
        let oldest = self.open.front().filter(|_| is_fast)?;
        if self.served.wrapping_sub(oldest.served) <= PASSED_MAX {
            return None;
        }
        let oldest = self.open.pop_front()?;
        self.due -= usize::from(oldest.due > 0);
        Some(oldest.range)
    }
}

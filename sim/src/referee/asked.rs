//! What our client asked of the far end.
//!
//! A client gathers messages while a transmission is in flight, so what it says may have been meant
//! before it read the last that came. Hence what was answered since its last words is remembered
//! until it has spoken again: a cancel may cross the answer.

use std::collections::VecDeque;

/// A block: its piece, and where it begins there. Its length follows.
pub(super) type Key = (u32, u32);

/// The requests without an answer, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Asked {
    open: VecDeque<(Key, Standing)>,
    /// How many of them are [`Standing::Vague`].
    vague: usize,
    /// Answered or void since our client spoke last.
    lately: Vec<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The far end owes an answer.
    Awaited,
    /// It was withdrawn, and an answer is still due (BEP 6).
    Cancelled,
    /// It was said in the same breath in which a choke was read that voids requests (BEP 3): it may
    /// have been meant before, and be void.
    Vague,
}

impl Asked {
    /// Our client asks; whether it has asked before and owes itself patience.
    pub(super) fn ask(&mut self, key: Key, is_vague: bool) -> bool {
        let awaited = self.open.contains(&(key, Standing::Awaited));
        let standing = match is_vague {
            true => Standing::Vague,
            false => Standing::Awaited,
        };
        self.vague += usize::from(is_vague);
        self.open.push_back((key, standing));
        awaited && !is_vague
    }

    /// How many requests are surely out.
    pub(super) fn len(&self) -> usize {
        self.open.len() - self.vague
    }

    /// Our client withdraws a request, which is out until its answer if `is_kept` (BEP 6); whether
    /// it was out.
    pub(super) fn cancel(&mut self, key: Key, is_kept: bool) -> bool {
        let out =
            |(asked, standing): &(Key, Standing)| *asked == key && *standing != Standing::Cancelled;
        let Some(at) = self.open.iter().position(out) else {
            return self.lately.contains(&key);
        };
        match is_kept {
            true => self.set(at, Standing::Cancelled),
            false => self.remove(at),
        }
        true
    }

    /// A piece or a rejection was read.
    pub(super) fn answered(&mut self, key: Key) {
        let sure =
            |(asked, standing): &(Key, Standing)| *asked == key && *standing != Standing::Vague;
        let any = |(asked, _): &(Key, Standing)| *asked == key;
        let at = self.open.iter().position(sure);
        if let Some(at) = at.or_else(|| self.open.iter().position(any)) {
            self.remove(at);
            self.lately.push(key);
        }
    }

    /// A choke was read that voids every request (BEP 3).
    pub(super) fn void(&mut self) {
        self.vague = 0;
        self.lately.extend(self.open.drain(..).map(|(key, _)| key));
    }

    /// Our client has spoken: whatever it says next it says in knowledge of all that it had read.
    pub(super) fn spoken(&mut self) {
        self.lately.clear();
    }

    fn set(&mut self, at: usize, standing: Standing) {
        self.vague -= usize::from(self.open[at].1 == Standing::Vague);
        self.open[at].1 = standing;
    }

    fn remove(&mut self, at: usize) {
        let removed = self.open.remove(at);
        self.vague -= usize::from(removed.is_some_and(|(_, is)| is == Standing::Vague));
    }
}

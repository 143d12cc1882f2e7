//! Whose turn it is to look at what is there: few at once, so that a disk reads one torrent after
//! another and few need the hashes of their pieces at a time.
//!
//! Invariant: nobody has two places, and nobody waits while a turn is free.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::base::id::TorrentId;

/// The most torrents looked at at once.
pub(crate) const TURNS: usize = 8;

/// Turns, and those who wait for one, in their order.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    taken: Vec<TorrentId>,
    waiting: VecDeque<TorrentId>,
    /// Those whose turn has come and who do not know it yet.
    called: Vec<TorrentId>,
}

impl Turns {
    /// Takes a turn or a place behind the others; whether it is a turn.
    pub(crate) fn join(&mut self, id: TorrentId) -> bool {
        if self.has(id) {
            return true;
        }
        if self.taken.len() < TURNS {
            self.taken.push(id);
            return true;
        }
        if !self.waiting.contains(&id) {
            self.waiting.push_back(id);
        }
        false
    }

    /// Whether it has a turn.
    pub(crate) fn has(&self, id: TorrentId) -> bool {
        self.taken.contains(&id)
    }

    /// Those that have a turn.
    pub(crate) fn taken(&self) -> &[TorrentId] {
        &self.taken
    }

    /// Gives up whatever it has: the next one is called.
    pub(crate) fn leave(&mut self, id: TorrentId) {
        self.waiting.retain(|other| *other != id);
        let Some(at) = self.taken.iter().position(|other| *other == id) else {
            return;
        };
        self.taken.remove(at);
        if let Some(next) = self.waiting.pop_front() {
            self.taken.push(next);
            self.called.push(next);
        }
    }

    /// Somebody whose turn has come.
    pub(crate) fn next_called(&mut self) -> Option<TorrentId> {
        self.called.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those who wait have their turn in their order, whoever leaves, with a turn or without one.
    #[test]
    fn turns_are_taken_in_order() {
        let mut turns = Turns::default();
        let id = |number: usize| TorrentId(number as u32);
        for number in 0..TURNS + 3 {
            assert_eq!(turns.join(id(number)), number < TURNS);
        }
        assert!(turns.join(id(1)) && !turns.join(id(TURNS)));
        turns.leave(id(TURNS));
        assert_eq!(turns.next_called(), None);
        turns.leave(id(2));
        turns.leave(id(2));
        assert_eq!(turns.next_called(), Some(id(TURNS + 1)));
        assert!(turns.has(id(TURNS + 1)) && !turns.has(id(TURNS + 2)));
        for number in 0..TURNS + 3 {
            turns.leave(id(number));
        }
        assert!(turns.taken().is_empty() && turns.waiting.is_empty());
    }
}

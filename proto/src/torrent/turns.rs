//! Turns: of many torrents that want the same thing, few do it at once, in the order in which they
//! asked.
//!
//! Looking at what is there is one such thing: so a disk reads one torrent after another and few need
//! the hashes of their pieces at a time. Announcing is another: ten thousand torrents that begin or
//! leave together would open as many connections.
//!
//! Invariant: nobody has two places, and nobody waits while a turn is free. All but [`Turns::taken`]
//! is O(log of those who wait) or O(turns).

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use crate::base::id::TorrentId;

/// The most torrents looked at at once.
pub(crate) const CHECKS: usize = 8;

/// The most torrents of an engine that speak to a tracker at once: so many connections there are
/// besides those with peers.
pub const ANNOUNCES_MAX: usize = 64;

/// Turns, and those who wait for one, in their order.
#[derive(Debug)]
pub(crate) struct Turns {
    most: usize,
    taken: Vec<TorrentId>,
    /// Those who wait and those who did, each with the number of its place.
    queue: VecDeque<(u64, TorrentId)>,
    /// The place of each who waits.
    waiting: BTreeMap<TorrentId, u64>,
    /// The number of the next place.
    next: u64,
    /// Those whose turn has come and who do not know it yet.
    called: Vec<TorrentId>,
}

impl Turns {
    /// So many turns at once.
    pub(crate) fn new(most: usize) -> Self {
        Turns {
            most,
            taken: Vec::new(),
            queue: VecDeque::new(),
            waiting: BTreeMap::new(),
            next: 0,
            called: Vec::new(),
        }
    }

    /// Takes a turn or a place behind the others; whether it is a turn.
    pub(crate) fn join(&mut self, id: TorrentId) -> bool {
        if self.has(id) {
            return true;
        }
        if self.taken.len() < self.most {
            self.taken.push(id);
            return true;
        }
        if !self.waiting.contains_key(&id) {
            self.waiting.insert(id, self.next);
            self.queue.push_back((self.next, id));
            self.next += 1;
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
        self.waiting.remove(&id);
        let Some(at) = self.taken.iter().position(|other| *other == id) else {
            return;
        };
        self.taken.remove(at);
        while let Some((place, next)) = self.queue.pop_front() {
            // Whoever has left since has another place, or none.
            if self.waiting.get(&next) == Some(&place) {
                self.waiting.remove(&next);
                self.taken.push(next);
                self.called.push(next);
                return;
            }
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
        const TURNS: usize = 8;
        let mut turns = Turns::new(TURNS);
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

    /// Whoever leaves while it waits and comes back goes behind the others.
    #[test]
    fn who_leaves_loses_its_place() {
        let mut turns = Turns::new(1);
        let [one, two, three] = [1, 2, 3].map(TorrentId);
        assert!(turns.join(one) && !turns.join(two) && !turns.join(three));
        turns.leave(two);
        assert!(!turns.join(two));
        turns.leave(one);
        assert_eq!(turns.next_called(), Some(three));
        turns.leave(three);
        assert_eq!(turns.next_called(), Some(two));
        turns.leave(two);
        assert!(turns.taken().is_empty() && turns.queue.is_empty());
    }
}

//! The closed pieces in rarity order, those of higher priority before all others.
//!
//! Invariant: `order` holds each piece of the order once, sorted by priority and then by count;
//! `place` is its inverse. Each priority is a *level*: `members` is the set of its pieces and
//! `ends[count]` is where those with that count or less end in `order`; the last of `ends` is not
//! that of an empty bucket. Pieces of one level and count (a *bucket*) are in random order: whatever
//! enters a bucket takes a random place in it, so the sequence in which peers tell us of their
//! pieces leaves no trace.
//!
//! A piece whose count goes up or down by one crosses one boundary: O(1). A piece that enters or
//! leaves the order crosses each boundary behind it: O(highest count), at most once for each level.

use alloc::vec::Vec;

use crate::base::bits::Bitfield;
use crate::base::rng::Rng;
use crate::meta::layout::Priority;

/// The place of a piece that is not in the order.
const NOWHERE: u32 = u32::MAX;

const LEVELS: usize = Priority::WANTED.len();

/// A permutation of some pieces, the most urgent first and of these the least frequent. Holds no
/// memory while it is empty.
#[derive(Debug, Default)]
pub(super) struct Rarity {
    order: Vec<u32>,
    place: Vec<u32>,
    levels: [Level; LEVELS],
}

/// The pieces of one priority. Holds no memory while there are none.
#[derive(Debug, Default)]
struct Level {
    members: Bitfield,
    ends: Vec<u32>,
}

/// The number of a level; pieces that are not wanted have none.
fn level_of(priority: Priority) -> usize {
    LEVELS - priority as usize
}

impl Rarity {
    /// All pieces below `pieces`, each with this priority and a count of zero.
    pub(super) fn all(pieces: u32, priority: Priority, rng: &mut Rng) -> Self {
        let mut order: Vec<u32> = (0..pieces).collect();
        rng.shuffle(&mut order);
        let mut place = alloc::vec![0; order.len()];
        for (at, piece) in (0..).zip(&order) {
            place[*piece as usize] = at;
        }
        let mut levels = <[Level; LEVELS]>::default();
        levels[level_of(priority)] = Level {
            members: Bitfield::full(order.len()),
            ends: alloc::vec![pieces],
        };
        Rarity {
            order,
            place,
            levels,
        }
    }

    /// How many pieces are in the order.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The pieces of this priority, rarest first.
    pub(super) fn order(&self, priority: Priority) -> &[u32] {
        let level = level_of(priority);
        &self.order[self.start(level) as usize..self.end(level) as usize]
    }

    /// The pieces of this priority.
    pub(super) fn members(&self, priority: Priority) -> &Bitfield {
        &self.levels[level_of(priority)].members
    }

    /// Where `piece` stands in the order.
    pub(super) fn place(&self, piece: u32) -> Option<u32> {
        let place = *self.place.get(piece as usize)?;
        (place != NOWHERE).then_some(place)
    }

    /// How many pieces of this priority have a count of zero; they stand first in its order.
    pub(super) fn zeros(&self, priority: Priority) -> usize {
        let level = level_of(priority);
        let ends = &self.levels[level].ends;
        ends.first()
            .map_or(0, |end| (*end - self.start(level)) as usize)
    }

    /// Puts `piece`, not in the order and below `pieces`, among those of its priority and count.
    pub(super) fn insert(
        &mut self,
        piece: u32,
        priority: Priority,
        count: u16,
        pieces: u32,
        rng: &mut Rng,
    ) {
        if self.place.is_empty() {
            self.order.reserve_exact(pieces as usize);
            self.place.resize(pieces as usize, NOWHERE);
        }
        let (own, count) = (level_of(priority), usize::from(count));
        self.enter(own, piece, count, pieces);
        let mut hole = self.order.len() as u32;
        self.order.push(piece);
        // Each bucket behind makes room at its front and grows at its back.
        for level in (own..LEVELS).rev() {
            let nearest = if level == own { count + 1 } else { 0 };
            for bucket in (nearest..self.levels[level].ends.len()).rev() {
                let first = self.bucket_start(level, bucket);
                self.levels[level].ends[bucket] += 1;
                self.shift(first, hole);
                hole = first;
            }
        }
        self.levels[own].ends[count] += 1;
        self.put(piece, hole);
        self.mingle(hole, own, count, rng);
    }

    /// Takes `piece`, which has this priority and count, out of the order.
    pub(super) fn remove(&mut self, piece: u32, priority: Priority, count: u16) {
        let own = level_of(priority);
        let mut hole = self.place[piece as usize];
        for level in own..LEVELS {
            let nearest = if level == own { usize::from(count) } else { 0 };
            for bucket in nearest..self.levels[level].ends.len() {
                self.levels[level].ends[bucket] -= 1;
                let last = self.levels[level].ends[bucket];
                self.shift(last, hole);
                hole = last;
            }
        }
        self.order.pop();
        self.place[piece as usize] = NOWHERE;
        self.leave(own, piece);
    }

    /// The count of `piece`, in the order or not, has grown from `count` by one.
    pub(super) fn count_grew(&mut self, piece: u32, priority: Priority, count: u16, rng: &mut Rng) {
        let Some(place) = self.place(piece) else {
            return;
        };
        let (level, count) = (level_of(priority), usize::from(count));
        let end = self.end(level);
        let ends = &mut self.levels[level].ends;
        if ends.len() == count + 1 {
            ends.push(end);
        }
        ends[count] -= 1;
        let edge = ends[count];
        self.swap(place, edge);
        self.mingle(edge, level, count + 1, rng);
    }

    /// The count of `piece`, in the order or not, has shrunk from `count` by one.
    pub(super) fn count_shrank(
        &mut self,
        piece: u32,
        priority: Priority,
        count: u16,
        rng: &mut Rng,
    ) {
        let Some(place) = self.place(piece) else {
            return;
        };
        let (level, below) = (level_of(priority), usize::from(count) - 1);
        let ends = &mut self.levels[level].ends;
        let edge = ends[below];
        ends[below] += 1;
        self.swap(place, edge);
        self.mingle(edge, level, below, rng);
        self.trim(level);
    }

    /// Where a level starts in the order.
    fn start(&self, level: usize) -> u32 {
        let mut before = self.levels[..level].iter().rev();
        let last = before.find_map(|level| level.ends.last());
        last.copied().unwrap_or(0)
    }

    /// Where a level ends in the order.
    fn end(&self, level: usize) -> u32 {
        self.start(level + 1)
    }

    fn bucket_start(&self, level: usize, bucket: usize) -> u32 {
        match bucket.checked_sub(1) {
            Some(below) => self.levels[level].ends[below],
            None => self.start(level),
        }
    }

    /// Makes `piece` a member of a level that has a bucket for this count.
    fn enter(&mut self, level: usize, piece: u32, count: usize, pieces: u32) {
        let end = self.end(level);
        let level = &mut self.levels[level];
        if level.members.is_empty() {
            level.members = Bitfield::new(pieces as usize);
        }
        level.members.insert(piece as usize);
        if level.ends.len() <= count {
            level.ends.resize(count + 1, end);
        }
    }

    /// `piece` is no longer a member; what is empty now is dropped.
    fn leave(&mut self, level: usize, piece: u32) {
        self.levels[level].members.remove(piece as usize);
        if self.order.is_empty() {
            *self = Rarity::default();
        } else if self.levels[level].members.count() == 0 {
            self.levels[level] = Level::default();
        } else {
            self.trim(level);
        }
    }

    /// Gives what stands at `place`, new in this bucket, a random place in it.
    fn mingle(&mut self, place: u32, level: usize, bucket: usize, rng: &mut Rng) {
        let start = self.bucket_start(level, bucket);
        let len = self.levels[level].ends[bucket] - start;
        if len > 1 {
            self.swap(place, start + rng.index(len as usize) as u32);
        }
    }

    fn swap(&mut self, one: u32, other: u32) {
        let (left, right) = (self.order[one as usize], self.order[other as usize]);
        self.put(left, other);
        self.put(right, one);
    }

    /// Fills the hole with what stands at `from`, unless that is the hole (of an empty bucket).
    fn shift(&mut self, from: u32, hole: u32) {
        if from != hole {
            self.put(self.order[from as usize], hole);
        }
    }

    fn put(&mut self, piece: u32, place: u32) {
        self.order[place as usize] = piece;
        self.place[piece as usize] = place;
    }

    /// Drops empty buckets at the end of a level that has members, so that a crowd long gone costs
    /// nothing.
    fn trim(&mut self, level: usize) {
        let ends = &mut self.levels[level].ends;
        while let [.., below, last] = ends[..]
            && below == last
        {
            ends.pop();
        }
    }

    /// Panics unless the invariant at the head of this file holds for these priorities and counts.
    pub(super) fn check_invariant(&self, priorities: &[Priority], counts: &[u16]) {
        for (place, piece) in (0..).zip(&self.order) {
            assert_eq!(self.place(*piece), Some(place));
        }
        let placed = self.place.iter().filter(|place| **place != NOWHERE);
        assert_eq!(placed.count(), self.order.len());
        assert_eq!(self.end(LEVELS - 1) as usize, self.order.len());
        for priority in Priority::WANTED {
            let (order, level) = (self.order(priority), &self.levels[level_of(priority)]);
            let count_of = |piece: &u32| counts[*piece as usize];
            assert!(order.is_sorted_by_key(count_of), "out of order");
            for piece in order {
                assert_eq!(priorities[*piece as usize], priority, "piece {piece}");
                assert!(level.members.contains(*piece as usize), "piece {piece}");
            }
            assert_eq!(level.members.count(), order.len());
            for (count, end) in (0..).zip(&level.ends) {
                let up_to = order.partition_point(|piece| count_of(piece) <= count);
                assert_eq!(
                    self.start(level_of(priority)) as usize + up_to,
                    *end as usize
                );
            }
            let highest = order.last().map(count_of);
            let buckets = highest.map_or(0, |highest| usize::from(highest) + 1);
            assert_eq!(level.ends.len(), buckets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECES: u32 = 40;

    /// Whatever enters, leaves, or changes its count, each level stays sorted, and all agree.
    #[test]
    fn the_order_holds_through_random_changes() {
        let mut rng = Rng::from_seed([5; 32]);
        let mut counts = [0u16; PIECES as usize];
        let mut priorities = [Priority::Normal; PIECES as usize];
        let mut rarity = Rarity::all(PIECES, Priority::Normal, &mut rng);
        for _ in 0..5000 {
            let piece = rng.index(PIECES as usize);
            let (number, count) = (piece as u32, counts[piece]);
            let priority = priorities[piece];
            match (rng.below(3), rarity.place(number)) {
                (0, None) => {
                    priorities[piece] = Priority::WANTED[rng.index(LEVELS)];
                    rarity.insert(number, priorities[piece], count, PIECES, &mut rng);
                }
                (0, Some(_)) => rarity.remove(number, priority, count),
                (1, _) if count < 12 => {
                    rarity.count_grew(number, priority, count, &mut rng);
                    counts[piece] += 1;
                }
                (2, _) if count > 0 => {
                    rarity.count_shrank(number, priority, count, &mut rng);
                    counts[piece] -= 1;
                }
                _ => {}
            }
            rarity.check_invariant(&priorities, &counts);
        }
    }

    /// A peer that tells us of its pieces in their sequence must not make us ask in that sequence.
    #[test]
    fn the_sequence_of_haves_leaves_no_trace() {
        let mut rng = Rng::from_seed([6; 32]);
        let mut rarity = Rarity::all(1000, Priority::Low, &mut rng);
        for piece in 0..1000 {
            rarity.count_grew(piece, Priority::Low, 0, &mut rng);
        }
        let order = rarity.order(Priority::Low);
        let steps = order.windows(2).filter(|pair| pair[0] < pair[1]);
        let ascending = steps.count();
        assert!((450..550).contains(&ascending), "{ascending} of 999");
    }

    /// A level whose last piece leaves holds no memory, and the order with its last piece none.
    #[test]
    fn what_is_empty_holds_no_memory() {
        let mut rng = Rng::from_seed([7; 32]);
        let mut rarity = Rarity::all(3, Priority::Normal, &mut rng);
        let held = |rarity: &Rarity, priority| {
            let level = &rarity.levels[level_of(priority)];
            (level.members.len(), level.ends.capacity())
        };
        rarity.remove(1, Priority::Normal, 0);
        rarity.insert(1, Priority::High, 2, 3, &mut rng);
        assert_eq!(rarity.order[0], 1);
        rarity.remove(1, Priority::High, 2);
        assert_eq!(held(&rarity, Priority::High), (0, 0));
        assert_eq!(held(&rarity, Priority::Low), (0, 0));
        assert_eq!(held(&rarity, Priority::Normal).0, 3);
        rarity.remove(0, Priority::Normal, 0);
        rarity.remove(2, Priority::Normal, 0);
        assert_eq!((rarity.place.capacity(), rarity.order.capacity()), (0, 0));
        assert_eq!(held(&rarity, Priority::Normal), (0, 0));
        rarity.insert(2, Priority::Low, 4, 3, &mut rng);
        rarity.check_invariant(&[Priority::Low; 3], &[0, 0, 4]);
    }
}

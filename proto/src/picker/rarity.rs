//! The closed pieces in rarity order.
//!
//! Invariant: `order` holds each piece of the order once, sorted by count; `place` is its inverse;
//! `ends[count]` is how many pieces of the order have that count or less, and the last of `ends` is
//! not that of an empty bucket. Pieces of equal count (a *bucket*) are in random order: whatever
//! enters a bucket takes a random place in it, so the sequence in which peers tell us of their
//! pieces leaves no trace.
//!
//! A piece whose count goes up or down by one crosses one boundary: O(1). A piece that enters or
//! leaves the order crosses each boundary above it: O(highest count).

use alloc::vec::Vec;

use crate::base::rng::Rng;

/// The place of a piece that is not in the order.
const NOWHERE: u32 = u32::MAX;

/// A permutation of some pieces, the least frequent first. Holds no memory while it is empty.
#[derive(Debug, Default)]
pub(super) struct Rarity {
    order: Vec<u32>,
    place: Vec<u32>,
    ends: Vec<u32>,
}

impl Rarity {
    /// All pieces below `pieces`, each with a count of zero.
    pub(super) fn all(pieces: u32, rng: &mut Rng) -> Self {
        let mut order: Vec<u32> = (0..pieces).collect();
        rng.shuffle(&mut order);
        let mut place = alloc::vec![0; order.len()];
        for (at, piece) in (0..).zip(&order) {
            place[*piece as usize] = at;
        }
        let ends = alloc::vec![pieces];
        Rarity { order, place, ends }
    }

    /// How many pieces are in the order.
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// The pieces, rarest first.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }

    /// Where `piece` stands in the order.
    pub(super) fn place(&self, piece: u32) -> Option<u32> {
        let place = *self.place.get(piece as usize)?;
        (place != NOWHERE).then_some(place)
    }

    /// How many pieces of the order have a count of zero; they stand first.
    pub(super) fn zeros(&self) -> usize {
        self.ends.first().map_or(0, |end| *end as usize)
    }

    /// Puts `piece`, not in the order and below `pieces`, among those of its count.
    pub(super) fn insert(&mut self, piece: u32, count: u16, pieces: u32, rng: &mut Rng) {
        if self.place.is_empty() {
            self.place.resize(pieces as usize, NOWHERE);
        }
        let count = usize::from(count);
        let mut hole = self.order.len() as u32;
        while self.ends.len() <= count {
            self.ends.push(hole);
        }
        self.order.push(piece);
        // Each bucket above makes room at its front and grows at its back.
        for bucket in (count + 1..self.ends.len()).rev() {
            let first = self.ends[bucket - 1];
            self.ends[bucket] += 1;
            self.shift(first, hole);
            hole = first;
        }
        self.ends[count] += 1;
        self.put(piece, hole);
        self.mingle(hole, count, rng);
    }

    /// Takes `piece`, which has this count, out of the order.
    pub(super) fn remove(&mut self, piece: u32, count: u16) {
        let mut hole = self.place[piece as usize];
        for bucket in usize::from(count)..self.ends.len() {
            self.ends[bucket] -= 1;
            let last = self.ends[bucket];
            self.shift(last, hole);
            hole = last;
        }
        self.order.pop();
        self.place[piece as usize] = NOWHERE;
        if self.order.is_empty() {
            *self = Rarity::default();
        }
        self.trim();
    }

    /// The count of `piece`, in the order or not, has grown from `count` by one.
    pub(super) fn count_grew(&mut self, piece: u32, count: u16, rng: &mut Rng) {
        let Some(place) = self.place(piece) else {
            return;
        };
        let count = usize::from(count);
        if self.ends.len() == count + 1 {
            self.ends.push(self.order.len() as u32);
        }
        self.ends[count] -= 1;
        let edge = self.ends[count];
        self.swap(place, edge);
        self.mingle(edge, count + 1, rng);
    }

    /// The count of `piece`, in the order or not, has shrunk from `count` by one.
    pub(super) fn count_shrank(&mut self, piece: u32, count: u16, rng: &mut Rng) {
        let Some(place) = self.place(piece) else {
            return;
        };
        let below = usize::from(count) - 1;
        let edge = self.ends[below];
        self.ends[below] += 1;
        self.swap(place, edge);
        self.mingle(edge, below, rng);
        self.trim();
    }

    /// Gives what stands at `place`, new in this bucket, a random place in it.
    fn mingle(&mut self, place: u32, bucket: usize, rng: &mut Rng) {
        let start = bucket.checked_sub(1).map_or(0, |below| self.ends[below]);
        let len = self.ends[bucket] - start;
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

    /// Drops empty buckets at the end, so that a crowd long gone costs nothing.
    fn trim(&mut self) {
        while let [.., below, last] = self.ends[..]
            && below == last
        {
            self.ends.pop();
        }
    }

    /// Panics unless the invariant at the head of this file holds for these counts.
    pub(super) fn check_invariant(&self, counts: &[u16]) {
        let sorted = self.order.is_sorted_by_key(|piece| counts[*piece as usize]);
        assert!(sorted, "out of order");
        for (place, piece) in (0..).zip(&self.order) {
            assert_eq!(self.place(*piece), Some(place));
        }
        let placed = self.place.iter().filter(|place| **place != NOWHERE);
        assert_eq!(placed.count(), self.order.len());
        for (count, end) in (0..).zip(&self.ends) {
            let up_to = |piece: &u32| counts[*piece as usize] <= count;
            assert_eq!(self.order.partition_point(up_to), *end as usize);
        }
        assert!(!matches!(self.ends[..], [.., below, last] if below == last));
        assert_eq!(
            self.ends.last().map_or(0, |end| *end as usize),
            self.order.len()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_holds_through_random_changes() {
        let mut rng = Rng::from_seed([5; 32]);
        let mut counts = [0u16; 40];
        let mut rarity = Rarity::all(40, &mut rng);
        for _ in 0..5000 {
            let piece = rng.index(40);
            let count = counts[piece];
            match (rng.below(3), rarity.place(piece as u32)) {
                (0, None) => rarity.insert(piece as u32, count, 40, &mut rng),
                (0, Some(_)) => rarity.remove(piece as u32, count),
                (1, _) if count < 12 => {
                    rarity.count_grew(piece as u32, count, &mut rng);
                    counts[piece] += 1;
                }
                (2, _) if count > 0 => {
                    rarity.count_shrank(piece as u32, count, &mut rng);
                    counts[piece] -= 1;
                }
                _ => {}
            }
            rarity.check_invariant(&counts);
        }
    }

    /// A peer that tells us of its pieces in their sequence must not make us ask in that sequence.
    #[test]
    fn the_sequence_of_haves_leaves_no_trace() {
        let mut rng = Rng::from_seed([6; 32]);
        let mut rarity = Rarity::all(1000, &mut rng);
        for piece in 0..1000 {
            rarity.count_grew(piece, 0, &mut rng);
        }
        let steps = rarity.order().windows(2).filter(|pair| pair[0] < pair[1]);
        let ascending = steps.count();
        assert!((450..550).contains(&ascending), "{ascending} of 999");
    }

    #[test]
    fn an_empty_order_holds_no_memory() {
        let mut rng = Rng::from_seed([7; 32]);
        let mut rarity = Rarity::all(3, &mut rng);
        (0..3).for_each(|piece| rarity.remove(piece, 0));
        assert_eq!((rarity.place.capacity(), rarity.order.capacity()), (0, 0));
        rarity.insert(2, 4, 3, &mut rng);
        rarity.check_invariant(&[0, 0, 4]);
    }
}

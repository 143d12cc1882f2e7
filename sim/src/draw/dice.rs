//! Numbers drawn in the ways that scenarios need.

use ripcurrent_proto::base::rng::Rng;

use crate::scenario::{Rate, Share, Size};

pub(super) const KIB: u64 = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// Sizes and rates are multiples of this, so that people can read them.
const GRAIN: u64 = 64 * KIB;

pub(super) struct Dice(Rng);

impl Dice {
    pub(super) fn new(rng: Rng) -> Self {
        Dice(rng)
    }

    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.0.below(most - least + 1)
    }

    pub(super) fn one_in(&mut self, chances: u64) -> bool {
        self.0.below(chances) == 0
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.0.index(from.len())].clone()
    }

    /// A few of these, each at most once, in any order.
    pub(super) fn pick_some<T: Clone>(&mut self, count: usize, from: &[T]) -> Vec<T> {
        let mut all = from.to_vec();
        self.0.shuffle(&mut all);
        all.truncate(count);
        all
    }

    /// One time in five.
    pub(super) fn sometimes<T>(&mut self, draw: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(5).then(|| draw(self))
    }

    /// The small ones much more often than the large.
    pub(super) fn skewed(&mut self, least: u64, most: u64) -> u64 {
        let [one, two, three] = [(); 3].map(|()| self.between(least, most));
        round(one.min(two).min(three)).max(least)
    }

    pub(super) fn rate(&mut self, least: u64, most: u64) -> Rate {
        Rate(round(self.between(least, most)).max(least))
    }

    pub(super) fn share(&mut self, least: u64, most: u64) -> Share {
        Share(self.between(least, most))
    }

    pub(super) fn latency_ms(&mut self) -> [u64; 2] {
        let least = self.between(1, 40);
        [least, least + self.between(0, 60)]
    }

    /// A size in a few files of all lengths, some of them empty.
    pub(super) fn split(&mut self, size: u64) -> Vec<Size> {
        let mut cuts: Vec<u64> = (0..self.between(1, 6))
            .map(|_| self.0.below(size))
            .collect();
        cuts.push(self.pick(&cuts.clone()));
        cuts.extend([0, size]);
        cuts.sort_unstable();
        cuts.windows(2).map(|cut| Size(cut[1] - cut[0])).collect()
    }
}

fn round(number: u64) -> u64 {
    number / GRAIN * GRAIN
}

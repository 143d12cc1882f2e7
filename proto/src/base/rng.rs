//! Chance as an argument: one seed, forked by label, so that a new draw in one room shifts no
//! other room's draws.

use alloc::boxed::Box;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng as _, SeedableRng};
use sha2::{Digest, Sha256};

/// A deterministic stream of random numbers: ChaCha8, whose output is fixed over versions. Takes 40
/// bytes until something is drawn, and some 350 then.
#[derive(Clone, Debug)]
pub struct Rng {
    seed: [u8; 32],
    /// `None` before the first draw.
    stream: Option<Box<ChaCha8Rng>>,
}

impl Rng {
    /// The stream of `seed`.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Rng { seed, stream: None }
    }

    /// An independent stream, a function of this one's seed and `label` alone: neither the draws
    /// made so far nor the draws made later have any influence.
    #[must_use]
    pub fn fork(&self, label: &str) -> Rng {
        let mut hash = Sha256::new();
        hash.update(self.seed);
        hash.update(label.as_bytes());
        Rng::from_seed(hash.finalize().into())
    }

    /// The next 32 random bits.
    pub fn next_u32(&mut self) -> u32 {
        self.stream().next_u32()
    }

    /// The next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.stream().next_u64()
    }

    /// Fills `bytes` with random bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.stream().fill_bytes(bytes);
    }

    fn stream(&mut self) -> &mut ChaCha8Rng {
        let begin = || Box::new(ChaCha8Rng::from_seed(self.seed));
        self.stream.get_or_insert_with(begin)
    }

    /// A number in `0..bound`, its bias below `bound / 2^64`.
    ///
    /// # Panics
    /// If `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "an empty range has no number to draw");
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// An index into a slice of `len` items.
    ///
    /// # Panics
    /// If `len` is zero.
    pub fn index(&mut self, len: usize) -> usize {
        self.below(len as u64) as usize
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn forks_depend_on_the_seed_and_the_label_alone() {
        let mut drawn = Rng::from_seed([7; 32]);
        let fresh = drawn.clone();
        drawn.next_u64();
        assert_eq!(drawn.fork("dht").next_u64(), fresh.fork("dht").next_u64());
        assert_ne!(
            fresh.fork("dht").next_u64(),
            fresh.fork("picker").next_u64()
        );
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut seen = [false; 6];
        for _ in 0..200 {
            seen[rng.below(6) as usize] = true;
        }
        assert_eq!(seen, [true; 6]);
    }

    #[test]
    fn shuffle_is_a_permutation() {
        let mut items: Vec<u32> = (0..50).collect();
        Rng::from_seed([3; 32]).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<_>>());
    }
}

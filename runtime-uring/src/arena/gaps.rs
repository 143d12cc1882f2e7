//! Which parts of an arena are free.

use std::collections::BTreeMap;

/// The free parts, by where they begin. No two of them touch.
pub(super) struct Gaps(BTreeMap<usize, usize>);

impl Gaps {
    /// One gap of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        Gaps(BTreeMap::from([(0, len)]))
    }

    /// Takes `len` bytes out of the first gap that has them; where they begin. The first, so that
    /// what is in use lies close together, in few huge pages.
    pub(super) fn take(&mut self, len: usize) -> Option<usize> {
        let mut gaps = self.0.iter();
        let (&at, &found) = gaps.find(|(_, found)| **found >= len)?;
        self.0.remove(&at);
        if found > len {
            self.0.insert(at + len, found - len);
        }
        Some(at)
    }

    /// Takes `len` bytes at `at` back.
    pub(super) fn give(&mut self, mut at: usize, mut len: usize) {
        if let Some(behind) = self.0.remove(&(at + len)) {
            len += behind;
        }
        if let Some((&before, found)) = self.0.range(..at).next_back()
            && before + *found == at
        {
            len += *found;
            at = before;
        }
        self.0.insert(at, len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whatever is taken and given back, nothing is taken twice, nothing is lost, and in the end
        /// there is one gap.
        #[test]
        fn every_byte_is_in_one_place(steps in prop::collection::vec((1_usize..40, any::<u8>()), 1..200)) {
            const ALL: usize = 400;
            let mut gaps = Gaps::new(ALL);
            let mut taken: Vec<(usize, usize)> = Vec::new();
            for (len, choice) in steps {
                if choice % 2 == 0 && !taken.is_empty() {
                    let (at, len) = taken.swap_remove(usize::from(choice) % taken.len());
                    gaps.give(at, len);
                } else if let Some(at) = gaps.take(len) {
                    prop_assert!(taken.iter().all(|(other, long)| other + long <= at || at + len <= *other));
                    taken.push((at, len));
                }
                let free: usize = gaps.0.values().sum();
                let used: usize = taken.iter().map(|(_, len)| len).sum();
                prop_assert_eq!(free + used, ALL);
            }
            for (at, len) in taken {
                gaps.give(at, len);
            }
            prop_assert_eq!(gaps.0, BTreeMap::from([(0, ALL)]));
        }
    }
}

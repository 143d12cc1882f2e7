//! Small sets in order.

use alloc::vec::Vec;

/// A set in ascending order, in one vector whose memory is kept: whatever comes and goes in it
/// allocates nothing once there were as many. O(log n) to find, O(n) to insert and remove, so it is
/// for a few hundred values at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderedSet<T>(Vec<T>);

impl<T> Default for OrderedSet<T> {
    fn default() -> Self {
        OrderedSet(Vec::new())
    }
}

impl<T: Copy + Ord> OrderedSet<T> {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        OrderedSet(Vec::new())
    }

    /// Adds `value`; whether it was new.
    pub fn insert(&mut self, value: T) -> bool {
        match self.0.binary_search(&value) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, value);
                true
            }
        }
    }

    /// Takes `value` out; whether it was there.
    pub fn remove(&mut self, value: T) -> bool {
        match self.0.binary_search(&value) {
            Ok(at) => {
                self.0.remove(at);
                true
            }
            Err(_) => false,
        }
    }

    /// Whether `value` is in the set.
    #[must_use]
    pub fn contains(&self, value: T) -> bool {
        self.0.binary_search(&value).is_ok()
    }

    /// The least value above `value`, or of all: so the set can change while it is gone through.
    #[must_use]
    pub fn after(&self, value: Option<T>) -> Option<T> {
        let at = value.map_or(0, |value| self.0.partition_point(|other| *other <= value));
        self.0.get(at).copied()
    }

    /// The values, ascending.
    pub fn iter(&self) -> impl Iterator<Item = T> {
        self.0.iter().copied()
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A walk meets every value once, though each is taken out and put back on the way.
    #[test]
    fn a_walk_survives_changes() {
        let mut set = OrderedSet::new();
        assert!([5, 1, 3].into_iter().all(|value| set.insert(value)));
        assert!(!set.insert(3) && set.contains(3) && !set.contains(4));
        let (mut met, mut last) = (Vec::new(), None);
        while let Some(value) = set.after(last) {
            assert!(set.remove(value) && !set.remove(value));
            met.push(value);
            set.insert(value);
            last = Some(value);
        }
        assert_eq!(met, [1, 3, 5]);
        assert!(set.iter().eq([1, 3, 5]));
        set.clear();
        assert!(set.is_empty() && set.after(None).is_none());
    }
}

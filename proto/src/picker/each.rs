//! A value for each piece.
//!
//! Invariant: while all are the same there is no memory for them. A seed without peers has nothing to
//! tell its pieces apart by.

use alloc::vec::Vec;

/// A value for each piece.
#[derive(Debug)]
pub(super) struct Each<T> {
    len: usize,
    /// That of all while `values` is empty.
    common: T,
    values: Vec<T>,
}

impl<T: Copy + PartialEq> Each<T> {
    /// The same for all of `len` pieces.
    pub(super) fn same(common: T, len: usize) -> Self {
        let values = Vec::new();
        Each {
            len,
            common,
            values,
        }
    }

    /// That of the piece at `at`, which is there.
    pub(super) fn get(&self, at: usize) -> T {
        match self.values.is_empty() {
            true => self.common,
            false => self.values[at],
        }
    }

    /// Gives the piece at `at` another one; the one it had.
    pub(super) fn set(&mut self, at: usize, value: T) -> T {
        let old = self.get(at);
        if value != old {
            if self.values.is_empty() {
                self.values.resize(self.len, self.common);
            }
            self.values[at] = value;
        }
        old
    }

    /// Gives all of them the same.
    pub(super) fn set_all(&mut self, common: T) {
        *self = Each::same(common, self.len);
    }

    /// How many pieces there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Those of all pieces, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        (0..self.len).map(|at| self.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Memory is taken when one differs, and given back when all are made the same.
    #[test]
    fn what_is_the_same_for_all_takes_no_memory() {
        let mut each = Each::same(7, 3);
        assert_eq!(each.set(1, 7), 7);
        assert!(each.values.capacity() == 0 && each.iter().eq([7; 3]));
        assert_eq!(each.set(1, 8), 7);
        assert!(each.iter().eq([7, 8, 7]));
        each.set_all(0);
        assert!(each.values.capacity() == 0 && each.iter().eq([0; 3]));
        assert_eq!((each.len(), each.get(2)), (3, 0));
    }
}

//! One heap of deadlines.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use super::time::Instant;

/// Deadlines with what they are for. Those of one instant fire in the order they were set.
///
/// There is no cancelling: a machine whose deadline has moved ignores the spurious firing.
#[derive(Debug)]
pub struct Timers<T> {
    heap: BinaryHeap<Reverse<(Instant, u64, T)>>,
    sequence: u64,
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Self {
        Timers {
            heap: BinaryHeap::new(),
            sequence: 0,
        }
    }
}

impl<T: Ord> Timers<T> {
    /// No deadlines.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a deadline.
    pub fn set(&mut self, at: Instant, what: T) {
        self.heap.push(Reverse((at, self.sequence, what)));
        self.sequence += 1;
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Takes out the earliest deadline if it has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, what))| what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fires_by_time_and_then_by_order_of_setting() {
        let mut timers = Timers::new();
        let at = Instant::from_micros;
        timers.set(at(20), 'c');
        timers.set(at(10), 'b');
        timers.set(at(10), 'a');
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.next(), Some(at(10)));
        let fired: alloc::vec::Vec<_> = core::iter::from_fn(|| timers.pop_due(at(20))).collect();
        assert_eq!(fired, ['b', 'a', 'c']);
    }
}

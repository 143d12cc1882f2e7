//! Slabs that wait to be hashed together.
//!
//! Pieces hashed side by side cost a fraction of pieces hashed one by one, but a piece that waits
//! holds its memory and is announced later. Hence three bounds: a batch is never larger than it may
//! be, it goes at once when it is as wide as the kernels are, and what is less than that goes when
//! nothing more seems to come, in any case after [`LINGER`].

use std::time::Duration;

use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;

/// The longest that a slab waits for others while there is always something going on: in this time
/// 400 MiB/s fill sixteen lanes with pieces of 1 MiB, and half of them would take the widest kernel as
/// long. Whoever is told of a piece later by it is told of the others sooner.
const LINGER: Duration = Duration::from_millis(40);

/// How long nothing at all must happen for a batch to go as it is: several times what is between
/// two receives of a fast peer. Loops that wait by a timer of milliseconds wait up to twice as
/// long.
const QUIET: Duration = Duration::from_millis(1);

/// A batch of fewer bytes is not worth waking a thread for while more may come: small pieces go in
/// batches of several times the lanes.
const WORTHWHILE: usize = 1 << 20;

/// What waits, and since when.
pub(super) struct Batch {
    waiting: Vec<(OpId, Slab)>,
    /// The sum of the capacities of what waits.
    bytes: usize,
    bytes_max: usize,
    /// How many messages the kernel hashes side by side.
    lanes: usize,
    /// When the first one that waits was first seen here.
    since: Option<Instant>,
    /// Since when nothing has happened.
    quiet_since: Option<Instant>,
}

impl Batch {
    /// For batches of at most `bytes_max` bytes, or of one slab, on a kernel of so many lanes.
    pub(super) fn new(bytes_max: usize, lanes: usize) -> Self {
        Batch {
            waiting: Vec::new(),
            bytes: 0,
            bytes_max,
            lanes: lanes.max(1),
            since: None,
            quiet_since: None,
        }
    }

    /// Whether `slab` may join those that wait.
    pub(super) fn has_room_for(&self, slab: &Slab) -> bool {
        self.waiting.is_empty() || self.bytes + slab.capacity() <= self.bytes_max
    }

    /// Lets a slab wait; whether the batch is full by it and should go at once.
    pub(super) fn add(&mut self, op: OpId, slab: Slab) -> bool {
        let capacity = slab.capacity();
        self.bytes += capacity;
        self.waiting.push((op, slab));
        let is_wide = self.waiting.len().is_multiple_of(self.lanes) && self.bytes >= WORTHWHILE;
        // The next one is expected to be as large.
        is_wide || self.bytes + capacity > self.bytes_max
    }

    /// When what waits should go: at `now` or before, at once. `idle`: nothing has happened since
    /// the last call.
    pub(super) fn due(&mut self, now: Instant, idle: bool) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let latest = *self.since.get_or_insert(now) + LINGER;
        if !idle {
            self.quiet_since = None;
            return Some(latest);
        }
        let quiet_since = *self.quiet_since.get_or_insert(now);
        Some(latest.min(quiet_since + QUIET))
    }

    /// Everything that waits.
    pub(super) fn take(&mut self) -> Vec<(OpId, Slab)> {
        self.bytes = 0;
        self.since = None;
        self.quiet_since = None;
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::base::id::Id;

    const MIB: usize = 1 << 20;

    /// How many slabs of `capacity` bytes a batch takes until it is full.
    fn width(capacity: usize, bytes_max: usize, lanes: usize) -> usize {
        let mut batch = Batch::new(bytes_max, lanes);
        let mut count = 1;
        while !add(&mut batch, capacity) {
            assert!(batch.has_room_for(&Slab::new(capacity)), "{capacity}");
            count += 1;
        }
        assert_eq!(batch.take().len(), count);
        count
    }

    fn add(batch: &mut Batch, capacity: usize) -> bool {
        batch.add(OpId(Id::from_parts(0, 0)), Slab::new(capacity))
    }

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// The width follows the length of the pieces: many small ones, as many as there are lanes, as
    /// many as the memory allows, one that is larger than all of it.
    #[test]
    fn the_width_follows_the_pieces() {
        assert_eq!(width(16 << 10, 16 * MIB, 16), 64);
        assert_eq!(width(256 << 10, 16 * MIB, 16), 16);
        assert_eq!(width(MIB, 16 * MIB, 16), 16);
        assert_eq!(width(4 * MIB, 16 * MIB, 16), 4);
        assert_eq!(width(5 * MIB, 16 * MIB, 16), 3);
        assert_eq!(width(16 * MIB, 16 * MIB, 16), 1);
        assert_eq!(width(64 * MIB, 16 * MIB, 16), 1);
        assert_eq!(width(MIB, 16 * MIB, 4), 4);
        assert_eq!(width(MIB, 16 * MIB, 1), 1);
        assert_eq!(width(16 << 10, 0, 16), 1);
    }

    /// A slab that does not fit beside those that wait is told so, and a lone one always fits.
    #[test]
    fn what_does_not_fit_waits_for_the_next_batch() {
        let mut batch = Batch::new(4 * MIB, 16);
        assert!(batch.has_room_for(&Slab::new(9 * MIB)));
        assert!(!add(&mut batch, MIB));
        assert!(batch.has_room_for(&Slab::new(3 * MIB)));
        assert!(!batch.has_room_for(&Slab::new(3 * MIB + 1)));
    }

    /// While things happen a slab waits for others, but not for ever; once nothing happens any more
    /// it goes soon; and what comes after it waits anew.
    #[test]
    fn nothing_waits_for_long() {
        let mut batch = Batch::new(16 * MIB, 16);
        assert_eq!(batch.due(at(0), true), None);
        add(&mut batch, MIB);
        assert_eq!(batch.due(at(100), false), Some(at(100) + LINGER));
        assert_eq!(batch.due(at(300), true), Some(at(300) + QUIET));
        assert_eq!(batch.due(at(400), true), Some(at(300) + QUIET));
        assert_eq!(batch.due(at(500), false), Some(at(100) + LINGER));
        let late = at(100) + (LINGER - QUIET / 2);
        assert_eq!(batch.due(late, true), Some(at(100) + LINGER));
        assert_eq!(batch.take().len(), 1);
        assert_eq!(batch.due(late, true), None);
        add(&mut batch, MIB);
        assert_eq!(batch.due(late, true), Some(late + QUIET));
    }
}

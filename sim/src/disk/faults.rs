//! What goes wrong with a disk, and how long it takes for what goes right.

use std::num::NonZeroU64;

use ripcurrent_proto::api::{self, IoError, IoErrorKind};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};

/// `EIO`: the device failed.
pub(super) const BROKEN: IoError = IoError {
    kind: IoErrorKind::Other,
    code: 5,
};
/// `ENOSPC`.
pub(super) const FULL: IoError = IoError {
    kind: IoErrorKind::NoSpace,
    code: 28,
};

/// Everything that may go wrong with a disk; by default nothing does.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Storages that cannot be opened.
    pub open: Odds,
    /// Reads that fail.
    pub read: Odds,
    /// Writes that fail and leave nothing.
    pub write: Odds,
    /// Syncs that fail and make nothing durable.
    pub sync: Odds,
    /// Files that are not given their own name.
    pub finish: Odds,
    /// States that are not saved as far as anybody is told; some of them are there all the same.
    pub save: Odds,
    /// Writes that fail and leave their beginning.
    pub short_write: Odds,
    /// Writes that fail and leave sectors here and there; of compact files, blocks.
    pub torn_write: Odds,
    /// Reads that bring, for the bytes of one file, those of another place in it, and do not tell.
    pub misdirected_read: Odds,
    /// The most bytes that files may take; `None` for more than anybody needs.
    pub capacity: Option<u64>,
    /// How long operations take.
    pub pace: Pace,
}

/// Which operations something happens to, of those that it may happen to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Odds {
    /// None.
    #[default]
    Never,
    /// Each with this chance, in thousandths.
    PerThousand(u64),
    /// The n-th from now on, counted from 1, and no other.
    Nth(u64),
}

impl Odds {
    /// Whether it happens to the next one.
    pub(super) fn strike(&mut self, rng: &mut Rng) -> bool {
        match self {
            Odds::Never | Odds::Nth(0) => false,
            Odds::PerThousand(share) => rng.below(1000) < *share,
            Odds::Nth(left) => {
                *left -= 1;
                *left == 0
            }
        }
    }
}

/// How long operations take: some time each, whatever else goes on, and then in turn as long as
/// their bytes need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The least and the most that an operation takes beside its bytes; each draws its own.
    pub latency: [Duration; 2],
    /// Bytes per second of all reads and writes together; `None` for more than anybody needs.
    pub rate: Option<NonZeroU64>,
    /// Operations that begin before this time do not end before it.
    pub hangs_until: Instant,
}

impl Default for Pace {
    /// A millisecond for whatever it is.
    fn default() -> Self {
        Pace {
            latency: [Duration::from_millis(1); 2],
            rate: None,
            hangs_until: Instant::ZERO,
        }
    }
}

/// The faults of a disk, at work.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) faults: Faults,
    pub(super) rng: Rng,
    /// When the bytes of all operations so far have passed.
    free_at: Instant,
}

impl Active {
    pub(super) fn new(faults: Faults, rng: Rng) -> Self {
        Active {
            faults,
            rng,
            free_at: Instant::ZERO,
        }
    }

    /// Puts other faults in place of these; what is under way goes on.
    pub(super) fn set(&mut self, faults: Faults, rng: Rng) {
        self.faults = faults;
        self.rng = rng;
    }

    /// When an operation that begins now and moves so many bytes is over.
    pub(super) fn end(&mut self, now: Instant, bytes: u64) -> Instant {
        let Pace {
            latency: [least, most],
            rate,
            hangs_until,
        } = self.faults.pace;
        let mut latency = least;
        if least < most {
            let spread = (most - least).as_micros() as u64;
            latency += Duration::from_micros(self.rng.below(spread + 1));
        }
        let mut begin = now;
        if let Some(rate) = rate {
            let takes = Duration::from_micros((bytes * 1_000_000).div_ceil(rate.get()));
            self.free_at = self.free_at.max(now) + takes;
            begin = self.free_at;
        }
        (begin + latency).max(hangs_until)
    }
}

/// The bytes that an operation moves.
pub(super) fn bytes_of(operation: &api::Disk) -> u64 {
    match operation {
        api::Disk::Read { slab, .. } | api::Disk::Write { slab, .. } => slab.len() as u64,
        api::Disk::Digest { spans, .. } => spans.iter().map(|span| u64::from(span.len)).sum(),
        api::Disk::Save { state, .. } => state.as_ref().map_or(0, Vec::len) as u64,
        api::Disk::Open { .. }
        | api::Disk::Sync { .. }
        | api::Disk::Finish { .. }
        | api::Disk::Delete { .. }
        | api::Disk::Close { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A share strikes about as often as it says, a number once.
    #[test]
    fn odds_are_kept() {
        let mut rng = Rng::from_seed([1; 32]);
        let mut struck = |mut odds: Odds| {
            let strikes = (1..=1000).filter(|_| odds.strike(&mut rng));
            strikes.collect::<Vec<u32>>()
        };
        assert!(struck(Odds::Never).is_empty());
        assert_eq!(struck(Odds::Nth(7)), [7]);
        assert_eq!(struck(Odds::PerThousand(1000)).len(), 1000);
        assert!((60..140).contains(&struck(Odds::PerThousand(100)).len()));
    }

    /// Latencies go side by side, bytes in turn, and nothing ends while the disk hangs.
    #[test]
    fn operations_take_their_time() {
        let at = Instant::from_micros;
        let mut disk = Active::new(Faults::default(), Rng::from_seed([1; 32]));
        assert_eq!(disk.end(at(5), 1 << 20), at(1_005));
        disk.faults.pace.rate = NonZeroU64::new(1_000_000);
        assert_eq!(disk.end(at(0), 10_000), at(11_000));
        assert_eq!(disk.end(at(0), 5_000), at(16_000));
        assert_eq!(disk.end(at(50_000), 0), at(51_000));
        disk.faults.pace.latency[1] = Duration::from_millis(9);
        let ends: Vec<_> = (0..50).map(|_| disk.end(at(50_000), 0)).collect();
        assert!(
            ends.iter()
                .all(|end| (51_000..=59_000).contains(&end.as_micros()))
        );
        assert!(ends.iter().any(|end| *end != ends[0]));
        disk.faults.pace.hangs_until = at(1_000_000);
        assert_eq!(disk.end(at(50_000), 0), at(1_000_000));
        assert!(disk.end(at(1_000_000), 0) > at(1_000_000));
    }
}

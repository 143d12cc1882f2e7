//! Bandwidth: every host has one FIFO serializer for each direction, shared by all of its
//! connections.
//!
//! Real links pass segment by segment, and a small message waits for a few segments at most. Here a
//! connection lets a whole block pass before it is another's turn, because an event for each segment
//! would cost ten times as much; so what fits a [`SEGMENT`] slips in: it waits for its like only, and
//! what it takes comes off what is let in later.
//!
//! Invariant: over any span of time no more than `rate x (span + GRAIN)` bytes pass, whatever asks,
//! and beyond that only what slipped in while the last block passed.

use std::num::NonZeroU64;

use ripcurrent_proto::base::time::Instant;

/// The most bytes of one direction of a connection that are under way or received and not yet read:
/// the socket buffers of both ends. A sender waits while it is full, so back-pressure is real.
pub const WINDOW: usize = 256 * 1024;

/// The most bytes that one connection lets pass before the others get their turn: a block of 16 KiB,
/// its header, and some small messages.
pub const QUANTUM_MAX: usize = 17 * 1024;

/// A segment of ordinary TCP over Ethernet, in bytes.
pub const SEGMENT: usize = 1448;

/// How late a timer of a host may fire, in nanoseconds. A link that could not be used for so long
/// because its user slept a little too long makes up for it.
const GRAIN: u64 = 1_000_000;

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_MICRO: u64 = 1_000;

/// One direction of a host's link.
#[derive(Debug)]
pub struct Shaper {
    /// Bytes per second; `None` for a link that is never the bottleneck.
    rate: Option<NonZeroU64>,
    /// When everything that was let in so far has passed, in nanoseconds of the host's clock.
    free_at: u64,
    /// The same of what slipped in.
    slipped_at: u64,
}

impl Shaper {
    /// An idle link of `rate` bytes per second.
    #[must_use]
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Shaper {
            rate,
            free_at: 0,
            slipped_at: 0,
        }
    }

    /// Sets the rate, in bytes per second, of what is let in from now on.
    pub fn set_rate(&mut self, rate: Option<NonZeroU64>) {
        self.rate = rate;
    }

    /// How many bytes one connection lets pass before the others get their turn: about 100 ms of the
    /// link, one segment at least and one block at most.
    #[must_use]
    pub fn quantum(&self) -> usize {
        let (least, most) = (SEGMENT as u64, QUANTUM_MAX as u64);
        let quantum = self.rate.map_or(most, |rate| rate.get() / 10);
        quantum.clamp(least, most) as usize
    }

    /// Queues `bytes` behind everything that was queued before, or lets them slip in if they are few;
    /// when the last of them has passed.
    pub fn reserve(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return now };
        let now = now.as_micros() * NANOS_PER_MICRO;
        let takes = bytes as u64 * NANOS_PER_SECOND / rate;
        let earliest = now.saturating_sub(GRAIN);
        self.free_at = self.free_at.max(earliest) + takes;
        let passed = if bytes <= SEGMENT {
            self.slipped_at = self.slipped_at.max(earliest) + takes;
            self.slipped_at
        } else {
            self.free_at
        };
        Instant::from_micros(passed.div_ceil(NANOS_PER_MICRO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// A busy link passes exactly its rate, however its users' timers round.
    #[test]
    fn a_link_in_constant_use_keeps_its_rate_though_timers_fire_late() {
        let mut link = Shaper::new(NonZeroU64::new(3_000_000));
        let mut now = at(0);
        for _ in 0..3_000 {
            let passed = link.reserve(now, 1_000).as_micros();
            now = at(passed.next_multiple_of(1_000));
        }
        assert!(now.as_micros().abs_diff(1_000_000) <= 2_000, "{now}");
    }

    /// A link that stood idle does not save up more than the grain.
    #[test]
    fn idle_time_is_lost() {
        let mut link = Shaper::new(NonZeroU64::new(1_000_000));
        assert_eq!(link.reserve(at(5_000_000), 10_000), at(5_009_000));
        assert_eq!(link.reserve(at(5_000_000), 10_000), at(5_019_000));
    }

    /// A small message waits for other small ones, not for blocks; a block waits for all.
    #[test]
    fn small_messages_slip_in() {
        let mut link = Shaper::new(NonZeroU64::new(1_000_000));
        let now = 5_000_000;
        assert_eq!(link.reserve(at(now), 10_000), at(now + 9_000));
        assert_eq!(link.reserve(at(now), 1_000), at(now));
        assert_eq!(link.reserve(at(now), 1_000), at(now + 1_000));
        assert_eq!(link.reserve(at(now), 10_000), at(now + 21_000));
        assert_eq!(link.reserve(at(now + 4_000), 1_000), at(now + 4_000));
    }

    /// What is unlimited passes at once.
    #[test]
    fn no_rate_is_no_delay() {
        assert_eq!(Shaper::new(None).reserve(at(7), 1 << 30), at(7));
    }
}

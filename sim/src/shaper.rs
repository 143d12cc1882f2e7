//! Bandwidth: every host has one FIFO serializer for each direction, shared by all of its
//! connections.
//!
//! Invariant: over any span of time no more than `rate x (span + GRAIN)` bytes pass, whatever asks.

use std::num::NonZeroU64;

use ripcurrent_proto::base::time::Instant;

/// The most bytes of one direction of a connection that are under way or received and not yet read:
/// the socket buffers of both ends. A sender waits while it is full, so back-pressure is real.
pub const WINDOW: usize = 256 * 1024;

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
}

impl Shaper {
    /// An idle link of `rate` bytes per second.
    #[must_use]
    pub fn new(rate: Option<NonZeroU64>) -> Self {
        Shaper { rate, free_at: 0 }
    }

    /// Sets the rate, in bytes per second, of what is let in from now on.
    pub fn set_rate(&mut self, rate: Option<NonZeroU64>) {
        self.rate = rate;
    }

    /// How many bytes one connection lets pass before the others get their turn: about 10 ms of the
    /// link, so that a small message is not stuck behind other connections' blocks for long.
    #[must_use]
    pub fn quantum(&self) -> usize {
        const LEAST: u64 = 1448; // One segment of ordinary TCP over Ethernet.
        const MOST: u64 = 16 * 1024;
        let quantum = self
            .rate
            .map_or(MOST, |rate| (rate.get() / 100).clamp(LEAST, MOST));
        quantum as usize
    }

    /// Queues `bytes` behind everything that was queued before; when the last of them has passed.
    pub fn reserve(&mut self, now: Instant, bytes: usize) -> Instant {
        let Some(rate) = self.rate else { return now };
        let now = now.as_micros() * NANOS_PER_MICRO;
        let start = self.free_at.max(now.saturating_sub(GRAIN));
        self.free_at = start + bytes as u64 * NANOS_PER_SECOND / rate;
        Instant::from_micros(self.free_at.div_ceil(NANOS_PER_MICRO))
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

    /// What is unlimited passes at once.
    #[test]
    fn no_rate_is_no_delay() {
        assert_eq!(Shaper::new(None).reserve(at(7), 1 << 30), at(7));
    }
}

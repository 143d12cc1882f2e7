//! Rates, in integers: a meter that tells how fast, a bucket that says how much more.

use super::time::{Duration, Instant};

const SLOT: Duration = Duration::from_secs(1);
const SLOTS: usize = 8;

/// Bytes per second over the last whole seconds (at most seven of them and the current one).
#[derive(Clone, Debug, Default)]
pub struct Meter {
    slots: [u64; SLOTS],
    /// The second that `slots[current % SLOTS]` counts.
    current: u64,
    /// The second in which this meter was first used.
    first: Option<u64>,
    total: u64,
}

impl Meter {
    /// Counts `bytes` at `now`.
    pub fn add(&mut self, now: Instant, bytes: u64) {
        self.advance(now);
        self.slots[(self.current as usize) % SLOTS] += bytes;
        self.total += bytes;
    }

    /// The rate in bytes per second.
    #[must_use]
    pub fn rate(&self, now: Instant) -> u64 {
        let Some(first) = self.first else { return 0 };
        let second = SLOT.as_micros() as u64;
        let current = (now.as_micros() / second).max(self.current);
        let oldest = current.saturating_sub(SLOTS as u64 - 1);
        let counted = oldest.max(self.current.saturating_sub(SLOTS as u64 - 1))..=self.current;
        let sum: u64 = counted.map(|slot| self.slots[slot as usize % SLOTS]).sum();
        let window = now
            .as_micros()
            .saturating_sub(oldest.max(first) * second)
            .max(second);
        (u128::from(sum) * u128::from(second) / u128::from(window)) as u64
    }

    /// All bytes ever counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    fn advance(&mut self, now: Instant) {
        let slot = now.as_micros() / SLOT.as_micros() as u64;
        if self.first.is_none() {
            self.first = Some(slot);
            self.current = slot;
        }
        let steps = slot.saturating_sub(self.current).min(SLOTS as u64);
        for step in 1..=steps {
            self.slots[((slot - steps + step) as usize) % SLOTS] = 0;
        }
        self.current = self.current.max(slot);
    }
}

/// A token bucket: `rate` bytes per second, at most one `burst` saved up.
#[derive(Clone, Debug)]
pub struct Bucket {
    rate: u64,
    burst: u64,
    /// Tokens in micro-bytes, so that no fraction is ever lost.
    micro_tokens: u128,
    refilled: Instant,
}

const MICRO: u128 = 1_000_000;

impl Bucket {
    /// A full bucket of `rate` bytes per second that saves up at most `burst` bytes.
    ///
    /// # Panics
    /// If the rate or the burst is zero.
    #[must_use]
    pub fn new(rate: u64, burst: u64, now: Instant) -> Self {
        assert!(
            rate > 0 && burst > 0,
            "a bucket that never fills would stop everything"
        );
        Bucket {
            rate,
            burst,
            micro_tokens: u128::from(burst) * MICRO,
            refilled: now,
        }
    }

    /// Bytes that may pass now.
    pub fn available(&mut self, now: Instant) -> u64 {
        let micros = now.since(self.refilled).as_micros();
        self.refilled = self.refilled.max(now);
        let full = u128::from(self.burst) * MICRO;
        self.micro_tokens = (self.micro_tokens + micros * u128::from(self.rate)).min(full);
        (self.micro_tokens / MICRO) as u64
    }

    /// Takes `bytes` out. What exceeds the available is forgiven, so ask first.
    pub fn take(&mut self, bytes: u64) {
        self.micro_tokens = self.micro_tokens.saturating_sub(u128::from(bytes) * MICRO);
    }

    /// When `bytes` (at most the burst) will be available.
    #[must_use]
    pub fn when(&self, bytes: u64) -> Instant {
        let wanted = u128::from(bytes.min(self.burst)) * MICRO;
        let missing = wanted.saturating_sub(self.micro_tokens);
        let micros = missing.div_ceil(u128::from(self.rate));
        self.refilled + Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    #[test]
    fn a_steady_stream_is_measured_and_forgotten() {
        let mut meter = Meter::default();
        for tick in 0..100 {
            meter.add(at(tick * 100), 1000);
        }
        let rate = meter.rate(at(10_000));
        assert!((9_500..=10_500).contains(&rate), "{rate}");
        assert_eq!(meter.rate(at(30_000)), 0);
        assert_eq!(meter.total(), 100_000);
    }

    #[test]
    fn a_bucket_lets_its_rate_through_to_the_byte() {
        let mut bucket = Bucket::new(1000, 500, at(0));
        assert_eq!(bucket.available(at(0)), 500);
        bucket.take(500);
        assert_eq!(bucket.when(100), at(100));
        assert_eq!(bucket.available(at(99)), 99);
        assert_eq!(bucket.available(at(100)), 100);
        assert_eq!(
            bucket.available(at(9_999)),
            500,
            "no more than one burst is saved up"
        );
    }
}

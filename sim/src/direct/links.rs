//! What lies between two hosts: how long a packet takes.

use std::num::NonZeroU32;

use ripcurrent_proto::base::time::{Duration, Instant};

use super::socket::HostId;
use crate::network::TICK;

/// Every pair of hosts. A host reaches itself within a tick.
#[derive(Debug, Default)]
pub(super) struct Links {
    hosts: usize,
    /// Ticks from one host to another: those of host 1 to host 0, of host 2 to hosts 0 and 1, ...
    ticks: Vec<NonZeroU32>,
}

impl Links {
    /// One more host, a tick away from every other.
    pub(super) fn add_host(&mut self) {
        let more = self.ticks.len() + self.hosts;
        self.ticks.resize(more, NonZeroU32::MIN);
        self.hosts += 1;
    }

    /// Sets how long a packet takes, one way.
    pub(super) fn set_latency(&mut self, one: HostId, other: HostId, latency: Duration) {
        let ticks = latency.as_micros().div_ceil(TICK.as_micros());
        let ticks = NonZeroU32::new(u32::try_from(ticks).unwrap_or(u32::MAX));
        if let Some(at) = place(one, other) {
            self.ticks[at] = ticks.unwrap_or(NonZeroU32::MIN);
        }
    }

    /// When something sent `now` arrives. As over turmoil, a tick that has begun does not count.
    pub(super) fn arrival(&self, now: Instant, one: HostId, other: HostId) -> Instant {
        let tick = TICK.as_micros() as u64;
        let ticks = place(one, other).map_or(NonZeroU32::MIN, |at| self.ticks[at]);
        let begun = now.as_micros() / tick;
        Instant::from_micros((begun + u64::from(ticks.get())) * tick)
    }
}

/// The place of a pair; `None` for a host and itself.
fn place(one: HostId, other: HostId) -> Option<usize> {
    let (low, high) = (one.min(other), one.max(other));
    (low != high).then(|| high * (high - 1) / 2 + low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each pair has a place of its own, whichever is named first, and latencies are rounded up.
    #[test]
    fn pairs_are_apart() {
        let mut links = Links::default();
        for _ in 0..5 {
            links.add_host();
        }
        let pairs: Vec<_> = (0..5usize)
            .flat_map(|high| (0..high).map(move |low| (low, high)))
            .collect();
        for ((low, high), ticks) in pairs.iter().zip(1..) {
            links.set_latency(*high, *low, TICK * ticks - Duration::from_micros(1));
        }
        let now = Instant::from_micros(12_345);
        for ((low, high), ticks) in pairs.iter().zip(1..) {
            let expected = Instant::from_micros(10_000) + TICK * ticks;
            assert_eq!(links.arrival(now, *low, *high), expected);
        }
        assert_eq!(links.arrival(now, 2, 2), Instant::from_micros(15_000));
    }
}

//! Who takes part in a run: the hosts of a scenario, one by one, with what chance gave them.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};

use crate::scenario::{Arrival, Group, Role, Scenario};

/// A host of the scenario.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// The name of its group and its number there, from 1.
    pub(crate) name: String,
    /// The number of its group in the scenario.
    pub(crate) group: usize,
    pub(crate) role: Role,
    pub(crate) addr: IpAddr,
    /// Bytes per second.
    pub(crate) up: Option<NonZeroU64>,
    /// Bytes per second.
    pub(crate) down: Option<NonZeroU64>,
    /// From here to the middle of the network, one way.
    pub(crate) latency: Duration,
    /// When it comes.
    pub(crate) arrives: Instant,
}

/// The address of the tracker with this number, counted from 1.
pub(crate) fn tracker_addr(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

/// All hosts, in the order of the scenario.
pub(crate) fn cast(scenario: &Scenario, rng: &Rng) -> Vec<Member> {
    let mut members: Vec<Member> = Vec::with_capacity(scenario.hosts());
    for (index, group) in scenario.groups.iter().enumerate() {
        let mut arrivals = Arrivals::new(group, rng);
        for number in 1..=group.count {
            let name = format!("{}-{number}", group.name);
            let mut own = rng.fork(&name);
            let [least, most] = group.latency_ms.map(|millis| millis * 1000);
            let [_, _, high, low] = (members.len() as u32 + 1).to_be_bytes();
            members.push(Member {
                name,
                group: index,
                role: group.role,
                addr: Ipv4Addr::new(10, 1, high, low).into(),
                up: NonZeroU64::new(group.up.0),
                down: NonZeroU64::new(group.down.0),
                latency: Duration::from_micros(least + own.below(most - least + 1)),
                arrives: arrivals.next(),
            });
        }
    }
    members
}

/// The arrivals of a group's hosts, one after the other.
struct Arrivals {
    arrival: Arrival,
    rng: Rng,
    /// The last one.
    last: Instant,
}

impl Arrivals {
    fn new(group: &Group, rng: &Rng) -> Self {
        Arrivals {
            arrival: group.arrival,
            rng: rng.fork(&format!("arrivals of {}", group.name)),
            last: Instant::ZERO,
        }
    }

    fn next(&mut self) -> Instant {
        let second = |second: u64| Instant::ZERO + Duration::from_secs(second);
        match self.arrival {
            Arrival::AtOnce => Instant::ZERO,
            Arrival::AfterS(at) => second(at),
            Arrival::SpreadS([from, to]) => {
                let micros = (to - from) * 1_000_000;
                second(from) + Duration::from_micros(self.rng.below(micros + 1))
            }
            Arrival::GapMs(mean) => {
                self.last += exponential(&mut self.rng, Duration::from_millis(mean));
                self.last
            }
        }
    }
}

/// A time drawn from the exponential distribution with this mean, by comparisons alone (von Neumann,
/// "Various techniques used in connection with random digits", 1951): the same on every machine.
///
/// Uniform numbers are drawn while they fall. The chance that the first fall ends after an odd
/// number of them, given that it began with `x`, is `exp(-x)`; each try that fails adds a mean.
fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    let mean = mean.as_micros();
    let mut whole = 0;
    loop {
        let first = rng.next_u64();
        let (mut last, mut drawn) = (first, 1);
        loop {
            let next = rng.next_u64();
            if next > last {
                break;
            }
            last = next;
            drawn += 1;
        }
        if drawn % 2 == 1 {
            let part = (u128::from(first) * mean) >> 64;
            return Duration::from_micros((whole * mean + part) as u64);
        }
        whole += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean, spread and tail are those of the distribution.
    #[test]
    fn gaps_are_exponential() {
        let mut rng = Rng::from_seed([6; 32]);
        let mean = Duration::from_millis(100);
        let draws: Vec<_> = (0..20_000).map(|_| exponential(&mut rng, mean)).collect();
        let sum: Duration = draws.iter().sum();
        let millis = sum.as_millis() / 20_000;
        assert!((98..=102).contains(&millis), "a mean of {millis} ms");
        for (times, share) in [(1, 36.8), (2, 13.5), (3, 5.0)] {
            let longer = draws.iter().filter(|draw| **draw > times * mean).count();
            let percent = longer as f64 / 200.0;
            assert!(
                (percent - share).abs() < 1.0,
                "{percent} % over {times} means"
            );
        }
    }

    /// Hosts come when their group says, and each has an address of its own.
    #[test]
    fn hosts_come_when_they_should() {
        let text = r#"
            torrent = { files = [1], piece_length = "16 KiB" }
            end = { within_s = 1 }
            [[group]]
            name = "seed"
            role = "seed"
            count = 1
            up = "1 KiB/s"
            down = "1 KiB/s"
            latency_ms = [3, 7]
            arrival = { after_s = 4 }
            [[group]]
            name = "late"
            role = "leecher"
            count = 300
            up = "1 KiB/s"
            down = "1 KiB/s"
            latency_ms = [3, 7]
            arrival = { spread_s = [5, 9] }
            [[group]]
            name = "steady"
            role = "leecher"
            count = 300
            up = "1 KiB/s"
            down = "1 KiB/s"
            latency_ms = [3, 7]
            arrival = { gap_ms = 50 }
        "#;
        let scenario = Scenario::parse(text).unwrap();
        let members = cast(&scenario, &Rng::from_seed([2; 32]));
        let seconds = |member: &Member| member.arrives.as_micros() as f64 / 1e6;
        assert_eq!(seconds(&members[0]), 4.0);
        let (late, steady) = members[1..].split_at(300);
        assert!(
            late.iter()
                .all(|member| (5.0..=9.0).contains(&seconds(member)))
        );
        assert!(steady.is_sorted_by_key(|member| member.arrives));
        let last = seconds(&steady[299]);
        assert!((12.0..18.0).contains(&last), "the last after {last} s");
        let mut addrs: Vec<IpAddr> = members.iter().map(|member| member.addr).collect();
        addrs.sort_unstable();
        addrs.dedup();
        assert_eq!(addrs.len(), 601);
        let millis = |member: &Member| member.latency.as_millis();
        assert!(
            members
                .iter()
                .all(|member| (3..=7).contains(&millis(member)))
        );
    }
}

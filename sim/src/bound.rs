//! The least time in which any protocol can distribute a torrent.

use ripcurrent_proto::base::time::Duration;

use crate::scenario::{Role, Scenario};

/// The bound of Kumar and Ross for bytes that flow like a fluid ("Peer-assisted file distribution:
/// the minimum distribution time", 2006), for `N` leechers and `F` bytes:
/// `max(F / u_s, F / d_min, N F / (u_s + sum u_i))`: the seeds must send everything once, the
/// slowest leecher must receive it, and everybody together must send it to everybody.
#[must_use]
pub fn fluid(scenario: &Scenario) -> Duration {
    let size = u128::from(scenario.size());
    let (mut seeds_up, mut leechers_up, mut leechers) = (0u128, 0u128, 0u128);
    let mut slowest = u128::MAX;
    for group in &scenario.groups {
        let (count, up) = (group.count as u128, u128::from(group.up.0));
        match group.role {
            Role::Seed => seeds_up += count * up,
            Role::Leecher | Role::FreeRider => {
                leechers_up += count * up;
                leechers += count;
                slowest = slowest.min(u128::from(group.down.0));
            }
        }
    }
    let micros = |bytes: u128, rate: u128| (bytes * 1_000_000).div_ceil(rate);
    let bound = micros(size, seeds_up)
        .max(micros(size, slowest))
        .max(micros(leechers * size, seeds_up + leechers_up));
    Duration::from_micros(bound as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All in KiB.
    fn bound(seed_up: u64, leechers: &[(usize, u64, u64)]) -> u64 {
        let group = |role: &str, number: usize, (count, up, down): (usize, u64, u64)| {
            format!(
                "[[group]]\nname = \"{role}-{number}\"\nrole = \"{role}\"\ncount = {count}\n\
                 up = \"{up} KiB/s\"\ndown = \"{down} KiB/s\"\nlatency_ms = [1, 1]\n"
            )
        };
        let mut text = String::from(
            "torrent = { files = [\"6000 KiB\", \"4000 KiB\"], piece_length = \"16 KiB\" }\n\
             end = { within_s = 1 }\n",
        );
        text += &group("seed", 1, (1, seed_up, 1));
        for (plan, number) in leechers.iter().zip(1..) {
            text += &group("leecher", number, *plan);
        }
        let scenario = Scenario::parse(&text).expect("a good scenario");
        fluid(&scenario).as_secs()
    }

    /// Each of the three limits is the bound where it is the narrowest.
    #[test]
    fn the_narrowest_limit_counts() {
        assert_eq!(bound(100, &[(3, 1_000, 1_000)]), 100, "the seed");
        assert_eq!(
            bound(5_000, &[(2, 9_000, 9_000), (1, 9_000, 50)]),
            200,
            "a slow leecher"
        );
        assert_eq!(
            bound(500, &[(9, 50, 9_000), (1, 50, 9_000)]),
            100,
            "all uploads"
        );
    }
}

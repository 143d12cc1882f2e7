//! Who takes part in a run: the hosts of a scenario, one by one, with what chance gave them.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;

use crate::scenario::{Role, Scenario};

/// Where the tracker is.
pub(crate) const TRACKER_ADDR: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

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
}

/// All hosts, in the order of the scenario.
pub(crate) fn cast(scenario: &Scenario, rng: &Rng) -> Vec<Member> {
    let places = scenario
        .groups
        .iter()
        .enumerate()
        .flat_map(|(index, group)| (1..=group.count).map(move |number| (index, group, number)));
    let members = places
        .zip(1..)
        .map(|((index, group, number), at): (_, u16)| {
            let name = format!("{}-{number}", group.name);
            let [least, most] = group.latency_ms.map(|millis| millis * 1000);
            let latency = least + rng.fork(&name).below(most - least + 1);
            let [high, low] = at.to_be_bytes();
            Member {
                name,
                group: index,
                role: group.role,
                addr: Ipv4Addr::new(10, 1, high, low).into(),
                up: NonZeroU64::new(group.up.0),
                down: NonZeroU64::new(group.down.0),
                latency: Duration::from_micros(latency),
            }
        });
    members.collect()
}

//! What must hold at the end of a run, and does not.

use ripcurrent_proto::base::time::{Duration, Instant};

use super::peer::Peer;
use crate::report::{HostReport, Shortfall};
use crate::scenario::{Role, Scenario, Share};

/// What a run came to.
pub(super) struct Outcome<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) peers: &'a [Peer],
    pub(super) hosts: &'a [HostReport],
    pub(super) ended: Instant,
    /// The least possible time.
    pub(super) bound: Duration,
    /// Copies of the rarest piece, on the hosts that are there.
    pub(super) rarest: u32,
}

/// Everything that should be otherwise.
pub(super) fn shortfalls(outcome: &Outcome<'_>) -> Vec<Shortfall> {
    let mut found = Vec::new();
    for (peer, host) in outcome.peers.iter().zip(outcome.hosts) {
        if peer.must_complete && host.completed.is_none() {
            found.push(Shortfall::Incomplete(host.name.clone()));
        }
        let claims_all = host.role == Role::Seed || host.completed.is_some();
        if claims_all && !host.whole && !peer.lies {
            found.push(Shortfall::Wrong(host.name.clone()));
        }
    }
    found.extend(times(outcome));
    if let Some(least) = outcome.scenario.end.copies
        && u64::from(outcome.rarest) < least
    {
        let got = outcome.rarest;
        found.push(Shortfall::Copies { got, least });
    }
    found
}

/// The mean time, from arrival to the last byte, of those that must get everything; `None` until
/// they have.
pub(super) fn mean_time(peers: &[Peer]) -> Option<Duration> {
    let must = peers.iter().filter(|peer| peer.must_complete);
    let times = must.map(|peer| Some(peer.completed?.since(peer.member.arrives)));
    let times: Vec<Duration> = times.collect::<Option<_>>()?;
    let sum: Duration = times.iter().sum();
    Some(sum / times.len().max(1) as u32)
}

fn times(outcome: &Outcome<'_>) -> Vec<Shortfall> {
    let mut found = Vec::new();
    let Some(mean) = mean_time(outcome.peers) else {
        return found;
    };
    let (end, bound) = (&outcome.scenario.end, outcome.bound);
    let must = outcome.peers.iter().filter(|peer| peer.must_complete);
    let waits = must.filter_map(|peer| Some(peer.completed?.since(peer.member.arrives)));
    let longest = waits.max().unwrap_or_default();
    if let Some(most) = end
        .longest_over_bound
        .filter(|most| ratio(longest, bound) > *most)
    {
        let got = ratio(longest, bound);
        found.push(Shortfall::LongestOverBound { got, most });
    }
    if let Some(most) = end
        .mean_over_bound
        .filter(|most| ratio(mean, bound) > *most)
    {
        let got = ratio(mean, bound);
        found.push(Shortfall::MeanOverBound { got, most });
    }
    let Some(least) = end.free_riders_over_mean else {
        return found;
    };
    for host in outcome.hosts {
        let until = host.completed.unwrap_or(outcome.ended);
        let got = ratio(until.since(host.arrived), mean);
        if host.role == Role::FreeRider && host.completed.is_some() && got < least {
            let host = host.name.clone();
            found.push(Shortfall::RodeFree { host, got, least });
        }
    }
    found
}

/// How often `whole` goes into `time`, rounded up.
fn ratio(time: Duration, whole: Duration) -> Share {
    Share((time.as_micros() * 1000).div_ceil(whole.as_micros().max(1)) as u64)
}

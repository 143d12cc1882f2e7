//! How good a run was: what it took beside what is possible, what that cost, and who paid.
//!
//! Ratios are for people and are floating point; nothing that decides depends on them.

use ripcurrent_proto::base::time::Duration;

use crate::report::{HostReport, Report, Sample};
use crate::scenario::{Role, Scenario};

/// The figures of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// The longest that a leecher waited, from its arrival; `None` if not all have everything.
    pub last: Option<Duration>,
    /// The mean that leechers waited; `None` if not all have everything.
    pub mean: Option<Duration>,
    /// `last` in times of the fluid bound.
    pub last_over_bound: Option<f64>,
    /// `mean` in times of the fluid bound.
    pub mean_over_bound: Option<f64>,
    /// `last` in times of the bound for pieces that are whole before they are forwarded.
    pub last_over_forwarding: Option<f64>,
    /// Copies of the torrent that the seeds had sent when every piece was somewhere else, exact to
    /// one sample; `None` if that never came.
    pub seed_copies: Option<f64>,
    /// Of what seeds and leechers could send while one that was there missed something, the share
    /// that they sent as blocks.
    pub utilisation: Option<f64>,
    /// Bytes received by clients beside blocks, in shares of the blocks.
    pub overhead: f64,
    /// Of the bytes of blocks received by clients, the share that was for nothing.
    pub waste: f64,
    /// Jain's index of what leechers sent in shares of what they received: 1 if it is the same for
    /// all, `1 / n` if one of `n` sends everything.
    pub fairness: Option<f64>,
    /// What became of free riders, if there are any.
    pub free_riders: Option<FreeRiders>,
    /// The groups, in the order of the scenario.
    pub groups: Vec<GroupScore>,
}

/// What became of free riders.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FreeRiders {
    /// How many there are.
    pub count: usize,
    /// How many got everything.
    pub complete: usize,
    /// Their mean wait in times of that of leechers. Who did not get everything counts as waiting to
    /// the end of the run, so with those it is more than this.
    pub over_mean: Option<f64>,
}

/// The hosts of one group.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupScore {
    /// Its name.
    pub name: String,
    /// What its hosts are there for.
    pub role: Role,
    /// How many there are.
    pub hosts: usize,
    /// How many of them got everything.
    pub complete: usize,
    /// The shortest, the middle and the longest wait of those.
    pub waits: Option<[Duration; 3]>,
    /// Bytes of blocks sent.
    pub uploaded: u64,
    /// Bytes of blocks received.
    pub downloaded: u64,
}

/// How far a figure is spread over many runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The least.
    pub least: f64,
    /// The middle one; the greater of two.
    pub median: f64,
    /// The most.
    pub most: f64,
}

impl Spread {
    /// `None` of nothing.
    #[must_use]
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Some(Spread {
            least: *values.first()?,
            median: values[values.len() / 2],
            most: *values.last()?,
        })
    }
}

impl Score {
    /// The figures of a run of `scenario`.
    #[must_use]
    pub fn of(scenario: &Scenario, report: &Report) -> Self {
        let leechers = with_role(report, Role::Leecher);
        let waits = leechers
            .iter()
            .map(|host| host.wait())
            .collect::<Option<Vec<_>>>();
        let waits = waits.unwrap_or_default();
        let last = waits.iter().max().copied();
        let mean = mean(&waits);
        let over =
            |bound: Duration| move |time: Duration| ratio(time.as_micros(), bound.as_micros());
        let clients = || report.hosts.iter().filter(|host| is_client(host.role));
        let downloaded: u64 = clients().map(|host| host.downloaded).sum();
        let received: u64 = clients().map(|host| host.received).sum();
        let wasted: u64 = clients().map(|host| host.wasted).sum();
        let part = |bytes: u64| ratio(bytes.into(), downloaded.into()).unwrap_or(0.0);
        Score {
            last,
            mean,
            last_over_bound: last.and_then(over(report.bound.fluid)),
            mean_over_bound: mean.and_then(over(report.bound.fluid)),
            last_over_forwarding: last.and_then(over(report.bound.store_and_forward)),
            seed_copies: seed_copies(scenario, report),
            utilisation: utilisation(scenario, &report.timeline.samples),
            overhead: part(received.saturating_sub(downloaded)),
            waste: part(wasted),
            fairness: fairness(&leechers),
            free_riders: free_riders(report, mean),
            groups: groups(scenario, report),
        }
    }
}

/// Whether hosts of this role run the engine.
fn is_client(role: Role) -> bool {
    matches!(role, Role::Seed | Role::Leecher | Role::FreeRider)
}

fn with_role(report: &Report, role: Role) -> Vec<&HostReport> {
    let hosts = report.hosts.iter();
    hosts.filter(|host| host.role == role).collect()
}

fn mean(times: &[Duration]) -> Option<Duration> {
    let sum: Duration = times.iter().sum();
    sum.checked_div(u32::try_from(times.len()).ok()?)
}

fn ratio(part: u128, whole: u128) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn seed_copies(scenario: &Scenario, report: &Report) -> Option<f64> {
    let mut samples = report.timeline.samples.iter();
    let sample = samples.find(|sample| sample.availability.is_whole_elsewhere())?;
    let groups = scenario.groups.iter().zip(&sample.groups);
    let seeds = groups.filter(|(group, _)| group.role == Role::Seed);
    let sent: u64 = seeds.map(|(_, sample)| sample.uploaded).sum();
    ratio(sent.into(), scenario.size().into())
}

/// Of what the seeds and leechers of `samples` could send while a leecher that was there missed
/// something, the share that they sent; `None` if that took no time.
#[must_use]
pub fn utilisation(scenario: &Scenario, samples: &[Sample]) -> Option<f64> {
    let (mut sent, mut possible) = (0u128, 0u128);
    for pair in samples.windows(2) {
        let [before, after] = pair else { continue };
        if !misses_something(scenario, before) {
            continue;
        }
        let time = after.at.since(before.at).as_micros();
        let groups = scenario
            .groups
            .iter()
            .zip(before.groups.iter().zip(&after.groups));
        let groups = groups.filter(|(group, _)| matches!(group.role, Role::Seed | Role::Leecher));
        for (_, (before, after)) in groups {
            sent += u128::from(after.uploaded.saturating_sub(before.uploaded)) * 1_000_000;
            possible += u128::from(before.up_capacity) * time;
        }
    }
    ratio(sent, possible)
}

fn misses_something(scenario: &Scenario, sample: &Sample) -> bool {
    let mut groups = scenario.groups.iter().zip(&sample.groups);
    groups.any(|(group, sample)| {
        group.role == Role::Leecher && sample.had < u64::from(sample.running) * scenario.size()
    })
}

fn fairness(leechers: &[&HostReport]) -> Option<f64> {
    let ratios = leechers
        .iter()
        .filter_map(|host| ratio(host.uploaded.into(), host.downloaded.into()));
    let ratios: Vec<f64> = ratios.collect();
    let sum: f64 = ratios.iter().sum();
    let squares: f64 = ratios.iter().map(|ratio| ratio * ratio).sum();
    (squares > 0.0).then(|| sum * sum / (ratios.len() as f64 * squares))
}

fn free_riders(report: &Report, others: Option<Duration>) -> Option<FreeRiders> {
    let hosts = with_role(report, Role::FreeRider);
    let wait = |host: &&HostReport| host.wait().unwrap_or(report.ended.since(host.arrived));
    let waits: Vec<_> = hosts.iter().map(wait).collect();
    let mean = mean(&waits)?;
    Some(FreeRiders {
        count: hosts.len(),
        complete: hosts.iter().filter(|host| host.completed.is_some()).count(),
        over_mean: others.and_then(|others| ratio(mean.as_micros(), others.as_micros())),
    })
}

fn groups(scenario: &Scenario, report: &Report) -> Vec<GroupScore> {
    let groups = scenario.groups.iter().enumerate().map(|(number, group)| {
        let hosts = report.hosts.iter().filter(|host| host.group == number);
        let fetched = hosts.clone().filter(|host| host.role != Role::Seed);
        let mut waits: Vec<_> = fetched.filter_map(HostReport::wait).collect();
        waits.sort_unstable();
        let ends = waits.first().zip(waits.last());
        GroupScore {
            name: group.name.clone(),
            role: group.role,
            hosts: hosts.clone().count(),
            complete: waits.len(),
            waits: ends.map(|(first, last)| [*first, waits[waits.len() / 2], *last]),
            uploaded: hosts.clone().map(|host| host.uploaded).sum(),
            downloaded: hosts.map(|host| host.downloaded).sum(),
        }
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use ripcurrent_proto::base::time::Instant;

    use super::*;
    use crate::report::example::{report, scenario};

    /// Three leechers that waited 10, 12 and 14 s, beside a bound of 10 s.
    #[test]
    fn waits_are_measured_by_the_bound() {
        let score = Score::of(&scenario(), &report());
        assert_eq!(score.last, Some(Duration::from_secs(14)));
        assert_eq!(score.mean, Some(Duration::from_secs(12)));
        assert_eq!(score.last_over_bound, Some(1.4));
        assert_eq!(score.mean_over_bound, Some(1.2));
        let group = &score.groups[1];
        assert_eq!(group.waits, Some([10, 12, 14].map(Duration::from_secs)));
        assert_eq!((group.hosts, group.complete), (3, 3));
    }

    /// One that never gets there leaves no longest wait and no mean.
    #[test]
    fn without_the_last_there_is_no_ratio() {
        let mut report = report();
        report.hosts[2].completed = None;
        let score = Score::of(&scenario(), &report);
        assert_eq!((score.last, score.mean_over_bound), (None, None));
        assert_eq!(score.groups[1].complete, 2);
    }

    /// The seed has sent 1.5 copies when the last piece is elsewhere for the first time.
    #[test]
    fn the_seeds_copies_are_counted_up_to_the_first_whole_one() {
        assert_eq!(Score::of(&scenario(), &report()).seed_copies, Some(1.5));
    }

    /// Capacity counts only while something is missing: here for one of two intervals, in which a
    /// half of it is used.
    #[test]
    fn idle_lines_are_no_waste_when_all_have_everything() {
        assert_eq!(Score::of(&scenario(), &report()).utilisation, Some(0.5));
    }

    /// Of 1000 bytes of blocks a tenth is for nothing, and 5 % more is messages.
    #[test]
    fn what_is_not_payload_is_counted() {
        let score = Score::of(&scenario(), &report());
        assert_eq!((score.waste, score.overhead), (0.1, 0.05));
    }

    /// The same ratio for everybody is 1; all of the work by one of three is a third.
    #[test]
    fn unequal_work_is_unfair() {
        let fairness = |sent: [u64; 3]| {
            let mut report = report();
            for (host, sent) in report.hosts[1..].iter_mut().zip(sent) {
                (host.uploaded, host.downloaded) = (sent, 100);
            }
            Score::of(&scenario(), &report).fairness
        };
        assert_eq!(fairness([50, 50, 50]), Some(1.0));
        assert_eq!(fairness([150, 0, 0]), Some(1.0 / 3.0));
        assert_eq!(fairness([0, 0, 0]), None);
    }

    /// A free rider that finishes after 24 s, and one that never does in 30 s, beside a mean of 12 s.
    #[test]
    fn free_riders_wait_at_least_to_the_end() {
        let mut report = report();
        report.ended = Instant::ZERO + Duration::from_secs(30);
        let mut rider = report.hosts[1].clone();
        rider.role = Role::FreeRider;
        rider.completed = Some(Instant::ZERO + Duration::from_secs(24));
        report.hosts.push(rider.clone());
        rider.completed = None;
        report.hosts.push(rider);
        let riders = Score::of(&scenario(), &report).free_riders.expect("two");
        assert_eq!((riders.count, riders.complete), (2, 1));
        assert_eq!(riders.over_mean, Some(2.25));
    }
}

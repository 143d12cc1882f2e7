//! What is to be simulated, as a readable TOML file.
//!
//! ```toml
//! [torrent]
//! files = ["4 MiB"]            # one file, or several
//! piece_length = "64 KiB"
//! private = false              # peers only from trackers (BEP 27)
//! content = "auto"             # or "bytes", or "compact": payload as tags, for large swarms
//!
//! [[tracker]]                  # none written: one that behaves, with these settings
//! interval_s = 60              # how often peers announce themselves
//! behaviour = "ok"             # or any other [`Behaviour`](crate::tracker::Behaviour)
//! https = false                # true: its URL is https://; the simulated TLS hides nothing
//!
//! [[group]]
//! name = "leecher"             # its hosts are leecher-1, leecher-2, ...
//! role = "leecher"             # has nothing; a seed has everything; a free-rider serves nobody
//! adversary = "poisoner"       # of which [`Kind`](crate::adversary::Kind), where the role is adversary
//! count = 3
//! up = "512 KiB/s"             # what its line can send
//! down = "2 MiB/s"
//! latency_ms = [10, 20]        # one way to the middle of the network; each host draws its own
//! arrival = "at-once"          # { after_s = 30 }, { spread_s = [0, 60] }, { gap_ms = 5000 }
//! on_finish = "stay"           # "leave", { seed_s = 60 }, { seed_ratio = 1.0 }, { seed_copies = 1 }
//! has = 0.0                    # the share of pieces that it begins with
//! client = { memory_budget = "3 MiB", max_peers = 50, upload_slots = 8 }   # also up_limit, down_limit
//!
//! [[fault]]
//! at_s = 10
//! for_s = 20                   # not there: to the end of the run
//! kind = "partition"           # every kind stands at [`FaultKind`]
//! group = "leecher"            # not there: all groups
//! share = 0.5                  # or count = 2; not there: all hosts
//!
//! [end]
//! within_s = 600               # virtual seconds after which the run has failed
//! complete = ["leecher"]       # whose hosts must all get everything; not there: all leechers
//! longest_over_bound = 1.1     # the longest that one may wait, in times of the fluid bound
//! mean_over_bound = 1.1        # the longest that they may wait in the mean
//! free_riders_over_mean = 1.5  # the least that free riders must wait, in times of that mean
//! copies = 1                   # the least number of copies of each piece at the end
//! ```
//!
//! A host that is to get everything holds the run open until it has; then what stands in `[end]`
//! must hold, or the run has failed. Keys shown with their defaults may be left out; of those in
//! `[end]` only `within_s` must be there, and of a group all up to its latency. A key that is not
//! known here is an error, and so is a value out of bounds.

mod end;
mod error;
mod fault;
mod group;
mod torrent;
mod tracker;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use crate::quantity::{Rate, Share, Size};
pub use end::End;
pub use error::{Key, ScenarioError};
pub use fault::{DiskErrors, DiskOperation, Fault, FaultKind, RatesPlan, TrackerFault};
pub use group::{Arrival, ClientPlan, Group, OnFinish, Role};
pub use torrent::{ContentForm, TorrentPlan};
pub use tracker::TrackerPlan;

use error::bounded;

/// A scenario: read with [`Scenario::parse`], and then right. Its `Display` is a scenario again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is distributed.
    pub torrent: TorrentPlan,
    /// Who introduces the peers.
    #[serde(rename = "tracker", default = "Scenario::default_trackers")]
    pub trackers: Vec<TrackerPlan>,
    /// The hosts.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
    /// What goes wrong.
    #[serde(rename = "fault", default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// When the run is over, and what must hold then.
    pub end: End,
}

/// The most hosts: every pair has a latency of its own.
const HOSTS_MAX: u64 = 5_000;
/// The most trackers.
const TRACKERS_MAX: u64 = 16;
/// The most faults.
const FAULTS_MAX: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;
const HOUR_S: u64 = 3600;
const YEAR_S: u64 = 365 * 24 * HOUR_S;

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// Names the first thing that is wrong, by its key.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let scenario: Scenario = toml::from_str(text).map_err(|error| at_line(text, &error))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// How many hosts there are, those of trackers aside.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The size of the torrent in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.torrent.files.iter().map(|file| file.0).sum()
    }

    /// Whether payload is kept as tags instead of bytes.
    #[must_use]
    pub fn is_compact(&self) -> bool {
        self.torrent.is_compact(self.hosts())
    }

    /// Whether the hosts of this group must get everything.
    #[must_use]
    pub fn must_complete(&self, group: &Group) -> bool {
        match &self.end.complete {
            Some(names) => names.contains(&group.name),
            None => group.role == Role::Leecher,
        }
    }

    fn default_trackers() -> Vec<TrackerPlan> {
        vec![TrackerPlan::default()]
    }

    fn check(&self) -> Result<(), ScenarioError> {
        for (group, at) in self.groups.iter().zip(0..) {
            group.check()?;
            let is_same = |other: &Group| other.name == group.name;
            if self.groups[..at].iter().any(is_same) {
                let name = group.name.clone();
                return Err(ScenarioError::SameName { name });
            }
        }
        let hosts = self.hosts() as u64;
        bounded(Key::general("the number of hosts"), hosts, 2, HOSTS_MAX)?;
        self.torrent.check(self.hosts())?;
        self.check_trackers()?;
        self.check_faults()?;
        self.check_end()
    }

    fn check_trackers(&self) -> Result<(), ScenarioError> {
        let trackers = self.trackers.len() as u64;
        let key = Key::general("the number of trackers");
        bounded(key, trackers, 1, TRACKERS_MAX)?;
        let mut numbered = self.trackers.iter().zip(1..);
        numbered.try_for_each(|(tracker, number)| tracker.check(number))
    }

    fn check_faults(&self) -> Result<(), ScenarioError> {
        let faults = self.faults.len() as u64;
        bounded(Key::general("the number of faults"), faults, 0, FAULTS_MAX)?;
        for (fault, number) in self.faults.iter().zip(1..) {
            let hosts = match &fault.group {
                Some(name) => self.group(name, Key::of_fault("group", number))?.count,
                None => self.hosts(),
            };
            fault.check(number, hosts, self.trackers.len())?;
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), ScenarioError> {
        let is = |role| move |group: &&Group| group.role == role;
        let free_riders = self.groups.iter().filter(is(Role::FreeRider)).count();
        self.end.check(free_riders)?;
        for name in self.end.complete.iter().flatten() {
            let group = self.group(name, Key::general("end.complete"))?;
            if !group.role.fetches() {
                return Err(ScenarioError::Meaningless {
                    key: Key::of_group("end.complete", name),
                    beside: "for hosts that fetch nothing",
                });
            }
        }
        if !self.groups.iter().any(|group| group.role == Role::Seed) {
            let role = Role::Seed;
            return Err(ScenarioError::Nobody { role });
        }
        if !self.groups.iter().any(|group| self.must_complete(group)) {
            let role = Role::Leecher;
            return Err(ScenarioError::Nobody { role });
        }
        Ok(())
    }

    fn group(&self, name: &str, key: Key) -> Result<&Group, ScenarioError> {
        let group = self.groups.iter().find(|group| group.name == name);
        let name = name.to_owned();
        group.ok_or(ScenarioError::NoSuchGroup { key, name })
    }
}

/// The scenario as TOML, for people to look at and to run again.
impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = toml::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn at_line(text: &str, error: &toml::de::Error) -> ScenarioError {
    let start = error.span().map_or(0, |span| span.start);
    let before = text.bytes().take(start);
    let line = before.filter(|byte| *byte == b'\n').count();
    ScenarioError::Toml {
        line: line + 1,
        text: text.lines().nth(line).unwrap_or_default().trim().into(),
        message: error.message().trim_end().replace('\n', ", "),
    }
}

#[cfg(test)]
mod tests;

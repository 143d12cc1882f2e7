//! What became of a run.
//!
//! [`Report`] says what became of every host; [`timeline`] how the swarm came there. A [`Case`] puts
//! it beside its scenario and its score, to be shown: in a few lines ([`summary`]), as a page for
//! people ([`page`]), as [tables](table) and as [JSON](json) for other programs.

mod case;
#[cfg(test)]
pub(crate) mod example;
pub mod json;
pub mod page;
mod plot;
mod shortfall;
pub mod summary;
pub mod table;
pub mod timeline;

use std::fmt;
use std::num::NonZeroU64;

use ripcurrent_proto::base::time::{Duration, Instant};
use sha1::{Digest as _, Sha1};

use crate::bound::Bound;
use crate::invariants::Breach;
use crate::quantity::Size;
use crate::referee::Violation;
use crate::scenario::Role;

pub use case::Case;
pub use plot::PlotError;
pub use shortfall::Shortfall;
pub use timeline::{Availability, GroupSample, Mark, Sample, Timeline};

/// SHA-1 over every input and output of every host, in host order, and over the outcome.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest(pub [u8; 20]);

/// What became of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed of the run.
    pub seed: u64,
    /// The seeds and leechers, in the order of the scenario.
    pub hosts: Vec<HostReport>,
    /// The virtual time at which the run was over.
    pub ended: Instant,
    /// The least that the longest wait of a leecher can be.
    pub bound: Bound,
    /// Rules of the standards that clients broke, each behind its host's name.
    pub violations: Vec<(String, Violation)>,
    /// What must always hold and did not.
    pub breaches: Vec<Breach>,
    /// What should have held at the end and did not.
    pub shortfalls: Vec<Shortfall>,
    /// How the swarm came there.
    pub timeline: Timeline,
    /// Stands for everything that happened.
    pub digest: Digest,
}

/// What became of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostReport {
    /// The name of its group and its number there.
    pub name: String,
    /// The number of its group in the scenario.
    pub group: usize,
    /// What it had at the start.
    pub role: Role,
    /// When it came.
    pub arrived: Instant,
    /// Bytes per second that it can send at the start; `None` for more than anybody needs.
    pub up: Option<NonZeroU64>,
    /// Bytes per second that it can receive at the start; `None` for more than anybody needs.
    pub down: Option<NonZeroU64>,
    /// Bytes of pieces that lay whole on its disk when it came.
    pub had_at_start: u64,
    /// When it had everything, verified and durable; `None` for seeds, which always had, and for
    /// leechers that did not get there.
    pub completed: Option<Instant>,
    /// When it had left for good.
    pub left: Option<Instant>,
    /// How often its process was started.
    pub starts: u32,
    /// Whether the files on its disk are what the torrent says, compared byte by byte.
    pub whole: bool,
    /// Bytes of blocks received.
    pub downloaded: u64,
    /// Bytes of blocks sent.
    pub uploaded: u64,
    /// Bytes of blocks received for nothing.
    pub wasted: u64,
    /// Bytes received in connections: blocks, messages and trackers' answers.
    pub received: u64,
}

impl Report {
    /// Whether everything held that must hold, and nobody broke a rule.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.shortfalls.is_empty() && self.breaches.is_empty() && self.violations.is_empty()
    }

    /// What did not hold that must, in words; nothing after a success.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let short = self.shortfalls.iter().map(ToString::to_string);
        let breaches = self.breaches.iter().map(ToString::to_string);
        let broken = self.violations.iter();
        let broken = broken.map(|(name, rule)| format!("{name} broke a rule at {rule}"));
        short.chain(breaches).chain(broken).collect()
    }

    /// The longest that a leecher waited for everything, from its arrival, if all of them have it.
    #[must_use]
    pub fn last(&self) -> Option<Duration> {
        let waits: Option<Vec<_>> = self.leechers().map(HostReport::wait).collect();
        waits?.into_iter().max()
    }

    fn leechers(&self) -> impl Iterator<Item = &HostReport> {
        let hosts = self.hosts.iter();
        hosts.filter(|host| host.role == Role::Leecher)
    }
}

impl HostReport {
    /// From its arrival until it had everything.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        Some(self.completed?.since(self.arrived))
    }
}

impl Digest {
    /// Folds the digests of all machines, in their order, and what became of the hosts.
    pub(crate) fn fold(machines: &[[u8; 16]], hosts: &[HostReport], ended: Instant) -> Self {
        let mut hash = Sha1::new();
        for digest in machines {
            hash.update(digest);
        }
        for host in hosts {
            hash.update(host.name.as_bytes());
            let completed = host.completed.map_or(u64::MAX, Instant::as_micros);
            let numbers = [completed, host.downloaded, host.uploaded, host.wasted];
            for number in numbers {
                hash.update(number.to_le_bytes());
            }
            hash.update([u8::from(host.whole)]);
        }
        hash.update(ended.as_micros().to_le_bytes());
        Digest(hash.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For people: a line for each host and each rule broken, then the time beside the bound.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.hosts.iter().map(|host| host.name.len());
        let width = names.max().unwrap_or(0);
        for host in &self.hosts {
            writeln!(f, "{:width$}  {host}", host.name)?;
        }
        for (name, violation) in &self.violations {
            writeln!(f, "{name} BROKE A RULE at {violation}")?;
        }
        let bound = self.bound.fluid.as_secs_f64();
        match self.last() {
            Some(last) => {
                let (last, ratio) = (last.as_secs_f64(), last.as_secs_f64() / bound);
                write!(f, "complete after {last:.2} s, {ratio:.2} times ")?;
            }
            None => write!(f, "not complete at {}, beside ", self.ended)?,
        }
        write!(f, "the fluid bound of {bound:.2} s")
    }
}

/// For people: what it received and sent, and when it was complete.
impl fmt::Display for HostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [down, up] = [self.downloaded, self.uploaded].map(|bytes| Size(bytes).to_string());
        write!(f, "down {down:>10}  up {up:>10}  ")?;
        match (self.role, self.completed) {
            (Role::Seed, _) => f.write_str("seed")?,
            (Role::Adversary, _) => f.write_str("adversary")?,
            (Role::Leecher | Role::FreeRider, Some(at)) => {
                let time = at.since(Instant::ZERO).as_secs_f64();
                write!(f, "complete at {time:.2} s")?;
            }
            (Role::Leecher | Role::FreeRider, None) => f.write_str("NOT COMPLETE")?,
        }
        if self.wasted > 0 {
            write!(f, ", {} wasted", Size(self.wasted))?;
        }
        let claims_all = self.role == Role::Seed || self.completed.is_some();
        match claims_all && !self.whole {
            true => f.write_str(", BUT ITS DATA IS WRONG"),
            false => Ok(()),
        }
    }
}

//! What goes wrong, when, and for whom.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::{Key, ScenarioError, bounded, ordered, refuse};
use super::{HOUR_S, MINUTE_MS, YEAR_S};
use crate::quantity::{Rate, Share, Size};
use crate::tracker::Behaviour;

/// Something that goes wrong at a time, for a time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The second of the run at which it begins.
    pub at_s: u64,
    /// How many seconds it lasts; to the end of the run if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// What it is.
    pub kind: FaultKind,
    /// Of which group the hosts are that it befalls; of all if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How many hosts; chance says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Which share of the hosts, rounded up; chance says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<Share>,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// They and all others, trackers too, lose what they send each other.
    Partition,
    /// Packets between them and others take so many milliseconds more: the least and the most;
    /// each pair draws its own: `{ storm-ms = [100, 500] }`.
    StormMs([u64; 2]),
    /// All of their connections are reset.
    Reset,
    /// What they and others send each other waits, and comes when it is over.
    Hold,
    /// What they send is lost; what they are sent arrives.
    Mute,
    /// Their lines become slower: `{ rates = { up = "8 KiB/s", down = "64 KiB/s" } }`.
    Rates(RatesPlan),
    /// Their processes are killed; the disks keep everything. They start again when it is over.
    Kill,
    /// Their power fails: the disks keep what was synced and a torn part of what was not. They
    /// start again when it is over.
    PowerCut,
    /// Their power fails at the n-th disk operation from now, counted from 1:
    /// `{ crash-at-operation = 100 }`. They start again so many seconds later.
    CrashAtOperation(u64),
    /// A tracker behaves otherwise: `{ tracker = { number = 1, behaviour = "garbage" } }`.
    Tracker(TrackerFault),
    /// The tracker of this number is not there, and knows nobody when it is back:
    /// `{ tracker-down = 1 }`.
    TrackerDown(usize),
    /// Operations of their disks fail: `{ disk-errors = { on = ["write"], share = 0.1 } }`.
    DiskErrors(DiskErrors),
    /// Their disks hold no more than this: `{ disk-capacity = "30 MiB" }`.
    DiskCapacity(Size),
    /// Operations of their disks take so many milliseconds: `{ disk-slow-ms = [20, 200] }`.
    DiskSlowMs([u64; 2]),
    /// Operations of their disks do not end before it is over.
    DiskHang,
    /// So many bits of each disk flip at rest: `{ bit-flips = 3 }`.
    BitFlips(u64),
    /// This share of reads brings another place's bytes: `{ misdirected-reads = 0.01 }`.
    MisdirectedReads(Share),
    /// This share of writes leaves only a part, and fails: `{ torn-writes = 0.1 }`.
    TornWrites(Share),
}

/// What lines become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RatesPlan {
    /// What each can send.
    pub up: Rate,
    /// What each can receive.
    pub down: Rate,
}

/// What a tracker becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerFault {
    /// Which one, counted from 1.
    pub number: usize,
    /// How it behaves.
    pub behaviour: Behaviour,
}

/// Which operations of a disk fail.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DiskErrors {
    /// The kinds of operation.
    pub on: Vec<DiskOperation>,
    /// Which share of them.
    pub share: Share,
}

/// A kind of disk operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskOperation {
    /// Of a torrent's files.
    Open,
    /// Of blocks or pieces.
    Read,
    /// Of pieces, of states, and of the names of finished files.
    Write,
    /// Of what was written.
    Sync,
}

impl FaultKind {
    /// Whether it is over as it begins.
    #[must_use]
    pub fn is_momentary(&self) -> bool {
        matches!(self, FaultKind::Reset | FaultKind::BitFlips(_))
    }
}

/// What it is, in a word or two; for marks in reports.
impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FaultKind::Partition => "partition",
            FaultKind::StormMs(_) => "latency storm",
            FaultKind::Reset => "reset",
            FaultKind::Hold => "hold",
            FaultKind::Mute => "mute",
            FaultKind::Rates(_) => "slow lines",
            FaultKind::Kill => "kill",
            FaultKind::PowerCut => "power cut",
            FaultKind::CrashAtOperation(_) => "crash at an operation",
            FaultKind::Tracker(_) => "bad tracker",
            FaultKind::TrackerDown(_) => "tracker down",
            FaultKind::DiskErrors(_) => "disk errors",
            FaultKind::DiskCapacity(_) => "small disk",
            FaultKind::DiskSlowMs(_) => "slow disk",
            FaultKind::DiskHang => "hanging disk",
            FaultKind::BitFlips(_) => "bit flips",
            FaultKind::MisdirectedReads(_) => "misdirected reads",
            FaultKind::TornWrites(_) => "torn writes",
        })
    }
}

impl Fault {
    /// Checks the fault of this number, of a scenario with so many hosts in its group and so many
    /// trackers.
    pub(super) fn check(
        &self,
        number: usize,
        hosts: usize,
        trackers: usize,
    ) -> Result<(), ScenarioError> {
        let own = |key| Key::of_fault(key, number);
        bounded(own("at_s"), self.at_s, 0, YEAR_S)?;
        if let Some(time) = self.for_s {
            bounded(own("for_s"), time, 1, YEAR_S)?;
            if self.kind.is_momentary() {
                refuse(own("for_s"), Some(&time), "for what is over as it begins")?;
            }
        }
        if let Some(count) = self.count {
            bounded(own("count"), count as u64, 1, hosts as u64)?;
            refuse(own("share"), self.share.as_ref(), "beside count")?;
        }
        if let Some(share) = self.share {
            bounded(own("share in thousandths"), share.0, 1, 1000)?;
        }
        self.check_kind(&own, trackers)
    }

    fn check_kind(
        &self,
        own: &dyn Fn(&'static str) -> Key,
        trackers: usize,
    ) -> Result<(), ScenarioError> {
        let part = |key, share: Share| bounded(own(key), share.0, 1, 1000);
        match &self.kind {
            FaultKind::StormMs(range) => ordered(own("kind.storm-ms"), *range, 0, MINUTE_MS),
            FaultKind::Rates(rates) => {
                bounded(own("kind.rates.up"), rates.up.0, 1 << 10, 100 << 30)?;
                bounded(own("kind.rates.down"), rates.down.0, 1 << 10, 100 << 30)
            }
            FaultKind::CrashAtOperation(nth) => {
                bounded(own("kind.crash-at-operation"), *nth, 1, u64::MAX)
            }
            FaultKind::Tracker(fault) => {
                self.check_nobody(own)?;
                let number = fault.number as u64;
                bounded(own("kind.tracker.number"), number, 1, trackers as u64)
            }
            FaultKind::TrackerDown(number) => {
                self.check_nobody(own)?;
                let number = *number as u64;
                bounded(own("kind.tracker-down"), number, 1, trackers as u64)
            }
            FaultKind::DiskErrors(errors) => {
                part("kind.disk-errors.share in thousandths", errors.share)?;
                let kinds = errors.on.len() as u64;
                bounded(own("the length of kind.disk-errors.on"), kinds, 1, 4)
            }
            FaultKind::DiskSlowMs(range) => {
                ordered(own("kind.disk-slow-ms"), *range, 0, HOUR_S * 1000)
            }
            FaultKind::BitFlips(count) => bounded(own("kind.bit-flips"), *count, 1, 1 << 20),
            FaultKind::MisdirectedReads(share) => {
                part("kind.misdirected-reads in thousandths", *share)
            }
            FaultKind::TornWrites(share) => part("kind.torn-writes in thousandths", *share),
            FaultKind::Partition
            | FaultKind::Reset
            | FaultKind::Hold
            | FaultKind::Mute
            | FaultKind::Kill
            | FaultKind::PowerCut
            | FaultKind::DiskCapacity(_)
            | FaultKind::DiskHang => Ok(()),
        }
    }

    /// That no hosts are named for a fault of a tracker.
    fn check_nobody(&self, own: &dyn Fn(&'static str) -> Key) -> Result<(), ScenarioError> {
        let beside = "for a tracker";
        refuse(own("group"), self.group.as_ref(), beside)?;
        refuse(own("count"), self.count.as_ref(), beside)?;
        refuse(own("share"), self.share.as_ref(), beside)
    }
}

//! Hosts that are alike.

use std::fmt;

use ripcurrent_proto::api::Config;
use serde::{Deserialize, Serialize};

use super::error::{Key, ScenarioError, bounded, ordered, refuse};
use super::{HOSTS_MAX, MINUTE_MS, YEAR_S, is_default};
use crate::adversary::Kind;
use crate::quantity::{Rate, Share, Size};

/// Hosts that are alike.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The hosts are called by this name and a number.
    pub name: String,
    /// What they are there for.
    pub role: Role,
    /// How they misbehave, if they are adversaries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adversary: Option<Kind>,
    /// How many there are.
    pub count: usize,
    /// What each can send.
    pub up: Rate,
    /// What each can receive.
    pub down: Rate,
    /// Milliseconds that a packet takes between a host and the middle of the network: the least and
    /// the most; each host draws its own. Between two hosts it takes the sum of theirs.
    pub latency_ms: [u64; 2],
    /// When they come.
    #[serde(default, skip_serializing_if = "is_default")]
    pub arrival: Arrival,
    /// When they go again.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_finish: OnFinish,
    /// Of the pieces, the share that lies on a leecher's disk at the start; each host draws its own.
    #[serde(default, skip_serializing_if = "is_default")]
    pub has: Share,
    /// How the client is set.
    #[serde(default, skip_serializing_if = "is_default")]
    pub client: ClientPlan,
}

/// What a host is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Has everything and serves it.
    Seed,
    /// Wants everything and serves what it has.
    Leecher,
    /// Wants everything and serves nobody.
    FreeRider,
    /// Is no client of ours.
    Adversary,
}

/// When the hosts of a group come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrival {
    /// All at the start: `"at-once"`.
    #[default]
    #[serde(rename = "at-once")]
    AtOnce,
    /// All after so many seconds: `{ after_s = 30 }`.
    AfterS(u64),
    /// Each when it likes, from one second to another: `{ spread_s = [0, 60] }`.
    SpreadS([u64; 2]),
    /// One after the other, with gaps of a mean of so many milliseconds and independent of each
    /// other, as in a Poisson process: `{ gap_ms = 5000 }`.
    GapMs(u64),
}

/// When a host leaves, in good order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFinish {
    /// Never: `"stay"`.
    #[default]
    Stay,
    /// As soon as it has everything: `"leave"`.
    Leave,
    /// So many seconds after it had everything; a seed, after it came: `{ seed_s = 60 }`.
    SeedS(u64),
    /// Once it has everything and has sent so many times the size of the torrent:
    /// `{ seed_ratio = 1.0 }`.
    SeedRatio(Share),
    /// Once it has everything and so many copies of every piece are on hosts that did not have it
    /// from the start: `{ seed_copies = 1 }`.
    SeedCopies(u64),
}

/// Settings of a client that differ from the shipped ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ClientPlan {
    /// The most bytes of pieces in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_budget: Option<Size>,
    /// The most connected peers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_peers: Option<usize>,
    /// Peers served at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_slots: Option<usize>,
    /// What the client limits itself to when it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub up_limit: Option<Rate>,
    /// What the client limits itself to when it receives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_limit: Option<Rate>,
}

impl Role {
    /// Whether it wants the torrent.
    #[must_use]
    pub fn fetches(self) -> bool {
        matches!(self, Role::Leecher | Role::FreeRider)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Seed => "seed",
            Role::Leecher => "leecher",
            Role::FreeRider => "free-rider",
            Role::Adversary => "adversary",
        })
    }
}

impl Group {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let own = |key| Key::of_group(key, &self.name);
        let is_adversary = self.role == Role::Adversary;
        match self.adversary {
            Some(_) if !is_adversary => refuse(
                own("adversary"),
                self.adversary.as_ref(),
                "for hosts that are none",
            )?,
            None if is_adversary => {
                let (key, beside) = (own("adversary"), "for adversaries");
                return Err(ScenarioError::Missing { key, beside });
            }
            _ => {}
        }
        bounded(own("count"), self.count as u64, 1, HOSTS_MAX)?;
        bounded(own("up"), self.up.0, 1 << 10, 100 << 30)?;
        bounded(own("down"), self.down.0, 1 << 10, 100 << 30)?;
        ordered(own("latency_ms"), self.latency_ms, 0, MINUTE_MS)?;
        match self.arrival {
            Arrival::AtOnce => {}
            Arrival::AfterS(at) => bounded(own("arrival.after_s"), at, 0, YEAR_S)?,
            Arrival::SpreadS(range) => ordered(own("arrival.spread_s"), range, 0, YEAR_S)?,
            Arrival::GapMs(gap) => bounded(own("arrival.gap_ms"), gap, 1, YEAR_S * 1000)?,
        }
        self.check_finish()?;
        bounded(own("has in thousandths"), self.has.0, 0, 999)?;
        if !self.role.fetches() && self.has != Share::default() {
            return Err(ScenarioError::Meaningless {
                key: own("has"),
                beside: "for hosts that fetch nothing",
            });
        }
        self.client.check(&own)
    }

    fn check_finish(&self) -> Result<(), ScenarioError> {
        let own = |key| Key::of_group(key, &self.name);
        match self.on_finish {
            OnFinish::Leave if self.role == Role::Seed => Err(ScenarioError::Meaningless {
                key: own("on_finish = \"leave\""),
                beside: "for a seed, which would leave as it comes",
            }),
            OnFinish::Stay | OnFinish::Leave => Ok(()),
            OnFinish::SeedS(time) => bounded(own("on_finish.seed_s"), time, 1, YEAR_S),
            OnFinish::SeedCopies(copies) => {
                bounded(own("on_finish.seed_copies"), copies, 1, HOSTS_MAX)
            }
            OnFinish::SeedRatio(ratio) => {
                let key = own("on_finish.seed_ratio in thousandths");
                bounded(key, ratio.0, 1, 1_000_000)
            }
        }
    }
}

impl ClientPlan {
    fn check(&self, own: &dyn Fn(&'static str) -> Key) -> Result<(), ScenarioError> {
        let least = Config::LEAST_BUDGET as u64;
        let numbers = [
            (
                "client.memory_budget",
                self.memory_budget.map(|size| size.0),
                least,
                1 << 40,
            ),
            (
                "client.max_peers",
                self.max_peers.map(|count| count as u64),
                1,
                HOSTS_MAX,
            ),
            (
                "client.upload_slots",
                self.upload_slots.map(|count| count as u64),
                1,
                HOSTS_MAX,
            ),
            (
                "client.up_limit",
                self.up_limit.map(|rate| rate.0),
                1 << 10,
                100 << 30,
            ),
            (
                "client.down_limit",
                self.down_limit.map(|rate| rate.0),
                1 << 10,
                100 << 30,
            ),
        ];
        for (key, got, least, most) in numbers {
            if let Some(got) = got {
                bounded(own(key), got, least, most)?;
            }
        }
        Ok(())
    }
}

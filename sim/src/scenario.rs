//! What is to be simulated, as a readable TOML file.
//!
//! ```toml
//! [torrent]
//! files = ["4 MiB"]          # one file, or several
//! piece_length = "64 KiB"
//!
//! [tracker]
//! interval_s = 60            # how often peers announce themselves
//!
//! [end]
//! within_s = 600             # virtual seconds after which the run has failed
//!
//! [[group]]
//! name = "seed"
//! role = "seed"              # has everything at the start; a leecher has nothing
//! count = 1
//! up = "512 KiB/s"
//! down = "2 MiB/s"
//! latency_ms = [10, 20]      # one way to the middle of the network; each host draws its own
//! ```
//!
//! A run ends well when every leecher has everything. Every key is required; one that is not known
//! here is an error, and so is a value out of bounds.

use std::fmt;

use serde::Deserialize;

pub use crate::quantity::{Rate, Size};

/// A scenario: read with [`Scenario::parse`], and then right.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// What is distributed.
    pub torrent: TorrentPlan,
    /// Who introduces the peers.
    pub tracker: TrackerPlan,
    /// When the run is over.
    pub end: End,
    /// The hosts.
    #[serde(rename = "group")]
    pub groups: Vec<Group>,
}

/// What is distributed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TorrentPlan {
    /// The sizes of its files.
    pub files: Vec<Size>,
    /// The size of every piece but the last.
    pub piece_length: Size,
}

/// The tracker's settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerPlan {
    /// Seconds between two announcements of a peer.
    pub interval_s: u64,
}

/// When the run is over.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Virtual seconds after which the run has failed.
    pub within_s: u64,
}

/// Hosts that are alike.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The hosts are called by this name and a number.
    pub name: String,
    /// What they have at the start.
    pub role: Role,
    /// How many there are.
    pub count: usize,
    /// What each can send.
    pub up: Rate,
    /// What each can receive.
    pub down: Rate,
    /// Milliseconds that a packet takes between a host and the middle of the network: the least and
    /// the most; each host draws its own. Between two hosts it takes the sum of theirs.
    pub latency_ms: [u64; 2],
}

/// What a host has at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Seed,
    /// Nothing.
    Leecher,
}

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not TOML, or a key is missing, unknown or of the wrong kind.
    #[error("line {line}, `{text}`: {message}")]
    Toml {
        /// The line, counted from 1; where a key is missing, that of its table.
        line: usize,
        /// What it says.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// A number is out of bounds.
    #[error("{key} is {got}; it must be from {least} to {most}")]
    Bounds {
        /// Which number.
        key: Key,
        /// What it is.
        got: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A range ends before it begins.
    #[error("{key} ends before it begins")]
    Reversed {
        /// Which range.
        key: Key,
    },
    /// The piece length is not a power of two.
    #[error("torrent.piece_length must be a power of two")]
    PieceLength,
    /// Two groups have the same name.
    #[error("two groups are called {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// No host has a role without which nothing can happen.
    #[error("there is no {role:?}")]
    Nobody {
        /// The role.
        role: Role,
    },
}

/// The place of a value in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The name of the group, for keys of groups.
    group: Option<String>,
    key: &'static str,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.group {
            Some(group) => write!(f, "{} of group {group:?}", self.key),
            None => f.write_str(self.key),
        }
    }
}

/// The most hosts: every pair has a latency of its own.
const HOSTS_MAX: u64 = 5_000;
/// The most bytes on all disks together: every host keeps a whole copy in memory.
const DATA_MAX: u64 = 8 << 30;
const MINUTE_MS: u64 = 60_000;
const YEAR_S: u64 = 365 * 24 * 3600;

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

    /// How many hosts there are, the tracker's aside.
    #[must_use]
    pub fn hosts(&self) -> usize {
        self.groups.iter().map(|group| group.count).sum()
    }

    /// The size of the torrent in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.torrent.files.iter().map(|file| file.0).sum()
    }

    fn check(&self) -> Result<(), ScenarioError> {
        self.torrent.check()?;
        let general = |key| Key { group: None, key };
        bounded(
            general("tracker.interval_s"),
            self.tracker.interval_s,
            1,
            YEAR_S,
        )?;
        bounded(general("end.within_s"), self.end.within_s, 1, YEAR_S)?;
        for (group, at) in self.groups.iter().zip(0..) {
            group.check()?;
            let is_same = |other: &Group| other.name == group.name;
            if self.groups[..at].iter().any(is_same) {
                let name = group.name.clone();
                return Err(ScenarioError::SameName { name });
            }
        }
        for role in [Role::Seed, Role::Leecher] {
            if !self.groups.iter().any(|group| group.role == role) {
                return Err(ScenarioError::Nobody { role });
            }
        }
        let hosts = self.hosts() as u64;
        bounded(general("the number of hosts"), hosts, 2, HOSTS_MAX)?;
        let data = self.size().saturating_mul(hosts);
        bounded(general("torrent.files on every host"), data, 1, DATA_MAX)
    }
}

impl TorrentPlan {
    fn check(&self) -> Result<(), ScenarioError> {
        let general = |key| Key { group: None, key };
        let mut total = 0u64;
        for file in &self.files {
            total = total.saturating_add(file.0);
        }
        bounded(general("torrent.files"), total, 1, DATA_MAX)?;
        let (key, length) = (general("torrent.piece_length"), self.piece_length.0);
        bounded(key, length, 16 << 10, 16 << 20)?;
        if length.is_power_of_two() {
            Ok(())
        } else {
            Err(ScenarioError::PieceLength)
        }
    }
}

impl Group {
    fn check(&self) -> Result<(), ScenarioError> {
        let own = |key| Key {
            group: Some(self.name.clone()),
            key,
        };
        bounded(own("count"), self.count as u64, 1, HOSTS_MAX)?;
        bounded(own("up"), self.up.0, 1 << 10, 100 << 30)?;
        bounded(own("down"), self.down.0, 1 << 10, 100 << 30)?;
        let [least, most] = self.latency_ms;
        bounded(own("latency_ms"), most, 1, MINUTE_MS)?;
        if least > most {
            let key = own("latency_ms");
            return Err(ScenarioError::Reversed { key });
        }
        Ok(())
    }
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

fn bounded(key: Key, got: u64, least: u64, most: u64) -> Result<(), ScenarioError> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    Err(ScenarioError::Bounds {
        key,
        got,
        least,
        most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [torrent]
        files = ["3 MiB", 0, "5 B"]
        piece_length = "64 KiB"
        [tracker]
        interval_s = 60
        [end]
        within_s = 600
        [[group]]
        name = "seed"
        role = "seed"
        count = 1
        up = "512 KiB/s"
        down = "2.5 MiB/s"
        latency_ms = [10, 20]
        [[group]]
        name = "leecher"
        role = "leecher"
        count = 3
        up = 1000000
        down = "10 MiB/s"
        latency_ms = [5, 5]
    "#;

    #[test]
    fn a_scenario_is_read() {
        let scenario = Scenario::parse(GOOD).unwrap();
        assert_eq!((scenario.hosts(), scenario.size()), (4, (3 << 20) + 5));
        assert_eq!(scenario.groups[1].role, Role::Leecher);
        assert_eq!(scenario.groups[1].up, Rate(1_000_000));
    }

    /// What TOML itself refuses is found by its line.
    #[test]
    fn the_line_is_told() {
        let text = GOOD.replace("[tracker]", "[tracker");
        let error = Scenario::parse(&text).unwrap_err().to_string();
        assert!(error.starts_with("line 5, `[tracker`: "), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    /// Whatever is wrong, the message names the key.
    #[test]
    fn mistakes_are_named() {
        for (from, to, names) in [
            ("interval_s", "intervall_s", "intervall_s"),
            ("count = 3", "count = 3\ncolour = 1", "colour"),
            ("within_s = 600", "", "within_s"),
            ("within_s = 600", "within_s = 0", "end.within_s"),
            ("\"64 KiB\"", "\"8 KiB\"", "torrent.piece_length"),
            ("\"64 KiB\"", "\"65 KiB\"", "power of two"),
            ("\"3 MiB\", 0, \"5 B\"", "", "torrent.files"),
            ("\"3 MiB\"", "\"9 GiB\"", "torrent.files"),
            ("\"3 MiB\"", "\"4 GiB\"", "torrent.files on every host"),
            ("count = 3", "count = 0", "count of group \"leecher\""),
            ("count = 3", "count = 5000", "the number of hosts"),
            ("1000000", "1000", "up of group \"leecher\""),
            ("[10, 20]", "[20, 10]", "latency_ms of group \"seed\""),
            ("[10, 20]", "[10]", "latency_ms"),
            (
                "\"leecher\"\n        role",
                "\"seed\"\n        role",
                "two groups",
            ),
            ("role = \"leecher\"", "role = \"seed\"", "no Leecher"),
            ("role = \"leecher\"", "role = \"leech\"", "leech"),
        ] {
            let text = GOOD.replacen(from, to, 1);
            assert_ne!(text, GOOD, "{from} is not there");
            let error = Scenario::parse(&text).expect_err(to).to_string();
            assert!(error.contains(names), "{to}: {error}");
        }
    }
}

//! Who introduces the peers.

use serde::{Deserialize, Serialize};

use super::error::{Key, ScenarioError, bounded};
use super::{HOUR_S, is_default};

/// A tracker. All of them are in the torrent file, each in a tier of its own (BEP 12), in the order
/// of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerPlan {
    /// Seconds between two announcements of a peer.
    #[serde(default = "TrackerPlan::default_interval_s")]
    pub interval_s: u64,
    /// How it behaves from the start; the schedule of faults may change it for a time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub behaviour: TrackerBehaviour,
}

/// How a tracker behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrackerBehaviour {
    /// As BEP 3 says.
    #[default]
    Ok,
    /// Nobody listens.
    Down,
    /// It accepts connections and never answers.
    Silent,
    /// It answers after some seconds, a few bytes at a time.
    Slow,
    /// It names peers that are not there, the asking peer itself, and impossible numbers.
    Lying,
    /// It answers with a failure reason.
    Refusing,
    /// It answers with what is no answer.
    Garbage,
}

impl TrackerPlan {
    fn default_interval_s() -> u64 {
        60
    }

    pub(super) fn check(&self, number: usize) -> Result<(), ScenarioError> {
        let key = Key::of_tracker("interval_s", number);
        bounded(key, self.interval_s, 1, HOUR_S)
    }
}

impl Default for TrackerPlan {
    fn default() -> Self {
        TrackerPlan {
            interval_s: TrackerPlan::default_interval_s(),
            behaviour: TrackerBehaviour::default(),
        }
    }
}

//! Who introduces the peers.

use serde::{Deserialize, Serialize};

use super::HOUR_S;
use super::error::{Key, ScenarioError, bounded};
use crate::tracker::Behaviour;

/// A tracker. All of them are in the torrent file, each in a tier of its own (BEP 12), in the order
/// of the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TrackerPlan {
    /// Seconds between two announcements of a peer.
    #[serde(default = "TrackerPlan::default_interval_s")]
    pub interval_s: u64,
    /// How it behaves from the start; the schedule of faults may change it for a time.
    #[serde(
        default = "TrackerPlan::good",
        skip_serializing_if = "TrackerPlan::is_good"
    )]
    pub behaviour: Behaviour,
    /// Whether its URL is one of HTTPS; see [`network`](crate::network) for what that comes to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub https: bool,
}

impl TrackerPlan {
    fn default_interval_s() -> u64 {
        60
    }

    fn good() -> Behaviour {
        Behaviour::Ok
    }

    fn is_good(behaviour: &Behaviour) -> bool {
        *behaviour == Behaviour::Ok
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
            behaviour: TrackerPlan::good(),
            https: false,
        }
    }
}

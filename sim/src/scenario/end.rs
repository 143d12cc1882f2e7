//! When a run is over, and what must hold then.

use serde::{Deserialize, Serialize};

use super::YEAR_S;
use super::error::{Key, ScenarioError, bounded};
use crate::quantity::Share;

/// When the run is over, and what must hold then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Virtual seconds after which the run has failed.
    pub within_s: u64,
    /// The groups whose hosts must all get everything; all leechers if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complete: Option<Vec<String>>,
    /// The longest that any of them may wait from its arrival on, in times of the fluid bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_over_bound: Option<Share>,
    /// The longest that they may wait in the mean, in times of the fluid bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_over_bound: Option<Share>,
    /// The least that every free rider must wait, in times of the mean of those that must get
    /// everything. The run goes on until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_riders_over_mean: Option<Share>,
    /// The least number of hosts, of those that are there at the end, that must have each piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<u64>,
}

impl End {
    pub(super) fn check(&self, free_riders: usize) -> Result<(), ScenarioError> {
        bounded(Key::general("end.within_s"), self.within_s, 1, YEAR_S)?;
        let shares = [
            ("end.longest_over_bound", self.longest_over_bound),
            ("end.mean_over_bound", self.mean_over_bound),
            ("end.free_riders_over_mean", self.free_riders_over_mean),
        ];
        for (key, share) in shares {
            if let Some(share) = share {
                bounded(Key::general(key), share.0, 1, 1_000_000)?;
            }
        }
        if self.free_riders_over_mean.is_some() && free_riders == 0 {
            return Err(ScenarioError::Meaningless {
                key: Key::general("end.free_riders_over_mean"),
                beside: "where nobody rides free",
            });
        }
        Ok(())
    }
}

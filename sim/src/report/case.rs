//! A run that is over, with all that is needed to show it.

use super::Report;
use crate::network::Backend;
use crate::scenario::Scenario;
use crate::score::Score;

/// A run, its scenario and its score.
#[derive(Clone, Debug)]
pub struct Case {
    /// What people know the scenario by: its file, or how it was drawn.
    pub name: String,
    /// What was to happen.
    pub scenario: Scenario,
    /// What carried it.
    pub backend: Backend,
    /// What happened.
    pub report: Report,
    /// How good that was.
    pub score: Score,
}

impl Case {
    /// Scores a run of `scenario`.
    #[must_use]
    pub fn new(name: String, scenario: Scenario, backend: Backend, report: Report) -> Self {
        let score = Score::of(&scenario, &report);
        Case {
            name,
            scenario,
            backend,
            report,
            score,
        }
    }

    /// Frees what only the page and the tables of this one run need, by far the most of it: many
    /// cases fit in memory then.
    pub fn forget_course(&mut self) {
        self.report.timeline.samples = Vec::new();
    }
}

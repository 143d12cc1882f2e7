//! What is to be run, and how a run goes.

use std::any::Any;
use std::borrow::Cow;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ripcurrent_sim::draw::draw;
use ripcurrent_sim::network::Backend;
use ripcurrent_sim::report::{Case, Sample};
use ripcurrent_sim::run::{RunError, run_watched};
use ripcurrent_sim::scenario::Scenario;
use ripcurrent_sim::trace::Trace;

use super::cost::{Busy, Cost};
use crate::args::{Seeds, SimArgs};
use crate::escape::Escaped;
use crate::exit::Failure;

/// Where scenarios come from, with which seeds, and on what.
pub(super) struct Plan {
    source: Source,
    seeds: Seeds,
    backend: Option<Backend>,
}

enum Source {
    File(PathBuf, Box<Scenario>),
    Drawn,
}

/// A run came to no outcome: a bug.
#[derive(Debug, thiserror::Error)]
pub(super) enum Breakdown {
    /// The world could not go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A host or the world broke an assertion.
    #[error("{0}")]
    Panic(String),
}

impl Plan {
    /// Reads the scenario, if it is a file.
    pub(super) fn of(args: &SimArgs) -> Result<Self, Failure> {
        let one = Seeds {
            first: args.seed,
            last: args.seed,
        };
        let (source, seeds) = match (&args.scenario, args.draw) {
            (Some(file), _) => {
                let scenario = Box::new(read(file)?);
                (
                    Source::File(file.clone(), scenario),
                    args.seeds.unwrap_or(one),
                )
            }
            (None, Some(seeds)) => (Source::Drawn, seeds),
            (None, None) => return Err(Failure::usage("there is no scenario")),
        };
        Ok(Plan {
            source,
            seeds,
            backend: args.backend,
        })
    }

    /// The seeds, in their order.
    pub(super) fn seeds(&self) -> impl Iterator<Item = u64> {
        self.seeds.iter()
    }

    /// What people know its scenarios by.
    pub(super) fn name(&self) -> String {
        match &self.source {
            Source::File(file, _) => {
                let name = file.file_name().unwrap_or(file.as_os_str());
                name.to_string_lossy().into_owned()
            }
            Source::Drawn => "drawn scenarios".into(),
        }
    }

    /// The scenario of a seed.
    pub(super) fn scenario(&self, seed: u64) -> Cow<'_, Scenario> {
        match &self.source {
            Source::File(_, scenario) => Cow::Borrowed(scenario),
            Source::Drawn => Cow::Owned(draw(seed)),
        }
    }

    /// What carries a scenario.
    pub(super) fn backend(&self, scenario: &Scenario) -> Backend {
        let fitting = || Backend::fitting(scenario.hosts());
        self.backend.unwrap_or_else(fitting)
    }

    /// The command that runs this seed again, alone and in the same way.
    pub(super) fn replay(&self, seed: u64) -> String {
        let backend = self.backend(&self.scenario(seed));
        match &self.source {
            Source::File(file, _) => {
                let file = quoted(file);
                format!("ripcurrent sim {file} --seed {seed} --backend {backend}")
            }
            Source::Drawn => format!("ripcurrent sim --draw {seed} --backend {backend}"),
        }
    }

    /// Runs it with one seed, on this thread. A broken assertion is caught, so that the runs beside it
    /// go on.
    pub(super) fn run(
        &self,
        seed: u64,
        trace: Option<&Trace>,
        watch: impl FnMut(&Sample),
    ) -> Result<(Case, Cost), Breakdown> {
        let scenario = self.scenario(seed).into_owned();
        let backend = self.backend(&scenario);
        let busy = Busy::start();
        let run = || run_watched(&scenario, seed, backend, trace, watch);
        let report = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| message(&*panic))??;
        let cost = Cost::of(&report, busy.time());
        let name = match self.source {
            Source::File(..) => self.name(),
            Source::Drawn => "drawn scenario".into(),
        };
        Ok((Case::new(name, scenario, backend, report), cost))
    }
}

fn read(file: &Path) -> Result<Scenario, Failure> {
    let text = fs::read_to_string(file).map_err(|error| Failure::disk("read", file, error))?;
    Scenario::parse(&text).map_err(|error| {
        let what = format!("{} is no scenario", Escaped::path(file));
        Failure::usage(what).because(error)
    })
}

/// A path as a shell reads it.
fn quoted(path: &Path) -> String {
    let text = Escaped::path(path).to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    match text.chars().all(plain) && !text.is_empty() {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

fn message(panic: &(dyn Any + Send)) -> Breakdown {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Breakdown::Panic(text.unwrap_or("an assertion was broken").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed can be pasted.
    #[test]
    fn a_path_is_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("a/b-1.toml")), "a/b-1.toml");
        assert_eq!(quoted(Path::new("a b's.toml")), r"'a b'\''s.toml'");
        assert_eq!(quoted(Path::new("$HOME")), "'$HOME'");
    }
}

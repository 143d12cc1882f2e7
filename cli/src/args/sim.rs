//! The command line of `sim`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueHint};
use ripcurrent_sim::network::Backend;

const SIM_EXAMPLES: &str = "\
Examples:
  ripcurrent sim sim/scenarios/flash-crowd-3.toml --seed 7
  ripcurrent sim sim/scenarios/flash-crowd-3.toml --seeds 1..20 --report out
  ripcurrent sim --draw 1..200
  ripcurrent sim --draw 13 --trace calls.txt --trace-from 60

The same scenario, seed and backend give the same digest, on every machine. What fails says how to
run just that again; exit code 6.";

/// See [`Command::Sim`](super::Command::Sim).
#[derive(Debug, Args)]
#[command(after_help = SIM_EXAMPLES, args_conflicts_with_subcommands = true)]
#[command(
    subcommand_negates_reqs = true,
    subcommand_help_heading = "Other commands"
)]
pub(crate) struct SimArgs {
    /// Something else than a scenario.
    #[command(subcommand)]
    pub(crate) command: Option<SimCommand>,
    /// The scenario: a TOML file.
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "draw", conflicts_with = "draw")]
    pub(crate) scenario: Option<PathBuf>,
    /// What all chance comes from.
    #[arg(long, default_value_t = 0, value_name = "N", conflicts_with_all = ["seeds", "draw"])]
    pub(crate) seed: u64,
    /// Run with each of these seeds, the last one too.
    #[arg(long, value_name = "A..B", conflicts_with = "draw")]
    pub(crate) seeds: Option<Seeds>,
    /// Instead of a file, take a scenario drawn from the seed: a seed, or several as A..B, each with
    /// a scenario of its own.
    #[arg(long, value_name = "SEEDS")]
    pub(crate) draw: Option<Seeds>,
    /// Only show the scenario that is drawn.
    #[arg(long, requires = "draw", conflicts_with_all = ["scenario", "report", "trace"])]
    pub(crate) print: bool,
    /// How many worlds go on at once where there are several [default: one for each core].
    #[arg(long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Write a page for people (report.html) and tables for programs into this folder.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) report: Option<PathBuf>,
    /// Write every call of every host to this file, a line each.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,
    /// Begin the trace at this virtual second.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, requires = "trace")]
    pub(crate) trace_from: u64,
    /// What carries the hosts: turmoil or direct [default: turmoil for up to 100 hosts].
    #[arg(long, value_name = "NAME")]
    pub(crate) backend: Option<Backend>,
}

/// What else `sim` does.
#[derive(Debug, Subcommand)]
pub(crate) enum SimCommand {
    /// Play a run again that `download --record` wrote down
    Replay(ReplayArgs),
}

/// See [`SimCommand::Replay`].
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The record.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) record: PathBuf,
}

/// A seed, or a range of seeds with both of its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

/// Why a text means no seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSeeds {
    #[error("`{0}` is no seed; write one as 7, several as 1..20")]
    Syntax(String),
    #[error("the seeds {0}..{1} end before they begin")]
    Backwards(u64, u64),
    #[error("the seeds {0}..{1} are more than a million")]
    Many(u64, u64),
}

/// More than anybody waits for.
const SEEDS_MAX: u64 = 1_000_000;

impl FromStr for Seeds {
    type Err = BadSeeds;

    fn from_str(text: &str) -> Result<Self, BadSeeds> {
        let number = |text: &str| text.parse().map_err(|_| BadSeeds::Syntax(text.into()));
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(BadSeeds::Backwards(first, last));
        }
        if last - first >= SEEDS_MAX {
            return Err(BadSeeds::Many(first, last));
        }
        Ok(Seeds { first, last })
    }
}

impl Seeds {
    /// In their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One seed, or a range with both ends.
    #[test]
    fn seeds_are_read() {
        let read = |text: &str| {
            text.parse::<Seeds>()
                .map(|seeds| seeds.iter().collect::<Vec<_>>())
        };
        assert_eq!(read("7"), Ok(vec![7]));
        assert_eq!(read("1..3"), Ok(vec![1, 2, 3]));
        assert_eq!(read("3..1"), Err(BadSeeds::Backwards(3, 1)));
        assert_eq!(read("0..1000000"), Err(BadSeeds::Many(0, 1_000_000)));
        for text in ["", "..", "1..", "-1", "1...3", "x"] {
            assert!(matches!(read(text), Err(BadSeeds::Syntax(_))), "{text}");
        }
    }
}

//! `sim`: a whole swarm in a simulated world.

use std::fs;

use ripcurrent_sim::network::Backend;
use ripcurrent_sim::run::run as simulate;
use ripcurrent_sim::scenario::Scenario;

use crate::args::SimArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::say::{self, Level};

/// Runs the command; prints `digest <hex>`, equal for equal runs.
pub(crate) fn run(args: &SimArgs, level: Level) -> Outcome {
    let (file, seed) = (&args.scenario, args.seed);
    let text = fs::read_to_string(file).map_err(|error| Failure::disk("read", file, error))?;
    let scenario = Scenario::parse(&text).map_err(|error| {
        let what = format!("{} is no scenario", Escaped::path(file));
        Failure::usage(what).because(error)
    })?;
    let fitting = || Backend::fitting(scenario.hosts());
    let backend = args.backend.unwrap_or_else(fitting);
    let report = simulate(&scenario, seed, backend).map_err(|error| {
        let what = "the simulation broke down, which is a bug";
        let replay = format!(
            "`ripcurrent sim {} --seed {seed} --backend {backend}` shows it again.",
            Escaped::path(file)
        );
        Failure::new(Exit::Internal, what)
            .because(error)
            .remedy(replay)
    })?;
    if level > Level::Quiet || !report.is_success() {
        say::line(&report);
    }
    say::data(format_args!("digest {}\n", report.digest))?;
    Ok(if report.is_success() {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

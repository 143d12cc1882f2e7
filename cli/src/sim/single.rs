//! One run.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use ripcurrent_proto::base::time::Instant;
use ripcurrent_sim::report::Sample;
use ripcurrent_sim::report::summary::Summary;
use ripcurrent_sim::scenario::Scenario;
use ripcurrent_sim::trace::Trace;

use super::plan::Plan;
use super::save;
use crate::args::SimArgs;
use crate::exit::{Exit, Failure, Outcome};
use crate::progress::{Progress, Status};
use crate::say::{self, Level};
use crate::units::Count;

/// Runs `plan` with one seed, and shows what became of it.
pub(super) fn run(plan: &Plan, seed: u64, args: &SimArgs, level: Level) -> Outcome {
    if let Some(folder) = &args.report {
        save::prepare(folder)?;
    }
    let trace = args
        .trace
        .as_deref()
        .map(|file| begin_trace(file, args.trace_from));
    let trace = trace.transpose()?;
    let scenario = plan.scenario(seed).into_owned();
    let mut progress = Progress::new(level, &plan.name());
    let watch = |sample: &Sample| progress.show(&status(&scenario, sample));
    let result = plan.run(seed, trace.as_ref(), watch);
    drop(progress);
    if let (Some(trace), Some(file)) = (trace, &args.trace) {
        trace
            .finish()
            .map_err(|error| Failure::disk("write", file, error))?;
    }
    let (case, cost) = result.map_err(|error| {
        let what = "the simulation broke down, which is a bug";
        let replay = format!("`{}` shows it again.", plan.replay(seed));
        Failure::new(Exit::Internal, what)
            .because(error)
            .remedy(replay)
    })?;
    let success = case.report.is_success();
    if level > Level::Quiet || !success {
        say::line(Summary(&case));
    }
    if level > Level::Quiet {
        say::line(cost);
    }
    if !success {
        say::line(format_args!("to see it again: {}", plan.replay(seed)));
    }
    if let Some(folder) = &args.report {
        save::single(folder, &case)?;
        save::tell(folder, level);
    }
    say::data(format_args!("digest {}\n", case.report.digest))?;
    Ok(if success {
        Exit::Done
    } else {
        Exit::CheckFailed
    })
}

fn begin_trace(file: &Path, from_s: u64) -> Result<Trace, Failure> {
    let out = File::create(file).map_err(|error| Failure::disk("create", file, error))?;
    let from = Instant::ZERO + Duration::from_secs(from_s);
    Ok(Trace::new(BufWriter::new(out), from))
}

/// How much of what the swarm wants it has.
fn status(scenario: &Scenario, sample: &Sample) -> Status {
    let groups = || scenario.groups.iter().zip(&sample.groups);
    let fetching = || groups().filter(|(group, _)| scenario.must_complete(group));
    let hosts: u64 = fetching().map(|(group, _)| group.count as u64).sum();
    let complete: u64 = fetching()
        .map(|(_, counts)| u64::from(counts.complete))
        .sum();
    let seconds = sample.at.since(Instant::ZERO).as_secs();
    let words = format!(
        "{complete} of {} complete after {seconds} virtual seconds",
        Count(hosts, "host")
    );
    // Hosts that have left took their bytes along, but they had all of them.
    let size = scenario.size();
    let had = fetching().map(|(_, counts)| counts.had.max(u64::from(counts.complete) * size));
    Status::new(had.sum(), hosts * size, words)
}

//! `sim replay`: a recorded run, played again.

use std::fs;

use ripcurrent_proto::drive::record::Record;
use ripcurrent_sim::replay::replay;

use crate::args::ReplayArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::say::{self, Level};
use crate::units::Time;

/// Runs the command; it is well if the engine does what it did then.
pub(super) fn run(args: &ReplayArgs, level: Level) -> Outcome {
    let file = &args.record;
    let bytes = fs::read(file).map_err(|error| Failure::disk("read", file, error))?;
    let record = Record::read(&bytes).map_err(|error| {
        let what = format!("{} is no record", Escaped::path(file));
        Failure::usage(what).because(error)
    })?;
    let begun = record.begun;
    let replayed = replay(record).map_err(|error| {
        let what = format!("{} does not come to the same", Escaped::path(file));
        Failure::new(Exit::CheckFailed, what).because(error)
    })?;
    if level > Level::Quiet {
        let time = Time(replayed.ended.since(begun));
        let (calls, outputs) = (replayed.calls, replayed.outputs);
        say::line(format_args!(
            "{calls} calls over {time}, and each of {outputs} outputs as it was"
        ));
        if replayed.cut_off {
            say::line("the record breaks off: what followed is not in it");
        }
    }
    Ok(Exit::Done)
}

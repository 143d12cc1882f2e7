//! `sim`: whole swarms in a simulated world.

mod cost;
mod plan;
mod replay;
mod save;
mod single;
mod sweep;

use crate::args::{SimArgs, SimCommand};
use crate::exit::{Exit, Failure, Outcome};
use crate::say::{self, Level};
use plan::Plan;

/// Runs the command; prints `digest <hex>`, equal for equal runs, for several behind their seeds.
pub(crate) fn run(args: &SimArgs, level: Level) -> Outcome {
    if let Some(SimCommand::Replay(args)) = &args.command {
        return replay::run(args, level);
    }
    let plan = Plan::of(args)?;
    let seeds: Vec<u64> = plan.seeds().collect();
    if args.print {
        for seed in seeds {
            say::data(plan.scenario(seed))?;
        }
        return Ok(Exit::Done);
    }
    match seeds[..] {
        [seed] => single::run(&plan, seed, args, level),
        _ if args.trace.is_some() => {
            let what = "--trace follows one run, and there are several seeds";
            Err(Failure::usage(what).remedy("Choose one with --seed N or --draw N."))
        }
        _ => sweep::run(&plan, &seeds, args, level),
    }
}

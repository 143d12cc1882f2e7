//! `ripcurrent`: what people run.

mod announce;
mod args;
mod backend;
mod chance;
mod clock;
mod create;
mod demo;
mod download;
mod escape;
mod exit;
mod facts;
mod hashing;
mod inspect;
mod jobs;
mod json;
mod limits;
mod listen;
mod load;
mod log;
mod manual;
mod memory;
mod news;
mod outline;
mod progress;
mod ranges;
mod record;
mod say;
mod scrape;
mod seed;
mod session;
mod settings;
#[cfg(feature = "sim")]
mod sim;
mod stop;
mod teller;
mod tracker;
mod trust;
mod units;
mod verify;

use std::process::ExitCode;

use args::{Cli, Command};
use exit::Outcome;
use say::Level;

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    if cli.command.tells_json() {
        json::begin();
    }
    let exit = match log::begin(cli.verbose, cli.log.as_deref()).and_then(|()| run(cli)) {
        Ok(exit) => exit,
        Err(failure) => {
            say::line(format_args!("error: {failure}"));
            json::emit_failure(&failure);
            failure.exit()
        }
    };
    exit.into()
}

fn run(cli: Cli) -> Outcome {
    limits::raise();
    let level = match (cli.quiet, cli.verbose) {
        (true, _) => Level::Quiet,
        (false, 0) => Level::Normal,
        (false, _) => Level::Verbose,
    };
    match cli.command {
        Command::Download(args) => download::run(args, level),
        Command::Seed(args) => seed::run(args, level),
        Command::Create(args) => create::run(&args, level),
        Command::Inspect(args) => inspect::run(&args),
        Command::Verify(args) => verify::run(&args, level),
        Command::Announce(args) => announce::run(&args, level),
        Command::Scrape(args) => scrape::run(&args),
        Command::Tracker(args) => tracker::run(&args, level),
        #[cfg(feature = "sim")]
        Command::Sim(args) => sim::run(&args, level),
        Command::Demo(args) => demo::run(&args, level),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::man(&args, level),
    }
}

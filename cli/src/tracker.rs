//! `tracker`: a small HTTP tracker that keeps everything in memory.

mod serve;

use std::net::SocketAddr;

use crate::args::TrackerArgs;
use crate::chance;
use crate::exit::{Exit, Outcome};
use crate::say::{self, Level};
use crate::stop::Stop;

pub(crate) use serve::Server;

/// Runs the command until Ctrl-C.
pub(crate) fn run(args: &TrackerArgs, level: Level) -> Outcome {
    let stop = Stop::on_signals()?;
    let addr = SocketAddr::new(args.bind, args.port);
    let server = Server::bind(addr, args.interval, chance::rng()?)?;
    if level > Level::Quiet {
        say::line(format_args!(
            "tracking at {}, until Ctrl-C",
            server.announce_url()
        ));
    }
    let answered = server.run(&stop)?;
    if level > Level::Quiet {
        say::line(format_args!("answered {answered} requests"));
    }
    Ok(Exit::Done)
}

//! `seed`: serve data that is there.

use std::net::SocketAddr;
use std::sync::Arc;

use ripcurrent_proto::api::{Check, Mode};

use crate::args::SeedArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::jobs::{self, Item, Use};
use crate::say::Level;
use crate::session::{self, Ends, Job, Limits, Net, Seeding, UntilRatio, root_of};
use crate::stop::Stop;
use crate::teller::Teller;

/// Runs the command until Ctrl-C.
pub(crate) fn run(args: SeedArgs, level: Level) -> Outcome {
    let loaded = jobs::load(&args.torrents, Use::Serve)?;
    if !args.data.is_dir() {
        let what = format!("{}: there is no such folder", Escaped::path(&args.data));
        let remedy = "Name the folder that holds the torrent's file or folder with --data.";
        return Err(Failure::new(Exit::Disk, what).remedy(remedy));
    }
    let root = root_of(&args.data)?;
    let peers: Arc<[SocketAddr]> = args.net.peers.as_slice().into();
    let job = |item: Item| Job {
        limits: Limits {
            down: 0,
            up: args.net.torrent_up_limit,
        },
        peers: peers.clone(),
        ends: ends(&args),
        check: match args.check {
            true => Check::Full,
            false => Check::Existing,
        },
        ..Job::new(item, root.clone(), Mode::Seed)
    };
    let jobs: Vec<Job> = loaded.items.into_iter().map(job).collect();
    let net = Net::new(&args.net, 0, jobs.len())?;
    let stop = Stop::on_signals()?;
    stop.ends_process();
    let mut teller = Teller::new(&jobs, &net, level);
    let ended = session::run(jobs, net, None, level, &stop, |at, happening, figures| {
        teller.hear(at, &happening, figures);
    })?;
    loaded.conclusion.of(teller.conclude(ended))
}

fn ends(args: &SeedArgs) -> Ends {
    let ratio = args.seed_ratio.unwrap_or(UntilRatio(None));
    let time = args.seed_time;
    Ends {
        seeding: Some(Seeding { ratio, time }),
        ..Ends::WHEN_ASKED
    }
}

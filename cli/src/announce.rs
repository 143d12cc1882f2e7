//! `announce`: ask a torrent's trackers for peers, once, and leave again.

mod asker;

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ripcurrent_proto::api::Config;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::tracker::schedule::{Announcer, Identity, Progress, Reply, TRACKERS_MAX};
use ripcurrent_runtime_uring::{Control, Host, Listen, Options};

use crate::args::AnnounceArgs;
use crate::chance;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::load;
use crate::say::{self, Level};
use crate::session::refused_by_host;
use crate::stop::Stop;
use crate::trust;
use crate::units::{Count, Time};

use asker::Asker;

/// How often a request to stop is looked for.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// Runs the command: the peers go to stdout, one a line.
pub(crate) fn run(args: &AnnounceArgs, level: Level) -> Outcome {
    let torrent = load::torrent(&args.torrent)?;
    let tiers = match &args.tracker {
        Some(tracker) => vec![vec![tracker.clone()]],
        None => torrent.trackers().to_vec(),
    };
    let trackers = tiers.iter().flatten().collect::<BTreeSet<_>>().len();
    if trackers == 0 {
        return Err(
            Failure::usage("the torrent names no tracker").remedy("Name one with --tracker.")
        );
    }
    let extra_roots = trust::roots(&args.trust)?;
    let stop = Stop::on_signals()?;
    let loopback_only = args.bind.is_some_and(|ip| ip.to_canonical().is_loopback());
    let host = Host::new(Options {
        bind: args.bind.unwrap_or(Ipv6Addr::UNSPECIFIED.into()),
        listen: Listen::No,
        loopback_only,
        extra_roots,
        ..Options::default()
    })
    .map_err(refused_by_host)?;
    let announcer = Announcer::new(&tiers, identity(&torrent)?, chance::rng()?, loopback_only);
    let progress = Progress {
        uploaded: 0,
        downloaded: 0,
        left: torrent.layout().total_len(),
        port: args.port,
        want_peers: args.num_want,
    };
    let until = host.now() + args.timeout;
    let mut asker = Asker::new(host.now(), announcer, progress);
    let mut to_come = trackers.min(TRACKERS_MAX);
    let mut answer = None;
    let mut leaving = false;
    host.run(&mut asker, |asker, now| {
        while let Some(report) = asker.next_report() {
            to_come = to_come.saturating_sub(1);
            match report.result {
                Ok(reply) if answer.is_none() => answer = Some((report.url, reply)),
                Ok(_) => {}
                Err(_) if leaving => {}
                Err(error) => say::line(format_args!(
                    "tracker {}: {}",
                    Escaped(&report.url),
                    Escaped(&error.to_string())
                )),
            }
        }
        if !leaving && (answer.is_some() || to_come == 0 || now >= until || stop.is_asked()) {
            leaving = true;
            asker.leave(now);
        }
        if leaving && asker.is_over() {
            Control::Stop
        } else {
            Control::Wait(Some(now + TICK))
        }
    })
    .map_err(refused_by_host)?;
    match answer {
        Some((url, reply)) => tell(&url, &reply, level),
        None if stop.is_asked() => Ok(Exit::Interrupted),
        None => Err(Failure::new(Exit::NoPeers, "no tracker answered")
            .remedy("Try again later, or name another with --tracker.")),
    }
}

/// A v2-only torrent is announced by the first 20 bytes of its hash (BEP 52).
pub(crate) fn identity(torrent: &Torrent) -> Result<Identity, Failure> {
    let Config {
        peer_id_prefix,
        client_name,
        ..
    } = Config::default();
    let mut peer_id = [0; 20];
    peer_id[..8].copy_from_slice(&peer_id_prefix);
    peer_id[8..].copy_from_slice(&chance::seed()?[..12]);
    let hashes = torrent.hashes();
    let truncated = || hashes.v2.and_then(|hash| hash.first_chunk().copied());
    let info_hash = hashes.v1.or_else(truncated).unwrap_or_default();
    Ok(Identity {
        info_hash,
        peer_id,
        user_agent: client_name,
    })
}

fn tell(url: &str, reply: &Reply, level: Level) -> Outcome {
    if let Some(warning) = &reply.warning {
        say::line(format_args!(
            "tracker {} warns: {}",
            Escaped(url),
            Escaped(warning)
        ));
    }
    if level > Level::Quiet {
        let mut text = format!(
            "tracker {}: {}",
            Escaped(url),
            Count(reply.peers.len(), "peer")
        );
        let counts = [(reply.complete, "seed"), (reply.incomplete, "leecher")];
        for (count, what) in counts {
            if let Some(count) = count {
                text.push_str(&format!(", {} in all", Count(count as usize, what)));
            }
        }
        if let Some(interval) = reply.interval {
            text.push_str(&format!(", next announce in {}", Time(interval)));
        }
        say::line(text);
    }
    let peers: String = reply.peers.iter().map(|peer| format!("{peer}\n")).collect();
    say::data(peers)?;
    Ok(Exit::Done)
}

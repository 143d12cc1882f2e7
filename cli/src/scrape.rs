//! `scrape`: ask trackers how many peers a torrent has, without joining them.

mod asker;

use std::net::Ipv6Addr;

use ripcurrent_proto::tracker::schedule::{Identity, TRACKERS_MAX};
use ripcurrent_proto::tracker::scrape::Counts;
use ripcurrent_proto::tracker::scraper::Scraper;
use ripcurrent_runtime_uring::{Control, Host, Listen, Options};

use crate::announce::identity;
use crate::args::ScrapeArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Event};
use crate::load;
use crate::say;
use crate::session::refused_by_host;
use crate::stop::Stop;
use crate::trust;

use asker::{Answer, Asker};

/// How often a request to stop is looked for.
const TICK: std::time::Duration = std::time::Duration::from_millis(100);

/// Runs the command: the counts of each tracker go to stdout, one a line.
pub(crate) fn run(args: &ScrapeArgs) -> Outcome {
    let torrent = load::torrent(&args.torrent)?;
    let mut trackers = match &args.tracker {
        Some(tracker) => vec![tracker.clone()],
        None => torrent.trackers().concat(),
    };
    let mut seen = std::collections::BTreeSet::new();
    trackers.retain(|tracker| seen.insert(tracker.clone()));
    trackers.truncate(TRACKERS_MAX);
    if trackers.is_empty() {
        return Err(
            Failure::usage("the torrent names no tracker").remedy("Name one with --tracker.")
        );
    }
    let stop = Stop::on_signals()?;
    let answers = ask(args, &trackers, identity(&torrent)?, &stop)?;
    let id = load::id(&torrent);
    let mut answered = 0;
    for (tracker, answer) in trackers.iter().zip(answers) {
        answered += usize::from(matches!(answer, Some(Ok(_))));
        tell(&id, tracker, answer)?;
    }
    if answered > 0 {
        Ok(Exit::Done)
    } else if stop.is_asked() {
        Ok(Exit::Interrupted)
    } else {
        Err(
            Failure::new(Exit::NoPeers, "no tracker told of the torrent")
                .remedy("Try again later, or name another with --tracker."),
        )
    }
}

fn ask(
    args: &ScrapeArgs,
    trackers: &[String],
    identity: Identity,
    stop: &Stop,
) -> Result<Vec<Option<Answer>>, Failure> {
    let loopback_only = args.bind.is_some_and(|ip| ip.to_canonical().is_loopback());
    let host = Host::new(Options {
        bind: args.bind.unwrap_or(Ipv6Addr::UNSPECIFIED.into()),
        listen: Listen::No,
        loopback_only,
        extra_roots: trust::roots(&args.trust)?,
        ..Options::default()
    })
    .map_err(refused_by_host)?;
    let until = host.now() + args.timeout;
    let scrapers = trackers.iter().map(|tracker| {
        let Identity {
            info_hash,
            user_agent,
            ..
        } = identity;
        Scraper::new(host.now(), tracker, info_hash, user_agent, loopback_only)
    });
    let mut asker = Asker::new(scrapers);
    let mut leaving = false;
    host.run(&mut asker, |asker, now| {
        if !leaving && (asker.has_all() || now >= until || stop.is_asked()) {
            leaving = true;
            asker.leave();
        }
        if leaving && asker.is_over() {
            Control::Stop
        } else {
            Control::Wait(Some(now + TICK))
        }
    })
    .map_err(refused_by_host)?;
    Ok(asker.into_answers())
}

/// Tells what one tracker answered, or, in words for people, why it did not.
fn tell(torrent: &str, tracker: &str, answer: Option<Answer>) -> Result<(), Failure> {
    let answer = match answer {
        Some(Ok(counts)) => Ok(counts),
        Some(Err(error)) => Err(error.to_string()),
        None => Err("no answer in time".to_owned()),
    };
    let counts = answer.as_ref().ok();
    json::emit(&Event::Scraped {
        torrent,
        url: tracker,
        seeds: counts.map(|counts| counts.complete),
        leechers: counts.map(|counts| counts.incomplete),
        downloads: counts.map(|counts| counts.downloaded),
        error: answer.as_ref().err().map(|error| &error[..]),
    });
    match &answer {
        Ok(counts) if !json::is_on() => say::data(line(counts, tracker)),
        Ok(_) => Ok(()),
        Err(error) => {
            let (tracker, error) = (Escaped(tracker), Escaped(error));
            say::line(format_args!("tracker {tracker}: {error}"));
            Ok(())
        }
    }
}

fn line(counts: &Counts, tracker: &str) -> String {
    let Counts {
        complete,
        incomplete,
        downloaded,
    } = counts;
    let tracker = Escaped(tracker);
    format!("{complete:>6} seeds {incomplete:>6} leechers {downloaded:>8} downloads  {tracker}\n")
}

//! `download`: fetch what a torrent names, then serve it.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use ripcurrent_proto::api::{Check, Event, Mode};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::Torrent;

use crate::args::DownloadArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::load;
use crate::news::News;
use crate::ranges;
use crate::record::Recording;
use crate::say::{self, Level};
use crate::session::{self, Ended, Figures, Job, Net, Why};
use crate::stop::Stop;
use crate::units::{Count, Rate, Size, Time};

/// Runs the command.
pub(crate) fn run(args: DownloadArgs, level: Level) -> Outcome {
    let torrent = Arc::new(load::transferable(&args.torrent)?);
    let wanted = wanted(&args, &torrent)?;
    must_be_folder(&args.output)?;
    let recording = recording(&args)?;
    let net = Net::new(&args.net, args.down_limit)?;
    let stop = Stop::on_signals()?;
    net.introduce(&torrent, level);
    if torrent.trackers().is_empty() && args.net.peers.is_empty() && level > Level::Quiet {
        say::line("the torrent names no tracker: give peers with --peer, or wait for them to come");
    }
    let job = Job {
        torrent: Arc::clone(&torrent),
        root: args.output,
        wanted,
        sequential: args.sequential,
        mode: Mode::Download,
        check: Check::Existing,
        peers: args.net.peers,
        leave_when_complete: args.no_seed,
        stop_timeout: args.stop_timeout,
        record: recording,
    };
    let mut news = News::new(level, torrent.name(), Mode::Download);
    let ended = session::run(job, net, level, &stop, |event, figures| {
        news.tell(event, &figures.stats);
        if matches!(event, Event::Completed { .. }) && level > Level::Quiet {
            say::line(format_args!(
                "{}: {}",
                Escaped(torrent.name()),
                summary(figures)
            ));
            if !args.no_seed {
                say::line("seeding until Ctrl-C (--no-seed leaves instead)");
            }
        }
    })?;
    conclude(ended, torrent.name(), level)
}

fn recording(args: &DownloadArgs) -> Result<Option<Recording>, Failure> {
    let Some(path) = args.record.clone() else {
        return Ok(None);
    };
    Ok(Some(Recording {
        path,
        torrent_file: load::bytes(&args.torrent)?,
        addresses: args.record_addresses,
    }))
}

/// What is not there yet is made; what is there must be able to hold the data.
fn must_be_folder(output: &Path) -> Result<(), Failure> {
    match output.metadata() {
        Ok(metadata) if !metadata.is_dir() => {
            let error = ErrorKind::NotADirectory.into();
            Err(Failure::disk("download into", output, error)
                .remedy("Name a folder with --output; the data gets the torrent's own name in it."))
        }
        _ => Ok(()),
    }
}

fn wanted(args: &DownloadArgs, torrent: &Torrent) -> Result<Option<Bitfield>, Failure> {
    let layout = torrent.layout();
    let chosen = match (&args.pieces, &args.files[..]) {
        (Some(pieces), _) => ranges::pieces(layout, pieces),
        (None, []) => return Ok(None),
        (None, files) => ranges::files(layout, files),
    };
    let option = if args.pieces.is_some() {
        "--pieces"
    } else {
        "--files"
    };
    chosen
        .map(Some)
        .map_err(|error| Failure::usage(option).because(error))
}

fn conclude(ended: Ended, name: &str, level: Level) -> Outcome {
    let (name, stats) = (Escaped(name), &ended.figures.stats);
    match ended.why {
        Why::Complete => Ok(Exit::Done),
        Why::Asked if ended.complete => {
            if level > Level::Quiet {
                say::line(format_args!("{name}: {} sent", Size(stats.uploaded)));
            }
            Ok(Exit::Done)
        }
        Why::Asked => {
            if level > Level::Quiet {
                let (had, wanted) = (Size(stats.bytes_had), Size(stats.bytes_wanted));
                say::line(format_args!(
                    "{name}: interrupted with {had} of {wanted}; the same command goes on from there"
                ));
            }
            Ok(Exit::Interrupted)
        }
        Why::NoPeers => {
            let known = Count(stats.known, "peer");
            let what = format!("{name}: no byte came in time ({known} known)");
            Err(Failure::new(Exit::NoPeers, what)
                .remedy("Check the trackers with `announce`, or name a peer with --peer."))
        }
        Why::Failed(failure) => Err(failure),
    }
}

/// What came, how fast, from how many, and what of it was in vain.
fn summary(figures: &Figures) -> String {
    let stats = &figures.stats;
    let whole = Size(stats.bytes_wanted);
    if stats.downloaded == 0 {
        return format!("all {whole} were there already");
    }
    let (came, time) = (Size(stats.downloaded), Time(figures.fetching));
    let rate = Rate::mean(stats.downloaded, figures.fetching);
    let mut text = format!("{whole} complete; {came} in {time} ({rate})");
    // A download shorter than the time between two looks has seen nobody.
    if figures.peers_most > 0 {
        let peers = Count(figures.peers_most, "peer");
        text.push_str(&format!(" from at most {peers} at once"));
    }
    text.push_str(&format!(", {} wasted", Size(stats.wasted.total())));
    if figures.corrupt > 0 {
        text.push_str(&format!(", {} corrupt", Count(figures.corrupt, "piece")));
    }
    if figures.banned > 0 {
        text.push_str(&format!(", {} banned", Count(figures.banned, "peer")));
    }
    text.push_str(&format!("; {} sent", Size(stats.uploaded)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::api::TorrentStats;
    use std::time::Duration;

    /// A file in the place of the folder is named itself, not a path below it.
    #[test]
    fn a_file_cannot_be_downloaded_into() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let failure = must_be_folder(&file).unwrap_err();
        assert_eq!(failure.exit(), Exit::Disk);
        assert!(failure.to_string().contains("--output"), "{failure}");
        assert!(must_be_folder(dir.path()).is_ok());
        assert!(must_be_folder(&dir.path().join("new")).is_ok());
    }

    /// The last line tells size, time, rate, peers and waste; nothing fetched is one short fact.
    #[test]
    fn the_summary_tells_what_came_and_what_was_wasted() {
        let stats = TorrentStats {
            bytes_wanted: 10 << 20,
            bytes_had: 10 << 20,
            downloaded: 11 << 20,
            wasted: ripcurrent_proto::api::Waste {
                duplicate: 1 << 20,
                ..Default::default()
            },
            uploaded: 512,
            ..TorrentStats::default()
        };
        let fetching = Duration::from_secs(2);
        let mut figures = Figures {
            stats,
            fetching,
            peers_most: 3,
            corrupt: 2,
            banned: 1,
        };
        assert_eq!(
            summary(&figures),
            "10 MiB complete; 11 MiB in 2s (5.50 MiB/s) from at most 3 peers at once, \
             1 MiB wasted, 2 pieces corrupt, 1 peer banned; 512 B sent"
        );
        figures.stats.downloaded = 0;
        assert_eq!(summary(&figures), "all 10 MiB were there already");
    }
}

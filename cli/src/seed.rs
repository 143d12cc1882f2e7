//! `seed`: serve data that is there.

use std::sync::Arc;

use ripcurrent_proto::api::{Check, Event, Mode};

use crate::args::SeedArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::load;
use crate::news::News;
use crate::say::{self, Level};
use crate::session::{self, Figures, Job, Net, Why};
use crate::stop::Stop;
use crate::units::{Count, Size};

/// Runs the command until Ctrl-C.
pub(crate) fn run(args: SeedArgs, level: Level) -> Outcome {
    let torrent = Arc::new(load::transferable(&args.torrent)?);
    if !args.data.is_dir() {
        let what = format!(
            "{}: there is no such folder",
            Escaped(&args.data.to_string_lossy())
        );
        let remedy = format!(
            "name the folder that holds {} with --data",
            Escaped(torrent.name())
        );
        return Err(Failure::new(Exit::Disk, what).remedy(remedy));
    }
    let net = Net::new(&args.net, 0)?;
    let stop = Stop::on_signals()?;
    net.introduce(&torrent, level);
    let job = Job {
        torrent: Arc::clone(&torrent),
        root: args.data,
        wanted: None,
        sequential: false,
        mode: Mode::Seed,
        check: Check::Existing,
        peers: args.net.peers,
        leave_when_complete: false,
        stop_timeout: None,
        record: None,
    };
    let mut news = News::new(level, torrent.name(), Mode::Seed);
    let ended = session::run(job, net, level, &stop, |event, figures| {
        news.tell(event, &figures.stats);
        if matches!(event, Event::Completed { .. })
            && figures.stats.pieces_had > 0
            && level > Level::Quiet
        {
            say::line("seeding until Ctrl-C");
        }
    })?;
    match ended.why {
        Why::Failed(failure) => Err(failure),
        Why::Complete | Why::Asked | Why::NoPeers => {
            if level > Level::Quiet {
                let name = Escaped(torrent.name());
                say::line(format_args!("{name}: {}", summary(&ended.figures)));
            }
            Ok(Exit::Done)
        }
    }
}

fn summary(figures: &Figures) -> String {
    let sent = Size(figures.stats.uploaded);
    match figures.peers_most {
        0 => format!("{sent} sent; no peer came"),
        peers => format!("{sent} sent to at most {} at once", Count(peers, "peer")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody at all is told as such, not as a crowd of none.
    #[test]
    fn the_summary_tells_who_came() {
        let mut figures = Figures::default();
        assert_eq!(summary(&figures), "0 B sent; no peer came");
        figures.peers_most = 2;
        figures.stats.uploaded = 1024;
        assert_eq!(summary(&figures), "1 KiB sent to at most 2 peers at once");
    }
}

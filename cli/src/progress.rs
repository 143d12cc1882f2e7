//! How far it is: a bar on a terminal, in a pipe a plain line every few seconds if there is news,
//! nothing if quiet.

mod line;

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use ripcurrent_proto::api::command::{Phase, TorrentStats};

use crate::clock;
use crate::escape::Escaped;
use crate::say::{self, Level};
use crate::session::is_crowd;
use crate::units::{Count, Rate, Size, Time};

/// How often a line is written where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The most characters of a name in front of a bar.
const NAME_WIDTH: usize = 24;

/// The progress of one piece of work.
#[derive(Debug)]
pub(crate) struct Progress {
    name: String,
    view: View,
}

#[derive(Debug)]
enum View {
    Bar(ProgressBar),
    Lines { next: Instant, last: Status },
    Hidden,
}

/// How far something is, and the words beside the bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    done: u64,
    of: u64,
    words: String,
}

impl Progress {
    /// Shows the progress of `name`, which may come from outside.
    pub(crate) fn new(level: Level, name: &str) -> Self {
        if level == Level::Quiet {
            let (name, view) = (String::new(), View::Hidden);
            return Progress { name, view };
        }
        let name = shorten(&Escaped(name).to_string());
        let view = if has_terminal() {
            View::Bar(bar())
        } else {
            View::Lines {
                next: clock::now() + LINE_EVERY,
                last: Status::new(0, 0, String::new()),
            }
        };
        Progress { name, view }
    }

    /// Shows the sum of `count` torrents, if they are several and there is a terminal: plain lines
    /// would say everything twice, unless they are so many that each alone says nothing.
    pub(crate) fn of_all(level: Level, count: usize) -> Option<Self> {
        let shows = count > 1 && level > Level::Quiet && (has_terminal() || is_crowd(count));
        shows.then(|| Progress::new(level, &format!("all {count}")))
    }

    /// Shows nothing any more.
    pub(crate) fn clear(&mut self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
            say::bars().remove(bar);
        }
        self.view = View::Hidden;
    }

    /// Shows `status`, now or when the next line is due.
    pub(crate) fn show(&mut self, status: &Status) {
        match &mut self.view {
            View::Bar(bar) => {
                bar.set_message(line::text(&self.name, status, line::columns()));
            }
            View::Lines { next, last } => {
                let now = clock::now();
                if now >= *next && last != status {
                    *next = now + LINE_EVERY;
                    last.clone_from(status);
                    let percent = status.percent();
                    say::line(format_args!("{}: {percent} %, {}", self.name, status.words));
                }
            }
            View::Hidden => {}
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Status {
    /// Work on `of` bytes of which `done` are done after `elapsed`.
    pub(crate) fn of_bytes(done: u64, of: u64, elapsed: Duration) -> Self {
        let rate = Rate::mean(done, elapsed);
        let words = format!(
            "{rate}{}, {} of {}",
            to_go(of - done, rate.0),
            Size(done),
            Size(of)
        );
        Status { done, of, words }
    }

    /// A torrent seen from outside.
    pub(crate) fn of_torrent(stats: &TorrentStats) -> Self {
        let pieces = u64::from(stats.pieces);
        match stats.phase {
            Phase::Opening => Status::new(0, pieces, "opening".into()),
            Phase::Checking => {
                let checked = u64::from(stats.pieces_checked);
                Status::new(
                    checked,
                    pieces,
                    format!("checking what is there: {checked} of {pieces} pieces"),
                )
            }
            Phase::Downloading => {
                Status::new(stats.bytes_had, stats.bytes_wanted, downloading(stats))
            }
            Phase::Seeding => Status::new(stats.bytes_had, stats.bytes_wanted, seeding(stats)),
            Phase::Paused => Status::new(stats.bytes_had, stats.bytes_wanted, "paused".into()),
            Phase::Full => Status::new(
                stats.bytes_had,
                stats.bytes_wanted,
                "waiting for room on the disk".into(),
            ),
            Phase::Failed => Status::new(
                stats.bytes_had,
                stats.bytes_wanted,
                "the disk refused".into(),
            ),
            Phase::Leaving => Status::new(stats.bytes_had, stats.bytes_wanted, "leaving".into()),
        }
    }

    /// Several torrents seen from outside, added up.
    pub(crate) fn of_all<'a>(all: impl Iterator<Item = &'a TorrentStats>) -> Self {
        let mut sum = TorrentStats::default();
        let (mut known, mut count) = (0, 0);
        for stats in all {
            count += 1;
            known += u64::from(!matches!(stats.phase, Phase::Opening | Phase::Checking));
            sum.bytes_had += stats.bytes_had;
            sum.bytes_wanted += stats.bytes_wanted;
            sum.down_rate += stats.down_rate;
            sum.up_rate += stats.up_rate;
            sum.uploaded += stats.uploaded;
            sum.peers += stats.peers;
        }
        let (had, wanted) = (sum.bytes_had, sum.bytes_wanted);
        match known == count {
            // What is wanted of all is not known yet, so no part of it is either.
            false if had == wanted => {
                let words = format!("checking what is there: {known} of {count} torrents");
                Status::new(known, count, words)
            }
            _ if had < wanted => Status::new(had, wanted, downloading(&sum)),
            _ => Status::new(had, wanted, seeding(&sum)),
        }
    }

    /// Work of any kind, `of` units of which `done` are done, in words.
    pub(crate) fn new(done: u64, of: u64, words: String) -> Self {
        Status { done, of, words }
    }

    /// Rounded down: 100 only when all is done.
    fn percent(&self) -> u64 {
        (u128::from(self.done) * 100)
            .checked_div(u128::from(self.of))
            .unwrap_or(100) as u64
    }
}

/// What matters most comes first: a narrow terminal cuts the rest.
fn downloading(stats: &TorrentStats) -> String {
    let left = stats.bytes_wanted.saturating_sub(stats.bytes_had);
    let mut words = format!("{}{}", Rate(stats.down_rate), to_go(left, stats.down_rate));
    words.push_str(&format!(", {}", peers(stats)));
    words.push_str(&format!(
        ", {} of {}",
        Size(stats.bytes_had),
        Size(stats.bytes_wanted)
    ));
    if stats.up_rate > 0 {
        words.push_str(&format!(", up {}", Rate(stats.up_rate)));
    }
    words
}

fn seeding(stats: &TorrentStats) -> String {
    format!(
        "seeding, up {}, {} sent, {}",
        Rate(stats.up_rate),
        Size(stats.uploaded),
        peers(stats)
    )
}

fn peers(stats: &TorrentStats) -> Count<usize> {
    Count(stats.peers, "peer")
}

fn to_go(bytes: u64, rate: u64) -> String {
    match Time::to_go(bytes, rate) {
        Some(time) if bytes > 0 => format!(", {time} to go"),
        _ => String::new(),
    }
}

fn has_terminal() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// The library draws the line, cut to the width of the terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
    let style = ProgressStyle::with_template("{wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    say::bars().add(bar)
}

fn shorten(name: &str) -> String {
    if name.chars().count() <= NAME_WIDTH {
        return name.to_owned();
    }
    name.chars()
        .take(NAME_WIDTH - 3)
        .chain("...".chars())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(stats: &TorrentStats) -> String {
        let status = Status::of_torrent(stats);
        format!("{} % {}", status.percent(), status.words)
    }

    /// Each phase says what is done, and nothing is said to be complete before it is.
    #[test]
    fn a_torrent_is_described_by_its_phase() {
        let mut stats = TorrentStats {
            phase: Phase::Checking,
            pieces: 400,
            pieces_checked: 100,
            ..TorrentStats::default()
        };
        assert_eq!(
            words(&stats),
            "25 % checking what is there: 100 of 400 pieces"
        );
        stats.phase = Phase::Downloading;
        (stats.bytes_wanted, stats.bytes_had) = (100 << 20, (100 << 20) - 1);
        stats.peers = 1;
        assert_eq!(words(&stats), "99 % 0 B/s, 1 peer, 100 MiB of 100 MiB");
        (stats.down_rate, stats.up_rate, stats.peers) = (1 << 20, 512, 2);
        stats.bytes_had = 40 << 20;
        assert_eq!(
            words(&stats),
            "40 % 1 MiB/s, 1m 00s to go, 2 peers, 40 MiB of 100 MiB, up 512 B/s"
        );
        stats.phase = Phase::Seeding;
        stats.bytes_had = stats.bytes_wanted;
        assert_eq!(
            words(&stats),
            "100 % seeding, up 512 B/s, 0 B sent, 2 peers"
        );
    }

    /// The sum of several says what all do together.
    #[test]
    fn several_torrents_are_added_up() {
        let one = TorrentStats {
            phase: Phase::Downloading,
            bytes_wanted: 100 << 20,
            bytes_had: 40 << 20,
            down_rate: 1 << 20,
            peers: 1,
            ..TorrentStats::default()
        };
        let begun = TorrentStats::default();
        let status = Status::of_all([&begun, &begun].into_iter());
        assert_eq!(status.percent(), 0, "{}", status.words);
        let mut all = [one.clone(), one];
        let status = Status::of_all(all.iter());
        assert_eq!(status.percent(), 40);
        assert_eq!(
            status.words,
            "2 MiB/s, 1m 00s to go, 2 peers, 80 MiB of 200 MiB"
        );
        for one in &mut all {
            (one.bytes_had, one.down_rate) = (one.bytes_wanted, 0);
        }
        let status = Status::of_all(all.iter());
        assert!(status.words.starts_with("seeding"), "{}", status.words);
    }

    /// A selection of nothing is complete, not a division by zero.
    #[test]
    fn nothing_wanted_is_all_done() {
        let stats = TorrentStats {
            phase: Phase::Seeding,
            ..TorrentStats::default()
        };
        assert!(words(&stats).starts_with("100 %"));
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        let short = shorten(&"日".repeat(100));
        assert_eq!(short.chars().count(), NAME_WIDTH);
        assert!(short.ends_with("..."));
        assert_eq!(shorten("name"), "name");
    }
}

//! What happens to one torrent of a session, in words for people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use ripcurrent_proto::api::{DiskError, Event, Mode, Waste};

use crate::escape::Escaped;
use crate::outline::Outline;
use crate::say::{self, Level};
use crate::session::{Ended, Ends, Figures, Job, Why, cause, owes, path_of, state_home};
use crate::units::{Count, Rate, Size, Time};

/// The most trackers whose complaints are told, and the most of each of many torrents' trackers.
const TRACKERS_MOST: usize = 500;
const REASONS_MOST: usize = 16;

/// Tells what happens to one torrent, each complaint of a tracker once until it changes.
#[derive(Debug)]
pub(crate) struct News {
    level: Level,
    outline: Arc<Outline>,
    root: Arc<str>,
    /// It is one of many: what is as it should be is told of all together.
    in_crowd: bool,
    mode: Mode,
    ends: Ends,
    has_peers: bool,
    /// Everything wanted was there when it began.
    was_there: bool,
}

/// What trackers complained of.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    /// Of many torrents each complaint is told once for all; else again after another one, or an
    /// answer.
    of_crowd: bool,
    told: BTreeMap<String, BTreeSet<String>>,
}

impl Complaints {
    /// Those of the trackers of one torrent or several, or of many.
    pub(crate) fn new(of_crowd: bool) -> Self {
        let told = BTreeMap::new();
        Complaints { of_crowd, told }
    }

    /// The tracker answered.
    fn over(&mut self, url: &str) {
        if !self.of_crowd {
            self.told.remove(url);
        }
    }

    /// Whether this complaint is to be told.
    fn is_news(&mut self, url: &str, reason: &str) -> bool {
        if let Some(told) = self.told.get_mut(url) {
            let is_known = told.contains(reason);
            if !self.of_crowd {
                told.clear();
            }
            // Whoever never says the same twice is heard only so often.
            let has_room = told.len() < REASONS_MOST;
            return (has_room && told.insert(reason.to_owned())) && !is_known;
        }
        if self.told.len() >= TRACKERS_MOST {
            return false;
        }
        self.told
            .insert(url.to_owned(), BTreeSet::from([reason.to_owned()]));
        true
    }
}

impl News {
    /// Tells of the torrent of a job, and whether it is one of many.
    pub(crate) fn new(level: Level, job: &Job, in_crowd: bool) -> Self {
        News {
            level,
            outline: Arc::clone(&job.outline),
            root: Arc::clone(&job.root),
            in_crowd,
            mode: job.mode,
            ends: job.ends,
            has_peers: job.outline.has_trackers() || !job.peers.is_empty(),
            was_there: false,
        }
    }

    fn name(&self) -> Escaped<'_> {
        Escaped(self.outline.name())
    }

    /// The level of what is as it should be.
    fn usual(&self) -> Level {
        match self.in_crowd && self.mode == Mode::Seed {
            true => Level::Verbose,
            false => Level::Normal,
        }
    }

    /// Whether it was to be fetched, rather than only served.
    pub(crate) fn fetches(&self) -> bool {
        self.mode == Mode::Download
    }

    /// Whether it is served once it is complete, and these are its figures then.
    pub(crate) fn serves(&self, figures: &Figures) -> bool {
        let has_any = figures.stats.pieces_had > 0;
        let is_new = figures.stats.downloaded > 0 || self.ends.serves_again;
        has_any && is_new && self.ends.seeding.is_some()
    }

    /// The engine told something.
    pub(crate) fn event(&mut self, event: &Event, figures: &Figures, complaints: &mut Complaints) {
        if let Event::Completed { .. } = event {
            return self.completed(figures);
        }
        if let Some((level, text)) = self.words(event, figures, complaints) {
            self.say(level, text);
        }
        if let Event::Checked { .. } = event
            && figures.stats.pieces_missing > 0
            && !self.has_peers
        {
            let text = "it names no tracker: give peers with --peer, or wait for them to come";
            self.say(Level::Normal, format!("{}: {text}", self.name()));
        }
    }

    /// There is no room for `need` bytes.
    pub(crate) fn full(&self, path: &Path, need: u64) {
        let (path, need) = (Escaped::path(path), Size(need));
        let wait = Time(self.ends.disk_wait);
        let text = format!("no room for {need} in {path}: waiting {wait} for some");
        self.say(Level::Normal, format!("{}: {text}", self.name()));
    }

    /// There is room again.
    pub(crate) fn room(&self) {
        let text = format!("{}: there is room again", self.name());
        self.say(Level::Normal, text);
    }

    /// It is over. What failed is told by who knows what the command comes to.
    pub(crate) fn ended(&self, ended: &Ended) {
        let text = match (&ended.why, ended.complete) {
            (Why::Failed(_), _) => return,
            (Why::Complete, _) if self.was_there && !self.ends.serves_again => {
                self.all_there(&ended.figures)
            }
            // Its summary was told when it was complete.
            (Why::Complete, _) if self.ends.seeding.is_none() => return,
            (Why::Complete | Why::Asked, true) => self.served(&ended.figures),
            (Why::Complete | Why::Asked, false) if self.mode == Mode::Seed => {
                self.served(&ended.figures)
            }
            (Why::Complete | Why::Asked, false) => interrupted(&ended.figures),
        };
        let level = match ended.figures.stats.uploaded {
            0 => self.usual(),
            _ => Level::Normal,
        };
        self.say(level, format!("{}: {text}", self.name()));
    }

    fn say(&self, level: Level, text: String) {
        if self.level >= level {
            say::line(text);
        }
    }

    fn completed(&mut self, figures: &Figures) {
        self.was_there = figures.stats.downloaded == 0;
        let name = self.name();
        if !self.was_there {
            let text = format!("{name}: {}", complete(figures));
            self.say(Level::Normal, text);
        }
        if self.serves(figures) {
            let there = match self.was_there && self.mode == Mode::Download {
                true => format!("{}; ", self.all_there(figures)),
                false => String::new(),
            };
            let hint = match self.mode {
                Mode::Download if !self.was_there => " (--no-seed leaves instead)",
                _ => "",
            };
            let text = format!("{name}: {there}seeding {}{hint}", self.until());
            self.say(self.usual(), text);
        }
    }

    fn all_there(&self, figures: &Figures) -> String {
        let whole = Size(figures.stats.bytes_wanted);
        let hint = match self.ends.serves_again {
            true => "",
            false => "; `ripcurrent seed` serves them",
        };
        format!("all {whole} are there already{hint}")
    }

    /// When seeding ends.
    pub(crate) fn until(&self) -> String {
        let mut text = "until Ctrl-C".to_owned();
        let Some(seeding) = self.ends.seeding else {
            return text;
        };
        if seeding.ratio.0.is_some() {
            text.push_str(&format!(" or a ratio of {}", seeding.ratio));
        }
        if let Some(time) = seeding.time {
            text.push_str(&format!(" or for {}", Time(time)));
        }
        text
    }

    /// What was given to others.
    fn served(&self, figures: &Figures) -> String {
        let sent = figures.stats.uploaded;
        let ratio = Ratio(sent, owes(&figures.stats, self.outline.layout()));
        let given = format!("{} sent, a ratio of {ratio}", Size(sent));
        match (figures.peers_most, sent) {
            (0, 0) => format!("{} sent; no peer came", Size(sent)),
            // Who came and went between two looks was not seen.
            (0, _) => given,
            (peers, _) => format!("{given}, to at most {} at once", Count(peers, "peer")),
        }
    }

    /// The line, and from which level on it is worth one.
    fn words(
        &self,
        event: &Event,
        figures: &Figures,
        complaints: &mut Complaints,
    ) -> Option<(Level, String)> {
        let (name, stats) = (self.name(), &figures.stats);
        Some(match event {
            Event::Checked { pieces, .. } => {
                let words = match self.mode {
                    Mode::Download => "are there already",
                    Mode::Seed => "are right",
                };
                // What is complete is told of in one line.
                let is_worth_it = *pieces > 0 && (stats.pieces_missing > 0 || !self.fetches());
                let level = match is_worth_it {
                    true if *pieces == stats.pieces => self.usual(),
                    true => Level::Normal,
                    false => Level::Verbose,
                };
                let text = format!("{name}: {pieces} of {} pieces {words}", stats.pieces);
                (level, text)
            }
            Event::Announced { url, result, .. } => return announced(url, result, complaints),
            Event::Banned { addr, reason, .. } => (
                Level::Normal,
                format!("{name}: banned {addr}: {}", Escaped(reason)),
            ),
            Event::Corrupt { piece, .. } => (
                Level::Verbose,
                format!("{name}: piece {piece} failed its hash and is fetched again"),
            ),
            Event::StateNotSaved { error, .. } if self.mode == Mode::Seed => (
                Level::Verbose,
                format!("{name}: {}", not_remembered(*error)),
            ),
            Event::StateNotSaved { error, .. } => {
                let path = path_of(&self.outline, Path::new(&*self.root), *error);
                let (path, cause) = (Escaped::path(&path), cause(*error));
                let text = format!("{name}: the state cannot be saved: {path}: {cause}");
                (Level::Normal, text)
            }
            // Said when what they mean for the end of the torrent is known.
            Event::Added { .. }
            | Event::Refused { .. }
            | Event::Completed { .. }
            | Event::DiskFailed { .. }
            | Event::DiskFull { .. }
            | Event::DiskRoom { .. }
            | Event::TorrentWanted { .. }
            | Event::Removed { .. }
            | Event::ShutDown => return None,
        })
    }
}

fn announced(
    url: &str,
    result: &Result<usize, String>,
    complaints: &mut Complaints,
) -> Option<(Level, String)> {
    let shown = Escaped(url);
    match result {
        Ok(peers) => {
            complaints.over(url);
            let peers = Count(*peers as u64, "peer");
            Some((Level::Verbose, format!("tracker {shown}: {peers}")))
        }
        Err(reason) if complaints.is_news(url, reason) => {
            let text = format!("tracker {shown}: {}", Escaped(reason));
            Some((Level::Normal, text))
        }
        Err(_) => None,
    }
}

/// That what is seeded cannot be remembered, and what comes of it.
pub(crate) fn not_remembered(error: DiskError) -> String {
    let why = match (state_home(), error.file) {
        (None, None) => "neither XDG_STATE_HOME nor HOME names a folder for it".to_owned(),
        (Some(home), None) => format!("{}: {}", Escaped::path(&home), cause(error)),
        (_, Some(_)) => format!("its files cannot be synced: {}", cause(error)),
    };
    format!("what was hashed cannot be remembered: {why}; the next start hashes it again")
}

/// What came, how fast, from how many, and what of it was in vain.
fn complete(figures: &Figures) -> String {
    let whole = Size(figures.stats.bytes_wanted);
    format!("{whole} complete; {}", traffic(figures))
}

fn interrupted(figures: &Figures) -> String {
    let stats = &figures.stats;
    let (had, wanted) = (Size(stats.bytes_had), Size(stats.bytes_wanted));
    let traffic = match stats.downloaded {
        0 => String::new(),
        _ => format!("{}; ", traffic(figures)),
    };
    format!("interrupted with {had} of {wanted}; {traffic}the same command goes on from there")
}

fn traffic(figures: &Figures) -> String {
    let stats = &figures.stats;
    let (came, time) = (Size(stats.downloaded), Time(figures.fetching));
    let rate = Rate::mean(stats.downloaded, figures.fetching);
    let mut text = format!("{came} in {time} ({rate})");
    // A download shorter than the time between two looks has seen nobody.
    if figures.peers_most > 0 {
        let peers = Count(figures.peers_most, "peer");
        text.push_str(&format!(" from at most {peers} at once"));
    }
    text.push_str(&format!(", {}", wasted(&stats.wasted)));
    if figures.corrupt > 0 {
        text.push_str(&format!(", {} corrupt", Count(figures.corrupt, "piece")));
    }
    if figures.banned > 0 {
        text.push_str(&format!(", {} banned", Count(figures.banned, "peer")));
    }
    text.push_str(&format!("; {} sent", Size(stats.uploaded)));
    text
}

/// How much was wasted, and why.
fn wasted(waste: &Waste) -> String {
    let why = [
        (waste.corrupt, "corrupt"),
        (waste.duplicate, "there already"),
        (waste.unrequested, "not asked for"),
        (waste.given_up, "given up"),
    ];
    let why: Vec<String> = why
        .into_iter()
        .filter(|(bytes, _)| *bytes > 0)
        .map(|(bytes, why)| format!("{} {why}", Size(bytes)))
        .collect();
    let total = Size(waste.total());
    match why.is_empty() {
        true => format!("{total} wasted"),
        false => format!("{total} wasted ({})", why.join(", ")),
    }
}

/// Displays a ratio of two numbers of bytes with two places, rounded down.
struct Ratio(u64, u64);

impl std::fmt::Display for Ratio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hundredths = u128::from(self.0) * 100 / u128::from(self.1.max(1));
        write!(f, "{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Item;
    use crate::session::{Seeding, UntilRatio};
    use ripcurrent_proto::api::TorrentStats;
    use ripcurrent_proto::base::id::TorrentId;
    use ripcurrent_proto::meta::Torrent;
    use ripcurrent_proto::meta::create::{Content, Creation};
    use std::time::Duration;

    const TORRENT: TorrentId = TorrentId(0);

    fn news(mode: Mode) -> News {
        let content = Content::File {
            len: 10 << 20,
            executable: false,
        };
        let creation = Creation::new("n", content, Some(1 << 20)).unwrap();
        let bytes = creation.finish(&[[0; 20]; 10]).unwrap();
        let torrent = Arc::new(Torrent::parse(bytes.into()).unwrap());
        let job = Job::new(Item::made(torrent), "/d".into(), mode);
        News::new(Level::Normal, &job, false)
    }

    fn announced(reason: &str) -> Event {
        let url = "http://t/\u{1b}".to_owned();
        Event::Announced {
            torrent: TORRENT,
            url,
            result: Err(reason.into()),
        }
    }

    /// A tracker that fails the same way each minute fills no screen, and its words cannot steer
    /// the terminal.
    #[test]
    fn a_complaint_is_told_once() {
        let figures = Figures::default();
        let news = news(Mode::Download);
        let mut one = Complaints::new(false);
        let mut words = |reason: &str| news.words(&announced(reason), &figures, &mut one);
        let told = "tracker http://t/\\u{1b}: no\\u{7}";
        assert_eq!(words("no\u{7}"), Some((Level::Normal, told.into())));
        assert_eq!(words("no\u{7}"), None);
        assert!(words("other").is_some() && words("no\u{7}").is_some());
        let mut crowd = Complaints::new(true);
        let mut words = |reason: &str| news.words(&announced(reason), &figures, &mut crowd);
        assert!(words("no").is_some() && words("other").is_some());
        assert!(words("no").is_none() && words("other").is_none());
        let many = (0..100).filter(|number| words(&number.to_string()).is_some());
        assert_eq!(many.count(), REASONS_MOST - 2);
    }

    /// What was found at the start is worth a line when there was something, and something is
    /// missing.
    #[test]
    fn the_check_is_told() {
        let mut figures = Figures::default();
        figures.stats.pieces = 9;
        let checked = |pieces| Event::Checked {
            torrent: TORRENT,
            pieces,
        };
        let mut none = Complaints::default();
        let (level, text) = news(Mode::Seed)
            .words(&checked(3), &figures, &mut none)
            .unwrap();
        assert_eq!(
            (level, &*text),
            (Level::Normal, "n: 3 of 9 pieces are right")
        );
        let download = news(Mode::Download);
        let mut level = |pieces, missing| {
            figures.stats.pieces_missing = missing;
            let words = download.words(&checked(pieces), &figures, &mut none);
            words.unwrap().0
        };
        assert_eq!(level(0, 9), Level::Verbose);
        assert_eq!(level(3, 6), Level::Normal);
        assert_eq!(level(9, 0), Level::Verbose);
    }

    /// The summary tells size, time, rate, peers and waste with its reasons.
    #[test]
    fn the_summary_tells_what_came_and_what_was_wasted() {
        let stats = TorrentStats {
            bytes_wanted: 10 << 20,
            bytes_had: 4 << 20,
            downloaded: 11 << 20,
            wasted: Waste {
                corrupt: 1 << 20,
                duplicate: 512,
                ..Waste::default()
            },
            uploaded: 512,
            ..TorrentStats::default()
        };
        let figures = Figures {
            stats,
            fetching: Duration::from_secs(2),
            peers_most: 3,
            corrupt: 2,
            banned: 1,
        };
        let came = "11 MiB in 2s (5.50 MiB/s) from at most 3 peers at once, 1.00 MiB wasted \
                    (1 MiB corrupt, 512 B there already), 2 pieces corrupt, 1 peer banned; 512 B sent";
        assert_eq!(complete(&figures), format!("10 MiB complete; {came}"));
        let goes_on = "the same command goes on from there";
        assert_eq!(
            interrupted(&figures),
            format!("interrupted with 4 MiB of 10 MiB; {came}; {goes_on}")
        );
        assert_eq!(wasted(&Waste::default()), "0 B wasted");
    }

    /// Nobody at all is told as such, not as a crowd of none; the ratio counts against what there
    /// is.
    #[test]
    fn the_end_of_seeding_tells_who_came() {
        let news = news(Mode::Seed);
        let mut figures = Figures::default();
        figures.stats.pieces_had = 10;
        assert_eq!(news.served(&figures), "0 B sent; no peer came");
        figures.peers_most = 2;
        figures.stats.uploaded = 5 << 20;
        assert_eq!(
            news.served(&figures),
            "5 MiB sent, a ratio of 0.50, to at most 2 peers at once"
        );
        figures.peers_most = 0;
        assert_eq!(news.served(&figures), "5 MiB sent, a ratio of 0.50");
    }

    /// All ways in which seeding ends are told.
    #[test]
    fn the_ends_of_seeding_are_told() {
        let mut news = news(Mode::Download);
        news.ends = Ends::WHEN_ASKED;
        assert_eq!(news.until(), "until Ctrl-C");
        news.ends.seeding = Some(Seeding {
            ratio: UntilRatio::ONE,
            time: Some(Duration::from_secs(3600)),
        });
        assert_eq!(news.until(), "until Ctrl-C or a ratio of 1 or for 1h 00m");
    }
}

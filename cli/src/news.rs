//! What happens during a transfer, in words for people.

use std::collections::BTreeMap;

use ripcurrent_proto::api::{Event, Mode, TorrentStats};

use crate::escape::Escaped;
use crate::say::{self, Level};
use crate::units::{Count, Size};

/// Tells what happens to one torrent, each complaint of a tracker once until it changes.
#[derive(Debug)]
pub(crate) struct News {
    level: Level,
    name: String,
    mode: Mode,
    /// The last complaint of each tracker; as many as the torrent has trackers.
    complaints: BTreeMap<String, String>,
}

impl News {
    /// Tells of the torrent `name`, which may come from outside.
    pub(crate) fn new(level: Level, name: &str, mode: Mode) -> Self {
        News {
            level,
            name: Escaped(name).to_string(),
            mode,
            complaints: BTreeMap::new(),
        }
    }

    /// Tells of `event` if it is worth a line.
    pub(crate) fn tell(&mut self, event: &Event, stats: &TorrentStats) {
        if let Some((level, text)) = self.words(event, stats)
            && self.level >= level
        {
            say::line(text);
        }
    }

    /// The line, and from which level on it is worth one.
    fn words(&mut self, event: &Event, stats: &TorrentStats) -> Option<(Level, String)> {
        let name = &self.name;
        Some(match event {
            Event::Checked { pieces, .. } => {
                let level = if *pieces == 0 {
                    Level::Verbose
                } else {
                    Level::Normal
                };
                let words = match self.mode {
                    Mode::Download => "are there already",
                    Mode::Seed => "are right",
                };
                (
                    level,
                    format!("{name}: {pieces} of {} pieces {words}", stats.pieces),
                )
            }
            Event::Announced { url, result, .. } => return self.announced(url, result),
            Event::Banned { addr, reason, .. } => (
                Level::Normal,
                format!("{name}: banned {addr}: {}", Escaped(reason)),
            ),
            Event::Corrupt { piece, .. } => (
                Level::Verbose,
                format!("{name}: piece {piece} failed its hash and is fetched again"),
            ),
            Event::DiskFull { need, .. } => (
                Level::Normal,
                format!(
                    "{name}: the disk is full: waiting for room for {}",
                    Size(*need)
                ),
            ),
            Event::DiskRoom { .. } => (Level::Normal, format!("{name}: there is room again")),
            Event::StateNotSaved { error, .. } => (
                Level::Normal,
                format!("{name}: the state cannot be saved: {}", error.error.kind),
            ),
            // Said by the command itself, which knows what it means for its end.
            Event::Added { .. }
            | Event::Refused { .. }
            | Event::Completed { .. }
            | Event::DiskFailed { .. }
            | Event::Removed { .. }
            | Event::ShutDown => return None,
        })
    }

    fn announced(&mut self, url: &str, result: &Result<usize, String>) -> Option<(Level, String)> {
        let shown = Escaped(url);
        match result {
            Ok(peers) => {
                self.complaints.remove(url);
                Some((
                    Level::Verbose,
                    format!("tracker {shown}: {}", Count(*peers as u64, "peer")),
                ))
            }
            Err(reason) if self.complaints.get(url) == Some(reason) => None,
            Err(reason) => {
                self.complaints.insert(url.to_owned(), reason.clone());
                Some((
                    Level::Normal,
                    format!("tracker {shown}: {}", Escaped(reason)),
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::base::id::TorrentId;

    const TORRENT: TorrentId = TorrentId(0);

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
        let stats = TorrentStats::default();
        let mut news = News::new(Level::Normal, "n", Mode::Download);
        let words = news.words(&announced("no\u{7}"), &stats);
        assert_eq!(
            words,
            Some((Level::Normal, "tracker http://t/\\u{1b}: no\\u{7}".into()))
        );
        assert_eq!(news.words(&announced("no\u{7}"), &stats), None);
        assert!(news.words(&announced("other"), &stats).is_some());
    }

    /// What was found at the start is worth a line when there was something.
    #[test]
    fn the_check_is_told() {
        let stats = TorrentStats {
            pieces: 9,
            ..TorrentStats::default()
        };
        let mut news = News::new(Level::Normal, "n", Mode::Seed);
        let (level, text) = news
            .words(
                &Event::Checked {
                    torrent: TORRENT,
                    pieces: 3,
                },
                &stats,
            )
            .unwrap();
        assert_eq!(
            (level, &*text),
            (Level::Normal, "n: 3 of 9 pieces are right")
        );
        let (level, _) = news
            .words(
                &Event::Checked {
                    torrent: TORRENT,
                    pieces: 0,
                },
                &stats,
            )
            .unwrap();
        assert_eq!(level, Level::Verbose);
    }
}

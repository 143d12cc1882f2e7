//! What happens to one torrent of a session, for programs: `--json`.

use std::path::Path;
use std::sync::Arc;

use ripcurrent_proto::api::{Event, Mode, Phase, TorrentStats};
use ripcurrent_proto::meta::layout::{FileIndex, Layout, PieceIndex};

use crate::exit::Exit;
use crate::json::{self, emit};
use crate::outline::Outline;
use crate::session::{Ended, Ends, Figures, Job, Why, cause, path_of};
use crate::units::{Rate, Time};

/// The facts about one torrent.
#[derive(Debug)]
pub(crate) struct Facts {
    outline: Arc<Outline>,
    root: Arc<str>,
    mode: Mode,
    ends: Ends,
    bytes_wanted: u64,
    /// The last numbers of peers that were told.
    peers: [usize; 4],
}

impl Facts {
    pub(crate) fn new(job: &Job) -> Self {
        Facts {
            outline: Arc::clone(&job.outline),
            root: Arc::clone(&job.root),
            mode: job.mode,
            ends: job.ends,
            // A sum over pieces, of which many torrents have many.
            bytes_wanted: if json::is_on() { bytes_wanted(job) } else { 0 },
            peers: [0; 4],
        }
    }

    pub(crate) fn begun(&self) {
        if !json::is_on() {
            return;
        }
        emit(&json::Event::Started {
            torrent: &self.outline.id(),
            name: self.outline.name(),
            path: &text(self.root()),
            bytes_wanted: self.bytes_wanted,
            pieces: self.pieces(),
            mode: match self.mode {
                Mode::Download => json::Mode::Download,
                Mode::Seed => json::Mode::Seed,
            },
        });
    }

    /// The engine told something.
    pub(crate) fn event(&self, event: &Event) {
        if !json::is_on() {
            return;
        }
        let torrent = &*self.outline.id();
        match event {
            Event::Checked { pieces, .. } => emit(&json::Event::Checked {
                torrent,
                pieces_right: *pieces,
                pieces: self.pieces(),
            }),
            Event::Completed { .. } => emit(&json::Event::Completed {
                torrent,
                bytes_wanted: self.bytes_wanted,
            }),
            Event::Announced { url, result, .. } => emit(&json::Event::Tracker {
                torrent,
                url,
                peers: result.as_ref().ok().copied(),
                error: result.as_ref().err().map(String::as_str),
            }),
            Event::Banned { addr, reason, .. } => emit(&json::Event::Banned {
                torrent,
                addr: &addr.to_string(),
                reason,
            }),
            Event::Corrupt { piece, .. } => emit(&json::Event::Corrupt {
                torrent,
                piece: *piece,
            }),
            Event::DiskFailed { action, error, .. } => emit(&json::Event::DiskFailed {
                torrent,
                action,
                path: &text(&path_of(&self.outline, self.root(), *error)),
                error: &cause(*error).to_string(),
            }),
            Event::StateNotSaved { error, .. } => emit(&json::Event::StateNotSaved {
                torrent,
                error: &cause(*error).to_string(),
            }),
            // Told in other words, or of no interest to programs.
            Event::Added { .. }
            | Event::Refused { .. }
            | Event::DiskFull { .. }
            | Event::DiskRoom { .. }
            | Event::TorrentWanted { .. }
            | Event::Removed { .. }
            | Event::ShutDown => {}
        }
    }

    /// A second has passed.
    pub(crate) fn second(&mut self, stats: &TorrentStats) {
        if !json::is_on() {
            return;
        }
        let torrent = &*self.outline.id();
        let phase = match stats.phase {
            Phase::Opening | Phase::Checking => {
                return emit(&json::Event::Checking {
                    torrent,
                    pieces_checked: stats.pieces_checked,
                    pieces: self.pieces(),
                });
            }
            Phase::Downloading => json::Phase::Downloading,
            Phase::Seeding => json::Phase::Seeding,
            Phase::Paused => json::Phase::Paused,
            Phase::Full => json::Phase::DiskFull,
            Phase::Failed | Phase::Leaving => return,
        };
        let left = stats.bytes_wanted.saturating_sub(stats.bytes_had);
        let eta = Time::to_go(left, stats.down_rate).filter(|_| left > 0);
        emit(&json::Event::Progress {
            torrent,
            phase,
            bytes_had: stats.bytes_had,
            bytes_wanted: stats.bytes_wanted,
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            wasted: stats.wasted.total(),
            down_rate: stats.down_rate,
            up_rate: stats.up_rate,
            eta_ms: eta.map(|time| millis(time.0)),
        });
        let peers = [stats.peers, stats.seeds, stats.unchoking_us, stats.known];
        if std::mem::replace(&mut self.peers, peers) != peers {
            let [connected, seeds, unchoking_us, known] = peers;
            emit(&json::Event::Peers {
                torrent,
                connected,
                seeds,
                unchoking_us,
                known,
            });
        }
    }

    fn root(&self) -> &Path {
        Path::new(&*self.root)
    }

    fn pieces(&self) -> u32 {
        self.outline.layout().pieces()
    }

    /// There is no room.
    pub(crate) fn full(&self, path: &Path, needed: u64) {
        emit(&json::Event::DiskFull {
            torrent: &self.outline.id(),
            path: &text(path),
            needed,
        });
    }

    /// There is room again.
    pub(crate) fn room(&self) {
        emit(&json::Event::DiskRoom {
            torrent: &self.outline.id(),
        });
    }

    /// It is complete and served from now on.
    pub(crate) fn seeding(&self) {
        if !json::is_on() {
            return;
        }
        let seeding = self.ends.seeding;
        let ratio = seeding.and_then(|seeding| seeding.ratio.0);
        let time = seeding.and_then(|seeding| seeding.time);
        emit(&json::Event::Seeding {
            torrent: &self.outline.id(),
            until_ratio: ratio.map(|thousandths| thousandths as f64 / 1000.0),
            until_ms: time.map(millis),
        });
    }

    pub(crate) fn ended(&self, ended: &Ended) {
        if !json::is_on() {
            return;
        }
        let why = match &ended.why {
            Why::Complete => json::Why::Complete,
            Why::Asked if ended.complete => json::Why::Complete,
            Why::Asked => json::Why::Interrupted,
            Why::Failed(failure) if failure.exit() == Exit::NoPeers => json::Why::NoPeers,
            Why::Failed(_) => json::Why::Failed,
        };
        let torrent = &*self.outline.id();
        emit(&json::Event::Finished { torrent, why });
        let Figures {
            stats,
            fetching,
            peers_most,
            corrupt,
            banned,
        } = &ended.figures;
        emit(&json::Event::Summary {
            torrent,
            complete: ended.complete,
            fetching_ms: millis(*fetching),
            downloaded: stats.downloaded,
            uploaded: stats.uploaded,
            down_rate: Rate::mean(stats.downloaded, *fetching).0,
            up_rate: Rate::mean(stats.uploaded, *fetching).0,
            wasted: json::Wasted {
                bytes: stats.wasted.total(),
                corrupt: stats.wasted.corrupt,
                duplicate: stats.wasted.duplicate,
                unrequested: stats.wasted.unrequested,
                given_up: stats.wasted.given_up,
            },
            peers_most: *peers_most,
            corrupt: *corrupt,
            banned: *banned,
        });
    }
}

/// Where peers reach us.
pub(crate) fn listening(addr: std::net::SocketAddr) {
    emit(&json::Event::Listening {
        addr: &addr.to_string(),
    });
}

fn bytes_wanted(job: &Job) -> u64 {
    let layout = job.outline.layout();
    let wanted = |piece: &u32| {
        let is_of = |files: &_| is_of_files(layout, files, *piece);
        let by_piece = job
            .wanted
            .as_ref()
            .is_none_or(|p| p.contains(*piece as usize));
        by_piece && job.files.as_ref().is_none_or(is_of)
    };
    let pieces = (0..layout.pieces()).filter(wanted);
    pieces
        .map(|piece| u64::from(layout.piece_len(PieceIndex(piece))))
        .sum()
}

fn is_of_files(
    layout: &Layout,
    files: &ripcurrent_proto::base::bits::Bitfield,
    piece: u32,
) -> bool {
    let spans = layout.spans(layout.whole(PieceIndex(piece)));
    let mut of = spans.iter().filter_map(|span| span.file);
    of.any(|FileIndex(file)| files.contains(file as usize))
}

fn text(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.to_string_lossy().into_owned()
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

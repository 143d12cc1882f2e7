//! What people ask of the engine and what it tells them.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;

use super::intent::DiskError;
use crate::base::bits::Bitfield;
use crate::base::id::TorrentId;
use crate::meta::Torrent;
use crate::meta::layout::{FileEntry, FileIndex, Priority};

/// What somebody wants done.
#[derive(Debug)]
pub enum Command {
    /// Take up a torrent; answered by [`Event::Added`] or [`Event::Refused`].
    Add(Add),
    /// Tell the engine of a peer.
    AddPeer {
        /// The torrent.
        torrent: TorrentId,
        /// The peer's listening address.
        addr: SocketAddr,
    },
    /// Leave a torrent in good order; answered by [`Event::Removed`].
    Remove {
        /// The torrent.
        torrent: TorrentId,
        /// What becomes of its files.
        data: Data,
    },
    /// Leave all peers of a torrent and meet no new ones, until [`Command::Resume`]. What is being
    /// checked or written goes on; blocks of unfinished pieces are given up.
    Pause {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Meet peers again.
    Resume {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Leave all peers, hash everything that is there anew, and go on from what is right; answered
    /// by [`Event::Checked`]. Also the way on after the disk refused.
    Recheck {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Change how urgently a file of a download is to be fetched. A piece has the greatest priority
    /// of its files; all begin as normal.
    SetPriority {
        /// The torrent.
        torrent: TorrentId,
        /// The file.
        file: FileIndex,
        /// Its new priority.
        priority: Priority,
    },
    /// Ask the trackers of a torrent for peers as soon as they allow.
    Reannounce {
        /// The torrent.
        torrent: TorrentId,
    },
    /// Change the limits on all peers together, in bytes per second; `None` for no limit.
    SetLimits {
        /// What is received.
        down: Option<NonZeroU64>,
        /// Blocks that are sent.
        up: Option<NonZeroU64>,
    },
    /// Change the limits on the peers and trackers of one torrent, in bytes per second; `None` for
    /// no limit but that on all.
    SetTorrentLimits {
        /// The torrent.
        torrent: TorrentId,
        /// What is received.
        down: Option<NonZeroU64>,
        /// Blocks that are sent.
        up: Option<NonZeroU64>,
    },
    /// Give a torrent whole that was added [without its pieces](Torrent::without_pieces); the answer
    /// to [`Event::TorrentWanted`]. It is kept as long as it is needed. What was not asked for, is
    /// another torrent or has no pieces either is ignored.
    Supply {
        /// The torrent.
        torrent: TorrentId,
        /// All of it.
        whole: Arc<Torrent>,
    },
    /// Leave all torrents in good order and close everything; answered by [`Event::ShutDown`].
    ShutDown,
}

/// What becomes of the files of a torrent that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// They stay.
    Keep,
    /// They are deleted, and folders that this leaves empty with them.
    Delete,
}

/// A torrent to take up and how.
#[derive(Debug)]
pub struct Add {
    /// The host's name for it, not in use.
    pub id: TorrentId,
    /// What it is. The engine keeps no torrent for long that is
    /// [without its pieces](Torrent::without_pieces), and asks for them when it is to look at data
    /// ([`Event::TorrentWanted`]): a seed whose state is believed never needs them, so that a host
    /// may seed many and keep none.
    pub torrent: Arc<Torrent>,
    /// The folder below which its files lie.
    pub root: Arc<str>,
    /// The pieces that are wanted, besides those of files that are not; `None` for all.
    pub wanted: Option<Bitfield>,
    /// The files that are wanted, by their index; `None` for all. What pieces at the edges hold of
    /// others is kept aside, so that no other file appears.
    pub files: Option<Bitfield>,
    /// Pick pieces in their order instead of rarest first.
    pub sequential: bool,
    /// Whether to fetch what is missing, or only to serve what is there.
    pub mode: Mode,
    /// What to do about data that is there already.
    pub check: Check,
    /// Whether to announce to the torrent's trackers.
    pub announce: bool,
    /// Whether the blocks of each file are allocated when it is made.
    pub preallocate: bool,
    /// Whether files are replaced that are in the way: those of which no piece is right.
    pub overwrite: bool,
    /// The most bytes per second received from its peers and trackers; `None` for no limit but that
    /// on all torrents together.
    pub down_limit: Option<NonZeroU64>,
    /// The most bytes per second of blocks sent to its peers; `None` as above.
    pub up_limit: Option<NonZeroU64>,
}

impl Add {
    /// Fetches all of `torrent` into `root`, after a look at what is there, and serves it: rarest
    /// pieces first, into sparse files, from and to the peers that people name. Change what does
    /// not suit.
    #[must_use]
    pub fn new(id: TorrentId, torrent: Arc<Torrent>, root: &str) -> Self {
        Add {
            id,
            torrent,
            root: root.into(),
            wanted: None,
            sequential: false,
            mode: Mode::Download,
            check: Check::Existing,
            announce: false,
            preallocate: false,
            files: None,
            overwrite: false,
            down_limit: None,
            up_limit: None,
        }
    }
}

/// What a torrent was added for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Fetch what is missing and serve what is there.
    Download,
    /// Only serve what is there; nothing below its root is changed. What was hashed is remembered
    /// elsewhere.
    Seed,
}

/// What to do about data that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Believe the saved state of files that nobody has changed since, and hash what else lies in
    /// files that are there.
    Existing,
    /// Hash every piece that lies in files that are there.
    Full,
    /// Believe that all data is there and right; for data made this instant. Of a seed nothing is
    /// remembered then.
    Trust,
}

/// What people may want to know. Bounded: the oldest are dropped when nobody asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A torrent was taken up.
    Added {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A torrent was not taken up.
    Refused {
        /// The torrent.
        torrent: TorrentId,
        /// Why.
        reason: Refusal,
    },
    /// All data that was there has been hashed.
    Checked {
        /// The torrent.
        torrent: TorrentId,
        /// Pieces that were right.
        pieces: u32,
    },
    /// Everything wanted is on the disk, verified and durable.
    Completed {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A tracker answered or failed.
    Announced {
        /// The torrent.
        torrent: TorrentId,
        /// The tracker.
        url: String,
        /// Peers received, or why not.
        result: Result<usize, String>,
    },
    /// A peer served corrupt data or broke the protocol badly and will not be spoken to again.
    Banned {
        /// The torrent.
        torrent: TorrentId,
        /// The peer.
        addr: IpAddr,
        /// Why.
        reason: String,
    },
    /// A piece failed its hash.
    Corrupt {
        /// The torrent.
        torrent: TorrentId,
        /// The piece.
        piece: u32,
    },
    /// The disk refused; the torrent stands still.
    DiskFailed {
        /// The torrent.
        torrent: TorrentId,
        /// What was attempted.
        action: &'static str,
        /// Why not.
        error: DiskError,
    },
    /// The disk is full; the torrent waits for room. Told once until there is some.
    DiskFull {
        /// The torrent.
        torrent: TorrentId,
        /// The file that could not be written.
        error: DiskError,
        /// Bytes that are yet to be written.
        need: u64,
    },
    /// There is room again.
    DiskRoom {
        /// The torrent.
        torrent: TorrentId,
    },
    /// The state could not be saved: after a crash, what is there is to be hashed; what was only
    /// served, at the next start. Told once until it can be.
    StateNotSaved {
        /// The torrent.
        torrent: TorrentId,
        /// Why.
        error: DiskError,
    },
    /// A torrent that was added [without its pieces](Torrent::without_pieces) needs them: to hash what
    /// is there, or to fetch. It goes on when [`Command::Supply`] brings them. Only few torrents are
    /// looked at at once, so no more than eight of these are open. Never forgotten, whoever listens.
    TorrentWanted {
        /// The torrent.
        torrent: TorrentId,
    },
    /// A torrent is gone: all of its connections, files and operations are over.
    Removed {
        /// The torrent.
        torrent: TorrentId,
    },
    /// The engine is empty and idle.
    ShutDown,
}

/// Why a torrent was not taken up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The id or one of the info-hashes is in use.
    #[error("the torrent is there already")]
    Duplicate,
    /// It has no v1 info-hash.
    #[error("a v2-only torrent cannot be transferred yet")]
    V2Only,
    /// The engine is shutting down.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

/// A torrent, seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TorrentStats {
    /// What it is doing.
    pub phase: Phase,
    /// Pieces in all.
    pub pieces: u32,
    /// Pieces that are verified and written.
    pub pieces_had: u32,
    /// Pieces wanted and not had.
    pub pieces_missing: u32,
    /// Pieces hashed so far by the check at the start.
    pub pieces_checked: u32,
    /// Bytes of wanted pieces.
    pub bytes_wanted: u64,
    /// Bytes of wanted pieces that are verified and written.
    pub bytes_had: u64,
    /// Bytes of blocks received, wasted ones included.
    pub downloaded: u64,
    /// Bytes of blocks sent.
    pub uploaded: u64,
    /// Bytes received for nothing.
    pub wasted: Waste,
    /// Bytes of blocks received per second.
    pub down_rate: u64,
    /// Bytes of blocks sent per second.
    pub up_rate: u64,
    /// Connected peers.
    pub peers: usize,
    /// Connected peers that have everything.
    pub seeds: usize,
    /// Peers that unchoke us.
    pub unchoking_us: usize,
    /// Known addresses of peers.
    pub known: usize,
}

/// Bytes received for nothing, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waste {
    /// Of blocks that were there already, or given up by the time they came.
    pub duplicate: u64,
    /// Of pieces that failed their hash.
    pub corrupt: u64,
    /// Of blocks that nobody had asked for, or not any more.
    pub unrequested: u64,
    /// Of unfinished pieces that were given up for the memory they took.
    pub given_up: u64,
}

impl Waste {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.duplicate + self.corrupt + self.unrequested + self.given_up
    }
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Opening its files.
    #[default]
    Opening,
    /// Hashing what is there.
    Checking,
    /// Fetching what is missing.
    Downloading,
    /// Serving, with nothing wanted missing.
    Seeding,
    /// Standing still until it is resumed.
    Paused,
    /// Waiting for room on the disk.
    Full,
    /// Standing still after the disk refused.
    Failed,
    /// Leaving.
    Leaving,
}

/// One connected peer, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerStats<'a> {
    /// Its address.
    pub addr: SocketAddr,
    /// Its name for itself, or its peer id.
    pub client: &'a str,
    /// Bytes of blocks received per second.
    pub down_rate: u64,
    /// Bytes of blocks sent per second.
    pub up_rate: u64,
    /// Pieces it has.
    pub pieces: usize,
    /// It chokes us.
    pub chokes_us: bool,
    /// It wants something from us.
    pub wants_us: bool,
    /// We choke it.
    pub choked: bool,
    /// We want something from it.
    pub wanted: bool,
    /// It owes us blocks and does not send them.
    pub snubbed: bool,
    /// Whether it connected to us.
    pub incoming: bool,
}

/// One file of a torrent, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStats<'a> {
    /// Its index.
    pub index: FileIndex,
    /// What the torrent says of it.
    pub entry: &'a FileEntry,
    /// Bytes of it that are verified and written.
    pub bytes_had: u64,
    /// How urgently it is to be fetched.
    pub priority: Priority,
}

impl Command {
    /// Appends a stable encoding, for digests.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut number = |tag: u8, number: u32| {
            out.push(tag);
            out.extend_from_slice(&number.to_le_bytes());
        };
        match self {
            Command::Add(add) => {
                number(1, add.id.0);
                out.extend_from_slice(add.root.as_bytes());
                let flags = [add.sequential, add.announce, add.preallocate, add.overwrite];
                out.extend(flags.map(u8::from));
                out.extend([add.mode as u8, add.check as u8]);
                for wanted in [&add.wanted, &add.files].into_iter().flatten() {
                    wanted.to_wire(out);
                }
                encode_limits([add.down_limit, add.up_limit], out);
            }
            Command::AddPeer { torrent, addr } => {
                number(2, torrent.0);
                match addr.ip() {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
                out.extend_from_slice(&addr.port().to_le_bytes());
            }
            Command::Remove { torrent, data } => {
                number(3, torrent.0);
                out.push(*data as u8);
            }
            Command::Supply { torrent, whole } => {
                number(12, torrent.0);
                out.extend_from_slice(&whole.hashes().v1.unwrap_or_default());
            }
            Command::ShutDown => out.push(4),
            Command::Pause { torrent } => number(5, torrent.0),
            Command::Resume { torrent } => number(6, torrent.0),
            Command::Recheck { torrent } => number(7, torrent.0),
            Command::Reannounce { torrent } => number(8, torrent.0),
            Command::SetPriority {
                torrent,
                file,
                priority,
            } => {
                number(10, torrent.0);
                out.extend_from_slice(&file.0.to_le_bytes());
                out.push(*priority as u8);
            }
            Command::SetLimits { down, up } => {
                out.push(9);
                encode_limits([*down, *up], out);
            }
            Command::SetTorrentLimits { torrent, down, up } => {
                number(11, torrent.0);
                encode_limits([*down, *up], out);
            }
        }
    }
}

fn encode_limits(limits: [Option<NonZeroU64>; 2], out: &mut Vec<u8>) {
    for limit in limits {
        let limit = limit.map_or(0, NonZeroU64::get);
        out.extend_from_slice(&limit.to_le_bytes());
    }
}

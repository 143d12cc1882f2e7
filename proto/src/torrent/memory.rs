//! The most memory an engine takes, added up from the bounds of this code.
//!
//! Whatever others can make grow has a bound, and each bound has its line here; who adds a bound
//! adds its line. The sums are for 64-bit machines and on the safe side: a vector that grows counts
//! twice, since it doubles, and a tree three times, since its nodes may be half empty.

use alloc::vec::Vec;
use core::fmt;

use super::gate::GATE_BYTES;
use super::links::{Conn, OUTBOX_MAX};
use super::sections::{most_open, slab_capacity};
use super::sessions::Place;
use super::shared::{EVENTS_MAX, Op, Timer};
use super::spares::{SPARE_HEAD_MAX, SPARES_MAX};
use super::turns::ANNOUNCES_MAX;
use super::upload::{BLOCKS_AT_ONCE_MAX, HAVES_AT_ONCE};
use super::{DEPARTED_MAX, Session, Torrent};
use crate::api::{Config, Event, Output, Part, Stamp};
use crate::base::id::{ConnId, TorrentId};
use crate::base::slab::{PAGE, Slab};
use crate::base::time::Instant;
use crate::meta::layout::{BLOCK_LEN, Block, FileIndex, Layout, PieceIndex};
use crate::meta::resume;
use crate::peer::opening::Opening;
use crate::peer::pipeline::{Asked, DEPTH_MAX};
use crate::peer::upload::{Run, UPLOAD_QUEUE_MAX};
use crate::store::cache::CHUNK_LEN;
use crate::store::suspects::BLOCKS_MAX;
use crate::swarm::{BANS_MAX, BOOK_MAX, Parting};
use crate::tracker::BODY_MAX;
use crate::tracker::schedule::TRACKERS_MAX;
use crate::tracker::url::URL_MAX;
use crate::wire::handshake;
use crate::wire::http::HEAD_MAX;
use crate::wire::message::Decoder;

/// The most memory an engine takes, in bytes, term by term; `Display` shows the sum.
///
/// Not in it: the torrents themselves, which the host gave ([`Add::torrent`](crate::api::Add));
/// what the host keeps of its own, receive buffers above all; and the timers of connections that are
/// gone, about 50 bytes each for at most two minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryCeiling {
    /// Slabs, lent and spare: [`Config::memory_budget`]. Pieces on their way in, and what was read
    /// to be sent; the page that aligns each slab is in it.
    pub slabs: u64,
    /// Connections, adopted by a torrent or not, open or closing, and what waits to be sent on
    /// them.
    pub connections: u64,
    /// Peers: connections past their handshake. What they have and what both sides asked for.
    pub peers: u64,
    /// What each torrent knows of pieces, addresses, bans and trackers.
    pub torrents: u64,
    /// Events that nobody has polled.
    pub events: u64,
}

impl MemoryCeiling {
    /// The whole sum, in bytes.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.terms().iter().map(|(_, bytes)| bytes).sum()
    }

    /// Every term with its name, for tables.
    #[must_use]
    pub fn terms(&self) -> [(&'static str, u64); 5] {
        [
            ("slabs", self.slabs),
            ("connections", self.connections),
            ("peers", self.peers),
            ("torrents", self.torrents),
            ("events", self.events),
        ]
    }
}

impl fmt::Display for MemoryCeiling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, bytes)) in self.terms().into_iter().enumerate() {
            let sign = if at == 0 { "" } else { " + " };
            write!(f, "{sign}{} KiB of {name}", bytes.div_ceil(1024))?;
        }
        write!(f, " = {} KiB", self.total().div_ceil(1024))
    }
}

impl Config {
    /// The most memory that an engine with these settings takes for these torrents.
    ///
    /// ```
    /// use ripcurrent_proto::api::Config;
    /// use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout};
    ///
    /// let file = FileEntry {
    ///     path: vec!["disk.iso".into()],
    ///     len: 4 << 30,
    ///     offset: 0,
    ///     kind: FileKind::Regular { executable: false },
    /// };
    /// let layout = Layout::new(1 << 20, vec![file])?;
    /// let ceiling = Config::default().memory_ceiling(&[&layout]);
    /// assert_eq!(ceiling.slabs, 64 << 20);
    /// assert!(ceiling.total() > ceiling.slabs);
    /// println!("{ceiling}");
    /// # Ok::<(), ripcurrent_proto::meta::layout::BadLayout>(())
    /// ```
    #[must_use]
    pub fn memory_ceiling(&self, torrents: &[&Layout]) -> MemoryCeiling {
        let count = torrents.len() as u64;
        let (slabs, budget) = (self.most_slabs(torrents), self.memory_budget);
        let pieces = torrents.iter().map(|layout| layout.pieces());
        let most_pieces = pieces.max().unwrap_or(0);
        // Trackers are dialled however many connections there are.
        let announces = count.min(ANNOUNCES_MAX as u64);
        let connections = self.max_connections as u64 + announces;
        let peers = (self.max_peers as u64 * count).min(connections);
        MemoryCeiling {
            slabs: self.memory_budget as u64,
            connections: connections * connection(most_pieces) + spares(),
            peers: peers * peer(most_pieces, slabs),
            torrents: torrents
                .iter()
                .map(|layout| torrent(layout, budget, slabs))
                .sum::<u64>()
                + chunks(slabs)
                + announces * answer(),
            events: grown(EVENTS_MAX as u64 * EVENT),
        }
    }

    /// How many slabs the budget is cut into at most: by the smallest that are used.
    fn most_slabs(&self, torrents: &[&Layout]) -> u64 {
        let capacities = torrents
            .iter()
            .map(|layout| slab_capacity(layout, self.memory_budget));
        let least = capacities.fold(CHUNK_LEN, u32::min);
        self.memory_budget as u64 / (u64::from(least) + PAGE as u64)
    }
}

/// The answer of a tracker, as it came and unpacked, and twice that to understand it; and the head.
fn answer() -> u64 {
    2 * grown(2 * BODY_MAX as u64) + grown(HEAD_MAX as u64)
}

/// The chunks of all torrents that were read to be sent.
fn chunks(slabs: u64) -> u64 {
    tree(slabs * CHUNK)
}

/// One connection and what waits to be sent on it.
fn connection(pieces: u32) -> u64 {
    let timers = size::<(Instant, u64, Timer)>();
    // Messages gather in one vector while another is on its way.
    let messages = 2 * grown(unsent(pieces));
    size::<Conn>()
        + size::<Opening>()
        + handshake::LEN as u64
        // One for its opening, one for its peer's silence.
        + grown(2 * timers)
        + messages
        + parts()
        // Its places among those who wait for credit and for their turn to send, at the limit on its
        // torrent and at that on all; for memory; and in the row of those who have something to
        // send.
        + grown(6 * size::<ConnId>())
        // Among those who are to be left.
        + grown(size::<(TorrentId, ConnId, Parting)>())
}

/// The parts of one transmission.
fn parts() -> u64 {
    // A piece message is a header and, where it meets the edge of a chunk, two ranges of slabs.
    grown(3 * BLOCKS_AT_ONCE_MAX as u64 * size::<Part>())
}

/// The memory of transmissions that came home, whoever sends next.
fn spares() -> u64 {
    let rows = size::<Vec<u8>>() + size::<Vec<Part>>();
    SPARES_MAX as u64 * (SPARE_HEAD_MAX as u64 + parts() + grown(rows))
}

/// The most bytes of messages that wait for one peer to read them.
fn unsent(pieces: u32) -> u64 {
    const HAVE: u64 = 9;
    const REQUEST: u64 = 17;
    // What still went in last may be the bitfield, or as many requests as are ever out; all other
    // messages are small.
    let last = u64::from(pieces.div_ceil(8)).max(DEPTH_MAX as u64 * REQUEST);
    let messages = OUTBOX_MAX as u64 + last + SMALL_MESSAGE;
    messages + HAVES_AT_ONCE as u64 * HAVE + BLOCKS_AT_ONCE_MAX as u64 * PIECE_HEADER
}

/// One peer past its handshake.
fn peer(pieces: u32, slabs: u64) -> u64 {
    size::<Session>()
        + grown(size::<Place>())
        + PEER_TEXT
        // A message whose end has not come.
        + Decoder::most_held(pieces) as u64
        // The pieces it has.
        + u64::from(pieces.div_ceil(8))
        + grown(DEPTH_MAX as u64 * size::<Asked>())
        + grown(UPLOAD_QUEUE_MAX as u64 * size::<Run>())
        // It may wait for every chunk that is being read.
        + grown(slabs * size::<ConnId>())
        // Among those who find no block to ask for.
        + grown(size::<ConnId>())
}

/// One torrent, without its peers.
fn torrent(layout: &Layout, budget: usize, slabs: u64) -> u64 {
    let pieces = u64::from(layout.pieces());
    let files = layout.files().len() as u64;
    let [open, lent] = most_open(layout, budget, slabs);
    let blocks_of_one = u64::from(layout.piece_length().div_ceil(BLOCK_LEN));
    let book = tree(BOOK_MAX as u64 * ADDRESS);
    // Banned hosts, and those on their way there.
    let bans = tree(2 * BANS_MAX as u64 * BAN);
    let suspects = grown(BLOCKS_MAX as u64 * SUSPECT);
    // The picker's counts, priorities, order and sets; what we have and want, and what we had in which order;
    // at the start, what is to be checked.
    let piece_lists = pieces * (PICKED_PIECE + 1)
        + grown(pieces * size::<PieceIndex>())
        + grown(pieces * size::<PieceIndex>());
    // What is durable, what is not yet, and what a sync is about to make so; each file as it was
    // seen.
    let ledger = pieces + grown(2 * pieces * size::<PieceIndex>()) + files * FILE;
    // Being read, with what it means; or the one that was saved, the next, and what it is made of.
    let state = 3 * grown(resume::most_len(layout) as u64);
    // What it says of pieces that are not complete, until they are read and as long as they lie on
    // the disk.
    let parked = 2 * grown(resume::most_len(layout) as u64);
    // Each slab may be in an operation, or wait for room on the disk; all files may be finished at
    // once, and synced before.
    let operation = size::<Output>() + size::<(TorrentId, Op)>();
    let at_work = grown(lent * (operation + size::<(Block, Slab)>()))
        + grown(files * (operation + size::<(FileIndex, Stamp)>()));
    let open_pieces = grown(open * (OPEN_PIECE + blocks_of_one * OPEN_BLOCK));
    // What is known of the blocks of a piece that was not right, until it is understood.
    let digests = open * blocks_of_one * DIGEST;
    let departed = grown(DEPARTED_MAX as u64 * ADDRESS);
    // Each as the torrent names it and as it is dialled, with its tracker id.
    let trackers = TRACKERS_MAX as u64 * 3 * URL_MAX as u64;
    size::<Torrent>()
        + book
        + bans
        + suspects
        + piece_lists
        + ledger
        + state
        + parked
        + at_work
        + open_pieces
        + digests
        + departed
        + trackers
        + 2 * GATE_BYTES
}

/// The longest message but for a bitfield: an extended handshake.
const SMALL_MESSAGE: u64 = 512;
/// The header of a block (BEP 3, `piece`).
const PIECE_HEADER: u64 = 13;
/// A peer's name for itself (128 bytes) and the pieces it lets us have while it chokes us.
const PEER_TEXT: u64 = 512;
/// An event with its texts: an address of a tracker and what went wrong there.
const EVENT: u64 = size::<Event>() + 2 * URL_MAX as u64;
/// An address in the book and in the row of those to be dialled.
const ADDRESS: u64 = 112;
/// A host, and its strikes.
const BAN: u64 = 24;
/// A block of a piece that failed, its giver and its digest.
const SUSPECT: u64 = 48;
/// A piece of the picker: count, priority, order, place and five sets.
const PICKED_PIECE: u64 = 12;
/// A file: its stamp, its priority, whether it is finished, and its finishing operation.
const FILE: u64 = 128;
/// An open piece of the picker and of the assembly.
const OPEN_PIECE: u64 = 320;
/// A block of an open piece, and the peers that are asked for it (three) or gave it.
const OPEN_BLOCK: u64 = 8 + 4 * 16;
/// The digest of a block and who gave it.
const DIGEST: u64 = 20 + 20;
/// A chunk or a piece of the read cache, and its place among those that were sent.
const CHUNK: u64 = 80;

/// A vector that doubles when it is full.
const fn grown(bytes: u64) -> u64 {
    2 * bytes
}

/// A tree whose nodes may be half empty.
const fn tree(bytes: u64) -> u64 {
    3 * bytes
}

const fn size<T>() -> u64 {
    size_of::<T>() as u64
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::meta::layout::{FileEntry, FileKind};

    fn layout(pieces: u64, piece_len: u32) -> Layout {
        let file = FileEntry {
            path: vec!["file".to_string()],
            len: pieces * u64::from(piece_len),
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        Layout::new(piece_len, vec![file]).unwrap()
    }

    /// Each setting and each torrent moves the terms that it is about, by what one more costs.
    #[test]
    fn every_term_follows_its_setting() {
        let (small, large) = (layout(1_000, 256 << 10), layout(100_000, 256 << 10));
        let config = Config::default();
        let one = config.memory_ceiling(&[&small]);
        let more_peers = Config {
            max_peers: config.max_peers + 1,
            ..config.clone()
        };
        let slabs = config.most_slabs(&[&small]);
        assert_eq!(
            more_peers.memory_ceiling(&[&small]).total() - one.total(),
            peer(1_000, slabs)
        );
        let more_connections = Config {
            max_connections: config.max_connections + 1,
            ..config.clone()
        };
        assert_eq!(
            more_connections.memory_ceiling(&[&small]).total() - one.total(),
            connection(1_000)
        );
        let two = config.memory_ceiling(&[&small, &large]);
        assert_eq!(two.slabs, one.slabs, "torrents share the budget");
        assert!(two.torrents > 2 * one.torrents && two.peers > 2 * one.peers);
    }

    /// Never more peers than connections, however many torrents there are.
    #[test]
    fn connections_bound_the_peers_of_all_torrents() {
        let layout = layout(1_000, 256 << 10);
        let config = Config {
            max_connections: 60,
            ..Config::default()
        };
        let ceiling = config.memory_ceiling(&[&layout; 8]);
        let slabs = config.most_slabs(&[&layout]);
        assert_eq!(ceiling.peers, (60 + 8) * peer(1_000, slabs));
    }

    /// The line that people read adds up.
    #[test]
    fn the_shown_terms_add_up_to_the_shown_total() {
        let ceiling = MemoryCeiling {
            slabs: 64 << 20,
            connections: 4 << 10,
            peers: 2 << 10,
            torrents: 1 << 10,
            events: 1 << 10,
        };
        assert_eq!(
            ceiling.to_string(),
            "65536 KiB of slabs + 4 KiB of connections + 2 KiB of peers \
             + 1 KiB of torrents + 1 KiB of events = 65544 KiB"
        );
    }
}

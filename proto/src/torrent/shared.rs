//! What all torrents of an engine share: connections, operations, memory, limits, and the queues
//! of what is to be carried out and told.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::gate::Gates;
use super::links::Conn;
use super::spares::Spares;
use super::tally::{Kind, Tally};
use super::turns::{ANNOUNCES_MAX, CHECKS, Turns};
use crate::api::{Config, Event, Output};
use crate::base::id::{ConnId, OpId, Slots, TorrentId};
use crate::base::rng::Rng;
use crate::base::set::OrderedSet;
use crate::base::slab::SlabPool;
use crate::base::time::Instant;
use crate::base::timer::Timers;
use crate::meta::layout::{Block, FileIndex, PieceIndex};
use crate::store::cache::{ChunkKey, ReadCache};
use crate::swarm::Parting;

/// The most events kept for people.
pub(super) const EVENTS_MAX: usize = 1024;
/// The share of the memory budget that downloads leave to uploads: one in so many bytes.
const UPLOAD_SHARE: usize = 4;

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Open the storage.
    Open,
    /// Read a piece that may be there already.
    CheckRead(PieceIndex),
    /// Hash it.
    CheckHash(PieceIndex),
    /// Hash a piece that was downloaded.
    Hash(PieceIndex),
    /// Write it, or a section of a long one.
    Write(Block),
    /// Write the blocks of a piece or a section that is not complete, before leaving.
    Park(Block),
    /// Read them again.
    Unpark(Block),
    /// Tell the digest of a long piece that may be there already.
    CheckDigest(PieceIndex),
    /// Tell the digest of a long piece that was downloaded and written.
    Digest(PieceIndex),
    /// The same once more, of one that was not right.
    DigestAgain(PieceIndex),
    /// Tell the digests of the blocks of one that was not right.
    Blame(PieceIndex),
    /// Tell the digests of the blocks of one that is right, and was not before.
    Acquit(PieceIndex),
    /// Read a chunk to be sent.
    Chunk(ChunkKey),
    /// Make everything durable.
    Sync,
    /// Give a file its name.
    Finish(FileIndex),
    /// Save the state.
    Save,
    /// Delete the files.
    Delete,
    /// Close the storage.
    Close,
    /// Look up a tracker's name.
    Resolve,
}

impl Op {
    fn kind(self) -> Kind {
        match self {
            Op::Resolve => Kind::Lookup,
            _ => Kind::Data,
        }
    }
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection's handshake or its peer's silence.
    Conn(ConnId),
    /// A torrent's choking round.
    Choke(TorrentId),
    /// A torrent's slots that fell vacant.
    Vacancy(TorrentId),
    /// A torrent's peers are told of new pieces.
    Haves(TorrentId),
    /// A torrent's tracker.
    Tracker(TorrentId),
    /// What a torrent wrote is to be made durable.
    Pass(TorrentId),
    /// A full disk is tried again.
    Room(TorrentId),
    /// A torrent's next address to dial.
    Dial(TorrentId),
    /// The limit on receiving lets more through: a torrent's, or that on all.
    DownLimit(Option<TorrentId>),
    /// The limit on sending lets more through.
    UpLimit(Option<TorrentId>),
}

/// What all torrents share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) peer_id: [u8; 20],
    /// Where we listen; 0 while nowhere.
    pub(crate) port: u16,
    pub(crate) rng: Rng,
    pub(crate) pool: SlabPool,
    pub(crate) cache: ReadCache,
    pub(crate) conns: Slots<Conn>,
    pub(crate) timers: Timers<Timer>,
    /// Outgoing connections not past their handshake.
    pub(crate) half_open: usize,
    /// Torrents in which somebody waits for a block to ask for.
    pub(crate) waiting: OrderedSet<TorrentId>,
    /// Torrents that wait for the memory of a piece, first come, first served: else small pieces
    /// would take for ever what a large one waits for.
    pub(crate) line: VecDeque<TorrentId>,
    /// Peers that wait for the memory of a chunk to be sent.
    pub(super) unserved: VecDeque<ConnId>,
    /// Memory or blocks came free: those who wait may try again.
    pub(crate) freed: bool,
    /// Torrents that look at what is there, or are to.
    pub(crate) turns: Turns,
    /// Torrents that speak to a tracker, or are to.
    pub(crate) announces: Turns,
    /// What the host has not ended.
    pub(super) tally: Tally,
    /// Torrents that need what they came without, and of which people do not know.
    wanted: BTreeSet<TorrentId>,
    /// Torrents that want to dial, each in its turn.
    pub(crate) to_dial: VecDeque<TorrentId>,
    /// Peers to be left when the input in hand is dealt with.
    pub(crate) dismissed: Vec<(TorrentId, ConnId, Parting)>,
    ops: Slots<(TorrentId, Op)>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    pub(super) spares: Spares,
    /// Connections that may have something to send.
    pub(super) ready: VecDeque<ConnId>,
    pub(super) down: Gates,
    pub(super) up: Gates,
}

impl Shared {
    pub(crate) fn new(config: Config, rng: Rng, now: Instant) -> Self {
        let mut peer_id = [0; 20];
        peer_id[..8].copy_from_slice(&config.peer_id_prefix);
        rng.fork("peer id").fill(&mut peer_id[8..]);
        let budget = config.memory_budget;
        let (down, up) = (config.down_limit, config.up_limit);
        let mut shared = Shared {
            peer_id,
            port: 0,
            pool: SlabPool::new(budget, budget / UPLOAD_SHARE),
            cache: ReadCache::default(),
            conns: Slots::new(),
            timers: Timers::new(),
            half_open: 0,
            waiting: OrderedSet::new(),
            line: VecDeque::new(),
            unserved: VecDeque::new(),
            freed: false,
            turns: Turns::new(CHECKS),
            announces: Turns::new(ANNOUNCES_MAX),
            tally: Tally::default(),
            wanted: BTreeSet::new(),
            to_dial: VecDeque::new(),
            dismissed: Vec::new(),
            ops: Slots::new(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            spares: Spares::default(),
            ready: VecDeque::new(),
            down: Gates::new(Timer::DownLimit),
            up: Gates::new(Timer::UpLimit),
            config,
            rng,
        };
        shared.set_limits(now, None, down, up);
        shared
    }

    // Operations.

    /// Names an operation and what it is for.
    pub(crate) fn begin(&mut self, torrent: TorrentId, op: Op) -> OpId {
        self.tally.begin(torrent, op.kind());
        OpId(self.ops.insert((torrent, op)))
    }

    /// An operation is over; what it was for.
    pub(crate) fn end(&mut self, op: OpId) -> Option<(TorrentId, Op)> {
        let (torrent, op) = self.ops.remove(op.0)?;
        self.tally.end(torrent, op.kind());
        Some((torrent, op))
    }

    /// Whether operations or connections of a torrent are under way.
    pub(crate) fn is_busy(&self, torrent: TorrentId) -> bool {
        self.tally.is_busy(torrent)
    }

    /// Whether operations are that concern its data.
    pub(crate) fn has_data_ops(&self, torrent: TorrentId) -> bool {
        self.tally.has(torrent, Kind::Data)
    }

    // Queues.

    pub(crate) fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    pub(crate) fn pop(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tells people; the oldest is forgotten when nobody listens.
    pub(crate) fn tell(&mut self, event: Event) {
        tracing::debug!(?event);
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// Asks people for the rest of a torrent. Unlike events this is never forgotten.
    pub(crate) fn want(&mut self, torrent: TorrentId) {
        self.wanted.insert(torrent);
    }

    /// A torrent needs nothing of people.
    pub(crate) fn want_no_more(&mut self, torrent: TorrentId) {
        self.wanted.remove(&torrent);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        let wanted = self.wanted.pop_first();
        let wanted = wanted.map(|torrent| Event::TorrentWanted { torrent });
        wanted.or_else(|| self.events.pop_front())
    }
}

/// A timer that is set at most once: moving it earlier sets it again, moving it later lets the
/// early one fire for nothing.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    set_for: Option<Instant>,
}

impl Alarm {
    /// Sees to it that `timer` fires at `at` or before.
    pub(crate) fn set(&mut self, timers: &mut Timers<Timer>, at: Instant, timer: Timer) {
        if self.set_for.is_none_or(|set| at < set) {
            self.set_for = Some(at);
            timers.set(at, timer);
        }
    }

    /// A firing came; whether it is the one that was set last.
    pub(crate) fn fired(&mut self, now: Instant) -> bool {
        let due = self.set_for.is_some_and(|set| set <= now);
        if due {
            self.set_for = None;
        }
        due
    }
}

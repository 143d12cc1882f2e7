//! What all torrents of an engine share: connections, operations, memory, limits, and the queues
//! of what is to be carried out and told.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::num::NonZeroU64;

use super::gate::Gate;
use crate::api::{Config, Event, Net, Output, Part, Transmission};
use crate::base::id::{ConnId, OpId, Slots, TorrentId};
use crate::base::rng::Rng;
use crate::base::slab::SlabPool;
use crate::base::time::{Duration, Instant};
use crate::base::timer::Timers;
use crate::meta::layout::PieceIndex;
use crate::peer::opening::Opening;
use crate::store::cache::{ChunkKey, ReadCache};
use crate::swarm::Parting;

/// Credit given to a connection at once when nothing limits it, in bytes.
pub(super) const CREDIT: u64 = 1 << 20;
/// Credit given to a connection at once under a limit, in bytes: a block and its header.
pub(super) const CREDIT_LIMITED: u64 = 17 * 1024;
/// Credit given to a connection at its beginning under a limit, in bytes: it need not wait for its
/// turn to say who it is, for a handshake has its time limit.
const CREDIT_FIRST: u64 = 512;
/// A peer that does not read what we answer gets no further credit past this many unsent bytes of
/// messages.
const OUTBOX_HIGH: usize = 16 * 1024;
/// Past this many it is left: what was granted before is no licence to make us talk for ever.
pub(super) const OUTBOX_MAX: usize = 64 * 1024;
/// The most events kept for people.
pub(super) const EVENTS_MAX: usize = 1024;
/// The share of the memory budget that downloads leave to uploads: one in so many bytes.
const UPLOAD_SHARE: usize = 4;

/// Who a connection belongs to.
#[derive(Debug)]
pub(crate) enum Owner {
    /// Nobody yet: the handshake is under way.
    Opening(Box<Opening>),
    /// A peer of a torrent.
    Peer(TorrentId),
    /// A torrent's exchange with its tracker.
    Tracker(TorrentId),
    /// Nobody any more: it is being closed.
    Nobody,
}

impl Owner {
    /// The beginning of a connection that was made to us.
    pub(crate) fn incoming() -> Self {
        Owner::Opening(Box::new(Opening::accepted()))
    }
}

/// One connection, as far as bytes go.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) addr: SocketAddr,
    pub(crate) incoming: bool,
    pub(crate) owner: Owner,
    /// For whom it was made or who was asked for: known also while it is being closed.
    pub(crate) torrent: Option<TorrentId>,
    pub(crate) connected: bool,
    pub(crate) closing: bool,
    /// Encoded messages that wait for the transmission in flight to end.
    outbox: Vec<u8>,
    /// An empty transmission, kept for the memory of its vectors.
    spare: Option<Transmission>,
    /// Since when a transmission is in flight.
    sending: Option<Instant>,
    /// It is in the queue of those that have something to send.
    queued: bool,
    received: u64,
    until: u64,
}

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
    /// Write it.
    Write(PieceIndex),
    /// Read a chunk to be sent.
    Chunk(ChunkKey),
    /// Make everything durable.
    Sync,
    /// Delete the files.
    Delete,
    /// Close the storage.
    Close,
    /// Look up a tracker's name.
    Resolve,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection's handshake or its peer's silence.
    Conn(ConnId),
    /// A torrent's choking round.
    Choke(TorrentId),
    /// A torrent's peers are told of new pieces.
    Haves(TorrentId),
    /// A torrent's tracker.
    Tracker(TorrentId),
    /// A torrent's next address to dial.
    Dial(TorrentId),
    /// The limit on receiving lets more through.
    DownLimit,
    /// The limit on sending lets more through.
    UpLimit,
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
    pub(crate) waiting: BTreeSet<TorrentId>,
    /// Torrents that wait for the memory of a piece, first come, first served: else small pieces
    /// would take for ever what a large one waits for.
    pub(crate) line: VecDeque<TorrentId>,
    /// Peers that wait for the memory of a chunk to be sent.
    pub(super) unserved: VecDeque<ConnId>,
    /// Memory or blocks came free: those who wait may try again.
    pub(crate) freed: bool,
    /// Torrents that want to dial, each in its turn.
    pub(crate) to_dial: VecDeque<TorrentId>,
    /// Peers to be left when the input in hand is dealt with.
    pub(crate) dismissed: Vec<(TorrentId, ConnId, Parting)>,
    ops: Slots<(TorrentId, Op)>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
    ready: VecDeque<ConnId>,
    down: Option<Gate>,
    up: Option<Gate>,
}

impl Shared {
    pub(crate) fn new(config: Config, rng: Rng, now: Instant) -> Self {
        let mut peer_id = [0; 20];
        peer_id[..8].copy_from_slice(&config.peer_id_prefix);
        rng.fork("peer id").fill(&mut peer_id[8..]);
        let budget = config.memory_budget;
        let gate = |limit: Option<NonZeroU64>| limit.map(|rate| Gate::new(rate.get(), now));
        Shared {
            peer_id,
            port: 0,
            pool: SlabPool::new(budget, budget / UPLOAD_SHARE),
            cache: ReadCache::default(),
            conns: Slots::new(),
            timers: Timers::new(),
            half_open: 0,
            waiting: BTreeSet::new(),
            line: VecDeque::new(),
            unserved: VecDeque::new(),
            freed: false,
            to_dial: VecDeque::new(),
            dismissed: Vec::new(),
            ops: Slots::new(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            ready: VecDeque::new(),
            down: gate(config.down_limit),
            up: gate(config.up_limit),
            config,
            rng,
        }
    }

    // Connections.

    /// Dials `addr`.
    pub(crate) fn connect(&mut self, addr: SocketAddr, owner: Owner, torrent: TorrentId) -> ConnId {
        if matches!(owner, Owner::Opening(..)) {
            self.half_open += 1;
        }
        let conn = self.insert(addr, false, owner, Some(torrent));
        self.push(Output::Net(Net::Connect { conn, to: addr }));
        conn
    }

    /// Takes a connection that was made to us.
    pub(crate) fn accepted(&mut self, now: Instant, addr: SocketAddr, owner: Owner) -> ConnId {
        let conn = self.insert(addr, true, owner, None);
        self.connected(now, conn);
        conn
    }

    fn insert(
        &mut self,
        addr: SocketAddr,
        incoming: bool,
        owner: Owner,
        torrent: Option<TorrentId>,
    ) -> ConnId {
        ConnId(self.conns.insert(Conn {
            addr,
            incoming,
            owner,
            torrent,
            connected: false,
            closing: false,
            outbox: Vec::new(),
            spare: Some(Transmission::default()),
            sending: None,
            queued: false,
            received: 0,
            until: 0,
        }))
    }

    pub(crate) fn conn(&mut self, conn: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(conn.0)
    }

    /// The connection is there: messages that wait go out, and it may receive.
    pub(crate) fn connected(&mut self, now: Instant, conn: ConnId) {
        if let Some(entry) = self.conn(conn) {
            entry.connected = true;
        }
        self.mark_ready(conn);
        self.grant(now, conn);
    }

    /// Encodes messages to be sent on `conn`; a peer that lets too many gather is left instead.
    pub(crate) fn send(&mut self, conn: ConnId, encode: impl FnOnce(&mut Vec<u8>)) {
        let Some(entry) = self.conns.get_mut(conn.0).filter(|entry| !entry.closing) else {
            return;
        };
        if entry.outbox.len() <= OUTBOX_MAX {
            encode(&mut entry.outbox);
            self.mark_ready(conn);
        } else if let Owner::Peer(torrent) = entry.owner {
            self.dismiss(torrent, conn, Parting::Failed);
        }
    }

    /// Whether more waits to be sent on `conn` than it may ask for: it does not read.
    pub(crate) fn is_clogged(&mut self, conn: ConnId) -> bool {
        self.conn(conn)
            .is_some_and(|entry| entry.outbox.len() > OUTBOX_MAX)
    }

    /// Puts `conn` into the queue of those that may have something to send.
    pub(crate) fn mark_ready(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn.0)
            && !entry.queued
            && !entry.closing
        {
            entry.queued = true;
            self.ready.push_back(conn);
        }
    }

    /// Closes `conn`; whoever owned it has let go of it.
    pub(crate) fn close(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        if entry.closing {
            return;
        }
        entry.closing = true;
        entry.outbox = Vec::new();
        entry.spare = None;
        if matches!(entry.owner, Owner::Opening(..)) && !entry.incoming {
            self.half_open -= 1;
        }
        if !matches!(entry.owner, Owner::Tracker(_)) {
            entry.owner = Owner::Nobody;
        }
        for gate in [&mut self.down, &mut self.up].into_iter().flatten() {
            gate.forget(conn);
        }
        self.unserved.retain(|waiting| *waiting != conn);
        self.push(Output::Net(Net::Close { conn }));
    }

    /// Has a peer left as soon as the input in hand is dealt with.
    pub(crate) fn dismiss(&mut self, torrent: TorrentId, conn: ConnId, parting: Parting) {
        if self.dismissed.last() == Some(&(torrent, conn, parting)) {
            return;
        }
        self.dismissed.push((torrent, conn, parting));
    }

    /// Somebody who connected asks for `torrent`.
    pub(crate) fn asked_for(&mut self, conn: ConnId, torrent: Option<TorrentId>) {
        if let Some(entry) = self.conn(conn) {
            entry.torrent = torrent;
        }
    }

    /// The handshake is over: the connection is a peer's.
    pub(crate) fn adopted(&mut self, conn: ConnId, torrent: TorrentId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        entry.owner = Owner::Peer(torrent);
        entry.torrent = Some(torrent);
        if !entry.incoming {
            self.half_open -= 1;
        }
    }

    /// Whether one more connection may be dialled.
    pub(crate) fn may_dial(&self) -> bool {
        self.half_open < self.config.max_half_open && self.conns.len() < self.config.max_connections
    }

    // Receiving.

    /// Bytes came.
    pub(crate) fn received(&mut self, conn: ConnId, len: usize) {
        if let Some(entry) = self.conn(conn) {
            entry.received += len as u64;
        }
    }

    /// Gives `conn` further credit when half of it is spent, as far as the limit and its own
    /// reading allow.
    pub(crate) fn grant(&mut self, now: Instant, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        let idle = entry.closing || !entry.connected || entry.outbox.len() > OUTBOX_HIGH;
        let credit = match &self.down {
            None => CREDIT,
            Some(_) if entry.until == 0 => CREDIT_FIRST,
            Some(_) => CREDIT_LIMITED,
        };
        let left = entry.until.saturating_sub(entry.received);
        if idle || left > credit / 2 {
            return;
        }
        if let Some(gate) = &mut self.down
            && entry.until > 0
        {
            if gate.bucket.available(now) < credit {
                gate.wait(conn, false);
                if !gate.armed {
                    gate.armed = true;
                    self.timers.set(gate.bucket.when(credit), Timer::DownLimit);
                }
                return;
            }
            gate.bucket.take(credit);
        }
        entry.until = entry.until.max(entry.received) + credit;
        let until = entry.until;
        self.push(Output::Net(Net::Recv { conn, until }));
    }

    /// The limit on receiving may let more through.
    pub(crate) fn down_limit_passed(&mut self, now: Instant) {
        let Some(gate) = &mut self.down else { return };
        for conn in gate.open() {
            self.grant(now, conn);
        }
    }

    /// Whether `conn` is silent because we let it send nothing.
    pub(crate) fn withholds_credit(&self, conn: ConnId) -> bool {
        self.down.as_ref().is_some_and(|gate| gate.has(conn))
    }

    /// Replaces the limits on all peers together.
    pub(crate) fn set_limits(
        &mut self,
        now: Instant,
        down: Option<NonZeroU64>,
        up: Option<NonZeroU64>,
    ) {
        let gate = |limit: Option<NonZeroU64>| limit.map(|rate| Gate::new(rate.get(), now));
        let held_up = core::mem::replace(&mut self.up, gate(up));
        let held_down = core::mem::replace(&mut self.down, gate(down));
        for conn in held_up.into_iter().flat_map(Gate::into_waiting) {
            self.mark_ready(conn);
        }
        for conn in held_down.into_iter().flat_map(Gate::into_waiting) {
            self.grant(now, conn);
        }
    }

    // Sending.

    /// Whether `bytes` of blocks may be sent now; if not, `conn` is tried again later, after all
    /// others if it was `served` before.
    pub(crate) fn may_send(
        &mut self,
        now: Instant,
        conn: ConnId,
        bytes: u64,
        served: bool,
    ) -> bool {
        let Some(gate) = &mut self.up else {
            return true;
        };
        if gate.bucket.available(now) >= bytes {
            gate.bucket.take(bytes);
            return true;
        }
        gate.wait(conn, served);
        if !gate.armed {
            gate.armed = true;
            self.timers.set(gate.bucket.when(bytes), Timer::UpLimit);
        }
        false
    }

    /// The limit on sending may let more through.
    pub(crate) fn up_limit_passed(&mut self) {
        let Some(gate) = &mut self.up else { return };
        for conn in gate.open() {
            self.mark_ready(conn);
        }
    }

    /// The next connection that may have something to send and can, with an empty transmission
    /// that holds its waiting messages.
    pub(crate) fn next_ready(&mut self) -> Option<(ConnId, Transmission)> {
        while let Some(conn) = self.ready.pop_front() {
            let Some(entry) = self.conns.get_mut(conn.0) else {
                continue;
            };
            entry.queued = false;
            if entry.sending.is_some() || entry.closing || !entry.connected {
                continue;
            }
            let Some(mut transmission) = entry.spare.take() else {
                continue;
            };
            core::mem::swap(&mut transmission.head, &mut entry.outbox);
            transmission.wrap_head();
            return Some((conn, transmission));
        }
        None
    }

    /// What became of a transmission of `next_ready`: it goes out, or is put away empty.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        conn: ConnId,
        transmission: Transmission,
    ) -> Option<Output> {
        let entry = self.conn(conn)?;
        if transmission.is_empty() {
            entry.spare = Some(transmission);
            return None;
        }
        entry.sending = Some(now);
        Some(Output::Net(Net::Transmit { conn, transmission }))
    }

    /// Whether `conn` has not taken a transmission for longer than anybody's patience.
    pub(crate) fn is_stuck(&mut self, now: Instant, conn: ConnId) -> bool {
        let since = self.conn(conn).and_then(|entry| entry.sending);
        since.is_some_and(|since| now >= since + SEND_LIMIT)
    }

    /// A transmission was handed to the network.
    pub(crate) fn sent(&mut self, now: Instant, conn: ConnId) {
        if let Some(entry) = self.conn(conn) {
            entry.sending = None;
        }
        self.mark_ready(conn);
        self.grant(now, conn);
    }

    /// The buffers of a transmission are back.
    pub(crate) fn returned(&mut self, conn: ConnId, mut transmission: Transmission) {
        let mut parts = transmission.parts.iter();
        let held_slabs = parts.any(|part| matches!(part, Part::Slab { .. }));
        transmission.clear();
        if held_slabs {
            self.cache.reclaim(&mut self.pool);
            self.chunk_freed();
        }
        if let Some(entry) = self.conn(conn)
            && !entry.closing
        {
            entry.spare = Some(transmission);
        }
        self.mark_ready(conn);
    }

    // Operations.

    /// Names an operation and what it is for.
    pub(crate) fn begin(&mut self, torrent: TorrentId, op: Op) -> OpId {
        OpId(self.ops.insert((torrent, op)))
    }

    /// An operation is over; what it was for.
    pub(crate) fn end(&mut self, op: OpId) -> Option<(TorrentId, Op)> {
        self.ops.remove(op.0)
    }

    /// Whether operations of a torrent are under way.
    pub(crate) fn has_ops(&self, torrent: TorrentId) -> bool {
        self.ops.iter().any(|(_, (owner, _))| *owner == torrent)
    }

    /// Whether connections of a torrent are not closed.
    pub(crate) fn has_conns(&self, torrent: TorrentId) -> bool {
        self.conns
            .iter()
            .any(|(_, conn)| conn.torrent == Some(torrent))
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
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
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

/// The longest that one transmission may take: it holds memory, and whoever does not read could
/// hold it for ever. Enough for a full one at 1 KB/s.
const SEND_LIMIT: Duration = Duration::from_secs(300);

/// The longest a connection may take until its handshake is over: a connect, then a handshake.
pub(crate) const OPENING_LIMIT: Duration = Duration::from_secs(20);

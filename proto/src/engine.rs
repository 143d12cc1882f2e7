//! Floor 4: the engine, all torrents and connections of one process behind one grammar.
//!
//! [`Engine::handle`] takes the world in, [`Engine::poll_output`] gives intents out,
//! [`Engine::poll_event`] tells people; nouns are getters that change nothing. After every call of
//! `accept`, `handle` or `handle_timeout`, poll outputs until there are none.

mod conns;
mod ops;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

pub use crate::api::{
    self, Command, Config, ConfigError, Disk, DiskDone, DiskError, EndReason, Event, Found, Input,
    IoError, IoErrorKind, Net, Output, Stamp,
};

pub use crate::torrent::memory::MemoryCeiling;
pub use crate::torrent::turns::ANNOUNCES_MAX;

use crate::api::{Add, Data, FileStats, PeerStats, Refusal, TorrentStats};
use crate::base::bits::Bitfield;
use crate::base::id::{ConnId, TorrentId};
use crate::base::rng::Rng;
use crate::base::slab::Source;
use crate::base::time::Instant;
use crate::torrent::Torrent;
use crate::torrent::links::{OPENING_LIMIT, Owner};
use crate::torrent::shared::{Shared, Timer};

/// A BitTorrent client without hands: it decides, a host carries out.
#[derive(Debug)]
pub struct Engine {
    shared: Shared,
    torrents: BTreeMap<TorrentId, Torrent>,
    by_hash: BTreeMap<[u8; 20], TorrentId>,
    leaving: BTreeSet<TorrentId>,
    /// Those of them with which something was done since they were last looked at.
    stirred: BTreeSet<TorrentId>,
    feeding: Feeding,
    shutting_down: bool,
    shut_down: bool,
}

/// The torrents that are given what came free, while they are: kept for the memory of its vectors.
#[derive(Debug, Default)]
struct Feeding {
    order: Vec<TorrentId>,
    served: Vec<TorrentId>,
}

impl Engine {
    /// An engine without torrents. All chance comes from `seed`.
    ///
    /// # Errors
    /// Names the setting that cannot work.
    pub fn new(config: Config, seed: [u8; 32], now: Instant) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Engine {
            shared: Shared::new(config, Rng::from_seed(seed), now),
            torrents: BTreeMap::new(),
            by_hash: BTreeMap::new(),
            leaving: BTreeSet::new(),
            stirred: BTreeSet::new(),
            feeding: Feeding::default(),
            shutting_down: false,
            shut_down: false,
        })
    }

    /// Has the memory of pieces come from `source`: for a host whose pages suit its disk better than
    /// the allocator's. To be called before the first input; how much there is at once is bounded by
    /// [`Config::memory_budget`] as ever.
    pub fn set_slab_source(&mut self, source: Box<dyn Source>) {
        self.shared.pool.set_source(source);
    }

    /// Something for people to know, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.poll_event()
    }

    /// A torrent, seen from outside; `None` if there is no such torrent.
    #[must_use]
    pub fn stats(&self, now: Instant, torrent: TorrentId) -> Option<TorrentStats> {
        self.torrents
            .get(&torrent)
            .map(|torrent| torrent.stats(now))
    }

    /// The connected peers of a torrent, in a stable order.
    pub fn peers(&self, now: Instant, torrent: TorrentId) -> impl Iterator<Item = PeerStats<'_>> {
        let torrent = self.torrents.get(&torrent).into_iter();
        torrent.flat_map(move |torrent| torrent.peer_stats(now))
    }

    /// The files of a torrent, padding included, in the order of the torrent file.
    pub fn files(&self, torrent: TorrentId) -> impl Iterator<Item = FileStats<'_>> {
        self.torrents
            .get(&torrent)
            .into_iter()
            .flat_map(Torrent::file_stats)
    }

    /// The pieces of a torrent that are verified and written; `None` if there is no such torrent.
    #[must_use]
    pub fn pieces_had(&self, torrent: TorrentId) -> Option<&Bitfield> {
        self.torrents.get(&torrent).map(Torrent::pieces_had)
    }

    /// The torrents that data is read or connections are open for, some of them more than once: what
    /// others tell of themselves changes by what they are told alone, or at most their rates fall to
    /// nothing. O(connections), however many torrents there are.
    pub fn busy(&self) -> impl Iterator<Item = TorrentId> {
        let conns = self.shared.conns.iter();
        let connected = conns.filter_map(|(_, conn)| conn.torrent);
        connected.chain(self.shared.turns.taken().iter().copied())
    }

    /// How many peers of a torrent are unchoked.
    #[must_use]
    pub fn unchoked(&self, torrent: TorrentId) -> usize {
        self.torrents.get(&torrent).map_or(0, Torrent::unchoked)
    }

    /// The most peers of a torrent that may be unchoked.
    #[must_use]
    pub fn slots(&self, torrent: TorrentId) -> usize {
        self.torrents
            .get(&torrent)
            .map_or(0, |torrent| torrent.slots(&self.shared))
    }

    /// The settings it was made with, and the limits that were set since.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.shared.config
    }

    /// Our peer id (BEP 20).
    #[must_use]
    pub fn peer_id(&self) -> [u8; 20] {
        self.shared.peer_id
    }

    /// Bytes of slabs lent out now; at most the memory budget of the configuration.
    #[must_use]
    pub fn slab_bytes(&self) -> usize {
        self.shared.pool.lent_bytes()
    }

    /// Whether everything is over after [`Command::ShutDown`].
    #[must_use]
    pub fn is_shut_down(&self) -> bool {
        self.shut_down
    }

    fn command(&mut self, now: Instant, command: Command) {
        match command {
            Command::Add(add) => {
                let torrent = add.id;
                if let Err(reason) = self.add(now, add) {
                    self.shared.tell(Event::Refused { torrent, reason });
                }
            }
            Command::AddPeer { torrent, addr } => {
                self.with(torrent, |torrent, shared| {
                    torrent.add_peer(now, addr, shared)
                });
            }
            Command::Remove { torrent, data } => self.remove(now, torrent, data),
            Command::Pause { torrent } => {
                self.with(torrent, |torrent, shared| torrent.pause(now, shared));
                self.abandon_openings_of(now, torrent);
            }
            Command::Resume { torrent } => {
                self.with(torrent, |torrent, shared| torrent.resume(now, shared));
            }
            Command::Recheck { torrent } => {
                self.with(torrent, |torrent, shared| torrent.recheck(now, shared));
                self.abandon_openings_of(now, torrent);
            }
            Command::Reannounce { torrent } => {
                self.with(torrent, |torrent, shared| torrent.reannounce(now, shared));
            }
            Command::SetPriority {
                torrent,
                file,
                priority,
            } => {
                self.with(torrent, |torrent, shared| {
                    torrent.set_file_priority(now, file, priority, shared);
                });
            }
            Command::SetLimits { down, up } => self.shared.set_limits(now, None, down, up),
            Command::SetTorrentLimits { torrent, down, up } => {
                self.with(torrent, |_, shared| {
                    shared.set_limits(now, Some(torrent), down, up);
                });
            }
            Command::Supply { torrent, whole } => {
                self.with(torrent, |torrent, shared| {
                    torrent.supply(now, whole, shared)
                });
            }
            Command::ShutDown => self.shut_down_all(now),
        }
    }

    /// Has `act` done by a torrent, if it is there.
    fn with<R>(
        &mut self,
        id: TorrentId,
        act: impl FnOnce(&mut Torrent, &mut Shared) -> R,
    ) -> Option<R> {
        self.stir(id);
        let torrent = self.torrents.get_mut(&id)?;
        let _span = span(id).entered();
        Some(act(torrent, &mut self.shared))
    }

    /// Something is done with a torrent, or was: if it leaves, it may be able to go on.
    fn stir(&mut self, id: TorrentId) {
        if self.leaving.contains(&id) {
            self.stirred.insert(id);
        }
    }

    fn shut_down_all(&mut self, now: Instant) {
        self.shutting_down = true;
        let all: Vec<TorrentId> = self.torrents.keys().copied().collect();
        for torrent in all {
            self.begin_leave(now, torrent, Data::Keep);
        }
        let conns: Vec<ConnId> = self.shared.conns.iter().map(|(id, _)| ConnId(id)).collect();
        conns
            .into_iter()
            .for_each(|conn| self.abandon_opening(now, conn));
    }

    fn add(&mut self, now: Instant, add: Add) -> Result<(), Refusal> {
        if self.shutting_down {
            return Err(Refusal::ShuttingDown);
        }
        let info_hash = add.torrent.hashes().v1.ok_or(Refusal::V2Only)?;
        if self.torrents.contains_key(&add.id) || self.by_hash.contains_key(&info_hash) {
            return Err(Refusal::Duplicate);
        }
        let id = add.id;
        self.shared
            .set_limits(now, Some(id), add.down_limit, add.up_limit);
        let torrent = Torrent::new(now, add, info_hash, &mut self.shared);
        self.torrents.insert(id, torrent);
        self.by_hash.insert(info_hash, id);
        self.shared.tell(Event::Added { torrent: id });
        Ok(())
    }

    fn remove(&mut self, now: Instant, id: TorrentId, data: Data) {
        if self.begin_leave(now, id, data) {
            self.abandon_openings_of(now, id);
        }
    }

    /// Has a torrent begin to leave; whether there is such a torrent.
    fn begin_leave(&mut self, now: Instant, id: TorrentId, data: Data) -> bool {
        let leaves = self.with(id, |torrent, shared| torrent.leave(now, data, shared));
        if leaves.is_some() {
            self.leaving.insert(id);
            self.stirred.insert(id);
        }
        leaves.is_some()
    }

    fn abandon_openings_of(&mut self, now: Instant, id: TorrentId) {
        let conns = self
            .shared
            .conns
            .iter()
            .filter(|(_, conn)| conn.torrent == Some(id));
        let conns: Vec<ConnId> = conns.map(|(conn, _)| ConnId(conn)).collect();
        conns
            .into_iter()
            .for_each(|conn| self.abandon_opening(now, conn));
    }

    /// Does what an input made possible, now that it is dealt with.
    fn settle(&mut self, now: Instant) {
        while let Some((id, conn, parting)) = self.shared.dismissed.pop() {
            self.with(id, |torrent, shared| {
                torrent.drop_peer(now, conn, parting, shared)
            });
        }
        while let Some(id) = self.shared.turns.next_called() {
            self.with(id, |torrent, shared| torrent.check_more(now, shared));
        }
        while let Some(id) = self.shared.announces.next_called() {
            self.with(id, |torrent, shared| torrent.drive_announcer(now, shared));
        }
        if core::mem::take(&mut self.shared.freed) {
            self.feed(now);
        }
        while self.shared.may_dial()
            && let Some(id) = self.shared.to_dial.pop_front()
        {
            let dialled = self.with(id, |torrent, shared| torrent.dial_next(now, shared));
            if dialled == Some(true) {
                self.shared.to_dial.push_back(id);
            }
        }
        self.leave_on(now);
    }

    /// Memory or blocks came free: those who wait for memory go first, in their order. Whoever gets
    /// some and wants more goes behind the others.
    fn feed(&mut self, now: Instant) {
        let Feeding {
            mut order,
            mut served,
        } = core::mem::take(&mut self.feeding);
        let Shared { line, waiting, .. } = &mut self.shared;
        order.extend(line.iter().copied());
        order.extend(waiting.iter().filter(|id| !line.contains(id)));
        line.clear();
        waiting.clear();
        for id in &order {
            let before = self.shared.pool.lent_bytes();
            self.with(*id, |torrent, shared| torrent.feed(now, shared));
            if self.shared.pool.lent_bytes() > before && self.shared.leave_line(*id) {
                served.push(*id);
            }
        }
        served
            .drain(..)
            .for_each(|id| self.shared.stand_in_line(id));
        order.clear();
        self.feeding = Feeding { order, served };
        self.shared.wake_unserved();
    }

    /// Somebody waits for memory: torrents give up pieces that nobody works on until there is
    /// enough.
    fn rescue_memory(&mut self) {
        let first = self.shared.line.front();
        let Some(first) = first.and_then(|id| self.torrents.get(id)) else {
            return;
        };
        let capacity = first.slab_capacity();
        for torrent in self.torrents.values_mut() {
            while !self.shared.make_room(capacity) {
                if !torrent.give_up_piece(&mut self.shared) {
                    break;
                }
            }
        }
        self.shared.freed = true;
    }

    fn leave_on(&mut self, now: Instant) {
        while let Some(id) = self.stirred.pop_first() {
            let Some(torrent) = self.torrents.get_mut(&id) else {
                continue;
            };
            if torrent.leave_on(now, &mut self.shared) {
                self.shared.set_limits(now, Some(id), None, None);
                self.by_hash.remove(&torrent.info_hash());
                self.torrents.remove(&id);
                self.leaving.remove(&id);
                self.shared.tell(Event::Removed { torrent: id });
            }
        }
        let idle = self.torrents.is_empty() && self.shared.conns.is_empty();
        if self.shutting_down && idle && !self.shut_down {
            self.shut_down = true;
            self.shared.pool.trim();
            self.shared.tell(Event::ShutDown);
        }
    }

    fn timer(&mut self, now: Instant, timer: Timer) {
        match timer {
            Timer::DownLimit(whose) => self.shared.down_limit_passed(now, whose),
            Timer::UpLimit(whose) => self.shared.up_limit_passed(whose),
            Timer::Conn(conn) => self.conn_deadline(now, conn),
            Timer::Choke(id) => {
                self.with(id, |torrent, shared| {
                    torrent.choke_round(now, shared);
                    torrent.rescue_place(shared);
                });
                self.rescue_memory();
            }
            Timer::Vacancy(id) => {
                self.with(id, |torrent, shared| torrent.fill_slots(now, shared));
            }
            Timer::Haves(id) => {
                self.with(id, |torrent, shared| torrent.spread_haves(now, shared));
            }
            Timer::Tracker(id) => {
                self.with(id, |torrent, shared| torrent.tracker_timer(now, shared));
            }
            Timer::Pass(id) => {
                self.with(id, |torrent, shared| torrent.pass_due(now, shared));
            }
            Timer::Room(id) => {
                self.with(id, |torrent, shared| torrent.retry_due(now, shared));
            }
            Timer::Dial(id) => {
                self.with(id, |torrent, shared| torrent.dial_timer(now, shared));
            }
        }
    }
}

/// What is traced while a torrent is at work carries its id.
fn span(id: TorrentId) -> tracing::Span {
    tracing::debug_span!("torrent", id = id.0)
}

/// The run loop; see [`crate::drive`].
impl Engine {
    /// Somebody has connected to us from `from`; `None` refuses.
    pub fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let config = &self.shared.config;
        let full = self.shared.conns.len() >= config.max_connections;
        let stranger = config.loopback_only && !from.ip().is_loopback();
        let crowd = self.shared.is_crowded(None, from.ip());
        if full || crowd || stranger || self.shutting_down || self.torrents.is_empty() {
            return None;
        }
        let conn = self.shared.accepted(now, from, Owner::incoming());
        self.shared
            .timers
            .set(now + OPENING_LIMIT, Timer::Conn(conn));
        Some(conn)
    }

    /// Something happened. Bounded work; cannot fail: whatever is wrong, only the engine knows the
    /// remedy.
    ///
    /// # Panics
    /// If an operation completes that is not under way: a fault of the host.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } => self.connected(now, conn),
            Input::Received { conn, data } => self.received(now, conn, data),
            Input::Sent { conn } => self.shared.sent(now, conn),
            Input::Returned { conn, transmission } => self.shared.returned(conn, transmission),
            Input::Ended { conn, reason } => self.ended(now, conn, reason),
            Input::Closed { conn } => self.closed(now, conn),
            Input::Disk(done) => self.disk_done(now, done),
            Input::Hashed { op, slab, digest } => self.hashed(now, op, slab, digest),
            Input::Resolved { op, result } => self.resolved(now, op, result),
            Input::Bound { addr } => self.shared.port = addr.port(),
            Input::Command(command) => self.command(now, command),
        }
        self.settle(now);
    }

    /// The instant of [`Engine::poll_timeout`] has come. Spurious calls do nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.shared.timers.pop_due(now) {
            self.timer(now, timer);
        }
        self.settle(now);
    }

    /// The next thing to carry out.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        loop {
            if let Some(output) = self.shared.pop() {
                return Some(output);
            }
            let (conn, mut transmission) = self.shared.next_ready()?;
            let mut more = false;
            if let Some(Owner::Peer(id)) = self.shared.conn(conn).map(|entry| &entry.owner)
                && let Some(torrent) = self.torrents.get_mut(id)
            {
                more = torrent.fill(now, conn, &mut transmission, &mut self.shared);
            }
            if let Some(output) = self.shared.transmit(now, conn, transmission, more) {
                return Some(output);
            }
        }
    }

    /// When to call [`Engine::handle_timeout`], unless something happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.shared.timers.next()
    }
}

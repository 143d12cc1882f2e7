//! Connections as far as bytes go: whose they are, how much each may receive, and what waits to be
//! sent on it.
//!
//! Invariant: one transmission is in flight on a connection at most, and its buffers are home
//! before the next is filled. What waits unsent is bounded: past [`OUTBOX_HIGH`] no credit is given,
//! past [`OUTBOX_MAX`] a peer is left. A connection that has nothing to say holds no memory for it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;

use super::gate::CREDIT_LIMITED;
use super::shared::Shared;
use super::tally::Kind;
use crate::api::{Net, Output, Part, Transmission};
use crate::base::id::{ConnId, TorrentId};
use crate::base::time::{Duration, Instant};
use crate::peer::opening::Opening;
use crate::swarm::Parting;

/// Credit given to a connection at once when nothing limits it, in bytes: enough for a host to receive
/// whatever comes, for a while, without counting. It guards no memory.
pub(super) const CREDIT: u64 = 8 << 20;
/// Credit given to a connection at its beginning under a limit, in bytes: it need not wait for its
/// turn to say who it is, for a handshake has its time limit.
const CREDIT_FIRST: u64 = 512;
/// A peer that does not read what we answer gets no further credit past this many unsent bytes of
/// messages.
const OUTBOX_HIGH: usize = 16 * 1024;
/// Past this many it is left: what was granted before is no licence to make us talk for ever.
pub(super) const OUTBOX_MAX: usize = 64 * 1024;
/// The longest that one transmission may take: it holds memory, and whoever does not read could
/// hold it for ever. Enough for a full one at 1 KB/s.
const SEND_LIMIT: Duration = Duration::from_secs(300);

/// The longest a connection may take until its handshake is over: a connect, then a handshake.
pub(crate) const OPENING_LIMIT: Duration = Duration::from_secs(20);

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
    /// Since when a transmission is in flight.
    sending: Option<Instant>,
    /// The buffers of a transmission are not home.
    lent: bool,
    /// It is in the queue of those that may have something to send.
    queued: bool,
    /// It is to be in that queue when the transmission in flight has ended.
    due: bool,
    received: u64,
    until: u64,
}

/// Making and ending connections.
impl Shared {
    /// Dials a peer of `torrent` at `to`.
    pub(crate) fn dial_peer(
        &mut self,
        to: SocketAddr,
        opening: Box<Opening>,
        torrent: TorrentId,
    ) -> ConnId {
        self.half_open += 1;
        self.connect(to, None, Owner::Opening(opening), torrent)
    }

    /// Dials a tracker of `torrent` at `to`, protected where there is a name to be proven.
    pub(crate) fn dial_tracker(
        &mut self,
        to: SocketAddr,
        tls: Option<Arc<str>>,
        torrent: TorrentId,
    ) -> ConnId {
        self.connect(to, tls, Owner::Tracker(torrent), torrent)
    }

    fn connect(
        &mut self,
        to: SocketAddr,
        tls: Option<Arc<str>>,
        owner: Owner,
        torrent: TorrentId,
    ) -> ConnId {
        let conn = self.insert(to, false, owner, Some(torrent));
        self.push(Output::Net(Net::Connect { conn, to, tls }));
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
        if let Some(torrent) = torrent {
            self.tally.begin(torrent, Kind::Conn);
        }
        ConnId(self.conns.insert(Conn {
            addr,
            incoming,
            owner,
            torrent,
            connected: false,
            closing: false,
            outbox: Vec::new(),
            sending: None,
            lent: false,
            queued: false,
            due: false,
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
            if entry.outbox.capacity() == 0 {
                entry.outbox = self.spares.head();
            }
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
        self.spares.keep_head(core::mem::take(&mut entry.outbox));
        if matches!(entry.owner, Owner::Opening(..)) && !entry.incoming {
            self.half_open -= 1;
        }
        if !matches!(entry.owner, Owner::Tracker(_)) {
            entry.owner = Owner::Nobody;
        }
        self.down.forget(conn);
        self.up.forget(conn);
        self.unserved.retain(|waiting| *waiting != conn);
        self.push(Output::Net(Net::Close { conn }));
    }

    /// The host has closed `conn`: whose it was, and for which torrent.
    pub(crate) fn closed(&mut self, conn: ConnId) -> Option<(Owner, Option<TorrentId>)> {
        let Conn { owner, torrent, .. } = self.conns.remove(conn.0)?;
        if let Some(torrent) = torrent {
            self.tally.end(torrent, Kind::Conn);
        }
        Some((owner, torrent))
    }

    /// Has a peer left as soon as the input in hand is dealt with.
    pub(crate) fn dismiss(&mut self, torrent: TorrentId, conn: ConnId, parting: Parting) {
        if self.dismissed.last() == Some(&(torrent, conn, parting)) {
            return;
        }
        self.dismissed.push((torrent, conn, parting));
    }

    /// Whether there are as many connections with the host at `ip` as there may be: of `torrent`, or
    /// of those that have not said for which. O(connections).
    pub(crate) fn is_crowded(&self, torrent: Option<TorrentId>, ip: IpAddr) -> bool {
        let is_one = |conn: &Conn| {
            let is_peers = !conn.closing && !matches!(conn.owner, Owner::Tracker(_));
            is_peers && conn.torrent == torrent && conn.addr.ip() == ip
        };
        let those = self.conns.iter().filter(|(_, conn)| is_one(conn));
        !ip.is_loopback() && those.count() >= self.config.max_per_address
    }

    /// Somebody who connected asks for `torrent`.
    pub(crate) fn asked_for(&mut self, conn: ConnId, torrent: Option<TorrentId>) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        debug_assert!(entry.torrent.is_none(), "it asks once");
        entry.torrent = torrent;
        if let Some(torrent) = torrent {
            self.tally.begin(torrent, Kind::Conn);
        }
    }

    /// The handshake is over: the connection is a peer's.
    pub(crate) fn adopted(&mut self, conn: ConnId, torrent: TorrentId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        debug_assert_eq!(entry.torrent, Some(torrent), "it was asked for, or dialled");
        entry.owner = Owner::Peer(torrent);
        if !entry.incoming {
            self.half_open -= 1;
        }
    }

    /// Whether one more connection may be dialled.
    pub(crate) fn may_dial(&self) -> bool {
        self.half_open < self.config.max_half_open && self.conns.len() < self.config.max_connections
    }
}

/// Receiving.
impl Shared {
    /// Bytes came.
    pub(crate) fn received(&mut self, conn: ConnId, len: usize) {
        if let Some(entry) = self.conn(conn) {
            entry.received += len as u64;
        }
    }

    /// Gives `conn` further credit when half of it is spent, as far as the limits and its own
    /// reading allow.
    pub(crate) fn grant(&mut self, now: Instant, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        let idle = entry.closing || !entry.connected || entry.outbox.len() > OUTBOX_HIGH;
        let credit = match entry.torrent {
            _ if !self.down.is_any() => CREDIT,
            _ if entry.until == 0 => CREDIT_FIRST,
            Some(torrent) if !self.down.hold(torrent) => CREDIT,
            // Who has not said for which torrent may ask for one with a limit.
            _ => CREDIT_LIMITED,
        };
        let left = entry.until.saturating_sub(entry.received);
        if idle || left > credit / 2 {
            return;
        }
        let who = (conn, entry.torrent);
        if entry.until > 0 && !self.down.pass(now, &mut self.timers, who, credit, false) {
            return;
        }
        entry.until = entry.until.max(entry.received) + credit;
        let until = entry.until;
        self.push(Output::Net(Net::Recv { conn, until }));
    }

    /// A limit on receiving may let more through: a torrent's, or that on all.
    pub(crate) fn down_limit_passed(&mut self, now: Instant, whose: Option<TorrentId>) {
        for conn in self.down.open(whose) {
            self.grant(now, conn);
        }
    }

    /// Whether `conn` is silent because we let it send nothing.
    pub(crate) fn withholds_credit(&self, conn: ConnId) -> bool {
        self.down.has(conn)
    }

    /// Replaces the limits on the peers of a torrent, or of all together, in bytes per second.
    pub(crate) fn set_limits(
        &mut self,
        now: Instant,
        whose: Option<TorrentId>,
        down: Option<NonZeroU64>,
        up: Option<NonZeroU64>,
    ) {
        for conn in self.up.set(whose, up, now) {
            self.mark_ready(conn);
        }
        for conn in self.down.set(whose, down, now) {
            self.grant(now, conn);
        }
    }
}

/// Sending.
impl Shared {
    /// Whether `bytes` of blocks may be sent now; if not, `conn` is tried again later, after all
    /// others if it was `served` before.
    pub(crate) fn may_send(
        &mut self,
        now: Instant,
        conn: ConnId,
        bytes: u64,
        served: bool,
    ) -> bool {
        let torrent = self.conn(conn).and_then(|entry| entry.torrent);
        let who = (conn, torrent);
        self.up.pass(now, &mut self.timers, who, bytes, served)
    }

    /// A limit on sending may let more through: a torrent's, or that on all.
    pub(crate) fn up_limit_passed(&mut self, whose: Option<TorrentId>) {
        for conn in self.up.open(whose) {
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
            if entry.closing || !entry.connected {
                continue;
            }
            entry.due = entry.sending.is_some() || entry.lent;
            if entry.due {
                continue;
            }
            let mut transmission = Transmission {
                head: core::mem::take(&mut entry.outbox),
                parts: self.spares.parts(),
            };
            if transmission.head.capacity() == 0 {
                transmission.head = self.spares.head();
            }
            transmission.wrap_head();
            return Some((conn, transmission));
        }
        None
    }

    /// What became of a transmission of `next_ready`: it goes out, or is put away empty. `more` may
    /// be there to be sent after it.
    pub(crate) fn transmit(
        &mut self,
        now: Instant,
        conn: ConnId,
        transmission: Transmission,
        more: bool,
    ) -> Option<Output> {
        if transmission.is_empty() {
            self.spares.keep(transmission);
            return None;
        }
        let entry = self.conn(conn)?;
        entry.sending = Some(now);
        entry.lent = true;
        entry.due = more;
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
        self.is_free_to_send(conn);
        self.grant(now, conn);
    }

    /// The buffers of a transmission are back.
    pub(crate) fn returned(&mut self, conn: ConnId, mut transmission: Transmission) {
        let mut parts = transmission.parts.iter();
        let held_slabs = parts.any(|part| matches!(part, Part::Slab { .. }));
        transmission.clear();
        self.spares.keep(transmission);
        if held_slabs {
            self.cache.reclaim(&mut self.pool);
            self.chunk_freed();
        }
        if let Some(entry) = self.conn(conn) {
            entry.lent = false;
        }
        self.is_free_to_send(conn);
    }

    /// A part of what kept `conn` from sending is over.
    fn is_free_to_send(&mut self, conn: ConnId) {
        if self
            .conn(conn)
            .is_some_and(|entry| core::mem::take(&mut entry.due))
        {
            self.mark_ready(conn);
        }
    }
}

//! Peers that misbehave, each in the way of its [`Kind`]: machines on the shipped codec, to be run
//! beside engines.
//!
//! An adversary takes part like any peer. It listens, announces itself to the torrent's trackers so
//! that others find it, dials those it learns of, and dials them again when they have left it. On a
//! connection it behaves like a seed, but for what its kind does differently (`conduct`); what it
//! serves is right unless its kind says otherwise.
//!
//! All of its chance comes from its generator, and what it keeps is bounded: connections by
//! `LINES_MAX`, addresses by `BOOK_MAX`, and what waits to be sent by what engines ask for, or
//! by pauses until it has gone.

mod announce;
mod claims;
mod conduct;
mod floods;
mod kind;
mod leavers;
mod line;
mod noise;
mod payload;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use ripcurrent_proto::api::{Input, Net, Output};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::base::timer::Timers;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::wire::handshake::{Handshake, Reserved};

use crate::content::Content;
use announce::Herald;
use line::Line;

pub use kind::{Kind, UnknownKind};

/// The most connections to peers.
const LINES_MAX: usize = 128;
/// The most addresses that are dialled.
const BOOK_MAX: usize = 500;
/// The pause before an address is dialled again, in seconds: at least so many, and less than twice
/// as many. It doubles with each dial.
const REDIAL_S: u64 = 10;
/// How often that pause doubles.
const DOUBLINGS: u32 = 4;
/// The pause after which a dial is tried again for which there was no room.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// A peer that misbehaves.
pub struct Adversary {
    kind: Kind,
    content: Arc<Content>,
    rng: Rng,
    herald: Herald,
    conns: Slots<Conn>,
    lines: usize,
    lines_ever: u64,
    /// Whom it dials, and how often it has.
    book: BTreeMap<SocketAddr, u32>,
    timers: Timers<Timer>,
    outputs: VecDeque<Output>,
}

/// A connection, until it is closed.
enum Conn {
    Tracker,
    Peer(Box<Line>),
    /// It is being closed. What was dialled is dialled again.
    Closing {
        dialled: Option<SocketAddr>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Wake(ConnId),
    Dial(SocketAddr),
}

impl Adversary {
    /// An adversary that knows nobody yet. All of its chance comes from `rng`.
    #[must_use]
    pub fn new(kind: Kind, content: Arc<Content>, rng: Rng) -> Self {
        let herald = Herald::new(kind, &content.torrent, &rng);
        Adversary {
            kind,
            content,
            rng,
            herald,
            conns: Slots::new(),
            lines: 0,
            lines_ever: 0,
            book: BTreeMap::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Learns of a peer.
    fn learn(&mut self, now: Instant, addr: SocketAddr) {
        if self.book.len() < BOOK_MAX && !self.book.contains_key(&addr) {
            self.book.insert(addr, 0);
            for _ in 0..self.kind.connections() {
                self.timers.set(now, Timer::Dial(addr));
            }
        }
    }

    fn dial(&mut self, now: Instant, to: SocketAddr) {
        if self.lines >= LINES_MAX {
            return self.timers.set(now + FULL_PAUSE, Timer::Dial(to));
        }
        if let Some(dials) = self.book.get_mut(&to) {
            *dials += 1;
        }
        let conn = self.begin(to, true);
        let tls = None;
        self.ask(Net::Connect { conn, to, tls });
    }

    fn begin(&mut self, addr: SocketAddr, dialled: bool) -> ConnId {
        self.lines += 1;
        self.lines_ever += 1;
        let rng = self.rng.fork(&format!("line {}", self.lines_ever));
        let ours = Handshake {
            reserved: Reserved::NONE.with_fast().with_extended(),
            info_hash: self.herald.info_hash(),
            peer_id: match self.kind {
                Kind::Sybil => peer_id(&rng),
                _ => self.herald.peer_id(),
            },
        };
        let conduct = conduct::conduct(self.kind, &self.rng);
        let line = Line::new(addr, dialled, conduct, ours, rng);
        ConnId(self.conns.insert(Conn::Peer(Box::new(line))))
    }

    /// A line to a peer is there.
    fn open(&mut self, now: Instant, conn: ConnId) {
        if let Some(Conn::Peer(line)) = self.conns.get_mut(conn.0) {
            let until = line.connected(now, &self.content);
            self.ask(Net::Recv { conn, until });
            self.settle(conn);
        }
    }

    /// Has a line do something, and carries out what it then wants.
    fn with_line(&mut self, conn: ConnId, act: impl FnOnce(&mut Line, &Content)) {
        if let Some(Conn::Peer(line)) = self.conns.get_mut(conn.0) {
            act(line, &self.content);
            self.settle(conn);
        }
    }

    fn settle(&mut self, conn: ConnId) {
        let Some(Conn::Peer(line)) = self.conns.get_mut(conn.0) else {
            return;
        };
        if let Some(at) = line.take_alarm() {
            self.timers.set(at, Timer::Wake(conn));
        }
        let transmission = line.next_transmission(&self.content);
        if line.has_hung_up() {
            self.close(conn);
        } else if let Some(transmission) = transmission {
            self.ask(Net::Transmit { conn, transmission });
        }
    }

    fn close(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn.0) else {
            return;
        };
        let dialled = match entry {
            Conn::Tracker => None,
            Conn::Peer(line) => {
                self.lines -= 1;
                line.dialled.then_some(line.addr)
            }
            Conn::Closing { .. } => return,
        };
        *entry = Conn::Closing { dialled };
        self.ask(Net::Close { conn });
    }

    fn closed(&mut self, now: Instant, conn: ConnId) {
        let closed = self.conns.remove(conn.0);
        if let Some(Conn::Closing {
            dialled: Some(addr),
        }) = closed
        {
            let dials = self.book.get(&addr).copied().unwrap_or(0);
            let least = REDIAL_S << dials.min(DOUBLINGS);
            let pause = Duration::from_secs(least + self.rng.below(least));
            self.timers.set(now + pause, Timer::Dial(addr));
        }
        self.announce_conn_closed(now, conn);
    }

    fn ask(&mut self, net: Net) {
        self.outputs.push_back(Output::Net(net));
    }
}

impl Machine for Adversary {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        if self.lines >= LINES_MAX {
            return None;
        }
        let conn = self.begin(from, false);
        self.open(now, conn);
        Some(conn)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bound { addr } => self.start_announcing(now, addr.port()),
            Input::Resolved { result, .. } => self.resolved(now, &result),
            Input::Connected { conn } => match self.conns.get(conn.0) {
                Some(Conn::Tracker) => self.tracker_connected(now),
                _ => self.open(now, conn),
            },
            Input::Received { conn, data } => match self.conns.get(conn.0) {
                Some(Conn::Tracker) => self.tracker_received(now, data),
                _ => self.with_line(conn, |line, content| line.received(now, content, data)),
            },
            Input::Sent { conn } => self.with_line(conn, |line, _| line.sent()),
            Input::Ended { conn, reason } => {
                if let Some(Conn::Tracker) = self.conns.get(conn.0) {
                    self.tracker_ended(now, reason);
                }
                self.close(conn);
            }
            Input::Closed { conn } => self.closed(now, conn),
            // It has no disk, hashes nothing and obeys nobody.
            Input::Returned { .. } | Input::Disk(_) | Input::Hashed { .. } | Input::Command(_) => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop_due(now) {
            match timer {
                Timer::Wake(conn) => {
                    self.with_line(conn, |line, content| line.woken(now, content));
                }
                Timer::Dial(addr) => self.dial(now, addr),
            }
        }
        self.announce_timer(now);
    }

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let announce = self.herald.poll_timeout();
        self.timers.next().into_iter().chain(announce).min()
    }
}

/// A name that begins like that of no client.
fn peer_id(rng: &Rng) -> [u8; 20] {
    let mut id = *b"-XX0000-############";
    rng.fork("peer id").fill(&mut id[8..]);
    id
}

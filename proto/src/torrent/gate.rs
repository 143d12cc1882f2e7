//! Rate limits, on all torrents together and on each, and the turns of those who wait for them.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::num::NonZeroU64;

use super::shared::Timer;
use crate::base::id::{ConnId, TorrentId};
use crate::base::rate::Bucket;
use crate::base::time::Instant;
use crate::base::timer::Timers;

/// Credit given to a connection at once under a limit, in bytes: a block and its header.
pub(super) const CREDIT_LIMITED: u64 = 17 * 1024;

/// What a limit on one torrent takes in one direction, in bytes: its own gate with the node of a tree
/// that holds one line, and its line at the limit on all. Those who wait count as connections.
pub(super) const GATE_BYTES: u64 = {
    /// Entries of the node of a tree.
    const NODE: usize = 12;
    let gate = size_of::<(TorrentId, Gate)>();
    let line = size_of::<(Option<TorrentId>, Line)>();
    (3 * gate + NODE * line + 3 * line) as u64
};

/// The limits in one direction: on all torrents together, and on single ones. Whose limit is meant
/// is told by an id, that of all together by `None`.
#[derive(Debug)]
pub(super) struct Gates {
    all: Option<Gate>,
    own: BTreeMap<TorrentId, Gate>,
    /// The timer that opens a gate.
    timer: fn(Option<TorrentId>) -> Timer,
}

impl Gates {
    /// Gates that are opened by `timer`, of which there is none yet.
    pub(super) fn new(timer: fn(Option<TorrentId>) -> Timer) -> Self {
        Gates {
            all: None,
            own: BTreeMap::new(),
            timer,
        }
    }

    /// Whether there is any limit.
    pub(super) fn is_any(&self) -> bool {
        self.all.is_some() || !self.own.is_empty()
    }

    /// Whether a limit holds for `torrent`.
    pub(super) fn hold(&self, torrent: TorrentId) -> bool {
        self.all.is_some() || self.own.contains_key(&torrent)
    }

    /// Whether `conn` waits for its turn.
    pub(super) fn has(&self, conn: ConnId) -> bool {
        let mut gates = self.all.iter().chain(self.own.values());
        gates.any(|gate| gate.has(conn))
    }

    /// Replaces a limit, in bytes per second; who waited for the old one, in the order of their
    /// turns.
    pub(super) fn set(
        &mut self,
        whose: Option<TorrentId>,
        rate: Option<NonZeroU64>,
        now: Instant,
    ) -> VecDeque<ConnId> {
        let gate = rate.map(|rate| Gate::new(rate.get(), now));
        let old = match (whose, gate) {
            (None, gate) => core::mem::replace(&mut self.all, gate),
            (Some(torrent), Some(gate)) => self.own.insert(torrent, gate),
            (Some(torrent), None) => self.own.remove(&torrent),
        };
        old.map(|mut gate| gate.open()).unwrap_or_default()
    }

    /// Takes `bytes` if every limit on `torrent` lets them through now. If not, `conn` waits for its
    /// turn, after that of all others if it was `served` before; at the gate of its torrent first,
    /// where it stands in nobody else's way.
    pub(super) fn pass(
        &mut self,
        now: Instant,
        timers: &mut Timers<Timer>,
        (conn, torrent): (ConnId, Option<TorrentId>),
        bytes: u64,
        served: bool,
    ) -> bool {
        let own = torrent.and_then(|id| self.own.get_mut(&id));
        let mut gates = [(torrent, own), (None, self.all.as_mut())];
        for (whose, gate) in &mut gates {
            let Some(gate) = gate else { continue };
            if gate.bucket.available(now) < bytes {
                gate.wait(conn, torrent, served);
                if !core::mem::replace(&mut gate.armed, true) {
                    timers.set(gate.bucket.when(bytes), (self.timer)(*whose));
                }
                return false;
            }
        }
        for (_, gate) in gates {
            if let Some(gate) = gate {
                gate.take(torrent, bytes);
            }
        }
        true
    }

    /// All who wait at a gate, in the order of their turns, now that it may let more through.
    pub(super) fn open(&mut self, whose: Option<TorrentId>) -> VecDeque<ConnId> {
        let gate = match whose {
            None => self.all.as_mut(),
            Some(torrent) => self.own.get_mut(&torrent),
        };
        gate.map(Gate::open).unwrap_or_default()
    }

    /// `conn` waits no more.
    pub(super) fn forget(&mut self, conn: ConnId) {
        for gate in self.all.iter_mut().chain(self.own.values_mut()) {
            gate.forget(conn);
        }
    }
}

/// A rate limit and those who wait for it: the torrents by turns, however many wait of each, and of
/// a torrent everybody in the order of their coming.
#[derive(Debug)]
struct Gate {
    bucket: Bucket,
    lines: BTreeMap<Option<TorrentId>, Line>,
    /// Whose turn it was last.
    last: Option<TorrentId>,
    armed: bool,
}

/// Who waits of one torrent.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<ConnId>,
    /// Those who had some this time and want more: their turn comes after that of all others.
    served: VecDeque<ConnId>,
}

impl Gate {
    fn new(rate: u64, now: Instant) -> Self {
        // A burst of a quarter of a second, but always enough for one block.
        let burst = (rate / 4).max(2 * CREDIT_LIMITED);
        Gate {
            bucket: Bucket::new(rate, burst, now),
            lines: BTreeMap::new(),
            last: None,
            armed: false,
        }
    }

    fn has(&self, conn: ConnId) -> bool {
        let mut lines = self.lines.values();
        lines.any(|line| line.waiting.contains(&conn) || line.served.contains(&conn))
    }

    fn wait(&mut self, conn: ConnId, torrent: Option<TorrentId>, served: bool) {
        if self.has(conn) {
            return;
        }
        let line = self.lines.entry(torrent).or_default();
        match served {
            true => line.served.push_back(conn),
            false => line.waiting.push_back(conn),
        }
    }

    fn take(&mut self, torrent: Option<TorrentId>, bytes: u64) {
        self.bucket.take(bytes);
        self.last = torrent;
    }

    fn open(&mut self) -> VecDeque<ConnId> {
        self.armed = false;
        let lines = core::mem::take(&mut self.lines).into_iter();
        let (had_theirs, mut lines): (Vec<_>, Vec<_>) =
            lines.partition(|(torrent, _)| *torrent <= self.last);
        lines.extend(had_theirs);
        let mut lines: Vec<VecDeque<ConnId>> = lines
            .into_iter()
            .map(|(_, mut line)| {
                line.waiting.append(&mut line.served);
                line.waiting
            })
            .collect();
        let mut all = VecDeque::new();
        while !lines.is_empty() {
            all.extend(lines.iter_mut().filter_map(VecDeque::pop_front));
            lines.retain(|line| !line.is_empty());
        }
        all
    }

    fn forget(&mut self, conn: ConnId) {
        for line in self.lines.values_mut() {
            line.waiting.retain(|waiting| *waiting != conn);
            line.served.retain(|waiting| *waiting != conn);
        }
    }
}

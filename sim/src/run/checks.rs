//! What is looked at as a run goes on: the [invariants](crate::invariants), called at their times.
//!
//! Hosts whose disks lie, by flipped bits or reads from the wrong place, may come to serve what is
//! wrong without a fault of the client: they may be banned, and what lies on their disks is not
//! judged.

use std::cell::RefMut;
use std::net::IpAddr;

use ripcurrent_proto::api::Phase;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::meta::layout::PieceIndex;

use super::peer::Peer;
use super::process::{Client, Process, referee};
use super::{ROOT, TORRENT};
use crate::content::Content;
use crate::disk::Layer;
use crate::invariants::{Breach, Delays, Watch, liveness_bound};
use crate::scenario::{Fault, FaultKind, Role, Scenario};

/// How long an undisturbed leecher may get nothing while everything is there: much longer than any
/// optimistic slot or back-off takes to come round.
const PATIENCE: Duration = Duration::from_secs(600);

/// Looks at the hosts of a run.
pub(super) struct Checks {
    watch: Watch,
    /// When every leecher must be complete.
    due: Instant,
}

impl Checks {
    /// `fluid` is the least possible time.
    pub(super) fn new(scenario: &Scenario, peers: &[Peer], fluid: Duration) -> Self {
        Checks {
            watch: Watch::default(),
            due: Instant::ZERO + liveness_bound(&delays(scenario, peers, fluid)),
        }
    }

    /// Looks at every client. `is_calm` is whether nothing keeps any of them from the pieces it
    /// lacks.
    pub(super) fn look(&mut self, now: Instant, peers: &[Peer], is_calm: bool) {
        for peer in peers {
            let Some(Process::Client(client)) = peer.process() else {
                continue;
            };
            let name = &peer.member.name;
            let mut client = client.borrow_mut();
            let client = referee(&mut client);
            self.watch.client(now, name, TORRENT, client);
            if peer.must_complete
                && let Some(stats) = client.machine().stats(now, TORRENT)
            {
                let may_get_on = is_calm && stats.phase == Phase::Downloading;
                let (bytes, patience) = (stats.bytes_had, PATIENCE);
                self.watch.progress(now, name, bytes, may_get_on, patience);
            }
        }
    }

    /// A client relies on pieces to be durable, of which these are.
    pub(super) fn relied_on(
        &mut self,
        now: Instant,
        peer: &Peer,
        pieces: &Bitfield,
        durable: &Bitfield,
    ) {
        if !peer.lies {
            let survives = |piece| durable.contains(piece as usize);
            self.watch
                .relied_on(now, &peer.member.name, pieces, survives);
        }
    }

    /// A client tells that it is complete.
    pub(super) fn completed(&mut self, now: Instant, peer: &Peer, content: &Content) {
        if !peer.lies {
            let survives = content.is_finished(&peer.files, ROOT);
            self.watch.completed(now, &peer.member.name, survives);
        }
    }

    /// A client bans the host at `addr`.
    pub(super) fn banned(&mut self, now: Instant, peers: &[Peer], by: usize, addr: IpAddr) {
        let banned = peers.iter().find(|peer| peer.member.addr == addr);
        let is_liar = |peer: &Peer| peer.lies || peer.adversary.is_some_and(|kind| kind.is_liar());
        let is_liar = banned.is_some_and(is_liar);
        self.watch
            .banned(now, &peers[by].member.name, addr, is_liar);
    }

    /// The process of a host is about to end.
    pub(super) fn stopped(&mut self, peer: &Peer) {
        if let Some(Process::Client(client)) = peer.process() {
            let mut client = client.borrow_mut();
            self.watch.stopped(peer.member.addr, referee(&mut client));
        }
    }

    /// Looks at what the run came to, and tells what did not hold in it.
    pub(super) fn finish(mut self, now: Instant, peers: &[Peer], content: &Content) -> Vec<Breach> {
        self.look_at_bytes(now, peers);
        for peer in peers.iter().filter(|peer| !peer.lies) {
            let is_right = |piece| {
                let (files, piece) = (&peer.files, PieceIndex(piece));
                content.has_piece(files, ROOT, piece, Layer::Written)
            };
            let name = &peer.member.name;
            peer.with_pieces(|have| self.watch.disk(now, name, have, is_right));
        }
        for peer in peers.iter().filter(|peer| peer.must_complete) {
            let name = &peer.member.name;
            self.watch.finished(now, name, peer.completed, self.due);
        }
        self.watch.breaches().to_vec()
    }

    fn look_at_bytes(&mut self, now: Instant, peers: &[Peer]) {
        let mut clients: Vec<(&Peer, RefMut<'_, Client>)> = Vec::new();
        for peer in peers {
            if let Some(Process::Client(client)) = peer.process() {
                clients.push((peer, client.borrow_mut()));
            }
        }
        let clients = clients.iter_mut().map(|(peer, client)| {
            let (name, addr) = (&peer.member.name[..], peer.member.addr);
            (name, addr, &*referee(client))
        });
        self.watch.bytes(now, clients);
    }
}

/// What holds the swarm of a scenario up.
fn delays(scenario: &Scenario, peers: &[Peer], fluid: Duration) -> Delays {
    let lasts = |fault: &Fault| {
        let never = scenario.end.within_s;
        let lasts = if fault.kind.is_momentary() { 0 } else { never };
        Duration::from_secs(fault.for_s.unwrap_or(lasts))
    };
    let breaks = scenario.faults.iter().filter(|fault| breaks(&fault.kind));
    let arrivals = peers.iter().map(|peer| peer.member.arrives);
    let last = arrivals.max().unwrap_or(Instant::ZERO);
    let intervals = scenario.trackers.iter().map(|tracker| tracker.interval_s);
    let is_hostile = |peer: &&Peer| matches!(peer.member.role, Role::Adversary | Role::FreeRider);
    let hostile = peers.iter().filter(is_hostile).count();
    Delays {
        fluid,
        arrival: last.since(Instant::ZERO),
        faults: scenario.faults.iter().map(lasts).sum(),
        breaks: breaks.count() as u32,
        announce: Duration::from_secs(intervals.max().unwrap_or(0)),
        hostile_percent: (hostile * 100 / peers.len()) as u32,
    }
}

/// Whether connections break by it, or peers do not find each other.
fn breaks(kind: &FaultKind) -> bool {
    !matches!(kind, FaultKind::Rates(_) | FaultKind::StormMs(_))
}

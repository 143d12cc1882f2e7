//! Peers come and go: adoption, choking rounds, silence, bans, dialling.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::links::OPENING_LIMIT;
use super::shared::{Shared, Timer};
use super::{DEPARTED_MAX, Session, Torrent};
use crate::api::{Event, Phase};
use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::choke::{Decision, PeerView, ROUND, VACANCY, is_debtor};
use crate::peer::opening::{Opened, Opening};
use crate::peer::upload::UPLOAD_QUEUE_MAX;
use crate::peer::{IDLE_LIMIT, KEEP_ALIVE, Peer, SNUB_AFTER, Violation};
use crate::store::assembly::Writer;
use crate::swarm::Parting;
use crate::wire::extended::ExtendedHandshake;
use crate::wire::handshake::Reserved;
use crate::wire::message::{Decoder, Message};

/// Why a peer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// It is ourselves.
    Ourselves,
    /// It is here already.
    Twice,
    /// There are enough.
    Full,
    /// The torrent speaks to nobody now, or not to this host.
    Unwelcome,
}

/// What we offer in our handshake (BEP 6, BEP 10).
pub(crate) const RESERVED: Reserved = Reserved::NONE.with_fast().with_extended();

impl Torrent {
    /// Whether a connection of this host may become a peer.
    pub(crate) fn admits(&self, ip: IpAddr) -> bool {
        self.is_live() && self.swarm.admits(ip)
    }

    /// Takes a connection past its handshake as a peer.
    pub(crate) fn adopt(
        &mut self,
        now: Instant,
        conn: ConnId,
        addr: SocketAddr,
        opened: &Opened,
        shared: &mut Shared,
    ) -> Result<(), Declined> {
        if opened.handshake.peer_id == shared.peer_id {
            return Err(Declined::Ourselves);
        }
        if !self.admits(addr.ip()) {
            return Err(Declined::Unwelcome);
        }
        self.settle_twins(now, addr.ip(), opened, shared)?;
        if self.peers.len() >= shared.config.max_peers {
            return Err(Declined::Full);
        }
        if !opened.incoming {
            self.dialling -= 1;
        }
        shared.adopted(conn, self.id);
        let pieces = self.layout.pieces();
        let mut peer = Peer::new(now, addr, opened, pieces as usize);
        peer.have_cursor = self.have_log.len();
        // The clock of the handshake goes on as the peer's.
        self.introduce(conn, &peer, shared);
        let decoder = Some(Decoder::new(pieces));
        tracing::debug!(%addr, peer.incoming, client = ?peer.client, "peer comes");
        self.rest_no_more(now, shared);
        let counted = None;
        self.peers.insert(
            conn,
            Session {
                peer,
                decoder,
                counted,
            },
        );
        Ok(())
    }

    /// Two peers that dial each other at once have two connections; both must keep the same one:
    /// the one that was dialled by the greater peer id. Otherwise the first one stays. From another
    /// host it is another peer, whatever it calls itself: else anybody could push a peer out whose id
    /// is known.
    fn settle_twins(
        &mut self,
        now: Instant,
        ip: IpAddr,
        opened: &Opened,
        shared: &mut Shared,
    ) -> Result<(), Declined> {
        let theirs = opened.handshake.peer_id;
        let twin = self
            .peers
            .iter()
            .find(|(_, session)| session.peer.id == theirs && session.peer.addr.ip() == ip);
        let Some((twin, session)) = twin else {
            return Ok(());
        };
        let dialled_by_greater = opened.incoming == (theirs > shared.peer_id);
        if session.peer.incoming == opened.incoming || !dialled_by_greater {
            return Err(Declined::Twice);
        }
        self.drop_peer(now, twin, Parting::Twin, shared);
        Ok(())
    }

    /// Our first messages: what we have, and what we can (BEP 3, 6, 10).
    fn introduce(&self, conn: ConnId, peer: &Peer<Writer>, shared: &mut Shared) {
        let extended = peer.reserved.extended().then(|| {
            let mut payload = Vec::new();
            let handshake = ExtendedHandshake {
                client: Some(String::from(shared.config.client_name)),
                port: (shared.port != 0).then_some(shared.port),
                request_queue: Some(UPLOAD_QUEUE_MAX as u32),
                your_ip: Some(peer.addr.ip()),
                ..ExtendedHandshake::default()
            };
            handshake.encode(&mut payload);
            payload
        });
        let mut bits = Vec::new();
        self.have.to_wire(&mut bits);
        let (some, all) = (self.have.count() > 0, self.have.is_full());
        shared.send(conn, |out| {
            match (peer.is_fast(), some, all) {
                (true, false, _) => Message::HaveNone.encode(out),
                (true, _, true) => Message::HaveAll.encode(out),
                (_, true, _) => Message::Bitfield(&bits).encode(out),
                (false, false, _) => {}
            }
            if let Some(payload) = &extended {
                Message::Extended { id: 0, payload }.encode(out);
            }
        });
    }

    /// A peer's connection is over; what it was good for is undone.
    pub(crate) fn peer_gone(
        &mut self,
        now: Instant,
        conn: ConnId,
        parting: Parting,
        shared: &mut Shared,
    ) {
        let Some(mut session) = self.peers.remove(conn) else {
            return;
        };
        self.hungry.remove(conn);
        let peer = &mut session.peer;
        self.slot_vacated(now, peer, shared);
        self.release_requests(conn, peer, shared);
        if let Some(counted) = session.counted.take() {
            self.picker.peer_left(counted, &peer.have);
        }
        if peer.down.total() > 0 {
            if self.departed.len() == DEPARTED_MAX {
                self.departed.pop_front();
            }
            self.departed.push_back((conn, peer.addr.ip()));
        }
        if !peer.incoming {
            self.swarm.parted(now, peer.addr, parting);
        }
        tracing::debug!(addr = %peer.addr, ?parting, down = peer.down.total(), up = peer.up.total(), "peer goes");
        self.dial(shared);
    }

    /// An outgoing connection ended before it became a peer.
    pub(crate) fn dial_failed(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        parting: Parting,
        shared: &mut Shared,
    ) {
        tracing::debug!(%addr, ?parting, "no peer there");
        self.dialling -= 1;
        self.swarm.parted(now, addr, parting);
        self.dial(shared);
    }

    /// Leaves a peer.
    pub(crate) fn drop_peer(
        &mut self,
        now: Instant,
        conn: ConnId,
        parting: Parting,
        shared: &mut Shared,
    ) {
        shared.close(conn);
        self.peer_gone(now, conn, parting, shared);
    }

    /// Leaves all peers at once; nobody is dialled any more.
    pub(super) fn drop_all_peers(&mut self, now: Instant, shared: &mut Shared) {
        let conns: Vec<ConnId> = self.peers.conns().collect();
        for conn in conns {
            self.drop_peer(now, conn, Parting::Worked, shared);
        }
    }

    /// A peer broke the protocol.
    pub(crate) fn punish(
        &mut self,
        now: Instant,
        conn: ConnId,
        violation: Violation,
        shared: &mut Shared,
    ) {
        let Some(session) = self.peers.get(conn) else {
            return;
        };
        let ip = session.peer.addr.ip();
        tracing::debug!(addr = %session.peer.addr, %violation, "peer breaks the protocol");
        self.drop_peer(now, conn, Parting::Failed, shared);
        if self.swarm.strike(ip) {
            self.tell_banned(ip, violation.to_string(), shared);
        }
    }

    /// A host gave us corrupt data: it is not spoken to again.
    pub(super) fn ban(&mut self, ip: IpAddr, reason: &str, shared: &mut Shared) {
        if self.swarm.ban(ip) {
            self.tell_banned(ip, reason.to_string(), shared);
        }
        for (conn, session) in self.peers.iter() {
            if session.peer.addr.ip() == ip {
                shared.dismiss(self.id, conn, Parting::Failed);
            }
        }
    }

    fn tell_banned(&self, addr: IpAddr, reason: String, shared: &mut Shared) {
        shared.tell(Event::Banned {
            torrent: self.id,
            addr,
            reason,
        });
    }

    /// Whether neither side has anything to gain: both have all they will ever have.
    pub(super) fn is_useless(&self, peer: &Peer<Writer>) -> bool {
        self.phase == Phase::Seeding && peer.have.is_full()
    }

    /// Everything wanted is here: peers that have everything are left.
    pub(super) fn dismiss_useless(&mut self, shared: &mut Shared) {
        for (conn, session) in self.peers.iter() {
            if self.is_useless(&session.peer) {
                shared.dismiss(self.id, conn, Parting::Useless);
            }
        }
    }

    // Choking.

    /// A peer has become interested: it need not wait for the next round if there is room.
    pub(super) fn unchoke_if_vacant(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        if !peer.choked || !self.is_live() {
            return;
        }
        let (seeding, up_rate) = (self.phase == Phase::Seeding, self.up.rate(now));
        let vacant = self.choker.vacancy(seeding, up_rate, self.unchoked());
        if vacant && !self.in_debt(peer) {
            self.unchoke(now, conn, peer, shared);
        } else {
            self.look_for_vacancies(now, shared);
        }
    }

    /// A peer needs its slot no more, if it has one: another may have it.
    pub(super) fn slot_vacated(&mut self, now: Instant, peer: &Peer<Writer>, shared: &mut Shared) {
        if !peer.choked {
            self.look_for_vacancies(now, shared);
        }
    }

    fn look_for_vacancies(&mut self, now: Instant, shared: &mut Shared) {
        self.vacancies
            .set(&mut shared.timers, now + VACANCY, Timer::Vacancy(self.id));
    }

    /// Slots may be vacant while others wait for one.
    pub(crate) fn fill_slots(&mut self, now: Instant, shared: &mut Shared) {
        if !self.vacancies.fired(now) || !self.is_live() {
            return;
        }
        let views = self.views(now);
        let seeding = self.phase == Phase::Seeding;
        let decision = self.choker.fill(now, seeding, &views);
        self.carry_out(now, decision, shared);
        // A seed comes to have more slots as it is seen to be fast.
        let waits = |peer: &Peer<Writer>| peer.wants_us && peer.choked;
        if seeding && self.sessions().any(waits) {
            self.look_for_vacancies(now, shared);
        }
    }

    /// A choking round, every 10 s.
    pub(crate) fn choke_round(&mut self, now: Instant, shared: &mut Shared) {
        if self.phase == Phase::Leaving || !self.rounds.fired(now) {
            return;
        }
        if self.peers.len() == 0 && self.phase != Phase::Downloading {
            self.resting = Some(now);
            return;
        }
        self.rounds
            .set(&mut shared.timers, now + ROUND, Timer::Choke(self.id));
        let views = self.views(now);
        let decision = self.choker.round(now, self.phase == Phase::Seeding, &views);
        self.carry_out(now, decision, shared);
        self.reconsider(now, shared);
        self.seek_peers(now, shared);
    }

    /// Somebody is there again, or looked for: goes on with the rounds as if they had not rested.
    pub(super) fn rest_no_more(&mut self, now: Instant, shared: &mut Shared) {
        let Some(since) = self.resting.take() else {
            return;
        };
        let missed = now.since(since).as_micros() / ROUND.as_micros();
        let next = since + ROUND * (missed as u32 + 1);
        self.rounds
            .set(&mut shared.timers, next, Timer::Choke(self.id));
    }

    fn views(&self, now: Instant) -> Vec<PeerView> {
        let peers = self.peers.iter();
        let views = peers.map(|(conn, session)| self.view(now, conn, &session.peer));
        views.collect()
    }

    fn view(&self, now: Instant, conn: ConnId, peer: &Peer<Writer>) -> PeerView {
        PeerView {
            conn,
            interested: peer.wants_us,
            unchoked: !peer.choked,
            down_rate: peer.down.rate(now),
            up_rate: peer.up.rate(now),
            snubbed: peer.snubbed,
            connected_at: peer.connected_at,
            switched_at: peer.switched_at,
            has_all: peer.have.is_full(),
            in_debt: self.in_debt(peer),
        }
    }

    /// Whether the peer took much of us and gave little. To a seed nobody owes anything.
    fn in_debt(&self, peer: &Peer<Writer>) -> bool {
        self.phase != Phase::Seeding && is_debtor(peer.down.total(), peer.up.total())
    }

    fn carry_out(&mut self, now: Instant, decision: Decision, shared: &mut Shared) {
        for conn in decision.choke {
            self.with_session(conn, |torrent, session| {
                torrent.choke(now, conn, &mut session.peer, shared);
            });
        }
        for conn in decision.unchoke {
            self.with_session(conn, |torrent, session| {
                torrent.unchoke(now, conn, &mut session.peer, shared);
            });
        }
    }

    /// Peers that rejected requests or had no block to ask for are tried again, and those that have
    /// nothing any more that we want are told so.
    fn reconsider(&mut self, now: Instant, shared: &mut Shared) {
        let wanted = self.peers.iter().filter(|(_, session)| session.peer.wanted);
        let wanted: Vec<ConnId> = wanted.map(|(conn, _)| conn).collect();
        for conn in wanted {
            self.with_session(conn, |torrent, session| {
                let peer = &mut session.peer;
                peer.refusing = false;
                if peer.pipeline.is_empty() && !torrent.picker.wants_from(&peer.have) {
                    return torrent.set_interest(conn, peer, false, shared);
                }
                torrent.request_more(now, conn, peer, shared);
            });
        }
    }

    // Silence.

    /// A peer's deadline came: it may have been silent for too long, or we have.
    pub(crate) fn peer_deadline(&mut self, now: Instant, conn: ConnId, shared: &mut Shared) {
        let gone = self.with_session(conn, |torrent, session| {
            let peer = &mut session.peer;
            if shared.withholds_credit(conn) {
                (peer.heard_at, peer.progress_at) = (now, now);
            }
            if now >= peer.heard_at + IDLE_LIMIT || shared.is_stuck(now, conn) {
                return true;
            }
            if now >= peer.spoke_at + KEEP_ALIVE {
                peer.spoke_at = now;
                shared.send(conn, |out| Message::KeepAlive.encode(out));
            }
            if peer.pipeline.owes() && now >= peer.progress_at + SNUB_AFTER {
                torrent.snubbed(conn, peer, shared);
            }
            // Requests that go out meanwhile have their deadline too.
            let next = peer.deadline().min(now + SNUB_AFTER);
            shared.timers.set(next, Timer::Conn(conn));
            false
        });
        if gone == Some(true) {
            self.drop_peer(now, conn, Parting::Worked, shared);
        }
    }

    /// A peer owes us blocks and does not send them: others are asked.
    fn snubbed(&mut self, conn: ConnId, peer: &mut Peer<Writer>, shared: &mut Shared) {
        tracing::debug!("peer snubs us");
        peer.snubbed = true;
        let begun = peer.arriving.iter().map(|arriving| arriving.block);
        for block in begun.chain(peer.pipeline.give_up()) {
            self.picker.release(conn, block);
        }
        shared.freed = true;
    }

    // Dialling.

    /// Known addresses are to be dialled, as soon as limits allow.
    pub(crate) fn dial(&mut self, shared: &mut Shared) {
        if self.is_live() && !shared.to_dial.contains(&self.id) {
            shared.to_dial.push_back(self.id);
        }
    }

    /// Dials one known address whose time has come, unless enough connections lead to its host;
    /// whether there was one.
    pub(crate) fn dial_next(&mut self, now: Instant, shared: &mut Shared) -> bool {
        let full = self.peers.len() + self.dialling >= shared.config.max_peers;
        if !self.is_live() || full {
            return false;
        }
        let Some(addr) = self.swarm.next(now) else {
            if let Some(at) = self.swarm.next_at() {
                self.dials.set(&mut shared.timers, at, Timer::Dial(self.id));
            }
            return false;
        };
        if shared.is_crowded(Some(self.id), addr.ip()) {
            self.swarm.parted(now, addr, Parting::Twin);
            return true;
        }
        tracing::debug!(%addr, "dial");
        self.dialling += 1;
        let opening = Box::new(Opening::dialled(self.info_hash));
        let conn = shared.dial_peer(addr, opening, self.id);
        shared.timers.set(now + OPENING_LIMIT, Timer::Conn(conn));
        true
    }

    /// The time of the next address has come.
    pub(crate) fn dial_timer(&mut self, now: Instant, shared: &mut Shared) {
        self.dials.fired(now);
        self.dial(shared);
    }
}

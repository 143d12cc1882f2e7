//! How others find an adversary, and it them: it announces itself like any client.

use std::net::IpAddr;

use ripcurrent_proto::api::{EndReason, IoError, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Id, OpId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::tracker::schedule::{Action, Announcer, Identity, Progress};

use super::{Adversary, Conn, Kind, peer_id};

/// How many peers it asks for.
const WANT_PEERS: u32 = 50;

/// Announces.
pub(super) struct Herald {
    identity: Identity,
    announcer: Announcer,
    progress: Progress,
    /// The connection to the tracker.
    conn: Option<ConnId>,
    lookups: u32,
}

impl Herald {
    pub(super) fn new(kind: Kind, torrent: &Torrent, rng: &Rng) -> Self {
        let identity = Identity {
            info_hash: torrent.hashes().v1.expect("what engines can share"),
            peer_id: peer_id(rng),
            user_agent: "Adversary",
        };
        let left = match kind.poses_as_seed() {
            true => 0,
            false => torrent.layout().total_len(),
        };
        Herald {
            identity,
            announcer: Announcer::new(torrent.trackers(), identity, rng.fork("herald"), false),
            progress: Progress {
                uploaded: 0,
                downloaded: 0,
                left,
                port: 0,
                want_peers: WANT_PEERS,
            },
            conn: None,
            lookups: 0,
        }
    }

    pub(super) fn info_hash(&self) -> [u8; 20] {
        self.identity.info_hash
    }

    pub(super) fn peer_id(&self) -> [u8; 20] {
        self.identity.peer_id
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.announcer.poll_timeout()
    }
}

impl Adversary {
    /// It listens: others may hear of it.
    pub(super) fn start_announcing(&mut self, now: Instant, port: u16) {
        self.herald.progress.port = port;
        self.herald.announcer.start(now);
        self.announce(now);
    }

    pub(super) fn resolved(&mut self, now: Instant, result: &Result<Vec<IpAddr>, IoError>) {
        let result = result.as_deref().map_err(|error| *error);
        self.herald.announcer.resolved(now, result);
        self.announce(now);
    }

    pub(super) fn tracker_connected(&mut self, now: Instant) {
        self.herald.announcer.connected(now);
        if let Some(conn) = self.herald.conn {
            let until = u64::MAX;
            self.ask(Net::Recv { conn, until });
        }
        self.announce(now);
    }

    pub(super) fn tracker_received(&mut self, now: Instant, data: &[u8]) {
        self.herald.announcer.received(now, data);
        self.announce(now);
    }

    pub(super) fn tracker_ended(&mut self, now: Instant, reason: EndReason) {
        self.herald.announcer.ended(now, reason);
        self.announce(now);
    }

    /// A connection is closed; it may have been the tracker's.
    pub(super) fn announce_conn_closed(&mut self, now: Instant, conn: ConnId) {
        if self.herald.conn == Some(conn) {
            self.herald.conn = None;
            self.herald.announcer.closed(now);
            self.announce(now);
        }
    }

    pub(super) fn announce_timer(&mut self, now: Instant) {
        if self.herald.poll_timeout().is_some_and(|at| at <= now) {
            self.herald.announcer.handle_timeout(now);
            self.announce(now);
        }
    }

    /// Carries out what the announcer wants done.
    fn announce(&mut self, now: Instant) {
        while let Some(action) = self.herald.announcer.poll(now, &self.herald.progress) {
            match action {
                Action::Resolve { host } => {
                    self.herald.lookups += 1;
                    let op = OpId(Id::from_parts(self.herald.lookups, 0));
                    self.outputs.push_back(Output::Resolve { op, host });
                }
                Action::Connect { to, tls } => {
                    let conn = ConnId(self.conns.insert(Conn::Tracker));
                    self.herald.conn = Some(conn);
                    self.ask(Net::Connect { conn, to, tls });
                }
                Action::Send { bytes } => {
                    if let Some(conn) = self.herald.conn {
                        let mut transmission = Transmission::default();
                        transmission.push_head(|head| head.extend(bytes));
                        self.ask(Net::Transmit { conn, transmission });
                    }
                }
                Action::Disconnect => {
                    if let Some(conn) = self.herald.conn {
                        self.close(conn);
                    }
                }
                Action::Report { result, .. } => {
                    let peers = result.map(|reply| reply.peers).unwrap_or_default();
                    peers.into_iter().for_each(|peer| self.learn(now, peer));
                }
            }
        }
    }
}

//! Connections, from their making to their `Closed`: which torrent's business is this?

use core::net::SocketAddr;

use super::{Engine, span};
use crate::api::EndReason;
use crate::base::id::{ConnId, TorrentId};
use crate::base::time::Instant;
use crate::peer::opening::{Opened, Step};
use crate::swarm::Parting;
use crate::torrent::links::Owner;
use crate::torrent::peers::{Declined, RESERVED};
use crate::wire::handshake::Handshake;

impl Engine {
    pub(super) fn connected(&mut self, now: Instant, conn: ConnId) {
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        if entry.closing {
            return;
        }
        match &entry.owner {
            Owner::Opening(opening) => {
                let asked_for = opening.asked_for();
                self.shared.connected(now, conn);
                if let Some(info_hash) = asked_for {
                    self.greet(conn, info_hash);
                }
            }
            Owner::Tracker(id) => {
                let id = *id;
                self.shared.connected(now, conn);
                self.with(id, |torrent, shared| {
                    torrent.tracker_connected(now, conn, shared)
                });
            }
            Owner::Peer(_) | Owner::Nobody => {}
        }
    }

    fn greet(&mut self, conn: ConnId, info_hash: [u8; 20]) {
        let peer_id = self.shared.peer_id;
        let ours = Handshake {
            reserved: RESERVED,
            info_hash,
            peer_id,
        };
        self.shared
            .send(conn, |out| out.extend_from_slice(&ours.encode()));
    }

    pub(super) fn received(&mut self, now: Instant, conn: ConnId, data: &[u8]) {
        self.shared.received(conn, data.len());
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        match entry.owner {
            Owner::Opening(..) => self.opening_received(now, conn, data),
            Owner::Peer(id) => self.peer_received(now, conn, id, data),
            Owner::Tracker(id) => {
                self.with(id, |torrent, shared| {
                    torrent.tracker_received(now, conn, data, shared)
                });
            }
            Owner::Nobody => {}
        }
        self.shared.grant(now, conn);
    }

    fn peer_received(&mut self, now: Instant, conn: ConnId, id: TorrentId, data: &[u8]) {
        let Some(torrent) = self.torrents.get_mut(&id) else {
            return;
        };
        let _span = span(id).entered();
        if let Err(violation) = torrent.received(now, conn, data, &mut self.shared) {
            torrent.punish(now, conn, violation, &mut self.shared);
        }
    }

    fn opening_received(&mut self, now: Instant, conn: ConnId, mut data: &[u8]) {
        loop {
            let Some(entry) = self.shared.conn(conn) else {
                return;
            };
            let Owner::Opening(opening) = &mut entry.owner else {
                return;
            };
            match opening.read(&mut data) {
                Ok(Step::Pending) => return,
                Ok(Step::Asked(info_hash)) => {
                    let addr = entry.addr;
                    let asked = self.by_hash.get(&info_hash).copied();
                    let torrent = asked.and_then(|id| self.torrents.get(&id));
                    let admitted = torrent.is_some_and(|torrent| torrent.admits(addr.ip()));
                    if !admitted || self.shared.is_crowded(asked, addr.ip()) {
                        return self.abandon_opening(now, conn);
                    }
                    self.shared.asked_for(conn, asked);
                    self.greet(conn, info_hash);
                }
                Ok(Step::Opened(opened)) => {
                    return self.opened(now, conn, &opened, data);
                }
                Err(_) => return self.abandon_opening(now, conn),
            }
        }
    }

    /// The handshake is over: the torrent takes the peer, with what it sent already, or declines.
    fn opened(&mut self, now: Instant, conn: ConnId, opened: &Opened, leftover: &[u8]) {
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        let (addr, torrent) = (entry.addr, entry.torrent);
        let Some(id) = torrent else {
            return self.abandon_opening(now, conn);
        };
        let adopted = self.with(id, |torrent, shared| {
            torrent.adopt(now, conn, addr, opened, shared)
        });
        match adopted {
            None => self.abandon_opening(now, conn),
            Some(Ok(())) => self.peer_received(now, conn, id, leftover),
            Some(Err(declined)) => {
                let parting = match declined {
                    Declined::Ourselves => Parting::Shunned,
                    Declined::Twice => Parting::Twin,
                    Declined::Full | Declined::Unwelcome => Parting::Worked,
                };
                self.close_opening(now, conn, parting);
            }
        }
    }

    /// Closes a connection whose handshake is under way, if it is one.
    pub(super) fn abandon_opening(&mut self, now: Instant, conn: ConnId) {
        self.close_opening(now, conn, Parting::Failed);
    }

    fn close_opening(&mut self, now: Instant, conn: ConnId, parting: Parting) {
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        let Owner::Opening(..) = entry.owner else {
            return;
        };
        tracing::debug!(addr = %entry.addr, incoming = entry.incoming, ?parting, "handshake given up");
        let dialled = (!entry.incoming).then_some((entry.addr, entry.torrent));
        self.shared.close(conn);
        if let Some((addr, torrent)) = dialled {
            self.dial_failed(now, addr, torrent, parting);
        }
    }

    fn dial_failed(
        &mut self,
        now: Instant,
        addr: SocketAddr,
        torrent: Option<TorrentId>,
        parting: Parting,
    ) {
        if let Some(id) = torrent {
            self.with(id, |torrent, shared| {
                torrent.dial_failed(now, addr, parting, shared)
            });
        }
    }

    pub(super) fn ended(&mut self, now: Instant, conn: ConnId, reason: EndReason) {
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        match entry.owner {
            Owner::Opening(..) => self.abandon_opening(now, conn),
            Owner::Peer(id) => {
                self.with(id, |torrent, shared| {
                    torrent.drop_peer(now, conn, Parting::Worked, shared)
                });
            }
            Owner::Tracker(id) => {
                self.with(id, |torrent, shared| {
                    torrent.tracker_ended(now, conn, reason, shared)
                });
            }
            Owner::Nobody => {}
        }
    }

    pub(super) fn closed(&mut self, now: Instant, conn: ConnId) {
        let Some((owner, torrent)) = self.shared.closed(conn) else {
            return;
        };
        if let Owner::Tracker(id) = owner {
            self.with(id, |torrent, shared| {
                torrent.tracker_closed(now, conn, shared)
            });
        }
        if let Some(id) = torrent {
            self.stir(id);
        }
    }

    /// A connection's deadline: an opening has had its time; a peer looks at its own clocks.
    pub(super) fn conn_deadline(&mut self, now: Instant, conn: ConnId) {
        let Some(entry) = self.shared.conn(conn) else {
            return;
        };
        match entry.owner {
            Owner::Opening(..) => self.abandon_opening(now, conn),
            Owner::Peer(id) => {
                self.with(id, |torrent, shared| {
                    torrent.peer_deadline(now, conn, shared)
                });
            }
            Owner::Tracker(_) | Owner::Nobody => {}
        }
    }
}

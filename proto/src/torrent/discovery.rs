//! Where peers come from: the trackers of the torrent, and people who name addresses.

use core::net::{IpAddr, SocketAddr};

use alloc::string::ToString;

use super::Torrent;
use super::shared::{Op, Shared, Timer};
use crate::api::{Event, Output, Phase};
use crate::base::id::ConnId;
use crate::base::io::{EndReason, IoError};
use crate::base::time::Instant;
use crate::tracker::schedule::{Action, Progress};

/// How many peers are asked of a tracker, like other clients do.
const WANT_PEERS: u32 = 200;
/// With fewer peers than this, the tracker is asked again as soon as it allows.
const FEW_PEERS: usize = 10;

impl Torrent {
    /// The torrent has come to life: announces itself and dials whom it knows.
    pub(super) fn start_discovery(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(announcer) = &mut self.announcer {
            announcer.start(now);
        }
        self.drive_announcer(now, shared);
        self.dial(shared);
    }

    /// The download ended here.
    pub(super) fn announce_completed(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(announcer) = &mut self.announcer {
            announcer.completed(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Somebody names a peer.
    pub(crate) fn add_peer(&mut self, now: Instant, addr: SocketAddr, shared: &mut Shared) {
        self.swarm.add(now, addr);
        self.dial(shared);
    }

    /// With few peers the tracker is asked again as soon as it allows.
    pub(super) fn seek_peers(&mut self, now: Instant, shared: &mut Shared) {
        if self.phase == Phase::Downloading
            && self.peers.len() < FEW_PEERS
            && let Some(announcer) = &mut self.announcer
        {
            announcer.hurry(now);
            self.drive_announcer(now, shared);
        }
    }

    /// Carries out what the announcer wants done. Few torrents speak to their trackers at once.
    pub(crate) fn drive_announcer(&mut self, now: Instant, shared: &mut Shared) {
        let progress = self.announced_progress(shared);
        while let Some(announcer) = &mut self.announcer
            && (!announcer.begins(now) || shared.announces.join(self.id))
            && let Some(action) = announcer.poll(now, &progress)
        {
            self.announcer_wants(now, action, shared);
        }
        let Some(announcer) = &self.announcer else {
            return;
        };
        let waits = announcer.begins(now);
        if !waits && !announcer.is_asking() {
            shared.announces.leave(self.id);
        }
        // Whoever waits for its turn is called.
        let at = announcer.poll_timeout();
        if let Some(at) = at.filter(|at| !waits || *at > now) {
            self.announces
                .set(&mut shared.timers, at, Timer::Tracker(self.id));
        }
    }

    fn announcer_wants(&mut self, now: Instant, action: Action, shared: &mut Shared) {
        match action {
            Action::Resolve { host } => {
                let op = shared.begin(self.id, Op::Resolve);
                shared.push(Output::Resolve { op, host });
            }
            Action::Connect { to, tls } => {
                tracing::debug!(%to, ?tls, "ask a tracker");
                self.tracker_conn = Some(shared.dial_tracker(to, tls, self.id));
            }
            Action::Send { bytes } => {
                if let Some(conn) = self.tracker_conn {
                    shared.send(conn, |out| out.extend_from_slice(&bytes));
                }
            }
            Action::Disconnect => {
                if let Some(conn) = self.tracker_conn {
                    shared.close(conn);
                }
            }
            Action::Report { url, result } => {
                let told = match result {
                    Ok(reply) => {
                        let found = reply.peers.len();
                        for peer in reply.peers {
                            self.swarm.add(now, peer);
                        }
                        self.dial(shared);
                        Ok(found)
                    }
                    Err(error) => Err(error.to_string()),
                };
                shared.tell(Event::Announced {
                    torrent: self.id,
                    url,
                    result: told,
                });
            }
        }
    }

    fn announced_progress(&self, shared: &Shared) -> Progress {
        Progress {
            uploaded: self.up.total(),
            downloaded: self.down.total(),
            left: self.layout.total_len() - self.bytes_of(&self.have, &self.have),
            port: shared.port,
            want_peers: WANT_PEERS,
        }
    }

    /// A tracker's name was looked up, or could not be.
    pub(crate) fn resolved(
        &mut self,
        now: Instant,
        result: Result<&[IpAddr], IoError>,
        shared: &mut Shared,
    ) {
        if let Some(announcer) = &mut self.announcer {
            announcer.resolved(now, result);
        }
        self.drive_announcer(now, shared);
    }

    /// The connection to the tracker is there.
    pub(crate) fn tracker_connected(&mut self, now: Instant, conn: ConnId, shared: &mut Shared) {
        if self.tracker_conn == Some(conn)
            && let Some(announcer) = &mut self.announcer
        {
            announcer.connected(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Bytes of the tracker's answer.
    pub(crate) fn tracker_received(
        &mut self,
        now: Instant,
        conn: ConnId,
        data: &[u8],
        shared: &mut Shared,
    ) {
        if self.tracker_conn == Some(conn)
            && let Some(announcer) = &mut self.announcer
        {
            announcer.received(now, data);
        }
        self.drive_announcer(now, shared);
    }

    /// The tracker closed, or the connection failed.
    pub(crate) fn tracker_ended(
        &mut self,
        now: Instant,
        conn: ConnId,
        reason: EndReason,
        shared: &mut Shared,
    ) {
        if self.tracker_conn == Some(conn)
            && let Some(announcer) = &mut self.announcer
        {
            announcer.ended(now, reason);
        }
        shared.close(conn);
        self.drive_announcer(now, shared);
    }

    /// The connection to the tracker is closed.
    pub(crate) fn tracker_closed(&mut self, now: Instant, conn: ConnId, shared: &mut Shared) {
        if self.tracker_conn == Some(conn) {
            self.tracker_conn = None;
            if let Some(announcer) = &mut self.announcer {
                announcer.closed(now);
            }
        }
        self.drive_announcer(now, shared);
    }

    /// The announcer's time has come.
    pub(crate) fn tracker_timer(&mut self, now: Instant, shared: &mut Shared) {
        if !self.announces.fired(now) {
            return;
        }
        if let Some(announcer) = &mut self.announcer {
            announcer.handle_timeout(now);
        }
        self.drive_announcer(now, shared);
    }
}

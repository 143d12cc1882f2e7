//! When one torrent speaks to which of its trackers.
//!
//! Invariants:
//! - One exchange is in flight at a time.
//! - A tracker hears `started` before anything else, `completed` at most once and only when the
//!   download ended here, and `stopped` only after `started`.
//! - A regular or hurried announce never undercuts a tracker's `min interval`; an event goes at
//!   once, for trackers count on it.
//! - Trackers are tried by BEP 12: tier by tier, shuffled once within a tier; the one that answers
//!   moves to the front of its tier.

mod tracker;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::announce::{Announce, Answer, Event};
use super::exchange::{Exchange, Want};
use crate::base::io::{EndReason, IoError};
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::wire::http::{Request, Response, encode_get};
use tracker::Tracker;

pub use super::announce::Reply;
pub use super::error::AnnounceError;

/// The most trackers of one torrent.
pub const TRACKERS_MAX: usize = 64;

/// How long a leave may take: people wait for it, and are promised to be let go within three seconds.
const LEAVE: Duration = Duration::from_secs(2);

/// Who announces.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// The client.
    pub peer_id: [u8; 20],
    /// Its name for itself.
    pub user_agent: &'static str,
}

/// What an announce tells of the torrent, as it is when the announce goes out.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Bytes sent to peers.
    pub uploaded: u64,
    /// Bytes received from peers.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// Where we listen.
    pub port: u16,
    /// How many peers we want.
    pub want_peers: u32,
}

/// What an announcer wants done. There is one connection at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up a name; answered by [`Announcer::resolved`].
    Resolve {
        /// The name, never a literal address.
        host: String,
    },
    /// Open the connection; answered by [`Announcer::connected`] or [`Announcer::ended`].
    Connect {
        /// Where to.
        to: SocketAddr,
        /// For whom the far end's certificate must be valid; `None` for no protection.
        tls: Option<Arc<str>>,
    },
    /// Send this on it.
    Send {
        /// The request.
        bytes: Vec<u8>,
    },
    /// Close it; answered by [`Announcer::closed`].
    Disconnect,
    /// A tracker answered or failed.
    Report {
        /// The tracker, as the torrent names it.
        url: String,
        /// Its answer.
        result: Result<Reply, AnnounceError>,
    },
}

/// The announces of one torrent.
///
/// Tell it what happens, then [`poll`](Self::poll) until it wants nothing more, and call
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout). Calls that
/// come too early, twice or about a connection that is gone do nothing.
#[derive(Debug)]
pub struct Announcer {
    identity: Identity,
    key: u32,
    loopback_only: bool,
    rng: Rng,
    /// In the order in which they are tried, tier by tier.
    trackers: Vec<Tracker>,
    phase: Phase,
    /// Whether the download ended here.
    completed: bool,
    /// When trackers are tried next; `None` while they are, or if none is left to try.
    due: Option<Instant>,
    /// The next tracker to try, while trackers are tried.
    cursor: Option<usize>,
    exchange: Option<Current>,
    /// Whether the host still owes the answer to a lookup.
    lookup_owed: bool,
    reports: VecDeque<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Running,
    /// Telling trackers goodbye until this instant.
    Leaving(Instant),
}

/// The exchange in flight.
#[derive(Debug)]
struct Current {
    exchange: Exchange,
    tracker: usize,
    event: Option<Event>,
    /// Whether its `started` tells of a download that had ended already.
    started_complete: bool,
}

impl Announcer {
    /// The announcer of a torrent with these trackers in tiers. Duplicates count once, and no more
    /// than [`TRACKERS_MAX`] are used.
    #[must_use]
    pub fn new(tiers: &[Vec<String>], identity: Identity, rng: Rng, loopback_only: bool) -> Self {
        let mut shuffle = rng.fork("tiers");
        let mut trackers: Vec<Tracker> = Vec::new();
        for (tier, urls) in tiers.iter().enumerate() {
            let first = trackers.len();
            for text in urls {
                if trackers.len() < TRACKERS_MAX && trackers.iter().all(|t| t.text != *text) {
                    trackers.push(Tracker::new(tier, text));
                }
            }
            shuffle.shuffle(&mut trackers[first..]);
        }
        Announcer {
            identity,
            key: rng.fork("key").next_u32(),
            loopback_only,
            rng,
            trackers,
            phase: Phase::Idle,
            completed: false,
            due: None,
            cursor: None,
            exchange: None,
            lookup_owed: false,
            reports: VecDeque::new(),
        }
    }

    /// The torrent has joined its swarm: announces at once, and then whenever it is due.
    pub fn start(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            self.phase = Phase::Running;
            self.abandon();
            self.due = Some(now);
        }
    }

    /// The download ended here. Not for a torrent that was complete at the start.
    pub fn completed(&mut self, now: Instant) {
        self.completed = true;
        let untold = self
            .trackers
            .iter()
            .any(|tracker| tracker.awaits_completed(true));
        if untold && let Some(due) = &mut self.due {
            *due = now.min(*due);
        }
    }

    /// The torrent leaves: tells `stopped` to every tracker that was told `started`, for two
    /// seconds at most.
    pub fn stop(&mut self, now: Instant) {
        if self.phase != Phase::Running {
            return;
        }
        self.phase = Phase::Leaving(now + LEAVE);
        self.due = None;
        self.cursor = None;
        // Whose answer is still on its way knows us all the same.
        if let Some(current) = &self.exchange
            && current.exchange.is_sent()
        {
            self.trackers[current.tracker].started = true;
        }
        self.abandon();
    }

    /// More peers are wanted: announces as soon as the tracker in use allows.
    pub fn hurry(&mut self, now: Instant) {
        let Some(due) = self.due else {
            return;
        };
        let mut soonest = due;
        for tracker in self.trackers.iter().filter(|tracker| tracker.is_usable()) {
            soonest = soonest.min(tracker.soonest(self.completed));
            if tracker.is_healthy() {
                break;
            }
        }
        self.due = Some(soonest.max(now).min(due));
    }

    /// What is to be done now; call again until it wants nothing more.
    pub fn poll(&mut self, now: Instant, progress: &Progress) -> Option<Action> {
        loop {
            if let Some(report) = self.reports.pop_front() {
                return Some(report);
            }
            let Some(current) = &mut self.exchange else {
                if self.begin(now) {
                    continue;
                }
                return None;
            };
            if let Some(outcome) = current.exchange.take_outcome() {
                self.settle(now, outcome);
            } else if let Some(want) = current.exchange.poll(self.lookup_owed) {
                return Some(self.carry(want, progress));
            } else if current.exchange.is_over() {
                self.exchange = None;
            } else {
                return None;
            }
        }
    }

    /// The answer to a [`Action::Resolve`]: addresses in the resolver's order.
    pub fn resolved(&mut self, now: Instant, result: Result<&[IpAddr], IoError>) {
        self.lookup_owed = false;
        if let Some(current) = &mut self.exchange {
            current.exchange.resolved(now, result);
        }
    }

    /// The connection is there.
    pub fn connected(&mut self, _now: Instant) {
        if let Some(current) = &mut self.exchange {
            current.exchange.connected();
        }
    }

    /// Bytes of the answer.
    pub fn received(&mut self, _now: Instant, data: &[u8]) {
        if let Some(current) = &mut self.exchange {
            current.exchange.received(data);
        }
    }

    /// The connection ended or was never made. The host closes it now, without being told, and
    /// says [`closed`](Self::closed).
    pub fn ended(&mut self, _now: Instant, reason: EndReason) {
        if let Some(current) = &mut self.exchange {
            current.exchange.ended(reason);
        }
    }

    /// The connection is closed, after a [`Action::Disconnect`] or an end.
    pub fn closed(&mut self, now: Instant) {
        if let Some(current) = &mut self.exchange {
            current.exchange.closed(now);
        }
    }

    /// Gives up what has taken too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some(current) = &mut self.exchange {
            current.exchange.handle_timeout(now);
        }
        if let Phase::Leaving(until) = self.phase
            && until <= now
        {
            self.forget();
            self.abandon();
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let Some(current) = &self.exchange else {
            return match self.phase {
                Phase::Leaving(until) => Some(until),
                Phase::Idle | Phase::Running => self.due,
            };
        };
        let deadline = current.exchange.deadline()?;
        match self.phase {
            Phase::Leaving(until) => Some(deadline.min(until)),
            Phase::Idle | Phase::Running => Some(deadline),
        }
    }

    /// Whether an exchange is in flight.
    #[must_use]
    pub fn is_asking(&self) -> bool {
        self.exchange.is_some()
    }

    /// Whether the next [`poll`](Self::poll) that finds no report to hand out begins an exchange. Who
    /// would have too many at once may put it off: nothing is lost but time.
    #[must_use]
    pub fn begins(&self, now: Instant) -> bool {
        self.exchange.is_none()
            && match self.phase {
                Phase::Idle => false,
                Phase::Running => self.cursor.is_some() || self.due.is_some_and(|due| due <= now),
                Phase::Leaving(_) => self.trackers.iter().any(|tracker| tracker.started),
            }
    }

    /// Whether nothing is going on and nothing will be before [`start`](Self::start). The answer
    /// to a lookup may still be owed; it will be ignored.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.phase == Phase::Idle && self.exchange.is_none() && self.reports.is_empty()
    }

    fn abandon(&mut self) {
        if let Some(current) = &mut self.exchange {
            current.exchange.abandon();
        }
    }

    /// No tracker knows us any more, or none that could be told.
    fn forget(&mut self) {
        for tracker in &mut self.trackers {
            tracker.forget_us();
        }
    }

    /// Begins the next exchange, if one is due; whether something is to be polled.
    fn begin(&mut self, now: Instant) -> bool {
        match self.phase {
            Phase::Idle => false,
            Phase::Running => self.begin_announce(now),
            Phase::Leaving(_) => {
                let known = self.trackers.iter().position(|tracker| tracker.started);
                match known {
                    Some(tracker) => self.ask(now, tracker, Some(Event::Stopped)),
                    None => {
                        self.forget();
                        self.phase = Phase::Idle;
                    }
                }
                known.is_some()
            }
        }
    }

    fn begin_announce(&mut self, now: Instant) -> bool {
        let from = match (self.cursor.take(), self.due) {
            (Some(cursor), _) => cursor,
            (None, Some(due)) if due <= now => 0,
            _ => return false,
        };
        self.due = None;
        for at in from..self.trackers.len() {
            let tracker = &mut self.trackers[at];
            if let (Err(error), false) = (&tracker.url, tracker.barred) {
                tracker.barred = true;
                let result = Err(AnnounceError::Url(*error));
                let url = tracker.text.clone();
                self.reports.push_back(Action::Report { url, result });
                continue;
            }
            if !tracker.is_usable() || tracker.backs_off(now) {
                continue;
            }
            let soonest = tracker.soonest(self.completed);
            if now < soonest {
                // It answers, only not yet: there is no call for those behind it.
                self.due = Some(soonest);
                return !self.reports.is_empty();
            }
            let event = tracker.event(self.completed);
            self.ask(now, at, event);
            return true;
        }
        let usable = self.trackers.iter().filter(|tracker| tracker.is_usable());
        self.due = usable.map(|tracker| tracker.soonest(self.completed)).min();
        !self.reports.is_empty()
    }

    fn ask(&mut self, now: Instant, tracker: usize, event: Option<Event>) {
        let Ok(url) = &self.trackers[tracker].url else {
            return;
        };
        self.exchange = Some(Current {
            exchange: Exchange::new(now, url.clone(), self.loopback_only),
            tracker,
            event,
            started_complete: self.completed,
        });
    }

    fn carry(&mut self, want: Want, progress: &Progress) -> Action {
        match want {
            Want::Resolve(host) => {
                self.lookup_owed = true;
                Action::Resolve { host }
            }
            Want::Connect { to, tls } => Action::Connect { to, tls },
            Want::Send => Action::Send {
                bytes: self.request(progress),
            },
            Want::Disconnect => Action::Disconnect,
        }
    }

    fn request(&self, progress: &Progress) -> Vec<u8> {
        let current = self.exchange.as_ref().expect("an exchange wants this sent");
        let leaves = current.event == Some(Event::Stopped);
        let announce = Announce {
            info_hash: self.identity.info_hash,
            peer_id: self.identity.peer_id,
            port: progress.port,
            uploaded: progress.uploaded,
            downloaded: progress.downloaded,
            left: progress.left,
            event: current.event,
            want_peers: Some(if leaves { 0 } else { progress.want_peers }),
            key: Some(self.key),
            tracker_id: self.trackers[current.tracker].id.clone(),
            compact: true,
        };
        let url = current.exchange.url();
        let mut bytes = Vec::new();
        let request = Request {
            target: &announce.to_target(url.target()),
            authority: url.authority(),
            user_agent: self.identity.user_agent,
        };
        encode_get(request, &mut bytes);
        bytes
    }

    /// The exchange has an outcome: learns from it and tells it.
    fn settle(&mut self, now: Instant, outcome: Result<Response, AnnounceError>) {
        let current = self.exchange.as_ref().expect("the outcome of an exchange");
        let (at, event) = (current.tracker, current.event);
        let started_complete = current.started_complete;
        let result = outcome.and_then(read_answer);
        let tracker = &mut self.trackers[at];
        self.reports.push_back(Action::Report {
            url: tracker.text.clone(),
            result: result.clone(),
        });
        if event == Some(Event::Stopped) {
            tracker.started = false;
            return;
        }
        match result {
            Ok(reply) => {
                match event {
                    Some(Event::Started) => tracker.completed = started_complete,
                    Some(Event::Completed) => tracker.completed = true,
                    Some(Event::Stopped) | None => {}
                }
                let due = tracker.answered(now, reply, &mut self.rng);
                let untold = tracker.awaits_completed(self.completed);
                self.due = Some(if untold { now } else { due });
                self.move_to_front(at);
            }
            Err(error) => {
                tracker.failed(now, &error, &mut self.rng);
                self.cursor = Some(at + 1);
            }
        }
    }

    fn move_to_front(&mut self, at: usize) {
        let tier = self.trackers[at].tier;
        let first = self
            .trackers
            .iter()
            .position(|tracker| tracker.tier == tier);
        self.trackers[first.unwrap_or(at)..=at].rotate_right(1);
    }
}

fn read_answer(response: Response) -> Result<Reply, AnnounceError> {
    let answer = Answer::decode(&response.body);
    match (response.status, answer) {
        // Some trackers refuse with a status of their own, and say why.
        (_, Ok(Answer::Failure(failure))) => Err(AnnounceError::Failure(failure)),
        (200, Ok(Answer::Reply(reply))) => Ok(reply),
        (200, Err(error)) => Err(error.into()),
        (status, _) => Err(AnnounceError::Status(status)),
    }
}

#[cfg(test)]
mod tests;

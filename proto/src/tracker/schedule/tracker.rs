//! What is remembered of one tracker, and what follows from its answers and failures.

use alloc::string::String;
use alloc::vec::Vec;

use super::AnnounceError;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::tracker::announce::{Event, Reply, Retry};
use crate::tracker::url::{BadUrl, Url};

/// The interval of a tracker that does not tell one.
const INTERVAL: Duration = Duration::from_secs(30 * 60);
const INTERVAL_MIN: Duration = Duration::from_secs(10);
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The `min interval` of a tracker that does not tell one, unless its interval is shorter.
const MIN_INTERVAL: Duration = Duration::from_secs(60);

/// The middle of the first pause after a failure; it doubles with each further one.
const BACK_OFF: Duration = Duration::from_secs(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(60 * 60);

#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) tier: usize,
    pub(super) text: String,
    pub(super) url: Result<Url, BadUrl>,
    /// Whether it is never to be asked again.
    pub(super) barred: bool,
    /// Whether it knows us.
    pub(super) started: bool,
    /// Whether it knows that the download ended here, or need not.
    pub(super) completed: bool,
    pub(super) id: Option<Vec<u8>>,
    /// Failures since the last answer.
    failures: u32,
    /// Not to be asked before, because it failed.
    retry_at: Instant,
    /// Not to be asked before, because it said so.
    min_at: Instant,
}

impl Tracker {
    pub(super) fn new(tier: usize, text: &str) -> Self {
        Tracker {
            tier,
            text: text.into(),
            url: Url::parse(text),
            barred: false,
            started: false,
            completed: false,
            id: None,
            failures: 0,
            retry_at: Instant::ZERO,
            min_at: Instant::ZERO,
        }
    }

    pub(super) fn is_usable(&self) -> bool {
        self.url.is_ok() && !self.barred
    }

    /// It does not know us any more.
    pub(super) fn forget_us(&mut self) {
        self.started = false;
        self.completed = false;
        self.min_at = Instant::ZERO;
    }

    /// Whether it is left alone because it failed.
    pub(super) fn backs_off(&self, now: Instant) -> bool {
        now < self.retry_at
    }

    /// Whether it answered when it was last asked.
    pub(super) fn is_healthy(&self) -> bool {
        self.started && self.failures == 0
    }

    pub(super) fn awaits_completed(&self, completed: bool) -> bool {
        completed && self.started && !self.completed
    }

    /// What the next announce to it has to say.
    pub(super) fn event(&self, completed: bool) -> Option<Event> {
        match self.started {
            false => Some(Event::Started),
            true if self.awaits_completed(completed) => Some(Event::Completed),
            true => None,
        }
    }

    /// When it may be asked next: an event need not wait for the `min interval`.
    pub(super) fn soonest(&self, completed: bool) -> Instant {
        match self.event(completed) {
            Some(_) => self.retry_at,
            None => self.retry_at.max(self.min_at),
        }
    }

    /// Learns from its answer; when to announce again.
    pub(super) fn answered(&mut self, now: Instant, reply: Reply, rng: &mut Rng) -> Instant {
        self.started = true;
        self.failures = 0;
        self.retry_at = Instant::ZERO;
        if reply.tracker_id.is_some() {
            self.id = reply.tracker_id;
        }
        let interval = reply.interval.unwrap_or(INTERVAL);
        let interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let min = reply.min_interval.unwrap_or(MIN_INTERVAL.min(interval));
        let min = min.min(INTERVAL_MAX);
        self.min_at = now + min;
        // Torrents that were added together shall not announce together for ever.
        let interval = interval.max(min);
        now + interval + up_to(rng, interval / 20)
    }

    /// Learns from its failure: pauses from half to one and a half of 10 s, doubled each time.
    pub(super) fn failed(&mut self, now: Instant, error: &AnnounceError, rng: &mut Rng) {
        let middle = BACK_OFF * (1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        let mut pause = (middle / 2 + up_to(rng, middle)).min(BACK_OFF_MAX);
        if let AnnounceError::Failure(failure) = error {
            match failure.retry {
                Retry::Unsaid => {}
                Retry::After(time) => pause = pause.max(time.min(INTERVAL_MAX)),
                Retry::Never => self.barred = true,
            }
        }
        self.retry_at = now + pause;
    }
}

/// A random time from zero to `most`.
fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    Duration::from_micros(rng.below(most.as_micros() as u64 + 1))
}

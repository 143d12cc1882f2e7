//! The host's one clock.

use std::time::Duration;

use ripcurrent_proto::base::time::Instant;

/// Microseconds since the host was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the host's one clock, where its time begins"
    )]
    pub(crate) fn new() -> Self {
        Clock {
            origin: std::time::Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Instant {
        let micros = self.origin.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// The same instant in the standard library's terms. One beyond its range is put off for a
    /// year; waking up too early does nothing.
    pub(crate) fn system(&self, at: Instant) -> std::time::Instant {
        const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
        self.origin + Duration::from_micros(at.as_micros()).min(self.origin.elapsed() + YEAR)
    }
}

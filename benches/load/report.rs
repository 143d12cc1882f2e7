//! What was moved and what it cost, as one line of JSON.

use rustix::process::{Resource, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Measures from its making on.
pub(crate) struct Meter {
    begun: f64,
    /// When the first bytes were counted.
    first: Option<f64>,
    cpu: f64,
    bytes: u64,
}

impl Meter {
    pub(crate) fn start() -> Meter {
        Meter {
            begun: seconds(ClockId::Monotonic),
            first: None,
            cpu: seconds(ClockId::ProcessCPUTime),
            bytes: 0,
        }
    }

    /// So many more bytes were moved.
    pub(crate) fn count(&mut self, bytes: u64) {
        self.first
            .get_or_insert_with(|| seconds(ClockId::Monotonic));
        self.bytes += bytes;
    }

    /// Seconds since the start.
    pub(crate) fn seconds(&self) -> f64 {
        seconds(ClockId::Monotonic) - self.begun
    }

    /// Tells of what was moved since the start. `first` is when the first bytes were counted, by the
    /// clock that all processes share.
    pub(crate) fn report(&self) {
        let now = seconds(ClockId::Monotonic);
        let (bytes, first, wall) = (self.bytes, self.first.unwrap_or(now), now - self.begun);
        let cpu = seconds(ClockId::ProcessCPUTime) - self.cpu;
        println!(
            "{{\"bytes\":{bytes},\"first\":{first:.6},\"seconds\":{wall:.6},\"cpu_seconds\":{cpu:.6}}}"
        );
    }
}

/// What a clock shows.
fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// As many files as may be open.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, the first connection too many says so.
    let _ = setrlimit(Resource::Nofile, limit);
}

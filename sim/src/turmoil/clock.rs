//! Virtual time, as one host sees it.

use ripcurrent_proto::base::time::Instant;
use tokio::time::Duration;

/// A host's clock: microseconds since the simulation began, whenever the host itself began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When this clock was taken, on the clock of the host's own runtime.
    taken: tokio::time::Instant,
    /// What the simulation's clock showed then.
    simulation: Duration,
}

impl Clock {
    /// The clock of the host that is running now.
    ///
    /// # Panics
    /// Outside of a simulated host.
    pub(super) fn of_this_host() -> Self {
        Clock {
            taken: tokio::time::Instant::now(),
            simulation: ::turmoil::sim_elapsed().expect("only simulated hosts have such a clock"),
        }
    }

    /// What it shows.
    pub(super) fn now(self) -> Instant {
        let since = self.simulation + self.taken.elapsed();
        Instant::ZERO + since
    }

    /// Waits until it shows `at`; no time at all if it does so already.
    pub(super) async fn sleep_until(self, at: Instant) {
        let now = self.now();
        if at > now {
            tokio::time::sleep(at.since(now)).await;
        }
    }
}

//! What a simulation costs.

use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use ripcurrent_sim::report::Report;
use rustix::time::{ClockId, clock_gettime};

use crate::units::Time;

/// The time that this thread's work takes.
pub(super) struct Busy(Duration);

/// Simulated time beside the processor's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cost {
    /// The virtual time of all hosts together, each from its arrival until it left.
    lived: Duration,
    /// Processor time.
    busy: Duration,
}

impl Busy {
    /// Counts from here.
    pub(super) fn start() -> Self {
        Busy(thread_time())
    }

    /// Processor time of this thread since then.
    pub(super) fn time(&self) -> Duration {
        thread_time().saturating_sub(self.0)
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

impl Cost {
    /// Of a run that kept a thread busy for so long.
    pub(super) fn of(report: &Report, busy: Duration) -> Self {
        let hosts = report.hosts.iter();
        let lives = hosts.map(|host| host.left.unwrap_or(report.ended).since(host.arrived));
        Cost {
            lived: lives.sum(),
            busy,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.lived += other.lived;
        self.busy += other.busy;
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lived = self.lived.as_secs_f64();
        let rate = lived / self.busy.as_secs_f64().max(1e-6);
        let busy = Time(self.busy);
        write!(
            f,
            "{lived:.0} peer-seconds in {busy} of processor time, {rate:.0} in each second"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told() {
        let mut cost = Cost {
            lived: Duration::from_secs(100),
            busy: Duration::from_millis(1500),
        };
        cost += cost;
        assert_eq!(
            cost.to_string(),
            "200 peer-seconds in 3s of processor time, 67 in each second"
        );
    }
}

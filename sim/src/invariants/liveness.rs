//! How long a swarm may take before something is wrong.

use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::choke::ROUND;
use ripcurrent_proto::peer::IDLE_LIMIT;

/// How many times the fluid bound an undisturbed swarm may take: far more than any takes that
/// works, so that who exceeds it does not work.
const FACTOR: u32 = 4;

/// How long anything may take to begin: to look at the disk, to ask the tracker, to dial, and until
/// every peer had its turn in the optimistic slot.
const BEGINNING: Duration = Duration::from_secs(180);

/// How long a broken connection may stay unknown, and then wait to be dialled again: a peer is
/// taken for gone after its silence, and the back-off of an address doubles from 3 s while nobody
/// answers; here it counts up to its fifth time.
const REPAIR: Duration = Duration::from_secs(3 * 31).saturating_add(IDLE_LIMIT);

/// What holds a swarm up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// The least time it takes, all honest hosts counted (see [`crate::bound`]).
    pub fluid: Duration,
    /// When the last host comes.
    pub arrival: Duration,
    /// The time of all faults one after the other, while which somebody may stand still.
    pub faults: Duration,
    /// How many faults break connections.
    pub breaks: u32,
    /// How often trackers want to be asked.
    pub announce: Duration,
    /// How many of a hundred hosts are not honest: they hold connections and slots.
    pub hostile_percent: u32,
}

/// When every honest leecher must be complete, if everything is available from honest hosts that it
/// can reach.
///
/// That is a few times the fluid bound, more where honest hosts share slots with others; after the
/// last has come; all faults have been waited for; and for each that breaks connections their
/// repair, an announcement and a choking round, as if nothing went on meanwhile. Generous on
/// purpose: it tells what stands still from what moves, and says nothing of how well it moves.
#[must_use]
pub fn liveness_bound(delays: &Delays) -> Duration {
    let honest = 100 - delays.hostile_percent.min(99);
    let transfer = delays.fluid * FACTOR * 100 / honest;
    let repair = (REPAIR + delays.announce + ROUND) * delays.breaks;
    delays.arrival + BEGINNING + delays.announce + transfer + delays.faults + repair
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that may hold a swarm up makes the bound later.
    #[test]
    fn every_delay_counts() {
        let secs = Duration::from_secs;
        let calm = Delays {
            fluid: secs(100),
            ..Delays::default()
        };
        let bound = liveness_bound(&calm);
        assert!(bound >= 4 * calm.fluid);
        let worse = [
            Delays {
                arrival: secs(60),
                ..calm
            },
            Delays {
                faults: secs(60),
                ..calm
            },
            Delays { breaks: 1, ..calm },
            Delays {
                announce: secs(60),
                ..calm
            },
            Delays {
                hostile_percent: 20,
                ..calm
            },
        ];
        for delays in worse {
            assert!(liveness_bound(&delays) >= bound + secs(60), "{delays:?}");
        }
        let hostile_percent = 100;
        let hopeless = Delays {
            hostile_percent,
            ..calm
        };
        assert_eq!(liveness_bound(&hopeless), secs(180) + secs(40_000));
    }
}

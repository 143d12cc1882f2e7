//! A run: a scenario and a seed become a world, the world goes on until its end, and is judged.
//!
//! Hosts come when their group says, serve and fetch, and leave in good order. The schedule of
//! faults is carried out on the network, the disks and the processes. A host whose process was
//! stopped starts again with a new engine and what is left on its disk; where a client stands still
//! because its disk refused, somebody sees to it after a while, as people do.
//!
//! The run ends when everything that must hold does, when the time is over, or when it cannot come
//! to a good end any more: a host that must get everything is gone for good, or a piece is on no
//! disk any more.
//!
//! Nothing is shared between runs: several may go on at once, each on a thread of its own.

mod agenda;
mod checks;
mod faults;
mod peer;
mod process;
mod recorder;
mod trackers;
mod verdict;
mod world;

use ripcurrent_proto::api::{ConfigError, Refusal};
use ripcurrent_proto::base::id::TorrentId;

use crate::content::ContentError;
use crate::network::{Backend, NetworkError};
use crate::report::{Report, Sample};
use crate::scenario::Scenario;
use crate::trace::Trace;
use world::World;

/// Where peers listen.
const PEER_PORT: u16 = 6881;
/// The folder of every disk that holds the torrent.
const ROOT: &str = "data";
/// Every host's name for the torrent.
const TORRENT: TorrentId = TorrentId(0);

/// Why a run has no outcome. Leechers that do not finish are an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings do not work.
    #[error("the client does not accept its settings: {0}")]
    Config(#[from] ConfigError),
    /// The plan makes no torrent.
    #[error("no torrent can be made: {0}")]
    Content(#[from] ContentError),
    /// A host broke down.
    #[error("a host broke down {0}")]
    Network(#[from] NetworkError),
    /// A client did not take the torrent.
    #[error("{host} did not take the torrent: {reason}")]
    Refused {
        /// The host.
        host: String,
        /// Why.
        reason: Refusal,
    },
}

/// Runs `scenario` on `backend` to its end.
///
/// # Errors
/// If a machine broke down or refused to begin.
pub fn run(scenario: &Scenario, seed: u64, backend: Backend) -> Result<Report, RunError> {
    run_watched(scenario, seed, backend, None, |_| ())
}

/// Runs `scenario` on `backend` to its end; `trace` has every call written down, `watch` sees each
/// sample as it is taken. Neither changes the run.
///
/// # Errors
/// If a machine broke down or refused to begin.
pub fn run_watched(
    scenario: &Scenario,
    seed: u64,
    backend: Backend,
    trace: Option<&Trace>,
    mut watch: impl FnMut(&Sample),
) -> Result<Report, RunError> {
    let mut world = World::new(scenario, seed, backend, trace)?;
    while !world.is_over() {
        if let Some(sample) = world.step()? {
            watch(sample);
        }
    }
    Ok(world.into_report(seed))
}

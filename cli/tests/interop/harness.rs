//! What every scene needs: processes that end with it, content that is the same each time, and
//! addresses that nobody else uses.

mod content;
mod process;
mod program;
mod world;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use content::Content;
pub(crate) use process::Process;
pub(crate) use program::{Program, has_ipv6, python};
pub(crate) use world::{Torrent, World, wait_until_listening};

/// How long a transfer may take before a scene gives up. Generous: a busy machine is no fault.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Asks until the answer is there.
///
/// # Panics
/// If it is not there after [`PATIENCE`].
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "other processes keep the machine's time"
)]
fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process gives no sign that could be waited for"
)]
fn pause() {
    thread::sleep(Duration::from_millis(50));
}

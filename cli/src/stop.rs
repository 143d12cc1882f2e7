//! Being asked to stop: the first Ctrl-C, SIGTERM or SIGHUP asks for an orderly end, a second one
//! ends the process at once.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::exit::{Exit, Failure};

/// Whether somebody has asked this process to stop; cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens for the signals that ask for an end.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let stop = Stop::default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // Who was started by `nohup` is meant to survive a hangup.
        let hangup = (!is_ignored(&status, SIGHUP)).then_some(SIGHUP);
        for signal in [SIGINT, SIGTERM].into_iter().chain(hangup) {
            // In this order: the first signal finds the flag down and raises it, the second finds
            // it up.
            let status = Exit::Interrupted as i32;
            flag::register_conditional_shutdown(signal, status, stop.0.clone())
                .and_then(|_| flag::register(signal, stop.0.clone()))
                .map_err(|error| {
                    Failure::new(Exit::Internal, "cannot listen for signals").because(error)
                })?;
        }
        Ok(stop)
    }

    /// Asks as a signal would.
    pub(crate) fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Whether a process with this `/proc/PID/status` ignores `signal`.
fn is_ignored(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mask of ignored signals is read bit by bit; without one nothing counts as ignored.
    #[test]
    fn ignored_signals_are_known() {
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        assert!(is_ignored(status, SIGHUP));
        assert!(!is_ignored(status, SIGINT));
        assert!(!is_ignored("", SIGHUP));
    }

    /// One request reaches every holder.
    #[test]
    fn all_clones_hear_it() {
        let stop = Stop::default();
        let other = stop.clone();
        assert!(!other.is_asked());
        stop.ask();
        assert!(other.is_asked());
    }
}

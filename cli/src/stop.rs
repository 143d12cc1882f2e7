//! Being asked to stop: the first Ctrl-C, SIGTERM or SIGHUP asks for an orderly end, a second one
//! ends the process at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::clock;
use crate::exit::{Exit, Failure};

/// A second signal this soon is an echo of the first and no second wish: a terminal signals a whole
/// group of processes, and whoever started them often passes the signal on.
const ECHO: Duration = Duration::from_millis(50);
/// The longest that an orderly end of the process may take.
const PATIENCE: Duration = Duration::from_millis(2950);

/// Whether somebody has asked this process to stop; cheap to clone and to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop(Arc<Wish>);

#[derive(Debug, Default)]
struct Wish {
    asked_at: OnceLock<Instant>,
    /// The process ends then, in good order or not.
    ends_process: AtomicBool,
}

impl Stop {
    /// Listens for the signals that ask for an end.
    pub(crate) fn on_signals() -> Result<Self, Failure> {
        let stop = Stop::default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        // Who was started by `nohup` is meant to survive a hangup.
        let hangup = (!is_ignored(&status, SIGHUP)).then_some(SIGHUP);
        let wrong =
            |error| Failure::new(Exit::Internal, "cannot listen for signals").because(error);
        let signals = [SIGINT, SIGTERM].into_iter().chain(hangup);
        let signals = Signals::new(signals).map_err(wrong)?;
        let heard = stop.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || heard.listen(signals))
            .map_err(wrong)?;
        Ok(stop)
    }

    /// Whoever asks by a signal is not kept longer than three seconds, whatever hangs.
    pub(crate) fn ends_process(&self) {
        self.0.ends_process.store(true, Ordering::SeqCst);
    }

    /// Asks as a signal would.
    pub(crate) fn ask(&self) {
        self.0.asked_at.get_or_init(clock::now);
    }

    /// Whether it was asked for.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked_at.get().is_some()
    }

    /// How long ago it was asked for.
    pub(crate) fn asked_for(&self) -> Option<Duration> {
        self.0.asked_at.get().map(Instant::elapsed)
    }

    fn listen(&self, mut signals: Signals) {
        for _ in signals.forever() {
            match self.asked_for() {
                None => {
                    self.ask();
                    if self.0.ends_process.load(Ordering::SeqCst) {
                        // Where no thread is to be had, the second signal remains.
                        let _ = thread::Builder::new().spawn(give_up_waiting);
                    }
                }
                Some(ago) if ago < ECHO => {}
                Some(_) => leave_at_once(),
            }
        }
    }
}

/// Ends the process if it has not ended by then: even the loop that should see to it hangs.
fn give_up_waiting() {
    let begun = clock::now();
    while let Some(rest) = PATIENCE.checked_sub(begun.elapsed())
        && !rest.is_zero()
    {
        thread::park_timeout(rest);
    }
    leave_at_once()
}

/// Ends the process here and now: somebody insists, or something hangs.
#[expect(
    clippy::disallowed_methods,
    reason = "what hangs would keep destructors waiting for ever"
)]
pub(crate) fn leave_at_once() -> ! {
    std::process::exit(Exit::Interrupted as i32)
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

    /// One request reaches every holder, and the first one counts.
    #[test]
    fn all_clones_hear_it() {
        let stop = Stop::default();
        let other = stop.clone();
        assert!(!other.is_asked());
        stop.ask();
        let first = *other.0.asked_at.get().unwrap();
        other.ask();
        assert_eq!(*stop.0.asked_at.get().unwrap(), first);
    }
}

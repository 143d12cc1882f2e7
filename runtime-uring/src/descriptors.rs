//! Open files: how many the system allows, and how many are left for connections and data.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::options::{HostError, Options};

/// Standard streams.
const STREAMS: u64 = 3;
/// The listening socket twice, the runtime with its epoll and wakers, a ring, a bell, and room for
/// one more of the kind.
const HOST: u64 = 12;
/// Threads at work on a file have it open, for direct writes a second time, and two folders on the
/// way to it.
const DISK: u64 = 2 * 4;
/// Threads that look a name up ask over sockets and read the system's settings.
const NAMES: u64 = 2 * 2;
/// Connections to trackers, which are not counted as peers are.
const TRACKERS: u64 = 4;
/// Connections that are closed and not gone yet, or let in only to be turned away.
const IN_PASSING: u64 = 4;
/// What the program around the host has open: its log, a lock, what it has inherited.
const PROGRAM: u64 = 5;

/// What one host cannot do without.
const RESERVED: u64 = STREAMS + HOST + DISK + NAMES + TRACKERS + IN_PASSING + PROGRAM;

/// What works with less than [`RESERVED`], with some luck.
const LEAST: u64 = 8;

/// Below this a host cannot even begin.
const LEAST_LIMIT: u64 = STREAMS + HOST;

/// How the descriptors that a process may have are shared out, when one host runs in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// How many files, sockets included, may be open at once; `u64::MAX` for any number.
    pub limit: u64,
    /// How many of them may be connections: a bound for the engine's `max_connections`.
    pub connections: usize,
    /// How many of them may be files that stay open between operations: for
    /// [`Options::max_open_files`].
    pub files: usize,
}

impl Descriptors {
    /// Raises this process's limit on open files (`RLIMIT_NOFILE`) to the highest that the system
    /// allows without asking anybody. A host never does so by itself: the limit is the whole
    /// program's, and a program that calls `select` must stay below 1,024.
    ///
    /// # Errors
    /// If the system refuses; the limit is then as it was.
    pub fn raise_limit() -> io::Result<()> {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current == maximum {
            return Ok(());
        }
        let current = maximum;
        Ok(setrlimit(Resource::Nofile, Rlimit { current, maximum })?)
    }

    /// Shares out what this process may have now.
    #[must_use]
    pub fn of_process() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        Descriptors::within(limit.unwrap_or(u64::MAX))
    }

    /// Checks that a host can begin at all: the runtimes panic where it cannot.
    pub(crate) fn check() -> Result<(), HostError> {
        let limit = Descriptors::of_process().limit;
        let least = LEAST_LIMIT;
        match limit < least {
            true => Err(HostError::OpenFiles { limit, least }),
            false => Ok(()),
        }
    }

    /// Shares out `limit` descriptors: a quarter of what is left over for files, as far as a host
    /// profits from them, the rest for connections.
    #[must_use]
    pub fn within(limit: u64) -> Self {
        let left = limit.saturating_sub(RESERVED).max(LEAST);
        let files = (left / 4).min(Options::default().max_open_files as u64);
        Descriptors {
            limit,
            connections: usize::try_from(left - files).unwrap_or(usize::MAX),
            files: files as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever the limit, the parts and what is reserved fit into it, as long as that can be.
    #[test]
    fn the_parts_fit_into_the_whole() {
        for limit in (RESERVED + LEAST..2000).chain([1 << 20, u64::MAX]) {
            let Descriptors {
                connections, files, ..
            } = Descriptors::within(limit);
            assert!(files >= 2 && connections >= 6, "{limit}");
            let sum = RESERVED + files as u64 + connections as u64;
            assert!(sum <= limit, "{limit}");
        }
    }

    /// 64 open files leave a swarm to work with, 1,024 all that a host would take.
    #[test]
    fn usual_limits_go_far() {
        let scarce = Descriptors::within(64);
        assert_eq!((scarce.connections, scarce.files), (18, 6));
        let usual = Descriptors::within(1024);
        assert_eq!((usual.connections, usual.files), (856, 128));
        let none = Descriptors::within(0);
        assert_eq!((none.connections, none.files), (6, 2));
    }
}

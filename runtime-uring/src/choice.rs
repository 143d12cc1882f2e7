//! Which backend carries out: the best one that the system allows, or the one that was asked for.

use std::fmt;
use std::net::TcpListener;

use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

use crate::bell::Waker;
use crate::carrier;
use crate::clock::Clock;
use crate::disk;
use crate::epoll::{Epoll, Reactor};
use crate::host::Control;
use crate::options::{HostError, Options};
use crate::tokio_uring::{Ring, TokioUring};
use crate::uring;
use crate::work::Work;

/// What people ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that the system allows.
    #[default]
    Auto,
    /// [`BackendName::Uring`] or none.
    Uring,
    /// [`BackendName::TokioUring`] or none.
    TokioUring,
    /// [`BackendName::Epoll`] or none.
    Epoll,
}

/// A way to speak to the network. All of them keep the same contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendName {
    /// io_uring itself; Linux 6.1 or later. The fastest.
    Uring,
    /// io_uring by way of the crate `tokio-uring`; Linux 5.11 or later.
    TokioUring,
    /// epoll by way of the crate `tokio`: works everywhere.
    Epoll,
}

/// What a host works with.
#[derive(Debug)]
pub struct Chosen {
    /// The backend.
    pub name: BackendName,
    /// What would have been better, the best first, and why it is not to be had.
    pub refused: Vec<(BackendName, HostError)>,
}

/// A backend that is ready to run.
pub(crate) enum Network {
    Uring(uring::Made),
    TokioUring(Ring),
    Epoll(Reactor),
}

impl Choice {
    /// What is tried first, and what is left when the system forbids all of that.
    fn candidates(self) -> (&'static [BackendName], BackendName) {
        match self {
            Choice::Auto => (
                &[BackendName::Uring, BackendName::TokioUring],
                BackendName::Epoll,
            ),
            Choice::Uring => (&[], BackendName::Uring),
            Choice::TokioUring => (&[], BackendName::TokioUring),
            Choice::Epoll => (&[], BackendName::Epoll),
        }
    }
}

impl BackendName {
    /// The most memory that is taken to receive into, in bytes, with so many connections.
    #[must_use]
    pub const fn receive_bytes(self, connections: u64) -> u64 {
        match self {
            BackendName::Uring => uring::RECEIVE_BYTES as u64,
            BackendName::TokioUring | BackendName::Epoll => carrier::receive_bytes(connections),
        }
    }

    /// The most that is mapped of files at a time, in bytes: what is sent from the page cache. The
    /// system counts it as memory of the process, and may take it back when it wants to.
    #[must_use]
    pub const fn mapped_bytes(self) -> u64 {
        match self {
            BackendName::Uring => disk::MAPPED_BYTES as u64,
            BackendName::TokioUring | BackendName::Epoll => 0,
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendName::Uring => "uring",
            BackendName::TokioUring => "tokio-uring",
            BackendName::Epoll => "epoll",
        })
    }
}

/// The name, and why it is no better one; one reason for several is told once.
impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        let told: Vec<_> = self
            .refused
            .iter()
            .map(|(_, why)| why.to_string())
            .collect();
        let mut names = String::new();
        for (at, (name, _)) in self.refused.iter().enumerate() {
            names = match names.as_str() {
                "" => name.to_string(),
                names => format!("{names} or {name}"),
            };
            if told.get(at + 1) != Some(&told[at]) {
                write!(f, "; not {names}: {}", told[at])?;
                names.clear();
            }
        }
        Ok(())
    }
}

impl Network {
    /// Makes the first of the candidates that the system allows.
    ///
    /// # Errors
    /// What keeps one from starting that the system does not forbid, or else the last.
    pub(crate) fn choose(options: &Options) -> Result<(Self, Chosen), HostError> {
        let (better, last) = options.backend.candidates();
        let mut refused = Vec::new();
        for &name in better {
            match Network::new(name, options) {
                Err(error) if error.is_forbidden() => refused.push((name, error)),
                made => return Ok((made?, Chosen { name, refused })),
            }
        }
        let name = last;
        Ok((Network::new(name, options)?, Chosen { name, refused }))
    }

    fn new(name: BackendName, options: &Options) -> Result<Self, HostError> {
        Ok(match name {
            BackendName::Uring => Network::Uring(uring::Made::new(options.ring_entries)?),
            BackendName::TokioUring => Network::TokioUring(Ring::new(options.ring_entries)?),
            BackendName::Epoll => Network::Epoll(Reactor::new().map_err(HostError::System)?),
        })
    }

    /// Drives `machine` until `control` says stop, and then until everything is home.
    pub(crate) fn run<M: Machine>(
        self,
        machine: &mut M,
        options: &Options,
        listener: Option<TcpListener>,
        beside: (Clock, Waker, Work),
        control: impl FnMut(&mut M, Instant) -> Control,
    ) -> Result<(), HostError> {
        match self {
            Network::Uring(ring) => ring.run(machine, options, listener, beside, control),
            Network::TokioUring(ring) => ring.block_on(carrier::run::<TokioUring, _>(
                machine, options, listener, beside, control,
            )),
            Network::Epoll(reactor) => reactor.block_on(carrier::run::<Epoll, _>(
                machine, options, listener, beside, control,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What keeps several from working is told once for all of them, what keeps one for that one.
    #[test]
    fn a_reason_for_several_is_told_once() {
        let old = |least| HostError::RingOld {
            release: "5.4".into(),
            least,
        };
        let names = [BackendName::Uring, BackendName::TokioUring];
        let said = |reasons: [HostError; 2]| {
            let refused = names.into_iter().zip(reasons).collect();
            let name = BackendName::Epoll;
            Chosen { name, refused }.to_string()
        };
        let same = said([HostError::RingMissing, HostError::RingMissing]);
        let reason = HostError::RingMissing;
        assert_eq!(same, format!("epoll; not uring or tokio-uring: {reason}"));
        let each = said([old((6, 1)), old((5, 11))]);
        let (one, other) = (old((6, 1)), old((5, 11)));
        assert_eq!(
            each,
            format!("epoll; not uring: {one}; not tokio-uring: {other}")
        );
    }
}

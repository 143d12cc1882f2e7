//! Which backend carries out: the best one that the system allows, or the one that was asked for.

use std::fmt;
use std::net::TcpListener;

use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

use crate::bell::Waker;
use crate::carrier;
use crate::clock::Clock;
use crate::epoll::{Epoll, Reactor};
use crate::host::Control;
use crate::options::{HostError, Options};
use crate::tokio_uring::{Ring, TokioUring};
use crate::work::Work;

/// What people ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// The best that the system allows.
    #[default]
    Auto,
    /// [`BackendName::TokioUring`] or none.
    TokioUring,
    /// [`BackendName::Epoll`] or none.
    Epoll,
}

/// A way to speak to the network. All of them keep the same contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendName {
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
    TokioUring(Ring),
    Epoll(Reactor),
}

impl Choice {
    /// What is tried first, and what is left when the system forbids all of that.
    fn candidates(self) -> (&'static [BackendName], BackendName) {
        match self {
            Choice::Auto => (&[BackendName::TokioUring], BackendName::Epoll),
            Choice::TokioUring => (&[], BackendName::TokioUring),
            Choice::Epoll => (&[], BackendName::Epoll),
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BackendName::TokioUring => "tokio-uring",
            BackendName::Epoll => "epoll",
        })
    }
}

/// The name, and why it is no better one.
impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        for (name, error) in &self.refused {
            write!(f, "; not {name}: {error}")?;
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
            BackendName::TokioUring => Network::TokioUring(Ring::new(options.ring_entries)?),
            BackendName::Epoll => Network::Epoll(Reactor::new().map_err(HostError::System)?),
        })
    }

    /// Drives `machine` until `control` says stop, and then until everything is home.
    pub(crate) fn run<M: Machine>(
        &self,
        machine: &mut M,
        options: &Options,
        listener: Option<TcpListener>,
        beside: (Clock, Waker, Work),
        control: impl FnMut(&mut M, Instant) -> Control,
    ) -> Result<(), HostError> {
        match self {
            Network::TokioUring(ring) => ring.block_on(carrier::run::<TokioUring, _>(
                machine, options, listener, beside, control,
            )),
            Network::Epoll(reactor) => reactor.block_on(carrier::run::<Epoll, _>(
                machine, options, listener, beside, control,
            )),
        }
    }
}

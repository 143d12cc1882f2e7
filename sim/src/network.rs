//! A network of hosts, whichever backend carries it.
//!
//! Both backends keep the same times: links and buffers are those of [`shaper`](crate::shaper),
//! packets are delivered at multiples of [`TICK`], the timers of a host fire at whole milliseconds.
//! They differ in the order of what happens at one instant, so a run on one is not, call by call, a
//! run on the other; that they come to the same is tested.

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::str::FromStr;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;

use crate::disk::Files;
use crate::names::Names;
use crate::{direct, turmoil};

/// What the network moves on by. Packets are delivered at its multiples: latencies are rounded up
/// to it, and a shorter one buys precision with CPU time.
pub const TICK: Duration = Duration::from_millis(5);

/// The most bytes that one receive brings.
pub(crate) const RECEIVE_BUFFER: usize = 16 * 1024;

/// The most hosts that turmoil carries within reason: its cost grows with about their cube.
const TURMOIL_MAX: usize = 100;

/// What carries the hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Real asynchronous sockets, for up to about 100 hosts.
    Turmoil,
    /// A plain queue of events, for thousands.
    Direct,
}

impl Backend {
    /// Both.
    pub const ALL: [Backend; 2] = [Backend::Turmoil, Backend::Direct];

    /// The one for so many hosts: turmoil for up to 100.
    #[must_use]
    pub fn fitting(hosts: usize) -> Self {
        if hosts <= TURMOIL_MAX {
            Backend::Turmoil
        } else {
            Backend::Direct
        }
    }
}

/// There is no backend of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is neither turmoil nor direct")]
pub struct UnknownBackend;

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let named = Backend::ALL
            .into_iter()
            .find(|backend| backend.to_string() == name);
        named.ok_or(UnknownBackend)
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Backend::Turmoil => "turmoil",
            Backend::Direct => "direct",
        })
    }
}

/// A host of the network.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its address, unlike every other host's.
    pub addr: IpAddr,
    /// The port at which it accepts connections.
    pub port: u16,
    /// Bytes per second that it can send; `None` for more than anybody needs.
    pub up: Option<NonZeroU64>,
    /// Bytes per second that it can receive; `None` for more than anybody needs.
    pub down: Option<NonZeroU64>,
    /// What lies on its disk.
    pub files: Files,
}

/// A host broke down: a bug of ours, not an event of the scenario.
#[derive(Debug, thiserror::Error)]
#[error("at {at}: {what}")]
pub struct NetworkError {
    /// The virtual time.
    pub at: Instant,
    /// What happened, in the simulator's words.
    pub what: String,
}

/// Simulated hosts, connected each to each.
#[derive(Debug)]
pub enum Network {
    /// Over turmoil.
    Turmoil(Box<turmoil::Network>),
    /// Over a queue of events.
    Direct(Box<direct::Network>),
}

impl Network {
    /// A network without hosts. All of its chance comes from `rng`.
    #[must_use]
    pub fn new(backend: Backend, rng: &Rng, names: Names) -> Self {
        match backend {
            Backend::Turmoil => Network::Turmoil(Box::new(turmoil::Network::new(rng, names))),
            Backend::Direct => Network::Direct(Box::new(direct::Network::new(rng, names))),
        }
    }

    /// Adds a host that runs `machine` from now on. `watch` sees it after every turn.
    pub fn add<M: Machine + 'static>(
        &mut self,
        host: Host,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        match self {
            Network::Turmoil(network) => network.add(host, machine, watch),
            Network::Direct(network) => network.add(host, machine, watch),
        }
    }

    /// Sets how long a packet takes between two hosts, one way; rounded up to [`TICK`]s, at least
    /// one.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        match self {
            Network::Turmoil(network) => network.set_latency(one, other, latency),
            Network::Direct(network) => network.set_latency(one, other, latency),
        }
    }

    /// Loses everything under way between two hosts and all they send each other from now on.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn partition(&mut self, one: IpAddr, other: IpAddr) {
        match self {
            Network::Turmoil(network) => network.partition(one, other),
            Network::Direct(network) => network.partition(one, other),
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match self {
            Network::Turmoil(network) => network.now(),
            Network::Direct(network) => network.now(),
        }
    }

    /// Moves on by one [`TICK`].
    ///
    /// # Errors
    /// If a host broke down.
    pub fn step(&mut self) -> Result<(), NetworkError> {
        match self {
            Network::Turmoil(network) => network.step(),
            Network::Direct(network) => {
                network.step();
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a backend is called it is also known by.
    #[test]
    fn backends_have_names() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        assert_eq!("Direct".parse::<Backend>(), Err(UnknownBackend));
    }

    #[test]
    fn many_hosts_are_carried_directly() {
        assert_eq!(Backend::fitting(100), Backend::Turmoil);
        assert_eq!(Backend::fitting(101), Backend::Direct);
    }
}

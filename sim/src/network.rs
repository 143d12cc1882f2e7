//! A network of hosts, whichever backend carries it.
//!
//! Both backends keep the same times: links and buffers are those of [`shaper`](crate::shaper),
//! packets are delivered at multiples of [`TICK`], the timers of a host fire at whole milliseconds.
//! They differ in the order of what happens at one instant, so a run on one is not, call by call, a
//! run on the other; that they come to the same is tested.
//!
//! TLS is a way of talking here that hides nothing: a connection that asks for it is made like any
//! other and carries what is said as it is, and whoever is at the far end is believed to be who it
//! should be. So any machine can be an HTTPS server; who is trusted is the business of real hosts,
//! and tested there.

use std::cell::RefCell;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::str::FromStr;

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;

use crate::disk::Files;
use crate::names::Names;
use crate::outages::{Cause, Outages};
use crate::{direct, turmoil};

/// What the network moves on by. Packets are delivered at its multiples: latencies are rounded up
/// to it, and a shorter one buys precision with CPU time.
pub const TICK: Duration = Duration::from_millis(5);

/// The ports that connections are made from: all but the privileged ones.
pub(crate) const CALLING_PORTS: RangeInclusive<u16> = 1024..=u16::MAX;

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

/// How a host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The process dies. The system lives on, closes its sockets and refuses calls: peers learn of
    /// it after the latency.
    Kill,
    /// The whole machine falls silent. Peers learn nothing until it is up again and answers what
    /// they have sent by a reset; calls wait for as long.
    PowerCut,
}

/// A connection, as one of its ends names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ends {
    pub(crate) here: SocketAddr,
    pub(crate) there: SocketAddr,
}

impl Ends {
    /// The same connection, as the other end names it.
    pub(crate) fn reversed(self) -> Self {
        Ends {
            here: self.there,
            there: self.here,
        }
    }
}

/// What a backend does with the hosts it has; each means the same on both. Hosts that are named
/// were added.
pub(crate) trait Carrier {
    fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration);
    fn set_rates(&mut self, addr: IpAddr, up: Option<NonZeroU64>, down: Option<NonZeroU64>);
    /// Keeps back what `from` sends to `to`, acknowledgements included, and all calls between them.
    fn block(&mut self, from: IpAddr, to: IpAddr);
    /// Lets what was kept back arrive, at once and in order.
    fn unblock(&mut self, from: IpAddr, to: IpAddr);
    /// The connections of a host, in order.
    fn connections(&self, addr: IpAddr) -> Vec<Ends>;
    /// Ends a connection at both ends at once. What was not read and not sent is lost.
    fn sever(&mut self, connection: Ends, kind: IoErrorKind);
    fn stop(&mut self, addr: IpAddr, how: Stop);
    /// Gives the host a turn, if a machine runs there.
    fn wake(&mut self, addr: IpAddr);
    fn step(&mut self) -> Result<(), NetworkError>;
}

/// Simulated hosts, connected each to each.
///
/// Whatever is done to it between two steps happens at its [`now`](Network::now). Hosts that are
/// named must have been added: a name that is unknown is a bug of the caller, and panics.
#[derive(Debug)]
pub struct Network {
    carrier: Carriers,
    outages: Outages,
}

#[derive(Debug)]
enum Carriers {
    Turmoil(Box<turmoil::Network>),
    Direct(Box<direct::Network>),
}

impl Network {
    /// A network without hosts. All of its chance comes from `rng`.
    #[must_use]
    pub fn new(backend: Backend, rng: &Rng, names: Names) -> Self {
        let carrier = match backend {
            Backend::Turmoil => Carriers::Turmoil(Box::new(turmoil::Network::new(rng, names))),
            Backend::Direct => Carriers::Direct(Box::new(direct::Network::new(rng, names))),
        };
        Network {
            carrier,
            outages: Outages::default(),
        }
    }

    /// Adds a host that runs `machine` from now on, a [`TICK`] away from every other. `watch` sees
    /// the machine after every turn.
    pub fn add<M: Machine + 'static>(
        &mut self,
        host: Host,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        match &mut self.carrier {
            Carriers::Turmoil(network) => network.add(host, machine, watch),
            Carriers::Direct(network) => network.add(host, machine, watch),
        }
    }

    /// Sets how long a packet takes between two hosts, one way; rounded up to [`TICK`]s, at least
    /// one. What is under way keeps its time, and what comes after it does not overtake it.
    pub fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        self.carrier().set_latency(one, other, latency);
    }

    /// Sets the rates of a host's link, in bytes per second; `None` for no bound. What has begun to
    /// pass keeps its time.
    pub fn set_rates(&mut self, addr: IpAddr, up: Option<NonZeroU64>, down: Option<NonZeroU64>) {
        self.carrier().set_rates(addr, up, down);
    }

    /// Cuts the network between two hosts until [`heal`](Network::heal): nothing arrives, and
    /// neither end is told. TCP resends, so connections go on where they were if that comes in
    /// time; those that were cut for 15 minutes time out at both ends. Calls wait, until whoever
    /// calls gives up.
    pub fn partition(&mut self, one: IpAddr, other: IpAddr) {
        let now = self.now();
        self.outages.part(now, one, other);
        self.block(one, other, Cause::Partition);
        self.block(other, one, Cause::Partition);
    }

    /// Ends a partition.
    pub fn heal(&mut self, one: IpAddr, other: IpAddr) {
        self.outages.meet(one, other);
        self.unblock(one, other, Cause::Partition);
        self.unblock(other, one, Cause::Partition);
    }

    /// Keeps everything between two hosts back until [`release`](Network::release), however long
    /// that takes: the path hangs, nothing is lost, no connection breaks by itself.
    pub fn hold(&mut self, one: IpAddr, other: IpAddr) {
        self.block(one, other, Cause::Hold);
        self.block(other, one, Cause::Hold);
    }

    /// Ends what [`hold`](Network::hold) began: what was kept back arrives at once, in order.
    pub fn release(&mut self, one: IpAddr, other: IpAddr) {
        self.unblock(one, other, Cause::Hold);
        self.unblock(other, one, Cause::Hold);
    }

    /// Keeps back what one host sends to another, and nothing of what it receives: half-open
    /// connections. Acknowledgements are kept back as well, so the other comes to wait when its
    /// window is full; and no call gets through, in either direction, because no answer would.
    pub fn mute(&mut self, from: IpAddr, to: IpAddr) {
        self.block(from, to, Cause::Mute);
    }

    /// Ends what [`mute`](Network::mute) began: what was kept back arrives at once, in order.
    pub fn unmute(&mut self, from: IpAddr, to: IpAddr) {
        self.unblock(from, to, Cause::Mute);
    }

    /// Breaks every connection between two hosts: both ends find a reset.
    pub fn reset(&mut self, one: IpAddr, other: IpAddr) {
        self.sever_all(one, other, IoErrorKind::Reset);
    }

    /// Breaks one connection of a host by a reset, whichever chance picks; the host at its other
    /// end, if there was a connection at all.
    pub fn reset_some(&mut self, addr: IpAddr, rng: &mut Rng) -> Option<IpAddr> {
        let carrier = self.carrier();
        let connections = carrier.connections(addr);
        if connections.is_empty() {
            return None;
        }
        let connection = connections[rng.index(connections.len())];
        carrier.sever(connection, IoErrorKind::Reset);
        Some(connection.there.ip())
    }

    /// Takes a host down, with everything that it has in flight: operations whose time has not
    /// come are never performed. Its machine gets no more turns and is let go of. A host that is
    /// down already stays as it is.
    pub fn stop(&mut self, addr: IpAddr, how: Stop) {
        self.carrier().stop(addr, how);
    }

    /// Brings a host that is down up again: `machine` runs there from now on, at the same address
    /// and with the same files.
    ///
    /// # Panics
    /// If the host is not down.
    pub fn start<M: Machine + 'static>(
        &mut self,
        addr: IpAddr,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        match &mut self.carrier {
            Carriers::Turmoil(network) => network.start(addr, machine, watch),
            Carriers::Direct(network) => network.start(addr, machine, watch),
        }
    }

    /// Gives the machine of a host a turn in the next step: something was said to it from outside
    /// the network. Does nothing where none runs.
    pub fn wake(&mut self, addr: IpAddr) {
        self.carrier().wake(addr);
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        match &self.carrier {
            Carriers::Turmoil(network) => network.now(),
            Carriers::Direct(network) => network.now(),
        }
    }

    /// Moves on by one [`TICK`].
    ///
    /// # Errors
    /// If a host broke down.
    pub fn step(&mut self) -> Result<(), NetworkError> {
        while let Some((one, other)) = self.outages.given_up(self.now()) {
            self.sever_all(one, other, IoErrorKind::TimedOut);
        }
        self.carrier().step()
    }

    fn carrier(&mut self) -> &mut dyn Carrier {
        match &mut self.carrier {
            Carriers::Turmoil(network) => &mut **network,
            Carriers::Direct(network) => &mut **network,
        }
    }

    fn block(&mut self, from: IpAddr, to: IpAddr, cause: Cause) {
        if self.outages.begin((from, to), cause) {
            self.carrier().block(from, to);
        }
    }

    fn unblock(&mut self, from: IpAddr, to: IpAddr, cause: Cause) {
        if self.outages.end((from, to), cause) {
            self.carrier().unblock(from, to);
        }
    }

    fn sever_all(&mut self, one: IpAddr, other: IpAddr, kind: IoErrorKind) {
        let carrier = self.carrier();
        let connections = carrier.connections(one).into_iter();
        for connection in connections.filter(|ends| ends.there.ip() == other) {
            carrier.sever(connection, kind);
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

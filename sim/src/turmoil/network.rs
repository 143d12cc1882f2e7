//! Hosts on one simulated network, moved along tick by tick.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, turn};

use super::holds::Holds;
use super::host::{Site, live};
use super::net::Lanes;
use super::seat::{Process, Seat};
use super::wires::Wires;
use crate::names::Names;
use crate::network::{CALLING_PORTS, Carrier, Ends, Host, NetworkError, Stop, TICK};
use crate::outages::Way;
use crate::shaper::WINDOW;

/// What turmoil counts in segments we bound in bytes, and earlier: no segment is empty, so its own
/// bound is never met. It bounds the queue of connections to be accepted as well, whose overflow
/// would end the simulation: more calls than that would have to come within one tick, because a
/// host that is up takes in all that there are, and one that is down refuses them.
const TCP_CAPACITY: usize = WINDOW + 1;

/// Never: the run has its own end.
const FOREVER: Duration = Duration::from_secs(u64::MAX / 4);

/// Simulated hosts, connected each to each.
pub struct Network {
    simulation: ::turmoil::Sim<'static>,
    sites: BTreeMap<IpAddr, Rc<Site>>,
    /// By pair, the lower address first, where it was set.
    latencies: BTreeMap<Way, Duration>,
    holds: Holds,
    wires: Rc<Wires>,
    names: Rc<Names>,
}

impl Network {
    /// A network without hosts. All of its chance comes from `rng`.
    #[must_use]
    pub fn new(rng: &Rng, names: Names) -> Self {
        let simulation = ::turmoil::Builder::new()
            .rng_seed(rng.fork("turmoil").next_u64())
            .epoch(std::time::UNIX_EPOCH)
            .simulation_duration(FOREVER)
            .tick_duration(TICK)
            .min_message_latency(TICK)
            .max_message_latency(TICK)
            .tcp_capacity(TCP_CAPACITY)
            .ephemeral_ports(CALLING_PORTS)
            .enable_random_order()
            .build();
        Network {
            simulation,
            sites: BTreeMap::new(),
            latencies: BTreeMap::new(),
            holds: Holds::default(),
            wires: Rc::default(),
            names: Rc::new(names),
        }
    }

    /// Adds a host that runs `machine` from now on. `watch` sees it after every turn.
    pub fn add<M: Machine + 'static>(
        &mut self,
        host: Host,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        let site = Rc::new(Site {
            addr: SocketAddr::new(host.addr, host.port),
            files: host.files,
            lanes: Rc::new(Lanes::new(host.up, host.down)),
            wires: Rc::clone(&self.wires),
            names: Rc::clone(&self.names),
            seat: Seat::default(),
        });
        site.seat.start(process(machine, watch));
        self.sites.insert(host.addr, Rc::clone(&site));
        self.simulation
            .host(host.addr, move || live(Rc::clone(&site)));
    }

    /// Starts `machine` on a host that is down.
    ///
    /// # Panics
    /// If it is not down or was never added.
    pub fn start<M: Machine + 'static>(
        &mut self,
        addr: IpAddr,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        self.sites[&addr].seat.start(process(machine, watch));
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.simulation.elapsed()
    }
}

impl Carrier for Network {
    fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        self.simulation.set_link_latency(one, other, latency);
        self.latencies
            .insert((one.min(other), one.max(other)), latency);
    }

    fn set_rates(&mut self, addr: IpAddr, up: Option<NonZeroU64>, down: Option<NonZeroU64>) {
        self.sites[&addr].lanes.set_rates(up, down);
    }

    fn block(&mut self, from: IpAddr, to: IpAddr) {
        self.holds.block(&self.simulation, from, to);
        self.wires.set_silent(from, to, true);
    }

    fn unblock(&mut self, from: IpAddr, to: IpAddr) {
        self.holds.unblock(&self.simulation, from, to);
        self.wires.set_silent(from, to, false);
    }

    fn connections(&self, addr: IpAddr) -> Vec<Ends> {
        self.wires.of_host(addr)
    }

    fn sever(&mut self, connection: Ends, kind: IoErrorKind) {
        self.wires.sever(connection, kind);
    }

    fn stop(&mut self, addr: IpAddr, how: Stop) {
        self.sites[&addr].seat.stop(how);
    }

    fn wake(&mut self, addr: IpAddr) {
        self.sites[&addr].seat.wake();
    }

    fn step(&mut self) -> Result<(), NetworkError> {
        let now = self.now();
        let latencies = &self.latencies;
        self.holds.deliver(&self.simulation, now, |pair| {
            latencies.get(&pair).copied().unwrap_or(TICK)
        });
        let stepped = self.simulation.step();
        stepped.map(|_| ()).map_err(|error| NetworkError {
            at: self.now(),
            what: error.to_string(),
        })
    }
}

/// The turns of a machine, and of who watches it.
fn process<M: Machine + 'static>(
    machine: Rc<RefCell<M>>,
    mut watch: impl FnMut(&mut M, Instant) + 'static,
) -> Process {
    Box::new(move |hands| {
        let mut machine = machine.borrow_mut();
        let next = turn(&mut *machine, hands);
        watch(&mut machine, hands.now());
        next
    })
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

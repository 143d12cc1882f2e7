//! Hosts on one simulated network, moved along tick by tick.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, Turn, turn};

use super::Turmoil;
use super::window::Windows;
use crate::names::Names;
use crate::network::{Host, NetworkError, TICK};
use crate::shaper::WINDOW;

/// What turmoil counts in segments we bound in bytes, and earlier: no segment is empty, so its own
/// bound is never met. It bounds the queue of connections to be accepted as well, whose overflow
/// would end the simulation.
const TCP_CAPACITY: usize = WINDOW + 1;

/// Never: the run has its own end.
const FOREVER: Duration = Duration::from_secs(u64::MAX / 4);

/// Simulated hosts, connected each to each.
pub struct Network {
    simulation: ::turmoil::Sim<'static>,
    windows: Rc<Windows>,
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
            .enable_random_order()
            .build();
        Network {
            simulation,
            windows: Rc::default(),
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
        let (windows, names) = (Rc::clone(&self.windows), Rc::clone(&self.names));
        let addr = host.addr;
        let watch = Rc::new(RefCell::new(watch));
        self.simulation.host(addr, move || {
            let (host, machine, watch) = (host.clone(), Rc::clone(&machine), Rc::clone(&watch));
            let (windows, names) = (Rc::clone(&windows), Rc::clone(&names));
            async move {
                let mut backend = Turmoil::start(&host, windows, names).await?;
                loop {
                    let next = turn(&mut *machine.borrow_mut(), &mut backend);
                    (watch.borrow_mut())(&mut machine.borrow_mut(), backend.now());
                    match next {
                        Turn::Busy => tokio::task::yield_now().await,
                        Turn::Wait(deadline) => backend.wait(deadline).await,
                    }
                }
            }
        });
    }

    /// Sets how long a packet takes between two hosts, one way.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        self.simulation.set_link_latency(one, other, latency);
    }

    /// Loses everything under way between two hosts and all they send each other from now on.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn partition(&mut self, one: IpAddr, other: IpAddr) {
        self.simulation.partition(one, other);
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.simulation.elapsed()
    }

    /// Moves on by one [`TICK`].
    ///
    /// # Errors
    /// If a host broke down.
    pub fn step(&mut self) -> Result<(), NetworkError> {
        let stepped = self.simulation.step();
        stepped.map(|_| ()).map_err(|error| NetworkError {
            at: self.now(),
            what: error.to_string(),
        })
    }
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

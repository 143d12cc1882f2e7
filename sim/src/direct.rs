//! The backend without a runtime: one queue of events around the machines of thousands of hosts.
//!
//! The network is a world of hosts and sockets that only events change; a machine reaches it through
//! its hands, during its turn. Only hosts for which something happened, or whose timer is due, take
//! a turn; what a turn does to another host is an event for that one, or wakes it for a turn at the
//! same instant.
//!
//! Invariant: when time moves on, no host has anything left to be told.

mod agenda;
mod hands;
mod links;
mod socket;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend as _, Machine, Turn, turn};

use crate::names::Names;
use crate::network::{Host, TICK};
use hands::Hands;
use world::World;

/// Simulated hosts, connected each to each.
pub struct Network {
    world: World,
    /// Who decides for each host.
    seats: Vec<Box<dyn Seat>>,
}

impl Network {
    /// A network without hosts. All of its chance comes from `rng`.
    #[must_use]
    pub fn new(rng: &Rng, names: Names) -> Self {
        Network {
            world: World::new(rng, names),
            seats: Vec::new(),
        }
    }

    /// Adds a host that runs `machine` from now on. `watch` sees it after every turn.
    pub fn add<M: Machine + 'static>(
        &mut self,
        host: Host,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        self.world.add(&host);
        self.seats.push(Box::new(Seated { machine, watch }));
    }

    /// Sets how long a packet takes between two hosts, one way; rounded up to [`TICK`]s, at least
    /// one.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        self.world.set_latency(one, other, latency);
    }

    /// Loses everything under way between two hosts and all they send each other from now on.
    ///
    /// # Panics
    /// If one of them was not added.
    pub fn partition(&mut self, one: IpAddr, other: IpAddr) {
        self.world.partition(one, other);
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Moves on by one [`TICK`].
    pub fn step(&mut self) {
        let end = self.now() + TICK;
        self.settle();
        while self.world.advance(end) {
            self.settle();
        }
    }

    /// Lets every host that has something to do take its turns.
    fn settle(&mut self) {
        self.world.shuffle_awake();
        while let Some(host) = self.world.next_awake() {
            let deadline = loop {
                let mut hands = Hands::new(&mut self.world, host);
                match self.seats[host].turn(&mut hands) {
                    Turn::Busy => {}
                    Turn::Wait(Some(at)) if at <= self.world.now() => {}
                    Turn::Wait(deadline) => break deadline,
                }
            };
            self.world.rest(host, deadline);
        }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network")
            .field("now", &self.now())
            .finish_non_exhaustive()
    }
}

/// A machine of any kind, and who watches it.
trait Seat {
    fn turn(&mut self, hands: &mut Hands<'_>) -> Turn;
}

struct Seated<M, W> {
    machine: Rc<RefCell<M>>,
    watch: W,
}

impl<M: Machine, W: FnMut(&mut M, Instant)> Seat for Seated<M, W> {
    fn turn(&mut self, hands: &mut Hands<'_>) -> Turn {
        let mut machine = self.machine.borrow_mut();
        let next = turn(&mut *machine, hands);
        (self.watch)(&mut machine, hands.now());
        next
    }
}

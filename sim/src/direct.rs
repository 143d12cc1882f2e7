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
mod parcel;
mod socket;
mod world;

use std::cell::RefCell;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::rc::Rc;

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend as _, Machine, Turn, turn};

use crate::names::Names;
use crate::network::{Carrier, Ends, Host, NetworkError, Stop, TICK};
use hands::Hands;
use world::World;

/// Simulated hosts, connected each to each.
pub struct Network {
    world: World,
    /// Who decides for each host; nobody while it is down.
    seats: Vec<Option<Box<dyn Seat>>>,
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
        self.seats.push(Some(Box::new(Seated { machine, watch })));
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
        let host = self.world.start(addr);
        self.seats[host] = Some(Box::new(Seated { machine, watch }));
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.world.now()
    }

    /// Lets every host that has something to do take its turns.
    fn settle(&mut self) {
        self.world.shuffle_awake();
        while let Some(host) = self.world.next_awake() {
            let Some(seat) = &mut self.seats[host] else {
                continue;
            };
            let deadline = loop {
                let mut hands = Hands::new(&mut self.world, host);
                match seat.turn(&mut hands) {
                    Turn::Busy => {}
                    Turn::Wait(Some(at)) if at <= self.world.now() => {}
                    Turn::Wait(deadline) => break deadline,
                }
            };
            self.world.rest(host, deadline);
        }
    }
}

impl Carrier for Network {
    fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        self.world.set_latency(one, other, latency);
    }

    fn set_rates(&mut self, addr: IpAddr, up: Option<NonZeroU64>, down: Option<NonZeroU64>) {
        self.world.set_rates(addr, up, down);
    }

    fn block(&mut self, from: IpAddr, to: IpAddr) {
        self.world.block(from, to);
    }

    fn unblock(&mut self, from: IpAddr, to: IpAddr) {
        self.world.open(from, to);
    }

    fn connections(&self, addr: IpAddr) -> Vec<Ends> {
        self.world.connections(addr)
    }

    fn sever(&mut self, connection: Ends, kind: IoErrorKind) {
        self.world.sever(connection, kind);
    }

    fn stop(&mut self, addr: IpAddr, how: Stop) {
        if let Some(host) = self.world.stop(addr, how) {
            self.seats[host] = None;
        }
    }

    fn wake(&mut self, addr: IpAddr) {
        self.world.poke(addr);
    }

    fn step(&mut self) -> Result<(), NetworkError> {
        let end = self.now() + TICK;
        self.settle();
        while self.world.advance(end) {
            self.settle();
        }
        Ok(())
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

//! Floor 5: the turn of the loop, written once for every host.
//!
//! A *machine* decides, a *backend* carries out, [`turn`] passes values between them. Only the host
//! waits, each in its own way: a ring enters the kernel, an async host awaits, the simulator
//! advances its clock.

pub mod tap;

use core::net::SocketAddr;

use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::engine::{Engine, Input, Output};

pub use tap::Tap;

/// What decides: the engine, the engine under a [`Tap`], or a script that tests a backend.
pub trait Machine {
    /// A peer has connected to us; `None` refuses it.
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId>;
    /// Something happened.
    fn handle(&mut self, now: Instant, input: Input<'_>);
    /// The time of `poll_timeout` has come; spurious calls do nothing.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing to carry out.
    fn poll_output(&mut self, now: Instant) -> Option<Output>;
    /// When to call `handle_timeout`, unless something happens before.
    fn poll_timeout(&self) -> Option<Instant>;
}

impl Machine for Engine {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        self.accept(now, from)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.poll_output(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.poll_timeout()
    }
}

/// What carries out.
pub trait Backend {
    /// The host's clock; never goes back.
    fn now(&self) -> Instant;
    /// Starts carrying out `output`. Never blocks and never calls the machine.
    fn carry(&mut self, output: Output);
    /// Hands up to `bound` of the things that have happened to the machine; whether there was one.
    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool;
}

/// What the host should do after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Let the drivers of I/O run, then turn again at once.
    Busy,
    /// Nothing to do before something happens or this instant comes.
    Wait(Option<Instant>),
}

/// The most completions handed over between two rounds of outputs.
const REAP_BOUND: usize = 256;

/// One turn of the loop: fire timers, take in what happened, carry out what is decided.
pub fn turn<M: Machine, B: Backend>(machine: &mut M, backend: &mut B) -> Turn {
    let now = backend.now();
    if machine.poll_timeout().is_some_and(|at| at <= now) {
        machine.handle_timeout(now);
    }
    let mut busy = backend.reap(machine, REAP_BOUND);
    let now = backend.now();
    while let Some(output) = machine.poll_output(now) {
        busy = true;
        backend.carry(output);
    }
    if busy {
        Turn::Busy
    } else {
        Turn::Wait(machine.poll_timeout())
    }
}

//! Floor 5: the turn of the loop, written once for every host.
//!
//! A *machine* decides, a *backend* carries out, [`turn`] passes values between them. Only the host
//! waits, each in its own way: a ring enters the kernel, an async host awaits, the simulator
//! advances its clock. What a backend owes a machine, and what it may count on, stands in the
//! [documentation of the crate](crate); the scripts behind the feature `conformance` test it.
//!
//! A host is a [`Backend`] and this loop:
//!
//! ```
//! use ripcurrent_proto::drive::{Backend, Turn, turn};
//! use ripcurrent_proto::engine::Engine;
//!
//! fn run<B: Backend>(engine: &mut Engine, backend: &mut B, wait: impl Fn(&mut B, Turn)) {
//!     while !engine.is_shut_down() {
//!         let next = turn(engine, backend);
//!         while let Some(event) = engine.poll_event() {
//!             println!("{event:?}");
//!         }
//!         // Busy: let the system do its part, but come back at once. Wait: until something
//!         // happens or the instant comes.
//!         wait(backend, next);
//!     }
//! }
//! ```
//!
//! To digest a run, put a [`Tap`] around the engine and turn that; to record it, a
//! [`Recorder`](record::Recorder).

mod digest;
pub mod record;
pub mod tap;

use core::net::SocketAddr;

use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::engine::{Engine, Input, Output};

pub use digest::digest;
pub use tap::Tap;

/// What decides: the engine, the engine under a [`Tap`], or a script that tests a backend. The
/// methods are those of [`Engine`], and so is their contract.
pub trait Machine {
    /// A peer has connected to us; `None` refuses it: close it without a word.
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId>;
    /// Something happened. Bounded work, never a wait, never a failure.
    fn handle(&mut self, now: Instant, input: Input<'_>);
    /// The time of `poll_timeout` has come; spurious calls do nothing.
    fn handle_timeout(&mut self, now: Instant);
    /// The next thing to carry out; to be asked until there is none before the host waits.
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

/// What carries out, and tells what has happened.
pub trait Backend {
    /// The host's clock; never goes back. Need not move during a turn.
    fn now(&self) -> Instant;
    /// Starts carrying out `output`. Never waits and never calls the machine: what is over at once is
    /// told by the next `reap`.
    fn carry(&mut self, output: Output);
    /// Hands up to `bound` of the things that have happened to the machine, those of one connection
    /// in their order; whether there was one. What is left waits for the next turn.
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
///
/// After it nothing is left in the machine to carry out. Events are the host's to poll.
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

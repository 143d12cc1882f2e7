//! How much of what a machine takes in is more than blocks: a [`Machine`] around a machine that
//! counts the bytes of its connections.

use std::net::SocketAddr;

use ripcurrent_proto::api::{Input, Output};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

/// A machine whose received bytes are counted; it is not changed by that.
#[derive(Debug)]
pub struct Metered<M> {
    machine: M,
    received: u64,
}

impl<M> Metered<M> {
    /// Counts from zero.
    pub fn new(machine: M) -> Self {
        Metered {
            machine,
            received: 0,
        }
    }

    /// The machine inside.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Bytes received in connections of every kind.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }
}

impl<M: Machine> Machine for Metered<M> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        self.machine.accept(now, from)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        if let Input::Received { data, .. } = &input {
            self.received += data.len() as u64;
        }
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        self.machine.poll_output(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

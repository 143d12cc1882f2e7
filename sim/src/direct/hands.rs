//! What a machine reaches the world by, for the time of a turn.

use ripcurrent_proto::api::{EndReason, Input, IoError, IoErrorKind, Net, Output, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Backend, Machine};
use std::net::SocketAddr;

use super::socket::{HostId, Socket, SocketId};
use super::world::World;
use crate::work::Errand;

/// One host's hands.
pub(super) struct Hands<'a> {
    world: &'a mut World,
    host: HostId,
}

/// What happened to a host and its machine is to be told, unless the socket is gone by then.
#[derive(Debug)]
pub(super) enum Done {
    Bound(SocketAddr),
    Accepted(SocketId),
    Connected(SocketId),
    /// The bytes that were passing have passed.
    Received(SocketId),
    /// The transmission is over; whether all of it went.
    Sent(SocketId, bool),
    Ended(SocketId, EndReason),
    Returned(ConnId, Transmission),
    Closed(ConnId),
    Worked(Box<Input<'static>>),
}

impl<'a> Hands<'a> {
    pub(super) fn new(world: &'a mut World, host: HostId) -> Self {
        Hands { world, host }
    }

    fn deliver<M: Machine>(&mut self, machine: &mut M, done: Done) {
        let now = self.now();
        match done {
            Done::Bound(addr) => machine.handle(now, Input::Bound { addr }),
            Done::Accepted(socket) => self.on_accepted(machine, socket),
            Done::Connected(socket) => {
                if let Some((entry, conn)) = self.socket(socket) {
                    entry.open = true;
                    machine.handle(now, Input::Connected { conn });
                    self.world.receive(socket);
                }
            }
            Done::Received(socket) => self.world.deliver(machine, socket),
            Done::Sent(socket, is_whole) => self.on_sent(machine, socket, is_whole),
            Done::Ended(socket, reason) => self.end(machine, socket, reason),
            Done::Returned(conn, transmission) => {
                machine.handle(now, Input::Returned { conn, transmission });
            }
            Done::Closed(conn) => machine.handle(now, Input::Closed { conn }),
            Done::Worked(input) => machine.handle(now, *input),
        }
    }

    fn on_accepted<M: Machine>(&mut self, machine: &mut M, socket: SocketId) {
        let now = self.now();
        let Some(entry) = self.world.socket(socket) else {
            return;
        };
        match machine.accept(now, entry.far_addr) {
            Some(conn) => {
                entry.conn = Some(conn);
                entry.open = true;
                self.world.name(self.host, conn, socket);
            }
            None => {
                self.world.let_go(socket);
            }
        }
    }

    fn on_sent<M: Machine>(&mut self, machine: &mut M, socket: SocketId, is_whole: bool) {
        let now = self.now();
        let Some((entry, conn)) = self.socket(socket) else {
            return;
        };
        let transmission = entry.outflow.transmission.take();
        let transmission = transmission.expect("it is kept until it is over");
        let reason = entry.inflow.end;
        machine.handle(now, Input::Returned { conn, transmission });
        if is_whole {
            machine.handle(now, Input::Sent { conn });
        } else {
            self.end(machine, socket, reason.unwrap_or(EndReason::Failed(RESET)));
        }
    }

    /// Tells the machine of the end, once.
    fn end<M: Machine>(&mut self, machine: &mut M, socket: SocketId, reason: EndReason) {
        let now = self.now();
        if let Some((entry, conn)) = self.socket(socket)
            && !std::mem::replace(&mut entry.inflow.ended, true)
        {
            machine.handle(now, Input::Ended { conn, reason });
        }
    }

    /// A socket that the machine has not closed, and its name for it.
    fn socket(&mut self, socket: SocketId) -> Option<(&mut Socket, ConnId)> {
        let entry = self.world.socket(socket)?;
        let conn = entry.conn?;
        Some((entry, conn))
    }

    fn carry_net(&mut self, net: Net) {
        match net {
            // A simulated TLS hides nothing: see the documentation of `network`.
            Net::Connect { conn, to, .. } => self.world.call(self.host, conn, to),
            Net::Recv { conn, until } => {
                if let Some(socket) = self.world.named(self.host, conn)
                    && let Some(entry) = self.world.socket(socket)
                {
                    entry.inflow.until = entry.inflow.until.max(until);
                    self.world.receive(socket);
                }
            }
            Net::Transmit { conn, transmission } => {
                let socket = self.world.named(self.host, conn);
                let socket = socket.expect("the connection is open");
                self.world.transmit(socket, transmission);
            }
            Net::Close { conn } => self.world.close(self.host, conn),
        }
    }
}

impl Backend for Hands<'_> {
    fn now(&self) -> Instant {
        self.world.now()
    }

    fn carry(&mut self, output: Output) {
        match output.into() {
            Errand::Net(net) => self.carry_net(net),
            Errand::Job(job) => self.world.begin(self.host, job),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        for handled in 0..bound {
            let Some(done) = self.world.next_done(self.host) else {
                return handled > 0;
            };
            self.deliver(machine, done);
        }
        true
    }
}

/// What a broken connection ends by.
pub(super) const RESET: IoError = IoError {
    kind: IoErrorKind::Reset,
    code: 0,
};

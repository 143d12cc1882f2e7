//! What carries a connection here: its descriptor, and the operations of the ring on it.

use std::net::Shutdown;
use std::os::fd::AsRawFd;

use io_uring::types::Fd;
use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::{ConnId, Id};
use ripcurrent_proto::drive::Machine;
use socket2::Socket;

use super::kernel::Kernel;
use super::{Ready, Uring};
use crate::conns::{self, Conns};
use crate::protected::{Protected, send_last};

/// What carries one connection.
#[derive(Default)]
pub(super) struct Link {
    pub(super) socket: Option<Socket>,
    pub(super) connecting: Connecting,
    pub(super) receiving: Receiving,
    /// Something was received since the last receive was started.
    pub(super) fed: bool,
    /// Sending has failed: nothing more will be received than what was received before.
    pub(super) failed: Option<EndReason>,
    /// It will be looked at before the loop waits.
    pub(super) noted: bool,
}

/// What is under way to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Connecting {
    #[default]
    No,
    /// It is not known yet whom to believe.
    Waiting,
    InFlight,
}

/// What is under way to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Receiving {
    #[default]
    Nothing,
    /// As many bytes as there was credit for.
    Once,
    /// Whatever comes, until it is stopped.
    Always(Id),
    /// It was told to stop.
    Stopping(Id),
}

impl Link {
    /// Whether there is a stream.
    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some() && self.connecting == Connecting::No
    }

    /// The descriptor, once there is one.
    pub(super) fn fd(&self) -> Option<Fd> {
        self.socket.as_ref().map(|socket| Fd(socket.as_raw_fd()))
    }
}

impl conns::Link for Link {
    fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    fn is_under_way(&self) -> bool {
        self.receiving != Receiving::Nothing || self.connecting == Connecting::InFlight
    }

    fn shut_down(&self) {
        if let Some(socket) = &self.socket {
            // It fails where the connection is over already, or was never made.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    fn send_last(&self, words: &[u8]) {
        if let Some(socket) = &self.socket {
            send_last(socket, words);
        }
    }
}

impl<K: Kernel> Protected for Uring<K> {
    type Link = Link;

    fn conns(&mut self) -> &mut Conns<Link> {
        &mut self.conns
    }

    fn start_writing(&mut self, conn: ConnId, sealed: Transmission) {
        self.send(conn, sealed, true);
    }

    fn transmitted_soon(&mut self, conn: ConnId, transmission: Transmission) {
        self.ready
            .push_back(Ready::Transmitted { conn, transmission });
    }

    fn news_soon(&mut self, conn: ConnId) {
        self.ready.push_back(Ready::News { conn });
    }

    fn answer_soon(&mut self, input: Input<'static>) {
        self.ready.push_back(Ready::Answer(input));
    }

    fn receive_more(&mut self, conn: ConnId) {
        self.note(conn);
    }

    fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        self.end(machine, conn, reason);
    }

    fn settle(&mut self, conn: ConnId) {
        self.settle(conn);
    }
}

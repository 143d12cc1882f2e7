//! Connections out.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::opcode;
use ripcurrent_proto::api::{EndReason, Input};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};
use socket2::{Domain, SockAddr, Socket, Type};

use super::kernel::Kernel;
use super::link::{Connecting, Link};
use super::trust::Begun;
use super::{Operation, Ready, Uring};
use crate::doors::choose_port_late;
use crate::errno;
use crate::protected::Protected;

impl<K: Kernel> Uring<K> {
    /// Starts to connect.
    pub(super) fn connect(&mut self, conn: ConnId, to: SocketAddr, tls: Option<Arc<str>>) {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let entry = self.conns.insert(conn, Link::default());
        let local = self.doors.local_for(to.ip());
        match local.and_then(|local| socket(local, to)) {
            Ok(socket) => {
                entry.socket = Some(socket);
                entry.connecting = Connecting::Waiting;
                match tls {
                    Some(name) => self.connect_protected(conn, to, name),
                    None => self.connect_to(conn, to),
                }
            }
            Err(error) => self.never_connected(conn, failed(&error)),
        }
    }

    /// Connects as soon as it is known whom to believe.
    pub(super) fn connect_protected(&mut self, conn: ConnId, to: SocketAddr, name: Arc<str>) {
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            return;
        };
        match self.trust.begin(&name) {
            Begun::Shield(shield) => {
                entry.shield = Some(shield);
                self.connect_to(conn, to);
            }
            Begun::Never(reason) => self.never_connected(conn, reason),
            Begun::Later => self.unproven.push((conn, to, name)),
        }
    }

    fn connect_to(&mut self, conn: ConnId, to: SocketAddr) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        let Some(fd) = entry.fd() else { return };
        entry.connecting = Connecting::InFlight;
        let address = Box::new(SockAddr::from(to));
        let connect = opcode::Connect::new(fd, address.as_ptr().cast(), address.len());
        let operation = Operation::Connect { conn, address };
        // SAFETY: the address lies in the box; the descriptor is closed only when nothing of the
        // connection is under way.
        unsafe { self.ring.start(connect.build(), operation) };
    }

    fn never_connected(&mut self, conn: ConnId, reason: EndReason) {
        self.ready.push_back(Ready::Ended { conn, reason });
    }

    pub(super) fn on_connected<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        result: io::Result<u32>,
    ) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.connecting = Connecting::No;
        if entry.is_live() {
            match result {
                Ok(_) if entry.shield.is_some() => self.write_on(conn),
                Ok(_) => machine.handle(now, Input::Connected { conn }),
                Err(error) => self.end(machine, conn, failed(&error)),
            }
            self.note(conn);
        }
        self.settle(conn);
    }
}

fn failed(error: &io::Error) -> EndReason {
    EndReason::Failed(errno::io_error(error))
}

/// A socket for a connection to `to`, bound to the local address where there is one.
fn socket(local: Option<IpAddr>, to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(local) = local {
        choose_port_late(socket.as_raw_fd());
        socket.bind(&SocketAddr::new(local, 0).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    Ok(socket)
}

//! Connections in and out.
//!
//! A connect goes through tokio's own sockets, whatever carries the bytes: `tokio-uring` cannot bind
//! a socket before it connects, and its futures cannot be dropped to cancel; tokio's can. There is
//! one connect for thousands of receives.

use std::io;
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use ripcurrent_proto::api::{EndReason, Input};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};
use socket2::SockRef;
use tokio::net::TcpSocket;

use super::link::Link;
use super::{Carrier, Done, Sockets, shut_down};
use crate::doors::{REST, choose_port_late};
use crate::errno;
use crate::protected::Protected;
use crate::shield::Shield;
use crate::tls::Trust;

impl<S: Sockets> Carrier<S> {
    /// Lets people in through a socket that listens, and says where.
    pub(super) fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        let addr = listener.local_addr()?;
        self.listening = Some(listener.try_clone()?);
        let listener = S::listen(listener)?;
        self.ready.push_back(Done::Answer(Input::Bound { addr }));
        self.accept(Rc::new(listener), Duration::ZERO);
        Ok(())
    }

    /// Ends the accept in flight and lets nobody in any more.
    pub(super) fn close_doors(&mut self) {
        if let Some(listening) = self.listening.take() {
            let _ = SockRef::from(&listening).shutdown(Shutdown::Both);
        }
    }

    fn accept(&self, listener: Rc<S::Listener>, after: Duration) {
        self.start(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let result = S::accept(&listener).await;
            Done::Accepted { listener, result }
        });
    }

    pub(super) fn on_accepted<M: Machine>(
        &mut self,
        machine: &mut M,
        listener: Rc<S::Listener>,
        result: io::Result<(S::Stream, SocketAddr)>,
    ) {
        match result {
            Ok((stream, from)) => {
                self.accept(listener, Duration::ZERO);
                self.admit(machine, stream, from);
            }
            // Shut down by ourselves.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {}
            // Whoever it was has gone again; others may wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {
                self.accept(listener, Duration::ZERO);
            }
            Err(_) => self.accept(listener, REST),
        }
    }

    fn admit<M: Machine>(&mut self, machine: &mut M, stream: S::Stream, from: SocketAddr) {
        // An IPv4 peer of a socket for both families is an IPv4 peer.
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let now = self.now();
        let allowed = self.doors.allows(from.ip());
        let Some(conn) = allowed.then(|| machine.accept(now, from)).flatten() else {
            return shut_down::<S>(Some(&stream));
        };
        let _ = S::send_at_once(&stream);
        self.conns.insert(conn, Link::new(Some(stream), None));
    }

    /// Starts to connect.
    pub(super) fn connect(&mut self, conn: ConnId, to: SocketAddr, tls: Option<Arc<str>>) {
        let to = SocketAddr::new(to.ip().to_canonical(), to.port());
        let local = self.doors.local_for(to.ip());
        match local.and_then(|local| socket(local, to)) {
            Ok(socket) => {
                let (abort, registration) = AbortHandle::new_pair();
                self.conns.insert(conn, Link::new(None, Some(abort)));
                let making = make::<S>(socket, to, tls, Rc::clone(&self.trust));
                self.start(async move {
                    let made = Abortable::new(making, registration).await;
                    let aborted = |_| Err(failed(&io::ErrorKind::Interrupted.into()));
                    let result = made.unwrap_or_else(aborted);
                    Done::Connected { conn, result }
                });
            }
            Err(error) => {
                self.conns.insert(conn, Link::new(None, None));
                let reason = failed(&error);
                self.ready.push_back(Done::Ended { conn, reason });
            }
        }
    }

    pub(super) fn on_connected<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        result: Result<Made<S>, EndReason>,
    ) {
        let now = self.now();
        let entry = self.conns.get_mut(conn);
        let Some(entry) = entry.filter(|entry| entry.is_live()) else {
            shut_down::<S>(result.ok().map(|made| made.stream).as_ref());
            return self.connect_is_over(conn);
        };
        entry.connecting = None;
        match result {
            Ok(made) => {
                entry.stream = Some(Rc::new(made.stream));
                entry.shield = made.shield;
                match entry.shield {
                    Some(_) => self.write_on(conn),
                    None => machine.handle(now, Input::Connected { conn }),
                }
                self.receive(conn);
            }
            Err(reason) => self.end(machine, conn, reason),
        }
    }

    fn connect_is_over(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.connecting = None;
        }
        self.settle(conn);
    }
}

/// A connection that was made.
pub(super) struct Made<S: Sockets> {
    stream: S::Stream,
    /// Of one that is to be protected; nothing was said yet.
    shield: Option<Box<Shield>>,
}

/// Connects; where a name is to be proven, finds out by what.
async fn make<S: Sockets>(
    socket: TcpSocket,
    to: SocketAddr,
    tls: Option<Arc<str>>,
    trust: Rc<Trust>,
) -> Result<Made<S>, EndReason> {
    let shield = match tls {
        Some(name) => Some(Box::new(Shield::new(trust.begin(&name).await?))),
        None => None,
    };
    let stream = socket.connect(to).await.and_then(S::adopt);
    let stream = stream.map_err(|error| failed(&error))?;
    Ok(Made { stream, shield })
}

fn failed(error: &io::Error) -> EndReason {
    EndReason::Failed(errno::io_error(error))
}

/// A socket for a connection to `to`, bound to the local address where there is one.
fn socket(local: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    if let Some(local) = local {
        choose_port_late(socket.as_raw_fd());
        socket.bind(SocketAddr::new(local, 0))?;
    }
    socket.set_nodelay(true)?;
    Ok(socket)
}

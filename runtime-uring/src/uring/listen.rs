//! Letting people in: one entry accepts whoever comes, and a listener to which the system refuses
//! that rests for a moment.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::opcode;
use io_uring::types::Fd;
use ripcurrent_proto::api::Input;
use ripcurrent_proto::base::id::Id;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Backend, Machine};
use socket2::Socket;

use super::kernel::Kernel;
use super::link::Link;
use super::ring::Outcome;
use super::{Operation, Ready, Uring};
use crate::doors::REST;

/// A listening socket, and what is under way to let people in.
pub(super) struct Door {
    listener: TcpListener,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open(Id),
    /// Until this instant.
    Resting(Instant),
    /// For good.
    Shut,
}

impl<K: Kernel> Uring<K> {
    /// Lets people in through a socket that listens, and says where.
    pub(super) fn listen(&mut self, listener: TcpListener) -> io::Result<()> {
        let addr = listener.local_addr()?;
        // The ring itself waits; a non-blocking socket would make it give up at once.
        listener.set_nonblocking(false)?;
        let state = State::Resting(Instant::ZERO);
        self.door = Some(Door { listener, state });
        self.ready.push_back(Ready::Answer(Input::Bound { addr }));
        Ok(())
    }

    /// Opens the door if it has rested long enough; when to call again, if at all.
    pub(super) fn open_door(&mut self, now: Instant) -> Option<Instant> {
        let door = self.door.as_mut()?;
        match door.state {
            State::Resting(until) if until <= now => {
                let fd = Fd(door.listener.as_raw_fd());
                let accept = opcode::AcceptMulti::new(fd).flags(libc::SOCK_CLOEXEC);
                // SAFETY: it takes no memory; the descriptor stays open as long as the ring.
                let id = unsafe { self.ring.start(accept.build(), Operation::Accept) };
                door.state = State::Open(id);
                None
            }
            State::Resting(until) => Some(until),
            State::Open(_) | State::Shut => None,
        }
    }

    /// Lets nobody in any more.
    pub(super) fn shut_door(&mut self) {
        if let Some(door) = &mut self.door
            && let State::Open(id) = std::mem::replace(&mut door.state, State::Shut)
        {
            self.ring.cancel(id);
        }
    }

    /// Somebody came in, or could not.
    pub(super) fn on_accepted<M: Machine>(&mut self, machine: &mut M, outcome: Outcome) {
        let now = self.now();
        let result = outcome.result();
        if outcome.is_last
            && let Some(door) = &mut self.door
            && !matches!(door.state, State::Shut)
        {
            door.state = match &result {
                Ok(_) => State::Resting(now),
                Err(error) => after(error, now),
            };
        }
        if let Ok(fd) = result {
            self.admit(machine, own(fd));
        }
    }

    fn admit<M: Machine>(&mut self, machine: &mut M, socket: Socket) {
        // Whoever has gone again has no address any more.
        let addr = socket.peer_addr().ok().and_then(|addr| addr.as_socket());
        let Some(from) = addr else { return };
        // An IPv4 peer of a socket for both families is an IPv4 peer.
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let now = self.now();
        let allowed = self.doors.allows(from.ip());
        let Some(conn) = allowed.then(|| machine.accept(now, from)).flatten() else {
            return;
        };
        let _ = socket.set_tcp_nodelay(true);
        let link = Link {
            socket: Some(socket),
            ..Link::default()
        };
        self.conns.insert(conn, link);
        self.note(conn);
    }
}

/// What becomes of a door at which somebody could not be let in.
fn after(error: &io::Error, now: Instant) -> State {
    match error.raw_os_error() {
        // It does not listen, or no more.
        Some(libc::EINVAL) => State::Shut,
        // Whoever it was has gone again; others may wait.
        Some(libc::ECONNABORTED | libc::EINTR | libc::EAGAIN) => State::Resting(now),
        // The system has no descriptor for a connection, or refuses it for another reason that is
        // not gone at once.
        _ => State::Resting(now + REST),
    }
}

/// Takes over the descriptor of a connection that was accepted.
pub(super) fn own(fd: u32) -> Socket {
    // SAFETY: the kernel has just made this descriptor for us; nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd as i32) };
    fd.into()
}

//! The host: what owns a backend, the threads beside it, and the loop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};

use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use socket2::{Domain, Socket, Type};

use crate::bell::Waker;
use crate::choice::{Chosen, Network};
use crate::clock::Clock;
use crate::descriptors::Descriptors;
use crate::options::{HostError, Listen, Options};
use crate::work::Work;

/// Connections that may wait to be accepted; the system may keep fewer.
const BACKLOG: i32 = 1024;

/// What a look at the machine comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on, and look again before the next turn, at this instant of the host's clock at the
    /// latest.
    Wait(Option<Instant>),
    /// Bring everything home and return.
    Stop,
}

/// A backend, its threads and a listening socket, ready to drive a machine. It lives on one thread.
pub struct Host {
    network: Network,
    backend: Chosen,
    options: Options,
    clock: Clock,
    waker: Waker,
    work: Work,
    listener: Option<TcpListener>,
    listening_at: Option<SocketAddr>,
}

impl Host {
    /// Chooses the backend, starts the threads and listens.
    ///
    /// # Errors
    /// If io_uring was asked for and is not to be had (each error names the remedy), if the address
    /// to listen at is not, or if the system has no thread or descriptor left.
    pub fn new(mut options: Options) -> Result<Self, HostError> {
        Descriptors::check()?;
        let (network, backend) = Network::choose(&options)?;
        let listener = listen(&mut options)?;
        let listening_at = match &listener {
            Some(listener) => Some(listener.local_addr().map_err(HostError::System)?),
            None => None,
        };
        let waker = Waker::new().map_err(HostError::System)?;
        let work = Work::new(&options, &waker).map_err(HostError::System)?;
        Ok(Host {
            network,
            backend,
            options,
            clock: Clock::new(),
            waker,
            work,
            listener,
            listening_at,
        })
    }

    /// Wakes the host from any thread or signal handler.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What carries out, and why it is not something better: worth telling people once.
    #[must_use]
    pub fn backend(&self) -> &Chosen {
        &self.backend
    }

    /// Where the host listens, its port not zero.
    #[must_use]
    pub fn listening_at(&self) -> Option<SocketAddr> {
        self.listening_at
    }

    /// The host's time: to make a machine with.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Drives `machine` on this thread until `control` says stop. See the documentation of the
    /// crate for the loop.
    ///
    /// # Errors
    /// If the system has no descriptor left to begin with. What happens later is told to the
    /// machine.
    ///
    /// # Panics
    /// If called inside another async runtime, and with the panic of a thread beside the loop.
    pub fn run<M: Machine>(
        self,
        machine: &mut M,
        control: impl FnMut(&mut M, Instant) -> Control,
    ) -> Result<(), HostError> {
        let beside = (self.clock, self.waker, self.work);
        self.network
            .run(machine, &self.options, self.listener, beside, control)
    }
}

fn listen(options: &mut Options) -> Result<Option<TcpListener>, HostError> {
    let listener = match std::mem::replace(&mut options.listen, Listen::No) {
        Listen::No => return Ok(None),
        Listen::On(listener) => listener,
        Listen::Port(port) => {
            let addr = SocketAddr::new(options.bind, port);
            bind(addr).map_err(|error| HostError::Listen { addr, error })?
        }
    };
    let addr = listener.local_addr().map_err(HostError::System)?.ip();
    if options.loopback_only && !addr.is_loopback() {
        return Err(HostError::NotLoopback { addr });
    }
    Ok(Some(listener))
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if let IpAddr::V6(ip) = addr.ip() {
        // `::` listens for both families.
        socket.set_only_v6(!ip.is_unspecified())?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

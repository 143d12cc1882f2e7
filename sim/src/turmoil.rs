//! The backend over turmoil: every host is a turmoil host with real asynchronous sockets, partial
//! reads and writes, latency and resets, its own runtime and its own clock.
//!
//! Operations on sockets live in one `FuturesUnordered`; each owns its half and its buffer and gives
//! them back when it is done. What needs no socket (disk, hashes, names) is a job with a time at
//! which it is done. `reap` polls both, only the host awaits. `tokio::select!` is banned: it
//! draws from a generator that nothing seeds.

mod cancel;
mod clock;
mod holds;
mod host;
mod net;
mod network;
mod seat;
mod wires;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll};

use ::turmoil::net::{TcpListener, TcpStream};
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use ripcurrent_proto::api::{EndReason, Input, IoError, IoErrorKind, Net, Output, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Backend, Machine};

use crate::disk::Disk;
use crate::names::Names;
use crate::shaper::QUANTUM_MAX;
use crate::work::{Errand, Job};
use cancel::{Cancel, Lane};
use clock::Clock;
use host::Site;
use net::{Inlet, Link, Outlet};
use wires::Wires;

pub use network::Network;

/// The hands of one host's process.
pub(crate) struct Turmoil {
    clock: Clock,
    link: Link,
    wires: Rc<Wires>,
    names: Rc<Names>,
    disk: Disk,
    listener: Rc<TcpListener>,
    listening: Cancel,
    conns: BTreeMap<ConnId, Conn>,
    /// Receive buffers at rest.
    buffers: Vec<Vec<u8>>,
    operations: FuturesUnordered<LocalBoxFuture<'static, Done>>,
    /// What takes its time and needs nobody: by when it is done, and in the order it was asked for.
    jobs: BTreeMap<(Instant, u64), Job>,
    jobs_begun: u64,
    /// What is done and not yet handed to the machine.
    done: VecDeque<Done>,
}

/// A connection: whatever of it is not away with an operation.
#[derive(Default)]
struct Conn {
    cancel: Cancel,
    inlet: Option<Inlet>,
    outlet: Option<Outlet>,
    /// Operations in flight.
    away: u8,
    received: u64,
    until: u64,
    /// The machine was told of the end.
    ended: bool,
}

/// An operation that is over, with everything it owned. A `None` in place of a result: it was
/// stopped by a `Close`.
enum Done {
    Bound(SocketAddr),
    Accepted(Option<io::Result<(TcpStream, SocketAddr)>>),
    Connected(ConnId, Option<io::Result<TcpStream>>),
    Received(ConnId, Inlet, Vec<u8>, Option<io::Result<usize>>),
    Sent(ConnId, Outlet, Transmission, Option<io::Result<()>>),
    Closed(ConnId),
    Worked(Input<'static>),
}

impl Turmoil {
    /// The hands of a process that begins on `site`, the host that is running now. It listens at
    /// the site's port, or by `listener`, if that port is not free because of it.
    async fn start(site: &Site, listener: Option<Rc<TcpListener>>) -> io::Result<Self> {
        let clock = Clock::of_this_host();
        let any: IpAddr = match site.addr {
            SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
        };
        let listener = match listener {
            Some(listener) => listener,
            None => Rc::new(TcpListener::bind((any, site.addr.port())).await?),
        };
        let backend = Turmoil {
            clock,
            link: Link::new(clock, Rc::clone(&site.lanes)),
            wires: Rc::clone(&site.wires),
            names: Rc::clone(&site.names),
            disk: Disk::new(site.files.clone()),
            listener,
            listening: Cancel::default(),
            conns: BTreeMap::new(),
            buffers: Vec::new(),
            operations: FuturesUnordered::new(),
            jobs: BTreeMap::new(),
            jobs_begun: 0,
            done: VecDeque::from([Done::Bound(site.addr)]),
        };
        backend.listen();
        Ok(backend)
    }

    /// When the next job is done.
    fn next_job(&self) -> Option<Instant> {
        self.jobs.first_key_value().map(|((at, _), _)| *at)
    }

    /// Waits for an operation to be done.
    fn poll_done(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.done.is_empty() {
            match self.operations.poll_next_unpin(context) {
                Poll::Ready(Some(done)) => self.done.push_back(done),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// What is done next, without waiting.
    fn next_done(&mut self) -> Option<Done> {
        let queued = self.done.pop_front();
        let done = queued.or_else(|| self.finish_job());
        done.or_else(|| self.operations.next().now_or_never().flatten())
    }

    fn deliver<M: Machine>(&mut self, machine: &mut M, done: Done) {
        let now = self.now();
        match done {
            Done::Bound(addr) => machine.handle(now, Input::Bound { addr }),
            Done::Accepted(accepted) => {
                self.listen();
                if let Some(Ok((stream, from))) = accepted
                    && let Some(conn) = machine.accept(now, from)
                {
                    self.conns.insert(conn, Conn::default());
                    self.attach(conn, stream);
                }
            }
            Done::Connected(conn, stream) => self.on_connected(machine, conn, stream),
            Done::Received(conn, inlet, buffer, result) => {
                self.on_received(machine, conn, inlet, buffer, result);
            }
            Done::Sent(conn, outlet, transmission, result) => {
                self.on_sent(machine, conn, outlet, transmission, result);
            }
            Done::Closed(conn) => machine.handle(now, Input::Closed { conn }),
            Done::Worked(input) => machine.handle(now, input),
        }
    }
}

/// Connections.
impl Turmoil {
    fn listen(&self) {
        let (listener, listening) = (Rc::clone(&self.listener), self.listening.clone());
        let accept =
            async move { Done::Accepted(listening.unless(Lane::In, listener.accept()).await) };
        self.operations.push(accept.boxed_local());
    }

    fn carry_net(&mut self, net: Net) {
        match net {
            // A simulated TLS hides nothing: see the documentation of `network`.
            Net::Connect { conn, to, .. } => {
                let entry = Conn::default();
                let cancel = entry.cancel.clone();
                let connect = async move {
                    let made = cancel.unless(Lane::In, TcpStream::connect(to)).await;
                    Done::Connected(conn, made)
                };
                self.conns.insert(conn, Conn { away: 1, ..entry });
                self.operations.push(connect.boxed_local());
            }
            Net::Recv { conn, until } => {
                if let Some(entry) = self.conns.get_mut(&conn) {
                    entry.until = entry.until.max(until);
                }
                self.receive(conn);
            }
            Net::Transmit { conn, transmission } => self.transmit(conn, transmission),
            Net::Close { conn } => {
                let Some(entry) = self.conns.get_mut(&conn) else {
                    return;
                };
                entry.cancel.close();
                self.close_if_home(conn);
            }
        }
    }

    /// Receives if there is credit and nothing is being received.
    fn receive(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(&conn) else {
            return;
        };
        let credit = entry.until.saturating_sub(entry.received);
        if credit == 0 || entry.ended {
            return;
        }
        let Some(mut inlet) = entry.inlet.take() else {
            return;
        };
        entry.away += 1;
        let cancel = entry.cancel.clone();
        let buffer = self.buffers.pop();
        let mut buffer = buffer.unwrap_or_else(|| vec![0; QUANTUM_MAX]);
        let most = usize::try_from(credit).map_or(QUANTUM_MAX, |most| most.min(QUANTUM_MAX));
        let receive = async move {
            let read = inlet.read(&mut buffer[..most]);
            let result = cancel.unless(Lane::In, read).await;
            Done::Received(conn, inlet, buffer, result)
        };
        self.operations.push(receive.boxed_local());
    }

    fn transmit(&mut self, conn: ConnId, transmission: Transmission) {
        let entry = self.conns.get_mut(&conn).expect("the connection is open");
        let outlet = entry.outlet.take();
        let mut outlet = outlet.expect("one transmission at a time, on a connection that was made");
        entry.away += 1;
        let cancel = entry.cancel.clone();
        let send = async move {
            let result = cancel.unless(Lane::Out, outlet.write(&transmission)).await;
            Done::Sent(conn, outlet, transmission, result)
        };
        self.operations.push(send.boxed_local());
    }

    /// Gives a connection that was made its two halves.
    fn attach(&mut self, conn: ConnId, stream: TcpStream) {
        let entry = self.conns.get_mut(&conn).expect("it was just entered");
        let (inlet, outlet) = net::split(stream, &self.link, &self.wires, &entry.cancel);
        entry.inlet = Some(inlet);
        entry.outlet = Some(outlet);
    }

    fn on_connected<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        made: Option<io::Result<TcpStream>>,
    ) {
        self.home(conn);
        match made {
            Some(Ok(stream)) if !self.is_closing(conn) => {
                self.attach(conn, stream);
                machine.handle(self.now(), Input::Connected { conn });
                self.receive(conn);
            }
            Some(Err(error)) => self.end(machine, conn, EndReason::Failed(refusal(&error))),
            Some(Ok(_)) | None => {}
        }
        self.close_if_home(conn);
    }

    fn on_received<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        inlet: Inlet,
        mut buffer: Vec<u8>,
        result: Option<io::Result<usize>>,
    ) {
        let entry = self.home(conn);
        entry.inlet = Some(inlet);
        match result {
            Some(Ok(0)) => self.end(machine, conn, EndReason::Eof),
            Some(Ok(received)) => {
                entry.received += received as u64;
                if !self.is_closing(conn) {
                    let data = &mut buffer[..received];
                    machine.handle(self.now(), Input::Received { conn, data });
                    self.receive(conn);
                }
            }
            Some(Err(error)) => self.end(machine, conn, EndReason::Failed(refusal(&error))),
            None => {}
        }
        self.buffers.push(buffer);
        self.close_if_home(conn);
    }

    fn on_sent<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        outlet: Outlet,
        transmission: Transmission,
        result: Option<io::Result<()>>,
    ) {
        self.home(conn).outlet = Some(outlet);
        let now = self.now();
        machine.handle(now, Input::Returned { conn, transmission });
        match result {
            Some(Ok(())) if !self.is_closing(conn) => machine.handle(now, Input::Sent { conn }),
            Some(Err(error)) => self.end(machine, conn, EndReason::Failed(refusal(&error))),
            Some(Ok(())) | None => {}
        }
        self.close_if_home(conn);
    }

    /// Tells the machine of the end, once, unless it has closed the connection itself.
    fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        let entry = self.conns.get_mut(&conn).expect("it is there until closed");
        if !entry.ended && !entry.cancel.is_closed() {
            entry.ended = true;
            machine.handle(self.now(), Input::Ended { conn, reason });
        }
    }

    /// An operation of this connection has come home.
    fn home(&mut self, conn: ConnId) -> &mut Conn {
        let entry = self.conns.get_mut(&conn).expect("it is there until closed");
        entry.away -= 1;
        entry
    }

    fn is_closing(&self, conn: ConnId) -> bool {
        self.conns
            .get(&conn)
            .is_none_or(|entry| entry.cancel.is_closed())
    }

    /// Lets go of a connection that was closed and has nothing in flight.
    fn close_if_home(&mut self, conn: ConnId) {
        let over = |entry: &Conn| entry.cancel.is_closed() && entry.away == 0;
        if self.conns.get(&conn).is_some_and(over) {
            self.conns.remove(&conn);
            self.done.push_back(Done::Closed(conn));
        }
    }
}

/// The end of a process.
impl Turmoil {
    fn listener(&self) -> Rc<TcpListener> {
        Rc::clone(&self.listener)
    }

    /// What was to be done on the host itself never is.
    fn without_jobs(mut self) -> Self {
        self.jobs.clear();
        self
    }

    /// Lets go of everything but the connections that were made.
    fn into_wires(mut self) -> Vec<(Inlet, Outlet)> {
        self.listening.close();
        for entry in self.conns.values() {
            entry.cancel.close();
        }
        let mut strays = Vec::new();
        while let Some(done) = self.next_done() {
            match done {
                Done::Received(conn, inlet, ..) => self.home(conn).inlet = Some(inlet),
                Done::Sent(conn, outlet, ..) => self.home(conn).outlet = Some(outlet),
                Done::Connected(_, Some(Ok(stream))) | Done::Accepted(Some(Ok((stream, _)))) => {
                    let cancel = Cancel::default();
                    strays.push(net::split(stream, &self.link, &self.wires, &cancel));
                }
                _ => {}
            }
        }
        let known = self.conns.into_values();
        let known = known.filter_map(|entry| entry.inlet.zip(entry.outlet));
        known.chain(strays).collect()
    }
}

/// Disk, hashes and names.
impl Turmoil {
    fn begin(&mut self, job: Job) {
        let at = job.end(self.now(), &mut self.disk);
        self.jobs.insert((at, self.jobs_begun), job);
        self.jobs_begun += 1;
    }

    /// Does the first job whose time has come.
    fn finish_job(&mut self) -> Option<Done> {
        let first = self.jobs.first_entry()?;
        if first.key().0 > self.clock.now() {
            return None;
        }
        let input = first.remove().perform(&mut self.disk, &self.names);
        Some(Done::Worked(input))
    }
}

impl Backend for Turmoil {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn carry(&mut self, output: Output) {
        match output.into() {
            Errand::Net(net) => self.carry_net(net),
            Errand::Job(job) => self.begin(job),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        for handled in 0..bound {
            let Some(done) = self.next_done() else {
                return handled > 0;
            };
            self.deliver(machine, done);
        }
        true
    }
}

fn refusal(error: &io::Error) -> IoError {
    let kind = match error.kind() {
        io::ErrorKind::ConnectionRefused => IoErrorKind::Refused,
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => IoErrorKind::Reset,
        io::ErrorKind::NotFound => IoErrorKind::NotFound,
        io::ErrorKind::TimedOut => IoErrorKind::TimedOut,
        _ => IoErrorKind::Other,
    };
    IoError { kind, code: 0 }
}

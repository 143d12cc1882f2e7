//! What backends have in common whose operations are futures: the loop, the connections and the
//! errands to the threads beside it, over the [`Sockets`] of one crate.
//!
//! Every operation is a future that owns its buffer and gives it back, in one `FuturesUnordered`.
//! Invariant: no such future is dropped before it is done, for a ring neither stops writing to its
//! buffer nor gives back what it brings; to cancel, the socket is shut down and the operation then
//! ends by itself.

mod connect;
mod link;
mod receive;
mod sockets;
mod transmit;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures_util::future::LocalBoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::{Sleep, sleep_until};

use ripcurrent_proto::api::{Disk, EndReason, Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{self, Backend, Machine, Turn};

use crate::bell::{Ear, Waker};
use crate::conns::Conns;
use crate::doors::Doors;
use crate::options::{HostError, Options};
use crate::protected::Protected;
use crate::tls::Trust;
use crate::work::Work;
use crate::{Clock, Control};
use connect::Made;
use link::Link;
use receive::Buffers;

pub(crate) use receive::receive_bytes;
pub(crate) use sockets::Sockets;

/// The most completions taken in before the machine sees them.
const BATCH: usize = 256;

/// The operations and all that they work with.
struct Carrier<S: Sockets> {
    clock: Clock,
    waker: Waker,
    operations: FuturesUnordered<LocalBoxFuture<'static, Done<S>>>,
    /// What has happened and was not handed over yet.
    ready: VecDeque<Done<S>>,
    conns: Conns<Link<S>>,
    doors: Doors,
    /// A second descriptor of the listening socket, to shut it down by.
    listening: Option<TcpListener>,
    trust: Rc<Trust>,
    buffers: Buffers,
    work: Work,
    /// At the end nothing is started any more.
    leaving: bool,
}

/// Something that has happened.
enum Done<S: Sockets> {
    /// A listener let somebody in, or failed to.
    Accepted {
        listener: Rc<S::Listener>,
        result: io::Result<(S::Stream, SocketAddr)>,
    },
    Connected {
        conn: ConnId,
        result: Result<Made<S>, EndReason>,
    },
    Received {
        conn: ConnId,
        buffer: Vec<u8>,
        result: io::Result<usize>,
    },
    Transmitted {
        conn: ConnId,
        transmission: Transmission,
        result: io::Result<()>,
    },
    /// What was sealed on a protected connection was sent.
    Written {
        conn: ConnId,
        sealed: Transmission,
        result: io::Result<()>,
    },
    /// There is something to tell of a protected connection.
    News {
        conn: ConnId,
    },
    Ended {
        conn: ConnId,
        reason: EndReason,
    },
    Closed {
        conn: ConnId,
    },
    /// An answer that needs nothing more done.
    Answer(Input<'static>),
}

/// Drives `machine` until `control` says stop, and then until everything is home.
///
/// # Errors
/// If the system has no descriptor left to begin with.
pub(crate) async fn run<S: Sockets, M: Machine>(
    machine: &mut M,
    options: &Options,
    listener: Option<TcpListener>,
    (clock, waker, work): (Clock, Waker, Work),
    control: impl FnMut(&mut M, Instant) -> Control,
) -> Result<(), HostError> {
    let mut carrier = Carrier::<S> {
        clock,
        waker,
        operations: FuturesUnordered::new(),
        ready: VecDeque::new(),
        conns: Conns::default(),
        doors: Doors::new(options),
        listening: None,
        trust: Rc::new(Trust::new(options.extra_roots.clone())),
        buffers: Buffers::default(),
        work,
        leaving: false,
    };
    if let Some(listener) = listener {
        carrier.listen(listener).map_err(HostError::System)?;
    }
    let looped = carrier.run(machine, control).await;
    carrier.leave().await;
    looped.map_err(HostError::System)
}

impl<S: Sockets> Carrier<S> {
    async fn run<M: Machine>(
        &mut self,
        machine: &mut M,
        mut control: impl FnMut(&mut M, Instant) -> Control,
    ) -> io::Result<()> {
        let ear = Ear(self.waker.clone());
        // SAFETY: the ear owns a share of its descriptor, which stays open and the same until the
        // last share is dropped.
        let bell = unsafe { AsyncFd::register_with_interest(ear, Interest::READABLE) }?;
        let mut sleep = Box::pin(sleep_until(self.clock.system(self.now()).into()));
        let mut again = false;
        loop {
            let look_again = match control(machine, self.now()) {
                Control::Stop => return Ok(()),
                Control::Wait(at) => at,
            };
            let timeout = machine.poll_timeout();
            let turn = drive::turn(machine, self);
            let hash_due = self.work.hash_due(self.now(), turn != Turn::Busy);
            // What a timeout changes may be of interest to `control` alone. The clock is read after
            // the turn, so that none fires unseen.
            let fired = timeout.is_some_and(|at| at <= self.now());
            let busy = turn == Turn::Busy || fired;
            if busy && !again {
                // `control` looks at what happened and is carried out, then the system is let work
                // once for all of it.
                again = true;
                continue;
            }
            again = false;
            let deadlines = [machine.poll_timeout(), look_again, hash_due];
            let deadline = deadlines.into_iter().flatten().min();
            if busy || deadline.is_some_and(|at| at <= self.now()) {
                self.enter().await;
            } else {
                self.wait(&bell, sleep.as_mut(), deadline).await;
            }
        }
    }

    /// Starts what is new and lets the system and the clock run, without waiting for anything.
    async fn enter(&mut self) {
        poll_fn(|cx| {
            self.collect(cx);
            Poll::Ready(())
        })
        .await;
        S::enter().await;
    }

    /// Waits until something has happened, somebody rings, or the deadline comes.
    async fn wait(
        &mut self,
        bell: &AsyncFd<Ear>,
        mut sleep: Pin<&mut Sleep>,
        deadline: Option<Instant>,
    ) {
        let timer = deadline.map(|at| self.clock.system(at).into());
        if let Some(at) = timer.filter(|at| *at != sleep.deadline()) {
            sleep.as_mut().reset(at);
        }
        poll_fn(|cx| {
            self.collect(cx);
            let happened = !self.ready.is_empty();
            let late = timer.is_some() && sleep.as_mut().poll(cx).is_ready();
            if happened || late || rung(bell, cx) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    /// Polls the operations, whereby new ones are started, and keeps what is done.
    fn collect(&mut self, cx: &mut Context<'_>) {
        while self.ready.len() < BATCH {
            match Pin::new(&mut self.operations).poll_next(cx) {
                Poll::Ready(Some(done)) => self.ready.push_back(done),
                Poll::Ready(None) | Poll::Pending => return,
            }
        }
    }

    /// Ends everything in good order: nothing in flight is dropped.
    async fn leave(&mut self) {
        self.leaving = true;
        self.close_doors();
        for conn in self.conns.ids() {
            self.cancel(conn);
        }
        while !self.operations.is_empty() {
            let done = poll_fn(|cx| Pin::new(&mut self.operations).poll_next(cx)).await;
            if let Some(Done::Accepted { result, .. }) = done {
                shut_down::<S>(result.ok().map(|(stream, _)| stream).as_ref());
            }
        }
    }

    /// Starts an operation.
    fn start(&self, operation: impl Future<Output = Done<S>> + 'static) {
        if !self.leaving {
            self.operations.push(Box::pin(operation));
        }
    }

    fn hand_over<M: Machine>(&mut self, machine: &mut M, done: Done<S>) {
        let now = self.now();
        match done {
            Done::Accepted { listener, result } => self.on_accepted(machine, listener, result),
            Done::Connected { conn, result } => self.on_connected(machine, conn, result),
            Done::Received {
                conn,
                buffer,
                result,
            } => self.on_received(machine, conn, buffer, result),
            Done::Transmitted {
                conn,
                transmission,
                result,
            } => self.on_transmitted(machine, conn, transmission, result),
            Done::Written {
                conn,
                sealed,
                result,
            } => self.on_written(machine, conn, sealed, result),
            Done::News { conn } => self.deliver(machine, conn),
            Done::Ended { conn, reason } => {
                if self.conns.end(conn) {
                    machine.handle(now, Input::Ended { conn, reason });
                }
            }
            Done::Closed { conn } => {
                self.conns.remove(conn);
                machine.handle(now, Input::Closed { conn });
            }
            Done::Answer(input) => machine.handle(now, input),
        }
    }

    /// The next thing that has happened anywhere.
    fn next_done(&mut self) -> Option<Done<S>> {
        if let Some(done) = self.ready.pop_front() {
            return Some(done);
        }
        self.work.take().map(Done::Answer)
    }

    fn carry_net(&mut self, net: Net) {
        match net {
            Net::Connect { conn, to, tls } => self.connect(conn, to, tls),
            Net::Recv { conn, until } => {
                self.conns.credit(conn, until);
                self.deliver_soon(conn);
                self.receive(conn);
            }
            Net::Transmit { conn, transmission } => self.transmit(conn, transmission),
            Net::Close { conn } => {
                self.say_goodbye(conn);
                self.conns.close(conn);
                self.cancel(conn);
                self.bring_home(conn);
                self.settle(conn);
            }
        }
    }

    /// Makes every operation in flight on a connection end by itself.
    fn cancel(&mut self, conn: ConnId) {
        if let Some(entry) = self.conns.get_mut(conn) {
            entry.cancel();
        }
    }

    fn carry_disk(&mut self, disk: Disk) {
        if let Some(done) = self.work.disk(disk) {
            self.ready.push_back(Done::Answer(Input::Disk(done)));
        }
    }

    /// Says the last word on a connection that closes, once nothing of it is in flight.
    fn settle(&mut self, conn: ConnId) {
        if self.conns.take_settled(conn) {
            self.ready.push_back(Done::Closed { conn });
        }
    }
}

impl<S: Sockets> Backend for Carrier<S> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Net(net) => self.carry_net(net),
            Output::Disk(disk) => self.carry_disk(disk),
            Output::Hash { op, slab } => self.work.hash(op, slab),
            Output::Resolve { op, host } => self.work.resolve(op, host),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        let mut count = 0;
        while count < bound {
            let Some(done) = self.next_done() else { break };
            self.hand_over(machine, done);
            count += 1;
        }
        count > 0
    }
}

/// Whether the bell was rung; it is heard by this.
fn rung(bell: &AsyncFd<Ear>, cx: &mut Context<'_>) -> bool {
    let mut heard = false;
    // Polled again after a ring, so that the task is woken by the next one.
    while let Poll::Ready(Ok(mut guard)) = bell.poll_read_ready(cx) {
        bell.get_ref().hear();
        guard.clear_ready();
        heard = true;
    }
    heard
}

/// A socket is always shut down before it is dropped: an operation that somebody else has in flight
/// on it then ends.
fn shut_down<S: Sockets>(stream: Option<&S::Stream>) {
    if let Some(stream) = stream {
        S::shut_down(stream);
    }
}

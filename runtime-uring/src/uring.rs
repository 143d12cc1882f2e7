//! The backend over io_uring itself: one ring, one synchronous loop, no futures and no runtime.
//!
//! Every turn enters the kernel once: what was started is handed over, what has happened is made
//! into completions, and where nothing has, the loop waits. Completions are taken in the order in
//! which they were made, so those of one connection are told in theirs.
//!
//! What is under way is an [`Operation`] that owns all memory the kernel works on. A room starts one
//! with [`Ring::start`] and gets it back, with what became of it, where completions are handed over:
//! [`Uring::on_over`], or [`Uring::on_progress`] while more is to come.

mod buffers;
mod connect;
mod files;
mod kernel;
mod link;
mod listen;
mod receive;
mod ring;
#[cfg(test)]
mod scripted;
mod send;
mod trust;

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::sync::Arc;

use io_uring::opcode;
use io_uring::types::Fd;
use ripcurrent_proto::api::{EndReason, Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Id};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{self, Backend, Machine, Turn};
use socket2::SockAddr;

use crate::bell::{Ear, Waker};
use crate::clock::Clock;
use crate::conns::Conns;
use crate::disk::Transfer;
use crate::doors::Doors;
use crate::host::Control;
use crate::options::{HostError, Options};
use crate::protected::Protected;
use crate::release;
use crate::work::Work;
use buffers::Shape;
use kernel::{Kernel, Linux, Wait};
use link::{Connecting, Link};
use listen::{Door, own};
use ring::{Flight, Landed, Outcome, Ring};
use send::{Boxes, Sending};
use trust::Trust;

/// The first kernel with everything that is used here.
const LEAST_KERNEL: (u32, u32) = (6, 1);

/// The buffers that connections receive into.
const BUFFERS: Shape = Shape {
    count: 8,
    size: 512 << 10,
};

/// The memory of all buffers that connections receive into, in bytes.
pub(crate) const RECEIVE_BYTES: usize = BUFFERS.bytes();

/// Something that the kernel works on, with all the memory it needs for that.
enum Operation {
    /// A listener lets people in until it is told to stop.
    Accept,
    /// The bell is listened for until it is told to stop.
    Bell,
    Connect {
        conn: ConnId,
        #[expect(dead_code, reason = "the kernel reads it")]
        address: Box<SockAddr>,
    },
    /// Into the ring's own buffers, once or until it is told to stop.
    Receive(ConnId),
    Send(Box<Sending>),
    File(Box<Transfer>),
}

/// Something that has happened without the kernel.
enum Ready {
    Ended {
        conn: ConnId,
        reason: EndReason,
    },
    Closed {
        conn: ConnId,
    },
    /// All of it was sent, or there was nothing to send.
    Transmitted {
        conn: ConnId,
        transmission: Transmission,
    },
    /// There is something to tell of a protected connection.
    News {
        conn: ConnId,
    },
    /// An answer that needs nothing more done.
    Answer(Input<'static>),
}

/// See the documentation of the module.
struct Uring<K: Kernel> {
    ring: Ring<K, Operation>,
    clock: Clock,
    /// The time of this turn.
    now: Instant,
    ear: Ear,
    bell: Option<Id>,
    ready: VecDeque<Ready>,
    conns: Conns<Link>,
    /// Connections to be looked at before the loop waits, and those of them that come first.
    noted: Vec<ConnId>,
    starved: Vec<ConnId>,
    boxes: Boxes,
    doors: Doors,
    door: Option<Door>,
    trust: Trust,
    /// Who waits until it is known whom to believe.
    unproven: Vec<(ConnId, SocketAddr, Arc<str>)>,
    work: Work,
}

/// A ring with its buffers, not running yet.
pub(crate) struct Made(Box<Ring<Linux, Operation>>);

impl Made {
    /// Makes a ring and all that the backend needs of it. The thread that calls this must run it.
    ///
    /// # Errors
    /// If the system has no rings, forbids them, or has only older ones.
    pub(crate) fn new(entries: u32) -> Result<Self, HostError> {
        release::check(LEAST_KERNEL)?;
        let kernel = Linux::new(entries).map_err(HostError::of_ring)?;
        let ring = Ring::new(kernel, BUFFERS).map_err(|error| match error.raw_os_error() {
            Some(libc::EINVAL) => release::too_old(LEAST_KERNEL),
            _ => HostError::of_ring(error),
        });
        ring.map(Box::new).map(Made)
    }

    /// Drives `machine` until `control` says stop, and then until everything is home.
    ///
    /// # Errors
    /// If the socket to listen on cannot be used, or the system refuses to go on.
    pub(crate) fn run<M: Machine>(
        self,
        machine: &mut M,
        options: &Options,
        listener: Option<TcpListener>,
        beside: (Clock, Waker, Work),
        control: impl FnMut(&mut M, Instant) -> Control,
    ) -> Result<(), HostError> {
        let mut uring = Uring::new(*self.0, options, beside);
        if let Some(listener) = listener {
            uring.listen(listener).map_err(HostError::System)?;
        }
        let looped = uring.run(machine, control);
        // A ring that has failed waits for what is under way when it is dropped, as far as it can.
        looped
            .and_then(|()| uring.leave())
            .map_err(HostError::RingLost)
    }
}

impl<K: Kernel> Uring<K> {
    fn new(
        ring: Ring<K, Operation>,
        options: &Options,
        (clock, waker, work): (Clock, Waker, Work),
    ) -> Self {
        Uring {
            ring,
            clock,
            now: clock.now(),
            ear: Ear(waker.clone()),
            bell: None,
            ready: VecDeque::new(),
            conns: Conns::default(),
            noted: Vec::new(),
            starved: Vec::new(),
            boxes: Boxes::default(),
            doors: Doors::new(options),
            door: None,
            trust: Trust::new(options.extra_roots.clone(), waker),
            unproven: Vec::new(),
            work,
        }
    }

    fn run<M: Machine>(
        &mut self,
        machine: &mut M,
        mut control: impl FnMut(&mut M, Instant) -> Control,
    ) -> io::Result<()> {
        let mut again = false;
        loop {
            self.now = self.clock.now();
            let look_again = match control(machine, self.now) {
                Control::Stop => return Ok(()),
                Control::Wait(at) => at,
            };
            let timeout = machine.poll_timeout();
            let turn = drive::turn(machine, self);
            let hash_due = self.work.hash_due(self.now, turn != Turn::Busy);
            // What a timeout changes may be of interest to `control` alone.
            let fired = timeout.is_some_and(|at| at <= self.now);
            let busy = turn == Turn::Busy || fired;
            if busy && !again {
                // `control` looks at what happened and is carried out, then the kernel is let work
                // once for all of it.
                again = true;
                continue;
            }
            again = false;
            let deadlines = [machine.poll_timeout(), look_again, hash_due];
            self.enter(busy, deadlines.into_iter().flatten().min())?;
        }
    }

    /// Starts what is new and lets the kernel work; waits until something has happened, somebody
    /// rings or the deadline comes, unless the loop is `busy`.
    fn enter(&mut self, busy: bool, deadline: Option<Instant>) -> io::Result<()> {
        self.listen_for_the_bell();
        let door_opens = self.open_door(self.now);
        self.tend();
        let deadline = deadline.into_iter().chain(door_opens).min();
        let now = self.clock.now();
        // Whoever rings from here on is heard by the kernel.
        let is_rung = self.ear.was_rung();
        let late = deadline.is_some_and(|at| at <= now);
        let wait = match busy || is_rung || late || !self.ready.is_empty() {
            true => Wait::No,
            false => Wait::For(deadline.map(|at| at.since(now))),
        };
        self.ring.enter(wait)
    }

    /// One entry hears every ring of the bell, whose count is never read.
    fn listen_for_the_bell(&mut self) {
        if self.bell.is_none() {
            let poll = opcode::PollAdd::new(Fd(self.ear.as_raw_fd()), libc::POLLIN as u32);
            // SAFETY: it takes no memory; the ear keeps the descriptor open as long as the ring.
            let id = unsafe { self.ring.start(poll.multi(true).build(), Operation::Bell) };
            self.bell = Some(id);
        }
    }

    /// Ends everything in good order.
    fn leave(&mut self) -> io::Result<()> {
        self.shut_door();
        if let Some(bell) = self.bell {
            self.ring.cancel(bell);
        }
        for conn in self.conns.ids() {
            self.cut(conn);
        }
        while self.ring.in_flight() > 0 {
            self.ring.enter(Wait::For(None))?;
            while let Some(landed) = self.ring.next() {
                self.forget(landed);
            }
        }
        Ok(())
    }

    /// Takes in what happens after the end. What was begun on files is brought to its end.
    fn forget(&mut self, Landed { flight, outcome }: Landed<Operation>) {
        let flight = match flight {
            Flight::Over(Operation::File(transfer)) => {
                drop(self.transferred(transfer, outcome.result()));
                return;
            }
            flight => flight,
        };
        let is_accept = match &flight {
            Flight::Over(operation) => matches!(operation, Operation::Accept),
            Flight::On(id) => matches!(self.ring.get(*id), Some(Operation::Accept)),
        };
        if let (true, Ok(fd)) = (is_accept, outcome.result()) {
            drop(own(fd));
        }
        if let Some(buffer) = outcome.buffer {
            self.ring.buffers().give(buffer);
        }
    }

    fn hand_over<M: Machine>(&mut self, machine: &mut M, landed: Landed<Operation>) {
        let Landed { flight, outcome } = landed;
        match flight {
            Flight::Over(operation) => self.on_over(machine, operation, outcome),
            Flight::On(id) => self.on_progress(machine, id, outcome),
        }
    }

    /// An operation is over: its memory is ours again.
    fn on_over<M: Machine>(&mut self, machine: &mut M, operation: Operation, outcome: Outcome) {
        match operation {
            Operation::Accept => self.on_accepted(machine, outcome),
            Operation::Bell => self.bell = None,
            Operation::Connect { conn, .. } => self.on_connected(machine, conn, outcome.result()),
            Operation::Receive(conn) => self.on_received(machine, conn, outcome),
            Operation::Send(sending) => self.on_sent(machine, sending, outcome.result()),
            Operation::File(transfer) => self.on_transferred(machine, transfer, outcome.result()),
        }
    }

    /// An operation has brought something and goes on.
    fn on_progress<M: Machine>(&mut self, machine: &mut M, id: Id, outcome: Outcome) {
        match self.ring.get(id) {
            Some(Operation::Accept) => self.on_accepted(machine, outcome),
            Some(&Operation::Receive(conn)) => self.on_received(machine, conn, outcome),
            // The bell has done its work when the loop is awake.
            _ => {}
        }
    }

    fn tell<M: Machine>(&mut self, machine: &mut M, ready: Ready) {
        let now = self.now;
        match ready {
            Ready::Ended { conn, reason } => self.end(machine, conn, reason),
            Ready::Closed { conn } => {
                self.conns.remove(conn);
                machine.handle(now, Input::Closed { conn });
            }
            Ready::Transmitted { conn, transmission } => {
                self.on_transmitted(machine, conn, transmission, Ok(()));
            }
            Ready::News { conn } => self.deliver(machine, conn),
            Ready::Answer(input) => machine.handle(now, input),
        }
    }

    /// Those who waited to know whom to believe go on.
    fn believe(&mut self) {
        if !self.unproven.is_empty() && self.trust.is_read() {
            for (conn, to, name) in std::mem::take(&mut self.unproven) {
                self.connect_protected(conn, to, name);
            }
            self.trust.has_begun();
        }
    }

    fn carry_net(&mut self, net: Net) {
        match net {
            Net::Connect { conn, to, tls } => self.connect(conn, to, tls),
            Net::Recv { conn, until } => {
                self.conns.credit(conn, until);
                self.deliver_soon(conn);
                self.note(conn);
            }
            Net::Transmit { conn, transmission } => self.transmit(conn, transmission),
            Net::Close { conn } => {
                self.say_goodbye(conn);
                self.conns.close(conn);
                self.cut(conn);
                self.bring_home(conn);
                self.settle(conn);
            }
        }
    }

    /// Ends whatever is under way on a connection.
    fn cut(&mut self, conn: ConnId) {
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.shut_down();
        if entry.connecting == Connecting::Waiting {
            entry.connecting = Connecting::No;
        }
        if let Some(fd) = entry.fd().filter(|_| entry.is_in_flight()) {
            self.ring.cancel_all_on(fd);
        }
    }

    /// Says the last word on a connection that closes, once nothing of it is in flight.
    fn settle(&mut self, conn: ConnId) {
        if self.conns.take_settled(conn) {
            self.ready.push_back(Ready::Closed { conn });
        }
    }
}

impl<K: Kernel> Backend for Uring<K> {
    fn now(&self) -> Instant {
        self.now
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Net(net) => self.carry_net(net),
            Output::Disk(disk) => self.carry_disk(disk),
            Output::Hash { op, slab } => self.work.hash(op, slab),
            Output::Resolve { op, host } => self.work.resolve(op, host),
        }
    }

    /// What was announced before comes first, then what threads have done, which frees memory, then
    /// what the kernel has done.
    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        self.believe();
        let mut left = bound;
        while left > 0
            && let Some(ready) = self.ready.pop_front()
        {
            self.tell(machine, ready);
            left -= 1;
        }
        while left > 0
            && let Some(input) = self.work.take()
        {
            machine.handle(self.now, input);
            left -= 1;
        }
        while left > 0
            && let Some(landed) = self.ring.next()
        {
            self.hand_over(machine, landed);
            left -= 1;
        }
        left < bound
    }
}

#[cfg(test)]
mod tests;

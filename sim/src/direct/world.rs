//! The hosts, their sockets, and the events that change them.
//!
//! Invariant: a socket is there from its `Connect`, or the call that reached its host, until its
//! machine closes it. A packet that finds its socket gone is answered by a reset.

mod outages;
mod ports;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use ripcurrent_proto::api::{EndReason, Input, IoError, IoErrorKind, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;

use super::agenda::{Agenda, firing};
use super::hands::{Done, RESET};
use super::links::Links;
use super::parcel::Parcel;
use super::socket::{HostId, Socket, SocketId};
use crate::disk::{Disk, Files};
use crate::names::Names;
use crate::network::Host;
use crate::shaper::{QUANTUM_MAX, Shaper, WINDOW};
use crate::work::Job;
use outages::{Outages, Power};
use ports::Ports;

/// Everything but the machines.
pub(super) struct World {
    now: Instant,
    agenda: Agenda<Event>,
    /// What happens now, empty in between.
    events: Vec<Event>,
    hosts: Vec<Place>,
    addrs: BTreeMap<IpAddr, HostId>,
    links: Links,
    outages: Outages,
    sockets: Slots<Socket>,
    names: Names,
    /// Hosts that have something to do.
    awake: VecDeque<HostId>,
    /// Who goes first of those to whom something happens at the same instant.
    order: Rng,
    /// What machines read into: zeros.
    buffer: Box<[u8; QUANTUM_MAX]>,
}

/// A host.
struct Place {
    addr: SocketAddr,
    up: Shaper,
    down: Shaper,
    files: Files,
    disk: Disk,
    /// Payload is tags and zeros.
    is_compact: bool,
    power: Power,
    /// How often it was stopped: what an earlier process began is not for a later one.
    life: u32,
    /// By the slots of their ids.
    conns: Vec<Option<(ConnId, SocketId)>>,
    ports: Ports,
    /// What its machine is to be told.
    done: VecDeque<Done>,
    is_awake: bool,
    /// When its machine wants to be woken.
    deadline: Option<Instant>,
    /// The event that is to wake it; others are leftovers of deadlines that have moved.
    alarm: Option<Instant>,
}

enum Event {
    Alarm(HostId),
    /// The time of a job is over that the host began in this life.
    Worked(HostId, u32, Box<Job>),
    /// Bytes have left a host.
    PassedUp(SocketId),
    /// Bytes have come in to a host.
    PassedDown(SocketId),
    Called(Box<Call>),
    Arrived {
        to: SocketId,
        from: SocketId,
        sender: HostId,
        freight: Freight,
    },
}

/// Somebody wants a connection.
struct Call {
    to: SocketAddr,
    from: SocketId,
    caller: HostId,
    from_addr: SocketAddr,
}

enum Freight {
    Data(Box<Parcel>),
    /// No more data.
    End,
    Reset,
}

impl Event {
    /// Who sent the packet, if the event is the arrival of one.
    fn sender(&self) -> Option<HostId> {
        match self {
            Event::Arrived { sender, .. } => Some(*sender),
            Event::Called(call) => Some(call.caller),
            _ => None,
        }
    }
}

/// Time and the hosts.
impl World {
    pub(super) fn new(rng: &Rng, names: Names) -> Self {
        World {
            now: Instant::ZERO,
            agenda: Agenda::new(),
            events: Vec::new(),
            hosts: Vec::new(),
            addrs: BTreeMap::new(),
            links: Links::default(),
            outages: Outages::default(),
            sockets: Slots::new(),
            names,
            awake: VecDeque::new(),
            order: rng.fork("order"),
            buffer: Box::new([0; QUANTUM_MAX]),
        }
    }

    pub(super) fn add(&mut self, host: &Host) {
        let addr = SocketAddr::new(host.addr, host.port);
        let id = self.hosts.len();
        self.hosts.push(Place {
            addr,
            up: Shaper::new(host.up),
            down: Shaper::new(host.down),
            files: host.files.clone(),
            disk: Disk::new(host.files.clone()),
            is_compact: host.files.is_compact(),
            power: Power::On,
            life: 0,
            conns: Vec::new(),
            ports: Ports::new(host.port),
            done: VecDeque::new(),
            is_awake: false,
            deadline: None,
            alarm: None,
        });
        self.addrs.insert(host.addr, id);
        self.links.add_host();
        self.tell(id, Done::Bound(addr));
    }

    pub(super) fn set_latency(&mut self, one: IpAddr, other: IpAddr, latency: Duration) {
        let (one, other) = (self.addrs[&one], self.addrs[&other]);
        self.links.set_latency(one, other, latency);
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Goes on to the next time at which something happens, or to `end` if nothing happens before;
    /// whether something did.
    pub(super) fn advance(&mut self, end: Instant) -> bool {
        let mut events = std::mem::take(&mut self.events);
        let at = self.agenda.take_before(end, &mut events);
        self.now = at.unwrap_or(end);
        // Packets of one tick come in the order of their senders, as they do over turmoil: in a
        // swarm it makes a difference of some percent.
        events.sort_by_key(Event::sender);
        for event in events.drain(..) {
            self.happen(event);
        }
        self.events = events;
        at.is_some()
    }

    /// Lets chance say who takes the first turn, as it does over turmoil.
    pub(super) fn shuffle_awake(&mut self) {
        self.order.shuffle(self.awake.make_contiguous());
    }

    /// Something was said to a host's machine from outside the network.
    pub(super) fn poke(&mut self, addr: IpAddr) {
        let host = self.addrs[&addr];
        if self.hosts[host].power == Power::On {
            self.wake(host);
        }
    }

    /// A host that has something to do.
    pub(super) fn next_awake(&mut self) -> Option<HostId> {
        self.awake.pop_front()
    }

    /// The host has nothing more to do before something happens or `deadline` comes.
    pub(super) fn rest(&mut self, host: HostId, deadline: Option<Instant>) {
        let place = &mut self.hosts[host];
        debug_assert!(place.done.is_empty(), "what is left would never be told");
        place.is_awake = false;
        place.deadline = deadline;
        self.set_alarm(host);
    }

    /// What a host's machine is to be told next.
    pub(super) fn next_done(&mut self, host: HostId) -> Option<Done> {
        self.hosts[host].done.pop_front()
    }

    /// Begins a job.
    pub(super) fn begin(&mut self, host: HostId, job: Job) {
        let place = &mut self.hosts[host];
        let at = firing(job.end(self.now, &mut place.disk));
        let worked = Event::Worked(host, place.life, Box::new(job));
        self.agenda.enter(at, worked);
    }

    fn tell(&mut self, host: HostId, done: Done) {
        let place = &mut self.hosts[host];
        if place.power == Power::On {
            place.done.push_back(done);
            self.wake(host);
        }
    }

    fn wake(&mut self, host: HostId) {
        if !std::mem::replace(&mut self.hosts[host].is_awake, true) {
            self.awake.push_back(host);
        }
    }

    /// Sees to it that the host is woken at its deadline.
    fn set_alarm(&mut self, host: HostId) {
        let place = &mut self.hosts[host];
        let Some(at) = place.deadline.map(firing) else {
            return;
        };
        if place.alarm.is_none_or(|alarm| at < alarm) {
            place.alarm = Some(at);
            self.agenda.enter(at, Event::Alarm(host));
        }
    }

    fn happen(&mut self, event: Event) {
        let Some(event) = self.keep_back(event) else {
            return;
        };
        match event {
            Event::Alarm(host) => self.on_alarm(host),
            Event::Worked(host, life, job) => {
                if life != self.hosts[host].life {
                    return;
                }
                let input = job.perform(&mut self.hosts[host].disk, &self.names);
                self.tell(host, Done::Worked(Box::new(input)));
            }
            Event::PassedUp(socket) => {
                self.put(socket);
                self.pump(socket);
            }
            Event::PassedDown(socket) => {
                if let Some(entry) = self.sockets.get(socket) {
                    self.tell(entry.host, Done::Received(socket));
                }
            }
            Event::Called(call) => self.on_called(&call),
            Event::Arrived {
                to, from, freight, ..
            } => self.on_arrived(to, from, freight),
        }
    }

    fn on_alarm(&mut self, host: HostId) {
        let (now, place) = (self.now, &mut self.hosts[host]);
        if place.alarm != Some(now) {
            return;
        }
        place.alarm = None;
        if place.deadline.is_some_and(|deadline| deadline <= now) {
            self.wake(host);
        } else {
            self.set_alarm(host);
        }
    }
}

/// Connections, as their hosts see them.
impl World {
    pub(super) fn socket(&mut self, socket: SocketId) -> Option<&mut Socket> {
        self.sockets.get_mut(socket)
    }

    /// The socket that a host's machine calls `conn`.
    pub(super) fn named(&self, host: HostId, conn: ConnId) -> Option<SocketId> {
        let entry = self.hosts[host].conns.get(conn.0.slot() as usize);
        let (named, socket) = (*entry?)?;
        (named == conn).then_some(socket)
    }

    pub(super) fn name(&mut self, host: HostId, conn: ConnId, socket: SocketId) {
        let (conns, slot) = (&mut self.hosts[host].conns, conn.0.slot() as usize);
        if conns.len() <= slot {
            conns.resize(slot + 1, None);
        }
        conns[slot] = Some((conn, socket));
    }

    /// Asks for a connection.
    pub(super) fn call(&mut self, host: HostId, conn: ConnId, to: SocketAddr) {
        let far_host = self.addrs.get(&to.ip()).copied();
        let place = &mut self.hosts[host];
        let port = place.ports.take();
        let mut entry = Socket::new(host, port.unwrap_or(0), far_host.unwrap_or(host), to);
        entry.conn = Some(conn);
        let from_addr = SocketAddr::new(place.addr.ip(), entry.port);
        let from = self.sockets.insert(entry);
        self.name(host, conn, from);
        let Some(far_host) = far_host.filter(|_| port.is_some()) else {
            return self.refuse(from);
        };
        let at = self.links.arrival(self.now, host, far_host);
        let call = Call {
            to,
            from,
            caller: host,
            from_addr,
        };
        self.agenda.enter(at, Event::Called(Box::new(call)));
    }

    /// Has `machine` read what has passed; nothing if the connection was broken meanwhile.
    pub(super) fn deliver<M: Machine>(&mut self, machine: &mut M, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket) else {
            return;
        };
        let inflow = &mut entry.inflow;
        let bytes = std::mem::take(&mut inflow.passing);
        if let Some(conn) = entry.conn
            && bytes > 0
        {
            let parcel = inflow.inbox.front_mut();
            let parcel = parcel.expect("what is passing stays in the inbox");
            let data = parcel.read(bytes, &mut self.buffer[..]);
            machine.handle(self.now, Input::Received { conn, data });
            parcel.clear(bytes, &mut self.buffer[..]);
            inflow.received += bytes as u64;
            if parcel.left() == 0 {
                inflow.inbox.pop_front();
            }
        }
        self.receive(socket);
    }

    /// Reads, if there is credit, something to read, and no read under way.
    pub(super) fn receive(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket).filter(|entry| entry.open) else {
            return;
        };
        let (host, far) = (entry.host, entry.far);
        let place = &mut self.hosts[host];
        let readable = entry.inflow.readable();
        if readable == 0 {
            if let Some(reason) = entry.inflow.reached_end() {
                self.tell(host, Done::Ended(socket, reason));
            }
            return;
        }
        let bytes = readable.min(place.down.quantum());
        entry.inflow.passing = bytes;
        let passed = place.down.reserve(self.now, bytes);
        if passed > self.now {
            self.agenda.enter(firing(passed), Event::PassedDown(socket));
        } else {
            self.tell(host, Done::Received(socket));
        }
        if let Some(far) = far {
            self.free(far, bytes);
        }
    }

    /// Begins to send.
    pub(super) fn transmit(&mut self, socket: SocketId, transmission: Transmission) {
        if let Some(entry) = self.sockets.get_mut(socket) {
            entry.outflow.begin(transmission);
            self.pump(socket);
        }
    }

    /// Closes a connection and gives back what it has in flight.
    pub(super) fn close(&mut self, host: HostId, conn: ConnId) {
        let Some(socket) = self.named(host, conn) else {
            return;
        };
        self.hosts[host].conns[conn.0.slot() as usize] = None;
        let entry = self.let_go(socket);
        if let Some(transmission) = entry.and_then(|entry| entry.outflow.transmission) {
            self.tell(host, Done::Returned(conn, transmission));
        }
        self.tell(host, Done::Closed(conn));
    }

    /// Removes a socket and tells its other end: by a reset, where that has sent what nobody reads.
    pub(super) fn let_go(&mut self, socket: SocketId) -> Option<Socket> {
        let entry = self.sockets.get(socket)?;
        let freight = match entry.inflow.has_unread() {
            true => Freight::Reset,
            false => Freight::End,
        };
        if !entry.outflow.broken {
            self.send(socket, freight);
        }
        let entry = self.remove(socket)?;
        // Its writer waits for nobody any more.
        if let Some(far) = entry.far {
            self.unblock(far);
        }
        Some(entry)
    }
}

/// What passes between two ends.
impl World {
    /// Sends on for as long as the window and the link allow.
    fn pump(&mut self, socket: SocketId) {
        while let Some(far) = self.sockets.get(socket).map(|entry| entry.far) {
            let has_reader = far.is_some_and(|far| self.sockets.get(far).is_some());
            let Some(entry) = self.sockets.get_mut(socket) else {
                return;
            };
            let (host, outflow) = (entry.host, &mut entry.outflow);
            if outflow.broken || outflow.left == 0 {
                let is_whole = !outflow.broken;
                return self.tell(host, Done::Sent(socket, is_whole));
            }
            let up = &mut self.hosts[host].up;
            let bytes = outflow.left.min(up.quantum());
            if has_reader && outflow.used + bytes > WINDOW {
                outflow.blocked = true;
                return;
            }
            outflow.left -= bytes;
            outflow.passing = bytes;
            outflow.used += bytes;
            let passed = up.reserve(self.now, bytes);
            if passed > self.now {
                return self.agenda.enter(firing(passed), Event::PassedUp(socket));
            }
            self.put(socket);
        }
    }

    /// Hands to the network what has passed the host's link.
    fn put(&mut self, socket: SocketId) {
        let Some(entry) = self.sockets.get_mut(socket) else {
            return;
        };
        if !entry.outflow.broken {
            let parcel = entry.outflow.gather(self.hosts[entry.host].is_compact);
            self.send(socket, Freight::Data(Box::new(parcel)));
        }
    }

    /// The reader has taken `bytes` out of what `socket` sent.
    fn free(&mut self, socket: SocketId, bytes: usize) {
        let Some(entry) = self.sockets.get_mut(socket) else {
            return;
        };
        if self.outages.is_blocked(entry.far_host, entry.host) {
            entry.outflow.unacknowledged += bytes;
            return;
        }
        entry.outflow.used -= bytes;
        self.unblock(socket);
    }

    fn unblock(&mut self, socket: SocketId) {
        if let Some(entry) = self.sockets.get_mut(socket)
            && std::mem::take(&mut entry.outflow.blocked)
        {
            self.pump(socket);
        }
    }

    /// Sends to the other end, if there is one by now.
    fn send(&mut self, from: SocketId, freight: Freight) {
        let Some(entry) = self.sockets.get_mut(from) else {
            return;
        };
        let Some(to) = entry.far else { return };
        let at = self.links.arrival(self.now, entry.host, entry.far_host);
        entry.last_arrival = at.max(entry.last_arrival);
        let arrived = Event::Arrived {
            to,
            from,
            sender: entry.host,
            freight,
        };
        self.agenda.enter(entry.last_arrival, arrived);
    }

    /// A call has come through. As over turmoil, the answer takes no time on its way back.
    fn on_called(&mut self, call: &Call) {
        let (to, from) = (call.to, call.from);
        let Some(caller) = self.sockets.get(from) else {
            return;
        };
        let (host, far_host) = (caller.far_host, caller.host);
        let place = &self.hosts[host];
        if place.addr != to || place.power != Power::On {
            return self.refuse(from);
        }
        let mut entry = Socket::new(host, to.port(), far_host, call.from_addr);
        entry.far = Some(from);
        let called = self.sockets.insert(entry);
        if let Some(caller) = self.sockets.get_mut(from) {
            caller.far = Some(called);
        }
        self.tell(host, Done::Accepted(called));
        self.tell(far_host, Done::Connected(from));
    }

    fn refuse(&mut self, from: SocketId) {
        let error = IoError {
            kind: IoErrorKind::Refused,
            code: 0,
        };
        if let Some(caller) = self.sockets.get(from) {
            let ended = Done::Ended(from, EndReason::Failed(error));
            self.tell(caller.host, ended);
        }
    }

    fn on_arrived(&mut self, to: SocketId, from: SocketId, freight: Freight) {
        let Some(entry) = self.sockets.get_mut(to) else {
            return self.answer_for_nobody(to, from, &freight);
        };
        match freight {
            // It broke before; the other end was told.
            _ if entry.outflow.broken => return,
            Freight::Data(parcel) => entry.inflow.inbox.push_back(parcel),
            Freight::End => {
                entry.inflow.end.get_or_insert(EndReason::Eof);
            }
            Freight::Reset => {
                entry.inflow.end.get_or_insert(EndReason::Failed(RESET));
                entry.outflow.broken = true;
                self.unblock(to);
            }
        }
        self.receive(to);
    }

    /// A packet has found nobody: its sender is to know.
    fn answer_for_nobody(&mut self, nobody: SocketId, sender: SocketId, freight: &Freight) {
        let Some(entry) = self.sockets.get(sender) else {
            return;
        };
        let (host, far_host) = (entry.host, entry.far_host);
        if matches!(freight, Freight::Reset) {
            return;
        }
        let reset = Event::Arrived {
            to: sender,
            from: nobody,
            sender: far_host,
            freight: Freight::Reset,
        };
        let at = self.links.arrival(self.now, far_host, host);
        self.agenda.enter(at, reset);
    }
}

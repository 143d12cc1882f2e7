//! What goes wrong between hosts and with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;

use ripcurrent_proto::api::{EndReason, IoError, IoErrorKind};

use super::{Done, Event, World};
use crate::direct::socket::{HostId, Socket, SocketId};
use crate::disk::Disk;
use crate::network::{Ends, Stop};

/// Whether a host is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    On,
    /// Its process is gone, its system refuses calls.
    Idle,
    /// Nothing answers.
    Off,
}

/// Packets that do not arrive where they should.
#[derive(Default)]
pub(super) struct Outages {
    /// From whom, to whom nothing arrives.
    blocked: BTreeSet<(HostId, HostId)>,
    /// What was kept back there, in the order in which it would have arrived.
    kept: BTreeMap<(HostId, HostId), Vec<Event>>,
    /// Hosts without power, what has reached them, and the sockets that their processes had.
    dark: BTreeMap<HostId, Dark>,
}

#[derive(Default)]
struct Dark {
    arrived: Vec<Event>,
    /// Their peers go on as if there was somebody.
    sockets: Vec<SocketId>,
}

impl Outages {
    /// Whether what `from` sends to `to` is kept back.
    pub(super) fn is_blocked(&self, from: HostId, to: HostId) -> bool {
        !self.blocked.is_empty() && self.blocked.contains(&(from, to))
    }
}

/// Links.
impl World {
    /// Keeps back what `from` sends to `to`.
    pub(in crate::direct) fn block(&mut self, from: IpAddr, to: IpAddr) {
        let way = (self.addrs[&from], self.addrs[&to]);
        self.outages.blocked.insert(way);
    }

    /// Lets it arrive.
    pub(in crate::direct) fn open(&mut self, from: IpAddr, to: IpAddr) {
        let (from, to) = (self.addrs[&from], self.addrs[&to]);
        self.outages.blocked.remove(&(from, to));
        let kept = self.outages.kept.remove(&(from, to));
        self.agenda.enter_first(self.now, kept.unwrap_or_default());
        for socket in self.sockets_of(to) {
            let Some(entry) = self.sockets.get_mut(socket) else {
                continue;
            };
            if entry.far_host == from {
                let taken = std::mem::take(&mut entry.outflow.unacknowledged);
                entry.outflow.used -= taken;
                self.unblock(socket);
            }
        }
    }

    /// Sets what a host sends and receives per second.
    pub(in crate::direct) fn set_rates(
        &mut self,
        addr: IpAddr,
        up: Option<NonZeroU64>,
        down: Option<NonZeroU64>,
    ) {
        let place = &mut self.hosts[self.addrs[&addr]];
        place.up.set_rate(up);
        place.down.set_rate(down);
    }

    /// Keeps a packet that cannot arrive; gives back what can happen.
    pub(super) fn keep_back(&mut self, event: Event) -> Option<Event> {
        if self.outages.blocked.is_empty() && self.outages.dark.is_empty() {
            return Some(event);
        }
        let Some((from, to, is_call)) = self.route(&event) else {
            return Some(event);
        };
        // Without a way back there is no answer to a call.
        let ways = [(from, to), (to, from)];
        let ways = &ways[..if is_call { 2 } else { 1 }];
        let blocked = ways.iter().find(|way| self.outages.blocked.contains(way));
        if let Some(way) = blocked {
            self.outages.kept.entry(*way).or_default().push(event);
            return None;
        }
        match self.outages.dark.get_mut(&to) {
            Some(dark) => dark.arrived.push(event),
            None => return Some(event),
        }
        None
    }

    /// From whom, to whom a packet goes, and whether it is a call; `None` if nobody cares.
    fn route(&self, event: &Event) -> Option<(HostId, HostId, bool)> {
        match event {
            Event::Called(call) => {
                let entry = self.sockets.get(call.from)?;
                Some((entry.host, entry.far_host, true))
            }
            Event::Arrived { to, from, .. } => {
                let receiver = self.sockets.get(*to);
                let receiver = receiver.map(|entry| (entry.far_host, entry.host, false));
                receiver.or_else(|| {
                    let entry = self.sockets.get(*from)?;
                    Some((entry.host, entry.far_host, false))
                })
            }
            _ => None,
        }
    }
}

/// Connections.
impl World {
    /// The connections of a host, in order.
    pub(in crate::direct) fn connections(&self, addr: IpAddr) -> Vec<Ends> {
        let host = self.addrs[&addr];
        let sockets = self.sockets_of(host).into_iter();
        let made = sockets.filter_map(|socket| {
            let entry = self.sockets.get(socket)?;
            entry.far.map(|_| self.ends(entry))
        });
        let mut ends: Vec<_> = made.collect();
        ends.sort_unstable();
        ends
    }

    /// Ends a connection at both ends.
    pub(in crate::direct) fn sever(&mut self, connection: Ends, kind: IoErrorKind) {
        for ends in [connection, connection.reversed()] {
            let sockets = self.sockets_of(self.addrs[&ends.here.ip()]).into_iter();
            let mut sockets = sockets.filter(|socket| {
                let entry = self.sockets.get(*socket);
                entry.is_some_and(|entry| self.ends(entry) == ends)
            });
            if let Some(socket) = sockets.next() {
                self.break_off(socket, kind);
            }
        }
    }

    fn break_off(&mut self, socket: SocketId, kind: IoErrorKind) {
        let Some(entry) = self.sockets.get_mut(socket) else {
            return;
        };
        let error = IoError { kind, code: 0 };
        entry.inflow.inbox.clear();
        entry.inflow.passing = 0;
        entry.inflow.end = Some(EndReason::Failed(error));
        entry.outflow.broken = true;
        self.unblock(socket);
        self.receive(socket);
    }

    fn ends(&self, entry: &Socket) -> Ends {
        let here = self.hosts[entry.host].addr.ip();
        Ends {
            here: SocketAddr::new(here, entry.port),
            there: entry.far_addr,
        }
    }

    /// Those that its machine knows, and those that it is to be told of.
    fn sockets_of(&self, host: HostId) -> Vec<SocketId> {
        let place = &self.hosts[host];
        let known = place.conns.iter().flatten().map(|(_, socket)| *socket);
        let coming = place.done.iter().filter_map(|done| match done {
            Done::Accepted(socket) => Some(*socket),
            _ => None,
        });
        known.chain(coming).collect()
    }
}

/// Hosts.
impl World {
    /// Takes a host down, if it is up.
    pub(in crate::direct) fn stop(&mut self, addr: IpAddr, how: Stop) -> Option<HostId> {
        let host = self.addrs[&addr];
        let sockets = self.sockets_of(host);
        let place = &mut self.hosts[host];
        if place.power != Power::On {
            return None;
        }
        place.life += 1;
        place.conns.clear();
        place.done.clear();
        place.deadline = None;
        match how {
            Stop::Kill => {
                place.power = Power::Idle;
                for socket in sockets {
                    self.let_go(socket);
                }
            }
            Stop::PowerCut => {
                place.power = Power::Off;
                for socket in &sockets {
                    self.freeze(*socket);
                }
                let arrived = Vec::new();
                self.outages.dark.insert(host, Dark { arrived, sockets });
            }
        }
        Some(host)
    }

    /// Leaves a socket as it is, with nobody behind it.
    fn freeze(&mut self, socket: SocketId) {
        if let Some(entry) = self.sockets.get_mut(socket) {
            entry.conn = None;
            entry.open = false;
            entry.outflow.broken = true;
            entry.outflow.transmission = None;
            entry.inflow.inbox.clear();
            entry.inflow.passing = 0;
        }
    }

    /// Brings a host up again.
    ///
    /// # Panics
    /// If it is not down.
    pub(in crate::direct) fn start(&mut self, addr: IpAddr) -> HostId {
        let host = self.addrs[&addr];
        let place = &mut self.hosts[host];
        assert!(
            place.power != Power::On,
            "a host that is up cannot be started"
        );
        place.power = Power::On;
        place.disk = Disk::new(place.files.clone());
        let addr = place.addr;
        let dark = self.outages.dark.remove(&host).unwrap_or_default();
        for socket in dark.sockets {
            self.remove(socket);
        }
        self.agenda.enter_first(self.now, dark.arrived);
        self.tell(host, Done::Bound(addr));
        host
    }

    /// Takes a socket out of the world.
    pub(super) fn remove(&mut self, socket: SocketId) -> Option<Socket> {
        let entry = self.sockets.remove(socket)?;
        let place = &mut self.hosts[entry.host];
        if entry.port != place.addr.port() {
            place.ports.give_back(entry.port);
        }
        Some(entry)
    }
}

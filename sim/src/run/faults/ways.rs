//! What befalls the ways between hosts: outages, latencies, resets.

use std::net::IpAddr;

use ripcurrent_proto::base::time::Duration;

use super::Plan;
use crate::run::world::World;
use crate::scenario::FaultKind;

/// A place in the network.
#[derive(Clone, Copy)]
struct Node {
    addr: IpAddr,
    /// The number of the host, unless it is a tracker's.
    host: Option<usize>,
    /// To the middle of the network.
    latency: Duration,
}

impl Plan {
    fn touches(&self, node: Node) -> bool {
        node.host.is_some_and(|host| self.befalls(host))
    }

    /// Milliseconds that packets between two nodes take more.
    fn extra_ms(&self, one: Node, other: Node) -> u64 {
        match self.fault.kind {
            FaultKind::StormMs([least, most]) if self.touches(one) || self.touches(other) => {
                let (low, high) = (one.addr.min(other.addr), one.addr.max(other.addr));
                let mut rng = self.rng.fork(&format!("{low} {high}"));
                least + rng.below(most - least + 1)
            }
            _ => 0,
        }
    }
}

impl World<'_> {
    /// A host is there: its ways to all others become what they should be.
    pub(in crate::run) fn meet_everybody(&mut self, host: usize) {
        let nodes = self.nodes();
        let own = nodes.iter().find(|node| node.host == Some(host));
        let own = *own.expect("it is there");
        for other in nodes.into_iter().filter(|node| node.addr != own.addr) {
            self.settle_latency(own, other);
            self.settle_outages(own, other);
        }
        self.settle_rates(host);
        self.settle_disk(host);
    }

    pub(super) fn settle_outages_of(&mut self, number: usize) {
        for (one, other) in self.ways_of(number) {
            self.settle_outages(one, other);
        }
    }

    pub(super) fn settle_latencies_of(&mut self, number: usize) {
        for (one, other) in self.ways_of(number) {
            self.settle_latency(one, other);
        }
    }

    /// Breaks all connections of the hosts that a fault befalls.
    pub(super) fn reset(&mut self, number: usize) {
        for (one, other) in self.ways_of(number) {
            self.network.reset(one.addr, other.addr);
        }
    }

    /// Trackers, and the hosts that have come.
    fn nodes(&self) -> Vec<Node> {
        let trackers = self.trackers.addrs().map(|addr| Node {
            addr,
            host: None,
            latency: Duration::ZERO,
        });
        let peers = self.peers.iter().enumerate();
        let peers = peers.filter(|(_, peer)| peer.has_come());
        let peers = peers.map(|(number, peer)| Node {
            addr: peer.member.addr,
            host: Some(number),
            latency: peer.member.latency,
        });
        trackers.chain(peers).collect()
    }

    /// Each way that leads to a host that the fault befalls, once.
    fn ways_of(&self, number: usize) -> Vec<(Node, Node)> {
        let (plan, nodes) = (&self.faults.plans[number], self.nodes());
        let mut ways = Vec::new();
        for (at, one) in nodes.iter().enumerate() {
            let others = nodes[..at].iter();
            let others = others.filter(|other| plan.touches(*one) || plan.touches(**other));
            ways.extend(others.map(|other| (*one, *other)));
        }
        ways
    }

    fn settle_latency(&mut self, one: Node, other: Node) {
        let plans = self
            .faults
            .active
            .iter()
            .map(|number| &self.faults.plans[*number]);
        let extra: u64 = plans.map(|plan| plan.extra_ms(one, other)).sum();
        let latency = one.latency + other.latency + Duration::from_millis(extra);
        self.network.set_latency(one.addr, other.addr, latency);
    }

    fn settle_outages(&mut self, one: Node, other: Node) {
        let (mut parted, mut held, mut mute, mut deaf) = (false, false, false, false);
        for number in &self.faults.active {
            let plan = &self.faults.plans[*number];
            let touches = [plan.touches(one), plan.touches(other)];
            match plan.fault.kind {
                FaultKind::Partition => parted |= touches[0] != touches[1],
                FaultKind::Hold => held |= touches[0] != touches[1],
                FaultKind::Mute => {
                    mute |= touches[0];
                    deaf |= touches[1];
                }
                _ => {}
            }
        }
        let (one, other) = (one.addr, other.addr);
        let network = &mut self.network;
        match parted {
            true => network.partition(one, other),
            false => network.heal(one, other),
        }
        match held {
            true => network.hold(one, other),
            false => network.release(one, other),
        }
        for (from, to, silent) in [(one, other, mute), (other, one, deaf)] {
            match silent {
                true => network.mute(from, to),
                false => network.unmute(from, to),
            }
        }
    }
}

//! The faults of the scenario, carried out on the network, the disks and the processes.
//!
//! Faults overlap. Whenever one begins or ends, what it touches is *settled*: made what all faults
//! that are there together make of it. An outage ends with the last fault that wants it, a latency
//! grows by every storm, a host starts again when nothing keeps it down.

mod disks;
mod ways;

use std::num::NonZeroU64;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};

use super::RunError;
use super::agenda::{Act, Agenda};
use super::peer::{Peer, State};
use super::world::World;
use crate::network::Stop;
use crate::scenario::{Fault, FaultKind, Scenario, Share};

/// The faults of a run: which hosts each befalls, and which of them are there.
pub(super) struct Faults {
    plans: Vec<Plan>,
    /// By number, in the order in which they began.
    active: Vec<usize>,
    /// Hosts whose power will fail at an operation of the disk, and by which fault.
    armed: Vec<(usize, usize)>,
}

struct Plan {
    fault: Fault,
    /// The numbers of the hosts that it befalls, ascending.
    hosts: Vec<usize>,
    rng: Rng,
}

impl Faults {
    /// Draws whom each fault befalls, and enters when it begins and ends.
    pub(super) fn new(scenario: &Scenario, peers: &[Peer], agenda: &mut Agenda, rng: &Rng) -> Self {
        let mut plans = Vec::new();
        for (number, fault) in scenario.faults.iter().enumerate() {
            let begins = Instant::ZERO + Duration::from_secs(fault.at_s);
            agenda.enter(begins, Act::Begin(number));
            // How long a host is down after a crash counts from the crash.
            let crashes = matches!(fault.kind, FaultKind::CrashAtOperation(_));
            if let Some(time) = fault.for_s.filter(|_| !crashes) {
                agenda.enter(begins + Duration::from_secs(time), Act::End(number));
            }
            let rng = rng.fork(&format!("fault {number}"));
            let hosts = draw_hosts(scenario, fault, peers, rng.fork("hosts"));
            let fault = fault.clone();
            plans.push(Plan { fault, hosts, rng });
        }
        Faults {
            plans,
            active: Vec::new(),
            armed: Vec::new(),
        }
    }

    /// Whether there is none.
    pub(super) fn is_calm(&self) -> bool {
        self.active.is_empty()
    }

    /// The faults that are there and befall this host, in the order in which they began.
    fn of_host(&self, host: usize) -> impl Iterator<Item = &Plan> {
        let plans = self.active.iter().map(|number| &self.plans[*number]);
        plans.filter(move |plan| plan.befalls(host))
    }
}

impl Plan {
    fn befalls(&self, host: usize) -> bool {
        self.hosts.binary_search(&host).is_ok()
    }

    /// When it is over; never, if nothing says when.
    fn ends(&self) -> Instant {
        let lasts = self.fault.for_s.unwrap_or(u64::MAX);
        Instant::ZERO + Duration::from_secs(self.fault.at_s.saturating_add(lasts))
    }

    fn stops(&self) -> bool {
        matches!(self.fault.kind, FaultKind::Kill | FaultKind::PowerCut)
    }
}

/// The hosts that a fault befalls, ascending.
fn draw_hosts(scenario: &Scenario, fault: &Fault, peers: &[Peer], mut rng: Rng) -> Vec<usize> {
    let is_in = |peer: &Peer| {
        let name = &scenario.groups[peer.member.group].name;
        fault.group.as_ref().is_none_or(|group| group == name)
    };
    let numbers = peers.iter().enumerate().filter(|(_, peer)| is_in(peer));
    let mut hosts: Vec<usize> = numbers.map(|(number, _)| number).collect();
    rng.shuffle(&mut hosts);
    let share = fault.share.unwrap_or(Share::WHOLE);
    let rounded_up = (share.0 * hosts.len() as u64).div_ceil(Share::WHOLE.0);
    hosts.truncate(fault.count.unwrap_or(rounded_up as usize));
    hosts.sort_unstable();
    hosts
}

impl World<'_> {
    pub(super) fn begin_fault(&mut self, number: usize) -> Result<(), RunError> {
        let kind = self.faults.plans[number].fault.kind.clone();
        self.mark_fault(number, "");
        match kind {
            FaultKind::Reset => self.reset(number),
            FaultKind::BitFlips(count) => self.flip_bits(number, count),
            FaultKind::CrashAtOperation(_) => {}
            _ => self.faults.active.push(number),
        }
        self.settle(number)
    }

    pub(super) fn end_fault(&mut self, number: usize) -> Result<(), RunError> {
        self.faults.active.retain(|active| *active != number);
        self.mark_fault(number, "end of ");
        self.settle(number)
    }

    fn mark_fault(&mut self, number: usize, prefix: &str) {
        let plan = &self.faults.plans[number];
        let whose = match &plan.fault.kind {
            FaultKind::Tracker(fault) => format!("tracker {}", fault.number),
            FaultKind::TrackerDown(tracker) => format!("tracker {tracker}"),
            _ => match &plan.hosts[..] {
                [only] => self.peers[*only].member.name.clone(),
                hosts => format!("{} hosts", hosts.len()),
            },
        };
        self.mark(format!("{prefix}{}: {whose}", plan.fault.kind));
    }

    /// Makes what a fault touches what all faults that are there make of it.
    fn settle(&mut self, number: usize) -> Result<(), RunError> {
        let kind = self.faults.plans[number].fault.kind.clone();
        match kind {
            FaultKind::Reset | FaultKind::BitFlips(_) => {}
            FaultKind::Partition | FaultKind::Hold | FaultKind::Mute => {
                self.settle_outages_of(number);
            }
            FaultKind::StormMs(_) => self.settle_latencies_of(number),
            FaultKind::Tracker(fault) => self.settle_tracker(fault.number),
            FaultKind::TrackerDown(tracker) => self.settle_tracker(tracker),
            FaultKind::Kill => self.settle_processes(number, Stop::Kill)?,
            FaultKind::PowerCut => self.settle_processes(number, Stop::PowerCut)?,
            FaultKind::CrashAtOperation(nth) => self.arm(number, nth),
            FaultKind::Rates(_) => self.for_hosts(number, Self::settle_rates),
            FaultKind::DiskErrors(_)
            | FaultKind::DiskCapacity(_)
            | FaultKind::DiskSlowMs(_)
            | FaultKind::DiskHang
            | FaultKind::MisdirectedReads(_)
            | FaultKind::TornWrites(_) => self.for_hosts(number, Self::settle_disk),
        }
        Ok(())
    }

    fn for_hosts(&mut self, number: usize, mut act: impl FnMut(&mut Self, usize)) {
        for host in self.faults.plans[number].hosts.clone() {
            act(self, host);
        }
    }

    fn settle_rates(&mut self, host: usize) {
        let slow = self
            .faults
            .of_host(host)
            .filter_map(|plan| match &plan.fault.kind {
                FaultKind::Rates(rates) => Some(*rates),
                _ => None,
            });
        let member = &self.peers[host].member;
        let (up, down) = match slow.last() {
            Some(rates) => (NonZeroU64::new(rates.up.0), NonZeroU64::new(rates.down.0)),
            None => (member.up, member.down),
        };
        if self.peers[host].has_come() {
            self.network
                .set_rates(self.peers[host].member.addr, up, down);
        }
    }

    /// Numbers of trackers begin with 1.
    fn settle_tracker(&mut self, tracker: usize) {
        let plans = self
            .faults
            .active
            .iter()
            .map(|number| &self.faults.plans[*number]);
        let kinds: Vec<_> = plans.map(|plan| &plan.fault.kind).collect();
        let is_down = kinds
            .iter()
            .any(|kind| **kind == FaultKind::TrackerDown(tracker));
        let mut behaviours = kinds.iter().filter_map(|kind| match kind {
            FaultKind::Tracker(fault) if fault.number == tracker => Some(fault.behaviour),
            _ => None,
        });
        let behaviour = behaviours.next_back();
        self.trackers
            .settle(tracker - 1, &mut self.network, is_down, behaviour);
    }

    fn settle_processes(&mut self, number: usize, how: Stop) -> Result<(), RunError> {
        for host in self.faults.plans[number].hosts.clone() {
            let is_kept_down = self.faults.of_host(host).any(Plan::stops);
            if !is_kept_down {
                self.bring_back(host)?;
            } else if matches!(self.peers[host].state, State::Up | State::Leaving) {
                self.stop(number, host, how);
            }
        }
        Ok(())
    }

    /// The power of these hosts will fail at the n-th operation of their disks from now on.
    fn arm(&mut self, number: usize, nth: u64) {
        for host in &self.faults.plans[number].hosts {
            let peer = &self.peers[*host];
            if matches!(peer.state, State::Up | State::Leaving) {
                peer.files.cut_power_after(nth - 1);
                self.faults.armed.push((*host, number));
            }
        }
    }

    /// Stops the hosts whose power has failed at an operation of the disk.
    pub(super) fn watch_disks(&mut self) {
        let mut at = 0;
        while let Some(&(host, number)) = self.faults.armed.get(at) {
            if self.peers[host].files.has_power() {
                at += 1;
                continue;
            }
            self.faults.armed.swap_remove(at);
            self.mark_fault(number, "");
            if matches!(self.peers[host].state, State::Up | State::Leaving) {
                self.stop(number, host, Stop::PowerCut);
            }
            if let Some(time) = self.faults.plans[number].fault.for_s {
                let back = self.now() + Duration::from_secs(time);
                self.agenda.enter(back, Act::Return(host));
            }
        }
    }

    /// A fault stops a host, for good if it will not end.
    fn stop(&mut self, number: usize, host: usize, how: Stop) {
        let plan = &self.faults.plans[number];
        let peer = &mut self.peers[host];
        self.checks.stopped(peer);
        let was_leaving = peer.state == State::Leaving;
        peer.stop(&mut self.network, how);
        if how == Stop::PowerCut {
            peer.files.lose_power(&mut plan.rng.fork(&peer.member.name));
        }
        if was_leaving || plan.fault.for_s.is_none() {
            self.is_gone(host);
        }
    }
}

//! The hosts of the trackers, each with a machine that may be stopped and started anew.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::drive::Tap;

use crate::cast::tracker_addr;
use crate::disk::Files;
use crate::names::Names;
use crate::network::{Host, Network, Stop};
use crate::scenario::{Scenario, TrackerPlan};
use crate::trace::{Trace, Traced};
use crate::tracker::{Behaviour, Tracker};

/// All trackers of a run, in the order of the scenario.
pub(super) struct Trackers(Vec<Site>);

/// A tracker's host.
struct Site {
    name: String,
    addr: IpAddr,
    plan: TrackerPlan,
    rng: Rng,
    starts: u32,
    trace: Option<Trace>,
    process: Option<Rc<RefCell<Tap<Traced<Tracker>>>>>,
    /// Of the processes before.
    digests: Vec<[u8; 16]>,
}

fn name_of(number: u8) -> String {
    format!("tracker-{number}.test")
}

/// Their announce URLs.
pub(super) fn urls(scenario: &Scenario) -> Vec<String> {
    let numbers = (1..).zip(&scenario.trackers);
    let url = |(number, plan)| {
        let (scheme, port) = way(plan);
        format!("{scheme}://{}:{port}/announce", name_of(number))
    };
    numbers.map(url).collect()
}

/// Their names.
pub(super) fn names(scenario: &Scenario) -> Names {
    let mut names = Names::default();
    for (number, _) in (1..).zip(&scenario.trackers) {
        names.add(&name_of(number), tracker_addr(number));
    }
    names
}

/// The scheme of a tracker's URL, and where it listens.
fn way(plan: &TrackerPlan) -> (&'static str, u16) {
    match plan.https {
        false => ("http", 80),
        true => ("https", 443),
    }
}

impl Trackers {
    /// Adds all of them to the network.
    pub(super) fn new(
        scenario: &Scenario,
        network: &mut Network,
        trace: Option<&Trace>,
        rng: &Rng,
    ) -> Self {
        let mut sites = Vec::new();
        for (number, plan) in (1..).zip(&scenario.trackers) {
            let mut site = Site {
                name: format!("tracker-{number}"),
                addr: tracker_addr(number),
                plan: *plan,
                rng: rng.fork(&format!("tracker {number}")),
                starts: 0,
                trace: trace.cloned(),
                process: None,
                digests: Vec::new(),
            };
            site.start(network);
            site.behave(plan.behaviour);
            sites.push(site);
        }
        Trackers(sites)
    }

    pub(super) fn addrs(&self) -> impl Iterator<Item = IpAddr> {
        self.0.iter().map(|site| site.addr)
    }

    /// Has a tracker be there or not, and behave like this, or as it did at first.
    pub(super) fn settle(
        &mut self,
        at: usize,
        network: &mut Network,
        is_down: bool,
        behaviour: Option<Behaviour>,
    ) {
        let site = &mut self.0[at];
        match (is_down, site.process.is_some()) {
            (true, true) => site.stop(network),
            (false, false) => site.start(network),
            _ => {}
        }
        site.behave(behaviour.unwrap_or(site.plan.behaviour));
    }

    /// The digests of all of their processes, in their order.
    pub(super) fn digests(&self) -> Vec<[u8; 16]> {
        let mut digests = Vec::new();
        for site in &self.0 {
            digests.extend(&site.digests);
            digests.extend(site.process.iter().map(|process| process.borrow().digest()));
        }
        digests
    }
}

impl Site {
    /// Starts without knowing anybody.
    fn start(&mut self, network: &mut Network) {
        let rng = self.rng.fork(&format!("start {}", self.starts));
        let tracker = Tracker::new(Duration::from_secs(self.plan.interval_s), rng);
        // It speaks of torrents and has no pieces.
        let listener = self.trace.as_ref().map(|trace| trace.at(&self.name, 0));
        let tracker = Traced::new(tracker, listener);
        let process = Rc::new(RefCell::new(Tap::new(tracker)));
        self.process = Some(Rc::clone(&process));
        if self.starts == 0 {
            network.add(self.host(), process, |_, _| ());
        } else {
            network.start(self.addr, process, |_, _| ());
        }
        self.starts += 1;
    }

    fn stop(&mut self, network: &mut Network) {
        network.stop(self.addr, Stop::Kill);
        let process = self.process.take();
        self.digests
            .extend(process.map(|process| process.borrow().digest()));
    }

    fn behave(&self, behaviour: Behaviour) {
        if let Some(process) = &self.process {
            process
                .borrow_mut()
                .machine()
                .machine()
                .set_behaviour(behaviour);
        }
    }

    fn host(&self) -> Host {
        Host {
            addr: self.addr,
            port: way(&self.plan).1,
            up: None,
            down: None,
            files: Files::default(),
        }
    }
}

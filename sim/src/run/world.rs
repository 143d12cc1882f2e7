//! The world of one run: the network, the trackers and the hosts, and what the scenario does to
//! them.

use std::sync::Arc;

use ripcurrent_proto::api::Event;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::meta::layout::PieceIndex;

use super::agenda::{Act, Agenda};
use super::checks::Checks;
use super::faults::Faults;
use super::peer::{Inbox, News, Peer, State, What};
use super::recorder::Recorder;
use super::trackers::{self, Trackers};
use super::{ROOT, RunError};
use crate::bound::{Bound, Swarm};
use crate::cast::cast;
use crate::content::{Content, Form};
use crate::disk::Layer;
use crate::network::{Backend, Network, Stop};
use crate::referee::Rules;
use crate::report::{Digest, Report, Sample};
use crate::scenario::{OnFinish, Role, Scenario};
use crate::trace::Trace;

/// How long a client stands still before somebody sees to it.
const MEND_AFTER: Duration = Duration::from_secs(10);

/// How long a piece may be on no disk before all hope is given up: it may still be on its way.
const DESPAIR: Duration = Duration::from_secs(120);

/// Everything there is in one run.
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) network: Network,
    pub(super) content: Arc<Content>,
    pub(super) trackers: Trackers,
    pub(super) peers: Vec<Peer>,
    pub(super) agenda: Agenda,
    pub(super) faults: Faults,
    pub(super) checks: Checks,
    rules: Rules,
    recorder: Recorder,
    inbox: Inbox,
    bound: Bound,
    /// Hosts that must get everything and have not.
    incomplete: usize,
    /// A host that must get everything is gone without.
    is_doomed: bool,
    /// When the fate of those that ride free is settled; known once the others are complete.
    riders_until: Option<Instant>,
    /// Since when a piece is on no disk.
    lost_since: Option<Instant>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        seed: u64,
        backend: Backend,
        trace: Option<&Trace>,
    ) -> Result<Self, RunError> {
        let rng = root_rng(seed);
        let urls = trackers::urls(scenario);
        let form = match scenario.is_compact() {
            true => Form::Compact,
            false => Form::Bytes,
        };
        let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        let content = Content::new(&scenario.torrent, form, &urls, &rng.fork("content"))?;
        let content = Arc::new(content);
        let names = trackers::names(scenario);
        let mut network = Network::new(backend, &rng.fork("network"), names);
        let trackers = Trackers::new(scenario, &mut network, trace, &rng);
        let members = cast(scenario, &rng.fork("cast")).into_iter();
        let peers: Vec<Peer> = members
            .map(|member| {
                let group = &scenario.groups[member.group];
                let must_complete = scenario.must_complete(group);
                let rng = rng.fork(&member.name);
                Peer::new(member, group, must_complete, &content, trace.cloned(), rng)
            })
            .collect();
        let mut agenda = Agenda::default();
        for (number, peer) in peers.iter().enumerate() {
            agenda.enter(peer.member.arrives, Act::Arrive(number));
        }
        let start = peers
            .iter()
            .map(|peer| peer.report(&content, Instant::ZERO));
        let bound = Bound::of(&Swarm::of(scenario, &start.collect::<Vec<_>>()));
        let pieces = content.torrent.layout().pieces() as usize;
        let incomplete = peers.iter().filter(|peer| peer.must_complete).count();
        Ok(World {
            faults: Faults::new(scenario, &peers, &mut agenda, &rng.fork("faults")),
            checks: Checks::new(scenario, &peers, bound.fluid),
            recorder: Recorder::new(scenario, pieces, bound.fluid),
            rules: Rules::new(Arc::clone(&content.torrent)),
            scenario,
            network,
            content,
            trackers,
            peers,
            agenda,
            inbox: Inbox::default(),
            bound,
            incomplete,
            is_doomed: false,
            riders_until: None,
            lost_since: None,
        })
    }

    pub(super) fn now(&self) -> Instant {
        self.network.now()
    }

    /// Goes on by one tick; the sample, if it was time for one.
    pub(super) fn step(&mut self) -> Result<Option<&Sample>, RunError> {
        while let Some(act) = self.agenda.due(self.now()) {
            self.act(act)?;
        }
        self.network.step()?;
        while let Some(news) = self.next_news() {
            self.hear(news)?;
        }
        self.watch_disks();
        if !self.recorder.is_due(self.now()) {
            return Ok(None);
        }
        self.send_off();
        Ok(Some(self.sample()))
    }

    /// Whether nothing more can come of it.
    pub(super) fn is_over(&self) -> bool {
        let now = self.now();
        let end = Instant::ZERO + Duration::from_secs(self.scenario.end.within_s);
        let settled = self.incomplete == 0 && self.riders_until.is_none_or(|until| now >= until);
        let hopeless = |since| now.since(since) >= DESPAIR;
        settled || now >= end || self.is_doomed || self.lost_since.is_some_and(hopeless)
    }

    /// What became of it.
    pub(super) fn into_report(mut self, seed: u64) -> Report {
        let ended = self.now();
        self.sample();
        let rarest = self.recorder.rarest();
        let hosts: Vec<_> = self
            .peers
            .iter()
            .map(|peer| peer.report(&self.content, ended))
            .collect();
        let peers = self.peers.iter();
        let violations = peers.flat_map(|peer| peer.violations(ended)).collect();
        let shortfalls = super::verdict::shortfalls(&super::verdict::Outcome {
            scenario: self.scenario,
            peers: &self.peers,
            hosts: &hosts,
            ended,
            bound: self.bound.fluid,
            rarest,
        });
        let mut machines = self.trackers.digests();
        machines.extend(self.peers.iter().flat_map(Peer::digests));
        Report {
            seed,
            digest: Digest::fold(&machines, &hosts, ended),
            hosts,
            ended,
            bound: self.bound,
            timeline: self.recorder.into_timeline(),
            shortfalls,
            violations,
            breaches: self.checks.finish(ended, &self.peers, &self.content),
        }
    }

    fn act(&mut self, act: Act) -> Result<(), RunError> {
        match act {
            Act::Arrive(peer) => self.arrive(peer)?,
            Act::Leave(peer) => self.leave(peer),
            Act::Mend(peer) => self.mend(peer),
            Act::Begin(fault) => self.begin_fault(fault)?,
            Act::End(fault) => self.end_fault(fault)?,
            Act::Return(peer) => self.bring_back(peer)?,
        }
        Ok(())
    }

    fn arrive(&mut self, number: usize) -> Result<(), RunError> {
        self.start(number)?;
        if self.peers[number].member.role == Role::Seed {
            self.has_everything(number);
        }
        self.meet_everybody(number);
        Ok(())
    }

    /// A host that was stopped starts again, unless it has left in the meantime.
    pub(super) fn bring_back(&mut self, number: usize) -> Result<(), RunError> {
        match self.peers[number].state {
            State::Down => self.start(number),
            _ => Ok(()),
        }
    }

    fn start(&mut self, number: usize) -> Result<(), RunError> {
        let (network, inbox) = (&mut self.network, &self.inbox);
        self.peers[number].start(number, network, &self.content, &self.rules, inbox)?;
        Ok(())
    }

    fn leave(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        match peer.state {
            // Nobody waits for its good manners.
            State::Up if peer.adversary.is_some() => {
                peer.stop(&mut self.network, Stop::Kill);
                self.is_gone(number);
            }
            State::Up => peer.leave(&mut self.network),
            // It would come back only to leave.
            State::Down => self.is_gone(number),
            State::Expected | State::Leaving | State::Gone => {}
        }
    }

    /// A host whose process has ended will not come back.
    pub(super) fn is_gone(&mut self, number: usize) {
        let now = self.now();
        let peer = &mut self.peers[number];
        peer.state = State::Gone;
        peer.left = Some(now);
        self.is_doomed |= peer.must_complete && peer.completed.is_none();
    }

    fn mend(&mut self, number: usize) {
        if self.peers[number].mend(&mut self.network) {
            let at = self.now() + MEND_AFTER;
            self.agenda.enter(at, Act::Mend(number));
        }
    }

    fn next_news(&self) -> Option<News> {
        self.inbox.borrow_mut().pop_front()
    }

    fn hear(&mut self, news: News) -> Result<(), RunError> {
        let number = news.peer;
        let event = match news.what {
            What::Told(event) => event,
            What::ReliedOn { pieces, durable } => {
                let peer = &self.peers[number];
                self.checks.relied_on(news.at, peer, &pieces, &durable);
                return Ok(());
            }
        };
        match event {
            Event::Refused { reason, .. } => {
                let host = self.peers[number].member.name.clone();
                return Err(RunError::Refused { host, reason });
            }
            Event::Completed { .. } => {
                let peer = &self.peers[number];
                self.checks.completed(news.at, peer, &self.content);
                if peer.completed.is_none() && peer.member.role.fetches() {
                    self.complete(number, news.at);
                }
            }
            Event::Banned { addr, .. } => {
                self.checks.banned(news.at, &self.peers, number, addr);
            }
            Event::DiskFailed { action, .. } => self.disk_failed(number, action),
            Event::Removed { .. } => self.peers[number].removed(&mut self.network, &self.content),
            Event::ShutDown => self.has_left(number),
            _ => {}
        }
        Ok(())
    }

    fn disk_failed(&mut self, number: usize, action: &str) {
        if self.peers[number].disk_failed(action) {
            let at = self.now() + MEND_AFTER;
            self.agenda.enter(at, Act::Mend(number));
        }
    }

    fn complete(&mut self, number: usize, at: Instant) {
        self.peers[number].completed = Some(at);
        self.has_everything(number);
        if self.peers[number].must_complete {
            self.incomplete -= 1;
            if self.incomplete == 0 {
                self.riders_until = self.fate_of_riders();
            }
        }
    }

    /// Does on finishing what its group does; a seed has finished when it comes.
    fn has_everything(&mut self, number: usize) {
        let now = self.now();
        match self.peers[number].on_finish {
            OnFinish::Leave => self.agenda.enter(now, Act::Leave(number)),
            OnFinish::SeedS(time) => {
                let at = now + Duration::from_secs(time);
                self.agenda.enter(at, Act::Leave(number));
            }
            OnFinish::Stay | OnFinish::SeedRatio(_) | OnFinish::SeedCopies(_) => {}
        }
    }

    /// Has those leave that have given enough.
    fn send_off(&mut self) {
        let (now, size) = (self.now(), self.scenario.size());
        let copies = self.recorder.copies_elsewhere();
        for number in 0..self.peers.len() {
            let peer = &self.peers[number];
            let is_whole = peer.member.role == Role::Seed || peer.completed.is_some();
            if peer.state == State::Up && is_whole && peer.has_given_enough(now, size, copies) {
                self.leave(number);
            }
        }
    }

    fn has_left(&mut self, number: usize) {
        let peer = &mut self.peers[number];
        if peer.state == State::Leaving {
            self.checks.stopped(peer);
            peer.stop(&mut self.network, Stop::Kill);
            self.is_gone(number);
        }
    }

    /// Until when it must be seen whether free riders are slow enough: the last of them is by then.
    fn fate_of_riders(&self) -> Option<Instant> {
        let factor = self.scenario.end.free_riders_over_mean?;
        let mean = super::verdict::mean_time(&self.peers)?;
        let enough = Duration::from_micros(factor.of(mean.as_micros() as u64));
        let riders = self.peers.iter();
        let riders = riders.filter(|peer| peer.member.role == Role::FreeRider);
        let open = riders.filter(|peer| peer.completed.is_none());
        open.map(|peer| peer.member.arrives + enough).max()
    }

    fn sample(&mut self) -> &Sample {
        let now = self.now();
        let layout = self.content.torrent.layout();
        self.recorder.sample(now, &self.peers, layout);
        let is_calm = self.faults.is_calm() && self.recorder.rarest() > 0;
        self.checks.look(now, &self.peers, is_calm);
        let lost = self.recorder.lost();
        self.lost_since = match lost.is_some_and(|piece| self.is_lost(piece)) {
            true => self.lost_since.or(Some(now)),
            false => None,
        };
        self.recorder.last().expect("it was just taken")
    }

    /// Whether no disk has a piece that nobody serves.
    fn is_lost(&self, piece: PieceIndex) -> bool {
        let mut hosts = self.peers.iter().filter(|peer| peer.state != State::Gone);
        !hosts.any(|peer| {
            self.content
                .has_piece(&peer.files, ROOT, piece, Layer::Written)
        })
    }

    /// Writes down what was done to the swarm.
    pub(super) fn mark(&mut self, what: String) {
        self.recorder.mark(self.network.now(), what);
    }
}

/// All of a run's chance.
fn root_rng(seed: u64) -> Rng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    Rng::from_seed(bytes)
}

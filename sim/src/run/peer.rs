//! A host of the scenario and the client on it, through all of its lives.
//!
//! The disk outlives the process: a host that was stopped and starts again has a new engine, which
//! knows nothing but what it finds there. What its engines before had counted is kept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, ConfigError, Data, Event, Input, Mode, Phase, TorrentStats,
};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Machine, Tap};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::layout::PieceIndex;

use super::process::{Client, Process, engine, referee};
use super::{PEER_PORT, ROOT, TORRENT};
use crate::adversary::{Adversary, Kind};
use crate::cast::Member;
use crate::content::Content;
use crate::disk::{Files, Layer};
use crate::meter::Metered;
use crate::network::{Host, Network, Stop};
use crate::referee::{Refereed, Rules, Violation};
use crate::report::HostReport;
use crate::scenario::{ClientPlan, Group, OnFinish, Role};
use crate::trace::{Listener, Trace, Traced};

/// What clients have told and the world has not yet heard.
pub(super) type Inbox = Rc<RefCell<VecDeque<News>>>;

/// Something that a client told or did.
pub(super) struct News {
    /// The number of its host.
    pub(super) peer: usize,
    pub(super) at: Instant,
    pub(super) what: What,
}

/// What a client told or did.
pub(super) enum What {
    Told(Event),
    /// It relies on pieces to be durable.
    ReliedOn {
        pieces: Bitfield,
        /// Those of them that a loss of power would have left.
        durable: Bitfield,
    },
}

/// A host of the scenario.
pub(super) struct Peer {
    pub(super) member: Member,
    pub(super) on_finish: OnFinish,
    pub(super) files: Files,
    pub(super) state: State,
    /// Whether it must get everything.
    pub(super) must_complete: bool,
    /// When it had everything first; a seed, when it came.
    pub(super) completed: Option<Instant>,
    /// When it had left.
    pub(super) left: Option<Instant>,
    /// How it misbehaves, if it is no client of ours.
    pub(super) adversary: Option<Kind>,
    /// Its disk told or will tell the client what is not so.
    pub(super) lies: bool,
    had_at_start: u64,
    config: Config,
    trace: Option<Trace>,
    rng: Rng,
    process: Option<Process>,
    /// How often a process was started.
    starts: u32,
    /// What processes and torrents before had counted.
    past: Counters,
    /// Of the processes before.
    digests: Vec<[u8; 16]>,
    /// The rules that they broke.
    violations: Vec<Violation>,
    /// What is to be done about a client that stands still.
    remedy: Option<Remedy>,
}

/// Where a host is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It has not come yet.
    Expected,
    /// Its client runs.
    Up,
    /// Its client takes leave.
    Leaving,
    /// Its process was stopped.
    Down,
    /// It is gone for good.
    Gone,
}

/// What people do about a client that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// Have it look at its files again.
    Recheck,
    /// Take the torrent out and add it again: its files could not even be opened.
    AddAgain,
}

/// Bytes since the beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) downloaded: u64,
    pub(super) uploaded: u64,
    pub(super) wasted: u64,
    pub(super) received: u64,
}

impl Counters {
    fn add(&mut self, stats: &TorrentStats) {
        self.downloaded += stats.downloaded;
        self.uploaded += stats.uploaded;
        self.wasted += stats.wasted.total();
    }
}

impl Peer {
    /// A host that has not come yet. A seed's disk has everything, another's what `group` says.
    pub(super) fn new(
        member: Member,
        group: &Group,
        must_complete: bool,
        content: &Content,
        trace: Option<Trace>,
        rng: Rng,
    ) -> Self {
        let files = content.blank_disk();
        let had_at_start = match member.role {
            Role::Seed => {
                content.put(&files, ROOT);
                content.torrent.layout().total_len()
            }
            Role::Leecher | Role::FreeRider => {
                content.put_share(&files, ROOT, group.has, &mut rng.fork("has"))
            }
            Role::Adversary => 0,
        };
        Peer {
            on_finish: group.on_finish,
            files,
            state: State::Expected,
            must_complete,
            completed: None,
            left: None,
            adversary: group.adversary,
            lies: false,
            had_at_start,
            config: config(&group.client, member.role),
            trace,
            rng,
            process: None,
            starts: 0,
            past: Counters::default(),
            digests: Vec::new(),
            violations: Vec::new(),
            remedy: None,
            member,
        }
    }

    /// Comes, or comes back; `number` is what it is called in the inbox.
    pub(super) fn start(
        &mut self,
        number: usize,
        network: &mut Network,
        content: &Arc<Content>,
        rules: &Rules,
        inbox: &Inbox,
    ) -> Result<(), ConfigError> {
        let rng = self.rng.fork(&format!("start {}", self.starts));
        self.starts += 1;
        self.remedy = None;
        if let Some(kind) = self.adversary {
            let adversary = Adversary::new(kind, Arc::clone(content), rng);
            let adversary = Traced::new(adversary, self.listener(content));
            let adversary = Rc::new(RefCell::new(Tap::new(adversary)));
            self.process = Some(Process::Adversary(Rc::clone(&adversary)));
            self.enter(network, adversary, |_, _| ());
            return Ok(());
        }
        let client = self.client(network.now(), content, rules, &rng)?;
        let client = Rc::new(RefCell::new(client));
        self.process = Some(Process::Client(Rc::clone(&client)));
        let inbox = Rc::clone(inbox);
        let (content, files) = (Arc::clone(content), self.files.clone());
        self.enter(network, client, move |client, at| {
            let tell = |what| {
                let peer = number;
                inbox.borrow_mut().push_back(News { peer, at, what });
            };
            if let Some(pieces) = referee(client).take_relied_on() {
                let durable = durable(&content, &files, &pieces);
                tell(What::ReliedOn { pieces, durable });
            }
            while let Some(event) = engine(client).poll_event() {
                tell(What::Told(event));
            }
        });
        Ok(())
    }

    /// Takes its place in the network, the first time or again.
    fn enter<M: Machine + 'static>(
        &mut self,
        network: &mut Network,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        if self.state == State::Expected {
            network.add(self.host(), machine, watch);
        } else {
            network.start(self.member.addr, machine, watch);
        }
        self.state = State::Up;
    }

    /// A client that has been told of the torrent.
    fn client(
        &self,
        now: Instant,
        content: &Content,
        rules: &Rules,
        rng: &Rng,
    ) -> Result<Client, ConfigError> {
        let mut seed = [0; 32];
        rng.fork("engine").fill(&mut seed);
        let engine = Engine::new(self.config.clone(), seed, now)?;
        let judged = Metered::new(Refereed::new(engine, rules.clone()));
        let mut client = Tap::new(Traced::new(judged, self.listener(content)));
        client.handle(now, Input::Command(Command::Add(self.torrent(content))));
        Ok(client)
    }

    /// Who writes down what it does.
    fn listener(&self, content: &Content) -> Option<Listener> {
        let pieces = content.torrent.layout().pieces();
        let trace = self.trace.as_ref();
        trace.map(|trace| trace.at(&self.member.name, pieces))
    }

    fn host(&self) -> Host {
        Host {
            addr: self.member.addr,
            port: PEER_PORT,
            up: self.member.up,
            down: self.member.down,
            files: self.files.clone(),
        }
    }

    fn torrent(&self, content: &Content) -> Add {
        let mode = match self.member.role {
            Role::Seed => Mode::Seed,
            Role::Leecher | Role::FreeRider | Role::Adversary => Mode::Download,
        };
        Add {
            id: TORRENT,
            torrent: Arc::clone(&content.torrent),
            root: ROOT.into(),
            wanted: None,
            sequential: false,
            mode,
            check: Check::Existing,
            announce: true,
            preallocate: false,
            files: None,
            overwrite: false,
            down_limit: None,
            up_limit: None,
        }
    }

    /// Its process ends, in whatever state it is.
    pub(super) fn stop(&mut self, network: &mut Network, how: Stop) {
        network.stop(self.member.addr, how);
        let now = network.now();
        if let Some(stats) = self.stats(now) {
            self.past.add(&stats);
        }
        if let Some(process) = self.process.take() {
            self.past.received += process.received();
            self.violations.extend(process.violations(now));
            self.digests.push(process.digest());
        }
        self.state = State::Down;
    }

    /// Is told to take leave. An adversary takes none.
    pub(super) fn leave(&mut self, network: &mut Network) {
        self.state = State::Leaving;
        self.command(network, Command::ShutDown);
    }

    /// Whether it has given what it wanted to before it leaves: of a torrent of this size, of which
    /// the others have so many copies.
    pub(super) fn has_given_enough(&self, now: Instant, size: u64, copies: u32) -> bool {
        match self.on_finish {
            OnFinish::SeedRatio(ratio) => {
                let counters = self.counters(self.stats(now).as_ref());
                counters.uploaded >= ratio.of(size)
            }
            OnFinish::SeedCopies(wanted) => u64::from(copies) >= wanted,
            OnFinish::Stay | OnFinish::Leave | OnFinish::SeedS(_) => false,
        }
    }

    /// The disk refused; whether somebody is to see to it who does not yet.
    pub(super) fn disk_failed(&mut self, action: &str) -> bool {
        let remedy = match action {
            "open" => Remedy::AddAgain,
            _ => Remedy::Recheck,
        };
        self.remedy.replace(remedy).is_none()
    }

    /// Somebody sees to it; whether the client was still busy, so that they must come back.
    pub(super) fn mend(&mut self, network: &mut Network) -> bool {
        let now = network.now();
        let Some(stats) = self.stats(now).filter(|_| self.state == State::Up) else {
            self.remedy = None;
            return false;
        };
        if matches!(stats.phase, Phase::Opening | Phase::Checking) {
            return true;
        }
        // A seed that could not read a piece does not fetch it.
        let lacks = self.member.role == Role::Seed && stats.pieces_had < stats.pieces;
        let remedy = self.remedy.take();
        if stats.phase == Phase::Failed || lacks {
            let torrent = TORRENT;
            match remedy {
                Some(Remedy::AddAgain) => {
                    self.past.add(&stats);
                    let data = Data::Keep;
                    self.command(network, Command::Remove { torrent, data });
                }
                Some(Remedy::Recheck) => self.command(network, Command::Recheck { torrent }),
                None => {}
            }
        }
        false
    }

    /// Its torrent was taken out, and is added again.
    pub(super) fn removed(&mut self, network: &mut Network, content: &Content) {
        if self.state == State::Up {
            self.command(network, Command::Add(self.torrent(content)));
        }
    }

    fn command(&mut self, network: &mut Network, command: Command) {
        if let Some(process) = &self.process {
            process.command(network.now(), command);
        }
        network.wake(self.member.addr);
    }

    /// Chance for its disk, another one each time.
    pub(super) fn disk_rng(&self) -> Rng {
        self.rng.fork(&format!("disk {}", self.files.operations()))
    }

    /// What runs on it.
    pub(super) fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Whether it was there at some time.
    pub(super) fn has_come(&self) -> bool {
        self.state != State::Expected
    }

    /// What its client says of the torrent.
    pub(super) fn stats(&self, now: Instant) -> Option<TorrentStats> {
        self.process.as_ref()?.stats(now)
    }

    /// Has `look` look at the pieces that its client has.
    pub(super) fn with_pieces<R>(&self, look: impl FnOnce(&Bitfield) -> R) -> Option<R> {
        self.process.as_ref()?.with_pieces(look)
    }

    /// What all of its processes have counted; `stats` are those of the last, if it runs.
    pub(super) fn counters(&self, stats: Option<&TorrentStats>) -> Counters {
        let mut counters = self.past;
        if let Some(stats) = stats {
            counters.add(stats);
        }
        counters.received += self.process.as_ref().map_or(0, Process::received);
        counters
    }

    /// The digests of all of its processes, in their order.
    pub(super) fn digests(&self) -> Vec<[u8; 16]> {
        let last = self.process.iter().map(Process::digest);
        self.digests.iter().copied().chain(last).collect()
    }

    /// The rules that its processes broke, behind its name.
    pub(super) fn violations(&self, now: Instant) -> Vec<(String, Violation)> {
        let mut all = self.violations.clone();
        let last = self.process.iter();
        all.extend(last.flat_map(|process| process.violations(now)));
        let name = &self.member.name;
        all.into_iter()
            .map(|broken| (name.clone(), broken))
            .collect()
    }

    pub(super) fn report(&self, content: &Content, now: Instant) -> HostReport {
        let counters = self.counters(self.stats(now).as_ref());
        HostReport {
            name: self.member.name.clone(),
            group: self.member.group,
            role: self.member.role,
            arrived: self.member.arrives,
            up: self.member.up,
            down: self.member.down,
            had_at_start: self.had_at_start,
            completed: self.completed.filter(|_| self.member.role != Role::Seed),
            left: self.left,
            starts: self.starts,
            whole: content.is_durable(&self.files, ROOT),
            downloaded: counters.downloaded,
            uploaded: counters.uploaded,
            wasted: counters.wasted,
            received: counters.received,
        }
    }
}

/// Those of the pieces that a disk would have after a loss of power.
fn durable(content: &Content, files: &Files, pieces: &Bitfield) -> Bitfield {
    let mut durable = Bitfield::new(pieces.len());
    for piece in pieces.iter() {
        let index = PieceIndex(piece as u32);
        if content.has_piece(files, ROOT, index, Layer::Durable) {
            durable.insert(piece);
        }
    }
    durable
}

/// The shipped settings but for what the scenario says. Who rides free grants no slots.
fn config(plan: &ClientPlan, role: Role) -> Config {
    let mut config = Config::default();
    if let Some(budget) = plan.memory_budget {
        config.memory_budget = budget.0 as usize;
    }
    config.max_peers = plan.max_peers.unwrap_or(config.max_peers);
    config.upload_slots = plan.upload_slots.unwrap_or(config.upload_slots);
    if role == Role::FreeRider {
        config.upload_slots = 0;
    }
    config.up_limit = plan.up_limit.and_then(|rate| NonZeroU64::new(rate.0));
    config.down_limit = plan.down_limit.and_then(|rate| NonZeroU64::new(rate.0));
    config
}

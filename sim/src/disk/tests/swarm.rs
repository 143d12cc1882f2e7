//! A swarm of two or three engines, whose disks fail and whose people try again.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{self, Add, Command, Config, Event, Input, Mode, Output, Phase};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileIndex, PieceIndex};
use ripcurrent_proto::meta::parts::STATE;
use ripcurrent_proto::meta::resume::Resume;

use super::{Layer, PIECE, ROOT};
use crate::content::{Content, Form};
use crate::disk::Files;
use crate::names::Names;
use crate::network::{Backend, Host, Network, Stop};
use crate::scenario::{ContentForm, Size, TorrentPlan};

const PORT: u16 = 6881;
const TORRENT: TorrentId = TorrentId(0);
/// How long people wait before they try again.
const PATIENCE: Duration = Duration::from_secs(20);
/// After which no swarm of this size should still be at it, whatever went wrong.
const DEADLINE: Duration = Duration::from_secs(1800);

/// An engine, and somebody who has it check everything again when the disk refuses.
pub(super) struct Client {
    engine: Engine,
    events: Vec<Event>,
    retry: Option<Instant>,
    torrent: Arc<Torrent>,
    work: Work,
}

/// What an engine has had done.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    /// Pieces of which it wrote anything.
    pub(super) written: BTreeSet<u32>,
    pub(super) hashes: usize,
    /// Bytes of blocks that it received.
    pub(super) received: u64,
}

impl Client {
    /// Takes down what the engine wants done.
    fn note(&mut self, output: &Output) {
        let layout = self.torrent.layout();
        match output {
            Output::Disk(api::Disk::Write { spans, .. }) => {
                let start = spans.iter().find_map(|span| {
                    let file = &layout.files()[span.file?.at()];
                    Some(file.offset + span.offset)
                });
                let piece = start.expect("no padding here") / u64::from(layout.piece_length());
                self.work.written.insert(piece as u32);
            }
            Output::Hash { .. } => self.work.hashes += 1,
            _ => {}
        }
    }

    /// What the engine believes to have.
    fn had(&self) -> Vec<PieceIndex> {
        let had = self.engine.pieces_had(TORRENT);
        let had = had.into_iter().flat_map(Bitfield::iter);
        had.map(|piece| PieceIndex(piece as u32)).collect()
    }

    /// Hears of everything that happened.
    fn listen(&mut self, now: Instant) {
        while let Some(event) = self.engine.poll_event() {
            let is_failure = matches!(event, Event::DiskFailed { .. });
            self.events.push(event);
            let stats = self.engine.stats(now, TORRENT);
            // A file that cannot be read is a failure too, and the torrent goes on.
            if is_failure && stats.is_some_and(|stats| stats.phase == Phase::Failed) {
                self.retry = Some(now + PATIENCE);
            }
        }
    }

    pub(super) fn has_completed(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, Event::Completed { .. }))
    }
}

impl Machine for Client {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        self.engine.accept(now, from)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.engine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.retry.take_if(|at| *at <= now).is_some() {
            let recheck = Command::Recheck { torrent: TORRENT };
            self.engine.handle(now, Input::Command(recheck));
        }
        self.engine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.engine.poll_output(now);
        if let Some(stats) = self.engine.stats(now, TORRENT) {
            self.work.received = stats.downloaded;
        }
        if let Some(output) = &output {
            self.note(output);
        }
        self.listen(now);
        output
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.engine
            .poll_timeout()
            .into_iter()
            .chain(self.retry)
            .min()
    }
}

/// A leecher, host 0, and seeds.
pub(super) struct Swarm {
    pub(super) content: Content,
    pub(super) disks: Vec<Files>,
    pub(super) clients: Vec<Rc<RefCell<Client>>>,
    /// The files that the leecher wants; `None` for all.
    pub(super) wanted: Option<Bitfield>,
    network: Network,
    rng: Rng,
    /// What the seeds send, in bytes per second.
    rate: Option<NonZeroU64>,
    /// How many processes have been started.
    starts: u32,
}

pub(super) const LEECHER: usize = 0;
pub(super) const SEED: usize = 1;

impl Swarm {
    /// Nobody runs yet, and the seeds' disks have everything.
    pub(super) fn new(form: Form, backend: Backend, seeds: usize, seed: u8) -> Self {
        let plan = TorrentPlan {
            files: [200_000, 0, 7, 300_000, 50_000].map(Size).to_vec(),
            piece_length: Size(PIECE),
            private: false,
            content: ContentForm::Auto,
        };
        let rng = Rng::from_seed([seed; 32]);
        let url = "http://tracker.test/announce";
        let content = Content::new(&plan, form, &[url], &rng.fork("content")).unwrap();
        let disks: Vec<_> = (0..=seeds).map(|_| content.blank_disk()).collect();
        disks[1..].iter().for_each(|files| content.put(files, ROOT));
        Swarm {
            content,
            disks,
            clients: Vec::new(),
            wanted: None,
            rate: None,
            network: Network::new(backend, &rng.fork("network"), Names::default()),
            rng,
            starts: 0,
        }
    }

    /// The seeds send no more than so many bytes per second.
    pub(super) fn slow(mut self, rate: u64) -> Self {
        self.rate = NonZeroU64::new(rate);
        self
    }

    /// Starts everybody.
    pub(super) fn start(&mut self) {
        for host in 0..self.disks.len() {
            let client = self.client(host);
            let place = Host {
                addr: addr(host),
                port: PORT,
                up: self.rate.filter(|_| host != LEECHER),
                down: None,
                files: self.disks[host].clone(),
            };
            self.network.add(place, Rc::clone(&client), |_, _| ());
            self.clients.push(client);
        }
    }

    fn client(&mut self, host: usize) -> Rc<RefCell<Client>> {
        let mut seed = [0; 32];
        self.starts += 1;
        let label = format!("process {}", self.starts);
        self.rng.fork(&label).fill(&mut seed);
        let now = self.network.now();
        let mut engine = Engine::new(Config::default(), seed, now).unwrap();
        let mut add = Add::new(TORRENT, self.content.torrent.clone(), ROOT);
        match host {
            LEECHER => add.files = self.wanted.clone(),
            _ => add.mode = Mode::Seed,
        }
        engine.handle(now, Input::Command(Command::Add(add)));
        if host == LEECHER {
            for seed in 1..self.disks.len() {
                let (torrent, addr) = (TORRENT, SocketAddr::new(addr(seed), PORT));
                let known = Command::AddPeer { torrent, addr };
                engine.handle(now, Input::Command(known));
            }
        }
        Rc::new(RefCell::new(Client {
            engine,
            events: Vec::new(),
            retry: None,
            torrent: Arc::clone(&self.content.torrent),
            work: Work::default(),
        }))
    }

    /// Goes on until `is_over`; whether that came before the deadline.
    pub(super) fn run_until(&mut self, is_over: impl Fn(&Swarm) -> bool) -> bool {
        let end = self.network.now() + DEADLINE;
        while self.network.now() < end {
            if is_over(self) {
                return true;
            }
            self.network.step().expect("no host breaks down");
        }
        false
    }

    pub(super) fn run_for(&mut self, time: Duration) {
        let end = self.network.now() + time;
        self.run_until(|swarm| swarm.network.now() >= end);
    }

    /// Chance of its own for a purpose.
    pub(super) fn rng(&self, purpose: &str) -> Rng {
        self.rng.fork(purpose)
    }

    pub(super) fn now(&self) -> Instant {
        self.network.now()
    }

    /// The leecher has told that everything is there.
    pub(super) fn has_completed(&self) -> bool {
        self.clients[LEECHER].borrow().has_completed()
    }

    pub(super) fn completes(&mut self) -> bool {
        self.run_until(Swarm::has_completed)
    }

    /// The power of the leecher fails, and is back; it does not run.
    pub(super) fn lose_power(&mut self) {
        self.lose_power_of(LEECHER);
    }

    pub(super) fn lose_power_of(&mut self, host: usize) {
        self.network.stop(addr(host), Stop::PowerCut);
        let mut rng = self.rng.fork(&format!("loss {}", self.starts));
        self.disks[host].lose_power(&mut rng);
    }

    /// The leecher's process dies.
    pub(super) fn kill(&mut self) {
        self.kill_host(LEECHER);
    }

    pub(super) fn kill_host(&mut self, host: usize) {
        self.network.stop(addr(host), Stop::Kill);
    }

    /// The leecher is told to leave in good order, and when it has its process ends.
    pub(super) fn leave(&mut self) {
        self.leave_host(LEECHER);
    }

    pub(super) fn leave_host(&mut self, host: usize) {
        let now = self.now();
        let client = Rc::clone(&self.clients[host]);
        let leave = Input::Command(Command::ShutDown);
        client.borrow_mut().engine.handle(now, leave);
        self.network.wake(addr(host));
        let has_left = |swarm: &Swarm| swarm.count(host, |event| *event == Event::ShutDown) > 0;
        assert!(self.run_until(has_left), "{:?}", self.events(host));
        self.kill_host(host);
    }

    /// The leecher, which does not run, starts on what its disk has kept.
    pub(super) fn restart(&mut self) {
        self.restart_host(LEECHER);
    }

    pub(super) fn restart_host(&mut self, host: usize) {
        let client = self.client(host);
        self.clients[host] = Rc::clone(&client);
        self.network.start(addr(host), client, |_, _| ());
    }

    /// Everything that the leecher wants is durable on its disk and has its name, and no other file
    /// is there.
    pub(super) fn is_finished(&self) -> bool {
        let files = &self.disks[LEECHER];
        self.content.files().all(|index| {
            let wanted = self.wanted.as_ref();
            if wanted.is_none_or(|wanted| wanted.contains(index.at())) {
                return self.content.is_file_finished(files, ROOT, index);
            }
            let place = self.content.place(ROOT, index);
            !files.has(&place.own) && !files.has(&place.part)
        })
    }

    /// Whether the leecher's state is there.
    pub(super) fn has_state(&self) -> bool {
        self.disks[LEECHER].has(&self.content.beside(ROOT, STATE))
    }

    /// Pieces that the leecher's saved state names.
    pub(super) fn recorded(&self) -> BTreeSet<u32> {
        let state = self.content.beside(ROOT, STATE);
        let state = self.disks[LEECHER].read(&state);
        let have = state.and_then(|state| recorded(&self.content.torrent, &state));
        let have = have.iter().flat_map(Bitfield::iter);
        have.map(|piece| piece as u32).collect()
    }

    /// Pieces that are right on the leecher's disk.
    pub(super) fn right(&self) -> BTreeSet<u32> {
        self.right_of(LEECHER)
    }

    pub(super) fn right_of(&self, host: usize) -> BTreeSet<u32> {
        let pieces = 0..self.content.torrent.layout().pieces();
        let is_right = |piece: &u32| {
            let (files, piece) = (&self.disks[host], PieceIndex(*piece));
            self.content.has_piece(files, ROOT, piece, Layer::Written)
        };
        pieces.filter(is_right).collect()
    }

    /// Pieces that the leecher takes for right.
    pub(super) fn believed(&self) -> BTreeSet<u32> {
        self.believed_by(LEECHER)
    }

    pub(super) fn believed_by(&self, host: usize) -> BTreeSet<u32> {
        let had = self.clients[host].borrow().had();
        had.into_iter().map(|piece| piece.0).collect()
    }

    /// Bytes of the pieces that the leecher wants something of.
    pub(super) fn bytes_wanted(&self) -> u64 {
        let layout = self.content.torrent.layout();
        let is_wanted = |index: &FileIndex| {
            let wanted = self.wanted.as_ref();
            wanted.is_none_or(|wanted| wanted.contains(index.at()))
        };
        let files = self.content.files().filter(is_wanted);
        let pieces: BTreeSet<u32> = files.flat_map(|index| layout.pieces_of(index)).collect();
        let len = |piece| u64::from(layout.piece_len(PieceIndex(piece)));
        pieces.into_iter().map(len).sum()
    }

    /// What the leecher has had done since it started.
    pub(super) fn work(&self) -> Work {
        self.work_of(LEECHER)
    }

    pub(super) fn work_of(&self, host: usize) -> Work {
        self.clients[host].borrow().work.clone()
    }

    /// What a host has told.
    pub(super) fn events(&self, host: usize) -> Vec<Event> {
        self.clients[host].borrow().events.clone()
    }

    pub(super) fn count(&self, host: usize, is_it: impl Fn(&Event) -> bool) -> usize {
        self.events(host)
            .iter()
            .filter(|event| is_it(event))
            .count()
    }

    pub(super) fn set_faults(&self, host: usize, faults: crate::disk::Faults) {
        self.disks[host].set_faults(faults, self.rng.fork(&format!("faults {host}")));
    }
}

/// The pieces that a state names.
fn recorded(torrent: &Torrent, state: &[u8]) -> Option<Bitfield> {
    let state = Resume::decode(state, torrent.layout(), torrent.hashes().v1?)?;
    Some(state.have)
}

pub(super) fn addr(host: usize) -> IpAddr {
    Ipv4Addr::new(10, 1, 0, 1 + host as u8).into()
}

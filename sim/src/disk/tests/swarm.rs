//! A swarm of two or three engines, whose disks fail and whose people try again.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use ripcurrent_proto::api::{Add, Command, Config, Event, Input, Mode, Output, Phase};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::layout::PieceIndex;

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
}

impl Client {
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
    network: Network,
    rng: Rng,
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
            network: Network::new(backend, &rng.fork("network"), Names::default()),
            rng,
            starts: 0,
        }
    }

    /// Starts everybody.
    pub(super) fn start(&mut self) {
        for host in 0..self.disks.len() {
            let client = self.client(host);
            let place = Host {
                addr: addr(host),
                port: PORT,
                up: None,
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
        if host != LEECHER {
            add.mode = Mode::Seed;
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

    /// The power of the leecher fails, and it starts again on what its disk has kept.
    pub(super) fn lose_power(&mut self) {
        self.network.stop(addr(LEECHER), Stop::PowerCut);
        let mut rng = self.rng.fork(&format!("loss {}", self.starts));
        self.disks[LEECHER].lose_power(&mut rng);
        self.restart();
    }

    /// The leecher's process dies, and another starts.
    pub(super) fn kill(&mut self) {
        self.network.stop(addr(LEECHER), Stop::Kill);
        self.restart();
    }

    fn restart(&mut self) {
        let client = self.client(LEECHER);
        self.clients[LEECHER] = Rc::clone(&client);
        self.network.start(addr(LEECHER), client, |_, _| ());
    }

    /// Everything is durable on the leecher's disk, and has its name.
    pub(super) fn is_finished(&self) -> bool {
        self.content.is_finished(&self.disks[LEECHER], ROOT)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.content.is_whole(&self.disks[LEECHER], ROOT)
    }

    /// Pieces that are right on the leecher's disk.
    pub(super) fn pieces_right(&self) -> u32 {
        let pieces = (0..self.content.torrent.layout().pieces()).map(PieceIndex);
        let right = pieces.filter(|piece| {
            let files = &self.disks[LEECHER];
            self.content.has_piece(files, ROOT, *piece, Layer::Written)
        });
        right.count() as u32
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

pub(super) fn addr(host: usize) -> IpAddr {
    Ipv4Addr::new(10, 1, 0, 1 + host as u8).into()
}

//! A swarm put together by hand: engines, adversaries and a tracker on one network, without a
//! scenario.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{Add, Command, Config, Event, Input, Mode};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Machine, Tap};
use ripcurrent_proto::engine::Engine;
use ripcurrent_sim::adversary::{Adversary, Kind};
use ripcurrent_sim::content::{Content, Form};
use ripcurrent_sim::disk::Files;
use ripcurrent_sim::names::Names;
use ripcurrent_sim::network::{Backend, Host, Network};
use ripcurrent_sim::referee::{Refereed, Rules};
use ripcurrent_sim::scenario::{ContentForm, Size, TorrentPlan};
use ripcurrent_sim::tracker::Tracker;

const ROOT: &str = "data";
const TORRENT: TorrentId = TorrentId(0);
const PEER_PORT: u16 = 6881;
const LATENCY: Duration = Duration::from_millis(20);
/// How often peers announce themselves.
const INTERVAL: Duration = Duration::from_secs(30);

/// Hosts around one torrent.
pub(crate) struct Swarm {
    pub(crate) network: Network,
    pub(crate) tracker: Rc<RefCell<Tap<Tracker>>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) adversaries: BTreeMap<IpAddr, Kind>,
    /// The most peers that a client had at one address at once.
    pub(crate) most_at_one: usize,
    content: Arc<Content>,
    addrs: Vec<IpAddr>,
    rng: Rng,
}

/// A host that runs the engine.
pub(crate) struct Client {
    pub(crate) addr: IpAddr,
    pub(crate) told: Rc<RefCell<Told>>,
    mode: Mode,
    engine: Rc<RefCell<Tap<Refereed<Engine>>>>,
    files: Files,
}

/// What a client has told of itself.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) completed: Option<Instant>,
    pub(crate) banned: Vec<IpAddr>,
    pub(crate) corrupt: usize,
    /// The most slabs it had lent at once, in bytes.
    pub(crate) most_lent: usize,
}

impl Swarm {
    /// A tracker and nobody else. The torrent has `size` bytes in pieces of 64 KiB.
    pub(crate) fn new(backend: Backend, form: Form, seed: u64, size: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = Rng::from_seed(bytes);
        let plan = TorrentPlan {
            files: vec![Size(size)],
            piece_length: Size(64 << 10),
            private: false,
            content: ContentForm::Auto,
        };
        let url = "http://tracker.test:80/announce";
        let content = Content::new(&plan, form, &[url], &rng.fork("content")).expect("a torrent");
        let tracker_addr = Ipv4Addr::new(10, 0, 0, 1).into();
        let mut names = Names::default();
        names.add("tracker.test", tracker_addr);
        let tracker = Tap::new(Tracker::new(INTERVAL, rng.fork("tracker")));
        let mut swarm = Swarm {
            network: Network::new(backend, &rng.fork("network"), names),
            tracker: Rc::new(RefCell::new(tracker)),
            clients: Vec::new(),
            adversaries: BTreeMap::new(),
            most_at_one: 0,
            content: Arc::new(content),
            addrs: Vec::new(),
            rng,
        };
        let host = Host {
            addr: tracker_addr,
            port: 80,
            up: None,
            down: None,
            files: Files::default(),
        };
        let tracker = Rc::clone(&swarm.tracker);
        swarm.join(host, tracker, |_, _| ());
        swarm
    }

    /// Adds a client with these settings, and its upload rate in bytes per second.
    pub(crate) fn client(&mut self, mode: Mode, config: Config, up: u64) {
        let host = self.host(up);
        let mut seed = [0; 32];
        self.rng.fork(&host.addr.to_string()).fill(&mut seed);
        let engine = Engine::new(config, seed, Instant::ZERO).expect("settings that work");
        let rules = Rules::new(Arc::clone(&self.content.torrent));
        let mut engine = Tap::new(Refereed::new(engine, rules));
        if mode == Mode::Seed {
            self.content.put(&host.files, ROOT);
        }
        let add = Add {
            mode,
            announce: true,
            ..Add::new(TORRENT, Arc::clone(&self.content.torrent), ROOT)
        };
        engine.handle(Instant::ZERO, Input::Command(Command::Add(add)));
        let client = Client {
            addr: host.addr,
            told: Rc::default(),
            mode,
            engine: Rc::new(RefCell::new(engine)),
            files: host.files.clone(),
        };
        let (engine, told) = (Rc::clone(&client.engine), Rc::clone(&client.told));
        self.clients.push(client);
        self.join(host, engine, move |tap: &mut Tap<Refereed<Engine>>, now| {
            let mut told = told.borrow_mut();
            assert_eq!(tap.machine().violations(), [], "a rule is broken");
            let engine = tap.machine().machine_mut();
            told.most_lent = told.most_lent.max(engine.slab_bytes());
            while let Some(event) = engine.poll_event() {
                told.hear(event, now);
            }
        });
    }

    /// Adds an adversary, and its upload rate in bytes per second.
    pub(crate) fn adversary(&mut self, kind: Kind, up: u64) {
        let host = self.host(up);
        let rng = self.rng.fork(&host.addr.to_string());
        let adversary = Adversary::new(kind, Arc::clone(&self.content), rng);
        self.adversaries.insert(host.addr, kind);
        let machine = Rc::new(RefCell::new(Tap::new(adversary)));
        self.join(host, machine, |_, _| ());
    }

    /// Goes on for so long.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.network.now() + time;
        while self.network.now() < end {
            self.step();
        }
    }

    /// Goes on until every client that downloads has everything, for as long as `limit`; when the
    /// last one had it.
    pub(crate) fn run(&mut self, limit: Duration) -> Option<Instant> {
        let end = self.network.now() + limit;
        while self.network.now() < end {
            self.step();
            if let Some(last) = self.last() {
                return Some(last);
            }
        }
        None
    }

    fn step(&mut self) {
        self.network.step().expect("no host breaks down");
        let now = self.network.now();
        for client in &self.clients {
            let mut engine = client.engine.borrow_mut();
            let mut at_each = BTreeMap::<IpAddr, usize>::new();
            for peer in engine.machine().machine().peers(now, TORRENT) {
                *at_each.entry(peer.addr.ip()).or_default() += 1;
            }
            let most = at_each.into_values().max().unwrap_or(0);
            self.most_at_one = self.most_at_one.max(most);
        }
    }

    /// When the last client had everything.
    pub(crate) fn last(&self) -> Option<Instant> {
        let leechers = self
            .clients
            .iter()
            .filter(|client| client.mode == Mode::Download);
        let times = leechers.map(|client| client.told.borrow().completed);
        times.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// Whether every client has every byte of the torrent on its disk.
    pub(crate) fn is_whole(&self) -> bool {
        let mut clients = self.clients.iter();
        clients.all(|client| self.content.is_whole(&client.files, ROOT))
    }

    /// A digest of each client's inputs and outputs.
    pub(crate) fn digests(&self) -> Vec<[u8; 16]> {
        let engines = self.clients.iter().map(|client| &client.engine);
        engines.map(|engine| engine.borrow().digest()).collect()
    }

    fn host(&self, up: u64) -> Host {
        Host {
            addr: Ipv4Addr::new(10, 1, 0, self.addrs.len() as u8).into(),
            port: PEER_PORT,
            up: NonZeroU64::new(up),
            down: NonZeroU64::new(2 << 20),
            files: self.content.blank_disk(),
        }
    }

    fn join<M: Machine + 'static>(
        &mut self,
        host: Host,
        machine: Rc<RefCell<M>>,
        watch: impl FnMut(&mut M, Instant) + 'static,
    ) {
        let addr = host.addr;
        self.network.add(host, machine, watch);
        for other in &self.addrs {
            self.network.set_latency(addr, *other, LATENCY);
        }
        self.addrs.push(addr);
    }
}

impl Told {
    fn hear(&mut self, event: Event, now: Instant) {
        match event {
            Event::Completed { .. } => self.completed = self.completed.or(Some(now)),
            Event::Banned { addr, .. } => self.banned.push(addr),
            Event::Corrupt { .. } => self.corrupt += 1,
            Event::Refused { reason, .. } => panic!("the torrent was not taken: {reason}"),
            Event::DiskFailed { action, error, .. } => panic!("{action}: {error:?}"),
            _ => {}
        }
    }
}

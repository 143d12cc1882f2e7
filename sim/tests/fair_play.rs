//! The shipped client under the eyes of a referee, where it is hardest: few slots, slow lines, an
//! endgame with everybody, and peers that do not speak the fast extension (BEP 6).

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use ripcurrent_proto::api::{Add, Command, Config, Event, Input, Mode, Net, Output};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_sim::content::{Content, Form};
use ripcurrent_sim::invariants::Watch;
use ripcurrent_sim::names::Names;
use ripcurrent_sim::network::{Backend, Host, Network};
use ripcurrent_sim::referee::{Refereed, Rules};
use ripcurrent_sim::scenario::{ContentForm, Size, TorrentPlan};

const TORRENT: TorrentId = TorrentId(0);
const PORT: u16 = 6881;
const LEECHERS: u8 = 9;

/// A client under a referee. If it `is_old`, the bit of the fast extension is taken out of the
/// handshakes that pass.
struct Client {
    refereed: Refereed<Engine>,
    is_old: bool,
    /// Connections whose handshake has passed this way.
    heard: BTreeSet<ConnId>,
    said: BTreeSet<ConnId>,
}

/// Where a handshake offers the fast extension.
const FAST: (usize, u8) = (27, 0x04);

impl Client {
    fn new(mode: Mode, is_old: bool, content: &Content, rng: &Rng) -> Self {
        let mut seed = [0; 32];
        rng.clone().fill(&mut seed);
        let config = Config {
            upload_slots: 2,
            ..Config::default()
        };
        let engine = Engine::new(config, seed, Instant::ZERO).expect("settings that work");
        let rules = Rules::new(Arc::clone(&content.torrent));
        let mut refereed = Refereed::new(engine, rules);
        let add = Add {
            mode,
            ..Add::new(TORRENT, Arc::clone(&content.torrent), "data")
        };
        refereed.handle(Instant::ZERO, Input::Command(Command::Add(add)));
        for number in 0..=LEECHERS {
            let (torrent, addr) = (TORRENT, SocketAddr::new(addr(number), PORT));
            let add_peer = Command::AddPeer { torrent, addr };
            refereed.handle(Instant::ZERO, Input::Command(add_peer));
        }
        Client {
            refereed,
            is_old,
            heard: BTreeSet::new(),
            said: BTreeSet::new(),
        }
    }
}

impl Machine for Client {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        self.refereed.accept(now, from)
    }

    fn handle(&mut self, now: Instant, mut input: Input<'_>) {
        if let Input::Received { conn, data } = &mut input
            && self.is_old
            && self.heard.insert(*conn)
        {
            let (at, bit) = FAST;
            data[at] &= !bit;
        }
        self.refereed.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.refereed.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let mut output = self.refereed.poll_output(now)?;
        if let Output::Net(Net::Transmit { conn, transmission }) = &mut output
            && self.is_old
            && self.said.insert(*conn)
        {
            let (at, bit) = FAST;
            transmission.head[at] &= !bit;
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.refereed.poll_timeout()
    }
}

fn addr(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 1, 0, number + 1).into()
}

/// A seed and nine leechers, every second of them old, until all are complete, and then for as long
/// as it takes to be silent for too long.
fn play(backend: Backend, seed: u64) -> Vec<Rc<RefCell<Client>>> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = Rng::from_seed(bytes);
    let plan = TorrentPlan {
        files: vec![Size((3 << 20) + 1000)],
        piece_length: Size(64 << 10),
        private: false,
        content: ContentForm::Auto,
    };
    let url = "http://tracker.test:80/announce";
    let content =
        Content::new(&plan, Form::Compact, &[url], &rng.fork("content")).expect("a torrent");
    let mut network = Network::new(backend, &rng.fork("network"), Names::default());
    let complete = Rc::new(RefCell::new(BTreeSet::new()));
    let mut clients = Vec::new();
    for number in 0..=LEECHERS {
        let mode = match number {
            0 => Mode::Seed,
            _ => Mode::Download,
        };
        let host = Host {
            addr: addr(number),
            port: PORT,
            up: NonZeroU64::new(96 << 10),
            down: NonZeroU64::new(1 << 20),
            files: content.blank_disk(),
        };
        if mode == Mode::Seed {
            content.put(&host.files, "data");
        }
        let client = Client::new(
            mode,
            number % 2 == 1,
            &content,
            &rng.fork(&number.to_string()),
        );
        let client = Rc::new(RefCell::new(client));
        let told = Rc::clone(&complete);
        let listen = move |client: &mut Client, _now| {
            while let Some(event) = client.refereed.machine_mut().poll_event() {
                if matches!(event, Event::Completed { .. }) {
                    told.borrow_mut().insert(number);
                }
            }
        };
        network.add(host, Rc::clone(&client), listen);
        for other in 0..number {
            let latency = Duration::from_millis(10 + 7 * u64::from(number + other));
            network.set_latency(addr(number), addr(other), latency);
        }
        clients.push(client);
    }
    let mut watch = Watch::default();
    let mut next = Instant::ZERO;
    while complete.borrow().len() <= usize::from(LEECHERS) {
        network.step().expect("no host breaks down");
        let now = network.now();
        assert!(
            now < Instant::ZERO + Duration::from_secs(600),
            "seed {seed}"
        );
        if now >= next {
            next = now + Duration::from_secs(1);
            look(&mut watch, now, &clients);
        }
    }
    clients
}

/// Nothing that must hold does not.
fn look(watch: &mut Watch, now: Instant, clients: &[Rc<RefCell<Client>>]) {
    let clients: Vec<_> = clients.iter().map(|client| client.borrow()).collect();
    for client in &clients {
        watch.client(now, "client", TORRENT, &client.refereed);
    }
    let all = clients.iter().zip(0..);
    watch.bytes(
        now,
        all.map(|(client, number)| ("client", addr(number), &client.refereed)),
    );
    assert_eq!(watch.breaches(), []);
}

/// Clients of both kinds, among their like and with each other, break no rule and keep every bound.
#[test]
fn clients_play_fair_with_old_ones_and_modern_ones() {
    for (backend, seeds) in [(Backend::Direct, 1..=4), (Backend::Turmoil, 1..=1)] {
        for seed in seeds {
            for client in play(backend, seed) {
                let client = client.borrow();
                assert_eq!(client.refereed.violations(), [], "seed {seed}");
                let up: u64 = client.refereed.traffic().values().map(|sum| sum.up).sum();
                assert!(up > 0, "everybody gives something");
            }
        }
    }
}

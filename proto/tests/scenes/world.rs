//! The smallest world an engine can live in: links, disks in memory, and one clock. Nothing takes
//! time unless [`World::slow_down`] says so; time passes only when nobody has anything to do.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::disk::MemoryDisk;
use bytes::Bytes;
use ripcurrent_proto::api::{
    Add, Check, Command, Config, DiskDone, EndReason, Event, Input, IoError, IoErrorKind, Mode,
    Net, Output, TorrentStats, Transmission,
};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, Tap, Turn, turn};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use sha1::{Digest, Sha1};

/// The torrent of every engine here that has only one.
pub(crate) const TORRENT: TorrentId = TorrentId(1);

/// What happened to a host and its machine has not heard of.
enum Happened {
    Connected(ConnId),
    Bytes(ConnId, Vec<u8>),
    Sent(ConnId),
    Returned(ConnId, Transmission),
    Ended(ConnId, EndReason),
    Closed(ConnId),
    Disk(DiskDone),
    Hashed(ripcurrent_proto::base::id::OpId, Slab, [u8; 20]),
}

/// A host that never answers a connect.
pub(crate) const VOID: [IpAddr; 1] = [IpAddr::V4(Ipv4Addr::new(127, 0, 8, 1))];

/// The most rounds of turns at one instant: beyond it machines talk without end.
const STEPS_AT_ONCE: usize = 20_000;

/// The hands of one host: what the machine wants done waits for the world to do it.
#[derive(Default)]
pub(crate) struct Hands {
    now: Instant,
    wanted: Vec<Output>,
    happened: VecDeque<Happened>,
    /// What happens later, in its order.
    later: BTreeMap<(Instant, u64), Happened>,
    sequence: u64,
    /// Transmissions to those who do not read.
    stuck: Vec<(ConnId, Transmission)>,
    /// The most bytes of a transmission.
    longest: usize,
}

impl Hands {
    fn later(&mut self, at: Instant, happened: Happened) {
        self.sequence += 1;
        self.later.insert((at, self.sequence), happened);
    }

    fn ripen(&mut self) {
        while let Some(first) = self.later.first_entry()
            && first.key().0 <= self.now
        {
            self.happened.push_back(first.remove());
        }
    }
}

impl Backend for Hands {
    fn now(&self) -> Instant {
        self.now
    }

    fn carry(&mut self, output: Output) {
        self.wanted.push(output);
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        let now = self.now;
        for reaped in 0..bound {
            let Some(happened) = self.happened.pop_front() else {
                return reaped > 0;
            };
            let input = match happened {
                Happened::Bytes(conn, mut data) => {
                    machine.handle(
                        now,
                        Input::Received {
                            conn,
                            data: &mut data,
                        },
                    );
                    continue;
                }
                Happened::Connected(conn) => Input::Connected { conn },
                Happened::Sent(conn) => Input::Sent { conn },
                Happened::Returned(conn, transmission) => Input::Returned { conn, transmission },
                Happened::Ended(conn, reason) => Input::Ended { conn, reason },
                Happened::Closed(conn) => Input::Closed { conn },
                Happened::Disk(done) => Input::Disk(done),
                Happened::Hashed(op, slab, digest) => Input::Hashed { op, slab, digest },
            };
            machine.handle(now, input);
        }
        true
    }
}

/// One end of a link.
#[derive(Default)]
struct End {
    far: Option<(usize, ConnId)>,
    /// On their way, with the time of their arrival.
    coming: VecDeque<(Instant, Vec<u8>)>,
    inbound: VecDeque<u8>,
    received: u64,
    until: u64,
    /// The far end has closed; told when everything inbound was delivered.
    ending: bool,
    /// Nothing comes or goes any more.
    broken: bool,
}

/// An engine with its disk, hands and address.
pub(crate) struct Host {
    pub(crate) engine: Tap<Engine>,
    pub(crate) disk: MemoryDisk,
    pub(crate) addr: SocketAddr,
    pub(crate) events: Vec<Event>,
    hands: Hands,
    ends: BTreeMap<ConnId, End>,
}

impl Host {
    /// When the engine wants to be woken, if nothing happens before.
    pub(crate) fn engine_wakes_at(&self) -> Option<Instant> {
        self.engine.poll_timeout()
    }

    /// The most bytes that it ever sent at once.
    pub(crate) fn longest_transmission(&self) -> usize {
        self.hands.longest
    }
}

/// A stranger that is no engine: a script of bytes on one connection.
pub(crate) trait Stranger {
    /// The next bytes to send, given everything that came since the last call.
    fn speak(&mut self, heard: &[u8]) -> Vec<u8>;

    /// Whether what it is sent stays on the way.
    fn is_deaf(&self) -> bool {
        false
    }
}

/// Hosts, and the strangers that are connected to them.
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    now: Instant,
    rng: Rng,
    next_port: u16,
    strangers: Vec<(usize, ConnId, Box<dyn Stranger>)>,
    /// How long bytes are on their way.
    delay: Duration,
    /// The longest that an operation takes.
    lag: Duration,
    /// The instant of the last step, and how many there were at it.
    steps: (Instant, usize),
}

impl World {
    pub(crate) fn new(seed: u8) -> Self {
        let rng = Rng::from_seed([seed; 32]).fork("world");
        World {
            hosts: Vec::new(),
            now: Instant::ZERO,
            rng,
            next_port: 40_000,
            strangers: Vec::new(),
            delay: Duration::ZERO,
            lag: Duration::ZERO,
            steps: (Instant::ZERO, 0),
        }
    }

    /// From now on bytes travel for `delay`, and operations take up to `lag`, so that they end in
    /// another order than they began.
    pub(crate) fn slow_down(&mut self, delay: Duration, lag: Duration) {
        (self.delay, self.lag) = (delay, lag);
    }

    /// Breaks a random connection of `host`.
    pub(crate) fn cut(&mut self, host: usize) {
        let conns: Vec<ConnId> = self.hosts[host].ends.keys().copied().collect();
        if conns.is_empty() {
            return;
        }
        let conn = conns[self.rng.index(conns.len())];
        self.break_off(host, conn);
    }

    /// Breaks the connection of the stranger that came as number `index`.
    pub(crate) fn cut_stranger(&mut self, index: usize) {
        let (host, conn, _) = self.strangers[index];
        self.break_off(host, conn);
    }

    fn break_off(&mut self, host: usize, conn: ConnId) {
        let far = self.hosts[host].ends.get(&conn).and_then(|end| end.far);
        for (host, conn) in [Some((host, conn)), far].into_iter().flatten() {
            if let Some(end) = self.hosts[host].ends.get_mut(&conn)
                && !std::mem::replace(&mut end.broken, true)
            {
                end.far = None;
                let reset = EndReason::Failed(IoError {
                    kind: IoErrorKind::Reset,
                    code: 104,
                });
                self.hosts[host]
                    .hands
                    .happened
                    .push_back(Happened::Ended(conn, reset));
            }
        }
    }

    /// A host that listens on its own address, with an engine without torrents.
    pub(crate) fn host(&mut self, config: Config) -> usize {
        let index = self.hosts.len();
        let ip = Ipv4Addr::new(127, 0, 1, 1 + index as u8);
        let addr = SocketAddr::new(ip.into(), 6881);
        let mut seed = [0; 32];
        self.rng.fork(&format!("host {index}")).fill(&mut seed);
        let mut engine = Tap::new(Engine::new(config, seed, self.now).expect("settings that work"));
        engine.handle(self.now, Input::Bound { addr });
        let hands = Hands {
            now: self.now,
            ..Hands::default()
        };
        let disk = MemoryDisk::default();
        let events = Vec::new();
        self.hosts.push(Host {
            engine,
            disk,
            addr,
            events,
            hands,
            ends: BTreeMap::new(),
        });
        index
    }

    pub(crate) fn command(&mut self, host: usize, command: Command) {
        let now = self.now;
        self.hosts[host].engine.handle(now, Input::Command(command));
    }

    /// What `host` tells of a torrent, which it must have.
    pub(crate) fn stats(&mut self, host: usize, torrent: TorrentId) -> TorrentStats {
        let stats = self.hosts[host].engine.machine().stats(self.now, torrent);
        stats.expect("the torrent is there")
    }

    /// Has `host` dial `other`.
    pub(crate) fn introduce(&mut self, host: usize, other: usize) {
        self.introduce_for(TORRENT, host, other);
    }

    pub(crate) fn introduce_for(&mut self, torrent: TorrentId, host: usize, other: usize) {
        let addr = self.hosts[other].addr;
        self.command(host, Command::AddPeer { torrent, addr });
    }

    /// Connects a stranger to `host` from an address of its own.
    pub(crate) fn stranger(&mut self, host: usize, ip: Ipv4Addr, stranger: Box<dyn Stranger>) {
        self.next_port += 1;
        let from = SocketAddr::new(ip.into(), self.next_port);
        let now = self.now;
        if let Some(conn) = self.hosts[host].engine.accept(now, from) {
            self.hosts[host].ends.insert(conn, End::default());
            self.strangers.push((host, conn, stranger));
        }
    }

    /// How many strangers were let in so far.
    pub(crate) fn strangers(&self) -> usize {
        self.strangers.len()
    }

    /// Lets what is stuck on the way to a stranger arrive.
    pub(crate) fn unstick(&mut self, index: usize) {
        let (host, conn, _) = self.strangers[index];
        let hands = &mut self.hosts[host].hands;
        for (_, transmission) in hands.stuck.extract_if(.., |(at, _)| *at == conn) {
            hands
                .happened
                .push_back(Happened::Returned(conn, transmission));
            hands.happened.push_back(Happened::Sent(conn));
        }
    }

    /// Has the stranger that came as number `index` send these bytes.
    pub(crate) fn say(&mut self, index: usize, bytes: &[u8]) {
        let (host, conn, _) = self.strangers[index];
        self.put(host, conn, bytes);
    }

    /// Whether the stranger that came as number `index` is still connected.
    pub(crate) fn stranger_is_there(&self, index: usize) -> bool {
        let (host, conn, _) = &self.strangers[index];
        self.hosts[*host].ends.contains_key(conn)
    }

    /// Lets things happen until `done` holds; panics if it does not within `limit` of the world's
    /// time.
    pub(crate) fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut World) -> bool) {
        let end = self.now + limit;
        while !done(self) {
            if self.step() {
                continue;
            }
            let next = self.next().filter(|next| *next <= end);
            let Some(next) = next else {
                panic!("nothing more happens by {}", self.now)
            };
            self.now = next.max(self.now);
        }
    }

    /// Lets `time` pass.
    pub(crate) fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.step() {}
            match self.next().filter(|next| *next <= end) {
                Some(next) => self.now = next.max(self.now),
                None => break self.now = end,
            }
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// When something happens next, if nothing does now.
    fn next(&self) -> Option<Instant> {
        let hosts = self.hosts.iter().flat_map(|host| {
            let later = host.hands.later.keys().next().map(|(at, _)| *at);
            let ends = host.ends.values().filter(|end| !end.broken);
            let coming = ends.filter_map(|end| end.coming.front().map(|(at, _)| *at));
            [host.engine.poll_timeout(), later, coming.min()]
        });
        hosts.flatten().min()
    }

    /// One turn of every host and everything that follows at once; whether anything happened.
    fn step(&mut self) -> bool {
        let mut busy = false;
        let (at, steps) = self.steps;
        self.steps = (self.now, if at == self.now { steps + 1 } else { 0 });
        assert!(steps < STEPS_AT_ONCE, "talk without end at {}", self.now);
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            host.hands.now = self.now;
            host.hands.ripen();
            busy |= turn(&mut host.engine, &mut host.hands) == Turn::Busy;
            host.events
                .extend(std::iter::from_fn(|| host.engine.machine().poll_event()));
            for output in std::mem::take(&mut host.hands.wanted) {
                self.carry(index, output);
            }
            busy |= self.deliver(index);
        }
        self.listen_to_strangers() || busy
    }

    fn carry(&mut self, index: usize, output: Output) {
        let host = &mut self.hosts[index];
        match output {
            Output::Net(net) => self.carry_net(index, net),
            Output::Disk(disk) => {
                let done = host.disk.carry(disk);
                self.complete(index, Happened::Disk(done));
            }
            Output::Hash { op, slab } => {
                let digest = Sha1::digest(slab.as_slice()).into();
                self.complete(index, Happened::Hashed(op, slab, digest));
            }
            Output::Resolve { .. } => panic!("there are no names in this world"),
        }
    }

    fn complete(&mut self, index: usize, happened: Happened) {
        let at = self.now + self.some_of(self.lag);
        let hands = &mut self.hosts[index].hands;
        match at == self.now {
            true => hands.happened.push_back(happened),
            false => hands.later(at, happened),
        }
    }

    fn some_of(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.below(most.as_micros() as u64 + 1))
    }

    fn carry_net(&mut self, index: usize, net: Net) {
        match net {
            Net::Connect { conn, to, .. } => self.connect(index, conn, to),
            Net::Recv { conn, until } => {
                let end = self.hosts[index].ends.get_mut(&conn).expect("a connection");
                assert!(until >= end.until, "credit is monotone");
                end.until = until;
            }
            Net::Transmit { conn, transmission } => {
                let bytes: Vec<u8> = transmission
                    .parts
                    .iter()
                    .flat_map(|part| transmission.bytes(part))
                    .copied()
                    .collect();
                let end = self.hosts[index].ends.get(&conn);
                match end.and_then(|end| end.far) {
                    Some((other, conn)) => self.put(other, conn, &bytes),
                    None if end.is_some_and(|end| end.broken) => {}
                    None => self.tell_stranger(index, conn, &bytes),
                }
                let deaf = self.is_deaf(index, conn);
                let hands = &mut self.hosts[index].hands;
                hands.longest = hands.longest.max(bytes.len());
                if deaf {
                    hands.stuck.push((conn, transmission));
                } else {
                    hands
                        .happened
                        .push_back(Happened::Returned(conn, transmission));
                    hands.happened.push_back(Happened::Sent(conn));
                }
            }
            Net::Close { conn } => {
                let host = &mut self.hosts[index];
                let end = host.ends.remove(&conn);
                for (_, transmission) in host.hands.stuck.extract_if(.., |(at, _)| *at == conn) {
                    host.hands
                        .happened
                        .push_back(Happened::Returned(conn, transmission));
                }
                host.hands.happened.push_back(Happened::Closed(conn));
                if let Some((other, conn)) = end.and_then(|end| end.far)
                    && let Some(end) = self.hosts[other].ends.get_mut(&conn)
                {
                    end.far = None;
                    end.ending = true;
                }
            }
        }
    }

    fn connect(&mut self, index: usize, conn: ConnId, to: SocketAddr) {
        self.next_port += 1;
        let from = SocketAddr::new(self.hosts[index].addr.ip(), self.next_port);
        let now = self.now;
        let other = self.hosts.iter().position(|host| host.addr == to);
        let far =
            other.and_then(|other| Some((other, self.hosts[other].engine.accept(now, from)?)));
        let host = &mut self.hosts[index];
        let end = End {
            far,
            ..End::default()
        };
        host.ends.insert(conn, end);
        match far {
            Some((other, far_conn)) => {
                host.hands.happened.push_back(Happened::Connected(conn));
                let end = End {
                    far: Some((index, conn)),
                    ..End::default()
                };
                self.hosts[other].ends.insert(far_conn, end);
            }
            None if VOID.contains(&to.ip()) => {}
            None => {
                let error = IoError {
                    kind: IoErrorKind::Refused,
                    code: 111,
                };
                host.hands
                    .happened
                    .push_back(Happened::Ended(conn, EndReason::Failed(error)));
            }
        }
    }

    fn put(&mut self, index: usize, conn: ConnId, bytes: &[u8]) {
        let at = self.now + self.delay;
        if let Some(end) = self.hosts[index].ends.get_mut(&conn)
            && !bytes.is_empty()
        {
            end.coming.push_back((at, bytes.to_vec()));
        }
    }

    fn is_deaf(&self, index: usize, conn: ConnId) -> bool {
        let mut strangers = self.strangers.iter();
        let stranger = strangers.find(|(host, at, _)| *host == index && *at == conn);
        stranger.is_some_and(|(_, _, stranger)| stranger.is_deaf())
    }

    /// Hands over what credit allows, in portions of any size.
    fn deliver(&mut self, index: usize) -> bool {
        let host = &mut self.hosts[index];
        for (conn, end) in &mut host.ends {
            if end.broken {
                continue;
            }
            while end.coming.front().is_some_and(|(at, _)| *at <= self.now) {
                let (_, bytes) = end.coming.pop_front().expect("something comes");
                end.inbound.extend(bytes);
            }
            let allowed = (end.until.saturating_sub(end.received) as usize).min(end.inbound.len());
            if allowed > 0 {
                let portion = 1 + self.rng.index(allowed);
                end.received += portion as u64;
                let bytes = end.inbound.drain(..portion).collect();
                host.hands.happened.push_back(Happened::Bytes(*conn, bytes));
            } else if end.ending && end.inbound.is_empty() && end.coming.is_empty() {
                end.ending = false;
                host.hands
                    .happened
                    .push_back(Happened::Ended(*conn, EndReason::Eof));
            }
        }
        !host.hands.happened.is_empty()
    }

    fn tell_stranger(&mut self, index: usize, conn: ConnId, bytes: &[u8]) {
        let stranger = self
            .strangers
            .iter_mut()
            .find(|(host, at, _)| *host == index && *at == conn);
        if let Some((_, _, stranger)) = stranger {
            let answer = stranger.speak(bytes);
            self.put(index, conn, &answer);
        }
    }

    fn listen_to_strangers(&mut self) -> bool {
        let mut heard = false;
        for at in 0..self.strangers.len() {
            let (host, conn, stranger) = &mut self.strangers[at];
            let (host, conn) = (*host, *conn);
            if self.hosts[host]
                .ends
                .get(&conn)
                .is_some_and(|end| end.inbound.is_empty() && end.coming.is_empty())
            {
                let bytes = stranger.speak(&[]);
                heard |= !bytes.is_empty();
                self.put(host, conn, &bytes);
            }
        }
        heard
    }
}

/// Content that no two pieces of which are alike, and its torrent. `files` are lengths.
pub(crate) fn torrent(piece_len: usize, files: &[usize]) -> (Arc<Torrent>, Vec<u8>) {
    let total: usize = files.iter().sum();
    let mut content = vec![0; total];
    Rng::from_seed([9; 32]).fill(&mut content);
    let pieces: Vec<u8> = content.chunks(piece_len).flat_map(Sha1::digest).collect();
    let mut info = Vec::new();
    match files {
        [len] => info.extend(format!("d6:lengthi{len}e4:name4:data").bytes()),
        _ => {
            info.extend(b"d5:filesl");
            for (len, index) in files.iter().zip(0..) {
                let name = format!("file{index}");
                info.extend(format!("d6:lengthi{len}e4:pathl{}:{name}ee", name.len()).bytes());
            }
            info.extend(b"e4:name4:data");
        }
    }
    info.extend(format!("12:piece lengthi{piece_len}e6:pieces{}:", pieces.len()).bytes());
    info.extend(&pieces);
    info.push(b'e');
    let mut file = b"d4:info".to_vec();
    file.extend(info);
    file.push(b'e');
    (
        Arc::new(Torrent::parse(Bytes::from(file)).expect("a torrent file")),
        content,
    )
}

/// How an engine takes the torrent up here.
pub(crate) fn add(torrent: &Arc<Torrent>, mode: Mode) -> Add {
    Add {
        id: TORRENT,
        torrent: torrent.clone(),
        root: "/".into(),
        wanted: None,
        sequential: false,
        mode,
        check: Check::Existing,
        announce: false,
        preallocate: false,
        files: None,
        overwrite: false,
        down_limit: None,
        up_limit: None,
    }
}

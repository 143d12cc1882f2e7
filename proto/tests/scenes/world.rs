//! The smallest world an engine can live in: links without delay, disks in memory, hashes at once,
//! and one clock. Time passes only when nobody has anything to do.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::api::{
    Access, Add, Check, Command, Config, Disk, DiskDone, DiskError, EndReason, Event, Input,
    IoError, IoErrorKind, Mode, Net, Output, Spans, Transmission,
};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, Tap, Turn, turn};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileIndex, Layout};
use sha1::{Digest, Sha1};

/// The only torrent of every engine here.
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

/// A disk in memory. `refuse` makes operations of one kind fail.
#[derive(Default)]
pub(crate) struct MemoryDisk {
    files: BTreeMap<FileIndex, Vec<u8>>,
    layout: Option<Arc<Layout>>,
    /// Writes fail from the moment this many have succeeded.
    pub(crate) writes_left: Option<usize>,
    /// Reads fail.
    pub(crate) refuse_reads: bool,
    /// Writes that succeeded.
    pub(crate) writes: usize,
}

impl MemoryDisk {
    fn carry(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op, layout, access, ..
            } => {
                let lengths = (0..layout.files().len() as u32).map(|index| {
                    self.files
                        .get(&FileIndex(index))
                        .map(|file| file.len() as u64)
                });
                let lengths = lengths.collect();
                if matches!(access, Access::Write { .. }) {
                    self.layout = Some(layout);
                }
                DiskDone::Opened {
                    op,
                    result: Ok(lengths),
                }
            }
            Disk::Read {
                op,
                mut slab,
                spans,
                ..
            } => {
                let result = self.read(slab.as_mut_slice(), &spans);
                DiskDone::Read { op, slab, result }
            }
            Disk::Write {
                op, slab, spans, ..
            } => {
                let result = self.write(slab.as_slice(), &spans);
                DiskDone::Written { op, slab, result }
            }
            Disk::Sync { op, .. } => DiskDone::Synced { op, result: Ok(()) },
            Disk::Close { op, .. } => DiskDone::Closed { op },
        }
    }

    fn read(&self, mut to: &mut [u8], spans: &Spans) -> Result<(), DiskError> {
        for span in spans {
            let (here, rest) = to.split_at_mut(span.len as usize);
            to = rest;
            let Some(file) = span.file else {
                here.fill(0);
                continue;
            };
            let range = span.offset as usize..span.offset as usize + span.len as usize;
            let bytes = self.files.get(&file).and_then(|bytes| bytes.get(range));
            match bytes.filter(|_| !self.refuse_reads) {
                Some(bytes) => here.copy_from_slice(bytes),
                None => return Err(refusal(file, IoErrorKind::TooShort)),
            }
        }
        Ok(())
    }

    fn write(&mut self, mut from: &[u8], spans: &Spans) -> Result<(), DiskError> {
        for span in spans {
            let (here, rest) = from.split_at(span.len as usize);
            from = rest;
            let Some(file) = span.file else { continue };
            if self.writes_left == Some(0) {
                return Err(refusal(file, IoErrorKind::NoSpace));
            }
            let bytes = self.files.entry(file).or_default();
            let end = span.offset as usize + here.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[span.offset as usize..end].copy_from_slice(here);
        }
        self.writes += 1;
        self.writes_left = self.writes_left.map(|left| left - 1);
        Ok(())
    }

    /// All bytes of the torrent as they lie on this disk, in order; padding as zeros.
    pub(crate) fn content(&self, torrent: &Torrent) -> Vec<u8> {
        let mut all = Vec::new();
        for (file, index) in torrent.layout().files().iter().zip(0..) {
            let mut bytes = self
                .files
                .get(&FileIndex(index))
                .cloned()
                .unwrap_or_default();
            bytes.resize(file.len as usize, 0);
            all.extend(bytes);
        }
        all
    }

    /// Puts the content of the torrent's files there.
    pub(crate) fn fill(&mut self, torrent: &Torrent, content: &[u8]) {
        for (file, index) in torrent.layout().files().iter().zip(0..) {
            let range = file.offset as usize..(file.offset + file.len) as usize;
            self.files.insert(FileIndex(index), content[range].to_vec());
        }
    }
}

fn refusal(file: FileIndex, kind: IoErrorKind) -> DiskError {
    DiskError {
        file: Some(file),
        error: IoError { kind, code: 0 },
    }
}

/// The hands of one host: what the machine wants done waits for the world to do it.
#[derive(Default)]
pub(crate) struct Hands {
    now: Instant,
    wanted: Vec<Output>,
    happened: VecDeque<Happened>,
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
    inbound: VecDeque<u8>,
    received: u64,
    until: u64,
    /// The far end has closed; told when everything inbound was delivered.
    ending: bool,
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

/// A stranger that is no engine: a script of bytes on one connection.
pub(crate) trait Stranger {
    /// The next bytes to send, given everything that came since the last call.
    fn speak(&mut self, heard: &[u8]) -> Vec<u8>;
}

/// Hosts, and the strangers that are connected to them.
pub(crate) struct World {
    pub(crate) hosts: Vec<Host>,
    now: Instant,
    rng: Rng,
    next_port: u16,
    strangers: Vec<(usize, ConnId, Box<dyn Stranger>)>,
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
        }
    }

    /// A host that listens on its own address, with an engine without torrents.
    pub(crate) fn host(&mut self, config: Config) -> usize {
        let index = self.hosts.len();
        let ip = Ipv4Addr::new(127, 0, 1, 1 + index as u8);
        let addr = SocketAddr::new(ip.into(), 6881);
        let mut seed = [0; 32];
        self.rng.fork(&format!("host {index}")).fill(&mut seed);
        let config = Config {
            loopback_only: true,
            ..config
        };
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

    /// Has `host` dial `other`.
    pub(crate) fn introduce(&mut self, host: usize, other: usize) {
        let addr = self.hosts[other].addr;
        self.command(
            host,
            Command::AddPeer {
                torrent: TORRENT,
                addr,
            },
        );
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
            let next = self
                .hosts
                .iter()
                .filter_map(|host| host.engine.poll_timeout())
                .min();
            let next = next.filter(|next| *next <= end);
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
            let next = self
                .hosts
                .iter()
                .filter_map(|host| host.engine.poll_timeout())
                .min();
            match next.filter(|next| *next <= end) {
                Some(next) => self.now = next.max(self.now),
                None => break self.now = end,
            }
        }
    }

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// One turn of every host and everything that follows at once; whether anything happened.
    fn step(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.hosts.len() {
            let host = &mut self.hosts[index];
            host.hands.now = self.now;
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
                host.hands.happened.push_back(Happened::Disk(done));
            }
            Output::Hash { op, slab } => {
                let digest = Sha1::digest(slab.as_slice()).into();
                host.hands
                    .happened
                    .push_back(Happened::Hashed(op, slab, digest));
            }
            Output::Resolve { .. } => panic!("there are no names in this world"),
        }
    }

    fn carry_net(&mut self, index: usize, net: Net) {
        match net {
            Net::Connect { conn, to } => self.connect(index, conn, to),
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
                let far = self.hosts[index].ends.get(&conn).and_then(|end| end.far);
                match far {
                    Some((other, conn)) => self.put(other, conn, &bytes),
                    None => self.tell_stranger(index, conn, &bytes),
                }
                let happened = &mut self.hosts[index].hands.happened;
                happened.push_back(Happened::Returned(conn, transmission));
                happened.push_back(Happened::Sent(conn));
            }
            Net::Close { conn } => {
                let host = &mut self.hosts[index];
                let end = host.ends.remove(&conn);
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
        if let Some(end) = self.hosts[index].ends.get_mut(&conn) {
            end.inbound.extend(bytes);
        }
    }

    /// Hands over what credit allows, in portions of any size.
    fn deliver(&mut self, index: usize) -> bool {
        let host = &mut self.hosts[index];
        for (conn, end) in &mut host.ends {
            let allowed = (end.until.saturating_sub(end.received) as usize).min(end.inbound.len());
            if allowed > 0 {
                let portion = 1 + self.rng.index(allowed);
                end.received += portion as u64;
                let bytes = end.inbound.drain(..portion).collect();
                host.hands.happened.push_back(Happened::Bytes(*conn, bytes));
            } else if end.ending && end.inbound.is_empty() {
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
                .is_some_and(|end| end.inbound.is_empty())
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
    }
}

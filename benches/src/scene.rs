//! An engine among scripted peers, in memory and in virtual time: no socket, no disk, no hashing,
//! so that what a benchmark times is the engine alone.
//!
//! Each step has two halves, and a benchmark times the one it is about: [`Scene::receive`] and
//! [`Scene::complete`] are the engine's work; [`Scene::next_buffer`] and [`Scene::carry`] are the
//! world's.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, Disk, DiskDone, Event, Found, Input, Mode, Net, Output,
    Transmission,
};
use ripcurrent_proto::base::id::{ConnId, OpId, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::handshake::{self, Handshake, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

use crate::{PIECE_LEN, PIECES};

/// The most bytes that one receive brings.
pub const BUFFER: usize = 128 << 10;

/// The digest that every piece is said to have, by the torrent and by whoever hashes.
const DIGEST: [u8; 20] = [7; 20];

/// The time from one receive to the next: 128 KiB each 1.25 ms are 100 MiB/s.
const PACE: Duration = Duration::from_micros(1250);

/// What a peer says first, after its handshake.
pub type Greeting = fn(&mut Vec<u8>);

/// How many pieces a torrent has, and how long they are in bytes.
#[derive(Clone, Copy)]
pub struct Shape {
    /// How many.
    pub pieces: u32,
    /// How long each is.
    pub piece_len: u32,
}

impl Shape {
    /// Many short pieces: each is 16 blocks.
    pub const MANY: Shape = Shape {
        pieces: PIECES,
        piece_len: PIECE_LEN,
    };
    /// Fewer and longer ones: each is 64 blocks.
    pub const LONG: Shape = Shape {
        pieces: 4096,
        piece_len: 1 << 20,
    };
}

/// An engine, its torrent, and the peers that have connected to it.
pub struct Scene {
    engine: Engine,
    now: Instant,
    shape: Shape,
    peers: Vec<Script>,
    /// The peer whose turn it is.
    turn: usize,
    outputs: Vec<Output>,
    done: Vec<Done>,
    completed: bool,
}

/// A peer: it answers every request at once, in the order of their coming.
struct Script {
    conn: ConnId,
    /// Bytes of the engine's handshake that have not come.
    greeting: usize,
    decoder: Decoder,
    asked: VecDeque<BlockRequest>,
    /// What it says and the engine has not received.
    stream: Vec<u8>,
}

/// What was carried out and the engine has not heard of.
enum Done {
    Returned(ConnId, Transmission),
    Sent(ConnId),
    Hashed(OpId, Slab),
    Disk(DiskDone),
    Closed(ConnId),
}

impl Scene {
    /// A torrent that `peers` peers have connected to and told `greeting`. To seed, all data is
    /// there; to download, none. There is room for all of them, whatever the settings say.
    ///
    /// # Panics
    /// If the engine refuses what it is given.
    #[must_use]
    pub fn new(
        shape: Shape,
        mode: Mode,
        peers: u32,
        settings: &Config,
        greeting: Greeting,
    ) -> Self {
        let config = Config {
            max_peers: settings.max_peers.max(peers as usize),
            max_connections: settings.max_connections.max(peers as usize),
            ..settings.clone()
        };
        let engine = Engine::new(config, [42; 32], Instant::ZERO).expect("settings that work");
        let mut scene = Scene {
            engine,
            now: Instant::ZERO,
            shape,
            peers: Vec::new(),
            turn: 0,
            outputs: Vec::new(),
            done: Vec::new(),
            completed: false,
        };
        let torrent = torrent(shape);
        let info_hash = torrent.hashes().v1.expect("a v1 torrent");
        scene.take_up(torrent, mode);
        for number in 0..peers {
            scene.join(number, info_hash, greeting);
        }
        scene.settle();
        scene.completed = false;
        scene
    }

    fn take_up(&mut self, torrent: Arc<Torrent>, mode: Mode) {
        let add = Add {
            id: TorrentId(0),
            torrent,
            root: "/".into(),
            wanted: None,
            sequential: false,
            mode,
            check: match mode {
                Mode::Seed => Check::Trust,
                Mode::Download => Check::Existing,
            },
            announce: false,
            preallocate: false,
            files: None,
            overwrite: false,
            down_limit: None,
            up_limit: None,
        };
        self.engine
            .handle(self.now, Input::Command(Command::Add(add)));
        self.poll();
        self.settle();
    }

    fn join(&mut self, number: u32, info_hash: [u8; 20], greeting: Greeting) {
        let ip = Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 0, 1, 0)) + number);
        let accepted = self.engine.accept(self.now, SocketAddr::new(ip.into(), 1));
        let conn = accepted.expect("room for a peer");
        let mut peer_id = *b"-BN0000-000000000000";
        peer_id[16..].copy_from_slice(&number.to_be_bytes());
        let hello = Handshake {
            reserved: Reserved::NONE.with_fast(),
            info_hash,
            peer_id,
        };
        let mut stream = hello.encode().to_vec();
        greeting(&mut stream);
        self.peers.push(Script {
            conn,
            greeting: handshake::LEN,
            decoder: Decoder::new(self.shape.pieces),
            asked: VecDeque::new(),
            stream: Vec::new(),
        });
        self.receive(conn, &mut stream);
        self.settle();
    }

    /// Puts `say` into the stream of peer `number`.
    pub fn say(&mut self, number: usize, say: impl FnOnce(&mut Vec<u8>)) {
        say(&mut self.peers[number].stream);
    }

    /// Lets a moment pass and fills `buffer` with what one peer says next, each in its turn; `None`
    /// if nobody has anything to say.
    pub fn next_buffer(&mut self, buffer: &mut Vec<u8>) -> Option<ConnId> {
        self.next_part(buffer, BUFFER)
    }

    /// The same, `most` bytes at a time.
    pub fn next_part(&mut self, buffer: &mut Vec<u8>, most: usize) -> Option<ConnId> {
        self.now += PACE;
        if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
            self.wake();
            self.settle();
        }
        for _ in 0..self.peers.len() {
            self.turn = (self.turn + 1) % self.peers.len();
            let peer = &mut self.peers[self.turn];
            peer.answer();
            if !peer.stream.is_empty() {
                buffer.clear();
                buffer.extend(peer.stream.drain(..most.min(peer.stream.len())));
                return Some(peer.conn);
            }
        }
        None
    }

    /// Has every peer say that it is still there.
    pub fn hear_from_all(&mut self) {
        let conns: Vec<ConnId> = self.peers.iter().map(|peer| peer.conn).collect();
        for conn in conns {
            self.receive(conn, &mut [0; 4]);
        }
        self.settle();
    }

    /// Lets time pass in which nothing happens; what comes due then is the next [`Scene::wake`]'s.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// The engine's work for the time that has passed.
    pub fn wake(&mut self) {
        self.engine.handle_timeout(self.now);
        self.poll();
    }

    /// The engine's work for one buffer: takes it in and says what is to be done.
    pub fn receive(&mut self, conn: ConnId, data: &mut [u8]) {
        self.engine.handle(self.now, Input::Received { conn, data });
        self.poll();
    }

    /// The world's work: carries out what the engine wants; whether that was anything.
    pub fn carry(&mut self) -> bool {
        for output in self.outputs.drain(..) {
            match output {
                Output::Net(Net::Transmit { conn, transmission }) => {
                    if let Some(peer) = self.peers.iter_mut().find(|peer| peer.conn == conn) {
                        peer.listen(&transmission);
                    }
                    self.done.push(Done::Returned(conn, transmission));
                    self.done.push(Done::Sent(conn));
                }
                Output::Net(Net::Close { conn }) => {
                    self.peers.retain(|peer| peer.conn != conn);
                    self.done.push(Done::Closed(conn));
                }
                // Peers say little at a time: the credit is never used up.
                Output::Net(Net::Recv { .. }) => {}
                Output::Net(Net::Connect { .. }) | Output::Resolve { .. } => {
                    unreachable!("everybody connects to the engine")
                }
                Output::Hash { op, slab } => self.done.push(Done::Hashed(op, slab)),
                Output::Disk(disk) => self.done.push(Done::Disk(at_once(disk))),
            }
        }
        !self.done.is_empty()
    }

    /// The engine's work for what was carried out.
    pub fn complete(&mut self) {
        for done in self.done.drain(..) {
            let input = match done {
                Done::Returned(conn, transmission) => Input::Returned { conn, transmission },
                Done::Sent(conn) => Input::Sent { conn },
                Done::Hashed(op, slab) => Input::Hashed {
                    op,
                    slab,
                    digest: DIGEST,
                },
                Done::Disk(done) => Input::Disk(done),
                Done::Closed(conn) => Input::Closed { conn },
            };
            self.engine.handle(self.now, input);
        }
        self.poll();
    }

    /// Carries out everything until nothing is left to do.
    pub fn settle(&mut self) {
        while self.carry() {
            self.complete();
        }
        while let Some(event) = self.engine.poll_event() {
            self.completed |= matches!(event, Event::Completed { .. });
        }
    }

    /// The bytes that the scene holds itself, beside the engine's.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        let scripts = self.peers.capacity() * size_of::<Script>();
        let lists = self.outputs.capacity() * size_of::<Output>()
            + self.done.capacity() * size_of::<Done>();
        let own = self.peers.iter().map(|peer| {
            let asked = peer.asked.capacity() * size_of::<BlockRequest>();
            peer.stream.capacity() + asked + peer.decoder.held()
        });
        scripts + lists + own.sum::<usize>()
    }

    /// Whether a download has come to its end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.completed
    }

    fn poll(&mut self) {
        while let Some(output) = self.engine.poll_output(self.now) {
            self.outputs.push(output);
        }
    }
}

impl Script {
    /// Turns requests into blocks until one buffer is full.
    fn answer(&mut self) {
        while self.stream.len() < BUFFER
            && let Some(block) = self.asked.pop_front()
        {
            encode_piece_header(block, &mut self.stream);
            // Other bytes than those that an earlier piece left in its slab.
            let number = block.piece * 31 + block.begin / BLOCK_LEN;
            self.stream
                .resize(self.stream.len() + block.len as usize, number as u8);
        }
    }

    fn listen(&mut self, transmission: &Transmission) {
        for part in &transmission.parts {
            let mut data = transmission.bytes(part);
            let rest = data.len().min(self.greeting);
            self.greeting -= rest;
            data = &data[rest..];
            while let Some(frame) = self.decoder.next(&mut data).expect("the engine is polite") {
                match frame {
                    Frame::Message(Message::Request(block)) => self.asked.push_back(block),
                    Frame::Message(Message::Cancel(block)) => {
                        self.asked.retain(|asked| *asked != block);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A disk that is as fast as can be and holds nothing.
fn at_once(disk: Disk) -> DiskDone {
    let result = Ok(());
    match disk {
        Disk::Open { op, layout, .. } => DiskDone::Opened {
            op,
            result: Ok(Found {
                files: vec![None; layout.files().len()],
                ..Found::default()
            }),
        },
        Disk::Read { op, slab, .. } => DiskDone::Read { op, slab, result },
        Disk::Write { op, slab, .. } => DiskDone::Written { op, slab, result },
        Disk::Digest { .. } => unreachable!("all pieces are held whole"),
        Disk::Sync { op, .. } => DiskDone::Synced {
            op,
            result: Ok(Vec::new()),
        },
        Disk::Finish { op, .. } => DiskDone::Finished { op, result },
        Disk::Save { op, .. } => DiskDone::Saved { op, result },
        Disk::Delete { op, .. } => DiskDone::Deleted { op, result: Ok(()) },
        Disk::Close { op, .. } => DiskDone::Closed { op },
    }
}

/// One file, all of its pieces of the same digest.
fn torrent(Shape { pieces, piece_len }: Shape) -> Arc<Torrent> {
    let len = u64::from(pieces) * u64::from(piece_len);
    let hashes = 20 * pieces;
    let mut file =
        format!("d4:infod6:lengthi{len}e4:name4:data12:piece lengthi{piece_len}e6:pieces{hashes}:")
            .into_bytes();
    file.extend(DIGEST.repeat(pieces as usize));
    file.extend(b"ee");
    Arc::new(Torrent::parse(file.into()).expect("a torrent file"))
}

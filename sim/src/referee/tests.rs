//! A scripted client that says what it is told to, and the referee's word on it.
//!
//! The torrent has five pieces: four of two blocks, a last one of a block and 100 bytes.

mod claims;
mod conversation;
mod requests;
mod uploads;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::api::{
    Add, Command, Disk, DiskDone, Input, IoError, IoErrorKind, Net, Output, Transmission,
};
use ripcurrent_proto::base::id::{ConnId, Id, OpId, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::DiskError;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation};
use ripcurrent_proto::meta::layout::PieceIndex;

use super::{Refereed, Rule, Rules};

const BLOCK: u32 = 16 * 1024;
const PIECES: u32 = 5;
/// What the shipped client offers, and what an old one does.
const MODERN: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x04];
const PLAIN: [u8; 8] = [0; 8];
const PEER_ID: &[u8; 20] = b"-RC0100-abcdefghijkl";

const CHOKE: &[u8] = &[0, 0, 0, 1, 0];
const UNCHOKE: &[u8] = &[0, 0, 0, 1, 1];
const INTERESTED: &[u8] = &[0, 0, 0, 1, 2];
const NOT_INTERESTED: &[u8] = &[0, 0, 0, 1, 3];
const HAVE_ALL: &[u8] = &[0, 0, 0, 1, 14];
const HAVE_NONE: &[u8] = &[0, 0, 0, 1, 15];
const KEEP_ALIVE: &[u8] = &[0; 4];

/// The client: says what lies ready, and does nothing by itself.
#[derive(Debug, Default)]
struct Script {
    ready: VecDeque<Output>,
}

impl Machine for Script {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        Some(CONN)
    }
    fn handle(&mut self, _now: Instant, _input: Input<'_>) {}
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.ready.pop_front()
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// The connection of every scene.
const CONN: ConnId = ConnId(Id::from_parts(3, 1));

/// A client, a far end and a referee.
struct Scene {
    referee: Refereed<Script>,
    torrent: Arc<Torrent>,
    now: Instant,
    ops: u32,
}

fn torrent(is_private: bool) -> Arc<Torrent> {
    let content = Content::File {
        len: u64::from(4 * 2 * BLOCK + BLOCK + 100),
        executable: false,
    };
    let mut creation = Creation::new("scene", content, Some(2 * BLOCK)).unwrap();
    creation.set_private(is_private);
    let digests: Vec<_> = (1..=PIECES as u8).map(|piece| [piece; 20]).collect();
    let file = creation.finish(&digests).unwrap();
    Arc::new(Torrent::parse(Bytes::from(file)).unwrap())
}

fn far() -> SocketAddr {
    "10.1.0.9:6881".parse().unwrap()
}

impl Scene {
    /// A client that has dialled the far end, and nobody has said anything.
    fn silent(is_private: bool) -> Self {
        let torrent = torrent(is_private);
        let rules = Rules::new(Arc::clone(&torrent));
        let mut scene = Scene {
            referee: Refereed::new(Script::default(), rules),
            torrent,
            now: Instant::ZERO,
            ops: 0,
        };
        scene.output(Output::Net(Net::Connect {
            conn: CONN,
            to: far(),
            tls: None,
        }));
        scene.input(Input::Connected { conn: CONN });
        scene
    }

    /// Handshakes were exchanged, the far end offered `reserved`.
    fn greeted(reserved: [u8; 8]) -> Self {
        let mut scene = Self::silent(false);
        scene.say(&scene.handshake(MODERN));
        scene.read(&scene.handshake(reserved));
        scene
    }

    /// Both have told what they have: our client nothing, the far end everything.
    fn leeching(reserved: [u8; 8]) -> Self {
        let mut scene = Self::greeted(reserved);
        if reserved == PLAIN {
            scene.read(&bitfield(&[0xf8]));
        } else {
            scene.say(HAVE_NONE);
            scene.read(HAVE_ALL);
        }
        scene.say(INTERESTED);
        scene
    }

    /// Our client has everything, the far end nothing and is unchoked.
    fn seeding(reserved: [u8; 8]) -> Self {
        let mut scene = Self::silent(false);
        (0..PIECES).for_each(|piece| scene.hold(piece));
        scene.say(&scene.handshake(MODERN));
        scene.read(&scene.handshake(reserved));
        if reserved == PLAIN {
            scene.say(&bitfield(&[0xf8]));
        } else {
            scene.say(HAVE_ALL);
            scene.read(HAVE_NONE);
        }
        scene.read(INTERESTED);
        scene.say(UNCHOKE);
        scene
    }

    fn handshake(&self, reserved: [u8; 8]) -> Vec<u8> {
        let info_hash = self.torrent.hashes().v1.unwrap();
        [
            &b"\x13BitTorrent protocol"[..],
            &reserved,
            &info_hash,
            PEER_ID,
        ]
        .concat()
    }

    fn input(&mut self, input: Input<'_>) {
        self.referee.handle(self.now, input);
    }

    fn output(&mut self, output: Output) {
        self.referee.machine_mut().ready.push_back(output);
        self.referee.poll_output(self.now).unwrap();
    }

    /// The far end's bytes, read byte by byte: no cut may matter.
    fn read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let data = &mut [*byte];
            self.input(Input::Received { conn: CONN, data });
        }
    }

    /// Our client's bytes, in one transmission that is sent at once.
    fn say(&mut self, bytes: &[u8]) {
        self.begin_to_say(bytes);
        self.input(Input::Sent { conn: CONN });
    }

    fn begin_to_say(&mut self, bytes: &[u8]) {
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend_from_slice(bytes));
        self.output(Output::Net(Net::Transmit {
            conn: CONN,
            transmission,
        }));
    }

    fn wait(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.referee.handle_timeout(self.now);
    }

    /// Our client hashes a piece and finds it right.
    fn hash(&mut self, piece: u32) {
        let digest = self.torrent.piece_hash_v1(PieceIndex(piece)).unwrap();
        self.hash_as(digest);
    }

    fn hash_as(&mut self, digest: [u8; 20]) {
        let (op, slab) = (self.op(), Slab::new(1));
        self.input(Input::Hashed { op, slab, digest });
    }

    /// Our client writes a piece.
    fn write(&mut self, piece: u32, result: Result<(), DiskError>) {
        let layout = self.torrent.layout();
        let spans = layout.spans(layout.whole(PieceIndex(piece)));
        let (op, storage) = (self.op(), TorrentId(0));
        self.output(Output::Disk(Disk::Write {
            op,
            storage,
            slab: Slab::new(1),
            spans,
        }));
        let slab = Slab::new(1);
        self.input(Input::Disk(DiskDone::Written { op, slab, result }));
    }

    /// Our client reads a piece that may be there.
    fn find(&mut self, piece: u32) {
        let layout = self.torrent.layout();
        let spans = layout.spans(layout.whole(PieceIndex(piece)));
        let (op, storage) = (self.op(), TorrentId(0));
        self.output(Output::Disk(Disk::Read {
            op,
            storage,
            slab: Slab::new(1),
            spans,
        }));
        let (slab, result) = (Slab::new(1), Ok(()));
        self.input(Input::Disk(DiskDone::Read { op, slab, result }));
    }

    /// A piece comes to be held.
    fn hold(&mut self, piece: u32) {
        self.hash(piece);
        self.write(piece, Ok(()));
    }

    fn op(&mut self) -> OpId {
        self.ops += 1;
        OpId(Id::from_parts(self.ops, 0))
    }

    /// The rules that were broken, in order.
    fn broken(&self) -> Vec<Rule> {
        let violations = self.referee.violations().iter();
        violations.map(|violation| violation.rule).collect()
    }

    /// # Panics
    /// If anything else was broken than this one rule, once.
    #[track_caller]
    fn assert_broken(&self, rule: Rule) {
        assert_eq!(self.broken(), [rule], "{:?}", self.referee.violations());
    }

    #[track_caller]
    fn assert_fair(&self) {
        assert_eq!(self.broken(), [], "{:?}", self.referee.violations());
    }
}

fn no_space() -> DiskError {
    DiskError {
        file: None,
        error: IoError {
            kind: IoErrorKind::NoSpace,
            code: 0,
        },
    }
}

fn message(id: u8, fields: &[u8]) -> Vec<u8> {
    let len = fields.len() as u32 + 1;
    [&len.to_be_bytes(), &[id][..], fields].concat()
}

fn numbers(id: u8, numbers: &[u32]) -> Vec<u8> {
    let fields: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
    message(id, &fields)
}

fn bitfield(bytes: &[u8]) -> Vec<u8> {
    message(5, bytes)
}

fn have(piece: u32) -> Vec<u8> {
    numbers(4, &[piece])
}

fn request(piece: u32, block: u32) -> Vec<u8> {
    numbers(6, &[piece, block * BLOCK, BLOCK])
}

fn cancel(piece: u32, block: u32) -> Vec<u8> {
    numbers(8, &[piece, block * BLOCK, BLOCK])
}

fn reject(piece: u32, block: u32) -> Vec<u8> {
    numbers(16, &[piece, block * BLOCK, BLOCK])
}

fn piece(piece: u32, block: u32) -> Vec<u8> {
    piece_of(piece, block * BLOCK, BLOCK)
}

fn piece_of(piece: u32, begin: u32, len: u32) -> Vec<u8> {
    let mut bytes = numbers(7, &[piece, begin]);
    bytes[..4].copy_from_slice(&(len + 9).to_be_bytes());
    bytes.resize(bytes.len() + len as usize, 0);
    bytes
}

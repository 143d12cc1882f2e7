//! The whole engine among enemies, over a host that is late and fails: it keeps its side of the
//! contract, keeps within its memory, and always leaves in good order when it is told to.
//!
//! Input: steps of one byte and what each takes with it; see `step`.
#![no_main]

use std::num::NonZeroU64;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::Knobs;
use ripcurrent_fuzz::host::{Host, address};
use ripcurrent_proto::api::{Add, Check, Command, Config, Data, Input, Mode};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Turn, turn};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation, NewFile};
use ripcurrent_proto::meta::layout::{FileIndex, Priority};
use ripcurrent_proto::wire::handshake::{Handshake, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Message, encode_piece_header};
use sha1::{Digest, Sha1};

const ID: TorrentId = TorrentId(1);
const PIECE: u32 = 32 << 10;
const PIECES: u32 = 5;
const FILES: usize = 3;

/// Zeros, so that a peer can send what is right without knowing more.
static TORRENT: LazyLock<Arc<Torrent>> = LazyLock::new(|| {
    let file = |name: &str, len| NewFile {
        path: vec![name.to_owned()],
        len,
        executable: false,
    };
    let last = 777;
    let len = u64::from(PIECE * (PIECES - 1));
    let files = vec![file("a", 1000), file("b", 0), file("c", len - 1000 + last)];
    let mut creation = Creation::new("zeros", Content::Folder(files), Some(PIECE)).expect("fine");
    creation
        .set_trackers(&[vec!["http://tracker.test/announce".to_owned()]])
        .expect("an address");
    let hash = |len: usize| -> [u8; 20] { Sha1::digest(vec![0; len]).into() };
    let mut hashes = vec![hash(PIECE as usize); PIECES as usize - 1];
    hashes.push(hash(last as usize));
    let bytes = creation.finish(&hashes).expect("as many hashes as pieces");
    Arc::new(Torrent::parse(bytes.into()).expect("what we make we can read"))
});

fuzz_target!(|input: &[u8]| {
    let mut knobs = Knobs(input);
    let config = Config {
        memory_budget: Config::LEAST_BUDGET,
        max_peers: 4,
        max_half_open: 2,
        max_connections: 6,
        upload_slots: 2,
        ..Config::default()
    };
    let mut engine = Engine::new(config, [7; 32], Instant::ZERO).expect("a sound configuration");
    let files = TORRENT.layout().files();
    let lens: Vec<u64> = files.iter().map(|file| file.len).collect();
    let mut host = Host::new(&lens);
    host.tell(Input::Command(Command::Add(add(knobs.byte()))));
    run(&mut engine, &mut host);
    while !knobs.0.is_empty() {
        step(&mut knobs, &mut host);
        run(&mut engine, &mut host);
    }
    host.tell(Input::Command(Command::ShutDown));
    // Trackers have a while to be told; nothing else is waited for.
    for _ in 0..300 {
        run(&mut engine, &mut host);
        host.complete_all();
        host.advance(Duration::from_secs(1));
    }
    assert!(engine.is_shut_down() && host.is_idle(), "it does not end");
    assert_eq!(engine.slab_bytes(), 0, "a slab was lost");
});

fn add(knob: u8) -> Add {
    Add {
        id: ID,
        torrent: Arc::clone(&TORRENT),
        root: "/".into(),
        wanted: None,
        sequential: knob & 1 != 0,
        mode: if knob & 2 == 0 {
            Mode::Download
        } else {
            Mode::Seed
        },
        check: match knob & 0x84 {
            0 => Check::Existing,
            0x80 => Check::Full,
            _ => Check::Trust,
        },
        announce: knob & 8 != 0,
        preallocate: knob & 16 != 0,
        files: (knob & 32 != 0).then(|| {
            let mut files = Bitfield::new(FILES);
            files.insert(usize::from(knob >> 6) % FILES);
            files
        }),
        overwrite: knob & 64 != 0,
        down_limit: None,
        up_limit: None,
    }
}

/// Turns until there is nothing to do now.
fn run(engine: &mut Engine, host: &mut Host) {
    // Far more turns than anything can need: what does not come to rest is a fault.
    for _ in 0..10_000 {
        let turned = turn(engine, host);
        while engine.poll_event().is_some() {}
        assert!(engine.slab_bytes() <= Config::LEAST_BUDGET);
        if turned != Turn::Busy {
            return;
        }
    }
    panic!("it never comes to rest");
}

/// One thing that happens in the world.
fn step(knobs: &mut Knobs<'_>, host: &mut Host) {
    let (what, which) = (knobs.byte(), knobs.byte());
    match what % 16 {
        0 => host.accept(which),
        1 => host.tell(Input::Command(Command::AddPeer {
            torrent: ID,
            addr: address(which),
        })),
        2 => host.complete(which, false),
        3 => host.complete(which, true),
        4 => host.advance(Duration::from_millis(1 << (which % 18))),
        5 => host.complete_all(),
        12 => host.meddle(which),
        13.. => host.tell(Input::Command(command(which))),
        _ => {
            if let Some(conn) = host.pick(which) {
                stir(what % 16, conn, knobs, host);
            }
        }
    }
}

/// One thing that somebody wants.
fn command(knob: u8) -> Command {
    let torrent = ID;
    match knob % 8 {
        0 => Command::Pause { torrent },
        1 => Command::Resume { torrent },
        2 => Command::Recheck { torrent },
        3 => Command::Reannounce { torrent },
        4 => {
            let limit = NonZeroU64::new(u64::from(knob) << 7);
            match knob & 8 {
                0 => Command::SetLimits {
                    down: limit,
                    up: limit,
                },
                _ => Command::SetTorrentLimits {
                    torrent,
                    down: limit,
                    up: limit,
                },
            }
        }
        5 => {
            let data = if knob & 8 == 0 {
                Data::Keep
            } else {
                Data::Delete
            };
            Command::Remove { torrent, data }
        }
        6 => {
            let file = FileIndex(u32::from(knob >> 3) % FILES as u32);
            let priority = [
                Priority::Unwanted,
                Priority::Low,
                Priority::Normal,
                Priority::High,
            ];
            let priority = priority[usize::from(knob >> 6)];
            Command::SetPriority {
                torrent,
                file,
                priority,
            }
        }
        _ => Command::Add(add(knob)),
    }
}

/// One thing that happens on a connection.
fn stir(what: u8, conn: ConnId, knobs: &mut Knobs<'_>, host: &mut Host) {
    match what {
        6 => host.connect(conn),
        7 => host.end(conn, knobs.byte() % 2 == 0),
        8 => host.sent(conn),
        9 => host.receive(conn, handshake(knobs.byte()).encode().to_vec()),
        10 => host.receive(conn, message(knobs)),
        _ => {
            let len = usize::from(knobs.byte()).min(knobs.0.len());
            let (bytes, rest) = knobs.0.split_at(len);
            knobs.0 = rest;
            host.receive(conn, bytes.to_vec());
        }
    }
}

fn handshake(knob: u8) -> Handshake {
    let mut reserved = Reserved::NONE;
    if knob & 1 != 0 {
        reserved = reserved.with_fast();
    }
    if knob & 2 != 0 {
        reserved = reserved.with_extended();
    }
    let info_hash = TORRENT.hashes().v1.expect("made for v1");
    Handshake {
        reserved,
        info_hash,
        peer_id: [knob >> 2; 20],
    }
}

/// A message in good form, whatever it means here.
fn message(knobs: &mut Knobs<'_>) -> Vec<u8> {
    let (kind, piece) = (knobs.byte(), u32::from(knobs.byte() % 7));
    let begin = u32::from(knobs.byte() % 4) * (16 << 10);
    let len = match (piece, begin) {
        (4, 0) => 777,
        _ => 16 << 10,
    };
    let block = BlockRequest { piece, begin, len };
    let mut bytes = Vec::new();
    match kind % 16 {
        0 => Message::Choke.encode(&mut bytes),
        1 => Message::Unchoke.encode(&mut bytes),
        2 => Message::Interested.encode(&mut bytes),
        3 => Message::NotInterested.encode(&mut bytes),
        4 => Message::Have(piece).encode(&mut bytes),
        5 => Message::Bitfield(&[knobs.byte() & 0xf8]).encode(&mut bytes),
        6 => Message::Request(block).encode(&mut bytes),
        7 => Message::Cancel(block).encode(&mut bytes),
        8 => Message::HaveAll.encode(&mut bytes),
        9 => Message::HaveNone.encode(&mut bytes),
        10 => Message::Reject(block).encode(&mut bytes),
        11 => Message::AllowedFast(piece).encode(&mut bytes),
        12 => Message::Suggest(piece).encode(&mut bytes),
        13 => {
            let payload = b"d1:md11:ut_metadatai3ee4:reqqi9e1:v4:evile";
            Message::Extended { id: 0, payload }.encode(&mut bytes);
        }
        14 => Message::KeepAlive.encode(&mut bytes),
        _ => {
            encode_piece_header(block, &mut bytes);
            // Right but for one byte, now and then.
            bytes.resize(bytes.len() + len as usize, 0);
            *bytes.last_mut().expect("a payload") = u8::from(kind >> 4 == 0);
        }
    }
    bytes
}

//! What is counted: one kind of event each, among so many peers.

use std::hint::black_box;

use ripcurrent_benches::scene::{BUFFER, Scene, Shape};
use ripcurrent_benches::{PIECE_LEN, PIECES, USUAL, rng, settings};
use ripcurrent_proto::api::{Config, Mode};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::choke;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Message, encode_piece_header};

use crate::counted;

/// The crowds that every case is counted in.
const CROWDS: [u32; 3] = [1, 50, 1000];

/// A kind of event, in a crowd.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// None where peers make no difference.
    pub(crate) peers: u32,
    pub(crate) play: Play,
}

/// Has some events counted, among so many peers; how many.
type Play = fn(u32) -> u64;

/// Every case, in the order of the table.
pub(crate) fn all() -> Vec<Case> {
    let alone: [(&str, Play); 3] = [
        ("decode: block, 8 at once", |_| decode_blocks(BUFFER)),
        ("decode: block, 1,448 bytes at once", |_| {
            decode_blocks(1448)
        }),
        ("decode: HAVE", |_| decode_haves()),
    ];
    let among_peers: [(&str, Play); 7] = [
        ("HAVE received", haves),
        ("request served, 1 at once", |peers| requests(peers, 1)),
        ("request served, 16 at once", |peers| requests(peers, 16)),
        ("block downloaded, 1 at once", |peers| {
            blocks(peers, BLOCK_LEN as usize + 13)
        }),
        ("block downloaded, 8 at once", |peers| blocks(peers, BUFFER)),
        ("choke round, downloading", |peers| {
            choke_rounds(peers, Mode::Download)
        }),
        ("choke round, seeding", |peers| {
            choke_rounds(peers, Mode::Seed)
        }),
    ];
    let alone = alone.into_iter().map(|(name, play)| Case {
        name,
        peers: 0,
        play,
    });
    let among_peers = among_peers
        .into_iter()
        .flat_map(|(name, play)| CROWDS.map(|peers| Case { name, peers, play }));
    alone.chain(among_peers).collect()
}

/// A stream of blocks, so many bytes of it at a time.
fn decode_blocks(part: usize) -> u64 {
    let block = |piece| BlockRequest {
        piece,
        begin: 0,
        len: BLOCK_LEN,
    };
    let mut stream = Vec::new();
    for piece in 0..64 {
        encode_piece_header(block(piece), &mut stream);
        stream.resize(stream.len() + BLOCK_LEN as usize, 1);
    }
    decode(&stream, part);
    64
}

fn decode_haves() -> u64 {
    let mut stream = Vec::new();
    (0..1000).for_each(|piece| Message::Have(piece).encode(&mut stream));
    decode(&stream, BUFFER);
    1000
}

fn decode(stream: &[u8], part: usize) {
    let mut decoder = Decoder::new(PIECES);
    counted(|| {
        for mut part in stream.chunks(part) {
            while let Some(frame) = decoder.next(&mut part).expect("what was encoded") {
                black_box(frame);
            }
        }
    });
}

/// Peers that choke us tell of one piece at a time, each of another.
fn haves(peers: u32) -> u64 {
    let mut scene = Scene::new(
        Shape::MANY,
        Mode::Download,
        peers,
        &settings(USUAL),
        |out| Message::HaveNone.encode(out),
    );
    let mut rng = rng("haves");
    let (warm_up, counted_ones) = (u64::from(peers), 2000);
    let mut buffer = Vec::new();
    for number in 0..warm_up + counted_ones {
        let peer = number as usize % peers as usize;
        let piece = rng.index(PIECES as usize) as u32;
        scene.say(peer, |out| Message::Have(piece).encode(out));
        let conn = scene.next_buffer(&mut buffer).expect("a HAVE");
        if number < warm_up {
            scene.receive(conn, &mut buffer);
        } else {
            counted(|| scene.receive(conn, &mut buffer));
        }
        scene.settle();
    }
    counted_ones
}

/// Unchoked peers ask a seed for blocks that its cache holds, each in its turn, so many at a time.
fn requests(peers: u32, at_once: u32) -> u64 {
    let settings = Config {
        upload_slots: peers as usize,
        ..settings(USUAL)
    };
    let mut scene = Scene::new(Shape::MANY, Mode::Seed, peers, &settings, |out| {
        Message::HaveNone.encode(out);
        Message::Interested.encode(out);
    });
    let (warm_up, counted_ones) = (peers.max(16), 1600 / at_once);
    for number in 0..warm_up + counted_ones {
        scene.say((number % peers) as usize, |out| {
            for at in 0..at_once {
                let request = BlockRequest {
                    piece: number % 16,
                    begin: (number + at) * BLOCK_LEN % PIECE_LEN,
                    len: BLOCK_LEN,
                };
                Message::Request(request).encode(out);
            }
        });
        let mut buffer = Vec::new();
        let conn = scene.next_buffer(&mut buffer).expect("requests");
        step(&mut scene, conn, &mut buffer, number >= warm_up);
    }
    u64::from(counted_ones * at_once)
}

/// Seeds send what the engine asks for, each in its turn, so many bytes at a time. Pieces are hashed
/// and written at once; new requests are part of a block's cost.
fn blocks(peers: u32, receive: usize) -> u64 {
    let settings = settings(USUAL);
    let mut scene = Scene::new(Shape::LONG, Mode::Download, peers, &settings, |out| {
        Message::HaveAll.encode(out);
        Message::Unchoke.encode(out);
    });
    let in_receive = (receive / BLOCK_LEN as usize) as u64;
    let (warm_up, counted_ones) = (u64::from(peers).max(500), 2048 / in_receive);
    let mut buffer = Vec::new();
    for number in 0..warm_up + counted_ones {
        let said = scene.next_part(&mut buffer, receive);
        let conn = said.expect("somebody is asked for blocks until all are there");
        step(&mut scene, conn, &mut buffer, number >= warm_up);
    }
    assert!(!scene.is_over(), "a download in its midst");
    counted_ones * receive as u64 / (u64::from(BLOCK_LEN) + 13)
}

/// Interested peers that want more than there are slots for; a round is ten seconds, with all that
/// comes due in them.
fn choke_rounds(peers: u32, mode: Mode) -> u64 {
    let mut scene = Scene::new(Shape::MANY, mode, peers, &settings(USUAL), |out| {
        Message::HaveNone.encode(out);
        Message::Interested.encode(out);
    });
    let rounds = 12;
    for _ in 0..rounds {
        scene.hear_from_all();
        scene.pass(choke::ROUND);
        counted(|| scene.wake());
        scene.settle();
    }
    rounds
}

/// Has a buffer received, and all that follows from it done.
fn step(scene: &mut Scene, conn: ConnId, buffer: &mut [u8], is_counted: bool) {
    if !is_counted {
        scene.receive(conn, buffer);
        return scene.settle();
    }
    counted(|| scene.receive(conn, buffer));
    while scene.carry() {
        counted(|| scene.complete());
    }
    scene.settle();
}

/// Peers are silent for no longer than this, or they would be left.
const _: () = assert!(choke::ROUND.as_micros() < Duration::from_secs(100).as_micros());

//! The engine alone: what one block costs it on its way in and on its way out, and what a HAVE
//! costs. All figures are for one block, request or message, though they come by the buffer.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ripcurrent_benches::scene::{BUFFER, Scene, Shape};
use ripcurrent_benches::{PIECE_LEN, PIECES, PLENTY, USUAL, rng, settings};
use ripcurrent_proto::api::Mode;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

/// HAVE messages in one buffer.
const HAVES: usize = 100;

/// Peers, and the memory that their pieces share.
const CROWDS: [(&str, u32, usize); 3] = [
    ("1 peer", 1, PLENTY),
    ("50 peers", 50, PLENTY),
    ("50 peers short of memory", 50, USUAL),
];

/// From the bytes of a receive to a hash that is asked for, new requests included.
fn received(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/received block");
    for (name, peers, memory) in CROWDS {
        group.bench_with_input(BenchmarkId::from_parameter(name), &peers, |bencher, _| {
            let mut download = Download::new(peers, memory);
            bencher.iter_custom(|blocks| download.blocks(blocks, Timed::Received));
        });
    }
    group.finish();
}

/// All that the engine does for a block: receive, hashed, written, requests sent.
fn downloaded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/downloaded block");
    for (name, peers, memory) in CROWDS {
        group.bench_with_input(BenchmarkId::from_parameter(name), &peers, |bencher, _| {
            let mut download = Download::new(peers, memory);
            bencher.iter_custom(|blocks| download.blocks(blocks, Timed::All));
        });
    }
    group.finish();
}

/// From a request to a transmission out of the read cache that has come home.
fn served(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/served block");
    for at_once in [1, 16] {
        let name = format!("{at_once} at once");
        group.bench_function(name, |bencher| {
            let mut scene = Scene::new(Shape::MANY, Mode::Seed, 1, &settings(PLENTY), |out| {
                Message::HaveNone.encode(out);
                Message::Interested.encode(out);
            });
            // The first round reads the blocks from the disk.
            serve(&mut scene, at_once);
            bencher.iter_custom(|blocks| {
                let rounds = blocks.div_ceil(u64::from(at_once));
                let time = (0..rounds).map(|_| serve(&mut scene, at_once)).sum();
                per(time, blocks, rounds * u64::from(at_once))
            });
        });
    }
    group.finish();
}

/// One of 50 peers tells of a piece.
fn haves(criterion: &mut Criterion) {
    criterion.bench_function("engine/have", |bencher| {
        let mut scene = leechers();
        bencher.iter_custom(|messages| {
            let buffers = messages.div_ceil(HAVES as u64);
            let time = (0..buffers).map(|_| have(&mut scene)).sum();
            per(time, messages, buffers * HAVES as u64)
        });
    });
}

/// Which part of a step is timed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timed {
    Received,
    All,
}

/// A download that begins anew when it is over.
struct Download {
    scene: Scene,
    peers: u32,
    memory: usize,
    buffer: Vec<u8>,
}

impl Download {
    fn new(peers: u32, memory: usize) -> Self {
        let scene = Scene::new(
            Shape::MANY,
            Mode::Download,
            peers,
            &settings(memory),
            |out| {
                Message::HaveAll.encode(out);
                Message::Unchoke.encode(out);
            },
        );
        Download {
            scene,
            peers,
            memory,
            buffer: Vec::with_capacity(BUFFER),
        }
    }

    /// The time of `blocks` blocks, computed from those of as many whole buffers.
    fn blocks(&mut self, blocks: u64, timed: Timed) -> Duration {
        let wanted = blocks * u64::from(BLOCK_LEN);
        let (mut time, mut bytes) = (Duration::ZERO, 0);
        while bytes < wanted {
            time += self.step(timed);
            bytes += self.buffer.len() as u64;
        }
        per(time, wanted, bytes)
    }

    fn step(&mut self, timed: Timed) -> Duration {
        if self.scene.is_over() {
            *self = Download::new(self.peers, self.memory);
        }
        let said = self.scene.next_buffer(&mut self.buffer);
        let conn = said.expect("somebody is asked for blocks until all are there");
        let mut time = clock(|| self.scene.receive(conn, &mut self.buffer));
        while self.scene.carry() {
            let completed = clock(|| self.scene.complete());
            if timed == Timed::All {
                time += completed;
            }
        }
        self.scene.settle();
        time
    }
}

/// The time of `at_once` requests that come in one buffer, each for another block of one piece.
fn serve(scene: &mut Scene, at_once: u32) -> Duration {
    scene.say(0, |out| {
        for number in 0..at_once {
            let request = BlockRequest {
                piece: 5,
                begin: number * BLOCK_LEN % PIECE_LEN,
                len: BLOCK_LEN,
            };
            Message::Request(request).encode(out);
        }
    });
    let mut buffer = Vec::new();
    let conn = scene.next_buffer(&mut buffer).expect("requests");
    let mut time = clock(|| scene.receive(conn, &mut buffer));
    while scene.carry() {
        time += clock(|| scene.complete());
    }
    time
}

/// 50 peers that choke us and are about to tell of all pieces, each in an order of its own.
fn leechers() -> Scene {
    let mut scene = Scene::new(Shape::MANY, Mode::Download, 50, &settings(PLENTY), |out| {
        Message::HaveNone.encode(out);
    });
    let mut rng = rng("haves");
    for peer in 0..50 {
        let mut pieces: Vec<u32> = (0..PIECES).collect();
        rng.shuffle(&mut pieces);
        scene.say(peer, |out| {
            for piece in pieces {
                Message::Have(piece).encode(out);
            }
        });
    }
    scene
}

/// The time of one buffer of HAVE messages.
fn have(scene: &mut Scene) -> Duration {
    let mut buffer = Vec::new();
    let have_len = 9;
    let conn = match scene.next_part(&mut buffer, HAVES * have_len) {
        Some(conn) => conn,
        None => {
            *scene = leechers();
            let again = scene.next_part(&mut buffer, HAVES * have_len);
            again.expect("everybody has everything to tell")
        }
    };
    let time = clock(|| scene.receive(conn, &mut buffer));
    scene.settle();
    time
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark times a part of each step"
)]
fn clock(work: impl FnOnce()) -> Duration {
    let begun = std::time::Instant::now();
    work();
    begun.elapsed()
}

/// The share of `part` in the `time` of `whole`.
fn per(time: Duration, part: u64, whole: u64) -> Duration {
    let nanos = time.as_nanos() * u128::from(part) / u128::from(whole);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

criterion_group!(benches, received, downloaded, served, haves);
criterion_main!(benches);

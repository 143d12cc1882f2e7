//! The engine alone: what one block costs it on its way in and on its way out, and what a HAVE
//! costs. All figures are for one block, request or message, though they come by the buffer.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ripcurrent_benches::scene::{BUFFER, Scene, Shape};
use ripcurrent_benches::{PIECE_LEN, PIECES, PLENTY, USUAL, rng, settings};
use ripcurrent_proto::api::Mode;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::message::{BlockRequest, Message};
use rustix::time::{ClockId, clock_gettime};

/// HAVE messages in one buffer.
const HAVES: usize = 100;

/// How many peers a download is among. They share the usual memory, which is always spent.
const CROWDS: [u32; 3] = [1, 20, 50];

/// Blocks that are not timed, so that the memory of all pieces has been used before.
const WARM_UP: u64 = 8000;

/// From the bytes of a receive to a hash that is asked for, new requests included.
fn received(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/received block");
    for peers in CROWDS {
        let id = BenchmarkId::from_parameter(format!("{peers} peers"));
        group.bench_with_input(id, &peers, |bencher, _| {
            let mut download = Download::new(peers);
            bencher.iter_custom(|blocks| download.blocks(blocks, Timed::Received));
        });
    }
    group.finish();
}

/// All that the engine does for a block: receive, hashed, written, requests sent.
fn downloaded(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine/downloaded block");
    for peers in CROWDS {
        let id = BenchmarkId::from_parameter(format!("{peers} peers"));
        group.bench_with_input(id, &peers, |bencher, _| {
            let mut download = Download::new(peers);
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
    buffer: Vec<u8>,
}

impl Download {
    fn new(peers: u32) -> Self {
        let settings = settings(USUAL);
        let scene = Scene::new(Shape::LONG, Mode::Download, peers, &settings, |out| {
            Message::HaveAll.encode(out);
            Message::Unchoke.encode(out);
        });
        let mut download = Download {
            scene,
            peers,
            buffer: Vec::with_capacity(BUFFER),
        };
        download.blocks(WARM_UP, Timed::All);
        download
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
            *self = Download::new(self.peers);
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

/// The processor's time for `work`, without what it costs to tell the time: others who use the machine
/// do not count.
fn clock(work: impl FnOnce()) -> Duration {
    let begun = processor_time();
    work();
    let ended = processor_time();
    (ended - begun).saturating_sub(processor_time() - ended)
}

/// How long this thread has worked.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The share of `part` in the `time` of `whole`.
fn per(time: Duration, part: u64, whole: u64) -> Duration {
    let nanos = time.as_nanos() * u128::from(part) / u128::from(whole);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

criterion_group!(benches, received, downloaded, served, haves);
criterion_main!(benches);

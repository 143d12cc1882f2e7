//! Hashing: every kernel of this machine, 16 pieces at once of the usual lengths, and the leaves of
//! BEP 52. Then the fewest pieces that are worth a wide kernel's time, from which the ladders in
//! `runtime-uring/src/hash/kernel.rs` were made.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_runtime_uring::hash::{self, Kernel};

/// Lengths of pieces in bytes.
const LENS: [usize; 4] = [16 << 10, 256 << 10, 1 << 20, 4 << 20];

/// Pieces hashed at once.
const COUNT: usize = 16;

fn sha1(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash/sha1");
    for len in LENS {
        let memory = memory(COUNT * len);
        let pieces: Vec<&[u8]> = memory.as_slice().chunks(len).collect();
        group.throughput(Throughput::Bytes(memory.len() as u64));
        for kernel in Kernel::all() {
            let id = BenchmarkId::new(kernel.name(), format!("{} KiB", len >> 10));
            group.bench_with_input(id, &pieces, |bencher, pieces| {
                let mut digests = [[0; 20]; COUNT];
                bencher.iter(|| hash::sha1(kernel, black_box(pieces), &mut digests));
            });
        }
    }
    group.finish();
}

fn sha256(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash/sha256");
    let memory = memory(64 * (16 << 10));
    let leaves: Vec<&[u8]> = memory.as_slice().chunks(16 << 10).collect();
    group.throughput(Throughput::Bytes(memory.len() as u64));
    for kernel in Kernel::all() {
        let id = BenchmarkId::new(kernel.name(), "64 leaves");
        group.bench_with_input(id, &leaves, |bencher, leaves| {
            let mut digests = [[0; 32]; 64];
            bencher.iter(|| hash::sha256(kernel, black_box(leaves), &mut digests));
        });
    }
    group.finish();
}

fn few(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hash/few");
    let memory = memory(COUNT * LENS[1]);
    let pieces: Vec<&[u8]> = memory.as_slice().chunks(LENS[1]).collect();
    for count in [1, 2, 3, 4, 5, 6, 7, 8, 12, 16] {
        group.throughput(Throughput::Bytes((count * LENS[1]) as u64));
        for kernel in Kernel::all() {
            let id = BenchmarkId::new(kernel.name(), count);
            group.bench_with_input(id, &pieces[..count], |bencher, pieces| {
                let mut digests = [[0; 20]; COUNT];
                bencher.iter(|| hash::sha1(kernel, black_box(pieces), &mut digests[..count]));
            });
        }
    }
    group.finish();
}

/// Bytes that begin a page, as pieces do, and are not all alike.
fn memory(len: usize) -> Slab {
    let mut slab = Slab::new(len);
    slab.set_len(len);
    for (byte, at) in slab.as_mut_slice().iter_mut().zip(0u32..) {
        *byte = (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    }
    slab
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = sha1, sha256, few
}
criterion_main!(benches);

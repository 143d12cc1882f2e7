//! The picker with 10,000 pieces of 16 blocks and 200 peers: what messages and blocks cost.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ripcurrent_benches::{PIECES, bitfield, crowd, peer, picker, rng};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::layout::{PieceIndex, Priority};
use ripcurrent_proto::picker::{Arrival, Picker};

/// A peer tells of piece after piece, in random order.
fn have(criterion: &mut Criterion) {
    let crowd = crowd();
    let mut pieces: Vec<PieceIndex> = (0..PIECES).map(PieceIndex).collect();
    rng("have").shuffle(&mut pieces);
    let mut group = criterion.benchmark_group("picker/have");
    group.throughput(Throughput::Elements(u64::from(PIECES)));
    group.bench_function("missing", |bencher| {
        let setup = || picker(&crowd);
        bencher.iter_batched_ref(
            setup,
            |picker| gain_all(picker, &pieces),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("missing, of three priorities", |bencher| {
        let setup = || {
            let mut picker = picker(&crowd);
            let priorities = Priority::WANTED.into_iter().cycle();
            for (piece, priority) in (0..PIECES).map(PieceIndex).zip(priorities) {
                picker.set_priority(piece, priority);
            }
            picker
        };
        bencher.iter_batched_ref(
            setup,
            |picker| gain_all(picker, &pieces),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("had", |bencher| {
        let setup = || {
            let mut picker = picker(&crowd);
            pieces.iter().for_each(|piece| picker.set_had(*piece));
            picker
        };
        bencher.iter_batched_ref(
            setup,
            |picker| gain_all(picker, &pieces),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn gain_all(picker: &mut Picker, pieces: &[PieceIndex]) {
    let counted = picker.peer_joined(&Bitfield::new(PIECES as usize));
    for piece in pieces {
        picker.peer_gained(&counted, *piece);
    }
}

/// A peer joins with a bitfield and leaves again.
fn join_and_leave(criterion: &mut Criterion) {
    let mut picker = picker(&crowd());
    let mut group = criterion.benchmark_group("picker/join and leave");
    let half = bitfield(&mut rng("half"), 50);
    let peers = [("half", half), ("seed", Bitfield::full(PIECES as usize))];
    for (name, have) in peers {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let counted = picker.peer_joined(black_box(&have));
                picker.peer_left(counted, &have);
            });
        });
    }
    group.finish();
}

/// All that is to be fetched, by all peers in turn: for each block one pick and one arrival.
fn download(criterion: &mut Criterion) {
    let crowd = crowd();
    let mut group = criterion.benchmark_group("picker/download");
    group.sample_size(20);
    group.throughput(Throughput::Elements(u64::from(PIECES) * 16));
    group.bench_function("block", |bencher| {
        let setup = || picker(&crowd);
        bencher.iter_batched_ref(
            setup,
            |picker| fetch_all(picker, &crowd),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn fetch_all(picker: &mut Picker, crowd: &[Bitfield]) {
    while !picker.is_done() {
        for (number, have) in (0..).zip(crowd) {
            let Some(pick) = picker.pick(peer(number), have, true) else {
                continue;
            };
            let arrival = picker.arrived(peer(number), pick.block);
            if (arrival
                == Arrival::New {
                    piece_complete: true,
                })
            {
                picker.verified(pick.block.piece);
            }
        }
    }
}

/// Single picks in unlike surroundings; each is undone at once.
fn pick(criterion: &mut Criterion) {
    let crowd = crowd();
    let mut group = criterion.benchmark_group("picker/pick");
    let all = Bitfield::full(PIECES as usize);

    let mut fresh = picker(&crowd);
    fresh.set_had(PieceIndex(0));
    group.bench_function("open the rarest", |bencher| {
        bencher.iter(|| {
            let pick = fresh.pick(peer(0), &all, true).expect("a closed piece");
            fresh.close_piece(pick.block.piece);
        });
    });

    let mut busy = picker(&crowd);
    ask_for(&mut busy, &all, 256 * 16 - 1);
    group.bench_function("go on among 256 open pieces", |bencher| {
        bencher.iter(|| {
            let pick = busy.pick(peer(0), &all, true).expect("a free block");
            busy.release(peer(0), pick.block);
        });
    });

    // Urgent pieces that the peer lacks must not make its other picks dear.
    let mut lacking = all.clone();
    for piece in (0..PIECES).map(PieceIndex).filter(|piece| piece.0 % 2 == 0) {
        if !busy.is_open(piece) {
            busy.set_priority(piece, Priority::High);
            lacking.remove(piece.at());
        }
    }
    group.bench_function("go on where all urgent pieces are lacking", |bencher| {
        bencher.iter(|| {
            let pick = busy.pick(peer(0), &lacking, true).expect("a free block");
            busy.release(peer(0), pick.block);
        });
    });

    let mut stuck = picker(&crowd);
    ask_for(&mut stuck, &all, 256 * 16);
    let mut have = Bitfield::new(PIECES as usize);
    for piece in stuck.open_pieces() {
        have.insert(piece.at());
    }
    group.bench_function("in vain", |bencher| {
        bencher.iter(|| stuck.pick(peer(1), black_box(&have), true));
    });

    for piece in (0..PIECES).map(PieceIndex) {
        if !stuck.is_open(piece) {
            stuck.set_had(piece);
        }
    }
    group.bench_function("endgame over 256 open pieces", |bencher| {
        bencher.iter(|| {
            let pick = stuck.pick(peer(1), &all, true).expect("a duplicate");
            stuck.release(peer(1), pick.block);
        });
    });
    group.finish();
}

/// Asks peer 0 for so many blocks.
fn ask_for(picker: &mut Picker, have: &Bitfield, blocks: usize) {
    for _ in 0..blocks {
        picker
            .pick(peer(0), have, true)
            .expect("something to fetch");
    }
}

criterion_group!(benches, have, join_and_leave, download, pick);
criterion_main!(benches);

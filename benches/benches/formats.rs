//! Decoding: a torrent file of many files, and streams of messages as they come from peers.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ripcurrent_proto::wire::bencode::{Limits, decode};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Message, encode_piece_header};

const MANY_FILES: &[u8] = include_bytes!("../../proto/testdata/torrents-made/many-files.torrent");

/// What one receive brings, in bytes.
const RECEIVED: usize = 64 << 10;

fn bencode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("bencode/decode");
    group.throughput(Throughput::Bytes(MANY_FILES.len() as u64));
    group.bench_function("many files", |bencher| {
        bencher
            .iter(|| decode(black_box(MANY_FILES), Limits::METAINFO).map(|tree| tree.consumed()));
    });
    group.finish();
}

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message/decode");
    let streams = [
        ("requests and haves", small_messages()),
        ("blocks", blocks()),
    ];
    for (name, stream) in &streams {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(*name, |bencher| {
            let mut decoder = Decoder::new(10_000);
            bencher.iter(|| decode_all(&mut decoder, black_box(stream)));
        });
    }
    group.finish();
}

/// Feeds a stream as it is received; how many frames it held. Ends between two messages.
fn decode_all(decoder: &mut Decoder, stream: &[u8]) -> usize {
    let mut frames = 0;
    for received in stream.chunks(RECEIVED) {
        let mut data = received;
        while let Some(frame) = decoder.next(&mut data).expect("well-formed messages") {
            black_box(frame);
            frames += 1;
        }
    }
    frames
}

fn small_messages() -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..5_000 {
        Message::Request(block(number)).encode(&mut stream);
        Message::Have(number).encode(&mut stream);
    }
    stream
}

fn blocks() -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 0..64 {
        let block = block(number);
        encode_piece_header(block, &mut stream);
        stream.resize(stream.len() + block.len as usize, 0xa5);
    }
    stream
}

/// A block of a piece of 256 KiB.
fn block(number: u32) -> BlockRequest {
    BlockRequest {
        piece: number / 16,
        begin: number % 16 * (16 << 10),
        len: 16 << 10,
    }
}

criterion_group!(benches, bencode, messages);
criterion_main!(benches);

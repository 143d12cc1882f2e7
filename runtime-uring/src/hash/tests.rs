//! Every kernel that this machine has, against the crates `sha1` and `sha2`.

use proptest::collection::vec;
use proptest::prelude::*;
use sha1::{Digest, Sha1};
use sha2::Sha256;

use super::*;

/// Bytes of which no two rows are alike.
fn bytes(len: usize, number: usize) -> Vec<u8> {
    let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let step = |_| {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (state >> 56) as u8
    };
    (0..len).map(step).collect()
}

/// Hashes messages of these lengths together, both ways, with every kernel.
#[track_caller]
fn check(lens: &[usize]) {
    let messages: Vec<_> = (0..).zip(lens).map(|(at, len)| bytes(*len, at)).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let expected1: Vec<[u8; 20]> = messages.iter().map(|m| Sha1::digest(m).into()).collect();
    let expected256: Vec<[u8; 32]> = messages.iter().map(|m| Sha256::digest(m).into()).collect();
    for kernel in Kernel::all() {
        let mut digests = vec![[0; 20]; lens.len()];
        sha1(kernel, &messages, &mut digests);
        assert!(digests == expected1, "SHA-1 by {kernel:?} of {lens:?}");
        let mut digests = vec![[0; 32]; lens.len()];
        sha256(kernel, &messages, &mut digests);
        assert!(digests == expected256, "SHA-256 by {kernel:?} of {lens:?}");
    }
}

/// Little enough for Miri (`cargo +nightly miri test -p ripcurrent-runtime-uring hash::`), which has
/// the kernels that it is told of: `RUSTFLAGS="-C target-feature=+avx2,+avx512f,+avx512bw"`. It does
/// not know the SHA-1 instructions; those the fuzz target runs under a sanitizer.
#[test]
fn a_few_messages() {
    check(&[0, 1, 55, 56, 64, 130, 200, 64, 3, 500]);
    check(&[64]);
}

/// Every length around the edges of blocks: where the end still fits, where it takes a block of its
/// own; alone and all side by side.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn every_length_around_the_edges_of_blocks() {
    let lens: Vec<usize> = (0..=200)
        .chain([1023, 1024, 1025, 16_383, 16_384])
        .collect();
    for len in &lens {
        check(&[*len]);
        check(&[*len; 3]);
    }
    check(&lens);
}

/// Every count of messages around the widths of the kernels, none included.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn every_count_around_the_lanes() {
    for count in 0..=40 {
        check(&vec![640; count]);
        check(&(0..count).map(|at| at * 37 % 300).collect::<Vec<_>>());
    }
}

/// As in a torrent: equal pieces and a last one that is shorter, at any place.
#[test]
#[cfg_attr(miri, ignore = "too much for Miri")]
fn a_last_piece_among_equal_ones() {
    for place in 0..17 {
        let mut lens = [16 << 10; 17];
        lens[place] = 5_555;
        check(&lens);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Messages of any lengths, in any number.
    #[test]
    #[cfg_attr(miri, ignore = "too much for Miri")]
    fn any_lengths(lens in vec(prop_oneof![0..200usize, 0..5_000usize], 0..50)) {
        check(&lens);
    }

    /// A message hashed part by part has the digest of the whole, whatever is hashed beside it and
    /// however the parts lie in memory.
    #[test]
    #[cfg_attr(miri, ignore = "too much for Miri")]
    fn any_parts(
        cuts in vec(vec(0..20usize, 4), 1..20),
        rests in vec(0..200usize, 20),
        shift in 0..64usize,
    ) {
        let len = |cuts: &Vec<usize>, rest: &usize| shift + cuts.iter().sum::<usize>() * 64 + rest;
        let lens = cuts.iter().zip(&rests).map(|(cuts, rest)| len(cuts, rest));
        let memory: Vec<_> = lens.enumerate().map(|(at, len)| bytes(len, at)).collect();
        let messages: Vec<&[u8]> = memory.iter().map(|memory| &memory[shift..]).collect();
        let expected: Vec<[u8; 20]> = messages.iter().map(|m| Sha1::digest(m).into()).collect();
        for kernel in Kernel::all() {
            let mut left = messages.clone();
            let mut parts = vec![Sha1Part::default(); messages.len()];
            for step in 0..4 {
                let now = cuts.iter().zip(&mut left);
                let now: Vec<_> = now.map(|(cuts, left)| left.split_off(..cuts[step] * 64)).collect();
                let now: Vec<&[u8]> = now.into_iter().flatten().collect();
                Sha1Part::advance(kernel, &mut parts, &now);
            }
            let mut digests = vec![[0; 20]; messages.len()];
            Sha1Part::finish(kernel, &parts, &left, &mut digests);
            prop_assert!(digests == expected, "{:?} of {:?} and {:?}", kernel, cuts, rests);
        }
    }
}

/// A part that is not the last and no whole number of blocks would be hashed as something else.
#[test]
#[should_panic(expected = "65 bytes are no whole blocks")]
fn only_the_last_part_is_ragged() {
    Sha1Part::advance(Kernel::best(), &mut [Sha1Part::default()], &[&[0; 65]]);
}

/// A digest is never left out without a word.
#[test]
#[should_panic(expected = "each message has its digest")]
fn each_message_has_its_digest() {
    sha1(Kernel::best(), &[b"a", b"b"], &mut [[0; 20]]);
}

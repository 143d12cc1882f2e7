//! The SHA instructions, over several messages in turns: each instruction waits for the one before
//! it of the same message, and another message fills the time.

use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_loadu_si128, _mm_set_epi32,
    _mm_set_epi64x, _mm_setzero_si128, _mm_sha1msg1_epu32, _mm_sha1msg2_epu32, _mm_sha1nexte_epu32,
    _mm_sha1rnds4_epu32, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
    _mm_shuffle_epi8, _mm_shuffle_epi32, _mm_xor_si128,
};

use super::padding::Block;
use super::rounds::SHA256_K;

/// A kernel for [`Rung`](super::lanes::Rung) of `N` lanes.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha1<const N: usize>(states: &mut [[u32; 5]], blocks: &[&[Block]]) {
    let (lanes, count) = rows::<N>(states.len(), blocks);
    let [mut abcd, mut e] = [[_mm_setzero_si128(); N]; 2];
    for (lane, state) in states.iter().enumerate() {
        let [a, b, c, d, last] = state.map(u32::cast_signed);
        abcd[lane] = _mm_set_epi32(a, b, c, d);
        e[lane] = _mm_set_epi32(last, 0, 0, 0);
    }
    let order = _mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f);
    for at in 0..count {
        // SAFETY: each lane has `count` blocks, and `at` is less.
        let mut words = unsafe { load(&lanes, at, order) };
        let (abcd_before, e_before) = (abcd, e);
        let mut earlier = abcd;
        macro_rules! four_rounds {
            ($f:literal: $($group:literal)*) => {$(
                for lane in 0..N {
                    let words = &mut words[lane];
                    if $group >= 4 {
                        let old = _mm_sha1msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                        let old = _mm_xor_si128(old, words[($group + 2) % 4]);
                        words[$group % 4] = _mm_sha1msg2_epu32(old, words[($group + 3) % 4]);
                    }
                    let next = if $group == 0 {
                        _mm_add_epi32(e[lane], words[0])
                    } else {
                        _mm_sha1nexte_epu32(earlier[lane], words[$group % 4])
                    };
                    earlier[lane] = abcd[lane];
                    abcd[lane] = _mm_sha1rnds4_epu32::<$f>(abcd[lane], next);
                }
            )*};
        }
        four_rounds!(0: 0 1 2 3 4);
        four_rounds!(1: 5 6 7 8 9);
        four_rounds!(2: 10 11 12 13 14);
        four_rounds!(3: 15 16 17 18 19);
        for lane in 0..N {
            e[lane] = _mm_sha1nexte_epu32(earlier[lane], e_before[lane]);
            abcd[lane] = _mm_add_epi32(abcd[lane], abcd_before[lane]);
        }
    }
    for (lane, state) in states.iter_mut().enumerate() {
        *state = [
            _mm_extract_epi32::<3>(abcd[lane]),
            _mm_extract_epi32::<2>(abcd[lane]),
            _mm_extract_epi32::<1>(abcd[lane]),
            _mm_extract_epi32::<0>(abcd[lane]),
            _mm_extract_epi32::<3>(e[lane]),
        ]
        .map(i32::cast_unsigned);
    }
}

/// A kernel for [`Rung`](super::lanes::Rung) of `N` lanes.
#[target_feature(enable = "sha,sse4.1,ssse3")]
pub(super) fn sha256<const N: usize>(states: &mut [[u32; 8]], blocks: &[&[Block]]) {
    let (lanes, count) = rows::<N>(states.len(), blocks);
    let [mut abef, mut cdgh] = [[_mm_setzero_si128(); N]; 2];
    for (lane, state) in states.iter().enumerate() {
        let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
        abef[lane] = _mm_set_epi32(a, b, e, f);
        cdgh[lane] = _mm_set_epi32(c, d, g, h);
    }
    let order = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    for at in 0..count {
        // SAFETY: each lane has `count` blocks, and `at` is less.
        let mut words = unsafe { load(&lanes, at, order) };
        let (abef_before, cdgh_before) = (abef, cdgh);
        macro_rules! four_rounds {
            ($($group:literal)*) => {$(
                // SAFETY: four constants begin here.
                let k = unsafe { _mm_loadu_si128(SHA256_K.as_ptr().add(4 * $group).cast()) };
                for lane in 0..N {
                    let words = &mut words[lane];
                    if $group >= 4 {
                        let last = words[($group + 3) % 4];
                        let old = _mm_sha256msg1_epu32(words[$group % 4], words[($group + 1) % 4]);
                        let old = _mm_add_epi32(
                            old,
                            _mm_alignr_epi8::<4>(last, words[($group + 2) % 4]),
                        );
                        words[$group % 4] = _mm_sha256msg2_epu32(old, last);
                    }
                    let next = _mm_add_epi32(words[$group % 4], k);
                    cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], next);
                    let next = _mm_shuffle_epi32::<0b00_00_11_10>(next);
                    abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], next);
                }
            )*};
        }
        four_rounds!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], abef_before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], cdgh_before[lane]);
        }
    }
    for (lane, state) in states.iter_mut().enumerate() {
        *state = [
            _mm_extract_epi32::<3>(abef[lane]),
            _mm_extract_epi32::<2>(abef[lane]),
            _mm_extract_epi32::<3>(cdgh[lane]),
            _mm_extract_epi32::<2>(cdgh[lane]),
            _mm_extract_epi32::<1>(abef[lane]),
            _mm_extract_epi32::<0>(abef[lane]),
            _mm_extract_epi32::<1>(cdgh[lane]),
            _mm_extract_epi32::<0>(cdgh[lane]),
        ]
        .map(i32::cast_unsigned);
    }
}

/// Where the blocks of each lane begin, and how many each has. Idle lanes do what the first one
/// does.
fn rows<const N: usize>(states: usize, blocks: &[&[Block]]) -> ([*const Block; N], usize) {
    let count = blocks[0].len();
    assert!(blocks.len() == states && blocks.len() <= N);
    assert!(blocks.iter().all(|blocks| blocks.len() == count));
    let mut lanes = [blocks[0].as_ptr(); N];
    for (lane, blocks) in lanes.iter_mut().zip(blocks) {
        *lane = blocks.as_ptr();
    }
    (lanes, count)
}

/// One block of each lane, its bytes in the given order. What `lanes` point at must be more than
/// `at` blocks.
#[inline]
#[target_feature(enable = "ssse3")]
unsafe fn load<const N: usize>(
    lanes: &[*const Block; N],
    at: usize,
    order: __m128i,
) -> [[__m128i; 4]; N] {
    let mut words = [[_mm_setzero_si128(); 4]; N];
    for (lane, words) in lanes.iter().zip(&mut words) {
        for (quarter, words) in words.iter_mut().enumerate() {
            // SAFETY: the block is one of those of the lane, and a block is four vectors long; its
            // address need not be aligned.
            let bytes = unsafe { _mm_loadu_si128(lane.add(at).cast::<__m128i>().add(quarter)) };
            *words = _mm_shuffle_epi8(bytes, order);
        }
    }
    words
}

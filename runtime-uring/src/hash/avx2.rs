//! Eight lanes of 256 bits.

use std::arch::x86_64::{
    __m128i, __m256i, _mm_set_epi8, _mm256_add_epi32, _mm256_and_si256,
    _mm256_broadcastsi128_si256, _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256,
    _mm256_set1_epi32, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_unpackhi_epi32, _mm256_unpackhi_epi64,
    _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::padding::Block;
use super::rounds::{SHA256_K, lane_kernels, sha1_rounds, sha256_rounds};

/// Messages hashed side by side.
pub(super) const LANES: usize = 8;

lane_kernels!("avx2");

type Words = __m256i;

/// The 16 words of one block of each lane, the same word of all lanes in one vector. What `lanes`
/// point at must be `count` blocks, more than `at`.
///
/// `W` makes this a function of each kernel's own, which is then inlined.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load<const W: usize>(
    lanes: &[*const Block; LANES],
    at: usize,
    _count: usize,
) -> [Words; 16] {
    let big_endian: __m128i = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let big_endian = _mm256_broadcastsi128_si256(big_endian);
    let mut words = [_mm256_setzero_si256(); 16];
    for (half, words) in words.chunks_exact_mut(8).enumerate() {
        let mut rows = [_mm256_setzero_si256(); LANES];
        for (row, lane) in rows.iter_mut().zip(lanes) {
            // SAFETY: the block is one of those of the lane, and a block is two vectors long; its
            // address need not be aligned.
            let block = unsafe { _mm256_loadu_si256(lane.add(at).cast::<Words>().add(half)) };
            *row = _mm256_shuffle_epi8(block, big_endian);
        }
        words.copy_from_slice(&transpose::<W>(&rows));
    }
    words
}

/// Rows to columns: first 4 x 4 words within each half of four rows, then the halves.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose<const W: usize>(rows: &[Words; 8]) -> [Words; 8] {
    let mut quads = [_mm256_setzero_si256(); 8];
    for (rows, quads) in rows.chunks_exact(4).zip(quads.chunks_exact_mut(4)) {
        let low01 = _mm256_unpacklo_epi32(rows[0], rows[1]);
        let low23 = _mm256_unpacklo_epi32(rows[2], rows[3]);
        let high01 = _mm256_unpackhi_epi32(rows[0], rows[1]);
        let high23 = _mm256_unpackhi_epi32(rows[2], rows[3]);
        quads[0] = _mm256_unpacklo_epi64(low01, low23);
        quads[1] = _mm256_unpackhi_epi64(low01, low23);
        quads[2] = _mm256_unpacklo_epi64(high01, high23);
        quads[3] = _mm256_unpackhi_epi64(high01, high23);
    }
    let mut columns = [_mm256_setzero_si256(); 8];
    for word in 0..4 {
        columns[word] = _mm256_permute2x128_si256::<0x20>(quads[word], quads[4 + word]);
        columns[4 + word] = _mm256_permute2x128_si256::<0x31>(quads[word], quads[4 + word]);
    }
    columns
}

/// The states of lanes, the same word of all in one vector.
#[inline]
#[target_feature(enable = "avx2")]
fn spread<const W: usize>(states: &[[u32; W]]) -> [Words; W] {
    let mut vectors = [_mm256_setzero_si256(); W];
    for (word, vector) in vectors.iter_mut().enumerate() {
        let mut lanes = [0u32; LANES];
        for (lane, state) in lanes.iter_mut().zip(states) {
            *lane = state[word];
        }
        // SAFETY: the array is as long as the vector.
        *vector = unsafe { _mm256_loadu_si256(lanes.as_ptr().cast()) };
    }
    vectors
}

/// The way back from [`spread`].
#[inline]
#[target_feature(enable = "avx2")]
fn collect<const W: usize>(vectors: [Words; W], states: &mut [[u32; W]]) {
    for (word, vector) in vectors.into_iter().enumerate() {
        let mut lanes = [0u32; LANES];
        // SAFETY: the array is as long as the vector.
        unsafe { _mm256_storeu_si256(lanes.as_mut_ptr().cast(), vector) };
        for (lane, state) in lanes.into_iter().zip(states.iter_mut()) {
            state[word] = lane;
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(word: u32) -> Words {
    _mm256_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx2")]
fn add(x: Words, y: Words) -> Words {
    _mm256_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx2")]
fn xor(x: Words, y: Words) -> Words {
    _mm256_xor_si256(x, y)
}

/// To the left by `LEFT` bits, which is to the right by `RIGHT`: 32 together.
#[inline]
#[target_feature(enable = "avx2")]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: Words) -> Words {
    const { assert!(LEFT + RIGHT == 32) };
    _mm256_or_si256(_mm256_slli_epi32::<LEFT>(x), _mm256_srli_epi32::<RIGHT>(x))
}

/// To the right.
#[inline]
#[target_feature(enable = "avx2")]
fn shift<const BITS: i32>(x: Words) -> Words {
    _mm256_srli_epi32::<BITS>(x)
}

/// The bits of `y` where `x` has one, else those of `z`.
#[inline]
#[target_feature(enable = "avx2")]
fn choose(x: Words, y: Words, z: Words) -> Words {
    xor(z, _mm256_and_si256(x, xor(y, z)))
}

#[inline]
#[target_feature(enable = "avx2")]
fn parity(x: Words, y: Words, z: Words) -> Words {
    xor(xor(x, y), z)
}

#[inline]
#[target_feature(enable = "avx2")]
fn majority(x: Words, y: Words, z: Words) -> Words {
    xor(y, _mm256_and_si256(xor(x, y), xor(y, z)))
}

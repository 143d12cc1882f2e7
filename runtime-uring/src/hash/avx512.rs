//! Sixteen lanes of 512 bits: a rotation and any function of three words take one instruction each.

use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm_set_epi8, _mm512_add_epi32, _mm512_broadcast_i32x4,
    _mm512_loadu_si512, _mm512_rol_epi32, _mm512_set1_epi32, _mm512_setzero_si512,
    _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32, _mm512_storeu_si512,
    _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
    _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::padding::Block;
use super::rounds::{SHA256_K, lane_kernels, sha1_rounds, sha256_rounds};

/// Messages hashed side by side.
pub(super) const LANES: usize = 16;

/// How many blocks ahead memory is asked for. Sixteen rows are more than it foresees by itself.
const AHEAD: usize = 4;

lane_kernels!("avx512f,avx512bw");

type Words = __m512i;

/// The 16 words of one block of each lane, the same word of all lanes in one vector. What `lanes`
/// point at must be `count` blocks, more than `at`.
///
/// `W` makes this a function of each kernel's own, which is then inlined: the words stay in
/// registers.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn load<const W: usize>(
    lanes: &[*const Block; LANES],
    at: usize,
    count: usize,
) -> [Words; 16] {
    let big_endian = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    let big_endian = _mm512_broadcast_i32x4(big_endian);
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, lane) in rows.iter_mut().zip(lanes) {
        // SAFETY: the block is one of those of the lane; its address need not be aligned.
        let block = unsafe { _mm512_loadu_si512(lane.add(at).cast()) };
        if at + AHEAD < count {
            // SAFETY: as above.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(lane.add(at + AHEAD).cast()) };
        }
        *row = _mm512_shuffle_epi8(block, big_endian);
    }
    transpose::<W>(&rows)
}

/// Rows to columns: first 4 x 4 words within each quarter of four rows, then the quarters.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose<const W: usize>(rows: &[Words; 16]) -> [Words; 16] {
    let mut quads = [_mm512_setzero_si512(); 16];
    for (rows, quads) in rows.chunks_exact(4).zip(quads.chunks_exact_mut(4)) {
        let low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
        let low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
        let high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
        let high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
        quads[0] = _mm512_unpacklo_epi64(low01, low23);
        quads[1] = _mm512_unpackhi_epi64(low01, low23);
        quads[2] = _mm512_unpacklo_epi64(high01, high23);
        quads[3] = _mm512_unpackhi_epi64(high01, high23);
    }
    let mut columns = [_mm512_setzero_si512(); 16];
    for word in 0..4 {
        let [a, b, c, d] = [
            quads[word],
            quads[4 + word],
            quads[8 + word],
            quads[12 + word],
        ];
        let even_ab = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
        let even_cd = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
        let odd_ab = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
        let odd_cd = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
        columns[word] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even_ab, even_cd);
        columns[4 + word] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd_ab, odd_cd);
        columns[8 + word] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even_ab, even_cd);
        columns[12 + word] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd_ab, odd_cd);
    }
    columns
}

/// The states of lanes, the same word of all in one vector.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn spread<const W: usize>(states: &[[u32; W]]) -> [Words; W] {
    let mut vectors = [_mm512_setzero_si512(); W];
    for (word, vector) in vectors.iter_mut().enumerate() {
        let mut lanes = [0u32; LANES];
        for (lane, state) in lanes.iter_mut().zip(states) {
            *lane = state[word];
        }
        // SAFETY: the array is as long as the vector.
        *vector = unsafe { _mm512_loadu_si512(lanes.as_ptr().cast()) };
    }
    vectors
}

/// The way back from [`spread`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn collect<const W: usize>(vectors: [Words; W], states: &mut [[u32; W]]) {
    for (word, vector) in vectors.into_iter().enumerate() {
        let mut lanes = [0u32; LANES];
        // SAFETY: the array is as long as the vector.
        unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), vector) };
        for (lane, state) in lanes.into_iter().zip(states.iter_mut()) {
            state[word] = lane;
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn splat(word: u32) -> Words {
    _mm512_set1_epi32(word.cast_signed())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn add(x: Words, y: Words) -> Words {
    _mm512_add_epi32(x, y)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor(x: Words, y: Words) -> Words {
    _mm512_xor_si512(x, y)
}

/// To the left by `LEFT` bits, which is to the right by `RIGHT`: 32 together.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn rotate<const LEFT: i32, const RIGHT: i32>(x: Words) -> Words {
    const { assert!(LEFT + RIGHT == 32) };
    _mm512_rol_epi32::<LEFT>(x)
}

/// To the right.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn shift<const BITS: u32>(x: Words) -> Words {
    _mm512_srli_epi32::<BITS>(x)
}

/// The bits of `y` where `x` has one, else those of `z`. The constants of this and the next two are
/// their truth tables.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn choose(x: Words, y: Words, z: Words) -> Words {
    _mm512_ternarylogic_epi32::<0xca>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn parity(x: Words, y: Words, z: Words) -> Words {
    _mm512_ternarylogic_epi32::<0x96>(x, y, z)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn majority(x: Words, y: Words, z: Words) -> Words {
    _mm512_ternarylogic_epi32::<0xe8>(x, y, z)
}

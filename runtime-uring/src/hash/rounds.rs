//! The rounds of SHA-1 and SHA-256 (FIPS 180-4, sections 6.1.2 and 6.2.2) on vectors, of which each
//! holds the same word of every lane.
//!
//! They are written in the names `add`, `rotate`, `choose`, ... that each width of vectors defines
//! in its own instructions. Macros, because the words of the schedule stay in registers only where
//! every index is a constant, and a function generic over the vectors would not carry the
//! instructions' leave to be used.

/// Of SHA-1: the state after one block, before the one ahead of it is added. `$words` are used up.
macro_rules! sha1_rounds {
    ($state:expr, $words:ident) => {{
        let [mut a, mut b, mut c, mut d, mut e] = $state;
        sha1_rounds!(@twenty choose, 0x5a82_7999, $words, 0, a b c d e);
        sha1_rounds!(@twenty parity, 0x6ed9_eba1, $words, 20, a b c d e);
        sha1_rounds!(@twenty majority, 0x8f1b_bcdc, $words, 40, a b c d e);
        sha1_rounds!(@twenty parity, 0xca62_c1d6, $words, 60, a b c d e);
        [a, b, c, d, e]
    }};
    (@twenty $f:ident, $k:literal, $words:ident, $t:literal,
        $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        let k = splat($k);
        sha1_rounds!(@five $f, k, $words, $t, $a $b $c $d $e);
        sha1_rounds!(@five $f, k, $words, $t + 5, $a $b $c $d $e);
        sha1_rounds!(@five $f, k, $words, $t + 10, $a $b $c $d $e);
        sha1_rounds!(@five $f, k, $words, $t + 15, $a $b $c $d $e);
    };
    (@five $f:ident, $k:ident, $words:ident, $t:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident) => {
        sha1_rounds!(@one $f, $k, $words, $t, $a $b $c $d $e);
        sha1_rounds!(@one $f, $k, $words, $t + 1, $e $a $b $c $d);
        sha1_rounds!(@one $f, $k, $words, $t + 2, $d $e $a $b $c);
        sha1_rounds!(@one $f, $k, $words, $t + 3, $c $d $e $a $b);
        sha1_rounds!(@one $f, $k, $words, $t + 4, $b $c $d $e $a);
    };
    (@one $f:ident, $k:ident, $words:ident, $t:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident) => {{
        const T: usize = $t;
        if T >= 16 {
            let earlier = parity($words[(T + 13) % 16], $words[(T + 8) % 16], $words[(T + 2) % 16]);
            $words[T % 16] = rotate::<1, 31>(xor(earlier, $words[T % 16]));
        }
        let ahead = add(add($e, $k), add($words[T % 16], $f($b, $c, $d)));
        $e = add(ahead, rotate::<5, 27>($a));
        $b = rotate::<30, 2>($b);
    }};
}

/// Of SHA-256, as [`sha1_rounds`].
macro_rules! sha256_rounds {
    ($state:expr, $words:ident) => {{
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = $state;
        sha256_rounds!(@sixteen $words, 0, a b c d e f g h);
        sha256_rounds!(@sixteen $words, 16, a b c d e f g h);
        sha256_rounds!(@sixteen $words, 32, a b c d e f g h);
        sha256_rounds!(@sixteen $words, 48, a b c d e f g h);
        [a, b, c, d, e, f, g, h]
    }};
    (@sixteen $words:ident, $t:literal,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        sha256_rounds!(@eight $words, $t, $a $b $c $d $e $f $g $h);
        sha256_rounds!(@eight $words, $t + 8, $a $b $c $d $e $f $g $h);
    };
    (@eight $words:ident, $t:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {
        sha256_rounds!(@one $words, $t, $a $b $c $d $e $f $g $h);
        sha256_rounds!(@one $words, $t + 1, $h $a $b $c $d $e $f $g);
        sha256_rounds!(@one $words, $t + 2, $g $h $a $b $c $d $e $f);
        sha256_rounds!(@one $words, $t + 3, $f $g $h $a $b $c $d $e);
        sha256_rounds!(@one $words, $t + 4, $e $f $g $h $a $b $c $d);
        sha256_rounds!(@one $words, $t + 5, $d $e $f $g $h $a $b $c);
        sha256_rounds!(@one $words, $t + 6, $c $d $e $f $g $h $a $b);
        sha256_rounds!(@one $words, $t + 7, $b $c $d $e $f $g $h $a);
    };
    (@one $words:ident, $t:expr,
        $a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident) => {{
        const T: usize = $t;
        if T >= 16 {
            let (x, y) = ($words[(T + 1) % 16], $words[(T + 14) % 16]);
            let sigma0 = parity(rotate::<25, 7>(x), rotate::<14, 18>(x), shift::<3>(x));
            let sigma1 = parity(rotate::<15, 17>(y), rotate::<13, 19>(y), shift::<10>(y));
            let earlier = add($words[T % 16], $words[(T + 9) % 16]);
            $words[T % 16] = add(earlier, add(sigma0, sigma1));
        }
        let sum1 = parity(rotate::<26, 6>($e), rotate::<21, 11>($e), rotate::<7, 25>($e));
        let sum0 = parity(rotate::<30, 2>($a), rotate::<19, 13>($a), rotate::<10, 22>($a));
        let ahead = add(add($h, splat(SHA256_K[T])), $words[T % 16]);
        let ahead = add(ahead, add(sum1, choose($e, $f, $g)));
        $d = add($d, ahead);
        $h = add(ahead, add(sum0, majority($a, $b, $c)));
    }};
}

/// The kernels of one width of vectors, out of the rounds and what the width defines: `LANES`,
/// `Words`, `load`, `spread`, `collect` and the operations.
macro_rules! lane_kernels {
    ($features:literal) => {
        lane_kernels!($features, sha1, 5, sha1_rounds);
        lane_kernels!($features, sha256, 8, sha256_rounds);
    };
    ($features:literal, $name:ident, $state_words:literal, $rounds:ident) => {
        /// A kernel for [`Rung`](super::lanes::Rung).
        #[target_feature(enable = $features)]
        pub(super) fn $name(states: &mut [[u32; $state_words]], blocks: &[&[Block]]) {
            let count = blocks[0].len();
            assert!(blocks.len() == states.len() && blocks.len() <= LANES);
            assert!(blocks.iter().all(|blocks| blocks.len() == count));
            // Idle lanes do what the first one does.
            let mut lanes = [blocks[0].as_ptr(); LANES];
            for (lane, blocks) in lanes.iter_mut().zip(blocks) {
                *lane = blocks.as_ptr();
            }
            let mut state = spread(states);
            for at in 0..count {
                // SAFETY: each lane has `count` blocks, and `at` is less.
                let mut words = unsafe { load::<$state_words>(&lanes, at, count) };
                let after = $rounds!(state, words);
                for (state, after) in state.iter_mut().zip(after) {
                    *state = add(*state, after);
                }
            }
            collect(state, states);
        }
    };
}

pub(super) use {lane_kernels, sha1_rounds, sha256_rounds};

/// The constants of SHA-256 (FIPS 180-4, section 4.2.2).
pub(super) const SHA256_K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

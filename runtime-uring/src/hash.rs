//! SHA-1 and SHA-256 of many messages at once.
//!
//! The next step of a hash waits for the one before it, so that most of a core is idle while it
//! hashes one message. The kernels here hash up to 16 side by side, with whatever instructions are
//! found at run time ([`Kernel`]). Messages may be of any number and of any, also different,
//! lengths; a message that ends makes room for the next one, and where few are left a narrower
//! kernel takes them over.
//!
//! ```
//! use ripcurrent_runtime_uring::hash::{self, Kernel};
//!
//! let pieces: [&[u8]; 2] = [b"abc", b""];
//! let mut digests = [[0; 20]; 2];
//! hash::sha1(Kernel::best(), &pieces, &mut digests);
//! assert_eq!(digests[0][..4], [0xa9, 0x99, 0x3e, 0x36]);
//! assert_eq!(digests[1][..4], [0xda, 0x39, 0xa3, 0xee]);
//! ```

mod kernel;
mod lanes;
mod padding;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod rounds;
#[cfg(target_arch = "x86_64")]
mod sha_ni;

#[cfg(test)]
mod tests;

pub use kernel::Kernel;

use lanes::Message;
use padding::Padding;

/// The state of SHA-1 before a message (FIPS 180-4, section 5.3.1).
const SHA1_BEGIN: [u32; 5] = [
    0x6745_2301,
    0xefcd_ab89,
    0x98ba_dcfe,
    0x1032_5476,
    0xc3d2_e1f0,
];

/// The state of SHA-256 before a message (FIPS 180-4, section 5.3.3).
const SHA256_BEGIN: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Hashes each message into the digest at the same place.
///
/// # Panics
/// If there are not as many digests as messages.
pub fn sha1(kernel: Kernel, messages: &[&[u8]], digests: &mut [[u8; 20]]) {
    let parts = messages
        .iter()
        .map(|message| (Sha1Part::default(), *message));
    finish_sha1(kernel, parts, digests);
}

/// Hashes each message into the digest at the same place.
///
/// # Panics
/// If there are not as many digests as messages.
pub fn sha256(kernel: Kernel, messages: &[&[u8]], digests: &mut [[u8; 32]]) {
    assert_eq!(messages.len(), digests.len(), "each message has its digest");
    let messages = messages.iter().map(|message| {
        let (body, rest) = message.as_chunks();
        let end = Padding::new(rest, message.len() as u64);
        let state = SHA256_BEGIN;
        Message { state, body, end }
    });
    let done = |place: usize, state: [u32; 8]| write(state, &mut digests[place]);
    // SAFETY: the machine has the instructions of a kernel that there is.
    unsafe { lanes::run(kernel.sha256(), messages, done) };
}

/// How far the SHA-1 of a message is that is hashed part by part.
#[derive(Clone, Copy, Debug)]
pub struct Sha1Part {
    state: [u32; 5],
    /// Bytes so far.
    len: u64,
}

impl Default for Sha1Part {
    /// Before the first byte.
    fn default() -> Self {
        Sha1Part {
            state: SHA1_BEGIN,
            len: 0,
        }
    }
}

impl Sha1Part {
    /// Brings each message forward by the bytes at the same place.
    ///
    /// # Panics
    /// If there are not as many rows of bytes as messages, or if one of them is not a whole number
    /// of blocks of 64 bytes; only what [`finish`](Self::finish) is given may be.
    pub fn advance(kernel: Kernel, parts: &mut [Self], bytes: &[&[u8]]) {
        assert_eq!(parts.len(), bytes.len(), "each message has its bytes");
        let states: Vec<_> = parts.iter().map(|part| part.state).collect();
        let messages = states.into_iter().zip(bytes).map(|(state, bytes)| {
            let (body, rest) = bytes.as_chunks();
            assert!(rest.is_empty(), "{} bytes are no whole blocks", bytes.len());
            let end = Padding::NONE;
            Message { state, body, end }
        });
        let done = |place: usize, state| {
            parts[place].state = state;
            parts[place].len += bytes[place].len() as u64;
        };
        // SAFETY: the machine has the instructions of a kernel that there is.
        unsafe { lanes::run(kernel.sha1(), messages, done) };
    }

    /// Ends each message with the bytes at the same place, as many as there are, and writes its
    /// digest there.
    ///
    /// # Panics
    /// If there are not as many rows of bytes and digests as messages.
    pub fn finish(kernel: Kernel, parts: &[Self], bytes: &[&[u8]], digests: &mut [[u8; 20]]) {
        assert_eq!(parts.len(), bytes.len(), "each message has its bytes");
        let parts = parts.iter().copied().zip(bytes.iter().copied());
        finish_sha1(kernel, parts, digests);
    }
}

fn finish_sha1<'a>(
    kernel: Kernel,
    parts: impl ExactSizeIterator<Item = (Sha1Part, &'a [u8])>,
    digests: &mut [[u8; 20]],
) {
    assert_eq!(parts.len(), digests.len(), "each message has its digest");
    let messages = parts.map(|(part, bytes)| {
        let (body, rest) = bytes.as_chunks();
        let end = Padding::new(rest, part.len + bytes.len() as u64);
        let state = part.state;
        Message { state, body, end }
    });
    let done = |place: usize, state: [u32; 5]| write(state, &mut digests[place]);
    // SAFETY: the machine has the instructions of a kernel that there is.
    unsafe { lanes::run(kernel.sha1(), messages, done) };
}

fn write(state: impl IntoIterator<Item = u32>, digest: &mut [u8]) {
    for (bytes, word) in digest.chunks_exact_mut(4).zip(state) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

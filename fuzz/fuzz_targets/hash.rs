//! Messages of any lengths hashed together, by every kernel of this machine: the digests of the
//! crates. The same messages in parts: the same digests.
//!
//! Input: what the lengths are multiples of (one byte), cuts, then the bytes of all messages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::Knobs;
use ripcurrent_runtime_uring::hash::{self, Kernel, Sha1Part};
use sha1::{Digest, Sha1};
use sha2::Sha256;

fuzz_target!(|input: &[u8]| {
    let mut knobs = Knobs(input);
    let (unit, lens) = (usize::from(knobs.byte()), knobs.cuts());
    let messages = divide(knobs.rest(), lens, unit);
    let sha1: Vec<[u8; 20]> = messages
        .iter()
        .map(|bytes| Sha1::digest(bytes).into())
        .collect();
    let sha256: Vec<[u8; 32]> = messages
        .iter()
        .map(|bytes| Sha256::digest(bytes).into())
        .collect();
    for kernel in Kernel::all() {
        let mut digests = vec![[0; 20]; messages.len()];
        hash::sha1(kernel, &messages, &mut digests);
        assert_eq!(digests, sha1, "SHA-1 by {kernel:?}");
        assert_eq!(
            in_parts(kernel, &messages),
            sha1,
            "SHA-1 in parts by {kernel:?}"
        );
        let mut digests = vec![[0; 32]; messages.len()];
        hash::sha256(kernel, &messages, &mut digests);
        assert_eq!(digests, sha256, "SHA-256 by {kernel:?}");
    }
});

/// Messages as long as `lens` says, as far as the bytes go; the last one takes what is left. Unlike
/// the pieces of a stream they may be empty.
fn divide<'a>(mut bytes: &'a [u8], lens: &[u8], unit: usize) -> Vec<&'a [u8]> {
    let mut messages = Vec::new();
    for len in lens {
        let (message, rest) = bytes.split_at(bytes.len().min(usize::from(*len) * unit));
        messages.push(message);
        bytes = rest;
    }
    messages.push(bytes);
    messages
}

/// The first half of each message, as far as it is whole blocks, then the rest.
fn in_parts(kernel: Kernel, messages: &[&[u8]]) -> Vec<[u8; 20]> {
    let halves = messages
        .iter()
        .map(|bytes| bytes.split_at(bytes.len() / 128 * 64));
    let (heads, tails): (Vec<&[u8]>, Vec<&[u8]>) = halves.unzip();
    let mut parts = vec![Sha1Part::default(); messages.len()];
    Sha1Part::advance(kernel, &mut parts, &heads);
    let mut digests = vec![[0; 20]; messages.len()];
    Sha1Part::finish(kernel, &parts, &tails, &mut digests);
    digests
}

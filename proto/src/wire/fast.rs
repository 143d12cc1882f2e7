//! The allowed-fast set (BEP 6, "Allowed Fast Set Generation").

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use sha1::{Digest, Sha1};

/// The most pieces a set may have. The canonical algorithm compares each new index with all before.
pub const MAX_SET: usize = 64;

/// The pieces that a peer at `ip`, as we see it, may ask for while choked: `k` of them, but never
/// more than [`MAX_SET`] and never more than the torrent has. The first are the same for every `k`
/// and for all addresses of one /24.
#[must_use]
pub fn allowed_fast_set(ip: Ipv4Addr, info_hash: &[u8; 20], pieces: u32, k: usize) -> Vec<u32> {
    let size = k.min(MAX_SET).min(pieces as usize);
    let mut set = Vec::with_capacity(size);
    let mut hash = Sha1::new();
    hash.update((u32::from(ip) & 0xffff_ff00).to_be_bytes());
    hash.update(info_hash);
    while set.len() < size {
        let digest: [u8; 20] = hash.finalize().into();
        for word in digest.as_chunks::<4>().0 {
            let index = u32::from_be_bytes(*word) % pieces;
            if set.len() < size && !set.contains(&index) {
                set.push(index);
            }
        }
        hash = Sha1::new_with_prefix(digest);
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers stand in `tests/wire_vectors.rs`; this one asks for what cannot be given.
    #[test]
    fn the_set_is_no_larger_than_the_torrent() {
        let ip = Ipv4Addr::LOCALHOST;
        assert_eq!(allowed_fast_set(ip, &[1; 20], 0, 10), []);
        assert_eq!(allowed_fast_set(ip, &[1; 20], 1, 10), [0]);
        let mut all = allowed_fast_set(ip, &[1; 20], 40, usize::MAX);
        all.sort_unstable();
        assert_eq!(all, (0..40).collect::<Vec<_>>());
    }
}

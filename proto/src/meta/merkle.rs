//! The hash tree of a v2 file (BEP 52, "file tree layout" and "piece layers"): SHA-256, two by two,
//! over blocks of 16 KiB, filled up to a power of two with hashes of zero.

use alloc::vec::Vec;

use sha2::{Digest, Sha256};

use super::layout::BLOCK_LEN;

/// A SHA-256.
pub type Hash = [u8; 32];

/// The hash of one block of a file, 1 byte to 16 KiB.
#[must_use]
pub fn leaf(block: &[u8]) -> Hash {
    Sha256::digest(block).into()
}

/// The hash above two others.
#[must_use]
pub fn parent(left: &Hash, right: &Hash) -> Hash {
    let hash = Sha256::new().chain_update(left).chain_update(right);
    hash.finalize().into()
}

/// The hash at `height` above leaves that all lie past the end of the file.
#[must_use]
pub fn padding(height: u32) -> Hash {
    (0..height).fold([0; 32], |below, _| parent(&below, &below))
}

/// How many layers the hashes of pieces of `piece_len` bytes lie above the leaves.
#[must_use]
pub fn piece_layer_height(piece_len: u32) -> u32 {
    (piece_len / BLOCK_LEN).max(1).ilog2()
}

/// The root above the hashes of one layer, which lies `height` above the leaves. `None` if there
/// are no hashes. Takes as many hashes again as there are.
#[must_use]
pub fn root(layer: impl IntoIterator<Item = Hash>, height: u32) -> Option<Hash> {
    let mut layer: Vec<Hash> = layer.into_iter().collect();
    let mut fill = padding(height);
    while layer.len() > 1 {
        let above = |pair: &[Hash]| parent(&pair[0], pair.get(1).unwrap_or(&fill));
        layer = layer.chunks(2).map(above).collect();
        fill = parent(&fill, &fill);
    }
    layer.first().copied()
}

/// The hashes of a layer that is stored as bytes; what is left over at the end is no hash.
pub fn hashes(layer: &[u8]) -> impl Iterator<Item = Hash> {
    layer.as_chunks().0.iter().copied()
}

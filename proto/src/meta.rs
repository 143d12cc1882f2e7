//! Floor 1: what is transferred. Torrent files, their info dictionaries, and where their bytes lie.

pub mod layout;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use layout::{Layout, PieceIndex};

/// The names a torrent goes by: at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InfoHashes {
    /// SHA-1 of the info dictionary (BEP 3).
    pub v1: Option<[u8; 20]>,
    /// SHA-256 of the info dictionary (BEP 52).
    pub v2: Option<[u8; 32]>,
}

/// A torrent file that was read and found right.
#[derive(Clone, Debug)]
pub struct Torrent {
    hashes: InfoHashes,
    name: String,
    layout: Arc<Layout>,
    pieces_v1: Bytes,
    trackers: Vec<Vec<String>>,
    private: bool,
}

impl Torrent {
    /// The names it goes by.
    #[must_use]
    pub fn hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// Its display name: one checked and repaired path component.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its bytes lie.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The SHA-1 of a piece; `None` for a v2-only torrent.
    #[must_use]
    pub fn piece_hash_v1(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        self.pieces_v1
            .get(piece.at() * 20..)?
            .first_chunk()
            .copied()
    }

    /// Tracker addresses in tiers, in the order of the torrent file (BEP 12).
    #[must_use]
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.trackers
    }

    /// Whether peers may come from its trackers alone (BEP 27).
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private
    }
}

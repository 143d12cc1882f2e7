//! Floor 1: what is transferred. Torrent files, their info dictionaries, and where their bytes lie.
//!
//! Invariant: a [`Torrent`] has at least one info-hash, taken over the bytes as they were received;
//! its layout, its piece hashes and its piece layers agree; no path of it leaves its folder.

pub mod create;
mod error;
mod fields;
mod info_v1;
mod info_v2;
pub mod layout;
mod listed;
pub mod merkle;
pub mod parts;
pub mod path;
pub mod resume;
mod torrent_file;
mod url;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use layout::{FileIndex, Layout, PieceIndex};

pub use error::TorrentError;
pub use torrent_file::{MAX_HINTS, MAX_PIECE_LENGTH, MAX_PIECES, MAX_TORRENT_LEN, MAX_TRACKERS};

/// The names a torrent goes by: at least one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct InfoHashes {
    /// SHA-1 of the info dictionary (BEP 3).
    pub v1: Option<[u8; 20]>,
    /// SHA-256 of the info dictionary (BEP 52).
    pub v2: Option<[u8; 32]>,
}

/// What a torrent tells of a file beside its place; hints, all of them, but the root.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FileFacts {
    /// Whether it asks to be executable (BEP 47, `attr` `x`).
    pub executable: bool,
    /// Whether it asks to be hidden (BEP 47, `attr` `h`).
    pub hidden: bool,
    /// SHA-1 of its content (BEP 47, `sha1`); not checked.
    pub sha1: Option<[u8; 20]>,
    /// MD5 of its content (`md5sum`, in no BEP); not checked.
    pub md5: Option<[u8; 16]>,
    /// The root of its hash tree (BEP 52, `pieces root`); every file of a v2 torrent that has
    /// bytes has one.
    pub pieces_root: Option<[u8; 32]>,
    /// The hashes of its pieces, 32 bytes each, found to lead to the root (BEP 52,
    /// `piece layers`). `None` if it has no more bytes than a piece, or the torrent left it out.
    pub piece_layer: Option<Bytes>,
}

/// A DHT node that a torrent recommends (BEP 5, `nodes`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhtNode {
    /// A host name or an address, not resolved, at most 253 bytes.
    pub host: String,
    /// The UDP port, not zero.
    pub port: u16,
}

/// A torrent file that was read and found right.
#[derive(Clone)]
pub struct Torrent {
    hashes: InfoHashes,
    info: Bytes,
    name: String,
    layout: Arc<Layout>,
    facts: Vec<FileFacts>,
    pieces_v1: Bytes,
    private: bool,
    source: Option<String>,
    hints: Hints,
}

/// What stands around the info dictionary: nothing that an info-hash vouches for.
#[derive(Clone, Debug, Default)]
struct Hints {
    trackers: Vec<Vec<String>>,
    url_seeds: Vec<String>,
    http_seeds: Vec<String>,
    nodes: Vec<DhtNode>,
    comment: Option<String>,
    created_by: Option<String>,
    creation_date: Option<i64>,
    encoding: Option<String>,
    similar: Vec<[u8; 20]>,
    collections: Vec<String>,
}

impl Torrent {
    /// The names it goes by.
    #[must_use]
    pub fn hashes(&self) -> InfoHashes {
        self.hashes
    }

    /// The info dictionary as it was received: what the info-hashes are of, and what peers ask for
    /// (BEP 9). Empty of a torrent [without its pieces](Torrent::without_pieces).
    #[must_use]
    pub fn info_bytes(&self) -> &Bytes {
        &self.info
    }

    /// Its display name: one checked and repaired path component.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its bytes lie. Of a v2-only torrent every file is padded to whole pieces, as
    /// its piece space is (BEP 52).
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The same without what only looking at data takes and large torrents are large by: the info
    /// dictionary, the hashes of pieces and the piece layers, and with them the bytes that all of it
    /// was read from. For who keeps many torrents and can read each of them again.
    #[must_use]
    pub fn without_pieces(mut self) -> Self {
        self.info = Bytes::new();
        self.pieces_v1 = Bytes::new();
        for facts in &mut self.facts {
            facts.piece_layer = None;
        }
        self
    }

    /// Whether it has its pieces' hashes: unless it is [without](Torrent::without_pieces).
    #[must_use]
    pub fn has_pieces(&self) -> bool {
        !self.info.is_empty()
    }

    /// What it tells of a file beside its place.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn facts(&self, file: FileIndex) -> &FileFacts {
        &self.facts[file.at()]
    }

    /// The SHA-1 of a piece; `None` for a v2-only torrent and for one
    /// [without its pieces](Torrent::without_pieces).
    #[must_use]
    pub fn piece_hash_v1(&self, piece: PieceIndex) -> Option<[u8; 20]> {
        self.pieces_v1
            .get(piece.at() * 20..)?
            .first_chunk()
            .copied()
    }

    /// Whether peers may come from its trackers alone (BEP 27).
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// The tracker it was made for (`source`, in no BEP): sets its info-hash apart.
    #[must_use]
    pub fn source(&self) -> Option<&str> {
        self.source.as_deref()
    }

    /// Tracker addresses in tiers, in the order of the torrent file (BEP 12): each once, with the
    /// scheme http, https or udp, at most [`MAX_TRACKERS`]. No tier is empty.
    #[must_use]
    pub fn trackers(&self) -> &[Vec<String>] {
        &self.hints.trackers
    }

    /// Web seeds (BEP 19): each once, escaped, with the scheme http or https or with none at all
    /// as some torrents have them; at most [`MAX_HINTS`]. If there are several files, each ends
    /// with a slash.
    #[must_use]
    pub fn url_seeds(&self) -> &[String] {
        &self.hints.url_seeds
    }

    /// Scripted web seeds (BEP 17), under the rules of [`Torrent::url_seeds`] but the slash.
    #[must_use]
    pub fn http_seeds(&self) -> &[String] {
        &self.hints.http_seeds
    }

    /// DHT nodes to begin with (BEP 5), at most [`MAX_HINTS`].
    #[must_use]
    pub fn dht_nodes(&self) -> &[DhtNode] {
        &self.hints.nodes
    }

    /// The author's words, of any length, with any control character: not fit for a terminal.
    #[must_use]
    pub fn comment(&self) -> Option<&str> {
        self.hints.comment.as_deref()
    }

    /// The program that made it; not fit for a terminal either.
    #[must_use]
    pub fn created_by(&self) -> Option<&str> {
        self.hints.created_by.as_deref()
    }

    /// When it was made, in seconds since 1970, as its author says.
    #[must_use]
    pub fn creation_date(&self) -> Option<i64> {
        self.hints.creation_date
    }

    /// The encoding that its author says strings have; UTF-8 is what is believed.
    #[must_use]
    pub fn encoding(&self) -> Option<&str> {
        self.hints.encoding.as_deref()
    }

    /// Info-hashes of torrents that may share files with it (BEP 38), at most [`MAX_HINTS`].
    #[must_use]
    pub fn similar(&self) -> &[[u8; 20]] {
        &self.hints.similar
    }

    /// Names of collections whose torrents may share files with it (BEP 38), at most
    /// [`MAX_HINTS`].
    #[must_use]
    pub fn collections(&self) -> &[String] {
        &self.hints.collections
    }
}

impl fmt::Debug for Torrent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Torrent")
            .field("name", &self.name)
            .field("hashes", &self.hashes)
            .field("pieces", &self.layout.pieces())
            .finish_non_exhaustive()
    }
}

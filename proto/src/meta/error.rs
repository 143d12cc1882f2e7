//! What can be wrong with a torrent file.

use super::layout::BadLayout;
use super::path::TooManyNamesakes;
use super::torrent_file::{MAX_PIECES, MAX_TORRENT_LEN};
use crate::wire::bencode::{self, Flaws};

/// Why bytes are not a torrent file, or one that cannot be downloaded safely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TorrentError {
    /// More than [`MAX_TORRENT_LEN`].
    #[error("a torrent file of {len} bytes, more than {MAX_TORRENT_LEN}")]
    TooLarge {
        /// Its length in bytes.
        len: usize,
    },
    /// Not bencoding (BEP 3).
    #[error("not bencoding: {0}")]
    Bencode(#[from] bencode::Error),
    /// A field that must be there is not.
    #[error("`{field}` is missing")]
    Missing {
        /// The field, with the dictionaries around it.
        field: &'static str,
    },
    /// A field has another type or value than it must.
    #[error("`{field}` is not {expected}")]
    Wrong {
        /// The field, with the dictionaries around it.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A version of the format that is not known (BEP 52, `meta version`).
    #[error("`info.meta version` {0} is not known")]
    MetaVersion(i64),
    /// The info dictionary of a v2 torrent is not in canonical form (BEP 52, "infohash").
    #[error("`info` is not in canonical form: {0:?}")]
    NotCanonical(Flaws),
    /// The list of files or the file tree is empty.
    #[error("the torrent has no files")]
    NoFiles,
    /// The paths of the files would take too much memory together.
    #[error("the paths of the files are too long together")]
    Paths,
    /// Files that cannot be kept apart.
    #[error(transparent)]
    Namesakes(#[from] TooManyNamesakes),
    /// Files and piece length that do not make a torrent.
    #[error(transparent)]
    Layout(#[from] BadLayout),
    /// More than [`MAX_PIECES`].
    #[error("{pieces} pieces, more than {MAX_PIECES}")]
    TooManyPieces {
        /// How many there would be.
        pieces: u32,
    },
    /// The number of piece hashes is not that of pieces (BEP 3, `pieces`).
    #[error("`info.pieces` is {len} bytes long, but {pieces} pieces need 20 each")]
    PieceHashes {
        /// The length of `pieces` in bytes.
        len: usize,
        /// How many pieces the files make.
        pieces: u32,
    },
    /// The v1 and the v2 half of a hybrid torrent tell of different files (BEP 52, "upgrade path").
    #[error("`info.file tree` does not agree with `info.files` at file {file}")]
    Disagree {
        /// The first file of the tree that differs, from 0, padding not counted.
        file: usize,
    },
    /// A piece layer that does not fit its file or does not lead to its root (BEP 52,
    /// `piece layers`).
    #[error("`piece layers` is wrong for file {file}")]
    PieceLayer {
        /// The file, from 0, padding counted.
        file: usize,
    },
    /// A piece layer, or a second one, for a root that no file of several pieces has (BEP 52,
    /// `piece layers`).
    #[error("`piece layers` has an entry too many")]
    UnknownPieceLayer,
}

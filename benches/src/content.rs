//! What a torrent holds, in memory: for the programs that serve it, or know what must come.

use std::error::Error;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileKind, PieceIndex};
use ripcurrent_proto::wire::message::BlockRequest;

/// A torrent whose pieces have v1 hashes.
#[derive(Debug)]
pub struct Facts {
    /// Its v1 info-hash.
    pub info_hash: [u8; 20],
    /// The length of all pieces but the last, in bytes.
    pub piece_len: u32,
    /// How many pieces it has.
    pub pieces: u32,
    /// Its length in bytes.
    pub total_len: u64,
    torrent: Torrent,
}

impl Facts {
    /// Reads the torrent file at `path`.
    ///
    /// # Errors
    /// If it cannot be read, is no torrent, or is one without v1 hashes.
    pub fn read(path: &Path) -> Result<Facts, Box<dyn Error>> {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let torrent = Torrent::parse(bytes.into());
        let torrent = torrent.map_err(|error| format!("{}: {error}", path.display()))?;
        let info_hash = torrent.hashes().v1;
        Ok(Facts {
            info_hash: info_hash.ok_or_else(|| format!("{}: no v1 hashes", path.display()))?,
            piece_len: torrent.layout().piece_length(),
            pieces: torrent.layout().pieces(),
            total_len: torrent.layout().total_len(),
            torrent,
        })
    }

    /// Where the block begins in the torrent, in bytes; `None` if it does not lie in its piece.
    #[must_use]
    pub fn offset(&self, block: BlockRequest) -> Option<u64> {
        let BlockRequest { piece, begin, len } = block;
        self.torrent.layout().block(piece, begin, len)?;
        Some(u64::from(piece) * u64::from(self.piece_len) + u64::from(begin))
    }

    /// The length of a piece in bytes; 0 if there is no such piece.
    #[must_use]
    pub fn len_of(&self, piece: u32) -> u32 {
        let layout = self.torrent.layout();
        layout
            .piece(piece)
            .map_or(0, |piece| layout.piece_len(piece))
    }

    /// The SHA-1 of a piece, if there is one.
    #[must_use]
    pub fn hash_of(&self, piece: u32) -> Option<[u8; 20]> {
        self.torrent.piece_hash_v1(PieceIndex(piece))
    }

    /// The blocks of a piece in their order, 16 KiB each but the last.
    pub fn blocks(&self, piece: u32) -> impl Iterator<Item = BlockRequest> {
        const BLOCK: u32 = 16 << 10;
        let whole = self.len_of(piece);
        (0..whole)
            .step_by(BLOCK as usize)
            .map(move |begin| BlockRequest {
                piece,
                begin,
                len: BLOCK.min(whole - begin),
            })
    }

    /// Reads all of it from the files below `folder`.
    ///
    /// # Errors
    /// If a file cannot be read or has another length.
    pub fn load(&self, folder: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.total_len)?);
        for entry in self.torrent.layout().files() {
            let end = bytes.len() + usize::try_from(entry.len)?;
            if let FileKind::Regular { .. } = entry.kind {
                let path = folder.join(entry.path_string());
                let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
                read.map_err(|error| format!("{}: {error}", path.display()))?;
                if bytes.len() != end {
                    let len = entry.len;
                    return Err(format!("{}: not {len} bytes", path.display()).into());
                }
            }
            bytes.resize(end, 0);
        }
        Ok(bytes)
    }
}

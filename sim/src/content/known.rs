//! The pieces of a compact torrent, recognised by their tags: their hashes were computed once.

use std::sync::Arc;

use ripcurrent_proto::meta::layout::{Layout, PieceIndex};
use sha1::{Digest, Sha1};

use super::tags::{TAG, Tags, is_blank, places};

/// What everybody in a compact world knows of its torrent.
#[derive(Debug)]
pub(crate) struct Known {
    tags: Tags,
    layout: Arc<Layout>,
    /// SHA-1 of each piece.
    hashes: Vec<[u8; 20]>,
}

impl Known {
    /// `hashes` are those of [`hashes`].
    pub(crate) fn new(tags: Tags, layout: Arc<Layout>, hashes: Vec<[u8; 20]>) -> Self {
        Known {
            tags,
            layout,
            hashes,
        }
    }

    pub(crate) fn tags(&self) -> Tags {
        self.tags
    }

    /// Whether files of this layout hold this torrent.
    pub(crate) fn is_laid_out_as(&self, layout: &Arc<Layout>) -> bool {
        Arc::ptr_eq(&self.layout, layout) || self.layout == *layout
    }

    /// SHA-1 of `bytes`, if they are one of the torrent's pieces; only tags are looked at.
    pub(crate) fn recognise(&self, bytes: &[u8]) -> Option<[u8; 20]> {
        let piece = self.tags.piece_of(bytes.first_chunk::<TAG>()?);
        let piece = self.layout.piece(piece)?;
        if self.layout.piece_len(piece) as usize != bytes.len() {
            return None;
        }
        let start = start(&self.layout, piece);
        let is_right = places(start, bytes.len()).all(|place| {
            let right = &self.tags.of(place.block)[place.of_tag.clone()];
            bytes[place.within()] == *right
        });
        if !is_right {
            return None;
        }
        debug_assert!(is_blank(start, bytes), "{piece:?} has more than its tags");
        Some(self.hashes[piece.at()])
    }
}

/// SHA-1 of each piece.
pub(super) fn hashes(tags: Tags, layout: &Layout) -> Vec<[u8; 20]> {
    let mut buffer = vec![0; layout.piece_length() as usize];
    let pieces = (0..layout.pieces()).map(PieceIndex);
    let hash = |piece| {
        let bytes = &mut buffer[..layout.piece_len(piece) as usize];
        let start = start(layout, piece);
        // Tags lie where those of the piece before did.
        for place in places(start, bytes.len()) {
            let tag = tags.of(place.block);
            bytes[place.within()].copy_from_slice(&tag[place.of_tag]);
        }
        Sha1::digest(bytes).into()
    };
    pieces.map(hash).collect()
}

/// Where a piece begins in the torrent, in bytes.
fn start(layout: &Layout, piece: PieceIndex) -> u64 {
    u64::from(piece.0) * u64::from(layout.piece_length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

    fn known(torrent: u32, len: u64) -> Known {
        let file = FileEntry {
            path: vec!["file".into()],
            len,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Arc::new(Layout::new(64 << 10, vec![file]).unwrap());
        let tags = Tags::new(torrent, layout.piece_length());
        let hashes = hashes(tags, &layout);
        Known::new(tags, layout, hashes)
    }

    fn piece(known: &Known, index: u32) -> Vec<u8> {
        let piece = known.layout.piece(index).unwrap();
        let mut bytes = vec![0; known.layout.piece_len(piece) as usize];
        known.tags.fill(start(&known.layout, piece), &mut bytes);
        bytes
    }

    /// What is recognised has the hash that it would have been given.
    #[test]
    fn right_pieces_need_no_hashing() {
        let known = known(1, 200_000);
        for index in 0..known.layout.pieces() {
            let bytes = piece(&known, index);
            let hash = Sha1::digest(&bytes).into();
            assert_eq!(known.recognise(&bytes), Some(hash));
        }
    }

    /// Whatever is not a piece, whole and in order, is left to be hashed.
    #[test]
    fn wrong_pieces_are_not_recognised() {
        let ours = known(1, 200_000);
        let right = piece(&ours, 1);
        for at in [0, 7, 15, 16 << 10, (48 << 10) + 15] {
            let mut odd = right.clone();
            odd[at] ^= 1;
            assert_eq!(ours.recognise(&odd), None, "byte {at}");
        }
        let mut swapped = right.clone();
        swapped.rotate_left(16 << 10);
        assert_eq!(ours.recognise(&swapped), None);
        assert_eq!(ours.recognise(&right[..32 << 10]), None);
        assert_eq!(ours.recognise(&vec![0; 64 << 10]), None);
        assert_eq!(ours.recognise(&[]), None);
        assert_eq!(known(2, 200_000).recognise(&right), None);
        assert_eq!(known(1, 100_000).recognise(&right), None, "a shorter last");
    }
}

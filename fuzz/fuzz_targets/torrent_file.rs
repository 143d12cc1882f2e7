//! Any bytes as a torrent file: what is accepted has the hashes of its own bytes, pieces that cover
//! its files without a gap, and paths that stay in their folder.
//!
//! Input: the bytes.
#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileEntry, Layout};
use ripcurrent_proto::meta::path::MAX_COMPONENT_LEN;
use sha1::Sha1;
use sha2::{Digest, Sha256};

fuzz_target!(|bytes: &[u8]| {
    let Ok(torrent) = Torrent::parse(bytes.to_vec().into()) else {
        return;
    };
    let hashes = torrent.hashes();
    assert!(hashes.v1.is_some() || hashes.v2.is_some());
    let info = torrent.info_bytes();
    assert!(
        hashes
            .v1
            .is_none_or(|hash| hash == <[u8; 20]>::from(Sha1::digest(info)))
    );
    assert!(
        hashes
            .v2
            .is_none_or(|hash| hash == <[u8; 32]>::from(Sha256::digest(info)))
    );
    let layout = torrent.layout();
    check_pieces(layout);
    for piece in (0..layout.pieces()).filter_map(|piece| layout.piece(piece)) {
        assert_eq!(torrent.piece_hash_v1(piece).is_some(), hashes.v1.is_some());
    }
    check_paths(layout.files());
});

/// Every byte of every file lies in exactly one span of one piece.
fn check_pieces(layout: &Layout) {
    // Few bytes can describe a million files, and more pieces than there is time for.
    const MOST: u32 = 4096;
    let (mut at, mut covered) = (0, 0);
    for file in layout.files() {
        assert_eq!(file.offset, at);
        at += file.len;
    }
    assert_eq!(layout.total_len(), at);
    for piece in (0..layout.pieces().min(MOST)).filter_map(|piece| layout.piece(piece)) {
        let spans = layout.spans(layout.whole(piece));
        let len: u64 = spans.iter().map(|span| u64::from(span.len)).sum();
        assert_eq!(len, u64::from(layout.piece_len(piece)));
        covered += len;
    }
    assert!(layout.pieces() > MOST || covered == layout.total_len());
}

fn check_paths(files: &[FileEntry]) {
    let mut paths = BTreeSet::new();
    for file in files.iter().filter(|file| !file.is_pad()) {
        for component in &file.path {
            assert!(!component.is_empty() && component.len() <= MAX_COMPONENT_LEN);
            assert!(component != "." && component != "..");
            assert!(!component.contains(['/', '\\', '\0']));
        }
        assert!(!file.path.is_empty());
        assert!(paths.insert(&file.path), "{:?} comes twice", file.path);
    }
    for path in &paths {
        let parents = (1..path.len()).map(|len| path[..len].to_vec());
        assert!(parents.into_iter().all(|parent| !paths.contains(&parent)));
    }
}

//! Hash trees of v2 files against the known answers in `testdata/vectors/bep52_merkle.json`.

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::meta::merkle::{self, Hash};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../testdata/vectors/bep52_merkle.json")).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The content that the vectors are about.
fn content(path: &str, len: usize) -> Vec<u8> {
    let blocks = 0..len.div_ceil(32);
    let mut content: Vec<u8> = blocks
        .flat_map(|k| <[u8; 32]>::from(Sha256::digest(format!("merkle:{path}:{k}"))))
        .collect();
    content.truncate(len);
    content
}

/// Subtrees past the end of a file have the known roots.
#[test]
fn padding_has_the_known_hashes() {
    let vectors = vectors();
    let heights = vectors["zero_subtree_root_by_height"].as_array().unwrap();
    assert_eq!(heights.len(), 20);
    for (height, root) in (0..).zip(heights) {
        assert_eq!(hex(&merkle::padding(height)), *root);
    }
}

/// Leaves, piece layers and roots of files of many sizes, and the root once more from the piece
/// layer alone, as a torrent file is checked.
#[test]
fn trees_have_the_known_hashes() {
    let vectors = vectors();
    let files = vectors["files"].as_array().unwrap();
    assert_eq!(files.len(), 13);
    for file in files {
        let number = |field: &str| file[field].as_u64().unwrap();
        let (piece_len, size) = (number("piece_length") as u32, number("size"));
        let content = content(&format!("{piece_len}-{size}"), size as usize);
        let blocks = content.chunks(BLOCK_LEN as usize);
        let leaves: Vec<Hash> = blocks.map(merkle::leaf).collect();
        assert_eq!(leaves.len() as u64, number("blocks"));
        let root = merkle::root(leaves.iter().copied(), 0);
        assert_eq!(
            root.map_or(Value::Null, |root| hex(&root).into()),
            file["pieces_root"]
        );
        if number("piece_layer_hashes") == 0 {
            assert!(size <= u64::from(piece_len));
            continue;
        }
        let height = merkle::piece_layer_height(piece_len);
        let layer: Vec<u8> = leaves
            .chunks(1 << height)
            .flat_map(|piece| {
                let zeros = vec![[0; 32]; (1 << height) - piece.len()];
                merkle::root([piece, &zeros].concat(), 0).unwrap()
            })
            .collect();
        assert_eq!(layer.len() as u64, 32 * number("piece_layer_hashes"));
        assert_eq!(hex(&Sha256::digest(&layer)), file["piece_layer_sha256"]);
        assert_eq!(merkle::root(merkle::hashes(&layer), height), root);
    }
}

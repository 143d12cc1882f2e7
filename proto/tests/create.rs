//! Torrents that are made here are read back as they were meant.

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use proptest::prelude::*;
use ripcurrent_proto::meta::create::{
    Content, CreateError, Creation, NewFile, default_piece_length,
};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, PieceIndex};
use ripcurrent_proto::meta::{MAX_TRACKERS, Torrent};
use ripcurrent_proto::wire::bencode::{Limits, decode};

fn file(path: &[&str], len: u64) -> NewFile {
    NewFile {
        path: path.iter().map(|name| name.to_string()).collect(),
        len,
        executable: false,
    }
}

fn hashes(creation: &Creation) -> Vec<[u8; 20]> {
    let pieces = 0..creation.layout().pieces();
    pieces.map(|piece| [piece as u8; 20]).collect()
}

fn made(creation: &Creation) -> Torrent {
    let bytes = creation.finish(&hashes(creation)).unwrap();
    Torrent::parse(bytes.into()).unwrap()
}

/// Everything that can be set is there again, and the file is in canonical form.
#[test]
fn every_field_comes_back() {
    let mut files = vec![
        file(&["a"], 20_000),
        file(&["d", "empty"], 0),
        file(&["d", "ü"], 50_000),
    ];
    files[2].executable = true;
    let mut creation = Creation::new("top", Content::Folder(files), Some(32_768)).unwrap();
    let tiers = [
        vec!["http://a/announce".into(), "udp://b:1".into()],
        vec![],
        vec!["http://a/announce".into(), "https://c/".into()],
    ];
    creation.set_trackers(&tiers).unwrap();
    creation
        .set_web_seeds(&["http://w".into(), "http://w/".into()])
        .unwrap();
    creation.set_private(true);
    creation.set_comment("a comment");
    creation.set_source("somewhere");
    creation.set_created_by("a program");
    creation.set_creation_date(1_234_567);
    let bytes = creation.finish(&hashes(&creation)).unwrap();
    assert!(
        decode(&bytes, Limits::METAINFO)
            .unwrap()
            .root()
            .flaws()
            .is_empty()
    );

    let torrent = Torrent::parse(bytes.into()).unwrap();
    assert_eq!(**torrent.layout(), *creation.layout());
    assert_eq!(torrent.name(), "top");
    let files = torrent.layout().files().iter();
    let paths: Vec<_> = files.map(FileEntry::path_string).collect();
    assert_eq!(paths, ["top/a", "top/d/empty", "top/d/ü"]);
    assert!(torrent.facts(FileIndex(2)).executable);
    assert_eq!(torrent.layout().pieces(), 3);
    assert_eq!(torrent.piece_hash_v1(PieceIndex(2)), Some([2; 20]));
    let expected = [vec!["http://a/announce", "udp://b:1"], vec!["https://c/"]];
    assert_eq!(torrent.trackers(), expected);
    assert_eq!(torrent.url_seeds(), ["http://w/"]);
    assert!(torrent.is_private());
    assert_eq!(torrent.comment(), Some("a comment"));
    assert_eq!(torrent.source(), Some("somewhere"));
    assert_eq!(torrent.created_by(), Some("a program"));
    assert_eq!(torrent.creation_date(), Some(1_234_567));
}

/// A single file has no folder, and one tracker needs no list.
#[test]
fn a_single_file_is_made_as_small_as_can_be() {
    let content = Content::File {
        len: 5,
        executable: false,
    };
    let mut creation = Creation::new("x", content, None).unwrap();
    creation.set_trackers(&[vec!["http://t/".into()]]).unwrap();
    let bytes = creation.finish(&[[b'h'; 20]]).unwrap();
    let expected = b"d8:announce9:http://t/4:infod6:lengthi5e4:name1:x12:piece lengthi16384e\
        6:pieces20:hhhhhhhhhhhhhhhhhhhhee";
    assert_eq!(bytes, expected);
    assert_eq!(made(&creation).layout().files()[0].path, ["x"]);
}

/// Names that a reader would repair would not be found again, so they are refused.
#[test]
fn what_would_not_come_back_is_refused() {
    let folder = |files: Vec<NewFile>| Creation::new("x", Content::Folder(files), None);
    for name in ["..", "a/b", "a\\b", "", "CON", "tab\there"] {
        let content = Content::File {
            len: 1,
            executable: false,
        };
        let error = Creation::new(name, content, None).unwrap_err();
        assert_eq!(error, CreateError::Name(name.into()));
        let error = folder(vec![file(&["d", name], 1)]).unwrap_err();
        assert_eq!(error, CreateError::Name(name.into()));
    }
    let pad = "_____padding_file_0_";
    let error = folder(vec![file(&[pad], 1)]).unwrap_err();
    assert_eq!(error, CreateError::Path(pad.into()));
    let deep = vec!["d"; 101];
    assert!(matches!(
        folder(vec![file(&deep, 1)]),
        Err(CreateError::Path(_))
    ));
    assert!(matches!(
        folder(vec![file(&[], 1)]),
        Err(CreateError::Path(_))
    ));
    let same = vec![file(&["a"], 1), file(&["a", "b"], 1)];
    assert_eq!(folder(same).unwrap_err(), CreateError::SamePath("a".into()));
    let same = vec![file(&["a"], 1); 200];
    assert_eq!(folder(same).unwrap_err(), CreateError::SamePath("a".into()));
    assert!(matches!(folder(vec![]), Err(CreateError::Layout(_))));
    assert!(matches!(
        folder(vec![file(&["a"], 0)]),
        Err(CreateError::Layout(_))
    ));
}

/// Piece lengths and hashes that do not fit are refused.
#[test]
fn pieces_must_fit() {
    let content = |len| Content::File {
        len,
        executable: false,
    };
    for length in [0, 1, 8192, 16_385, 1 << 30] {
        let error = Creation::new("x", content(1), Some(length)).unwrap_err();
        assert_eq!(error, CreateError::PieceLength(length));
    }
    let error = Creation::new("x", content(1 << 36), Some(16_384)).unwrap_err();
    assert_eq!(error, CreateError::TooManyPieces(1 << 22));
    let creation = Creation::new("x", content(20_000), Some(16_384)).unwrap();
    let error = creation.finish(&[[0; 20]]).unwrap_err();
    assert_eq!(
        error,
        CreateError::PieceHashes {
            got: 1,
            expected: 2
        }
    );
}

/// Addresses that a reader would leave out or change are refused, and so is one too many.
#[test]
fn addresses_must_be_readable() {
    let content = Content::File {
        len: 1,
        executable: false,
    };
    let mut creation = Creation::new("x", content, None).unwrap();
    for bad in ["", "file:///x", "http://a b/", " http://a/", "udp://"] {
        let error = creation.set_trackers(&[vec![bad.into()]]).unwrap_err();
        assert_eq!(error, CreateError::Tracker(bad.into()));
        let error = creation.set_web_seeds(&[bad.into()]).unwrap_err();
        assert_eq!(error, CreateError::WebSeed(bad.into()));
    }
    let many: Vec<_> = (0..=MAX_TRACKERS)
        .map(|at| format!("http://t{at}/"))
        .collect();
    creation.set_trackers(&[many[1..].to_vec()]).unwrap();
    let error = creation.set_trackers(&[many]).unwrap_err();
    assert_eq!(
        error,
        CreateError::Tracker(format!("http://t{MAX_TRACKERS}/"))
    );
}

/// The default makes 1,000 to 2,000 pieces wherever the bounds allow.
#[test]
fn the_default_piece_length_follows_the_size() {
    assert_eq!(default_piece_length(0), 16 << 10);
    assert_eq!(default_piece_length(2000 * (16 << 10)), 16 << 10);
    assert_eq!(default_piece_length(2000 * (16 << 10) + 1), 32 << 10);
    assert_eq!(default_piece_length(1 << 30), 1 << 20);
    assert_eq!(default_piece_length(u64::MAX), 16 << 20);
    for shift in 25..34 {
        let len = (1u64 << shift) + 12_345;
        let pieces = len.div_ceil(u64::from(default_piece_length(len)));
        assert!((1000..=2000).contains(&pieces), "{pieces} for {len}");
    }
}

proptest! {
    /// Whatever can be made is read back with the same layout and hashes.
    #[test]
    fn what_is_made_is_read_back(
        name in "[a-zA-Z0-9 ü._-]{3,12}",
        files in prop::collection::btree_map(
            prop::collection::vec("[a-c]{1,3}", 1..4),
            (0u64..200_000, any::<bool>()),
            1..8,
        ),
    ) {
        let files = files.into_iter();
        let files = files.map(|(path, (len, executable))| NewFile { path, len, executable });
        let creation = Creation::new(&name, Content::Folder(files.collect()), None);
        prop_assume!(creation.is_ok());
        let creation = creation.unwrap();
        let torrent = made(&creation);
        prop_assert_eq!(&**torrent.layout(), creation.layout());
        prop_assert_eq!(torrent.name(), name);
    }
}

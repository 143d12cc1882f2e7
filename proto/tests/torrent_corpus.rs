//! Every torrent file at hand against what libtorrent 2.1.1 says of it (`expected.json`).

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, PieceIndex};
use ripcurrent_proto::meta::{MAX_TRACKERS, Torrent, TorrentError, path};
use serde_json::{Value, json};

/// Where we knowingly say something else than libtorrent: the file, the field, the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "pad_file_no_path.torrent",
        "files",
        "padding without a path is named below the torrent's folder, as all paths are",
    ),
    (
        "httpseed.torrent",
        "http_seeds",
        "libtorrent 2.1.1 has given BEP 17 up; we tell what the file says",
    ),
    (
        "debian-11.2.0-amd64-DVD-1.iso.torrent",
        "http_seeds",
        "libtorrent 2.1.1 has given BEP 17 up; we tell what the file says",
    ),
];

/// Other people's torrents: every field that libtorrent tells is ours too.
#[test]
fn torrents_of_others_are_read_as_libtorrent_reads_them() {
    let Some(folder) = torrents_of_others() else {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "the shared torrents are missing; they are required where CI=true"
        );
        eprintln!("SKIPPED: ../shared/torrents is not there (RIPCURRENT_SHARED names its parent)");
        return;
    };
    assert!(compare_all(&folder) >= 91);
}

/// The well-formed torrents that were made for this project.
#[test]
fn torrents_made_for_us_are_read_as_libtorrent_reads_them() {
    assert!(compare_all(&testdata("torrents-made")) >= 14);
}

/// The malformed torrents: what must be refused is, what must be accepted is, and nothing that is
/// accepted can do harm.
#[test]
fn hostile_torrents_are_refused_or_harmless() {
    let folder = testdata("torrents-hostile");
    let cases = expected(&folder);
    assert!(cases.len() >= 70);
    for case in &cases {
        let name = case["file"].as_str().unwrap();
        let theirs = &case["libtorrent"];
        let result = parse(&folder.join(name));
        match case["must"].as_str().unwrap() {
            "reject" => assert!(result.is_err(), "{name} must be refused"),
            "accept" | "accept-safely" => assert!(result.is_ok(), "{name}: {result:?}"),
            "reject-or-accept-safely" => {}
            other => panic!("{name}: what is {other}?"),
        }
        let Ok(torrent) = result else { continue };
        assert_harmless(&torrent, name);
        if theirs["loads"] == true {
            assert_eq!(hex(torrent.hashes().v1), theirs["info_hash_v1"], "{name}");
            assert_eq!(hex(torrent.hashes().v2), theirs["info_hash_v2"], "{name}");
            assert_eq!(torrent.layout().total_len(), theirs["total_size"], "{name}");
            assert_eq!(torrent.layout().pieces(), theirs["num_pieces"], "{name}");
        }
    }
}

/// What the hostile torrents are about, beside being refused or not.
#[test]
fn hostile_torrents_are_repaired_to_what_was_meant() {
    let read = |name: &str| parse(&testdata("torrents-hostile").join(name)).unwrap();
    let paths = |name: &str| -> Vec<String> {
        let torrent = read(name);
        let files = torrent.layout().files().iter();
        files.map(FileEntry::path_string).collect()
    };
    assert_eq!(read("info-twice.torrent").name(), "one");
    assert_eq!(read("many-trackers.torrent").trackers().len(), MAX_TRACKERS);
    assert_eq!(
        read("trackers-odd.torrent").trackers(),
        [["http://127.0.0.1:1/a"]]
    );
    assert_eq!(read("nodes-odd.torrent").dht_nodes(), []);
    assert_eq!(read("name-09.torrent").name(), "agpj.exe");
    assert_eq!(paths("path-dup.torrent"), ["x/a", "x/a.1"]);
    assert_eq!(paths("path-dup-case.torrent"), ["x/A", "x/a"]);
    assert_eq!(paths("path-file-and-dir.torrent"), ["x/a.1", "x/a/b"]);
    assert_eq!(paths("path-utf8-preferred.torrent"), ["x/é.txt"]);
    assert_eq!(paths("path-dotdot.torrent"), ["x/_/_/etc/x"]);
    assert_eq!(paths("path-slash.torrent"), ["x/a....x", "x/b"]);
    let link = &read("symlink-abs.torrent").layout().files()[0].kind.clone();
    let target = vec![String::from("etcpasswd")];
    assert_eq!(*link, FileKind::Symlink { target });
}

/// Errors name the field that is wrong.
#[test]
fn errors_name_the_field() {
    let error = |name: &str| {
        let path = testdata("torrents-hostile").join(name);
        parse(&path).unwrap_err().to_string()
    };
    assert_eq!(
        error("path-missing.torrent"),
        "`info.files[].path` is missing"
    );
    assert_eq!(
        error("path-int.torrent"),
        "`info.files[].path` is not a list of strings"
    );
    assert_eq!(
        error("len-neg.torrent"),
        "`info.length` is not a number of bytes"
    );
    assert_eq!(
        error("v2-mv3.torrent"),
        "`info.meta version` 3 is not known"
    );
    assert_eq!(
        error("v2-layer-short.torrent"),
        "`piece layers` is wrong for file 0"
    );
    let error = error("pieces-short.torrent");
    assert_eq!(
        error,
        "`info.pieces` is 60 bytes long, but 7 pieces need 20 each"
    );
}

/// Every cut and every single changed byte of small torrents is survived, and what is still
/// accepted is harmless.
#[test]
fn spoiled_torrents_are_survived() {
    let made = testdata("torrents-made");
    let names = [
        "hybrid-multi.torrent",
        "v2-tree.torrent",
        "multi-pad.torrent",
    ];
    let others = ["symlink-loop.torrent", "nodes-odd.torrent"];
    let hostile = others.map(|name| testdata("torrents-hostile").join(name));
    for path in names.map(|name| made.join(name)).iter().chain(&hostile) {
        let good = fs::read(path).unwrap();
        for at in 0..good.len() {
            assert!(Torrent::parse(Bytes::copy_from_slice(&good[..at])).is_err());
            for change in [1, 2, 0x10, 0x80] {
                let mut spoiled = good.clone();
                spoiled[at] ^= change;
                if let Ok(torrent) = Torrent::parse(Bytes::from(spoiled)) {
                    assert_harmless(&torrent, &format!("{} at {at}", path.display()));
                }
            }
        }
    }
}

fn compare_all(folder: &Path) -> usize {
    let cases = expected(folder);
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["file"].as_str().unwrap();
        match (parse(&folder.join(name)), case["loads"].as_bool().unwrap()) {
            (Ok(torrent), true) => {
                assert_harmless(&torrent, name);
                compare(&torrent, case, &mut wrong);
            }
            (Err(_), false) => {}
            (Ok(_), false) => wrong.push(format!("{name}: should be refused: {}", case["error"])),
            (Err(error), true) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    cases.len()
}

fn compare(torrent: &Torrent, case: &Value, wrong: &mut Vec<String>) {
    let layout = torrent.layout();
    let name = case["file"].as_str().unwrap();
    let trackers = torrent.trackers().iter().enumerate();
    let trackers = trackers.flat_map(|(tier, urls)| {
        urls.iter()
            .map(move |url| json!({ "url": url, "tier": tier }))
    });
    let nodes = torrent.dht_nodes().iter();
    let nodes = nodes.map(|node| json!([node.host, node.port]));
    let listed = case["files"].as_array().unwrap().len();
    let ours = json!({
        "info_hash_v1": hex(torrent.hashes().v1),
        "info_hash_v2": hex(torrent.hashes().v2),
        "name": torrent.name(),
        "piece_length": layout.piece_length(),
        "num_pieces": layout.pieces(),
        "total_size": layout.total_len(),
        "files": (0..layout.files().len() as u32).take(listed)
            .map(|index| file(torrent, FileIndex(index))).collect::<Vec<_>>(),
        "trackers": trackers.collect::<Vec<_>>(),
        "url_seeds": torrent.url_seeds(),
        "http_seeds": torrent.http_seeds(),
        "dht_nodes": nodes.collect::<Vec<_>>(),
        "private": torrent.is_private(),
        "comment": torrent.comment().unwrap_or(""),
        "created_by": torrent.created_by().unwrap_or(""),
        "creation_date": torrent.creation_date().unwrap_or(0),
        "similar": torrent.similar().iter().map(|hash| hex(Some(*hash))).collect::<Vec<_>>(),
        "collections": torrent.collections(),
    });
    for (field, ours) in ours.as_object().unwrap() {
        let differs = *ours != case[field];
        let known = DIFFERENCES
            .iter()
            .any(|(file, of, _)| (*file, *of) == (name, field));
        if differs != known {
            wrong.push(format!(
                "{name}: {field} is {ours}, should be {}",
                case[field]
            ));
        }
    }
    let info = &case["raw"];
    assert_eq!(torrent.info_bytes().len(), info["info_length"], "{name}");
}

/// A file as `expected.json` has it.
fn file(torrent: &Torrent, index: FileIndex) -> Value {
    let entry = &torrent.layout().files()[index.at()];
    let facts = torrent.facts(index);
    let mut file = json!({
        "path": entry.path_string(),
        "size": entry.len,
        "offset": entry.offset,
    });
    let mut attr = String::new();
    if entry.is_pad() {
        attr.push('p');
    }
    if facts.executable {
        attr.push('x');
    }
    if let FileKind::Symlink { target } = &entry.kind {
        attr.push('l');
        file["symlink"] = format!("{}/{}", torrent.name(), target.join("/")).into();
    }
    if !attr.is_empty() {
        file["attr"] = attr.into();
    }
    if let Some(root) = facts.pieces_root {
        file["pieces_root"] = hex(Some(root));
    }
    if let Some(sha1) = facts.sha1 {
        file["sha1"] = hex(Some(sha1));
    }
    file
}

/// Nothing on the disk leaves the torrent's folder or lands on something else, and all numbers fit.
fn assert_harmless(torrent: &Torrent, name: &str) {
    let layout = torrent.layout();
    let mut paths = BTreeSet::new();
    let mut directories = BTreeSet::new();
    let mut offset = 0;
    for entry in layout.files() {
        assert_eq!(entry.offset, offset, "{name}");
        offset += entry.len;
        assert_eq!(entry.path[0], torrent.name(), "{name}");
        let target: &[String] = match &entry.kind {
            FileKind::Symlink { target } => target,
            _ => &[],
        };
        for component in entry.path.iter().chain(target) {
            assert!(!component.contains(['/', '\0']), "{name}: {component:?}");
            assert!(
                !component.contains(char::is_control),
                "{name}: {component:?}"
            );
            assert!(!["", ".", ".."].contains(&component.as_str()), "{name}");
            assert!(component.len() <= path::MAX_COMPONENT_LEN, "{name}");
        }
        assert!(
            entry.path_string().len() <= path::MAX_PATH_LEN + 256,
            "{name}"
        );
        if !entry.is_pad() {
            assert!(
                paths.insert(entry.path.clone()),
                "{name}: two files on one path"
            );
            directories.extend((1..entry.path.len()).map(|end| entry.path[..end].to_vec()));
        }
    }
    assert!(
        paths.is_disjoint(&directories),
        "{name}: a file that is a directory"
    );
    assert_eq!(offset, layout.total_len(), "{name}");
    let hashes = (0..layout.pieces()).filter_map(|piece| torrent.piece_hash_v1(PieceIndex(piece)));
    let expected = torrent.hashes().v1.map_or(0, |_| layout.pieces() as usize);
    assert_eq!(hashes.count(), expected, "{name}");
    assert_eq!(
        torrent.piece_hash_v1(PieceIndex(layout.pieces())),
        None,
        "{name}"
    );
    let trackers = torrent.trackers().iter().flatten();
    for url in trackers.clone() {
        let schemes = ["http://", "https://", "udp://"];
        assert!(
            schemes.iter().any(|scheme| url.starts_with(scheme)),
            "{name}: {url}"
        );
    }
    assert!(trackers.count() <= MAX_TRACKERS, "{name}");
}

fn expected(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn parse(path: &Path) -> Result<Torrent, TorrentError> {
    Torrent::parse(Bytes::from(fs::read(path).unwrap()))
}

fn testdata(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("testdata")
        .join(folder)
}

/// The folder beside the repository, or in the one that `RIPCURRENT_SHARED` names.
fn torrents_of_others() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared").into();
    let named = std::env::var_os("RIPCURRENT_SHARED").map(PathBuf::from);
    let folders = [Some(beside), named].into_iter().flatten();
    folders
        .map(|folder: PathBuf| folder.join("torrents"))
        .find(|folder| folder.is_dir())
}

fn hex<const N: usize>(hash: Option<[u8; N]>) -> Value {
    hash.map(|hash| {
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    })
    .into()
}

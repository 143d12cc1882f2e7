//! `verify` with the built program.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use common::{run_to, write};
use serde_json::Value;
use sha1::{Digest, Sha1};

/// Four files of which one is empty and two share a piece, and their torrent.
fn made(dir: &Path) {
    for (name, len) in [("a", 100_000), ("b/c", 50_000), ("b/d", 0), ("e", 70_000)] {
        write(&dir.join("data/t").join(name), len);
    }
    run_to(
        dir,
        0,
        &["create", "data/t", "-o", "t.torrent", "-l", "32K"],
    );
}

fn verify(dir: &Path, code: i32) -> (String, String) {
    run_to(dir, code, &["verify", "t.torrent", "--data", "data"])
}

fn change(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What is right is told so, with exit code 0, and nothing is changed.
#[test]
fn right_data_is_right() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let before = common::tree(dir.path());
    let (out, told) = verify(dir.path(), 0);
    let expected = "\
right     97.7 KiB  t/a
right     48.8 KiB  t/b/c
right          0 B  t/b/d
right     68.4 KiB  t/e
";
    assert_eq!(out, expected);
    assert!(told.starts_with("t: 7 of 7 pieces right"), "{told}");
    assert_eq!(common::tree(dir.path()), before);
}

/// A changed byte costs its piece, in each file that has bytes of it; a file that is too long is
/// wrong though all of its pieces are right.
#[test]
fn changed_data_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    change(&dir.path().join("data/t/a"), 99_999);
    let long = dir.path().join("data/t/e");
    let bytes = [fs::read(&long).unwrap(), vec![0]].concat();
    fs::write(&long, bytes).unwrap();
    let (out, told) = verify(dir.path(), 6);
    let expected = "\
wrong     97.7 KiB  t/a: 96 KiB right
wrong     48.8 KiB  t/b/c: 18.5 KiB right
right          0 B  t/b/d
wrong     68.4 KiB  t/e: 68.4 KiB right
";
    assert_eq!(out, expected);
    assert!(
        told.contains("3 of 4 files not right") && told.contains("--output"),
        "{told}"
    );
}

/// A file of the torrent is no unfinished form of another, whatever it is called.
#[test]
fn a_name_is_not_mistaken() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a", "a.part"] {
        write(&dir.path().join("data/t").join(name), 32 << 10);
    }
    let create = ["create", "data/t", "-o", "t.torrent", "-l", "32K"];
    run_to(dir.path(), 0, &create);
    fs::remove_file(dir.path().join("data/t/a")).unwrap();
    let (out, _) = verify(dir.path(), 6);
    let states: Vec<_> = out.lines().map(|line| line.split(' ').next()).collect();
    assert_eq!(states, [Some("missing"), Some("right")], "{out}");
}

/// What is missing is told apart from what cannot be judged without it, and from what is being
/// downloaded.
#[test]
fn missing_data_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let data = dir.path().join("data/t");
    fs::remove_file(data.join("a")).unwrap();
    fs::remove_file(data.join("b/d")).unwrap();
    fs::rename(data.join("e"), data.join("e.part")).unwrap();
    let (out, _) = verify(dir.path(), 6);
    let expected = "\
missing   97.7 KiB  t/a
unproven  48.8 KiB  t/b/c: 18.5 KiB right, the rest shares pieces with what is missing
missing        0 B  t/b/d
part      68.4 KiB  t/e: a download in progress, 68.4 KiB right
";
    assert_eq!(out, expected);
    fs::remove_dir_all(&data).unwrap();
    let (_, told) = verify(dir.path(), 6);
    assert!(told.contains("Nothing of it is in data"), "{told}");
    fs::remove_dir_all(dir.path().join("data")).unwrap();
    let (_, told) = verify(dir.path(), 5);
    assert!(told.contains("there is no such folder"), "{told}");
}

/// Padding is on no disk and counts as zeros; a link is right if it leads where the torrent says.
#[test]
fn padding_and_links_are_understood() {
    let dir = tempfile::tempdir().unwrap();
    let first = [&b"hello"[..], &[0; 16_379]].concat();
    let pieces = [Sha1::digest(first), Sha1::digest(b"abc")].concat();
    let mut torrent = b"d4:infod5:filesl\
        d6:lengthi5e4:pathl1:aee\
        d4:attr1:p6:lengthi16379e4:pathl4:.pad5:16379ee\
        d6:lengthi3e4:pathl1:cee\
        d4:attr1:l6:lengthi0e4:pathl1:le12:symlink pathl1:aee\
        e4:name1:t12:piece lengthi16384e6:pieces40:"
        .to_vec();
    torrent.extend(pieces);
    torrent.extend(b"ee");
    fs::write(dir.path().join("t.torrent"), torrent).unwrap();
    let data = dir.path().join("data/t");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("a"), "hello").unwrap();
    fs::write(data.join("c"), "abc").unwrap();
    let states = |code| {
        let (out, _) = verify(dir.path(), code);
        let word = |line: &str| line.split(' ').next().unwrap().to_owned();
        out.lines().map(word).collect::<Vec<_>>()
    };
    assert_eq!(states(6), ["right", "right", "missing"]);
    symlink("a", data.join("l")).unwrap();
    assert_eq!(states(0), ["right", "right", "right"]);
    fs::remove_file(data.join("l")).unwrap();
    symlink("c", data.join("l")).unwrap();
    assert_eq!(states(6), ["right", "right", "wrong"]);
}

/// What cannot be read is a matter of the disk, and the file is named.
#[test]
fn what_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    let file = dir.path().join("data/t/a");
    fs::remove_file(&file).unwrap();
    symlink("a", &file).unwrap();
    let (_, told) = verify(dir.path(), 5);
    assert!(told.contains("data/t/a"), "{told}");
}

/// Programs are told the same, and of the end.
#[test]
fn programs_read_lines() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path());
    change(&dir.path().join("data/t/e"), 69_999);
    let args = ["verify", "t.torrent", "--data", "data", "--json", "-q"];
    let (out, _) = run_to(dir.path(), 6, &args);
    let lines: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<_> = lines
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        ["file", "file", "file", "file", "verified", "error"]
    );
    assert_eq!(
        (&lines[3]["state"], &lines[3]["path"]),
        (&"wrong".into(), &"t/e".into())
    );
    assert_eq!(
        (&lines[4]["files_right"], &lines[5]["exit"]),
        (&3.into(), &6.into())
    );
}

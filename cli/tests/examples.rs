//! The examples of the library: as they are, against our own seed.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../proto/examples/blocking.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod blocking;
mod common;
#[path = "../../proto/examples/inspect.rs"]
#[expect(dead_code, reason = "its `main` is not called here")]
mod inspect;

use std::fs;

use common::{Row, Running, ripcurrent, run_to, tree, write};
use ripcurrent_proto::meta::Torrent;

/// A folder that holds `seed/set`, files of awkward sizes, and `set.torrent`.
fn scene() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, len) in [("empty", 0), ("sub/large", 3_000_001), ("sub/small", 1)] {
        write(&dir.path().join("seed/set").join(name), len);
    }
    let tracker = "http://127.0.0.1:1/announce";
    let args = ["create", "seed/set", "-o", "set.torrent"];
    let more = ["--piece-length", "64K", "--tracker", tracker];
    run_to(dir.path(), 0, &[&args[..], &more[..]].concat());
    dir
}

/// The blocking host gets over a peer who is not there, fetches every byte from our seed, and
/// leaves in good order.
#[test]
fn the_blocking_host_downloads_from_our_seed() {
    let dir = scene();
    let bind = Row::new().ip(1).to_string();
    let mut command = ripcurrent();
    command.current_dir(dir.path());
    command.args(["seed", "set.torrent", "--data", "seed", "--bind", &bind]);
    let mut seed = Running::start(&mut command);
    let addr = seed.expect_address("listening on").to_string();
    seed.expect("seeding");

    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let nobody = format!("{bind}:1");
    blocking::download(&[path("set.torrent"), path("got"), nobody, addr]).unwrap();
    let [sent, got] = ["seed", "got"].map(|name| tree(&dir.path().join(name)));
    assert!(sent == got, "what arrived differs");
}

/// What is already there is found by hashing: without anybody to ask, the host finds itself done.
#[test]
fn the_blocking_host_finds_what_is_there() {
    let dir = scene();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    blocking::download(&[path("set.torrent"), path("seed")]).unwrap();
}

/// The reader of torrent files tells what the folder holds.
#[test]
fn inspect_tells_what_a_torrent_holds() {
    let dir = scene();
    let torrent = fs::read(dir.path().join("set.torrent")).unwrap();
    let torrent = Torrent::parse(torrent.into()).unwrap();
    let told = inspect::Inspected(&torrent).to_string();
    let lines: Vec<&str> = told
        .lines()
        .filter(|line| !line.starts_with("SHA-1"))
        .collect();
    assert_eq!(
        lines,
        [
            "name       set",
            "bytes      3000002",
            "pieces     46 of 65536 bytes",
            "tracker 0  http://127.0.0.1:1/announce",
            "             0  set/empty",
            "       3000001  set/sub/large",
            "             1  set/sub/small",
        ]
    );
}

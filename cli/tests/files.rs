//! `create` and `inspect` with the built program.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Stdio;

use common::{ripcurrent, run_to, testdata, write};
use serde_json::{Map, Value};

/// The fields that `inspect --json` shares with the expectations.
const FIELDS: [&str; 16] = [
    "info_hash_v1",
    "info_hash_v2",
    "name",
    "piece_length",
    "num_pieces",
    "total_size",
    "files",
    "trackers",
    "url_seeds",
    "http_seeds",
    "dht_nodes",
    "private",
    "comment",
    "created_by",
    "creation_date",
    "similar",
];

fn expected(folder: &Path) -> Vec<Map<String, Value>> {
    let expected = fs::read(folder.join("expected.json")).unwrap();
    let expected: Vec<_> = serde_json::from_slice(&expected).unwrap();
    assert!(!expected.is_empty());
    expected
}

fn inspect(torrent: &Path) -> Map<String, Value> {
    let (out, _) = run_to(
        Path::new("."),
        0,
        &["inspect", "--json", torrent.to_str().unwrap()],
    );
    serde_json::from_str(&out).unwrap()
}

/// A folder that is not there is named, and is no torrent without right pieces.
#[test]
fn a_seed_without_its_folder_says_so() {
    let torrent = testdata().join("torrents-made/one-block.torrent");
    let args = [
        "seed",
        torrent.to_str().unwrap(),
        "--data",
        "/proc/nowhere",
        "--bind",
        "127.0.0.1",
    ];
    let (_, told) = run_to(Path::new("."), 5, &args);
    assert!(
        told.contains("/proc/nowhere: there is no such folder"),
        "{told}"
    );
}

/// Every field that another client reads from these torrents is what we read.
#[test]
fn inspect_agrees_with_what_is_expected() {
    let folder = testdata().join("torrents-made");
    for torrent in expected(&folder) {
        let name = torrent["file"].as_str().unwrap();
        let read = inspect(&folder.join(name));
        for field in FIELDS {
            if field == "files" && torrent.contains_key("files_listed") {
                continue;
            }
            assert_eq!(read[field], torrent[field], "{name}: {field}");
        }
    }
}

/// Other people's torrents, good and bad: the same hashes and sizes, or the code for a bad torrent
/// and an error that names the file.
#[test]
fn torrents_of_others_are_read_or_refused_alike() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/torrents");
    if !folder.exists() && std::env::var_os("CI").is_none() {
        println!("skipped: {} is not there", folder.display());
        return;
    }
    for torrent in expected(&folder) {
        let name = torrent["file"].as_str().unwrap();
        let path = folder.join(name);
        if torrent["loads"] == true {
            let read = inspect(&path);
            for field in [
                "info_hash_v1",
                "info_hash_v2",
                "name",
                "piece_length",
                "num_pieces",
                "total_size",
            ] {
                assert_eq!(read[field], torrent[field], "{name}: {field}");
            }
        } else {
            let (out, said) = run_to(Path::new("."), 3, &["inspect", path.to_str().unwrap()]);
            assert!(out.is_empty() && said.contains(name), "{said}");
        }
    }
}

/// What must be refused is refused by every command that takes a torrent, before anything is made.
#[test]
fn hostile_torrents_end_with_the_code_for_bad_torrents() {
    let folder = testdata().join("torrents-hostile");
    let dir = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for torrent in expected(&folder) {
        if torrent["must"] != "reject" {
            continue;
        }
        let path = folder.join(torrent["file"].as_str().unwrap());
        for command in [
            "inspect", "download", "seed", "verify", "announce", "scrape",
        ] {
            let (_, said) = run_to(dir.path(), 3, &[command, path.to_str().unwrap()]);
            assert!(said.starts_with("error: "), "{said}");
        }
        refused += 1;
    }
    assert!(refused > 0);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A missing file and a folder in its place are bad torrents too, and named.
#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("folder.torrent")).unwrap();
    for name in ["missing.torrent", "folder.torrent"] {
        let (_, said) = run_to(dir.path(), 3, &[name]);
        assert!(said.contains(name), "{said}");
    }
}

/// A torrent we make reads back as it was meant, is the same each time, and holds what was asked.
#[test]
fn what_is_created_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    for (name, len) in [("b/2", 20_000), ("b/10", 0), ("a", 1), (".hidden", 5)] {
        write(&dir.path().join("set").join(name), len);
    }
    let base = [
        "create",
        "set",
        "--no-date",
        "--piece-length",
        "16K",
        "--comment",
        "a remark",
    ];
    let more = [
        "--private",
        "--source",
        "S",
        "--web-seed",
        "http://127.0.0.1/data",
    ];
    let trackers = [
        "-t",
        "http://127.0.0.1:1/a,http://127.0.0.1:2/a",
        "-t",
        "udp://127.0.0.1:3",
    ];
    let make = |output: &str| {
        let args = [&base[..], &more, &trackers, &["-o", output]].concat();
        run_to(dir.path(), 0, &args)
    };
    let (out, said) = make("1.torrent");
    assert!(said.contains("1 hidden"), "{said}");
    make("2.torrent");
    let bytes = fs::read(dir.path().join("1.torrent")).unwrap();
    assert_eq!(bytes, fs::read(dir.path().join("2.torrent")).unwrap());
    let read = inspect(&dir.path().join("1.torrent"));
    assert_eq!(
        out,
        format!("{}  1.torrent\n", read["info_hash_v1"].as_str().unwrap())
    );
    let paths: Vec<&str> = read["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["set/a", "set/b/10", "set/b/2"]);
    let tiers: Vec<u64> = read["trackers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tracker| tracker["tier"].as_u64().unwrap())
        .collect();
    assert_eq!(tiers, [0, 0, 1]);
    for (field, value) in [
        ("private", Value::from(true)),
        ("source", "S".into()),
        ("comment", "a remark".into()),
        ("creation_date", 0.into()),
        ("piece_length", 16384.into()),
        ("url_seeds", vec!["http://127.0.0.1/data/"].into()),
    ] {
        assert_eq!(read[field], value, "{field}");
    }
}

/// Nothing that is there is overwritten unasked, and nothing half-made is left behind.
#[test]
fn create_refuses_what_it_should_not_do() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("data"), 100);
    run_to(dir.path(), 0, &["create", "data"]);
    let made = fs::read(dir.path().join("data.torrent")).unwrap();
    let (_, said) = run_to(dir.path(), 2, &["create", "data", "--private"]);
    assert!(said.contains("--overwrite"), "{said}");
    assert_eq!(fs::read(dir.path().join("data.torrent")).unwrap(), made);
    run_to(
        dir.path(),
        0,
        &["create", "data", "--private", "--overwrite"],
    );
    assert_ne!(fs::read(dir.path().join("data.torrent")).unwrap(), made);
    for (args, code) in [
        (&["create", "missing"][..], 5),
        (&["create", "data", "-o", "x", "-l", "20000"], 2),
        (&["create", "data", "-o", "x", "-t", "not a url"], 2),
        (&["create", "/", "-o", "x"], 2),
    ] {
        run_to(dir.path(), code, args);
    }
    fs::create_dir(dir.path().join("nothing")).unwrap();
    run_to(dir.path(), 2, &["create", "nothing"]);
    assert!(!dir.path().join("x").exists() && !dir.path().join("nothing.torrent").exists());
}

/// A reader that goes away, as `head` does, is no reason to panic.
#[test]
fn a_closed_pipe_is_no_accident() {
    let torrent = testdata().join("torrents-made/many-files.torrent");
    let mut child = ripcurrent()
        .args(["inspect", torrent.to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Usage errors end with 2, help with 0 and the exit codes in it.
#[test]
fn help_names_the_exit_codes() {
    let here = Path::new(".");
    let (help, _) = run_to(here, 0, &["--help"]);
    let help = help.replace('\n', " ");
    assert!(
        help.contains("7 interrupted") && help.contains("8 the system forbids it"),
        "{help}"
    );
    run_to(here, 2, &["download"]);
    run_to(here, 2, &["x.iso"]);
}

/// The same scenario and seed make the same digest in two processes, another seed another one.
#[test]
fn a_simulation_repeats() {
    let scenario =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../sim/scenarios/flash-crowd-3.toml");
    let digest = |seed| {
        let args = ["sim", scenario.to_str().unwrap(), "--seed", seed];
        run_to(Path::new("."), 0, &args).0
    };
    let seven = digest("7");
    assert!(seven.starts_with("digest ") && seven.len() > 40, "{seven}");
    assert_eq!(seven, digest("7"));
    assert_ne!(seven, digest("8"));
}

//! How much memory pieces take that are longer than there is memory for.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{Row, Running, ripcurrent, run_to, write};

const MIB: u64 = 1 << 20;
/// Two pieces and a half, the second over the edge of the files.
const FILES: [(&str, usize); 2] = [("a", 50 << 20), ("b", 30 << 20)];
/// What it takes of its own, with 4 MiB of slabs, 4 MiB to receive into, and 16 MiB to spare: less than
/// one piece.
const MOST: u64 = 24 * MIB;

/// The most memory that a process said it would take, what it took so far, and what of that it has now
/// and is no part of a file, in bytes.
fn memory(process: &Running, said: &str) -> (u64, u64, u64) {
    let sum = said.rsplit_once(" = ").unwrap().1;
    let sum: f64 = sum.strip_suffix(" MiB at most").unwrap().parse().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).unwrap();
    let bytes = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = found.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() << 10
    };
    (
        (sum * MIB as f64) as u64,
        bytes("VmHWM:"),
        bytes("RssAnon:"),
    )
}

fn is_whole(folder: &Path, other: &Path) -> bool {
    let same = |name: &str| {
        let [one, other] = [folder, other].map(|folder| fs::read(folder.join("data").join(name)));
        one.unwrap() == other.unwrap()
    };
    FILES.iter().all(|(name, _)| same(name))
}

/// Pieces of 32 MiB are fetched and served with 4 MiB for pieces on their way, by a process that is
/// stopped halfway and goes on: neither side takes as much as one piece.
#[test]
fn pieces_longer_than_the_memory() {
    let (row, dir) = (Row::new(), tempfile::tempdir().unwrap());
    let folder = dir.path();
    for (name, len) in FILES {
        write(&folder.join("seed/data").join(name), len);
    }
    let length = ["--piece-length", "32MiB"];
    run_to(folder, 0, &[&["create", "seed/data"][..], &length].concat());
    let start = |what: &[&str], host: u8| {
        let mut command = ripcurrent();
        let bind = row.ip(host).to_string();
        command
            .current_dir(folder)
            .args(what)
            .args(["-v", "--memory", "4MiB"]);
        command.args(["--port", "0", "--bind", &bind]);
        let mut process = Running::start(&mut command);
        // What serves listens before it says more, what fetches looks at its disk first.
        let address = (what[0] == "seed").then(|| process.expect_address("listening on"));
        let said = process.expect("memory: ");
        (process, address, said)
    };
    let seeding = [
        "seed",
        "data.torrent",
        "--data",
        "seed",
        "--up-limit",
        "40MiB",
    ];
    let (mut seed, address, seed_said) = start(&seeding, 2);
    seed.expect("seeding until");
    let address = address.unwrap().to_string();
    let fetching = ["download", "data.torrent", "-o", "got", "--peer", &address];
    let (mut first, _, _) = start(&fetching, 3);
    let begun = folder.join("got/data/a.part");
    first.until(|| begun.exists());
    first.interrupt();
    assert_eq!(first.end().status.code(), Some(7));
    let (mut second, _, said) = start(&fetching, 3);
    second.expect(" complete; ");
    for (process, said) in [(&second, &said), (&seed, &seed_said)] {
        let (sum, peak, own) = memory(process, said);
        let [sum_mib, peak_mib, own_mib] = [sum, peak, own].map(|bytes| bytes / MIB);
        println!("VmHWM {peak_mib} MiB of at most {sum_mib} MiB, {own_mib} MiB its own");
        assert!(peak <= sum, "{peak} bytes of at most {sum}");
        assert!(own <= MOST, "{own} bytes of its own");
    }
    assert!(is_whole(&folder.join("seed"), &folder.join("got")));
    second.interrupt();
    second.end();
    seed.interrupt();
    seed.end();
}

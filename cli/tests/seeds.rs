//! What `seed` remembers from one start to the next.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs::{self, FileTimes};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use common::pair::Pair;
use common::{Running, ripcurrent, run_to, tree, write};

/// Seeds until it serves; what it said of its pieces.
fn found_right(pair: &Pair, more: &[&str]) -> String {
    let mut command = remembering(pair);
    let mut seed = Running::start(pair.seeding(&mut command).args(more));
    let line = seed.expect("are right");
    seed.expect("seeding until");
    seed.interrupt();
    assert_eq!(seed.end().status.code(), Some(0));
    line.split(": ").last().unwrap().to_owned()
}

/// The program, with a folder for states of its own.
fn remembering(pair: &Pair) -> Command {
    let mut command = ripcurrent();
    command.env("XDG_STATE_HOME", pair.path("states"));
    command
}

/// Changes a byte so that nobody can tell by length and time.
fn spoil_secretly(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(b"!", 20_000).unwrap();
    let times = FileTimes::new().set_modified(modified);
    file.set_times(times).unwrap();
}

/// Data that was hashed once is not read again at the next start, unless somebody wrote to it or a
/// check is asked for; the folder it lies in stays as it was.
#[test]
fn a_seed_is_hashed_once() {
    let pair = Pair::new();
    let file = pair.path("seed/file");
    let before = tree(&pair.path("seed"));
    assert_eq!(found_right(&pair, &[]), "62 of 62 pieces are right");
    assert!(tree(&pair.path("seed")) == before);
    spoil_secretly(&file);
    assert_eq!(found_right(&pair, &[]), "62 of 62 pieces are right");
    assert_eq!(
        found_right(&pair, &["--check"]),
        "61 of 62 pieces are right"
    );
    fs::write(&file, &before[0].1).unwrap();
    assert_eq!(found_right(&pair, &[]), "62 of 62 pieces are right");
}

/// Without a folder for states a seed serves all the same, and says once what that will cost.
#[test]
fn a_seed_that_cannot_remember_serves() {
    let pair = Pair::new();
    write(&pair.path("seed/other"), 100_000);
    let create = ["create", "seed/other", "--piece-length", "16K"];
    run_to(pair.dir.path(), 0, &create);
    for home in ["/proc/nowhere", ""] {
        let mut command = ripcurrent();
        command.env("XDG_STATE_HOME", home).env_remove("HOME");
        let mut seed = Running::start(pair.seeding(&mut command).arg("other.torrent"));
        let line = seed.expect("cannot be remembered");
        assert!(line.ends_with("the next start hashes it again"), "{line}");
        seed.interrupt();
        let output = seed.end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said.matches("cannot be remembered").count(), 1, "{said}");
        assert_eq!(output.status.code(), Some(0));
    }
}

/// Any number of processes seed the same data, and none minds what the others remember.
#[test]
fn several_seed_the_same() {
    let pair = Pair::new();
    let mut seeds = Vec::new();
    for _ in 0..2 {
        seeds.push(pair.seed(remembering(&pair), ["--check"]));
    }
    for (seed, _) in seeds {
        seed.interrupt();
        assert_eq!(seed.end().status.code(), Some(0));
    }
    let states = fs::read_dir(pair.path("states/ripcurrent")).unwrap();
    assert_eq!(states.count(), 1);
    spoil_secretly(&pair.path("seed/file"));
    assert_eq!(found_right(&pair, &[]), "62 of 62 pieces are right");
}

/// A folder of many torrents: all are hashed once and served; one file that changes in between is
/// hashed again at the next start, and Ctrl-C ends it in good order.
#[test]
fn a_folder_of_torrents_is_served() {
    const COUNT: usize = 50;
    let pair = Pair::new();
    fs::create_dir(pair.path("torrents")).unwrap();
    for number in 0..COUNT {
        write(&pair.path(&format!("seed/{number:02}")), 40_000);
        let (data, torrent) = (
            format!("seed/{number:02}"),
            format!("torrents/{number:02}.torrent"),
        );
        let create = ["create", &data, "-o", &torrent, "--piece-length", "16K"];
        run_to(pair.dir.path(), 0, &create);
    }
    let all = 3 * COUNT as u64;
    assert_eq!(found_in_folder(&pair, COUNT), all);
    let states = fs::read_dir(pair.path("states/ripcurrent")).unwrap();
    assert_eq!(states.count(), COUNT);
    spoil_secretly(&pair.path("seed/07"));
    spoil_secretly(&pair.path("seed/08"));
    assert_eq!(found_in_folder(&pair, COUNT), all, "nothing is hashed");
    let changed = fs::File::options().write(true).open(pair.path("seed/07"));
    changed.unwrap().write_all_at(b"changed", 0).unwrap();
    assert_eq!(found_in_folder(&pair, COUNT), all - 2, "one file is hashed");
    assert_eq!(found_in_folder(&pair, COUNT), all - 2);
}

/// Serves a folder of so many torrents until all are looked at, and is interrupted; how many pieces
/// were right.
fn found_in_folder(pair: &Pair, count: usize) -> u64 {
    let mut command = remembering(pair);
    let bind = pair.row.ip(2).to_string();
    let args = [
        "seed", "torrents", "--data", "seed", "--json", "--bind", &bind, "--port", "0",
    ];
    let mut seed = Running::start(command.current_dir(pair.dir.path()).args(args));
    seed.expect(&format!("{count} torrents: seeding until"));
    seed.interrupt();
    let output = seed.end();
    assert_eq!(output.status.code(), Some(0));
    let events = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |name: &'static str| events.iter().filter(move |event| event["event"] == name);
    assert_eq!(
        (of("seeding").count(), of("summary").count()),
        (count, count)
    );
    of("checked")
        .map(|event| event["pieces_right"].as_u64().unwrap())
        .sum()
}

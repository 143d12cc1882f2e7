//! Our seed, our tracker and our download over loopback and io_uring, with the built program.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Row, Running, ripcurrent, run_to, testdata, tree, write};
use sha2::{Digest, Sha256};

/// A tracker, a torrent of `data` and a folder for everything, on addresses of their own.
struct Scene {
    row: Row,
    dir: tempfile::TempDir,
    tracker: Running,
    announce: String,
}

impl Scene {
    fn new() -> Self {
        let row = Row::new();
        let mut command = ripcurrent();
        let bind = row.ip(1).to_string();
        command.args([
            "tracker",
            "--port",
            "0",
            "--interval",
            "5s",
            "--bind",
            &bind,
        ]);
        let mut tracker = Running::start(&mut command);
        let announce = format!("http://{}/announce", tracker.expect_address("tracking at"));
        Scene {
            row,
            dir: tempfile::tempdir().unwrap(),
            tracker,
            announce,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a torrent of `seed/NAME`.
    fn torrent(&self, name: &str, more: &[&str]) -> String {
        let torrent = format!("{name}.torrent");
        let source = format!("seed/{name}");
        let mut args = vec![
            "create",
            &source,
            "-o",
            &torrent,
            "--tracker",
            &self.announce,
        ];
        args.extend(more);
        run_to(self.dir.path(), 0, &args);
        torrent
    }

    /// Starts our seed at host `host` and waits until it serves.
    fn seed(&self, torrent: &str, host: u8, more: &[&str]) -> Running {
        let bind = self.row.ip(host).to_string();
        let mut command = ripcurrent();
        command.current_dir(self.dir.path());
        command
            .args(["seed", torrent, "--data", "seed", "--bind", &bind])
            .args(more);
        let mut seed = Running::start(&mut command);
        seed.expect("seeding");
        seed
    }

    fn download_args(&self, torrent: &str, host: u8) -> Vec<String> {
        let bind = self.row.ip(host).to_string();
        ["download", torrent, "-o", "got", "--bind", &bind]
            .map(String::from)
            .to_vec()
    }

    /// Downloads to the end; what was said.
    fn download(&self, torrent: &str, host: u8, more: &[&str]) -> String {
        let args = self.download_args(torrent, host);
        let args: Vec<&str> = args
            .iter()
            .map(String::as_str)
            .chain(["--no-seed"])
            .chain(more.iter().copied())
            .collect();
        run_to(self.dir.path(), 0, &args).1
    }

    fn same(&self) {
        same_tree(&self.path("seed"), &self.path("got"));
    }
}

fn same_tree(one: &Path, other: &Path) {
    let (one, other) = (tree(one), tree(other));
    let names = |tree: &[(String, Vec<u8>)]| {
        tree.iter()
            .map(|(name, _)| name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&one), names(&other));
    for ((name, one), (_, other)) in one.iter().zip(&other) {
        assert!(one == other, "{name} differs");
    }
}

/// Files of every awkward size arrive byte for byte, found through our tracker.
#[test]
fn a_folder_arrives_whole() {
    let scene = Scene::new();
    for (name, len) in [
        ("empty", 0),
        ("one", 1),
        ("sub/small", 1000),
        ("sub/large", 3_000_000),
        ("sub/empty", 0),
        ("z", 70_001),
    ] {
        write(&scene.path("seed/set").join(name), len);
    }
    let torrent = scene.torrent("set", &["--piece-length", "64K"]);
    let _seed = scene.seed(&torrent, 2, &[]);
    let said = scene.download(&torrent, 3, &[]);
    scene.same();
    assert!(
        said.contains("2.93 MiB"),
        "the summary names the size: {said}"
    );
}

/// What the engine did over real sockets and disks it does again in the simulator, and a record holds
/// neither data nor the folder's name.
#[test]
fn a_recorded_download_comes_to_the_same() {
    let scene = Scene::new();
    write(&scene.path("seed/recorded"), 3_000_000);
    let torrent = scene.torrent("recorded", &["--piece-length", "64K"]);
    let _seed = scene.seed(&torrent, 2, &[]);
    scene.download(&torrent, 3, &["--record", "run.record"]);
    scene.same();
    let (_, said) = run_to(scene.dir.path(), 0, &["sim", "replay", "run.record"]);
    assert!(said.contains("as it was"), "{said}");
    let record = fs::read(scene.path("run.record")).unwrap();
    assert!(record.len() < 500_000, "{} bytes", record.len());
    let folder = scene.dir.path().to_str().unwrap().as_bytes();
    assert!(!record.windows(folder.len()).any(|bytes| bytes == folder));

    // A record is never written over.
    let mut args = scene.download_args(&torrent, 3);
    args.extend(["--no-seed", "--record", "run.record"].map(String::from));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (_, said) = run_to(scene.dir.path(), 5, &args);
    assert!(said.contains("run.record"), "{said}");
}

/// Damage done to data that is there is found by hashing, and only the damaged pieces are fetched.
#[test]
fn damage_is_found_and_repaired() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 2_000_000);
    let torrent = scene.torrent("file", &["--piece-length", "32K"]);
    let _seed = scene.seed(&torrent, 2, &[]);
    fs::create_dir(scene.path("got")).unwrap();
    let mut damaged = fs::read(scene.path("seed/file")).unwrap();
    damaged[500_000] ^= 1;
    damaged.truncate(1_900_000);
    fs::write(scene.path("got/file"), damaged).unwrap();
    let said = scene.download(&torrent, 3, &[]);
    scene.same();
    // 62 pieces, of which one is damaged and the last five are cut off or cut short.
    assert!(said.contains("56 of 62 pieces"), "{said}");
    // Run again when complete: nothing is fetched.
    let said = scene.download(&torrent, 3, &[]);
    assert!(said.contains("all 1.91 MiB are there already"), "{said}");
}

/// Ctrl-C in the middle leaves in good order with the code for "resumable", and the same command
/// goes on from there.
#[test]
fn an_interrupted_download_goes_on() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 4_000_000);
    let torrent = scene.torrent("file", &["--piece-length", "16K"]);
    let _seed = scene.seed(&torrent, 2, &[]);
    let mut command = ripcurrent();
    command
        .current_dir(scene.dir.path())
        .args(scene.download_args(&torrent, 3));
    let mut download = Running::start(command.args(["--down-limit", "500K"]));
    // The first piece is on the disk long before the last one is here.
    download.until(|| scene.path("got/file.part").exists());
    download.interrupt();
    let output = download.end();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
    scene.download(&torrent, 3, &[]);
    scene.same();
}

/// A download that is complete serves until Ctrl-C, and then it ends with success.
#[test]
fn a_complete_download_seeds_until_asked() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 300_000);
    let torrent = scene.torrent("file", &[]);
    let seed = scene.seed(&torrent, 2, &[]);
    let mut command = ripcurrent();
    command
        .current_dir(scene.dir.path())
        .args(scene.download_args(&torrent, 3));
    let mut first = Running::start(&mut command);
    first.expect("seeding until Ctrl-C");
    seed.interrupt();
    assert_eq!(seed.end().status.code(), Some(0));
    // Only the first download has the data now.
    let first_addr = format!("{}:6881", scene.row.ip(3));
    let bind = scene.row.ip(4).to_string();
    let args = [
        "file.torrent",
        "-o",
        "again",
        "--bind",
        &bind,
        "--no-seed",
        "--peer",
        &first_addr,
    ];
    run_to(scene.dir.path(), 0, &args);
    same_tree(&scene.path("seed"), &scene.path("again"));
    first.interrupt();
    assert_eq!(first.end().status.code(), Some(0));
}

/// What the disk refuses ends with 5 and names the file.
#[test]
fn a_disk_that_refuses_is_named() {
    let scene = Scene::new();
    write(&scene.path("seed/set/sub/a"), 100_000);
    write(&scene.path("seed/set/b"), 100_000);
    let torrent = scene.torrent("set", &[]);
    let _seed = scene.seed(&torrent, 2, &[]);
    // A file where a folder must be.
    write(&scene.path("got/set/sub"), 10);
    let mut args = scene.download_args(&torrent, 3);
    args.push("--no-seed".into());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (_, said) = run_to(scene.dir.path(), 5, &args);
    assert!(said.contains("got/set/sub"), "{said}");
}

/// A seed ends on Ctrl-C with success: it was asked to serve until then.
#[test]
fn a_seed_ends_when_asked() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 100_000);
    let torrent = scene.torrent("file", &[]);
    let seed = scene.seed(&torrent, 2, &[]);
    seed.interrupt();
    assert_eq!(seed.end().status.code(), Some(0));
    scene.tracker.interrupt();
    assert_eq!(scene.tracker.end().status.code(), Some(0));
}

/// `announce` prints the peers that the tracker knows, one a line, and leaves no trace there.
#[test]
fn announce_prints_the_peers() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 100_000);
    let torrent = scene.torrent("file", &[]);
    let mut seed = scene.seed(&torrent, 2, &["-v"]);
    seed.expect("tracker");
    let bind = scene.row.ip(3).to_string();
    for _ in 0..2 {
        let args = ["announce", &torrent, "--bind", &bind];
        let (out, said) = run_to(scene.dir.path(), 0, &args);
        assert_eq!(out, format!("{}:6881\n", scene.row.ip(2)));
        assert!(
            said.contains("1 peer, 1 seed in all, 1 leecher in all"),
            "{said}"
        );
    }
    let dead = format!("http://{}:9/announce", scene.row.ip(9));
    let args = ["announce", &torrent, "--bind", &bind, "--tracker", &dead];
    let (out, said) = run_to(scene.dir.path(), 4, &args);
    assert!(
        out.is_empty() && said.contains("connection refused"),
        "{said}"
    );
}

/// `scrape` tells the counts of every tracker that answers, and of the others why not; programs
/// read the same.
#[test]
fn scrape_prints_the_counts() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 100_000);
    let dead = format!("http://{}:9/announce", scene.row.ip(9));
    let torrent = scene.torrent("file", &["--tracker", &dead]);
    let mut seed = scene.seed(&torrent, 2, &["-v"]);
    seed.expect("tracker");
    let bind = scene.row.ip(3).to_string();
    let args = ["scrape", &torrent, "--bind", &bind];
    let (out, said) = run_to(scene.dir.path(), 0, &args);
    let expected = "     1 seeds      0 leechers        0 downloads  ";
    assert_eq!(out, format!("{expected}{}\n", scene.announce));
    assert_eq!(said, format!("tracker {dead}: connection refused\n"));
    let args = ["scrape", &torrent, "--bind", &bind, "--json", "-q"];
    let (out, _) = run_to(scene.dir.path(), 0, &args);
    let lines: Vec<serde_json::Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["event"], &lines[0]["seeds"]),
        (&"scraped".into(), &1.into())
    );
    assert_eq!(lines[1]["error"], "connection refused");
    let args = ["scrape", &torrent, "--bind", &bind, "--tracker", &dead];
    let (out, said) = run_to(scene.dir.path(), 4, &args);
    assert!(out.is_empty() && said.contains("Try again later"), "{said}");
}

/// Bound to a loopback address, nothing but loopback addresses is spoken to, whoever names them.
#[test]
fn bound_to_loopback_nothing_else_is_reached() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 100_000);
    let outside = [
        "create",
        "seed/file",
        "--tracker",
        "http://192.0.2.1/announce",
    ];
    run_to(scene.dir.path(), 0, &outside);
    let bind = scene.row.ip(3).to_string();
    let args = ["announce", "file.torrent", "--bind", &bind];
    let (_, said) = run_to(scene.dir.path(), 4, &args);
    assert!(said.contains("not a loopback address"), "{said}");
    let args = [
        "file.torrent",
        "-o",
        "got",
        "--bind",
        &bind,
        "--peer",
        "192.0.2.1:6881",
    ];
    let (_, said) = run_to(scene.dir.path(), 2, &args);
    assert!(said.contains("192.0.2.1:6881"), "{said}");
}

/// Only what was chosen is fetched, in the order of the pieces if that is asked for.
#[test]
fn a_selection_is_fetched_alone() {
    let scene = Scene::new();
    write(&scene.path("seed/set/a"), 64 << 10);
    write(&scene.path("seed/set/b"), 128 << 10);
    write(&scene.path("seed/set/c"), 64 << 10);
    let torrent = scene.torrent("set", &["--piece-length", "32K"]);
    let _seed = scene.seed(&torrent, 2, &[]);
    scene.download(&torrent, 3, &["--files", "2", "--sequential"]);
    let names: Vec<String> = tree(&scene.path("got"))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["set/b"]);
    assert_eq!(
        fs::read(scene.path("got/set/b")).unwrap(),
        fs::read(scene.path("seed/set/b")).unwrap()
    );
    scene.download(&torrent, 3, &["--pieces", "0-1"]);
    assert_eq!(
        fs::read(scene.path("got/set/a")).unwrap(),
        fs::read(scene.path("seed/set/a")).unwrap()
    );
    assert!(!scene.path("got/set/c").exists());
}

/// A peer given by hand is enough: no tracker is needed. Nobody at all ends with code 4.
#[test]
fn peers_are_given_by_hand() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 300_000);
    run_to(scene.dir.path(), 0, &["create", "seed/file"]);
    let bind = scene.row.ip(2).to_string();
    let mut seed = Running::start(ripcurrent().current_dir(scene.dir.path()).args([
        "seed",
        "file.torrent",
        "--data",
        "seed",
        "--bind",
        &bind,
        "--port",
        "0",
    ]));
    let addr = seed.expect_address("listening on").to_string();
    // Before that it turns peers away, who then come back after a while.
    seed.expect("seeding");
    scene.download("file.torrent", 3, &["--peer", &addr]);
    scene.same();
    let bind = scene.row.ip(4).to_string();
    let args = [
        "file.torrent",
        "-o",
        "nobody",
        "--bind",
        &bind,
        "--stop-timeout",
        "1s",
    ];
    let (_, said) = run_to(scene.dir.path(), 4, &args);
    assert!(said.contains("--peer"), "{said}");
}

/// A hybrid torrent made elsewhere is served and fetched by its v1 half; its padding reaches no
/// disk.
#[test]
fn a_hybrid_is_transferred_by_its_v1_half() {
    let scene = Scene::new();
    for (name, len) in [
        ("a.bin", 40_000),
        ("b.bin", 65_536),
        ("c/d.bin", 12),
        ("c/e.bin", 70_001),
    ] {
        let path = scene.path("seed/hybrid-multi").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, made_content("Ahybrid-multi", name, len)).unwrap();
    }
    let torrent = testdata().join("torrents-made/hybrid-multi.torrent");
    let torrent = torrent.to_str().unwrap();
    let bind = scene.row.ip(2).to_string();
    let mut command = ripcurrent();
    command
        .current_dir(scene.dir.path())
        .args(["seed", torrent, "--data", "seed", "--bind", &bind]);
    let mut seed = Running::start(&mut command);
    let addr = seed.expect_address("listening on").to_string();
    seed.expect("8 of 8 pieces");
    seed.expect("seeding");
    scene.download(torrent, 3, &["--peer", &addr]);
    scene.same();
}

/// The content of the torrents in `torrents-made`: SHA-256 of `SEED:PATH:K` for K = 0, 1, ...
fn made_content(seed: &str, path: &str, len: usize) -> Vec<u8> {
    let digests = (0..).flat_map(|k| Sha256::digest(format!("{seed}:{path}:{k}")));
    digests.take(len).collect()
}

/// A v2-only torrent says that it cannot be transferred yet, with the code for a bad torrent.
#[test]
fn a_v2_only_torrent_is_refused() {
    let torrent = testdata().join("torrents-made/v2-16k.torrent");
    let dir = tempfile::tempdir().unwrap();
    for command in ["download", "seed"] {
        let (_, said) = run_to(dir.path(), 3, &[command, torrent.to_str().unwrap()]);
        assert!(said.contains("v2-only"), "{said}");
    }
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "nothing was begun"
    );
}

/// A seed without a single right piece says so instead of serving nothing.
#[test]
fn a_seed_without_data_is_refused() {
    let scene = Scene::new();
    write(&scene.path("seed/file"), 300_000);
    let torrent = scene.torrent("file", &[]);
    fs::write(scene.path("seed/file"), vec![0; 300_000]).unwrap();
    let bind = scene.row.ip(2).to_string();
    let args = ["seed", &torrent, "--data", "seed", "--bind", &bind];
    assert!(run_to(scene.dir.path(), 6, &args).1.contains("--data"));
}

//! What people are promised of a session: several torrents at once, the ways in which each ends,
//! signals, and what is told. With the built program, over loopback.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Row, Running, ripcurrent, ripcurrent_after, ripcurrent_at_a_line, run_to, write};
use serde_json::Value;

/// A folder with data, torrents of it, and addresses.
struct Scene {
    row: Row,
    dir: tempfile::TempDir,
}

impl Scene {
    /// Data of the names and sizes in `seed`, each with a torrent.
    fn new(files: &[(&str, usize)]) -> Self {
        let scene = Scene {
            row: Row::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        for (name, len) in files {
            write(&scene.path("seed").join(name), *len);
            scene.create(name, &[]);
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn create(&self, name: &str, more: &[&str]) {
        let source = format!("seed/{name}");
        let args = ["create", &source, "--piece-length", "16K"];
        run_to(self.dir.path(), 0, &[&args, more].concat());
    }

    fn bind(&self, host: u8) -> String {
        self.row.ip(host).to_string()
    }

    fn command(&self, mut command: Command, args: &[&str], host: u8) -> Command {
        let bind = self.bind(host);
        command.current_dir(self.dir.path()).args(args);
        command.args(["--bind", &bind, "--port", "0"]);
        command
    }

    /// Starts one seed of all these torrents and waits until it serves them.
    fn seed(&self, torrents: &[&str]) -> (Running, String) {
        let mut command = self.command(ripcurrent(), &["seed", "--data", "seed"], 2);
        let mut seed = Running::start(command.args(torrents));
        let addr = seed.expect_address("listening on").to_string();
        for _ in torrents {
            seed.expect("seeding until");
        }
        (seed, addr)
    }

    fn download(&self, host: u8, args: &[&str]) -> Running {
        let begun = ["download", "-o", "got"];
        Running::start(&mut self.command(ripcurrent(), &[&begun, args].concat(), host))
    }

    fn arrived(&self, name: &str) {
        let [one, other] = ["seed", "got"].map(|folder| self.path(folder).join(name));
        assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{name}");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long another process takes to leave is part of its promise"
)]
fn now() -> Instant {
    Instant::now()
}

/// Waits for the end, which must come with `code`; what was said, and what stands on stdout.
fn ends_with(running: Running, code: i32) -> (String, String) {
    let output = running.end();
    let said = String::from_utf8(output.stderr).unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}\n{out}");
    (said, out)
}

/// One command serves several torrents at one address, another fetches them all at once.
#[test]
fn several_torrents_go_at_once() {
    let scene = Scene::new(&[("a", 500_000), ("b", 700_000), ("c", 20_000)]);
    let torrents = ["a.torrent", "b.torrent", "c.torrent"];
    let (_seed, addr) = scene.seed(&torrents);
    let args = [&torrents[..], &["--no-seed", "--peer", &addr]].concat();
    let (said, _) = ends_with(scene.download(3, &args), 0);
    for name in ["a", "b", "c"] {
        scene.arrived(name);
        let summary =
            |line: &&str| line.starts_with(&format!("{name}: ")) && line.contains("complete;");
        assert_eq!(said.lines().filter(summary).count(), 1, "{said}");
    }
    assert_eq!(said.matches("listening on").count(), 1, "{said}");
}

/// What cannot be used, and what the disk refuses, stops nobody else; the highest code counts.
#[test]
fn one_that_fails_stops_no_other() {
    let scene = Scene::new(&[("a", 300_000), ("b", 300_000), ("c", 100_000)]);
    fs::write(scene.path("bad.torrent"), "no torrent").unwrap();
    let (_seed, addr) = scene.seed(&["a.torrent", "b.torrent", "c.torrent"]);
    let args = ["bad.torrent", "a.torrent", "--no-seed", "--peer", &addr];
    let (said, _) = ends_with(scene.download(3, &args), 3);
    assert!(said.contains("bad.torrent is not a torrent"), "{said}");
    scene.arrived("a");
    fs::create_dir(scene.path("got/c")).unwrap();
    let args = [
        "c.torrent",
        "bad.torrent",
        "b.torrent",
        "--no-seed",
        "--peer",
        &addr,
    ];
    let (said, _) = ends_with(scene.download(3, &args), 5);
    assert!(said.contains("got/c"), "{said}");
    scene.arrived("b");
}

/// The same torrent twice, or two that would write the same file, are mistakes of the command line.
#[test]
fn torrents_that_collide_are_refused() {
    let scene = Scene::new(&[("other/a", 2000)]);
    fs::rename(scene.path("a.torrent"), scene.path("y.torrent")).unwrap();
    write(&scene.path("seed/a"), 1000);
    scene.create("a", &[]);
    fs::copy(scene.path("a.torrent"), scene.path("copy.torrent")).unwrap();
    let collide = |args: &[&str]| {
        let (said, _) = ends_with(scene.download(3, args), 2);
        assert!(args.iter().all(|torrent| said.contains(torrent)), "{said}");
    };
    collide(&["a.torrent", "copy.torrent"]);
    collide(&["y.torrent", "a.torrent"]);
    assert!(!scene.path("got").exists());
}

/// A choice of files or pieces is one of a single torrent.
#[test]
fn a_choice_is_of_one_torrent() {
    let scene = Scene::new(&[("a", 1000), ("b", 1000)]);
    for choice in ["--files", "--pieces"] {
        let args = ["a.torrent", "b.torrent", choice, "0"];
        let (said, _) = ends_with(scene.download(3, &args), 2);
        assert!(said.contains("once for each torrent"), "{said}");
    }
}

/// A complete download serves until as much was sent as it is large, and then leaves.
#[test]
fn seeding_ends_at_the_ratio() {
    let scene = Scene::new(&[("a", 400_000)]);
    let (seed, addr) = scene.seed(&["a.torrent"]);
    let mut first = scene.download(3, &["a.torrent", "--peer", &addr]);
    let door = first.expect_address("listening on").to_string();
    let said = first.expect("seeding until");
    assert!(said.contains("until Ctrl-C or a ratio of 1"), "{said}");
    seed.interrupt();
    ends_with(seed, 0);
    let mut second = scene.command(ripcurrent(), &["download", "a.torrent", "-o", "again"], 4);
    let second = Running::start(second.args(["--no-seed", "--peer", &door]));
    ends_with(second, 0);
    let (said, _) = ends_with(first, 0);
    assert!(said.contains("a ratio of 1.0"), "{said}");
}

/// Seeding ends after its time, also that of a seed; whichever end comes first counts.
#[test]
fn seeding_ends_after_its_time() {
    let scene = Scene::new(&[("a", 100_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let args = ["a.torrent", "--peer", &addr, "--seed-time", "1s"];
    let (said, _) = ends_with(scene.download(3, &args), 0);
    assert!(said.contains("until Ctrl-C or for 1s"), "{said}");
    let args = ["seed", "a.torrent", "--data", "seed", "--seed-time", "1"];
    let seed = Running::start(&mut scene.command(ripcurrent(), &args, 4));
    let (said, _) = ends_with(seed, 0);
    assert!(said.contains("no peer came"), "{said}");
}

/// Run again when everything is there, the command says so in one line and ends; asked to serve, it
/// serves.
#[test]
fn run_again_it_says_one_line() {
    let scene = Scene::new(&[("a", 100_000)]);
    fs::create_dir(scene.path("got")).unwrap();
    fs::copy(scene.path("seed/a"), scene.path("got/a")).unwrap();
    for more in [&["a.torrent"][..], &["a.torrent", "--no-seed"]] {
        let (said, out) = ends_with(scene.download(3, more), 0);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.starts_with("a: all 97.7 KiB are there already"),
            "{said}"
        );
        assert_eq!(out, "");
    }
    let mut again = scene.download(3, &["a.torrent", "--seed-ratio", "1"]);
    again.expect("are there already; seeding until Ctrl-C or a ratio of 1");
    again.interrupt();
    ends_with(again, 0);
}

/// Without `--port` the next free one is taken, and that is said.
#[test]
fn the_next_free_port_is_said() {
    let scene = Scene::new(&[("a", 1000)]);
    let _taken = TcpListener::bind(SocketAddr::new(scene.row.ip(3).into(), 6881)).unwrap();
    let bind = scene.bind(3);
    let mut command = ripcurrent();
    command.current_dir(scene.dir.path());
    command.args(["download", "a.torrent", "-o", "got", "--bind", &bind]);
    let mut download = Running::start(&mut command);
    let line = download.expect("listening on");
    assert!(line.ends_with("6882 (port 6881 is in use)"), "{line}");
    download.interrupt();
    ends_with(download, 7);
}

/// Limits reach the engine: each torrent keeps its own.
#[test]
fn torrents_have_limits_of_their_own() {
    let scene = Scene::new(&[("a", 600_000), ("b", 600_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent", "b.torrent"]);
    let args = ["a.torrent", "b.torrent", "--no-seed", "--peer", &addr];
    let begun = now();
    let limited = [&args[..], &["--torrent-down-limit", "200K"]].concat();
    ends_with(scene.download(3, &limited), 0);
    // All but what a connection is given at its beginning, and a burst of a quarter of a second.
    assert!(begun.elapsed() > Duration::from_secs(2));
    scene.arrived("a");
    scene.arrived("b");
}

/// A download that is limited so far that it is under way for as long as a scene needs.
fn slow(scene: &Scene, command: Command, addr: &str) -> Running {
    let args = [
        "download",
        "-o",
        "got",
        "a.torrent",
        "--down-limit",
        "100K",
        "--peer",
        addr,
    ];
    let mut download = Running::start(&mut scene.command(command, &args, 3));
    let got = scene.path("got");
    download.until(|| got.read_dir().is_ok_and(|files| files.count() > 0));
    download
}

/// Every signal that asks for an end gets an orderly one, and a second one in the same instant is
/// only its echo.
#[test]
fn signals_end_it_in_good_order() {
    let scene = Scene::new(&[("a", 4_000_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    for signals in ["INT", "TERM", "HUP", "INT TERM"] {
        let download = slow(&scene, ripcurrent_at_a_line(), &addr);
        let pid = download.pid();
        let kills: Vec<String> = signals
            .split(' ')
            .map(|signal| format!("kill -{signal} {pid}"))
            .collect();
        let sent = Command::new("sh").args(["-c", &kills.join("; ")]).status();
        assert!(sent.unwrap().success());
        let (said, _) = ends_with(download, 7);
        assert!(said.contains("goes on from there"), "{signals}: {said}");
        // The next one begins anew.
        fs::remove_dir_all(scene.path("got")).unwrap();
    }
}

/// A tracker that never answers holds nobody up: the torrent leaves without it.
#[test]
fn a_silent_tracker_holds_nobody_up() {
    let scene = Scene::new(&[("a", 4_000_000)]);
    let tracker = TcpListener::bind(SocketAddr::new(scene.row.ip(9).into(), 0)).unwrap();
    let announce = format!("http://{}/announce", tracker.local_addr().unwrap());
    fs::remove_file(scene.path("a.torrent")).unwrap();
    scene.create("a", &["--tracker", &announce]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let download = slow(&scene, ripcurrent(), &addr);
    let asked = now();
    download.interrupt();
    let (said, _) = ends_with(download, 7);
    assert!(asked.elapsed() < Duration::from_secs(4), "{said}");
    assert!(said.contains("goes on from there"), "{said}");
}

/// A library that makes every sync of the disk hang as soon as there is a file `hang` in the current
/// folder, or `None` where none can be made.
fn hanging_syncs(folder: &Path) -> Option<PathBuf> {
    let source = folder.join("hang.c");
    let library = folder.join("hang.so");
    let text = "#include <sys/syscall.h>\n#include <unistd.h>\n\
                static void hang(void) { while (access(\"hang\", F_OK) == 0) pause(); }\n\
                int fsync(int fd) { hang(); return syscall(SYS_fsync, fd); }\n\
                int fdatasync(int fd) { hang(); return syscall(SYS_fdatasync, fd); }\n\
                int syncfs(int fd) { hang(); return syscall(SYS_syncfs, fd); }\n";
    fs::write(&source, text).unwrap();
    let mut compile = Command::new("cc");
    compile
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source]);
    compile.status().ok()?.success().then_some(library)
}

/// A disk that hangs delays the end, but not beyond three seconds: what was not saved is said. A
/// second signal leaves at once.
#[test]
fn a_hanging_disk_keeps_nobody() {
    let scene = Scene::new(&[("a", 4_000_000)]);
    let Some(library) = hanging_syncs(scene.dir.path()) else {
        eprintln!("SKIPPED: no C compiler makes a disk hang here");
        return;
    };
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    for insists in [false, true] {
        let mut command = ripcurrent();
        command.env("LD_PRELOAD", &library);
        let mut download = slow(&scene, command, &addr);
        fs::write(scene.path("hang"), "").unwrap();
        let asked = now();
        download.interrupt();
        download.expect("leaving in good order");
        if insists {
            // Later than any echo.
            download.until(|| asked.elapsed() > Duration::from_millis(200));
            download.interrupt();
            let (said, _) = ends_with(download, 7);
            assert!(!said.contains("was not saved"), "{said}");
            assert!(asked.elapsed() < Duration::from_millis(2500));
        } else {
            let (said, _) = ends_with(download, 7);
            assert!(said.contains("was not saved in"), "{said}");
            assert!(asked.elapsed() < Duration::from_secs(4));
        }
        fs::remove_file(scene.path("hang")).unwrap();
        fs::remove_dir_all(scene.path("got")).unwrap();
    }
}

/// Quiet means silent.
#[test]
fn quiet_says_nothing() {
    let scene = Scene::new(&[("a", 100_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let (said, out) = ends_with(
        scene.download(3, &["a.torrent", "-q", "--no-seed", "--peer", &addr]),
        0,
    );
    assert_eq!((said, out), (String::new(), String::new()));
}

fn events(out: &str) -> Vec<Value> {
    let lines: Result<Vec<Value>, _> = out.lines().map(serde_json::from_str).collect();
    let lines = lines.unwrap();
    assert!(
        lines
            .iter()
            .all(|line| line["v"] == 1 && line["ms"].is_u64())
    );
    lines
}

/// Programs hear what happens to each torrent, from its beginning to its summary.
#[test]
fn programs_hear_what_happens() {
    let scene = Scene::new(&[("a", 400_000), ("b", 300_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let args = [
        "a.torrent",
        "b.torrent",
        "--json",
        "--no-seed",
        "--peer",
        &addr,
    ];
    let patience = ["--stop-timeout", "2", "--down-limit", "200K"];
    let (_, out) = ends_with(scene.download(3, &[&args[..], &patience].concat()), 4);
    let events = events(&out);
    assert_eq!(events[0]["event"], "listening");
    let of = |name: &str| {
        let begun = events.iter().find(|event| event["name"] == name).unwrap();
        assert_eq!(begun["event"], "started");
        let hash = begun["torrent"].as_str().unwrap();
        let all = events.iter().filter(|event| event["torrent"] == hash);
        let named = |event: &Value| event["event"].as_str().unwrap().to_owned();
        (
            begun.clone(),
            all.clone().map(named).collect::<Vec<_>>(),
            all.cloned().collect::<Vec<_>>(),
        )
    };
    let (begun, names, all) = of("a");
    assert_eq!(begun["bytes_wanted"], 400_000);
    assert_eq!(names[..2], ["started", "checked"]);
    assert_eq!(
        names[names.len() - 3..],
        ["completed", "finished", "summary"]
    );
    assert!(names.iter().any(|name| name == "progress"), "{names:?}");
    assert!(names.iter().any(|name| name == "peers"), "{names:?}");
    let summary = &all[all.len() - 1];
    assert_eq!(summary["complete"], true);
    assert!(summary["downloaded"].as_u64().unwrap() >= 400_000);
    let (_, _, all) = of("b");
    assert_eq!(all[all.len() - 2]["why"], "no_peers");
    let error = events.last().unwrap();
    assert_eq!(
        (&error["event"], &error["exit"]),
        (&"error".into(), &4.into())
    );
}

/// Plain numbers of seconds and units mean the same; nobody there ends a torrent with code 4.
#[test]
fn nobody_there_ends_it() {
    let scene = Scene::new(&[("a", 100_000)]);
    for patience in ["1", "1s"] {
        let (said, _) = ends_with(
            scene.download(3, &["a.torrent", "--stop-timeout", patience]),
            4,
        );
        assert!(said.contains("no byte came in time"), "{said}");
    }
}

/// Full allocation, which is the default, takes the room at the start; sparse does not.
#[test]
fn files_take_their_room_as_asked() {
    use std::os::unix::fs::MetadataExt;
    let scene = Scene::new(&[("a", 4_000_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let ways: [(&[&str], bool); 3] = [
        (&["--allocation", "sparse"], false),
        (&["--allocation", "full"], true),
        (&[], true),
    ];
    for (how, takes_all) in ways {
        let args = ["a.torrent", "--down-limit", "100K", "--peer", &addr];
        let mut download = scene.download(3, &[&args[..], how].concat());
        let part = scene.path("got/a.part");
        download.until(|| part.metadata().is_ok_and(|part| part.blocks() > 0));
        let blocks = part.metadata().unwrap().blocks() * 512;
        assert_eq!(blocks >= 4_000_000, takes_all, "{how:?}: {blocks}");
        download.interrupt();
        ends_with(download, 7);
        fs::remove_dir_all(scene.path("got")).unwrap();
    }
}

/// What is in the way and holds nothing of the torrent stays, unless it may be replaced.
#[test]
fn what_is_in_the_way_is_replaced_only_when_asked() {
    let scene = Scene::new(&[("a", 100_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    write(&scene.path("got/a"), 50_000);
    fs::write(scene.path("got/a"), vec![7; 50_000]).unwrap();
    let args = ["a.torrent", "--no-seed", "--peer", &addr];
    let (said, _) = ends_with(scene.download(3, &args), 5);
    assert!(
        said.contains("got/a") && said.contains("--overwrite"),
        "{said}"
    );
    assert_eq!(fs::read(scene.path("got/a")).unwrap(), vec![7; 50_000]);
    ends_with(
        scene.download(3, &[&args[..], &["--overwrite"]].concat()),
        0,
    );
    scene.arrived("a");
}

/// A second run on the same data names the process that is at work on it.
#[test]
fn a_second_run_names_the_first() {
    let scene = Scene::new(&[("a", 4_000_000)]);
    let (_seed, addr) = scene.seed(&["a.torrent"]);
    let first = slow(&scene, ripcurrent(), &addr);
    let (said, _) = ends_with(scene.download(4, &["a.torrent"]), 5);
    let holder = format!("process {} (ripcurrent)", first.pid());
    assert!(said.contains(&holder) && said.contains("got/a"), "{said}");
    first.interrupt();
    ends_with(first, 7);
}

/// A file system of 4 MiB of our own, mounted where nobody else sees it.
struct SmallDisk {
    scene: Scene,
    addr: String,
    _seed: Running,
}

impl SmallDisk {
    /// `None` where none can be mounted.
    fn new() -> Option<Self> {
        let mut probe = Command::new("unshare");
        probe.args(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
        let quiet = probe.stderr(std::process::Stdio::null()).status();
        if !quiet.is_ok_and(|status| status.success()) {
            eprintln!("SKIPPED: no file system can be mounted here");
            return None;
        }
        let scene = Scene::new(&[("a", 2_500_000), ("b", 2_500_000)]);
        fs::create_dir(scene.path("got")).unwrap();
        let (seed, addr) = scene.seed(&["a.torrent", "b.torrent"]);
        Some(SmallDisk {
            scene,
            addr,
            _seed: seed,
        })
    }

    /// Starts a download of these torrents to the disk, of which `taken` bytes are taken.
    fn download(&self, taken: usize, args: &[&str]) -> Running {
        let first = format!(
            "mount -t tmpfs -o size=4m none got && head -c {taken} /dev/zero > got/ballast"
        );
        let mut command = Command::new("unshare");
        let shell = ripcurrent_after(&first);
        command
            .arg("-m")
            .arg(shell.get_program())
            .args(shell.get_args());
        let mut command = self
            .scene
            .command(command, &["download", "-o", "got", "--no-seed"], 3);
        Running::start(command.args(["--peer", &self.addr]).args(args))
    }

    /// A path on the disk, as it is seen from outside.
    fn path(&self, of: &Running, name: &str) -> PathBuf {
        let inside = self.scene.path("got").join(name);
        let root = format!("/proc/{}/root", of.pid());
        Path::new(&root).join(inside.strip_prefix("/").unwrap())
    }
}

/// Too little room is found out before anything is fetched, and waited for.
#[test]
fn a_full_disk_is_waited_for_from_the_start() {
    let Some(disk) = SmallDisk::new() else { return };
    let mut download = disk.download(3 << 20, &["a.torrent"]);
    let line = download.expect("no room for 2.38 MiB");
    assert!(
        line.contains(disk.scene.path("got").to_str().unwrap()),
        "{line}"
    );
    fs::remove_file(disk.path(&download, "ballast")).unwrap();
    download.expect("there is room again");
    download.expect("complete;");
    ends_with(download, 0);
}

/// Whoever has waited long enough leaves with the code for disks; torrents on one disk are added up,
/// and the one that fits arrives.
#[test]
fn a_disk_that_stays_full_ends_what_does_not_fit() {
    let Some(disk) = SmallDisk::new() else { return };
    let args = ["a.torrent", "b.torrent", "--disk-wait", "1s"];
    let (said, _) = ends_with(disk.download(0, &args), 5);
    assert!(said.contains("a: 2.38 MiB complete"), "{said}");
    assert!(said.contains("b: no room for"), "{said}");
    assert!(
        said.contains("after 1s") && said.contains("Make room"),
        "{said}"
    );
}

/// A disk that fills up on the way is told with the file and the need, waited for, and the download
/// goes on when there is room.
#[test]
fn a_disk_that_fills_up_is_waited_for() {
    let Some(disk) = SmallDisk::new() else { return };
    // What is allocated is not taken away any more.
    let args = [
        "a.torrent",
        "--down-limit",
        "400K",
        "--allocation",
        "sparse",
    ];
    let mut download = disk.download(0, &args);
    let part = disk.path(&download, "a.part");
    download.until(|| part.exists());
    let ballast = disk.path(&download, "ballast");
    // As much as goes in.
    let _ = fs::write(&ballast, vec![1; 4 << 20]);
    let line = download.expect("no room for");
    assert!(line.contains("got/a.part"), "{line}");
    fs::remove_file(ballast).unwrap();
    download.expect("there is room again");
    download.expect("complete;");
    ends_with(download, 0);
}

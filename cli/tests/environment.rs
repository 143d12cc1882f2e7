//! Wherever it runs: with little allowed, with little there, and with nobody watching.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use common::pair::Pair;
use common::sandbox::{Refusal, without};
use common::{PATIENCE, Running, ripcurrent, ripcurrent_after, ripcurrent_at_a_line, run_to};

/// Nobody in particular, on every system.
const NOBODY: u32 = 65534;

/// The limit on open files is raised to the most that the system allows.
#[test]
fn the_limit_on_open_files_is_raised() {
    let pair = Pair::new();
    let (seed, _) = pair.seed(ripcurrent_after("ulimit -Sn 64"), [""; 0]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", seed.pid())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<_> = line.unwrap().split_whitespace().skip(3).collect();
    assert_eq!(numbers[0], numbers[1], "{limits}");
    assert_ne!(numbers[0], "64");
}

/// With 64 open files and a crowd that wants in and a crowd to be visited, a download asked for 50
/// peers takes fewer, tells so, arrives and goes on serving.
#[test]
fn few_open_files_mean_fewer_connections() {
    const CROWD: u8 = 60;
    const KNOCKS: usize = 40;
    // What 64 open files leave.
    const CONNECTIONS: usize = 18;
    const PEERS: usize = 14;

    for backend in ["uring", "tokio-uring", "epoll"] {
        let pair = Pair::new();
        let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
        let (opened, open) = channel();
        let crowd = (0..CROWD).map(|n| bystander(pair.row.ip(100 + n), opened.clone()));
        let peers = crowd.flat_map(|peer| ["--peer".to_owned(), peer.to_string()]);
        let mut command = ripcurrent_after("ulimit -n 64");
        let command = pair.fetching(&mut command, &addr).args(peers);
        let args = ["-v", "--max-peers", "50", "--backend", backend];
        let mut download = Running::start(command.args(args));
        let said = download.expect("64 files may be open");
        let door = download.expect_address("listening on");
        let shares = format!("{CONNECTIONS} connections, {PEERS} peers");
        assert!(said.contains(&shares), "{said}");
        download.expect("seeding until");
        pair.arrived();
        for _ in 0..PEERS - 1 {
            open.recv_timeout(PATIENCE).unwrap();
        }

        // There is no room for more than a few of these; the others are sent away.
        let (knock, knocks) = channel();
        for _ in 0..KNOCKS {
            visitor(door, knock.clone());
        }
        for _ in 0..KNOCKS - CONNECTIONS {
            knocks.recv_timeout(PATIENCE).unwrap();
        }
        let more = open.try_iter().count();
        assert!(PEERS - 1 + more <= CONNECTIONS, "{more} more");
        download.interrupt();
        let output = download.end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("Too many open files"), "{said}");
    }
}

/// A peer that shakes hands and then has and wants nothing; its address. Says when it was visited.
fn bystander(ip: Ipv4Addr, visited: Sender<()>) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut hello = [0; 68];
            if stream.read_exact(&mut hello).is_err() {
                continue;
            }
            // No extensions, the same torrent, a name of its own.
            hello[20..28].fill(0);
            hello[48..].fill(ip.octets()[3]);
            if stream.write_all(&hello).is_ok() {
                // The scene may be over.
                let _ = visited.send(());
            }
            let _ = stream.read_to_end(&mut Vec::new());
        }
    });
    addr
}

/// Somebody who comes in and says nothing. Says when it was sent away.
fn visitor(to: SocketAddr, sent_away: Sender<()>) {
    let mut stream = TcpStream::connect(to).unwrap();
    thread::spawn(move || {
        let _ = stream.read_to_end(&mut Vec::new());
        let _ = sent_away.send(());
    });
}

/// A tracker takes no more connections than its open files allow, and answers others after them.
#[test]
fn a_tracker_keeps_within_its_open_files() {
    // What 64 open files leave.
    const CONNECTIONS: usize = 18;

    let row = common::Row::new();
    let bind = row.ip(1).to_string();
    let mut command = ripcurrent_after("ulimit -n 64");
    let mut tracker = Running::start(command.args(["tracker", "--port", "0", "--bind", &bind]));
    let addr = tracker.expect_address("tracking at");
    // Who says nothing keeps a connection.
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    let folder = format!("/proc/{}/fd", tracker.pid());
    tracker.until(|| sockets_in(Path::new(&folder)) > CONNECTIONS);
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(b"GET /scrape HTTP/1.0\r\n\r\n").unwrap();
    drop(silent);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1."), "{answer}");
    tracker.interrupt();
    let said = String::from_utf8(tracker.end().stderr).unwrap();
    assert!(!said.contains("Too many open files"), "{said}");
}

/// How many of the open files in `folder` are sockets. One may be closed while this looks.
fn sockets_in(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().flatten();
    let targets = files.filter_map(|file| fs::read_link(file.path()).ok());
    targets
        .filter(|target| target.to_string_lossy().starts_with("socket:"))
        .count()
}

/// A demonstration fits into 64 open files; one that does not is refused before it begins.
#[test]
fn a_demonstration_fits_into_few_open_files() {
    let dir = tempfile::tempdir().unwrap();
    let demo = |seeds: &str, backend: &str| {
        let mut command = ripcurrent_after("ulimit -n 64");
        let command = command.current_dir(dir.path());
        let args = [
            "demo",
            "--size",
            "8MiB",
            "--peers",
            seeds,
            "--backend",
            backend,
        ];
        Running::start(command.args(args)).end()
    };
    for backend in ["uring", "tokio-uring", "epoll"] {
        let output = demo("3", backend);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(!said.contains("Too many open files"), "{said}");
    }
    let output = demo("4", "epoll");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("ulimit -Hn"), "{said}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// An ordinary user, to whom the system lets 64 KiB of memory be locked, seeds and downloads.
#[test]
fn an_ordinary_user_with_little_locked_memory_works() {
    let pair = Pair::new();
    let program = pair.path("ripcurrent");
    let built = env!("CARGO_BIN_EXE_ripcurrent");
    // Others may not look into the folder it was built in.
    fs::hard_link(built, &program)
        .or_else(|_| fs::copy(built, &program).map(drop))
        .unwrap();
    let Some(user) = ordinary_user(pair.dir.path()) else {
        return;
    };
    let (seed, addr) = pair.seed(user.command(&program), [""; 0]);
    pair.download(user.command(&program), &addr, [""; 0]);
    pair.arrived();
    let owner = fs::metadata(pair.path("got/file")).unwrap().uid();
    assert_eq!(owner, user.uid);
    seed.interrupt();
    assert_eq!(seed.end().status.code(), Some(0));
}

/// Somebody without privileges.
struct User {
    uid: u32,
    /// What makes a program theirs.
    become_them: Vec<String>,
}

/// Somebody to whom `folder` is given: whoever runs the tests, or nobody if that is root.
fn ordinary_user(folder: &Path) -> Option<User> {
    let uid = fs::metadata("/proc/self").unwrap().uid();
    if uid != 0 {
        let become_them = Vec::new();
        return Some(User { uid, become_them });
    }
    let user = User {
        uid: NOBODY,
        become_them: [
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
        ]
        .map(String::from)
        .to_vec(),
    };
    if !succeeds(user.command(Path::new("true"))) {
        eprintln!("SKIPPED: root cannot become nobody here (setpriv of util-linux)");
        return None;
    }
    chown(folder, Some(NOBODY), Some(NOBODY)).unwrap();
    Some(user)
}

impl User {
    /// The program, with 64 KiB of memory to lock.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -l 64; exec \"$@\"", "sh"]);
        command.args(&self.become_them).arg(program);
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }
}

fn succeeds(mut command: Command) -> bool {
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A system without IPv6 is not even asked for it.
#[test]
fn without_ipv6_everything_works() {
    without(Refusal::Ipv6, || {
        let pair = Pair::new();
        for backend in ["uring", "tokio-uring", "epoll"] {
            let (_seed, addr) = pair.seed(ripcurrent(), ["--backend", backend]);
            pair.download(ripcurrent(), &addr, ["--backend", backend]);
            pair.arrived();
            fs::remove_dir_all(pair.path("got")).unwrap();
            run_to(
                pair.dir.path(),
                0,
                &["demo", "--size", "1MiB", "--backend", backend],
            );
        }
    });
}

/// Without IPv6, who is told no address listens on all that there are of IPv4. In a network of its
/// own, where there is nobody else.
#[test]
fn without_ipv6_all_addresses_are_those_of_ipv4() {
    let mut probe = Command::new("unshare");
    probe.args(["--net", "ip", "link", "set", "lo", "up"]);
    let mut entering = enter(std::process::id());
    entering.arg("true");
    if !succeeds(probe) || !succeeds(entering) {
        eprintln!("SKIPPED: no network of our own can be made here (unshare, nsenter, ip)");
        return;
    }
    without(Refusal::Ipv6, || {
        let pair = Pair::new();
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up; exec \"$@\"", "sh"]);
        command.arg(env!("CARGO_BIN_EXE_ripcurrent"));
        command.args(["seed", "file.torrent", "--data", "seed", "--port", "0"]);
        command.env("XDG_STATE_HOME", pair.path("states"));
        let mut seed = Running::start(command.current_dir(pair.dir.path()));
        let addr = seed.expect_address("listening on");
        assert_eq!(addr.ip(), Ipv4Addr::UNSPECIFIED);
        seed.expect("seeding until");

        let mut command = enter(seed.pid());
        command.arg(env!("CARGO_BIN_EXE_ripcurrent"));
        let peer = format!("127.0.0.1:{}", addr.port());
        let args = ["download", "file.torrent", "-o", "got", "--port", "0"];
        command.args(args).args(["--no-seed", "--peer", &peer]);
        let download = Running::start(command.current_dir(pair.dir.path()));
        let output = download.end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("listening on 0.0.0.0:"), "{said}");
        pair.arrived();
    });
}

/// What runs a program in the network of the process `pid`.
fn enter(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &pid.to_string(), "--net", "--"]);
    command
}

/// Neither a home that cannot be written to nor none at all, with nothing else known of the world,
/// keeps anything from working.
#[test]
fn a_home_is_not_needed() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    // Nothing can be made there, not even by root.
    for home in [Some("/sys"), None] {
        let mut command = ripcurrent();
        command.env_clear().envs(home.map(|home| ("HOME", home)));
        pair.download(command, &addr, [""; 0]);
        pair.arrived();
        fs::remove_dir_all(pair.path("got")).unwrap();
    }
}

/// Without a terminal, and with all standard streams closed, a download arrives and a demonstration
/// comes to its end.
#[test]
fn nobody_need_watch() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let closed = || ripcurrent_after("exec <&- >&- 2>&-");
    pair.download(closed(), &addr, [""; 0]);
    pair.arrived();
    let mut demo = closed();
    let args = ["demo", "--size", "1MiB"];
    let demo = Running::start(demo.current_dir(pair.dir.path()).args(args));
    assert_eq!(demo.end().status.code(), Some(0));
}

/// A line to another machine that breaks is a hang-up: the download leaves in good order, and the
/// same command goes on from there.
#[test]
fn a_broken_line_is_an_orderly_end() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let mut command = ripcurrent_at_a_line();
    command.env("TERM", "dumb");
    let command = pair.fetching(&mut command, &addr);
    let mut download = Running::start(command.args(["--down-limit", "200K"]));
    let got = pair.path("got");
    download.until(|| got.read_dir().is_ok_and(|mut files| files.next().is_some()));
    download.signal("HUP");
    let output = download.end();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(7), "{said}");
    pair.download(ripcurrent(), &addr, [""; 0]);
    pair.arrived();
}

/// So few open files that nothing can begin are told as what they are.
#[test]
fn too_few_open_files_are_told() {
    let pair = Pair::new();
    for (backend, files) in [
        ("uring", 8),
        ("tokio-uring", 8),
        ("tokio-uring", 14),
        ("epoll", 14),
    ] {
        let mut command = ripcurrent_after(&format!("ulimit -n {files}"));
        let command = pair.fetching(&mut command, "127.0.0.1:9");
        let output = Running::start(command.args(["--backend", backend])).end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains("ulimit -n"), "{said}");
    }
}

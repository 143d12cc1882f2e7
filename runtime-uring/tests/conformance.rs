//! The suite that every backend must pass, over real sockets and files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use common::tls::{Authority, Terminal, Valid};
use ripcurrent_proto::conformance::{Case, Env, Failure, Files, Flags, Protected, Script, cases};
use ripcurrent_runtime_uring::{Choice, Control, Host, Listen, Options, Roots};
use socket2::{Domain, Socket, Type};

/// Every case of the suite, over the ring and IPv4.
#[test]
fn every_case_over_uring_and_ipv4() {
    play_all_over_ipv4([Choice::Uring; 2]);
}

/// Every case of the suite, over the ring and IPv6.
#[test]
fn every_case_over_uring_and_ipv6() {
    play_all_over_ipv6([Choice::Uring; 2]);
}

/// Every case of the suite, over tokio-uring and IPv4.
#[test]
fn every_case_over_tokio_uring_and_ipv4() {
    play_all_over_ipv4([Choice::TokioUring; 2]);
}

/// Every case of the suite, over tokio-uring and IPv6.
#[test]
fn every_case_over_tokio_uring_and_ipv6() {
    play_all_over_ipv6([Choice::TokioUring; 2]);
}

/// Every case of the suite, over epoll and IPv4.
#[test]
fn every_case_over_epoll_and_ipv4() {
    play_all_over_ipv4([Choice::Epoll; 2]);
}

/// Every case of the suite, over epoll and IPv6.
#[test]
fn every_case_over_epoll_and_ipv6() {
    play_all_over_ipv6([Choice::Epoll; 2]);
}

/// Every case of the suite, with another backend at each end.
#[test]
fn every_case_between_backends() {
    let all = [Choice::Uring, Choice::TokioUring, Choice::Epoll];
    for (one, other) in [(0, 1), (1, 2), (2, 0)] {
        play_all_over_ipv4([all[one], all[other]]);
        play_all_over_ipv4([all[other], all[one]]);
    }
}

fn play_all_over_ipv4(backends: [Choice; 2]) {
    let addresses = ["127.80.0.1", "127.80.0.2"].map(|ip| ip.parse().unwrap());
    play_all(backends, addresses);
}

fn play_all_over_ipv6(backends: [Choice; 2]) {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    if TcpListener::bind((loopback, 0)).is_err() {
        eprintln!("SKIPPED: this system has no IPv6");
        return;
    }
    play_all(backends, [loopback; 2]);
}

/// Plays every case; the listener's backend and address come first.
fn play_all(backends: [Choice; 2], addresses: [IpAddr; 2]) {
    let failures: Vec<_> = cases()
        .iter()
        .filter_map(|case| {
            eprintln!("{}", case.name);
            let failure = play(case, backends, addresses).err()?;
            Some(format!("{}: {failure}\n    {}", case.name, case.proves))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}

/// Plays a case, each role on a thread and a backend of its own.
fn play(
    case: &Case,
    [listening_backend, dialling_backend]: [Choice; 2],
    [listen_at, dial_from]: [IpAddr; 2],
) -> Result<(), Failure> {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((listen_at, 0)).unwrap();
    let silent = Silence::new(listen_at);
    let authority = Authority::new();
    let server = authority.server(&["terminal.test"], Valid::Now);
    let terminal = Terminal::new(server, listen_at, listener.local_addr().unwrap());
    let roots = Roots::from_pem(authority.pem().as_bytes()).unwrap();
    let env = Env {
        listener: listener.local_addr().unwrap(),
        refusing: refusing(listen_at),
        silent: silent.as_ref().map(|silence| silence.addr),
        receive_slack: 0,
        root: folder.path().to_str().unwrap().into(),
        // Nothing can be made there, not even by root.
        locked_root: Path::new("/sys/kernel").is_dir().then(|| "/sys".into()),
        files: Some(Arc::new(Outside)),
        known_name: Some("localhost".into()),
        unknown_name: Some("no-such-host.invalid".into()),
        protected: Some(Protected {
            addr: terminal.addr,
            name: "terminal.test".into(),
        }),
        flags: Flags::default(),
    };
    if let Some(missing) = case.unmet(&env) {
        eprintln!("SKIPPED {}: this system lacks {missing}", case.name);
        return Ok(());
    }
    let (listening, dialling) = (env.clone(), env);
    let (listening_case, dialling_case) = (*case, *case);
    let listener = thread::spawn(move || match listening_case.listener(&listening) {
        Some(script) => drive(
            script,
            listening_backend,
            listen_at,
            Listen::On(listener),
            Roots::default(),
        ),
        None => Ok(()),
    });
    let dialler = thread::spawn(move || {
        let script = dialling_case.dialler(&dialling);
        drive(script, dialling_backend, dial_from, Listen::No, roots)
    });
    let outcomes = [dialler.join().unwrap(), listener.join().unwrap()];
    outcomes.into_iter().collect()
}

/// Drives a script on a host of its own until it is over.
fn drive(
    mut script: Script,
    backend: Choice,
    bind: IpAddr,
    listen: Listen,
    extra_roots: Roots,
) -> Result<(), Failure> {
    let states = tempfile::tempdir().unwrap();
    let host = Host::new(Options {
        backend,
        bind,
        listen,
        loopback_only: true,
        extra_roots,
        max_open_files: 16,
        state_home: Some(states.path().join("states")),
        ..Options::default()
    });
    let over = |script: &mut Script, _| match script.outcome() {
        Some(_) => Control::Stop,
        None => Control::Wait(None),
    };
    host.unwrap().run(&mut script, over).unwrap();
    script.outcome().unwrap().clone()
}

/// An address where somebody listened a moment ago.
fn refusing(ip: IpAddr) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// A listener whose queue is full and who accepts nobody: further connections get no answer.
struct Silence {
    addr: SocketAddr,
    _listener: Socket,
    _queue: Vec<Socket>,
}

impl Silence {
    fn new(ip: IpAddr) -> Option<Self> {
        let domain = Domain::for_address((ip, 0).into());
        let listener = Socket::new(domain, Type::STREAM, None).ok()?;
        listener.bind(&SocketAddr::new(ip, 0).into()).ok()?;
        listener.listen(0).ok()?;
        let addr = listener.local_addr().ok()?.as_socket()?;
        let queue: Vec<_> = (0..4)
            .map(|_| {
                let socket = Socket::new(domain, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _in_progress = socket.connect(&addr.into());
                socket
            })
            .collect();
        Some(Silence {
            addr,
            _listener: listener,
            _queue: queue,
        })
    }
}

/// The real disk.
struct Outside;

impl Files for Outside {
    fn put(&self, path: &str, bytes: &[u8]) {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn make_folder(&self, path: &str) {
        fs::create_dir_all(path).unwrap();
    }

    fn link(&self, path: &str, target: &str) -> bool {
        symlink(target, path).is_ok()
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        fs::read(path).ok()
    }

    fn has_links(&self) -> bool {
        true
    }
}

//! Every command that transfers, over each backend, and where io_uring is forbidden.
#![allow(clippy::unwrap_used)]

mod common;

use common::pair::Pair;
use common::sandbox::{Refusal, without};
use common::{ripcurrent, run, run_to};

/// What is said of a backend that is not the best.
const FALLBACK: &str = "working over epoll; not uring or tokio-uring: io_uring is not allowed here";

/// What one backend serves, any backend fetches; with `-v` each says what it is.
#[test]
fn every_backend_serves_every_other() {
    for serving in ["epoll", "tokio-uring", "uring"] {
        let pair = Pair::new();
        let (seed, addr) = pair.seed(ripcurrent(), ["--backend", serving]);
        for fetching in ["epoll", "tokio-uring", "uring"] {
            let said = pair.download(ripcurrent(), &addr, ["-v", "--backend", fetching]);
            assert!(
                said.contains(&format!("working over {fetching}\n")),
                "{said}"
            );
            pair.arrived();
            std::fs::remove_dir_all(pair.path("got")).unwrap();
        }
        seed.interrupt();
        assert_eq!(seed.end().status.code(), Some(0));
    }
}

/// A demonstration over epoll.
#[test]
fn a_demonstration_works_over_epoll() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["demo", "--size", "8MiB", "--backend", "epoll"];
    let (out, said) = run_to(dir.path(), 0, &args);
    assert!(out.contains("every byte is the same"), "{out}");
    assert!(!said.contains("working over"), "it was asked for: {said}");
}

/// Where io_uring is forbidden, everything works over epoll, and why is said once.
#[test]
fn forbidden_rings_are_said_once_and_epoll_works() {
    without(Refusal::Rings, || {
        let pair = Pair::new();
        let (seed, addr) = pair.seed(ripcurrent(), [""; 0]);
        let said = pair.download(ripcurrent(), &addr, [""; 0]);
        pair.arrived();
        assert_eq!(said.matches(FALLBACK).count(), 1, "{said}");
        assert!(said.contains("seccomp"), "the remedy is told: {said}");
        seed.interrupt();
        let said = String::from_utf8(seed.end().stderr).unwrap();
        assert_eq!(said.matches(FALLBACK).count(), 1, "{said}");

        let (out, said) = run_to(pair.dir.path(), 0, &["demo", "--size", "8MiB"]);
        assert!(out.contains("every byte is the same"), "{out}");
        assert_eq!(said.matches(FALLBACK).count(), 1, "{said}");
        let quiet = run(pair.dir.path(), ["demo", "--size", "1MiB", "-q"]);
        assert_eq!(quiet.stderr, b"");
    });
}

/// Who insists on io_uring where it is forbidden gets the code for that, and the remedy.
#[test]
fn who_insists_on_a_forbidden_ring_is_told() {
    without(Refusal::Rings, || {
        let pair = Pair::new();
        let bind = pair.row.ip(2).to_string();
        let args = ["download", "file.torrent", "-o", "got", "--bind", &bind];
        for backend in ["uring", "tokio-uring"] {
            let args = [&args[..], &["--backend", backend]].concat();
            let (_, said) = run_to(pair.dir.path(), 8, &args);
            assert!(said.contains("kernel.io_uring_disabled"), "{said}");
        }
    });
}

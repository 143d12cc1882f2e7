//! HTTPS trackers: who is believed, who is not, and what is said of it.
#![allow(clippy::unwrap_used)]

mod common;

#[path = "../../runtime-uring/tests/common/tls.rs"]
mod tls;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use common::{Row, Running, ripcurrent, run_to, tree, write};
use tls::{Authority, Terminal, Valid};

/// Resolves to the address that terminals listen at.
const NAME: &str = "localhost";

/// A tracker behind a terminal of TLS, and two authorities: `ours.pem` vouches for the terminal,
/// `system.pem` is all that the system trusts.
struct Scene {
    row: Row,
    dir: tempfile::TempDir,
    ours: Authority,
    /// Where the tracker speaks in the open.
    tracker: (Running, SocketAddr),
}

impl Scene {
    fn new() -> Self {
        let row = Row::new();
        let bind = row.ip(1).to_string();
        let mut command = ripcurrent();
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
        let addr = tracker.expect_address("tracking at");
        let scene = Scene {
            row,
            dir: tempfile::tempdir().unwrap(),
            ours: Authority::new(),
            tracker: (tracker, addr),
        };
        fs::write(scene.path("ours.pem"), scene.ours.pem()).unwrap();
        fs::write(scene.path("system.pem"), Authority::new().pem()).unwrap();
        write(&scene.path("seed/file"), 300_000);
        let create = ["create", "seed/file", "--piece-length", "16K"];
        run_to(scene.dir.path(), 0, &create);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A terminal with these names, and the URL of the tracker behind it.
    fn terminal(&self, names: &[&str], valid: Valid) -> (Terminal, String) {
        let server = self.ours.server(names, valid);
        let terminal = Terminal::new(server, Ipv4Addr::LOCALHOST.into(), self.tracker.1);
        let url = format!("https://{NAME}:{}/announce", terminal.addr.port());
        (terminal, url)
    }

    /// The program, on a system that trusts `system.pem`.
    fn command(&self) -> Command {
        let mut command = ripcurrent();
        command.current_dir(self.dir.path());
        command.env("SSL_CERT_FILE", self.path("system.pem"));
        command.env_remove("SSL_CERT_DIR");
        command
    }

    /// Asks the tracker at `url`, which must come to `code`; what was said.
    fn announce(&self, code: i32, url: &str, more: &[&str]) -> String {
        end(
            code,
            self.command().args(self.asking("announce", url)).args(more),
        )
    }

    fn asking(&self, how: &str, url: &str) -> [String; 6] {
        let bind = self.row.ip(4).to_string();
        [how, "file.torrent", "--bind", &bind, "--tracker", url].map(String::from)
    }
}

/// Runs the program to its end, which must be `code`; stderr.
fn end(code: i32, command: &mut Command) -> String {
    let output = Running::start(command).end();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{said}");
    said
}

/// With `--ca` a tracker is believed that proves its name or its literal address.
#[test]
fn an_authority_that_is_named_is_believed() {
    let scene = Scene::new();
    let (terminal, url) = scene.terminal(&[NAME, "127.0.0.1"], Valid::Now);
    let by_address = format!("https://{}/announce", terminal.addr);
    for url in [&url, &by_address] {
        let said = scene.announce(0, url, &["--ca", "ours.pem"]);
        assert!(said.contains("0 peers"), "{said}");
    }
    let both = ["--ca", "system.pem", "--ca", "ours.pem"];
    scene.announce(0, &url, &both);
    let scrape = scene.asking("scrape", &url);
    end(0, scene.command().args(scrape).args(["--ca", "ours.pem"]));
}

/// Whom the system trusts is believed, and where that stands can be told by the environment.
#[test]
fn the_roots_of_the_system_are_believed() {
    let scene = Scene::new();
    let (_terminal, url) = scene.terminal(&[NAME], Valid::Now);
    let mut command = scene.command();
    command.env("SSL_CERT_FILE", scene.path("ours.pem"));
    end(0, command.args(scene.asking("announce", &url)));
}

/// Each way in which a tracker fails to prove itself is told in words, with its URL, and nothing is
/// ever said to it.
#[test]
fn who_cannot_prove_it_is_not_believed() {
    let scene = Scene::new();
    let ours: &[&str] = &["--ca", "ours.pem"];
    for (names, valid, more, words) in [
        (
            [NAME],
            Valid::Now,
            &[][..],
            "the certificate comes from an authority that is not trusted here",
        ),
        (
            ["tracker.test"],
            Valid::Now,
            ours,
            "the certificate is not valid for localhost",
        ),
        ([NAME], Valid::Before, ours, "the certificate has expired"),
        (
            [NAME],
            Valid::Later,
            ours,
            "the certificate is not valid yet",
        ),
    ] {
        let (_terminal, url) = scene.terminal(&names, valid);
        let said = scene.announce(4, &url, more);
        assert!(said.contains(&format!("tracker {url}: {words}")), "{said}");
    }
    scene.tracker.0.interrupt();
    let said = String::from_utf8(scene.tracker.0.end().stderr).unwrap();
    assert!(said.contains("answered 0 requests"), "{said}");
}

/// A system without roots is told what to do when it needs them, and not before.
#[test]
fn missing_roots_matter_to_https_alone() {
    let scene = Scene::new();
    let (_terminal, url) = scene.terminal(&[NAME], Valid::Now);
    let without = || {
        let mut command = scene.command();
        command.env("SSL_CERT_FILE", scene.path("no-such-file"));
        command
    };
    let said = end(4, without().args(scene.asking("announce", &url)));
    assert!(said.contains("install ca-certificates"), "{said}");
    let plain = format!("http://{}/announce", scene.tracker.1);
    end(0, without().args(scene.asking("announce", &plain)));
    let https = scene.asking("announce", &url);
    end(0, without().args(https).args(["--ca", "ours.pem"]));
}

/// What is no file of certificates is the user's to change, before anything is begun.
#[test]
fn a_bad_file_of_authorities_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path("empty.pem"), "no certificate\n").unwrap();
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(
        scene.path("broken.pem"),
        format!("{}{broken}", scene.ours.pem()),
    )
    .unwrap();
    for (file, why) in [
        ("missing.pem", "No such file"),
        ("empty.pem", "holds no certificate"),
        ("broken.pem", "certificate number 2 cannot be read"),
    ] {
        for command in [
            &[
                "announce",
                "file.torrent",
                "--tracker",
                "http://127.0.0.1:1/",
            ][..],
            &["scrape", "file.torrent", "--tracker", "http://127.0.0.1:1/"],
            &["download", "file.torrent", "-o", "got"],
            &["seed", "file.torrent", "--data", "seed"],
        ] {
            let bind = scene.row.ip(5).to_string();
            let more = ["--bind", &bind, "--ca", file];
            let said = end(2, scene.command().args(command).args(more));
            assert!(said.contains(file) && said.contains(why), "{said}");
        }
    }
    assert!(!scene.path("got").exists());
}

/// A whole download whose peers meet at an HTTPS tracker, over each backend; its record, which holds
/// what was said in the open, comes to the same when it is played again.
#[test]
fn a_download_by_an_https_tracker() {
    let scene = Scene::new();
    let (_terminal, url) = scene.terminal(&[NAME], Valid::Now);
    let args = [
        "create",
        "seed/file",
        "--piece-length",
        "16K",
        "--overwrite",
        "--tracker",
        &url,
    ];
    run_to(scene.dir.path(), 0, &args);
    // The tracker sees everybody come from where the terminal is.
    let bind = Ipv4Addr::LOCALHOST.to_string();
    let mut seed = scene.command();
    seed.args(["seed", "file.torrent", "--data", "seed", "--bind", &bind]);
    seed.args(["--port", "0", "--ca", "ours.pem", "-v"]);
    let mut seed = Running::start(&mut seed);
    seed.expect(&format!("tracker {url}: "));
    for backend in ["uring", "tokio-uring", "epoll"] {
        let bind = scene.row.ip(3).to_string();
        let mut download = scene.command();
        download.args([
            "download",
            "file.torrent",
            "-o",
            "got",
            "--bind",
            &bind,
            "--no-seed",
        ]);
        download.args(["--ca", "ours.pem", "--backend", backend]);
        download.args(["--record", &format!("{backend}.record")]);
        end(0, &mut download);
        assert!(tree(&scene.path("seed")) == tree(&scene.path("got")));
        fs::remove_dir_all(scene.path("got")).unwrap();
        #[cfg(feature = "sim")]
        run_to(
            scene.dir.path(),
            0,
            &["sim", "replay", &format!("{backend}.record")],
        );
    }
    seed.interrupt();
    assert_eq!(seed.end().status.code(), Some(0));
}

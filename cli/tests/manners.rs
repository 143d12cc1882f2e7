//! What goes where, and what does not reach a terminal: with the built program.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use common::pair::Pair;
use common::terminal::{Shown, at_terminal, at_vanishing_terminal};
use common::{Row, Running, ripcurrent, run_to, write};

/// Who reads neither what is told nor what is said holds up nothing: a download ends as it would.
#[test]
fn readers_that_go_away_stop_nothing() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let mut command = ripcurrent();
    pair.fetching(&mut command, &addr)
        .args(["--no-seed", "--json", "-vv"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    pair.arrived();
}

/// The same with nothing where stdout and stderr should be.
#[test]
fn nothing_is_needed_to_write_to() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" >&- 2>&-"]);
    command
        .arg(env!("CARGO_BIN_EXE_ripcurrent"))
        .arg("--no-config");
    pair.fetching(&mut command, &addr)
        .args(["--no-seed", "--json", "-vv"]);
    assert_eq!(command.status().unwrap().code(), Some(0));
    pair.arrived();
}

/// The same at a terminal that goes away, as that of a broken line does, where progress is drawn.
#[test]
fn a_terminal_that_goes_away_stops_nothing() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let mut command = ripcurrent();
    command.env("TERM", "xterm");
    let command = pair.fetching(&mut command, &addr);
    command.args(["--no-seed", "-vv", "--down-limit", "800K"]);
    assert_eq!(at_vanishing_terminal(command), Some(0));
    pair.arrived();
}

/// Makes a torrent of something that takes a moment, at a terminal of so many columns.
fn create_at(columns: u16, environment: &[(&str, &str)]) -> Shown {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("a-rather-long-naïve-name")).unwrap();
    file.set_len(64 << 20).unwrap();
    let mut command = ripcurrent();
    command
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .env("LC_ALL", "C.UTF-8");
    command
        .current_dir(dir.path())
        .envs(environment.iter().copied());
    let shown = at_terminal(
        command.args(["create", "a-rather-long-naïve-name"]),
        columns,
    );
    assert_eq!(shown.code, Some(0), "{}", shown.raw);
    shown
}

/// Progress fits its line however narrow the terminal is, and says how far it is.
#[test]
fn progress_never_wraps() {
    for columns in [10, 20, 30, 35, 36, 50, 64, 80, 200] {
        let lines = create_at(columns, &[]).lines();
        let drawn: Vec<_> = lines.iter().filter(|line| line.contains(" %")).collect();
        assert!(!drawn.is_empty(), "{columns}: {lines:?}");
        for line in drawn {
            let width = line.chars().count();
            assert!(
                width <= usize::from(columns),
                "{columns}: {width}, {line:?}"
            );
            assert_eq!(line.contains('['), columns >= 64, "{columns}: {line:?}");
        }
    }
}

/// A terminal that can do nothing is sent lines alone, and one of a locale without UTF-8 what it
/// can show.
#[test]
fn terminals_are_sent_what_they_understand() {
    let dumb = create_at(80, &[("TERM", "dumb")]);
    assert!(!dumb.raw.contains('\u{1b}'), "{:?}", dumb.raw);
    let poor = create_at(80, &[("LC_ALL", "C")]);
    assert!(
        poor.raw.is_ascii() && poor.raw.contains("na\\u{ef"),
        "{:?}",
        poor.raw
    );
    let rich = create_at(80, &[]);
    assert!(rich.raw.contains("naïve"), "{:?}", rich.raw);
}

/// Traces are coloured on a terminal that can, unless somebody asks that nothing be.
#[test]
fn no_colour_is_no_colour() {
    let is_coloured = |shown: &Shown| shown.raw.contains("\u{1b}[2m");
    let shown = |more: &[(&str, &str)]| create_at(80, &[&[("RUST_LOG", "debug")], more].concat());
    assert!(is_coloured(&shown(&[])));
    for quiet in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = shown(&[quiet]);
        assert!(shown.raw.contains("begins"), "{:?}", shown.raw);
        assert!(!is_coloured(&shown), "{:?}", shown.raw);
    }
}

/// Whatever others put into names and answers, no control character of theirs is written: not to
/// stdout, not to stderr, not to the log.
#[test]
fn words_from_outside_are_shown_escaped() {
    let row = Row::new();
    let listener = TcpListener::bind((row.ip(1), 0)).unwrap();
    let tracker = format!("http://{}/announce", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 2048]);
            let body = "d14:failure reason12:no\u{1b}[2J\r\nyou\ne";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let dir = tempfile::tempdir().unwrap();
    let name = "\u{1b}[31mred\r\u{9b}2J\u{202e}gpj";
    let text = |text: &str| format!("{}:{text}", text.len());
    let torrent = format!(
        "d8:announce{}7:comment{}4:infod6:lengthi9e4:name{}12:piece lengthi16384e6:pieces{}ee",
        text(&tracker),
        text("\u{1b}c\u{7}"),
        text(name),
        text(&"x".repeat(20)),
    );
    fs::write(dir.path().join("t.torrent"), torrent).unwrap();
    let harmless = |(out, told): &(String, String)| {
        for text in [out, told] {
            let is_steering = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
            assert!(!text.contains(is_steering), "{text:?}");
        }
    };
    let bind = row.ip(2).to_string();
    for (code, args) in [
        (0, &["inspect", "t.torrent"][..]),
        (0, &["inspect", "t.torrent", "--json"]),
        (6, &["verify", "t.torrent"]),
        (6, &["verify", "t.torrent", "--json", "-vv"]),
        (4, &["announce", "t.torrent", "--bind", &bind, "-vv"]),
        (4, &["scrape", "t.torrent", "--bind", &bind, "-vv"]),
        (2, &["inspect", "\u{202e}", "\u{202e}"]),
        (3, &["inspect", "\u{1b}[2J\r.torrent"]),
        (
            4,
            &[
                "download",
                "t.torrent",
                "-o",
                "got",
                "--bind",
                &bind,
                "-vv",
                "--log",
                "log",
                "--stop-timeout",
                "1s",
            ],
        ),
    ] {
        harmless(&run_to(dir.path(), code, args));
    }
    let log = fs::read_to_string(dir.path().join("log")).unwrap();
    assert!(log.contains("the tracker says: no"), "{log}");
    harmless(&(log, String::new()));
}

/// The log tells what happened, with the torrent and the peer it happened to, in plain text, and is
/// appended to; on the screen nothing of it is seen.
#[test]
fn the_log_is_appended_to() {
    let pair = Pair::new();
    let (_seed, addr) = pair.seed(ripcurrent(), [""; 0]);
    let log = pair.path("log");
    let log = log.to_str().unwrap();
    let said = pair.download(ripcurrent(), &addr, ["--log", log]);
    assert!(!said.contains("DEBUG"), "{said}");
    let first = fs::read_to_string(log).unwrap();
    let span = format!("torrent{{id=0}}:peer{{addr={addr}}}: ");
    let unchoked = |line: &&str| line.contains(&span) && line.ends_with("peer unchokes us");
    assert!(first.lines().any(|line| unchoked(&line)), "{first}");
    for part in [
        "peer comes",
        "piece verified",
        " INFO ripcurrent::said: listening on",
    ] {
        assert!(first.contains(part), "{part}: {first}");
    }
    assert!(!first.contains('\u{1b}') && first.lines().all(|line| line.starts_with("20")));
    pair.download(ripcurrent(), &addr, ["--log", log]);
    let second = fs::read_to_string(log).unwrap();
    assert!(second.starts_with(&first) && second.len() > first.len());
}

/// A log that cannot be written is the disk's refusal, before anything is begun.
#[test]
fn a_log_that_cannot_be_is_told() {
    let args = ["--log", "/proc/nowhere/log", "inspect", "x.torrent"];
    let (_, told) = run_to(Path::new("."), 5, &args);
    assert!(
        told.contains("cannot write the log to /proc/nowhere/log"),
        "{told}"
    );
}

/// A wish that is not understood is told of, and nothing else changes.
#[test]
fn a_wish_that_is_not_understood_is_told() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("file"), 10);
    let mut command = ripcurrent();
    command.current_dir(dir.path()).env("RUST_LOG", "a=b=c");
    let output = Running::start(command.args(["create", "file"])).end();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && told.contains("RUST_LOG is ignored"),
        "{told}"
    );
}

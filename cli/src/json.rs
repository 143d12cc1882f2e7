//! `--json`: what happens, one object a line on stdout, for programs.
//!
//! Every line is `{"v":1,"event":NAME,..,"ms":MILLISECONDS}`. The schema stands in `JSON.md`, whose
//! examples a test below compares with what is written here. Within one version fields and events
//! are only added; whatever else changes raises [`VERSION`].

use std::io;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CompactFormatter, Formatter};

use crate::clock;
use crate::escape::is_unsafe;
use crate::exit::{Exit, Failure};
use crate::say;

/// The version of the schema, `v` of each line.
const VERSION: u32 = 1;

/// Something that happened. `torrent` is the info-hash in hexadecimal: the v1 hash, of v2-only
/// torrents the v2 hash. Sizes are in bytes, rates in bytes per second, times in milliseconds.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event<'a> {
    /// Work on a torrent begins.
    Started {
        torrent: &'a str,
        name: &'a str,
        /// The folder that the data lies in.
        path: &'a str,
        /// Bytes of what is wanted.
        bytes_wanted: u64,
        pieces: u32,
        mode: Mode,
    },
    /// Peers reach us here.
    Listening { addr: &'a str },
    /// Data that is there is being hashed.
    Checking {
        torrent: &'a str,
        pieces_checked: u32,
        pieces: u32,
    },
    /// Data that was there has been hashed.
    Checked {
        torrent: &'a str,
        /// Pieces that are right.
        pieces_right: u32,
        pieces: u32,
    },
    /// How far it is, about once a second.
    Progress {
        torrent: &'a str,
        phase: Phase,
        /// Bytes wanted that are verified and written.
        bytes_had: u64,
        bytes_wanted: u64,
        downloaded: u64,
        uploaded: u64,
        wasted: u64,
        down_rate: u64,
        up_rate: u64,
        /// How long the rest takes at this rate; absent where nobody knows.
        #[serde(skip_serializing_if = "Option::is_none")]
        eta_ms: Option<u64>,
    },
    /// The number of peers has changed; at most about once a second.
    Peers {
        torrent: &'a str,
        connected: usize,
        /// Connected peers that have everything.
        seeds: usize,
        /// Peers that let us fetch.
        unchoking_us: usize,
        /// Known addresses.
        known: usize,
    },
    /// A tracker answered or failed: `peers` or `error`.
    Tracker {
        torrent: &'a str,
        url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        peers: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    /// A piece failed its hash and is fetched again.
    Corrupt { torrent: &'a str, piece: u32 },
    /// A peer will not be spoken to again.
    Banned {
        torrent: &'a str,
        addr: &'a str,
        reason: &'a str,
    },
    /// The disk is full; the torrent waits for room.
    DiskFull {
        torrent: &'a str,
        path: &'a str,
        /// Bytes that are still to be written.
        needed: u64,
    },
    /// There is room again.
    DiskRoom { torrent: &'a str },
    /// The disk refused, and the torrent stands still.
    DiskFailed {
        torrent: &'a str,
        /// What was attempted, such as `write`.
        action: &'a str,
        path: &'a str,
        error: &'a str,
    },
    /// The state cannot be saved; the torrent goes on.
    StateNotSaved { torrent: &'a str, error: &'a str },
    /// Everything wanted is on the disk, verified and durable.
    Completed { torrent: &'a str, bytes_wanted: u64 },
    /// Serving to others begins; it ends at the ratio or after the time that is named, else when
    /// somebody asks.
    Seeding {
        torrent: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        until_ratio: Option<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// Work on a torrent is over.
    Finished { torrent: &'a str, why: Why },
    /// A torrent in figures, behind `finished`.
    Summary {
        torrent: &'a str,
        complete: bool,
        /// From the end of the check to completion, or to the end.
        fetching_ms: u64,
        downloaded: u64,
        uploaded: u64,
        /// The mean rates.
        down_rate: u64,
        up_rate: u64,
        wasted: Wasted,
        /// The most peers at once.
        peers_most: usize,
        /// Pieces that failed their hash.
        corrupt: u64,
        /// Peers that were banned.
        banned: u64,
    },
    /// What `verify` found of one file.
    File {
        torrent: &'a str,
        path: &'a str,
        size: u64,
        state: FileState,
        /// Bytes of it in pieces that are right.
        bytes_right: u64,
    },
    /// What `verify` found in all.
    Verified {
        torrent: &'a str,
        files: usize,
        files_right: usize,
        pieces: u32,
        pieces_right: u32,
    },
    /// What a tracker told `scrape`: the counts or an `error`.
    Scraped {
        torrent: &'a str,
        url: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        seeds: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        leechers: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        downloads: Option<u32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<&'a str>,
    },
    /// A command failed; the last line.
    Error {
        /// The exit code of the process.
        exit: u8,
        kind: &'static str,
        message: &'a str,
    },
}

/// What a torrent was taken up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// To fetch what is missing, then to serve.
    Download,
    /// Only to serve.
    Seed,
}

/// What a torrent is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// Fetching what is missing.
    Downloading,
    /// Serving, with nothing wanted missing.
    Seeding,
    /// Standing still until it is resumed.
    Paused,
    /// Standing still until the disk has room.
    DiskFull,
}

/// Why work on a torrent is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Why {
    /// What was asked for is done.
    Complete,
    /// Somebody asked before that.
    Interrupted,
    /// No byte came for too long.
    NoPeers,
    /// It could not go on; an `error` says why.
    Failed,
}

/// How a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FileState {
    /// Every byte is right.
    Right,
    /// It is there under the name it has while it is downloaded.
    Part,
    /// What it shares pieces with is not there, and nothing else is wrong.
    Unproven,
    /// It is not what the torrent says.
    Wrong,
    /// It is not there.
    Missing,
}

/// Bytes received for nothing, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Wasted {
    /// All of them.
    pub(crate) bytes: u64,
    /// Of pieces that failed their hash.
    pub(crate) corrupt: u64,
    /// Of blocks that were there already.
    pub(crate) duplicate: u64,
    /// Of blocks that nobody had asked for, or not any more.
    pub(crate) unrequested: u64,
    /// Of unfinished pieces that were given up.
    pub(crate) given_up: u64,
}

/// When this run began; empty unless `--json` was asked for.
static BEGUN: OnceLock<Instant> = OnceLock::new();

/// From now on [`emit`] writes.
pub(crate) fn begin() {
    // A second beginning changes nothing.
    let _ = BEGUN.set(clock::now());
}

/// Whether events are written: where making one costs something.
pub(crate) fn is_on() -> bool {
    BEGUN.get().is_some()
}

/// Writes one line to stdout, if `--json` was asked for. That nobody reads it is no reason to stop a
/// transfer; that it cannot be written is said once.
pub(crate) fn emit(event: &Event<'_>) {
    static TOLD: OnceLock<()> = OnceLock::new();
    let Some(begun) = BEGUN.get() else {
        return;
    };
    let written = line(begun.elapsed(), event).and_then(say::data);
    if let Err(failure) = written
        && TOLD.set(()).is_ok()
    {
        say::line(format_args!("--json: {failure}"));
    }
}

/// Writes the line for a command that failed.
pub(crate) fn emit_failure(failure: &Failure) {
    emit(&Event::Error {
        exit: failure.exit() as u8,
        kind: failure.exit().word(),
        message: &failure.to_string(),
    });
}

/// One JSON value in one line, without its end. What could steer a terminal is written as `\uXXXX`,
/// which says the same to every reader.
pub(crate) fn text(value: &impl Serialize) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Harmless(CompactFormatter));
    value
        .serialize(&mut serializer)
        .map_err(|error| bad_json(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| bad_json(error.to_string()))
}

fn line(elapsed: Duration, event: &Event<'_>) -> Result<String, Failure> {
    #[derive(Serialize)]
    struct Line<'a> {
        v: u32,
        #[serde(flatten)]
        event: &'a Event<'a>,
        ms: u64,
    }
    let ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let line = text(&Line {
        v: VERSION,
        event,
        ms,
    })?;
    Ok(format!("{line}\n"))
}

fn bad_json(error: String) -> Failure {
    Failure::new(Exit::Internal, "a fact cannot be written as JSON").because(error)
}

/// Compact JSON whose strings hold nothing that could steer a terminal.
struct Harmless(CompactFormatter);

impl Formatter for Harmless {
    fn write_string_fragment<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unsafe) {
            let (plain, tail) = rest.split_at(at);
            self.0.write_string_fragment(writer, plain)?;
            let mut characters = tail.chars();
            let unsafe_one = characters.next().unwrap_or_default();
            for unit in unsafe_one.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = characters.as_str();
        }
        self.0.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = include_str!("../JSON.md");
    const T: &str = "6efea9ed4fbb3c54f0d9b0c64c6a2eb0e4e2b1a7";

    /// One of each.
    fn examples() -> Vec<Event<'static>> {
        vec![
            Event::Started {
                torrent: T,
                name: "film",
                path: "/data",
                bytes_wanted: 1_048_576,
                pieces: 64,
                mode: Mode::Download,
            },
            Event::Listening { addr: "[::]:6881" },
            Event::Checking {
                torrent: T,
                pieces_checked: 3,
                pieces: 64,
            },
            Event::Checked {
                torrent: T,
                pieces_right: 2,
                pieces: 64,
            },
            Event::Progress {
                torrent: T,
                phase: Phase::Downloading,
                bytes_had: 524_288,
                bytes_wanted: 1_048_576,
                downloaded: 491_520,
                uploaded: 16_384,
                wasted: 0,
                down_rate: 262_144,
                up_rate: 8_192,
                eta_ms: Some(2_000),
            },
            Event::Peers {
                torrent: T,
                connected: 3,
                seeds: 1,
                unchoking_us: 2,
                known: 5,
            },
            Event::Tracker {
                torrent: T,
                url: "http://tracker.example/announce",
                peers: Some(5),
                error: None,
            },
            Event::Tracker {
                torrent: T,
                url: "http://tracker.example/announce",
                peers: None,
                error: Some("connection refused"),
            },
            Event::Corrupt {
                torrent: T,
                piece: 17,
            },
            Event::Banned {
                torrent: T,
                addr: "192.0.2.7",
                reason: "it sent corrupt data",
            },
            Event::DiskFull {
                torrent: T,
                path: "/data/film",
                needed: 524_288,
            },
            Event::DiskRoom { torrent: T },
            Event::DiskFailed {
                torrent: T,
                action: "write",
                path: "/data/film",
                error: "Input/output error",
            },
            Event::StateNotSaved {
                torrent: T,
                error: "No space left on device",
            },
            Event::Completed {
                torrent: T,
                bytes_wanted: 1_048_576,
            },
            Event::Seeding {
                torrent: T,
                until_ratio: Some(1.0),
                until_ms: Some(3_600_000),
            },
            Event::Finished {
                torrent: T,
                why: Why::Complete,
            },
            Event::Summary {
                torrent: T,
                complete: true,
                fetching_ms: 4_000,
                downloaded: 1_064_960,
                uploaded: 16_384,
                down_rate: 266_240,
                up_rate: 4_096,
                wasted: Wasted {
                    bytes: 16_384,
                    corrupt: 16_384,
                    duplicate: 0,
                    unrequested: 0,
                    given_up: 0,
                },
                peers_most: 3,
                corrupt: 1,
                banned: 1,
            },
            Event::File {
                torrent: T,
                path: "film/a.mkv",
                size: 1_000_000,
                state: FileState::Wrong,
                bytes_right: 983_616,
            },
            Event::Verified {
                torrent: T,
                files: 2,
                files_right: 1,
                pieces: 64,
                pieces_right: 63,
            },
            Event::Scraped {
                torrent: T,
                url: "http://tracker.example/announce",
                seeds: Some(12),
                leechers: Some(3),
                downloads: Some(140),
                error: None,
            },
            Event::Scraped {
                torrent: T,
                url: "http://tracker.example/announce",
                seeds: None,
                leechers: None,
                downloads: None,
                error: Some("HTTP status 404"),
            },
            Event::Error {
                exit: 5,
                kind: "disk",
                message: "cannot write /data/film: Input/output error",
            },
        ]
    }

    fn written(event: &Event<'_>) -> String {
        let line = line(Duration::from_millis(4100), event).unwrap();
        line.trim_end().to_owned()
    }

    /// The document shows exactly what is written, event by event: its examples are a contract.
    #[test]
    fn the_document_tells_the_truth() {
        let shown: Vec<&str> = DOCUMENT
            .lines()
            .filter(|line| line.starts_with('{'))
            .collect();
        let written: Vec<String> = examples().iter().map(written).collect();
        assert_eq!(shown, written);
    }

    /// Every field of every event is told of in the document, below the heading of its event.
    #[test]
    fn the_document_tells_of_every_field() {
        for event in examples() {
            let value: serde_json::Value = serde_json::from_str(&written(&event)).unwrap();
            let fields = value.as_object().unwrap();
            let name = fields["event"].as_str().unwrap();
            let heading = format!("\n## `{name}`\n");
            let (_, section) = DOCUMENT.split_once(&heading).expect(&heading);
            let section = section.split("\n## ").next().unwrap();
            for field in fields
                .keys()
                .filter(|key| !["v", "event", "ms", "torrent"].contains(&&***key))
            {
                assert!(section.contains(&format!("`{field}`")), "{name}: {field}");
            }
        }
    }

    /// Every exit code has its own word in the document.
    #[test]
    fn the_document_tells_every_kind_of_error() {
        for exit in Exit::ALL.into_iter().filter(|exit| *exit != Exit::Done) {
            let row = format!("| {} | `{}` |", exit as u8, exit.word());
            assert!(DOCUMENT.contains(&row), "{row}");
        }
    }

    /// Words from outside steer no terminal and are still the same words to who reads JSON.
    #[test]
    fn words_from_outside_are_harmless_and_whole() {
        let name = "a\u{1b}[2J\n\u{9b}\u{202e}\u{e0041}é\"\\";
        let written = text(&name).unwrap();
        assert_eq!(written, r#""a\u001b[2J\n\u009b\u202e\udb40\udc41é\"\\""#);
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), name);
    }
}

//! Many torrents in one engine: they speak to their trackers in turns, and leave in time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Command, Config, Disk, DiskDone, Event, Found, Input, Mode, Net, Output,
};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::engine::{ANNOUNCES_MAX, Engine};
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation};

use crate::world::add;

const COUNT: u32 = 300;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 27\r\n\r\nd8:intervali1800e5:peers0:e";

/// An engine of seeds and the one tracker of all of them, a turn of whose takes 10 ms.
struct Crowd {
    engine: Engine,
    now: Instant,
    /// What each connection has said.
    open: BTreeMap<ConnId, Vec<u8>>,
    most_open: usize,
    /// What the tracker was told, of which torrent.
    told: BTreeMap<&'static str, BTreeSet<Vec<u8>>>,
    is_silent: bool,
    removed: usize,
    is_over: bool,
}

impl Crowd {
    /// All of them joined their swarms.
    fn new() -> Self {
        let now = Instant::from_micros(0);
        let mut crowd = Crowd {
            engine: Engine::new(Config::default(), [5; 32], now).expect("settings that work"),
            now,
            open: BTreeMap::new(),
            most_open: 0,
            told: BTreeMap::new(),
            is_silent: false,
            removed: 0,
            is_over: false,
        };
        for number in 1..=COUNT {
            let seed = Add {
                id: TorrentId(number),
                announce: true,
                ..add(&torrent(number), Mode::Seed)
            };
            crowd.input(Input::Command(Command::Add(seed)));
        }
        crowd.run_for(Duration::from_secs(5));
        crowd
    }

    fn told(&self, event: &str) -> usize {
        self.told.get(event).map_or(0, BTreeSet::len)
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now += Duration::from_millis(10);
            if self.engine.poll_timeout().is_some_and(|at| at <= self.now) {
                self.engine.handle_timeout(self.now);
                self.carry_all();
            }
            self.answer();
        }
    }

    /// The tracker answers all that asked.
    fn answer(&mut self) {
        if self.is_silent {
            return;
        }
        let asked = self
            .open
            .iter()
            .filter(|(_, said)| said.ends_with(b"\r\n\r\n"));
        let asked: Vec<ConnId> = asked.map(|(conn, _)| *conn).collect();
        for conn in asked {
            let said = self.open.insert(conn, Vec::new()).expect("it asked");
            let line = String::from_utf8_lossy(&said);
            let event = ["started", "stopped"];
            let event = event.into_iter().find(|event| line.contains(event));
            let hash = said.split(|byte| *byte == b'&').next();
            let hash = hash.expect("a first part").to_vec();
            self.told
                .entry(event.unwrap_or(""))
                .or_default()
                .insert(hash);
            let data = &mut ANSWER.to_vec()[..];
            self.input(Input::Received { conn, data });
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.engine.handle(self.now, input);
        self.carry_all();
    }

    fn carry_all(&mut self) {
        while let Some(output) = self.engine.poll_output(self.now) {
            self.carry(output);
        }
        while let Some(event) = self.engine.poll_event() {
            self.removed += usize::from(matches!(event, Event::Removed { .. }));
            self.is_over |= event == Event::ShutDown;
        }
    }

    fn carry(&mut self, output: Output) {
        let now = self.now;
        let done = match output {
            Output::Disk(Disk::Open { op, .. }) => DiskDone::Opened {
                op,
                result: Ok(Found::default()),
            },
            Output::Disk(Disk::Close { op, .. }) => DiskDone::Closed { op },
            Output::Net(Net::Connect { conn, .. }) => {
                self.open.insert(conn, Vec::new());
                self.most_open = self.most_open.max(self.open.len());
                return self.engine.handle(now, Input::Connected { conn });
            }
            Output::Net(Net::Transmit { conn, transmission }) => {
                let parts = transmission.parts.iter();
                let bytes: Vec<u8> = parts
                    .flat_map(|part| transmission.bytes(part).to_vec())
                    .collect();
                self.open.get_mut(&conn).expect("it is open").extend(bytes);
                self.engine.handle(now, Input::Sent { conn });
                return self
                    .engine
                    .handle(now, Input::Returned { conn, transmission });
            }
            Output::Net(Net::Close { conn }) => {
                self.open.remove(&conn);
                return self.engine.handle(now, Input::Closed { conn });
            }
            Output::Net(Net::Recv { .. }) => return,
            other => panic!("nobody asks for {other:?}"),
        };
        self.engine.handle(now, Input::Disk(done));
    }
}

fn torrent(number: u32) -> Arc<Torrent> {
    let content = Content::File {
        len: 1,
        executable: false,
    };
    let creation = Creation::new(&format!("file {number}"), content, Some(1 << 16));
    let mut creation = creation.expect("a torrent");
    let tier = vec!["http://127.0.9.1/announce".to_owned()];
    creation.set_trackers(&[tier]).expect("a tracker");
    let bytes = creation.finish(&[[0; 20]]).expect("a torrent");
    Arc::new(Torrent::parse(bytes.into()).expect("a torrent"))
}

/// All torrents are announced, and all say goodbye, a few at a time; then it is over.
#[test]
fn many_speak_to_their_trackers_in_turns() {
    let mut crowd = Crowd::new();
    assert_eq!(crowd.told("started"), COUNT as usize);
    assert_eq!(crowd.most_open, ANNOUNCES_MAX);
    crowd.most_open = 0;
    crowd.input(Input::Command(Command::ShutDown));
    crowd.run_for(Duration::from_secs(1));
    assert_eq!(crowd.told("stopped"), COUNT as usize);
    assert_eq!(crowd.most_open, ANNOUNCES_MAX);
    assert!(crowd.is_over && crowd.removed == COUNT as usize);
}

/// One torrent that leaves while others keep the tracker busy has its turn, and the others go on.
#[test]
fn one_leaves_while_the_others_stay() {
    let mut crowd = Crowd::new();
    let (torrent, data) = (TorrentId(7), ripcurrent_proto::api::Data::Keep);
    crowd.input(Input::Command(Command::Remove { torrent, data }));
    crowd.run_for(Duration::from_millis(100));
    assert_eq!((crowd.told("stopped"), crowd.removed), (1, 1));
    let rest = crowd.engine.stats(crowd.now, TorrentId(8));
    assert!(rest.is_some() && !crowd.is_over);
}

/// A tracker that has fallen silent holds nobody up for longer than it takes to give up, however
/// many wait for their turn behind it.
#[test]
fn a_silent_tracker_holds_no_crowd_up() {
    let mut crowd = Crowd::new();
    crowd.is_silent = true;
    crowd.input(Input::Command(Command::ShutDown));
    crowd.run_for(Duration::from_millis(1900));
    assert!(!crowd.is_over, "it is given some time");
    crowd.run_for(Duration::from_millis(200));
    assert!(crowd.is_over && crowd.removed == COUNT as usize);
    assert!(crowd.open.is_empty());
}

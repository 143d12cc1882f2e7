//! Every check sees what it is there to see, and nothing else.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::api::{
    Add, Check as Existing, Command, Config, DiskDone, Found, FoundFile, FoundName, Input, Net,
    Output, Stamp, Transmission,
};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::{Disk, Engine};
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation};

use super::{Check, Watch};
use crate::referee::{Refereed, Rules};

const TORRENT: TorrentId = TorrentId(0);
const NOW: Instant = Instant::from_micros(1_000_000);

fn torrent() -> Arc<Torrent> {
    let content = Content::File {
        len: 3 * 16_384,
        executable: false,
    };
    let creation = Creation::new("scene", content, Some(16_384)).unwrap();
    let file = creation.finish(&[[1; 20], [2; 20], [3; 20]]).unwrap();
    Arc::new(Torrent::parse(Bytes::from(file)).unwrap())
}

fn client(config: Config) -> Refereed<Engine> {
    let engine = Engine::new(config, [7; 32], Instant::ZERO).unwrap();
    Refereed::new(engine, Rules::new(torrent()))
}

/// A client that trusts its disk, and has dialled `peers` of which all have answered.
fn seed(config: Config, peers: u8) -> Refereed<Engine> {
    let mut client = client(config);
    let add = Add {
        check: Existing::Trust,
        ..Add::new(TORRENT, torrent(), "data")
    };
    handle(&mut client, Input::Command(Command::Add(add)));
    for peer in 1..=peers {
        let addr = SocketAddr::from(([10, 1, 0, peer], 6881));
        let torrent = TORRENT;
        handle(
            &mut client,
            Input::Command(Command::AddPeer { torrent, addr }),
        );
    }
    client
}

/// Hands `input` over and answers what that leads to: disks open, connects succeed, far ends greet.
fn handle(client: &mut Refereed<Engine>, input: Input<'_>) {
    client.handle(NOW, input);
    while let Some(output) = client.poll_output(NOW) {
        match output {
            Output::Disk(Disk::Open { op, .. }) => {
                let stamp = Stamp {
                    len: 3 * 16_384,
                    modified: 0,
                };
                let file = FoundFile {
                    stamp,
                    name: FoundName::Own,
                };
                let result = Ok(Found {
                    files: vec![Some(file)],
                    ..Found::default()
                });
                client.handle(NOW, Input::Disk(DiskDone::Opened { op, result }));
            }
            Output::Net(Net::Connect { conn, .. }) => {
                client.handle(NOW, Input::Connected { conn });
            }
            Output::Net(Net::Transmit { conn, transmission }) => {
                client.handle(NOW, Input::Sent { conn });
                greet(client, conn, &transmission);
                client.handle(NOW, Input::Returned { conn, transmission });
            }
            _ => {}
        }
    }
}

/// The far end answers a handshake by one of its own, and has nothing.
fn greet(client: &mut Refereed<Engine>, conn: ConnId, said: &Transmission) {
    if let Some(handshake) = said.head.get(..68).filter(|head| head[0] == 19) {
        let mut answer = handshake.to_vec();
        answer[48..].fill(conn.0.slot() as u8 + 1);
        answer.extend([0, 0, 0, 1, 15]);
        let data = &mut answer;
        client.handle(NOW, Input::Received { conn, data });
    }
}

#[track_caller]
fn assert_seen(watch: &Watch, expected: &[Check]) {
    let seen: Vec<_> = watch.breaches().iter().map(|breach| breach.check).collect();
    assert_eq!(seen, expected, "{:?}", watch.breaches());
}

/// An honest client at its limits breaches nothing, however often it is looked at.
#[test]
fn a_client_within_its_bounds_is_left_alone() {
    let config = Config {
        max_peers: 4,
        ..Config::default()
    };
    let client = seed(config, 6);
    assert_eq!(client.links().peers, 4);
    let mut watch = Watch::default();
    (0..3).for_each(|_| watch.client(NOW, "seed", TORRENT, &client));
    assert_seen(&watch, &[]);
}

/// What the engine believes and the referee did not see is not so.
#[test]
fn what_was_not_verified_is_not_had() {
    let believer = seed(Config::default(), 0);
    let (mut blind, mut other) = (client(Config::default()), seed(Config::default(), 0));
    std::mem::swap(blind.machine_mut(), other.machine_mut());
    let mut watch = Watch::default();
    watch.client(NOW, "one", TORRENT, &believer);
    assert_seen(&watch, &[]);
    watch.client(NOW, "other", TORRENT, &blind);
    watch.client(NOW, "other", TORRENT, &blind);
    assert_seen(&watch, &[Check::Unverified]);
    assert!(
        watch.breaches()[0]
            .to_string()
            .contains("other: unverified")
    );
}

/// Connections are counted by what was done, not by what the engine believes of itself.
#[test]
fn bounds_are_of_the_configuration() {
    let mut crowded = seed(Config::default(), 5);
    let config = Config {
        max_peers: 4,
        ..Config::default()
    };
    let strict = Engine::new(config, [7; 32], Instant::ZERO).unwrap();
    *crowded.machine_mut() = strict;
    let mut watch = Watch::default();
    watch.client(NOW, "seed", TORRENT, &crowded);
    assert_seen(&watch, &[Check::Connections]);
}

#[test]
fn disks_and_words_are_held_against_each_other() {
    let mut watch = Watch::default();
    let have = Bitfield::full(3);
    watch.disk(NOW, "right", &have, |_| true);
    watch.relied_on(NOW, "right", &have, |_| true);
    watch.completed(NOW, "right", true);
    let liar = IpAddr::from([10, 1, 0, 9]);
    watch.banned(NOW, "right", liar, true);
    assert_seen(&watch, &[]);
    watch.disk(NOW, "wrong", &have, |piece| piece != 1);
    watch.relied_on(NOW, "wrong", &have, |piece| piece != 2);
    watch.completed(NOW, "wrong", false);
    watch.banned(NOW, "wrong", liar, false);
    let all = [Check::Rotten, Check::Recorded, Check::Completed, Check::Ban];
    assert_seen(&watch, &all);
}

/// A machine that does nothing by itself.
#[derive(Debug)]
struct Idle;

impl Machine for Idle {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        Some(CONN)
    }
    fn handle(&mut self, _now: Instant, _input: Input<'_>) {}
    fn handle_timeout(&mut self, _now: Instant) {}
    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        None
    }
    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

const CONN: ConnId = ConnId(ripcurrent_proto::base::id::Id::from_parts(0, 0));

/// Somebody at `addr` who has read `blocks` blocks of the host at `from`.
fn reader(from: IpAddr, blocks: usize) -> Refereed<Idle> {
    let torrent = torrent();
    let mut client = Refereed::new(Idle, Rules::new(Arc::clone(&torrent)));
    client.accept(NOW, SocketAddr::new(from, 50_000));
    let info_hash = torrent.hashes().v1.unwrap();
    let mut bytes = [
        &b"\x13BitTorrent protocol"[..],
        &[0; 8],
        &info_hash,
        &[9; 20],
    ]
    .concat();
    for _ in 0..blocks {
        bytes.extend([0, 0, 0x40, 9, 7, 0, 0, 0, 0, 0, 0, 0, 0]);
        bytes.resize(bytes.len() + 16_384, 0);
    }
    let (conn, data) = (CONN, &mut bytes[..]);
    client.handle(NOW, Input::Received { conn, data });
    client
}

/// Bytes that nobody sent cannot be read; those of a life before count, and strangers may send
/// anything.
#[test]
fn bytes_come_from_somewhere() {
    let [one, other, stranger] = [1, 2, 3].map(|last| IpAddr::from([10, 1, 0, last]));
    let (idle, of_stranger) = (reader(other, 0), reader(stranger, 2));
    let mut watch = Watch::default();
    watch.bytes(NOW, [("one", one, &of_stranger), ("other", other, &idle)]);
    assert_seen(&watch, &[]);
    watch.stopped(one, &reader(other, 1));
    watch.bytes(NOW, [("one", one, &idle), ("other", other, &idle)]);
    assert_seen(&watch, &[Check::Bytes]);
    let said = watch.breaches()[0].to_string();
    assert!(
        said.ends_with("16384 bytes read of 10.1.0.2, which sent 0"),
        "{said}"
    );
}

#[test]
fn who_can_get_on_does() {
    let patience = Duration::from_secs(60);
    let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
    let mut watch = Watch::default();
    for (secs, bytes, may) in [
        (0, 0, true),
        (60, 0, true),
        (61, 5, true),
        (100, 5, false),
        (300, 5, false),
        (360, 5, true),
    ] {
        watch.progress(at(secs), "slow", bytes, may, patience);
    }
    assert_seen(&watch, &[]);
    watch.progress(at(361), "slow", 5, true, patience);
    assert_seen(&watch, &[Check::Stalled]);
}

#[test]
fn leechers_are_complete_in_time() {
    let at = |secs: u64| Instant::from_micros(secs * 1_000_000);
    let mut watch = Watch::default();
    watch.finished(at(50), "early", Some(at(40)), at(45));
    watch.finished(at(50), "cut short", None, at(60));
    assert_seen(&watch, &[]);
    watch.finished(at(50), "late", Some(at(46)), at(45));
    watch.finished(at(50), "never", None, at(45));
    assert_seen(&watch, &[Check::Liveness; 2]);
}

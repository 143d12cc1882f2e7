//! A run that was recorded comes to the same when it is played again, and whatever else it would
//! come to is noticed.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::api::{Add, Command, Config, Event, Input, Mode};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::drive::record::{BadRecord, Beginning, Call, Record, Recorder, Told};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, Creation};
use ripcurrent_sim::disk::Files;
use ripcurrent_sim::names::Names;
use ripcurrent_sim::network::{Backend, Host, Network};
use ripcurrent_sim::replay::{Difference, ReplayError, replay};
use sha1::{Digest, Sha1};

const PORT: u16 = 6881;
const PIECE_LEN: usize = 64 << 10;
const LEN: usize = 21 * PIECE_LEN + 777;

/// A torrent file, and its data.
fn torrent() -> (Bytes, Vec<u8>) {
    let mut data = vec![0; LEN];
    Rng::from_seed([5; 32]).fill(&mut data);
    let content = Content::File {
        len: LEN as u64,
        executable: false,
    };
    let creation = Creation::new("recorded", content, Some(PIECE_LEN as u32)).unwrap();
    let hashes: Vec<[u8; 20]> = data
        .chunks(PIECE_LEN)
        .map(|piece| Sha1::digest(piece).into())
        .collect();
    (creation.finish(&hashes).unwrap().into(), data)
}

fn addr(number: u8) -> IpAddr {
    Ipv4Addr::new(192, 0, 2, number).into()
}

fn engine(torrent: &Arc<Torrent>, seed: u8) -> (Engine, Config) {
    let config = Config {
        // Few slots, so that there is choking, and memory for few pieces.
        upload_slots: 2,
        memory_budget: 1 << 20,
        ..Config::default()
    };
    let mut engine = Engine::new(config.clone(), [seed; 32], Instant::ZERO).unwrap();
    if seed > 1 {
        start(&mut engine, torrent, Mode::Download);
    }
    (engine, config)
}

fn start<M: Machine>(machine: &mut M, torrent: &Arc<Torrent>, mode: Mode) {
    let add = Add {
        mode,
        down_limit: NonZeroU64::new(1 << 20),
        ..Add::new(TorrentId(0), Arc::clone(torrent), "data")
    };
    let mut order = |command| machine.handle(Instant::ZERO, Input::Command(command));
    order(Command::Add(add));
    for peer in 1..=4 {
        let addr = SocketAddr::new(addr(peer), PORT);
        let torrent = TorrentId(0);
        order(Command::AddPeer { torrent, addr });
    }
    order(Command::SetTorrentLimits {
        torrent: TorrentId(0),
        down: NonZeroU64::new(4 << 20),
        up: NonZeroU64::new(3 << 20),
    });
}

/// Four hosts, of which the first is recorded: as a seed, or as one of the leechers.
fn record(mode: Mode, hide_addresses: bool) -> Vec<u8> {
    let (file, data) = torrent();
    let torrent = Arc::new(Torrent::parse(file.clone()).unwrap());
    let rng = Rng::from_seed([9; 32]);
    let mut network = Network::new(Backend::Direct, &rng, Names::default());
    let host = |number: u8, files: &Files| Host {
        addr: addr(number),
        port: PORT,
        up: std::num::NonZeroU64::new(1 << 20),
        down: std::num::NonZeroU64::new(4 << 20),
        files: files.clone(),
    };
    let whole = Files::default();
    whole.put("data/recorded", data).unwrap();
    let seed_at = if mode == Mode::Seed { 1 } else { 4 };
    let completed = Rc::new(RefCell::new(0));

    let (recorded, config) = engine(&torrent, 1);
    let beginning = Beginning {
        config: &config,
        seed: [1; 32],
        at: Instant::ZERO,
        torrents: &[(&torrent, &file)],
    };
    let written = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&written);
    let sink = move |bytes: &[u8]| sink.borrow_mut().extend_from_slice(bytes);
    let mut recorder = Recorder::new(recorded, beginning, hide_addresses, sink);
    start(&mut recorder, &torrent, mode);
    let recorder = Rc::new(RefCell::new(recorder));
    let files = |number| match number == seed_at {
        true => whole.clone(),
        false => Files::default(),
    };
    network.add(host(1, &files(1)), Rc::clone(&recorder), |_, _| ());
    for number in 2..=4 {
        let (engine, _) = engine(&torrent, number);
        let completed = Rc::clone(&completed);
        let listen = move |engine: &mut Engine, _| {
            while let Some(event) = engine.poll_event() {
                *completed.borrow_mut() += usize::from(matches!(event, Event::Completed { .. }));
            }
        };
        let machine = Rc::new(RefCell::new(engine));
        network.add(host(number, &files(number)), machine, listen);
    }
    let end = Instant::ZERO + Duration::from_secs(120);
    while *completed.borrow() < 3 && network.now() < end {
        network.step().unwrap();
    }
    assert_eq!(*completed.borrow(), 3, "the swarm is done");
    drop(network);
    let recorder = Rc::into_inner(recorder).expect("the network is gone");
    recorder.into_inner().finish();
    Rc::into_inner(written)
        .expect("the recorder is gone")
        .into_inner()
}

/// A seed and a leecher, with addresses and without.
#[test]
fn a_recorded_run_comes_to_the_same() {
    for mode in [Mode::Seed, Mode::Download] {
        for hide_addresses in [false, true] {
            let bytes = record(mode, hide_addresses);
            let open = [192, 0, 2];
            let tells = bytes.windows(3).any(|window| window == open);
            assert_eq!(tells, !hide_addresses, "whether addresses are told");
            assert!(bytes.len() < LEN / 8, "payload is told by its digest");
            let record = Record::read(&bytes).unwrap();
            let calls = record.calls.len();
            let replayed = replay(record).unwrap();
            assert_eq!((replayed.calls, replayed.cut_off), (calls, false));
            assert!(replayed.outputs > 100, "{replayed:?}");
        }
    }
}

/// Another answer of the world, or another seed, is another run, and the first call that shows it is
/// named.
#[test]
fn a_run_that_parts_is_noticed() {
    let bytes = record(Mode::Download, true);
    let mut record = Record::read(&bytes).unwrap();
    let at = record.calls.iter_mut().position(|(_, call)| match call {
        Call::Told(Told::Hashed(_, digest)) => {
            digest[0] ^= 1;
            true
        }
        _ => false,
    });
    let error = replay(record).unwrap_err();
    assert!(matches!(error, ReplayError::Parted { call, .. } if call > at.unwrap()));

    let mut record = Record::read(&bytes).unwrap();
    record.seed = [2; 32];
    let error = replay(record).unwrap_err();
    assert!(
        matches!(
            &error,
            ReplayError::Parted {
                what: Difference::Output(_),
                ..
            }
        ),
        "{error}"
    );
}

/// A record of which the end is missing is played as far as it goes, wherever it was cut, and one
/// that is damaged is an error, not a crash.
#[test]
fn a_record_may_be_cut_or_damaged() {
    let bytes = record(Mode::Download, true);
    let begins = 4096;
    for len in (begins..bytes.len()).step_by(977) {
        let record = Record::read(&bytes[..len]).unwrap();
        replay(record).unwrap_or_else(|error| panic!("cut at {len}: {error}"));
    }
    assert_eq!(Record::read(b"").unwrap_err(), BadRecord::NoRecord);
    let mut chance = Rng::from_seed([3; 32]);
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let at = chance.index(damaged.len());
        damaged[at] ^= 1 << chance.below(8);
        if let Ok(record) = Record::read(&damaged) {
            drop(replay(record));
        }
    }
}

//! Engines against peers that lie, flood and break the rules.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use ripcurrent_proto::api::{Command, Config, Event, Mode};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::wire::handshake::{Handshake, HandshakeReader, Progress, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

use crate::world::{Stranger, TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const PIECE: usize = 64 * 1024;
const LIAR: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);

/// A peer that has everything and unchokes at once; `twist` changes the bytes of a block.
pub(crate) struct Giver<F> {
    piece: usize,
    content: Vec<u8>,
    info_hash: [u8; 20],
    reserved: Reserved,
    reader: HandshakeReader,
    decoder: Option<Decoder>,
    greeted: bool,
    twist: F,
}

impl<F: FnMut(BlockRequest, &mut Vec<u8>)> Giver<F> {
    fn new(content: &[u8], info_hash: [u8; 20], reserved: Reserved, twist: F) -> Self {
        Giver::of_pieces(PIECE, content, info_hash, reserved, twist)
    }

    pub(crate) fn of_pieces(
        piece: usize,
        content: &[u8],
        info_hash: [u8; 20],
        reserved: Reserved,
        twist: F,
    ) -> Self {
        let (reader, content) = (HandshakeReader::new(), content.to_vec());
        Giver {
            piece,
            content,
            info_hash,
            reserved,
            reader,
            decoder: None,
            greeted: false,
            twist,
        }
    }

    fn pieces(&self) -> usize {
        self.content.len().div_ceil(self.piece)
    }

    fn greet(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.greeted, true) {
            let peer_id = *b"-XX0001-stranger0001";
            let (reserved, info_hash) = (self.reserved, self.info_hash);
            out.extend(
                Handshake {
                    reserved,
                    info_hash,
                    peer_id,
                }
                .encode(),
            );
            let mut bits = Vec::new();
            Bitfield::full(self.pieces()).to_wire(&mut bits);
            Message::Bitfield(&bits).encode(out);
            Message::Unchoke.encode(out);
        }
    }
}

impl<F: FnMut(BlockRequest, &mut Vec<u8>)> Stranger for Giver<F> {
    fn speak(&mut self, mut heard: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.greet(&mut out);
        while self.decoder.is_none() && !heard.is_empty() {
            if let Progress::Whole(_) = self.reader.push(&mut heard).expect("a handshake") {
                self.decoder = Some(Decoder::new(self.pieces() as u32));
            }
        }
        let Some(decoder) = &mut self.decoder else {
            return out;
        };
        while let Some(frame) = decoder.next(&mut heard).expect("a frame") {
            if let Frame::Message(Message::Request(range)) = frame {
                let start = range.piece as usize * self.piece + range.begin as usize;
                let mut block = self.content[start..start + range.len as usize].to_vec();
                (self.twist)(range, &mut block);
                encode_piece_header(range, &mut out);
                out.extend(block);
            }
        }
        out
    }
}

/// A peer that says the same bytes whatever it hears, once.
struct Parrot(Vec<u8>);

impl Stranger for Parrot {
    fn speak(&mut self, _: &[u8]) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

pub(crate) fn banned(world: &World, host: usize) -> Vec<std::net::IpAddr> {
    let events = world.hosts[host].events.iter();
    events
        .filter_map(|event| match event {
            Event::Banned { addr, .. } => Some(*addr),
            _ => None,
        })
        .collect()
}

/// A leecher, two honest seeds, and a liar that corrupts one block in three. The limit makes the
/// peers share pieces.
fn scene_with_liar(reserved: Reserved, seed: u8) {
    let (torrent, content) = torrent(PIECE, &[2_000_000]);
    let mut world = World::new(seed);
    for _ in 0..2 {
        let limit = std::num::NonZeroU64::new(400_000);
        let host = world.host(Config {
            up_limit: limit,
            ..Config::default()
        });
        world.hosts[host].disk.fill(&torrent, &content);
        world.command(host, Command::Add(add(&torrent, Mode::Seed)));
    }
    let leecher = world.host(Config::default());
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(10));
    world.introduce(leecher, 0);
    world.introduce(leecher, 1);
    let mut nth = 0;
    let liar = Giver::new(
        &content,
        torrent.hashes().v1.expect("a v1 torrent"),
        reserved,
        move |_, block| {
            nth += 1;
            if nth % 3 == 0 {
                block[7] ^= 0x55;
            }
        },
    );
    world.stranger(leecher, LIAR, Box::new(liar));
    let complete = Event::Completed { torrent: TORRENT };
    world.run_until(LONG, |world| {
        world.hosts[leecher].events.contains(&complete)
    });
    assert_eq!(world.hosts[leecher].disk.content(&torrent), content);
    assert_eq!(banned(&world, leecher), [LIAR], "the liar and nobody else");
    let now = world.now();
    let stats = world.hosts[leecher].engine.machine().stats(now, TORRENT);
    let waste = stats.expect("the torrent is there").wasted;
    let failed = |event: &&Event| matches!(event, Event::Corrupt { .. });
    let corrupt = world.hosts[leecher].events.iter().filter(failed).count();
    // The last piece is shorter.
    assert!(waste.corrupt > 0 && waste.corrupt.div_ceil(PIECE as u64) == corrupt as u64);
    assert!(waste.total() >= waste.corrupt);
}

/// The download ends right, the liar is banned, the good peers are not.
#[test]
fn a_liar_among_good_peers_is_found_out() {
    for seed in 0..6 {
        scene_with_liar(Reserved::NONE, seed);
        scene_with_liar(Reserved::NONE.with_fast(), seed);
    }
}

fn handshake(info_hash: [u8; 20], reserved: Reserved) -> Vec<u8> {
    Handshake {
        reserved,
        info_hash,
        peer_id: *b"-XX0001-stranger0002",
    }
    .encode()
    .to_vec()
}

/// Whoever breaks the form is cut off at once; the engine goes on.
#[test]
fn broken_form_ends_the_connection() {
    let (torrent, content) = torrent(PIECE, &[1_000_000]);
    let hash = torrent.hashes().v1.unwrap();
    let fast = Reserved::NONE.with_fast();
    let after =
        |reserved: Reserved, rest: &[u8]| [handshake(hash, reserved), rest.to_vec()].concat();
    let mut have_none_then = Vec::new();
    Message::HaveNone.encode(&mut have_none_then);
    let mut wild_have = have_none_then.clone();
    Message::Have(9999).encode(&mut wild_have);
    let mut twice = have_none_then.clone();
    Message::HaveNone.encode(&mut twice);
    let scripts: [(&str, Vec<u8>); 9] = [
        ("not BitTorrent", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("another torrent", handshake([1; 20], fast)),
        (
            "an enormous frame",
            after(fast, &[0xff, 0xff, 0xff, 0xff, 7]),
        ),
        (
            "a bitfield too long",
            after(fast, &[0, 0, 0, 9, 5, 0, 0, 0, 0, 0, 0, 0, 0]),
        ),
        ("spare bits set", after(fast, &[0, 0, 0, 3, 5, 0xff, 0xff])),
        ("no bitfield", after(fast, &[0, 0, 0, 1, 2])),
        (
            "have-all without fast",
            after(Reserved::NONE, &[0, 0, 0, 1, 14]),
        ),
        ("a piece that does not exist", after(fast, &wild_have)),
        ("told twice", after(fast, &twice)),
    ];
    for (what, bytes) in scripts {
        let mut world = World::new(1);
        let host = world.host(Config::default());
        world.hosts[host].disk.fill(&torrent, &content);
        world.command(host, Command::Add(add(&torrent, Mode::Seed)));
        world.run_for(Duration::from_millis(100));
        world.stranger(host, LIAR, Box::new(Parrot(bytes)));
        world.run_for(Duration::from_secs(1));
        assert!(!world.stranger_is_there(0), "{what}");
    }
}

/// A bitfield in the place of many haves, as aria2 sends it, is taken at any time, and what was
/// told before it stands.
#[test]
fn a_later_bitfield_sums_up_haves() {
    let (torrent, content) = torrent(PIECE, &[1_000_000]);
    let (hash, pieces) = (torrent.hashes().v1.unwrap(), torrent.layout().pieces());
    let mut bytes = handshake(hash, Reserved::NONE.with_fast());
    Message::HaveNone.encode(&mut bytes);
    Message::Have(0).encode(&mut bytes);
    let mut had = Bitfield::new(pieces as usize);
    had.insert(1);
    let mut bits = Vec::new();
    had.to_wire(&mut bits);
    Message::Bitfield(&bits).encode(&mut bytes);
    for mode in [Mode::Seed, Mode::Download] {
        let mut world = World::new(1);
        let host = world.host(Config::default());
        if mode == Mode::Seed {
            world.hosts[host].disk.fill(&torrent, &content);
        }
        world.command(host, Command::Add(add(&torrent, mode)));
        world.run_for(Duration::from_millis(100));
        world.stranger(host, LIAR, Box::new(Parrot(bytes.clone())));
        world.run_for(Duration::from_secs(1));
        assert!(world.stranger_is_there(0), "{mode:?}");
        let now = world.now();
        let peers = world.hosts[host].engine.machine().peers(now, TORRENT);
        let told: Vec<usize> = peers.map(|peer| peer.pieces).collect();
        assert_eq!(told, [2], "{mode:?}");
    }
}

/// So is a have-all: aria2 sends it for its last haves, even to whom it has told everything already.
#[test]
fn a_later_have_all_sums_up_haves() {
    let (torrent, _) = torrent(PIECE, &[1_000_000]);
    let (hash, pieces) = (torrent.hashes().v1.unwrap(), torrent.layout().pieces());
    for first in [Message::HaveNone, Message::HaveAll] {
        let mut bytes = handshake(hash, Reserved::NONE.with_fast());
        first.encode(&mut bytes);
        Message::HaveAll.encode(&mut bytes);
        Message::Unchoke.encode(&mut bytes);
        let mut world = World::new(1);
        let host = world.host(Config::default());
        world.command(host, Command::Add(add(&torrent, Mode::Download)));
        world.run_for(Duration::from_millis(100));
        world.stranger(host, LIAR, Box::new(Parrot(bytes)));
        world.run_for(Duration::from_secs(1));
        assert!(world.stranger_is_there(0), "{first:?}");
        let now = world.now();
        let peers = world.hosts[host].engine.machine().peers(now, TORRENT);
        let told: Vec<usize> = peers.map(|peer| peer.pieces).collect();
        assert_eq!(told, [pieces as usize], "{first:?}");
    }
}

/// Half a handshake does not hold a connection for ever.
#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    let (torrent, _) = torrent(PIECE, &[1_000_000]);
    let mut world = World::new(1);
    let host = world.host(Config::default());
    world.command(host, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(100));
    let half = handshake(torrent.hashes().v1.unwrap(), Reserved::NONE)[..30].to_vec();
    world.stranger(host, LIAR, Box::new(Parrot(half)));
    world.run_for(Duration::from_secs(5));
    assert!(world.stranger_is_there(0));
    world.run_for(Duration::from_secs(20));
    assert!(!world.stranger_is_there(0));
}

/// A flood of requests, in range and out of it, from a peer that is choked or not, costs bounded
/// memory and ends with the connection: whoever lets that many rejections gather is left.
#[test]
fn a_flood_of_requests_is_bounded() {
    let (torrent, content) = torrent(PIECE, &[1_000_000]);
    let hash = torrent.hashes().v1.unwrap();
    for len in [1, 16384, 16385, u32::MAX] {
        let mut bytes = handshake(hash, Reserved::NONE.with_fast());
        Message::HaveNone.encode(&mut bytes);
        Message::Interested.encode(&mut bytes);
        for index in 0..50_000 {
            let range = BlockRequest {
                piece: index % 15,
                begin: index,
                len,
            };
            Message::Request(range).encode(&mut bytes);
        }
        let mut world = World::new(1);
        let host = world.host(Config {
            memory_budget: 1 << 20,
            ..Config::default()
        });
        world.hosts[host].disk.fill(&torrent, &content);
        world.command(host, Command::Add(add(&torrent, Mode::Seed)));
        world.run_for(Duration::from_millis(100));
        world.stranger(host, LIAR, Box::new(Parrot(bytes)));
        world.run_for(Duration::from_secs(5));
        assert!(world.hosts[host].engine.machine().slab_bytes() <= 1 << 20);
        assert!(!world.stranger_is_there(0), "requests of {len} bytes");
    }
}

/// One host takes three places and no more, whatever it calls itself, so that others find one; and
/// what comes from this host itself is not counted.
#[test]
fn one_host_does_not_take_all_places() {
    let (torrent, _) = torrent(PIECE, &[1_000_000]);
    let greeting = |name: u8| {
        let mut bytes = Handshake {
            reserved: Reserved::NONE,
            info_hash: torrent.hashes().v1.unwrap(),
            peer_id: [name; 20],
        }
        .encode()
        .to_vec();
        Message::Interested.encode(&mut bytes);
        bytes
    };
    let outside = Ipv4Addr::new(10, 0, 0, 9);
    for (crowd, places) in [(outside, 3), (LIAR, 5)] {
        let mut world = World::new(1);
        let host = world.host(Config {
            max_peers: 5,
            ..Config::default()
        });
        world.command(host, Command::Add(add(&torrent, Mode::Download)));
        world.run_for(Duration::from_millis(100));
        for name in 0..10 {
            world.stranger(host, crowd, Box::new(Parrot(greeting(name))));
            world.run_for(Duration::from_millis(100));
        }
        world.stranger(
            host,
            Ipv4Addr::new(10, 0, 0, 8),
            Box::new(Parrot(greeting(99))),
        );
        world.run_for(Duration::from_secs(1));
        let now = world.now();
        let peers = world.hosts[host].engine.machine().peers(now, TORRENT);
        let peers: Vec<_> = peers.map(|peer| peer.addr.ip()).collect();
        let crowded = peers.iter().filter(|ip| **ip == crowd).count();
        assert_eq!((crowded, peers.len()), (places, (places + 1).min(5)));
    }
}

/// Connections that never say what they want are taken from one host no more than those that do.
#[test]
fn one_host_does_not_take_all_handshakes() {
    let (torrent, _) = torrent(PIECE, &[1_000_000]);
    let mut world = World::new(1);
    let host = world.host(Config::default());
    world.command(host, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(100));
    let outside = Ipv4Addr::new(10, 0, 0, 9);
    let silent = || Box::new(Parrot(Vec::new()));
    let come = |world: &mut World, ip| {
        let before = world.strangers();
        (0..10).for_each(|_| world.stranger(host, ip, silent()));
        world.strangers() - before
    };
    assert_eq!(come(&mut world, outside), 3);
    assert_eq!(come(&mut world, Ipv4Addr::new(10, 0, 0, 8)), 3);
    assert_eq!(come(&mut world, LIAR), 10);
    world.run_for(Duration::from_secs(21));
    assert_eq!(come(&mut world, outside), 3, "their time was over");
}

/// A peer that asks for nothing and counts how many new pieces it is told of at a time.
struct Listener {
    hello: Vec<u8>,
    reader: HandshakeReader,
    decoder: Option<Decoder>,
    batches: Rc<RefCell<Vec<usize>>>,
}

impl Stranger for Listener {
    fn speak(&mut self, mut heard: &[u8]) -> Vec<u8> {
        while self.decoder.is_none() && !heard.is_empty() {
            if let Progress::Whole(_) = self.reader.push(&mut heard).expect("a handshake") {
                self.decoder = Some(Decoder::new(31));
            }
        }
        let mut told = 0;
        if let Some(decoder) = &mut self.decoder {
            while let Some(frame) = decoder.next(&mut heard).expect("a frame") {
                told += usize::from(matches!(frame, Frame::Message(Message::Have(_))));
            }
        }
        if told > 0 {
            self.batches.borrow_mut().push(told);
        }
        std::mem::take(&mut self.hello)
    }
}

/// Who may become interested because of a piece hears of it soon; who is interested already and
/// choked hears of several at a time, and of each in the end.
#[test]
fn who_cannot_act_on_news_hears_it_gathered() {
    let (torrent, content) = torrent(PIECE, &[2_000_000]);
    let info_hash = torrent.hashes().v1.expect("a v1 torrent");
    let mut world = World::new(1);
    let host = world.host(Config {
        up_limit: std::num::NonZeroU64::new(200_000),
        ..Config::default()
    });
    world.hosts[host].disk.fill(&torrent, &content);
    world.command(host, Command::Add(add(&torrent, Mode::Seed)));
    let leecher = world.host(Config {
        upload_slots: 0,
        ..Config::default()
    });
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(10));
    world.introduce(leecher, host);
    let listeners = [true, false].map(|is_interested| {
        let mut hello = handshake(info_hash, Reserved::NONE);
        if is_interested {
            Message::Interested.encode(&mut hello);
        }
        let batches = Rc::new(RefCell::new(Vec::new()));
        let listener = Listener {
            hello,
            reader: HandshakeReader::new(),
            decoder: None,
            batches: Rc::clone(&batches),
        };
        let ip = Ipv4Addr::new(127, 0, 9, 1 + u8::from(is_interested));
        world.stranger(leecher, ip, Box::new(listener));
        batches
    });
    world.run_for(Duration::from_secs(30));
    let [choked, other] = listeners.map(|batches| batches.take());
    assert_eq!(choked.iter().sum::<usize>(), 31, "{choked:?}");
    assert_eq!(other.iter().sum::<usize>(), 31, "{other:?}");
    assert!((2..=4).contains(&choked.len()), "{choked:?}");
    assert!(other.len() >= 10, "{other:?}");
}

//! Nobody starves: memory, credit, slots and turns come round to everybody.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU64;
use std::sync::Arc;

use ripcurrent_proto::api::{Add, Command, Config, Data, Event, Mode, Phase};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::wire::handshake::{Handshake, HandshakeReader, Progress, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

use crate::world::{Stranger, TORRENT, VOID, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const SECOND: TorrentId = TorrentId(2);
/// Four chunks of 256 KiB, each with the page that aligns it.
const BUDGET: usize = 4 * ((256 << 10) + 4096);

fn small() -> Config {
    Config {
        memory_budget: BUDGET,
        ..Config::default()
    }
}

fn limited_up(rate: u64) -> Config {
    Config {
        up_limit: NonZeroU64::new(rate),
        ..Config::default()
    }
}

fn host_with(
    world: &mut World,
    config: Config,
    id: TorrentId,
    (torrent, content): &(Arc<Torrent>, Vec<u8>),
    mode: Mode,
) -> usize {
    let host = world.host(config);
    if mode == Mode::Seed {
        world.hosts[host].disk.fill_as(id, torrent, content);
    }
    take_up(world, host, id, torrent, mode);
    world.run_for(Duration::from_millis(50));
    host
}

fn take_up(world: &mut World, host: usize, id: TorrentId, torrent: &Arc<Torrent>, mode: Mode) {
    let add = Add {
        id,
        ..add(torrent, mode)
    };
    world.command(host, Command::Add(add));
}

fn completes(world: &mut World, within: Duration, host: usize, id: TorrentId) {
    world.run_until(within, |world| {
        world.stats(host, id).phase == Phase::Seeding
    });
}

/// What was read for uploads makes room when a download needs the memory.
#[test]
fn a_full_read_cache_leaves_room_for_downloads() {
    let (first, second) = (torrent(65_536, &[2_000_000]), torrent(65_536, &[900_000]));
    let mut world = World::new(1);
    let both = host_with(&mut world, small(), TORRENT, &first, Mode::Seed);
    let other = host_with(&mut world, small(), TORRENT, &first, Mode::Download);
    world.introduce(other, both);
    completes(&mut world, LONG, other, TORRENT);
    world.hosts[other]
        .disk
        .fill_as(SECOND, &second.0, &second.1);
    take_up(&mut world, other, SECOND, &second.0, Mode::Seed);
    take_up(&mut world, both, SECOND, &second.0, Mode::Download);
    world.introduce_for(SECOND, both, other);
    completes(&mut world, LONG, both, SECOND);
}

/// Peers that find no memory for their reads are served as soon as there is some.
#[test]
fn uploads_wait_for_memory_no_longer_than_they_must() {
    let work = torrent(262_144, &[6_000_000]);
    let mut world = World::new(2);
    world.slow_down(Duration::from_millis(20), Duration::from_millis(5));
    let seed = host_with(&mut world, small(), TORRENT, &work, Mode::Seed);
    let leechers: Vec<usize> = (0..8)
        .map(|_| {
            host_with(
                &mut world,
                Config::default(),
                TORRENT,
                &work,
                Mode::Download,
            )
        })
        .collect();
    let begun = world.now();
    leechers
        .iter()
        .for_each(|leecher| world.introduce(*leecher, seed));
    for leecher in leechers {
        completes(&mut world, LONG, leecher, TORRENT);
    }
    let took = world.now().since(begun);
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// A torrent whose peers are gone gives its memory up to one that has peers, whatever its pieces.
#[test]
fn a_torrent_without_peers_does_not_hold_the_memory() {
    for piece_len in [16_384, 262_144] {
        let work = torrent(262_144, &[5_000_000]);
        let next = torrent(piece_len, &[1_000_000, 3]);
        let mut world = World::new(3);
        world.slow_down(Duration::from_millis(20), Duration::ZERO);
        let seeds: Vec<usize> = (0..4)
            .map(|_| host_with(&mut world, limited_up(10_000), TORRENT, &work, Mode::Seed))
            .collect();
        let leecher = host_with(&mut world, small(), TORRENT, &work, Mode::Download);
        seeds
            .iter()
            .for_each(|seed| world.introduce(leecher, *seed));
        world.run_for(Duration::from_secs(5));
        seeds
            .iter()
            .for_each(|seed| world.command(*seed, Command::ShutDown));
        let other = host_with(&mut world, Config::default(), SECOND, &next, Mode::Seed);
        take_up(&mut world, leecher, SECOND, &next.0, Mode::Download);
        world.introduce_for(SECOND, leecher, other);
        completes(&mut world, LONG, leecher, SECOND);
    }
}

/// A torrent whose disk failed stands still, but not on memory that others need.
#[test]
fn a_failed_torrent_does_not_hold_the_memory() {
    let (work, next) = (
        torrent(262_144, &[5_000_000]),
        torrent(262_144, &[1_000_000, 3]),
    );
    let mut world = World::new(4);
    world.slow_down(Duration::from_millis(20), Duration::ZERO);
    let first = host_with(&mut world, limited_up(400_000), TORRENT, &work, Mode::Seed);
    let second = host_with(&mut world, limited_up(400_000), TORRENT, &work, Mode::Seed);
    let leecher = host_with(&mut world, small(), TORRENT, &work, Mode::Download);
    world.hosts[leecher].disk.refuse.insert("write");
    world.introduce(leecher, first);
    world.introduce(leecher, second);
    world.run_until(LONG, |world| {
        world.stats(leecher, TORRENT).phase == Phase::Failed
    });
    world.hosts[leecher].disk.refuse.clear();
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.hosts[leecher].engine.machine().slab_bytes(), 0);
    let other = host_with(&mut world, Config::default(), SECOND, &next, Mode::Seed);
    take_up(&mut world, leecher, SECOND, &next.0, Mode::Download);
    world.introduce_for(SECOND, leecher, other);
    completes(&mut world, LONG, leecher, SECOND);
}

/// Two torrents that both want memory get it in turns, the large pieces too.
#[test]
fn large_pieces_do_not_wait_for_small_ones_to_end() {
    let small_pieces = torrent(16_384, &[20_000_000]);
    let large_pieces = torrent(262_144, &[3_000_000, 3]);
    let mut world = World::new(5);
    world.slow_down(Duration::from_millis(200), Duration::ZERO);
    let seed = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &small_pieces,
        Mode::Seed,
    );
    let other = host_with(
        &mut world,
        Config::default(),
        SECOND,
        &large_pieces,
        Mode::Seed,
    );
    let leecher = world.host(small());
    take_up(
        &mut world,
        leecher,
        TORRENT,
        &small_pieces.0,
        Mode::Download,
    );
    world.introduce(leecher, seed);
    world.run_for(Duration::from_secs(4));
    take_up(&mut world, leecher, SECOND, &large_pieces.0, Mode::Download);
    world.introduce_for(SECOND, leecher, other);
    world.run_until(LONG, |world| world.stats(leecher, SECOND).pieces_had >= 4);
    let ahead = world.stats(leecher, TORRENT);
    assert_eq!(
        ahead.phase,
        Phase::Downloading,
        "the first has not ended yet"
    );
}

/// A seed so slow that each block comes later than patience lasts still completes a leecher, and
/// nothing is asked of it twice.
#[test]
fn a_very_slow_seed_suffices() {
    let work = torrent(65_536, &[400_000]);
    let mut world = World::new(6);
    world.slow_down(Duration::from_millis(50), Duration::ZERO);
    let seed = host_with(&mut world, limited_up(300), TORRENT, &work, Mode::Seed);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    world.introduce(leecher, seed);
    completes(&mut world, LONG, leecher, TORRENT);
    assert_eq!(world.stats(leecher, TORRENT).wasted.total(), 0);
    assert_eq!(world.stats(seed, TORRENT).uploaded, 400_000);
}

/// A link that falters again and again, for longer than patience lasts, costs time and no more:
/// what was given up and comes late is not asked for twice.
#[test]
fn a_faltering_link_costs_nothing_but_time() {
    let work = torrent(65_536, &[20_000_000]);
    let mut world = World::new(17);
    let seed = host_with(&mut world, limited_up(200_000), TORRENT, &work, Mode::Seed);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    world.introduce(leecher, seed);
    for _ in 0..8 {
        world.slow_down(Duration::from_millis(50), Duration::ZERO);
        world.run_for(Duration::from_secs(6));
        world.slow_down(Duration::from_secs(100), Duration::ZERO);
        world.run_for(Duration::from_millis(500));
    }
    world.slow_down(Duration::from_millis(50), Duration::ZERO);
    completes(&mut world, LONG, leecher, TORRENT);
    assert_eq!(world.stats(leecher, TORRENT).wasted.total(), 0);
    assert_eq!(world.stats(seed, TORRENT).uploaded, 20_000_000);
}

/// Limited upload is shared among those who want it.
#[test]
fn every_peer_has_its_turn_under_a_limit() {
    let work = torrent(65_536, &[3_000_000]);
    let mut world = World::new(7);
    world.slow_down(Duration::from_millis(5), Duration::ZERO);
    let seed = host_with(&mut world, limited_up(100_000), TORRENT, &work, Mode::Seed);
    let leechers: Vec<usize> = (0..4)
        .map(|_| {
            host_with(
                &mut world,
                Config::default(),
                TORRENT,
                &work,
                Mode::Download,
            )
        })
        .collect();
    leechers
        .iter()
        .for_each(|leecher| world.introduce(*leecher, seed));
    world.run_for(Duration::from_secs(25));
    for leecher in leechers {
        let got = world.stats(leecher, TORRENT).downloaded;
        assert!(got > 300_000, "{got} of 2,500,000 bytes");
    }
}

/// A low limit on receiving lets every peer through its handshake, and none seems silent because
/// it has to wait for credit.
#[test]
fn a_low_limit_keeps_many_peers() {
    let work = torrent(65_536, &[20_000_000]);
    let mut world = World::new(8);
    world.slow_down(Duration::from_millis(5), Duration::ZERO);
    let config = Config {
        down_limit: NonZeroU64::new(2_000),
        ..Config::default()
    };
    let leecher = host_with(&mut world, config, TORRENT, &work, Mode::Download);
    for _ in 0..20 {
        let seed = host_with(&mut world, Config::default(), TORRENT, &work, Mode::Seed);
        world.introduce(leecher, seed);
    }
    for _ in 0..6 {
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.stats(leecher, TORRENT).peers, 20);
    }
}

/// Two that complete each other see that there is nothing more to gain, and part.
#[test]
fn seeds_of_the_same_making_part() {
    let (torrent, content) = torrent(32 * 1024, &[640 * 1024]);
    let mut world = World::new(10);
    for half in 0..2 {
        let host = world.host(Config::default());
        let mut partial = content.clone();
        for (index, piece) in partial.chunks_mut(32 * 1024).enumerate() {
            if index % 2 == half {
                piece.fill(0);
            }
        }
        world.hosts[host].disk.fill(&torrent, &partial);
        world.command(host, Command::Add(add(&torrent, Mode::Download)));
    }
    world.run_for(Duration::from_millis(100));
    world.introduce(0, 1);
    (0..2).for_each(|host| completes(&mut world, LONG, host, TORRENT));
    world.run_for(Duration::from_secs(5));
    (0..2).for_each(|host| assert_eq!(world.stats(host, TORRENT).peers, 0));
}

/// Addresses that never answer do not keep another torrent from dialling.
#[test]
fn dead_addresses_of_one_torrent_do_not_hold_up_another() {
    let (work, next) = (torrent(65_536, &[100_000]), torrent(65_536, &[100_000, 3]));
    let mut world = World::new(11);
    let seed = host_with(&mut world, Config::default(), SECOND, &next, Mode::Seed);
    let config = Config {
        max_half_open: 1,
        ..Config::default()
    };
    let leecher = host_with(&mut world, config, TORRENT, &work, Mode::Download);
    for port in 1..500 {
        let (torrent, addr) = (TORRENT, SocketAddr::new(VOID[0], port));
        world.command(leecher, Command::AddPeer { torrent, addr });
    }
    take_up(&mut world, leecher, SECOND, &next.0, Mode::Download);
    world.introduce_for(SECOND, leecher, seed);
    completes(&mut world, Duration::from_secs(60), leecher, SECOND);
}

/// Coming and going leaves no clocks behind, and choking rounds rest while there is nobody to choke: an
/// idle seed does not wake its host. When somebody comes they go on.
#[test]
fn an_idle_seed_has_no_clock() {
    let work = torrent(65_536, &[100_000]);
    let mut world = World::new(12);
    let host = host_with(&mut world, Config::default(), TORRENT, &work, Mode::Seed);
    for _ in 0..30 {
        let torrent = TORRENT;
        world.command(
            host,
            Command::Remove {
                torrent,
                data: Data::Keep,
            },
        );
        world.run_for(Duration::from_millis(50));
        take_up(&mut world, host, TORRENT, &work.0, Mode::Seed);
        world.run_for(Duration::from_millis(50));
    }
    world.run_for(Duration::from_secs(15));
    assert_eq!(world.hosts[host].engine_wakes_at(), None);
    world.run_for(Duration::from_secs(33));
    let leecher = host_with(&mut world, Config::default(), SECOND, &work, Mode::Download);
    world.introduce_for(SECOND, leecher, host);
    completes(&mut world, Duration::from_secs(60), leecher, SECOND);
    let wakes_at = world.hosts[host].engine_wakes_at().expect("a clock");
    assert!(wakes_at.since(world.now()) <= Duration::from_secs(10));
    let (torrent, data) = (SECOND, Data::Keep);
    world.command(leecher, Command::Remove { torrent, data });
    world.run_for(Duration::from_secs(200));
    assert_eq!(world.hosts[host].engine_wakes_at(), None);
}

/// What a [`Mute`] is about.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// Sends half of the first block it is asked for, and then nothing.
    HalfABlock,
    /// Chokes before it sends what it was asked for, this many times.
    ChokesFirst(usize),
}

/// A peer with everything and a bad habit.
struct Mute {
    content: Vec<u8>,
    piece_len: usize,
    info_hash: [u8; 20],
    habit: Habit,
    greeted: bool,
    silent: bool,
    reader: HandshakeReader,
    decoder: Option<Decoder>,
}

impl Mute {
    fn new((torrent, content): &(Arc<Torrent>, Vec<u8>), habit: Habit) -> Self {
        Mute {
            content: content.clone(),
            piece_len: torrent.layout().piece_length() as usize,
            info_hash: torrent.hashes().v1.expect("a v1 torrent"),
            habit,
            greeted: false,
            silent: false,
            reader: HandshakeReader::new(),
            decoder: None,
        }
    }

    fn block(&self, range: BlockRequest, out: &mut Vec<u8>) {
        encode_piece_header(range, out);
        let start = range.piece as usize * self.piece_len + range.begin as usize;
        out.extend(&self.content[start..start + range.len as usize]);
    }
}

impl Stranger for Mute {
    fn speak(&mut self, mut heard: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let pieces = self.content.len().div_ceil(self.piece_len);
        if !std::mem::replace(&mut self.greeted, true) {
            out.extend(handshake(self.info_hash, *b"-XX0001-stranger0003"));
            let mut bits = Vec::new();
            Bitfield::full(pieces).to_wire(&mut bits);
            Message::Bitfield(&bits).encode(&mut out);
            Message::Unchoke.encode(&mut out);
        }
        while self.decoder.is_none() && !heard.is_empty() {
            if let Progress::Whole(_) = self.reader.push(&mut heard).expect("a handshake") {
                self.decoder = Some(Decoder::new(pieces as u32));
            }
        }
        let mut asked = Vec::new();
        if let Some(decoder) = &mut self.decoder {
            while let Some(frame) = decoder.next(&mut heard).expect("a frame") {
                if let Frame::Message(Message::Request(range)) = frame {
                    asked.push(range);
                }
            }
        }
        if asked.is_empty() || self.silent {
            return out;
        }
        match &mut self.habit {
            Habit::HalfABlock => {
                self.block(asked[0], &mut out);
                out.truncate(out.len() - asked[0].len as usize / 2);
                self.silent = true;
            }
            Habit::ChokesFirst(left) if *left > 0 => {
                *left -= 1;
                Message::Choke.encode(&mut out);
                asked.iter().for_each(|range| self.block(*range, &mut out));
                Message::Unchoke.encode(&mut out);
            }
            Habit::ChokesFirst(_) => {
                asked.iter().for_each(|range| self.block(*range, &mut out));
            }
        }
        out
    }
}

fn handshake(info_hash: [u8; 20], peer_id: [u8; 20]) -> Vec<u8> {
    let reserved = Reserved::NONE;
    let handshake = Handshake {
        reserved,
        info_hash,
        peer_id,
    };
    handshake.encode().to_vec()
}

const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);

/// A peer that stops in the middle of a block holds nobody up: the block comes from another, once.
#[test]
fn half_a_block_holds_nobody_up() {
    let work = torrent(65_536, &[300_000]);
    let mut world = World::new(13);
    world.slow_down(Duration::from_millis(5), Duration::ZERO);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    let mute = Mute::new(&work, Habit::HalfABlock);
    world.stranger(leecher, STRANGER, Box::new(mute));
    world.run_for(Duration::from_millis(500));
    let seed = host_with(&mut world, Config::default(), TORRENT, &work, Mode::Seed);
    world.introduce(leecher, seed);
    completes(&mut world, Duration::from_secs(5), leecher, TORRENT);
    assert!(world.stats(leecher, TORRENT).wasted.total() <= 16_384);
}

/// Blocks that cross a choke on the wire are not held against a peer without the fast extension.
#[test]
fn blocks_behind_a_choke_are_no_sin() {
    let work = torrent(65_536, &[3_000_000]);
    let mut world = World::new(14);
    world.slow_down(Duration::from_millis(5), Duration::ZERO);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    let mute = Mute::new(&work, Habit::ChokesFirst(10));
    world.stranger(leecher, STRANGER, Box::new(mute));
    completes(&mut world, LONG, leecher, TORRENT);
}

/// Whoever asks for blocks and never reads them does not pin the memory for ever, though it says
/// now and then that it is there.
#[test]
fn who_does_not_read_is_left() {
    let work = torrent(262_144, &[3_000_000]);
    let mut world = World::new(15);
    let seed = host_with(&mut world, small(), TORRENT, &work, Mode::Seed);
    pin_all_memory(&mut world, seed, &work.0);
    for _ in 0..10 {
        (0..4).for_each(|stranger| world.say(stranger, &[0; 4]));
        world.run_for(Duration::from_secs(60));
    }
    assert!((0..4).all(|stranger| !world.stranger_is_there(stranger)));
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    world.introduce(leecher, seed);
    completes(&mut world, LONG, leecher, TORRENT);
}

/// Who chokes and unchokes by turns and reads nothing cannot make us pile up requests.
#[test]
fn requests_nobody_reads_do_not_pile_up() {
    let work = torrent(65_536, &[3_000_000]);
    let mut world = World::new(18);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    let mut bytes = handshake(
        work.0.hashes().v1.expect("a v1 torrent"),
        *b"-XX0001-stranger0005",
    );
    let mut bits = Vec::new();
    Bitfield::full(46).to_wire(&mut bits);
    Message::Bitfield(&bits).encode(&mut bytes);
    for _ in 0..20_000 {
        Message::Unchoke.encode(&mut bytes);
        Message::Choke.encode(&mut bytes);
    }
    let (heard, hears) = (0, 0);
    let deaf = Deaf {
        bytes,
        heard,
        hears,
    };
    world.stranger(leecher, STRANGER, Box::new(deaf));
    world.run_for(Duration::from_secs(1));
    world.unstick(0);
    world.run_for(Duration::from_secs(1));
    let most = world.hosts[leecher].longest_transmission();
    assert!(most < 100_000, "{most} bytes at once");
}

/// Memory that comes home serves at once those who waited for it.
#[test]
fn whoever_waits_for_memory_is_woken() {
    let work = torrent(262_144, &[3_000_000]);
    let mut world = World::new(16);
    world.slow_down(Duration::from_millis(5), Duration::ZERO);
    let seed = host_with(&mut world, small(), TORRENT, &work, Mode::Seed);
    pin_all_memory(&mut world, seed, &work.0);
    let leecher = host_with(
        &mut world,
        Config::default(),
        TORRENT,
        &work,
        Mode::Download,
    );
    world.introduce(leecher, seed);
    // It gets what is in memory by chance, and then waits.
    world.run_for(Duration::from_secs(5));
    let before = world.stats(leecher, TORRENT).downloaded;
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.stats(leecher, TORRENT).downloaded, before);
    world.cut_stranger(0);
    world.run_for(Duration::from_millis(500));
    assert!(world.stats(leecher, TORRENT).downloaded > before);
}

/// Four strangers that ask for a block each and do not read it: each pins a chunk.
fn pin_all_memory(world: &mut World, seed: usize, torrent: &Torrent) {
    for nth in 0..4 {
        let mut peer_id = *b"-XX0001-stranger0004";
        peer_id[19] += nth;
        let mut bytes = handshake(torrent.hashes().v1.expect("a v1 torrent"), peer_id);
        Message::Interested.encode(&mut bytes);
        // It reads our handshake, our bitfield and that it is unchoked.
        let (heard, hears) = (0, 68 + 7 + 5 + 1);
        let deaf = Deaf {
            bytes,
            heard,
            hears,
        };
        world.stranger(seed, STRANGER, Box::new(deaf));
        world.run_for(Duration::from_secs(1));
        let (begin, len) = (0, 16_384);
        let piece = nth.into();
        let mut bytes = Vec::new();
        Message::Request(BlockRequest { piece, begin, len }).encode(&mut bytes);
        world.say(nth.into(), &bytes);
        world.run_for(Duration::from_secs(1));
    }
    assert_eq!(world.hosts[seed].engine.machine().slab_bytes(), BUDGET);
}

/// Says its bytes once, reads so many, and nothing after that.
struct Deaf {
    bytes: Vec<u8>,
    heard: usize,
    hears: usize,
}

impl Stranger for Deaf {
    fn speak(&mut self, heard: &[u8]) -> Vec<u8> {
        self.heard += heard.len();
        std::mem::take(&mut self.bytes)
    }

    fn is_deaf(&self) -> bool {
        self.heard >= self.hears
    }
}

/// Who borrows the peer id of another peer does not push it out.
#[test]
fn a_borrowed_peer_id_displaces_nobody() {
    let work = torrent(65_536, &[3_000_000]);
    for seed in 0..4 {
        let mut world = World::new(seed);
        world.slow_down(Duration::from_millis(5), Duration::ZERO);
        let honest = host_with(&mut world, limited_up(50_000), TORRENT, &work, Mode::Seed);
        let leecher = host_with(
            &mut world,
            Config::default(),
            TORRENT,
            &work,
            Mode::Download,
        );
        world.introduce(leecher, honest);
        world.run_for(Duration::from_secs(1));
        let peer_id = world.hosts[honest].engine.machine().peer_id();
        let bytes = handshake(work.0.hashes().v1.unwrap(), peer_id);
        let deaf = Deaf {
            bytes,
            heard: 0,
            hears: usize::MAX,
        };
        world.stranger(leecher, STRANGER, Box::new(deaf));
        world.run_for(Duration::from_secs(1));
        let (now, addr) = (world.now(), world.hosts[honest].addr);
        let engine = world.hosts[leecher].engine.machine();
        assert!(engine.peers(now, TORRENT).any(|peer| peer.addr == addr));
        let banned = |event: &Event| matches!(event, Event::Banned { .. });
        assert!(!world.hosts[leecher].events.iter().any(banned));
    }
}

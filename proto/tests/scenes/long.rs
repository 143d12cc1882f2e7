//! Pieces too long for the memory budget: written as they come, verified from the disk.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Check, Command, Config, Data, Event, FoundName, IoErrorKind, Mode, Phase, TorrentStats,
};
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileIndex, Priority};
use ripcurrent_proto::wire::handshake::Reserved;

use crate::disk::MemoryDisk;
use crate::strangers::{Giver, banned};
use crate::world::{TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const PIECE: usize = 1 << 20;
/// As much as one piece, and less than that for downloads.
const BUDGET: usize = 1 << 20;
/// Three pieces, over the edges of files.
const FILES: [usize; 4] = [700_001, 5, 1_500_000, 600_000];

fn small() -> Config {
    Config {
        memory_budget: BUDGET,
        ..Config::default()
    }
}

/// Seeds, and somebody with little memory who downloads from them, one run after the other.
struct Scene {
    world: World,
    torrent: Arc<Torrent>,
    content: Vec<u8>,
    leecher: usize,
    seeds: usize,
}

impl Scene {
    fn new(seeds: usize, rate: Option<u64>) -> Self {
        let (torrent, content) = torrent(PIECE, &FILES);
        let mut world = World::new(7);
        world.slow_down(Duration::from_millis(3), Duration::from_millis(20));
        for _ in 0..seeds {
            let host = world.host(Config {
                up_limit: rate.and_then(NonZeroU64::new),
                ..Config::default()
            });
            world.hosts[host].disk.fill(&torrent, &content);
            world.command(host, Command::Add(add(&torrent, Mode::Seed)));
        }
        world.run_for(Duration::from_secs(1));
        let leecher = world.host(small());
        Scene {
            world,
            torrent,
            content,
            leecher,
            seeds,
        }
    }

    fn start(&mut self) {
        self.world.hosts[self.leecher].events.clear();
        let add = add(&self.torrent, Mode::Download);
        self.world.command(self.leecher, Command::Add(add));
        self.introduce();
    }

    fn introduce(&mut self) {
        for seed in 0..self.seeds {
            self.world.introduce(self.leecher, seed);
        }
    }

    fn command(&mut self, command: Command) {
        self.world.command(self.leecher, command);
    }

    fn disk(&mut self) -> &mut MemoryDisk {
        &mut self.world.hosts[self.leecher].disk
    }

    fn stats(&mut self) -> TorrentStats {
        self.world.stats(self.leecher, TORRENT)
    }

    fn tells(&self, event: &Event) -> bool {
        self.world.hosts[self.leecher].events.contains(event)
    }

    /// Until so many bytes have come, the budget being kept all the while.
    fn until_downloaded(&mut self, bytes: u64) {
        while self.stats().downloaded < bytes {
            self.world.run_for(Duration::from_millis(5));
            self.budget_is_kept();
        }
    }

    fn budget_is_kept(&mut self) {
        let engine = self.world.hosts[self.leecher].engine.machine();
        assert!(engine.slab_bytes() <= BUDGET, "{}", engine.slab_bytes());
    }

    fn until_told(&mut self, event: &Event) {
        let mut left = LONG;
        while !self.tells(event) {
            let step = Duration::from_millis(20);
            self.world.run_for(step);
            self.budget_is_kept();
            left = left.saturating_sub(step);
            assert!(!left.is_zero(), "{:?}", self.stats());
        }
    }

    /// To the end, which is right, and leaves nothing behind.
    fn complete(&mut self) {
        self.until_told(&Event::Completed { torrent: TORRENT });
        let (torrent, content) = (self.torrent.clone(), self.content.clone());
        assert!(self.disk().content(&torrent) == content);
        let whole = self.disk().names(&torrent);
        assert!(whole.iter().all(|name| *name == Some(FoundName::Own)));
    }

    /// The run ends in good order.
    fn stop(&mut self) {
        self.command(Command::Remove {
            torrent: TORRENT,
            data: Data::Keep,
        });
        self.until_told(&Event::Removed { torrent: TORRENT });
        let engine = self.world.hosts[self.leecher].engine.machine();
        assert_eq!(engine.slab_bytes(), 0, "a slab is lost");
    }

    /// The process is killed: what it wrote stays.
    fn kill(&mut self) {
        let disk = std::mem::take(self.disk());
        self.world.cut(self.leecher);
        self.leecher = self.world.host(small());
        *self.disk() = disk;
    }

    fn digests(&mut self) -> usize {
        let log = self.disk().log.iter();
        log.filter(|what| *what == "digest").count()
    }
}

/// Three pieces, none of which fits the memory, come from one peer and from three, in sections that are
/// written as they come, and each is read once to be verified.
#[test]
fn pieces_that_do_not_fit_the_memory_are_downloaded() {
    for seeds in [1, 3] {
        let mut scene = Scene::new(seeds, None);
        scene.start();
        scene.complete();
        assert_eq!(scene.digests(), 3);
        assert!(scene.disk().writes > 3 * 8);
        let waste = scene.stats().wasted;
        assert_eq!((waste.corrupt, waste.given_up), (0, 0));
        scene.stop();
    }
}

/// Whoever stops in good order goes on where it was: with what was written, and with the blocks of
/// sections that had begun.
#[test]
fn what_was_written_is_gone_on_with() {
    let mut scene = Scene::new(2, Some(200_000));
    scene.start();
    scene.until_downloaded(1_300_000);
    let had = scene.stats().pieces_had;
    scene.stop();
    let states = scene.disk().states.len();
    assert_eq!(states, 1, "there is something to remember");
    scene.start();
    scene.complete();
    assert!(had < 2);
    // What was under way on the line is all that comes twice.
    let total = scene.content.len() as u64;
    let again = scene.stats().downloaded;
    assert!(again < total - 1_300_000 + 200_000, "{again}");
}

/// A piece of which everything was written when the run ended is verified at the next start.
#[test]
fn a_piece_that_lacks_only_its_digest_is_looked_at() {
    let mut scene = Scene::new(1, Some(400_000));
    scene.start();
    // The first one is being digested, or nearly.
    while scene.digests() == 0 {
        scene.world.run_for(Duration::from_millis(1));
    }
    scene.stop();
    scene.start();
    scene.complete();
    let total = scene.content.len() as u64;
    assert!(scene.stats().downloaded < total - PIECE as u64 / 2);
}

/// A process that is killed leaves unverified bytes, which nobody takes for a piece: they are looked at
/// at the next start, and what is not whole is fetched.
#[test]
fn a_killed_process_has_claimed_nothing() {
    for bytes in [400_000, 900_000, 1_200_000, 2_500_000] {
        let mut scene = Scene::new(2, Some(300_000));
        scene.start();
        scene.until_downloaded(bytes);
        scene.kill();
        scene.start();
        scene.complete();
        assert!(banned(&scene.world, scene.leecher).is_empty());
    }
}

/// A pause gives all memory back and keeps what was written; a look at everything in the midst of it all
/// finds what is right and costs nobody anything.
#[test]
fn pauses_and_rechecks_in_the_middle_do_no_harm() {
    let mut scene = Scene::new(2, Some(300_000));
    scene.start();
    for bytes in [500_000, 800_000, 1_400_000] {
        scene.until_downloaded(bytes);
        scene.command(Command::Pause { torrent: TORRENT });
        scene.world.run_for(Duration::from_secs(1));
        let engine = scene.world.hosts[scene.leecher].engine.machine();
        assert_eq!(engine.slab_bytes(), 0, "nobody needs memory");
        let before = scene.stats().downloaded;
        assert!(before >= bytes);
        scene.command(Command::Resume { torrent: TORRENT });
        scene.introduce();
    }
    for bytes in [1_700_000, 2_400_000] {
        scene.until_downloaded(bytes);
        let had = scene.stats().pieces_had;
        scene.command(Command::Recheck { torrent: TORRENT });
        let checked = |event: &Event| matches!(event, Event::Checked { .. });
        scene.world.hosts[scene.leecher].events.clear();
        while !scene.world.hosts[scene.leecher].events.iter().any(checked) {
            scene.world.run_for(Duration::from_millis(5));
        }
        assert!(scene.stats().pieces_had >= had);
        scene.introduce();
    }
    scene.complete();
}

/// Files that are not wanted any more take their pieces along, those that are wanted after all bring
/// them back.
#[test]
fn wishes_change_in_the_middle() {
    let mut scene = Scene::new(2, Some(300_000));
    scene.start();
    scene.until_downloaded(600_000);
    let set = |file, priority| Command::SetPriority {
        torrent: TORRENT,
        file: FileIndex(file),
        priority,
    };
    for file in 0..3 {
        scene.command(set(file, Priority::Unwanted));
    }
    scene.until_told(&Event::Completed { torrent: TORRENT });
    scene.world.hosts[scene.leecher].events.clear();
    for file in 0..3 {
        scene.command(set(file, Priority::Normal));
    }
    scene.introduce();
    scene.complete();
}

/// A full disk is waited for, with sections as with pieces.
#[test]
fn a_full_disk_is_waited_for() {
    let mut scene = Scene::new(2, None);
    scene.disk().writes_left = Some(11);
    scene.start();
    scene.world.run_for(Duration::from_secs(20));
    assert_eq!(scene.stats().phase, Phase::Full);
    scene.budget_is_kept();
    scene.disk().writes_left = None;
    scene.complete();
}

/// A disk that cannot be written, or read back, stops the torrent; it goes on when it is told to look
/// again.
#[test]
fn a_disk_that_refuses_stops_the_torrent() {
    for (refused, action) in [("write", "write"), ("read", "read")] {
        let mut scene = Scene::new(1, None);
        scene.start();
        scene.until_downloaded(300_000);
        scene.disk().refuse.insert(refused);
        scene.world.run_for(Duration::from_secs(5));
        assert_eq!(scene.stats().phase, Phase::Failed);
        let failed = scene.world.hosts[scene.leecher].events.iter().any(|event| {
            let Event::DiskFailed {
                action: told,
                error,
                ..
            } = event
            else {
                return false;
            };
            *told == action && error.error.kind == IoErrorKind::Other
        });
        assert!(failed, "{refused}");
        let engine = scene.world.hosts[scene.leecher].engine.machine();
        assert_eq!(engine.slab_bytes(), 0, "a slab is lost");
        scene.disk().refuse.clear();
        scene.command(Command::Recheck { torrent: TORRENT });
        scene.introduce();
        scene.complete();
    }
}

/// What a seed of long pieces has is looked at in little memory, and sent in chunks.
#[test]
fn a_seed_of_long_pieces_needs_no_more_memory() {
    let (torrent, content) = torrent(PIECE, &FILES);
    let mut world = World::new(3);
    let seed = world.host(small());
    world.hosts[seed].disk.fill(&torrent, &content);
    let full = ripcurrent_proto::api::Add {
        check: Check::Full,
        ..add(&torrent, Mode::Seed)
    };
    world.command(seed, Command::Add(full));
    let leecher = world.host(Config::default());
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(10));
    world.introduce(leecher, seed);
    let complete = Event::Completed { torrent: TORRENT };
    world.run_until(LONG, |world| {
        let held = world.hosts[seed].engine.machine().slab_bytes();
        assert!(held <= BUDGET, "{held}");
        world.hosts[leecher].events.contains(&complete)
    });
    assert_eq!(world.hosts[leecher].disk.content(&torrent), content);
}

const LIAR: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 9);

/// A leecher, honest seeds, and a liar that corrupts a block now and then.
fn scene_with_liar(honest: usize, reserved: Reserved, every: usize) {
    let mut scene = Scene::new(honest, Some(400_000));
    let add = add(&scene.torrent, Mode::Download);
    scene.command(Command::Add(add));
    let mut nth = 0;
    let twist = move |_, block: &mut Vec<u8>| {
        nth += 1;
        if nth % every == 0 {
            block[7] ^= 0x55;
        }
    };
    let hash = scene.torrent.hashes().v1.expect("a v1 torrent");
    let liar = Giver::of_pieces(PIECE, &scene.content, hash, reserved, twist);
    scene.world.run_for(Duration::from_millis(100));
    scene.world.stranger(scene.leecher, LIAR, Box::new(liar));
    if honest == 1 {
        // Nobody else is there until it is found out.
        scene.until_downloaded(2 * PIECE as u64);
    }
    scene.introduce();
    scene.complete();
    assert_eq!(banned(&scene.world, scene.leecher), [IpAddr::V4(LIAR)]);
    let corrupt = scene.stats().wasted.corrupt;
    assert!(corrupt > 0);
    scene.stop();
}

/// Who lied is found out from what lies on the disk, whether it gave a piece alone or beside others; the
/// honest are not banned, and nothing wrong stays.
#[test]
fn a_liar_is_found_out_from_the_disk() {
    for reserved in [Reserved::NONE, Reserved::NONE.with_fast()] {
        scene_with_liar(1, reserved, 40);
        scene_with_liar(2, reserved, 3);
        scene_with_liar(2, reserved, 11);
    }
}

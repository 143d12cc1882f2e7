//! What a seed remembers from one start to the next, and when it is not believed.

use std::sync::Arc;

use ripcurrent_proto::api::{Add, Check, Command, Config, Data, Event, Mode, Phase, TorrentStats};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::Torrent;

use crate::disk::MemoryDisk;
use crate::world::{TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const PIECE: usize = 64 * 1024;
const SEED: usize = 0;

/// A host with the files of a torrent, and one life of its process after the other.
struct Scene {
    world: World,
    torrent: Arc<Torrent>,
    content: Vec<u8>,
}

impl Scene {
    /// Files of 5 pieces and of 4.
    fn new() -> Self {
        let (torrent, content) = torrent(PIECE, &[5 * PIECE, 4 * PIECE]);
        let mut world = World::new(3);
        assert_eq!(world.host(Config::default()), SEED);
        world.hosts[SEED].disk.fill(&torrent, &content);
        Scene {
            world,
            torrent,
            content,
        }
    }

    fn begin_with(&mut self, check: Check) {
        self.world.hosts[SEED].events.clear();
        let add = add(&self.torrent, Mode::Seed);
        self.world.command(SEED, Command::Add(Add { check, ..add }));
    }

    /// Begins to seed; how many pieces were found right, and how many were hashed for it.
    fn start_with(&mut self, check: Check) -> (u32, u32) {
        self.begin_with(check);
        let is_seeding = Event::Completed { torrent: TORRENT };
        self.until(|scene| scene.events().contains(&is_seeding));
        // What there is to be remembered is.
        self.world.run_for(Duration::from_secs(1));
        let stats = self.stats();
        (stats.pieces_had, stats.pieces_checked)
    }

    /// Begins to seed on a slow disk, until some pieces were hashed and others are yet to be.
    fn start_slowly(&mut self) {
        self.world
            .slow_down(Duration::ZERO, Duration::from_millis(50));
        self.begin_with(Check::Existing);
        self.until(|scene| (1..9).contains(&scene.stats().pieces_checked));
    }

    /// Waits until it seeds and has remembered what there is to be.
    fn until_seeding(&mut self) {
        self.until(|scene| scene.stats().phase == Phase::Seeding);
        self.world.run_for(Duration::from_secs(1));
    }

    fn start(&mut self) -> (u32, u32) {
        self.start_with(Check::Existing)
    }

    fn stop(&mut self) {
        let (torrent, data) = (TORRENT, Data::Keep);
        self.world.command(SEED, Command::Remove { torrent, data });
        let gone = Event::Removed { torrent };
        self.until(|scene| scene.events().contains(&gone));
    }

    fn until(&mut self, done: impl Fn(&mut Scene) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.world.run_for(Duration::from_millis(1));
        }
        panic!("it does not come to that: {:?}", self.stats());
    }

    fn stats(&mut self) -> TorrentStats {
        self.world.stats(SEED, TORRENT)
    }

    fn events(&self) -> &[Event] {
        &self.world.hosts[SEED].events
    }

    fn disk(&mut self) -> &mut MemoryDisk {
        &mut self.world.hosts[SEED].disk
    }

    fn log(&mut self) -> Vec<String> {
        std::mem::take(&mut self.disk().log)
    }
}

/// What was hashed once is hashed no more: the next start reads nothing, changes nothing, and serves
/// every byte.
#[test]
fn a_restart_hashes_nothing() {
    let mut scene = Scene::new();
    assert_eq!(scene.start(), (9, 9));
    assert_eq!(scene.log(), ["sync", "save"]);
    assert!(scene.disk().states.is_empty() && scene.disk().seed_states[&TORRENT].len() < 250);
    for _ in 0..2 {
        scene.stop();
        let reads = scene.disk().reads;
        assert_eq!(scene.start(), (9, 0));
        assert!(scene.disk().reads == reads && scene.log().is_empty());
    }
    let leecher = scene.world.host(Config::default());
    let add = add(&scene.torrent, Mode::Download);
    scene.world.command(leecher, Command::Add(add));
    scene.world.introduce(leecher, SEED);
    let completed = Event::Completed { torrent: TORRENT };
    scene.world.run_until(LONG, |world| {
        world.hosts[leecher].events.contains(&completed)
    });
    let (torrent, disk) = (scene.torrent.clone(), &scene.world.hosts[leecher].disk);
    assert!(disk.content(&torrent) == scene.content);
}

/// Who seeds what is right of a file that is not all right does not look at the rest each time.
#[test]
fn what_is_wrong_is_remembered_too() {
    let mut scene = Scene::new();
    scene.disk().meddle(1, PIECE + 7, 1);
    assert_eq!(scene.start(), (8, 9));
    scene.stop();
    assert_eq!(scene.start(), (8, 0));
}

/// A file that somebody has changed, or only written again, is hashed, whole; the others are not.
#[test]
fn a_changed_file_is_looked_at() {
    for (flip, right) in [(0, 9), (1, 8)] {
        let mut scene = Scene::new();
        scene.start();
        scene.stop();
        scene.disk().meddle(0, 7, flip);
        assert_eq!(scene.start(), (right, 5));
        scene.stop();
        assert_eq!(scene.start(), (right, 0), "that is remembered");
    }
}

/// A file that is gone is not served, and one that came back is looked at.
#[test]
fn a_missing_file_is_noticed() {
    let mut scene = Scene::new();
    scene.start();
    scene.stop();
    scene.disk().remove(1);
    assert_eq!(scene.start(), (5, 0));
    scene.stop();
    let (torrent, content) = (scene.torrent.clone(), scene.content.clone());
    scene.disk().fill(&torrent, &content);
    assert_eq!(scene.start(), (9, 9));
}

/// A file that changes after it was hashed, while others are yet to be, is not believed at the next
/// start: nobody has looked at what it is now.
#[test]
fn a_file_that_changes_meanwhile_is_not_believed() {
    let mut scene = Scene::new();
    scene.start_slowly();
    scene.disk().meddle(0, 7, 1);
    scene.disk().meddle(0, 3 * PIECE, 1);
    scene.until_seeding();
    scene.stop();
    assert_eq!(scene.start(), (7, 5));
}

/// A seed that cannot remember says so once, and serves.
#[test]
fn a_seed_needs_no_state() {
    for refused in ["sync", "save"] {
        let mut scene = Scene::new();
        scene.disk().refuse.insert(refused);
        assert_eq!(scene.start(), (9, 9));
        let told = |event: &&Event| matches!(event, Event::StateNotSaved { .. });
        assert_eq!(scene.events().iter().filter(told).count(), 1, "{refused}");
        assert_eq!(scene.stats().phase, Phase::Seeding);
        assert!(scene.disk().seed_states.is_empty(), "{refused}");
        scene.stop();
        scene.disk().refuse.clear();
        assert_eq!(scene.start(), (9, 9), "{refused}");
    }
}

/// A full check believes nothing, and what it finds is remembered; trust is no look, so nothing is.
#[test]
fn only_a_look_is_remembered() {
    let mut scene = Scene::new();
    assert_eq!(scene.start_with(Check::Trust), (9, 0));
    assert!(scene.log().is_empty());
    scene.stop();
    assert_eq!(scene.start(), (9, 9));
    scene.stop();
    assert_eq!(scene.start_with(Check::Full), (9, 9));
    scene.stop();
    let state = scene.disk().seed_states.get_mut(&TORRENT);
    state.expect("a state")[40] ^= 1;
    assert_eq!(scene.start(), (9, 9), "a damaged state is none");
    scene.stop();
    assert_eq!(scene.start(), (9, 0));
}

/// How files look is told when they are opened: what a recheck finds in files that may have changed
/// since is found anew at the next start.
#[test]
fn a_recheck_is_not_remembered() {
    let mut scene = Scene::new();
    scene.start();
    scene.disk().meddle(1, 7, 1);
    let torrent = TORRENT;
    scene.world.command(SEED, Command::Recheck { torrent });
    scene.world.run_for(Duration::from_secs(1));
    assert_eq!(scene.stats().pieces_had, 8);
    assert!(scene.disk().seed_states.is_empty());
    scene.stop();
    assert_eq!(scene.start(), (8, 9));
}

/// Without its pieces, as a host keeps it that keeps many.
fn outline(torrent: &Torrent) -> Arc<Torrent> {
    Arc::new(torrent.clone().without_pieces())
}

fn wanted(torrent: TorrentId) -> Event {
    Event::TorrentWanted { torrent }
}

/// A torrent that was added without its pieces is asked for when there is something to hash, and not
/// where a state is believed; what is given is let go of again.
#[test]
fn pieces_are_asked_for_when_they_are_needed() {
    let mut scene = Scene::new();
    let whole = scene.torrent.clone();
    let other = torrent(PIECE, &[7 * PIECE]).0;
    scene.torrent = outline(&whole);
    scene.begin_with(Check::Existing);
    scene.world.run_for(Duration::from_secs(100));
    let is_wanted = |event: &&Event| **event == wanted(TORRENT);
    assert_eq!(scene.events().iter().filter(is_wanted).count(), 1);
    let supply = |whole: &Arc<Torrent>| Command::Supply {
        torrent: TORRENT,
        whole: whole.clone(),
    };
    for useless in [&other, &scene.torrent.clone()] {
        scene.world.command(SEED, supply(useless));
    }
    scene.world.run_for(Duration::from_secs(1));
    assert_eq!(scene.stats().phase, Phase::Checking);
    assert_eq!(scene.disk().reads, 0);
    scene.world.command(SEED, supply(&whole));
    scene.world.run_for(Duration::from_secs(1));
    let stats = scene.stats();
    assert_eq!((stats.phase, stats.pieces_had), (Phase::Seeding, 9));
    assert_eq!(Arc::strong_count(&whole), 1, "it is let go of");
    scene.stop();
    assert_eq!(scene.start(), (9, 0));
    assert!(!scene.events().contains(&wanted(TORRENT)));
    let recheck = Command::Recheck { torrent: TORRENT };
    scene.world.command(SEED, recheck);
    scene.world.run_for(Duration::from_secs(1));
    assert!(scene.events().contains(&wanted(TORRENT)));
    scene.world.command(SEED, supply(&whole));
    scene.world.run_for(Duration::from_secs(1));
    assert_eq!(scene.stats().pieces_had, 9);
}

/// A download needs its pieces from the beginning, and keeps them.
#[test]
fn a_download_asks_for_its_pieces_at_once() {
    let mut scene = Scene::new();
    scene.start();
    let leecher = scene.world.host(Config::default());
    let add = add(&outline(&scene.torrent), Mode::Download);
    scene.world.command(leecher, Command::Add(add));
    scene.world.introduce(leecher, SEED);
    scene.world.run_for(Duration::from_secs(60));
    assert!(scene.world.hosts[leecher].events.contains(&wanted(TORRENT)));
    let (torrent, whole) = (TORRENT, scene.torrent.clone());
    let supply = Command::Supply { torrent, whole };
    scene.world.command(leecher, supply);
    let completed = Event::Completed { torrent };
    scene.world.run_until(LONG, |world| {
        world.hosts[leecher].events.contains(&completed)
    });
}

/// Of many torrents few are looked at at once, and all in the end, in their order, whoever leaves
/// meanwhile.
#[test]
fn torrents_are_looked_at_in_turns() {
    const COUNT: u32 = 30;
    let mut world = World::new(4);
    assert_eq!(world.host(Config::default()), SEED);
    let mut torrents = Vec::new();
    for number in 1..=COUNT {
        let (torrent, content) = torrent(PIECE, &[PIECE + number as usize]);
        let id = TorrentId(number);
        world.hosts[SEED].disk.fill_as(id, &torrent, &content);
        let add = add(&outline(&torrent), Mode::Seed);
        world.command(SEED, Command::Add(Add { id, ..add }));
        torrents.push(torrent);
    }
    let mut looked_at = Vec::new();
    loop {
        world.run_for(Duration::from_millis(1));
        let events = std::mem::take(&mut world.hosts[SEED].events);
        let asks = events.iter().filter_map(|event| match event {
            Event::TorrentWanted { torrent } => Some(*torrent),
            _ => None,
        });
        let asks: Vec<TorrentId> = asks.collect();
        if asks.is_empty() {
            break;
        }
        assert!(asks.len() <= 8, "{asks:?}");
        for torrent in asks {
            looked_at.push(torrent.0);
            let whole = torrents[torrent.0 as usize - 1].clone();
            let command = match torrent.0 % 5 {
                0 => Command::Remove {
                    torrent,
                    data: Data::Keep,
                },
                _ => Command::Supply { torrent, whole },
            };
            world.command(SEED, command);
        }
    }
    assert_eq!(looked_at, (1..=COUNT).collect::<Vec<_>>());
    let now = world.now();
    let engine = world.hosts[SEED].engine.machine();
    let is_seeding = |id: &u32| {
        let stats = engine.stats(now, TorrentId(*id));
        stats.is_some_and(|stats| stats.phase == Phase::Seeding && stats.pieces_had == 2)
    };
    assert_eq!((1..=COUNT).filter(is_seeding).count(), 24);
}

/// What a disk could not read may be there: it is looked at again.
#[test]
fn what_could_not_be_read_is_looked_at_again() {
    let mut scene = Scene::new();
    scene.start_slowly();
    scene.disk().refuse.insert("read");
    scene.until_seeding();
    scene.disk().refuse.clear();
    let had = scene.stats().pieces_had;
    scene.stop();
    let (right, looked_at) = scene.start();
    assert_eq!((right, looked_at), (9, 9 - had));
}

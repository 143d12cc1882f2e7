//! What a seed remembers from one start to the next, and when it is not believed.

use std::sync::Arc;

use ripcurrent_proto::api::{Add, Check, Command, Config, Data, Event, Mode, Phase, TorrentStats};
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
        let now = self.world.now();
        let engine = self.world.hosts[SEED].engine.machine();
        engine.stats(now, TORRENT).expect("the torrent is there")
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
    scene
        .world
        .slow_down(Duration::ZERO, Duration::from_millis(50));
    scene.begin_with(Check::Existing);
    scene.until(|scene| (1..9).contains(&scene.stats().pieces_checked));
    scene.disk().meddle(0, 7, 1);
    scene.disk().meddle(0, 3 * PIECE, 1);
    let phase = Phase::Seeding;
    scene.until(|scene| scene.stats().phase == phase);
    scene.world.run_for(Duration::from_secs(1));
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

/// What a disk could not read may be there: it is looked at again.
#[test]
fn what_could_not_be_read_is_looked_at_again() {
    let mut scene = Scene::new();
    scene
        .world
        .slow_down(Duration::ZERO, Duration::from_millis(50));
    scene.begin_with(Check::Existing);
    scene.until(|scene| (1..9).contains(&scene.stats().pieces_checked));
    scene.disk().refuse.insert("read");
    let phase = Phase::Seeding;
    scene.until(|scene| scene.stats().phase == phase);
    scene.world.run_for(Duration::from_secs(1));
    scene.disk().refuse.clear();
    let had = scene.stats().pieces_had;
    scene.stop();
    let (right, looked_at) = scene.start();
    assert_eq!((right, looked_at), (9, 9 - had));
}

//! What outlives a stop, a crash, other programs and a full disk.

use std::num::NonZeroU64;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, Data, DiskError, Event, FoundName, IoErrorKind, Mode, Phase,
    TorrentStats,
};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::FileIndex;

use crate::disk::MemoryDisk;
use crate::world::{TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const PIECE: usize = 64 * 1024;
const SEED: usize = 0;

/// A slow seed, and somebody who downloads from it, one run after the other.
struct Scene {
    world: World,
    torrent: Arc<Torrent>,
    content: Vec<u8>,
    leecher: usize,
}

impl Scene {
    fn new(files: &[usize]) -> Self {
        let (torrent, content) = torrent(PIECE, files);
        let mut world = World::new(9);
        let slow = Config {
            up_limit: NonZeroU64::new(100_000),
            ..Config::default()
        };
        assert_eq!(world.host(slow), SEED);
        world.hosts[SEED].disk.fill(&torrent, &content);
        world.command(SEED, Command::Add(add(&torrent, Mode::Seed)));
        world.run_for(Duration::from_millis(1));
        let leecher = world.host(Config::default());
        Scene {
            world,
            torrent,
            content,
            leecher,
        }
    }

    fn add(&self) -> Add {
        add(&self.torrent, Mode::Download)
    }

    fn start_with(&mut self, add: Add) {
        self.world.hosts[self.leecher].events.clear();
        self.world.command(self.leecher, Command::Add(add));
        self.world.introduce(self.leecher, SEED);
    }

    fn start(&mut self) {
        self.start_with(self.add());
    }

    /// Leaves in good order.
    fn stop(&mut self) {
        let command = Command::Remove {
            torrent: TORRENT,
            data: Data::Keep,
        };
        self.world.command(self.leecher, command);
        let gone = Event::Removed { torrent: TORRENT };
        let leecher = self.leecher;
        self.world
            .run_until(LONG, |world| world.hosts[leecher].events.contains(&gone));
    }

    /// The process is killed: what it wrote stays.
    fn kill(&mut self) {
        let disk = std::mem::take(self.disk());
        self.world.cut(self.leecher);
        self.leecher = self.world.host(Config::default());
        *self.disk() = disk;
    }

    fn disk(&mut self) -> &mut MemoryDisk {
        &mut self.world.hosts[self.leecher].disk
    }

    fn stats(&mut self) -> TorrentStats {
        self.world.stats(self.leecher, TORRENT)
    }

    fn until(&mut self, mut done: impl FnMut(&mut Scene) -> bool) {
        for _ in 0..100_000 {
            if done(self) {
                return;
            }
            self.world.run_for(Duration::from_millis(20));
        }
        panic!("it does not come to that: {:?}", self.stats());
    }

    /// The same, looked at often.
    fn until_soon(&mut self, mut done: impl FnMut(&mut Scene) -> bool) {
        while !done(self) {
            self.world.run_for(Duration::from_millis(1));
        }
    }

    fn events(&self) -> &[Event] {
        &self.world.hosts[self.leecher].events
    }

    fn is_complete(&mut self) -> bool {
        self.events()
            .contains(&Event::Completed { torrent: TORRENT })
    }

    /// What the check at the start came to.
    fn checked(&mut self) -> u32 {
        let found = |event: &Event| match event {
            Event::Checked { pieces, .. } => Some(*pieces),
            _ => None,
        };
        self.until(|scene| scene.events().iter().any(|event| found(event).is_some()));
        self.events().iter().find_map(found).expect("checked")
    }

    fn completes(&mut self) {
        self.until(Scene::is_complete);
        let torrent = self.torrent.clone();
        assert_eq!(self.disk().content(&torrent), self.content);
        let names = self.disk().names(&torrent);
        assert!(
            names.iter().all(|name| *name == Some(FoundName::Own)),
            "{names:?}"
        );
        assert!(
            self.disk().states.is_empty(),
            "nothing is left to be remembered"
        );
    }

    fn refusal(&self) -> Option<(&'static str, DiskError)> {
        self.events().iter().find_map(|event| match event {
            Event::DiskFailed { action, error, .. } => Some((*action, *error)),
            _ => None,
        })
    }
}

/// After a stop in good order nothing is hashed and no block is fetched twice, not even those of
/// pieces that were not complete.
#[test]
fn a_stop_in_good_order_costs_nothing() {
    let mut scene = Scene::new(&[400_000, 0, 150_000]);
    scene.start();
    scene.until(|scene| scene.stats().downloaded > 200_000);
    scene.stop();
    let (reads, had) = (scene.disk().reads, scene.disk().writes);
    assert!(had > 2);
    scene.start();
    let checked = scene.checked();
    assert!(checked >= 2);
    assert_eq!(scene.stats().pieces_checked, 0);
    let parked = scene.disk().reads - reads;
    assert!((1..=8).contains(&parked), "{parked} incomplete pieces");
    let before = 550_000 - scene.stats().downloaded;
    scene.completes();
    let fetched = scene.stats().downloaded;
    assert!(fetched <= before - 200_000 + 16_384, "{fetched} again");
}

/// Killed at any time, a download goes on from all that was written, and ends with every byte.
#[test]
fn a_kill_costs_what_was_in_memory() {
    let mut scene = Scene::new(&[300_000, 250_000]);
    let mut came = 0;
    scene.start();
    for _ in 0..5 {
        let since = came;
        scene.until(|scene| scene.is_complete() || scene.stats().downloaded > 90_000);
        came = since + scene.stats().downloaded;
        let written = scene.stats().pieces_had;
        scene.kill();
        scene.start();
        assert_eq!(scene.checked(), written);
    }
    scene.completes();
    came += scene.stats().downloaded;
    assert!(came <= 550_000 + 6 * 5 * PIECE as u64, "{came}");
}

/// A state is believed of files as they were: one that somebody changed is hashed, whole.
#[test]
fn a_changed_file_is_looked_at() {
    for flip in [0, 1] {
        let mut scene = Scene::new(&[300_000, 250_000]);
        scene.start();
        scene.until(|scene| scene.stats().bytes_had > 400_000);
        scene.stop();
        scene.disk().meddle(0, 5, flip);
        scene.start();
        scene.checked();
        let looked_at = scene.stats().pieces_checked;
        assert!((1..=5).contains(&looked_at), "{looked_at}");
        scene.completes();
    }
}

/// What is missing is fetched, whatever the state says of it.
#[test]
fn a_missing_file_is_fetched() {
    let mut scene = Scene::new(&[300_000, 250_000]);
    scene.start();
    scene.until(|scene| scene.stats().bytes_had > 400_000);
    scene.stop();
    scene.disk().remove(0);
    scene.start();
    scene.completes();
}

/// A full check believes nothing; so does a check of a damaged state.
#[test]
fn a_full_check_believes_nothing() {
    for damage in [false, true] {
        let mut scene = Scene::new(&[550_000]);
        scene.start();
        scene.until(|scene| scene.stats().bytes_had > 200_000);
        let had = scene.stats().pieces_had;
        scene.stop();
        if damage {
            scene
                .disk()
                .states
                .values_mut()
                .for_each(|state| state[40] ^= 1);
        }
        let check = if damage { Check::Existing } else { Check::Full };
        let add = scene.add();
        scene.start_with(Add { check, ..add });
        assert!(scene.checked() >= had);
        assert!(scene.stats().pieces_checked >= had);
        scene.completes();
    }
}

/// Data is synced before a file has its name or a state names it, names are before the state goes,
/// and all of that is before anybody is told.
#[test]
fn completion_has_its_order() {
    let mut scene = Scene::new(&[100_000, 0, 30_000]);
    scene.start();
    scene.completes();
    let log = scene.disk().log.join(", ");
    let end = log.rfind("sync, finish").expect("names come after a sync");
    let last: Vec<&str> = log[end..].split(", ").collect();
    assert_eq!(last[last.len() - 2..], ["sync", "unsave"], "{log}");
    assert!(log.contains("finish 1"), "empty files are made");
}

/// States come every five seconds, and name what was synced.
#[test]
fn states_are_saved_on_the_way() {
    let mut scene = Scene::new(&[2_000_000]);
    scene.start();
    scene.world.run_for(Duration::from_secs(12));
    let saves = scene
        .disk()
        .log
        .iter()
        .filter(|what| *what == "save")
        .count();
    assert!((2..=4).contains(&saves), "{saves}");
    let state = scene.disk().states[&TORRENT].clone();
    let hash = scene.torrent.hashes().v1.expect("a v1 torrent");
    let layout = scene.torrent.layout();
    let resume = ripcurrent_proto::meta::resume::Resume::decode(&state, layout, hash);
    let named = resume.expect("a state").have.count() as u32;
    assert!(named > 0 && named < scene.stats().pieces_had);
}

/// Who leaves in the middle of a check has not found out what is not there.
#[test]
fn an_interrupted_check_begins_again() {
    for recheck in [false, true] {
        let mut scene = Scene::new(&[2_000_000]);
        let (torrent, content) = (scene.torrent.clone(), scene.content.clone());
        scene.disk().fill(&torrent, &content);
        // The world's disks answer at once unless they are told not to.
        scene
            .world
            .slow_down(Duration::ZERO, Duration::from_millis(10));
        scene.start();
        if recheck {
            scene.until(Scene::is_complete);
            let leecher = scene.leecher;
            scene
                .world
                .command(leecher, Command::Recheck { torrent: TORRENT });
        }
        scene.until_soon(|scene| (1..31).contains(&scene.stats().pieces_checked));
        assert_eq!(scene.stats().phase, Phase::Checking);
        scene.stop();
        scene.start();
        assert_eq!(scene.checked(), 31);
        scene.completes();
        assert_eq!(scene.stats().downloaded, 0);
    }
}

/// A file that is not ours is not touched, unless people say so.
#[test]
fn a_foreign_file_is_spared() {
    let mut scene = Scene::new(&[100_000]);
    let torrent = scene.torrent.clone();
    let foreign = vec![7; 100_000];
    scene.disk().fill(&torrent, &foreign);
    scene.start();
    scene.until(|scene| scene.refusal().is_some());
    let (action, error) = scene.refusal().expect("a refusal");
    assert_eq!((action, error.file), ("overwrite", Some(FileIndex(0))));
    assert_eq!(error.error.kind, IoErrorKind::InTheWay);
    assert_eq!(scene.stats().phase, Phase::Failed);
    scene.world.run_for(Duration::from_secs(30));
    assert_eq!(scene.disk().content(&torrent), foreign);
    scene.stop();
    scene.start();
    scene.until(|scene| scene.refusal().is_some());
    scene.stop();
    assert_eq!(scene.disk().content(&torrent), foreign);
    let overwrite = true;
    let add = scene.add();
    scene.start_with(Add { overwrite, ..add });
    scene.completes();
}

/// A name that is taken is told of at the start, not when everything has come.
#[test]
fn a_taken_name_is_told_at_once() {
    let mut scene = Scene::new(&[100_000, 30_000]);
    scene.start();
    scene.until(|scene| scene.stats().pieces_had == 1);
    scene.stop();
    scene.disk().rename(0, FoundName::Contested);
    scene.start();
    scene.until(|scene| scene.refusal().is_some());
    assert_eq!(scene.refusal().expect("a refusal").0, "finish");
    assert_eq!(scene.stats().downloaded, 0);
}

/// Of a selection no other file appears; what its pieces hold of others is served and found again,
/// and goes into them when they are wanted after all.
#[test]
fn a_selection_makes_no_other_files() {
    let mut scene = Scene::new(&[100_000, 100_000, 100_000]);
    let mut files = Bitfield::new(3);
    files.insert(1);
    let select = |scene: &Scene| Add {
        files: Some(files.clone()),
        ..scene.add()
    };
    let add = select(&scene);
    scene.start_with(add);
    scene.until(Scene::is_complete);
    let torrent = scene.torrent.clone();
    let names = scene.disk().names(&torrent);
    assert_eq!(names, [None, Some(FoundName::Own), None]);
    assert_eq!(scene.stats().pieces_had, 3);
    scene.stop();
    let writes = scene.disk().writes;
    let add = select(&scene);
    scene.start_with(add);
    assert_eq!((scene.checked(), scene.stats().pieces_checked), (3, 0));
    scene.until(Scene::is_complete);
    assert_eq!(scene.disk().writes, writes);
    scene.stop();
    scene.start();
    scene.completes();
    assert_eq!(scene.stats().downloaded, 300_000 - 3 * PIECE as u64);
}

/// Who cannot remember says so once, and goes on.
#[test]
fn a_state_that_cannot_be_saved_is_told_once() {
    let mut scene = Scene::new(&[2_000_000]);
    scene.disk().refuse.insert("save");
    scene.start();
    scene.world.run_for(Duration::from_secs(18));
    let told = |event: &&Event| matches!(event, Event::StateNotSaved { .. });
    assert_eq!(scene.events().iter().filter(told).count(), 1);
    assert_eq!(scene.stats().phase, Phase::Downloading);
    scene.disk().refuse.clear();
    scene.completes();
}

/// After a folder that could not be opened, a recheck opens it.
#[test]
fn a_recheck_opens_what_could_not_be() {
    let mut scene = Scene::new(&[100_000]);
    scene.disk().refuse.insert("open");
    scene.start();
    scene.until(|scene| scene.stats().phase == Phase::Failed);
    scene.disk().refuse.clear();
    let leecher = scene.leecher;
    scene
        .world
        .command(leecher, Command::Recheck { torrent: TORRENT });
    scene.world.introduce(leecher, SEED);
    scene.completes();
}

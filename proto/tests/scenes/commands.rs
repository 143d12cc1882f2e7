//! What people ask of an engine while it runs.

use std::num::NonZeroU64;

use ripcurrent_proto::api::{Command, Config, Data, Event, Mode, Phase};
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::layout::{FileIndex, Priority};

use crate::world::{TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);
const PIECE: usize = 32 * 1024;
const SIZE: usize = 2_000_000;

/// A seed on host 0, and on host 1 a leecher that receives 200,000 bytes a second and does not know
/// it yet.
fn strangers(files: &[usize]) -> World {
    let (torrent, content) = torrent(PIECE, files);
    let mut world = World::new(1);
    let seed = world.host(Config::default());
    world.hosts[seed].disk.fill(&torrent, &content);
    world.command(seed, Command::Add(add(&torrent, Mode::Seed)));
    world.run_for(Duration::from_millis(1));
    let down_limit = NonZeroU64::new(200_000);
    let leecher = world.host(Config {
        down_limit,
        ..Config::default()
    });
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world
}

/// The same, with the download begun.
fn slow_download() -> World {
    let mut world = strangers(&[SIZE]);
    world.introduce(1, 0);
    world
}

fn had(world: &mut World) -> (Phase, u32) {
    let now = world.now();
    let stats = world.hosts[1].engine.machine().stats(now, TORRENT);
    let stats = stats.expect("the torrent is there");
    (stats.phase, stats.pieces_had)
}

fn completed(world: &mut World) -> bool {
    world.hosts[1]
        .events
        .contains(&Event::Completed { torrent: TORRENT })
}

/// A paused torrent fetches nothing and holds no memory; resumed, it completes.
#[test]
fn pause_and_resume() {
    let mut world = slow_download();
    world.run_for(Duration::from_secs(3));
    world.command(1, Command::Pause { torrent: TORRENT });
    world.run_for(Duration::from_millis(100));
    let (phase, pieces) = had(&mut world);
    assert!(phase == Phase::Paused && pieces > 0);
    assert_eq!(world.hosts[1].engine.machine().slab_bytes(), 0);
    world.run_for(Duration::from_secs(300));
    assert_eq!(had(&mut world), (Phase::Paused, pieces));
    world.command(1, Command::Resume { torrent: TORRENT });
    world.run_until(LONG, completed);
}

/// A recheck finds what was damaged behind our back, and it is fetched again.
#[test]
fn recheck_mends_what_was_damaged() {
    let (torrent, content) = torrent(PIECE, &[SIZE]);
    let mut world = slow_download();
    world.run_until(LONG, completed);
    let mut damaged = content.clone();
    damaged[5 * PIECE + 7] ^= 1;
    world.hosts[1].disk.fill(&torrent, &damaged);
    world.hosts[1].events.clear();
    world.command(1, Command::Recheck { torrent: TORRENT });
    let pieces = SIZE.div_ceil(PIECE) as u32 - 1;
    let checked = Event::Checked {
        torrent: TORRENT,
        pieces,
    };
    world.run_until(LONG, |world| world.hosts[1].events.contains(&checked));
    world.run_until(LONG, completed);
    assert_eq!(world.hosts[1].disk.content(&torrent), content);
}

/// A recheck in the middle of a download loses nothing that is written.
#[test]
fn recheck_while_downloading() {
    let mut world = slow_download();
    world.run_for(Duration::from_secs(4));
    let (_, pieces) = had(&mut world);
    world.command(1, Command::Recheck { torrent: TORRENT });
    world.run_for(Duration::from_millis(100));
    let (phase, after) = had(&mut world);
    assert!(phase == Phase::Downloading && after >= pieces && pieces > 0);
    world.run_until(LONG, completed);
}

/// Removed with its data, a torrent leaves no file; without, every one.
#[test]
fn removal_keeps_or_deletes_the_data() {
    let (torrent, content) = torrent(PIECE, &[SIZE]);
    for data in [Data::Keep, Data::Delete] {
        let mut world = slow_download();
        world.run_until(LONG, completed);
        world.command(
            1,
            Command::Remove {
                torrent: TORRENT,
                data,
            },
        );
        let removed = Event::Removed { torrent: TORRENT };
        world.run_until(LONG, |world| world.hosts[1].events.contains(&removed));
        let left = world.hosts[1].disk.content(&torrent);
        assert_eq!(left == content, data == Data::Keep);
        // The name and the info-hash are free again.
        world.command(1, Command::Add(add(&torrent, Mode::Download)));
        world.introduce(1, 0);
        world.hosts[1].events.clear();
        world.run_until(LONG, completed);
    }
}

/// Limits change on the way: lifted, what was held up goes on at once.
#[test]
fn limits_change_on_the_way() {
    let mut world = slow_download();
    world.run_for(Duration::from_secs(2));
    world.command(
        1,
        Command::SetLimits {
            down: None,
            up: None,
        },
    );
    world.run_until(Duration::from_secs(1), completed);

    let mut world = slow_download();
    let down = NonZeroU64::new(20_000);
    world.command(1, Command::SetLimits { down, up: None });
    world.run_for(Duration::from_secs(20));
    let (_, pieces) = had(&mut world);
    assert!(
        pieces as usize * PIECE <= 20_000 * 20 + (1 << 20),
        "{pieces} pieces"
    );
    assert!(!completed(&mut world));
}

/// The files tell how much of each is there.
#[test]
fn files_tell_their_progress() {
    let files = [10_000, 0, 90_000];
    let (torrent, content) = torrent(PIECE, &files);
    let mut world = World::new(1);
    let host = world.host(Config::default());
    let mut damaged = content.clone();
    damaged[PIECE + 1] ^= 1;
    world.hosts[host].disk.fill(&torrent, &damaged);
    world.command(host, Command::Add(add(&torrent, Mode::Download)));
    world.run_for(Duration::from_millis(10));
    let engine = world.hosts[host].engine.machine();
    let had: Vec<u64> = engine.files(TORRENT).map(|file| file.bytes_had).collect();
    assert_eq!(had, [10_000, 0, 90_000 - PIECE as u64]);
}

/// Files are wanted, unwanted and wanted again on the way: what is asked for comes, no more, and
/// the urgent file first.
#[test]
fn files_have_priorities_that_change() {
    let files = [40 * PIECE, 20 * PIECE];
    let (torrent, content) = torrent(PIECE, &files);
    let (seed, leecher) = (0, 1);
    let mut world = strangers(&files);
    let prefer = |world: &mut World, file, priority| {
        let file = FileIndex(file);
        world.command(
            leecher,
            Command::SetPriority {
                torrent: TORRENT,
                file,
                priority,
            },
        );
    };
    prefer(&mut world, 1, Priority::High);
    world.introduce(leecher, seed);
    world.run_for(Duration::from_secs(3));
    let progress = |world: &mut World| -> Vec<u64> {
        let engine = world.hosts[1].engine.machine();
        engine.files(TORRENT).map(|file| file.bytes_had).collect()
    };
    let had = progress(&mut world);
    assert!(had[0] == 0 && had[1] > 0, "{had:?}");

    // In the midst of the first file it is not wanted any more.
    world.run_for(Duration::from_secs(2));
    prefer(&mut world, 0, Priority::Unwanted);
    world.run_until(LONG, completed);
    let had = progress(&mut world);
    assert!(
        had[0] < files[0] as u64 && had[1] == files[1] as u64,
        "{had:?}"
    );
    assert_eq!(world.hosts[1].engine.machine().slab_bytes(), 0);

    world.hosts[1].events.clear();
    prefer(&mut world, 0, Priority::Low);
    world.run_until(LONG, completed);
    assert_eq!(world.hosts[1].disk.content(&torrent), content);
}

/// The disk refuses a write while a recheck reads, and people ask for another recheck at once: what
/// the first one still has in flight is not counted against the second.
#[test]
fn recheck_while_a_broken_off_check_is_in_flight() {
    for millis in (1000..1200).step_by(5) {
        let mut world = slow_download();
        world.slow_down(Duration::ZERO, Duration::from_millis(40));
        world.run_for(Duration::from_millis(millis));
        world.command(1, Command::Recheck { torrent: TORRENT });
        world.hosts[1].disk.refuse.insert("write");
        world.run_for(Duration::from_millis(25));
        world.hosts[1].disk.refuse.clear();
        world.command(1, Command::Recheck { torrent: TORRENT });
        world.run_for(Duration::from_millis(100));
        world.command(1, Command::Recheck { torrent: TORRENT });
        world.run_until(LONG, completed);
    }
}

/// A piece that was being hashed when a recheck began turns out wrong, and what lies on the disk right:
/// the memory that it was to be fetched into again is given back.
#[test]
fn recheck_finds_right_what_came_wrong() {
    let (torrent, content) = torrent(PIECE, &[SIZE]);
    let damaged: Vec<u8> = content.iter().map(|byte| byte ^ 1).collect();
    let mut corrupt = 0;
    for millis in (0..3000).step_by(25) {
        let mut world = slow_download();
        world.slow_down(Duration::ZERO, Duration::from_millis(400));
        world.run_until(LONG, |world| had(world).0 == Phase::Downloading);
        world.hosts[0].disk.fill(&torrent, &damaged);
        world.run_for(Duration::from_millis(millis));
        world.hosts[1].disk.fill(&torrent, &content);
        world.command(1, Command::Recheck { torrent: TORRENT });
        world.run_until(LONG, completed);
        world.command(1, Command::ShutDown);
        world.run_until(LONG, |world| {
            world.hosts[1].events.contains(&Event::ShutDown)
        });
        let is_corrupt = |event: &Event| matches!(event, Event::Corrupt { .. });
        corrupt += usize::from(world.hosts[1].events.iter().any(is_corrupt));
        assert_eq!(
            world.hosts[1].engine.machine().slab_bytes(),
            0,
            "{millis} ms"
        );
    }
    assert!(corrupt > 0, "no piece came wrong");
}

//! Engines among themselves.

use ripcurrent_proto::api::{Check, Command, Config, Event, Mode, Phase};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::Duration;

use crate::world::{TORRENT, World, add, torrent};

const LONG: Duration = Duration::from_secs(3600);

fn completed(world: &World, host: usize) -> bool {
    world.hosts[host]
        .events
        .contains(&Event::Completed { torrent: TORRENT })
}

/// A seed on host 0 and `leechers` more hosts that know it.
fn swarm(
    seed: u8,
    files: &[usize],
    piece_len: usize,
    leechers: usize,
    config: &Config,
) -> (World, Vec<u8>) {
    let (torrent, content) = torrent(piece_len, files);
    let mut world = World::new(seed);
    let first = world.host(config.clone());
    world.hosts[first].disk.fill(&torrent, &content);
    world.command(first, Command::Add(add(&torrent, Mode::Seed)));
    // A peer that comes while the seed still checks its data is turned away for a while.
    world.run_for(Duration::from_millis(1));
    for _ in 0..leechers {
        let leecher = world.host(config.clone());
        world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
        world.introduce(leecher, first);
        for other in 1..leecher {
            world.introduce(leecher, other);
        }
    }
    (world, content)
}

/// The main job: what a seed has, a leecher gets, whatever the files.
#[test]
fn a_leecher_gets_every_byte() {
    for files in [
        &[1][..],
        &[16384],
        &[100_000],
        &[10, 0, 70_000, 1, 1, 40_000],
    ] {
        let (mut world, content) = swarm(1, files, 32 * 1024, 1, &Config::default());
        let (torrent, _) = torrent(32 * 1024, files);
        world.run_until(LONG, |world| completed(world, 1));
        assert_eq!(world.hosts[1].disk.content(&torrent), content, "{files:?}");
        let now = world.now();
        let stats = world.hosts[1].engine.machine().stats(now, TORRENT).unwrap();
        assert_eq!((stats.phase, stats.wasted.total()), (Phase::Seeding, 0));
        assert_eq!(stats.bytes_had, content.len() as u64);
    }
}

/// Four leechers with one seed complete, and the run is a function of the seed alone. That debug and
/// release agree too takes two builds: the step `simulation` of `.ci/run` compares them, by the
/// digest that `ripcurrent sim` prints.
#[test]
fn a_swarm_completes_and_repeats_bit_for_bit() {
    let run = |seed| {
        let (mut world, content) = swarm(seed, &[3_000_000], 64 * 1024, 4, &Config::default());
        world.run_until(LONG, |world| (1..5).all(|host| completed(world, host)));
        let (torrent, _) = torrent(64 * 1024, &[3_000_000]);
        assert!((1..5).all(|host| world.hosts[host].disk.content(&torrent) == content));
        world
            .hosts
            .iter()
            .map(|host| host.engine.digest())
            .collect::<Vec<_>>()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// What comes in is passed on from the memory it came in, as long as that has room: the disk is hardly
/// read. With hardly any room each piece is read again, and both arrive.
#[test]
fn new_pieces_are_passed_on_without_a_look_at_the_disk() {
    let reads = |memory_budget| {
        let (torrent, content) = torrent(64 * 1024, &[6_000_000]);
        let mut world = World::new(4);
        let limited = Config {
            up_limit: std::num::NonZeroU64::new(300_000),
            ..Config::default()
        };
        let seed = world.host(limited);
        world.hosts[seed].disk.fill(&torrent, &content);
        world.command(seed, Command::Add(add(&torrent, Mode::Seed)));
        world.run_for(Duration::from_millis(1));
        // It receives faster than it sends.
        let between = world.host(Config {
            memory_budget,
            up_limit: std::num::NonZeroU64::new(100_000),
            ..Config::default()
        });
        let last = world.host(Config::default());
        for host in [between, last] {
            world.command(host, Command::Add(add(&torrent, Mode::Download)));
        }
        world.introduce(between, seed);
        world.introduce(last, between);
        world.run_until(LONG, |world| completed(world, last));
        assert_eq!(world.hosts[last].disk.content(&torrent), content);
        let chunks = content.len().div_ceil(64 * 1024);
        (world.hosts[between].disk.reads, chunks)
    };
    let (few, chunks) = reads(64 << 20);
    assert!(10 * few < chunks, "{few} of {chunks} were read");
    let (many, _) = reads(Config::LEAST_BUDGET);
    assert!(
        many > few,
        "{many} reads with hardly any room, {few} with plenty"
    );
}

/// A budget of a few pieces is enough, and every slab comes home.
#[test]
fn a_small_budget_suffices_and_nothing_leaks() {
    let config = Config {
        memory_budget: 1 << 20,
        ..Config::default()
    };
    let (mut world, _) = swarm(2, &[20_000_000], 256 * 1024, 3, &config);
    world.run_until(LONG, |world| {
        assert!(
            world
                .hosts
                .iter_mut()
                .all(|host| host.engine.machine().slab_bytes() <= 1 << 20)
        );
        (1..4).all(|host| completed(world, host))
    });
    (0..4).for_each(|host| world.command(host, Command::ShutDown));
    world.run_until(LONG, |world| {
        world
            .hosts
            .iter()
            .all(|host| host.events.contains(&Event::ShutDown))
    });
    for host in &mut world.hosts {
        assert_eq!(host.engine.machine().slab_bytes(), 0);
        assert!(host.engine.machine().is_shut_down());
    }
}

/// Shut down at any moment, an engine closes everything and brings every slab home.
#[test]
fn a_shutdown_at_any_moment_is_orderly() {
    for millis in (0..600).step_by(40) {
        let limit = std::num::NonZeroU64::new(4_000_000);
        let config = Config {
            down_limit: limit,
            ..Config::default()
        };
        let (mut world, _) = swarm(3, &[2_000_000], 64 * 1024, 2, &config);
        world.run_for(Duration::from_millis(millis));
        (0..3).for_each(|host| world.command(host, Command::ShutDown));
        world.run_until(LONG, |world| {
            world
                .hosts
                .iter()
                .all(|host| host.events.contains(&Event::ShutDown))
        });
        for host in &mut world.hosts {
            assert_eq!(host.engine.machine().slab_bytes(), 0, "after {millis} ms");
        }
    }
}

/// Only the wanted pieces are fetched.
#[test]
fn unwanted_pieces_stay_away() {
    let (torrent, content) = torrent(32 * 1024, &[320 * 1024]);
    let mut world = World::new(4);
    let seed = world.host(Config::default());
    world.hosts[seed].disk.fill(&torrent, &content);
    world.command(seed, Command::Add(add(&torrent, Mode::Seed)));
    let leecher = world.host(Config::default());
    let mut wanted = Bitfield::new(10);
    [2, 5]
        .into_iter()
        .for_each(|piece| assert!(wanted.insert(piece)));
    let add = ripcurrent_proto::api::Add {
        wanted: Some(wanted),
        ..add(&torrent, Mode::Download)
    };
    world.command(leecher, Command::Add(add));
    world.introduce(leecher, seed);
    world.run_until(LONG, |world| completed(world, leecher));
    let now = world.now();
    let stats = world.hosts[leecher]
        .engine
        .machine()
        .stats(now, TORRENT)
        .unwrap();
    assert_eq!((stats.pieces_had, stats.downloaded), (2, 2 * 32 * 1024));
}

/// What is there and right is found by hashing; what was damaged is fetched, and nothing else.
#[test]
fn existing_data_is_found_and_damage_is_mended() {
    let (torrent, content) = torrent(32 * 1024, &[300_000, 50_000]);
    let (mut world, _) = swarm(5, &[300_000, 50_000], 32 * 1024, 0, &Config::default());
    let leecher = world.host(Config::default());
    let mut damaged = content.clone();
    damaged[40_000] ^= 1;
    damaged[300_001] ^= 1;
    world.hosts[leecher].disk.fill(&torrent, &damaged);
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world.introduce(leecher, 0);
    world.run_until(LONG, |world| completed(world, leecher));
    assert_eq!(world.hosts[leecher].disk.content(&torrent), content);
    assert_eq!(world.hosts[leecher].disk.writes, 2);
    let pieces = content.len().div_ceil(32 * 1024) as u32 - 2;
    assert!(world.hosts[leecher].events.contains(&Event::Checked {
        torrent: TORRENT,
        pieces
    }));
}

/// A disk that fails stops the torrent with the file's name; nothing else happens to the engine.
#[test]
fn a_broken_disk_is_told_and_survived() {
    let (mut world, _) = swarm(6, &[1_000_000], 32 * 1024, 1, &Config::default());
    world.run_until(LONG, |world| world.hosts[1].disk.writes == 5);
    world.hosts[1].disk.refuse.insert("write");
    let failed = |event: &Event| {
        matches!(
            event,
            Event::DiskFailed {
                action: "write",
                ..
            }
        )
    };
    world.run_until(LONG, |world| world.hosts[1].events.iter().any(failed));
    world.command(1, Command::ShutDown);
    world.run_until(LONG, |world| {
        world.hosts[1].events.contains(&Event::ShutDown)
    });
    assert_eq!(world.hosts[1].engine.machine().slab_bytes(), 0);
    assert_eq!(world.hosts[1].disk.writes, 5);
}

/// A full disk is waited for, and told of once: nothing more is asked for meanwhile, no verified
/// piece is lost, and with room again everything is fetched without anybody's help.
#[test]
fn a_full_disk_is_waited_for() {
    let (mut world, content) = swarm(6, &[1_000_000], 32 * 1024, 1, &Config::default());
    world.hosts[1].disk.writes_left = Some(5);
    let is_full = |world: &mut World| world.stats(1, TORRENT).phase == Phase::Full;
    world.run_until(LONG, is_full);
    world.run_for(Duration::from_secs(20));
    let came = world.stats(1, TORRENT).downloaded;
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.stats(1, TORRENT).downloaded, came);
    assert!(is_full(&mut world));
    world.hosts[1].disk.writes_left = None;
    world.run_until(LONG, |world| completed(world, 1));
    let (torrent, _) = self::torrent(32 * 1024, &[1_000_000]);
    assert_eq!(world.hosts[1].disk.content(&torrent), content);
    let told = |is: fn(&Event) -> bool| world.hosts[1].events.iter().filter(|e| is(e)).count();
    assert_eq!(told(|event| matches!(event, Event::DiskFull { .. })), 1);
    assert_eq!(told(|event| matches!(event, Event::DiskRoom { .. })), 1);
    assert_eq!(world.stats(1, TORRENT).downloaded, 1_000_000);
}

/// A seed whose disk does not give what it promised loses its peers' trust, not its life.
#[test]
fn a_seed_that_cannot_read_rejects() {
    let (torrent, content) = torrent(32 * 1024, &[1_000_000]);
    let mut world = World::new(6);
    let seed = world.host(Config::default());
    world.hosts[seed].disk.fill(&torrent, &content);
    let trusting = ripcurrent_proto::api::Add {
        check: Check::Trust,
        ..add(&torrent, Mode::Seed)
    };
    world.command(seed, Command::Add(trusting));
    world.hosts[seed].disk.refuse.insert("read");
    let leecher = world.host(Config::default());
    world.command(leecher, Command::Add(add(&torrent, Mode::Download)));
    world.introduce(leecher, seed);
    world.run_for(Duration::from_secs(60));
    let failed = |event: &Event| matches!(event, Event::DiskFailed { action: "read", .. });
    assert!(world.hosts[seed].events.iter().any(failed));
    world.hosts[seed].disk.refuse.clear();
    world.run_until(LONG, |world| completed(world, leecher));
}

/// Rate limits hold to the byte in the long run.
#[test]
fn limits_are_kept() {
    let rate = std::num::NonZeroU64::new(100_000);
    let limits = [
        Config {
            down_limit: rate,
            ..Config::default()
        },
        Config {
            up_limit: rate,
            ..Config::default()
        },
    ];
    for config in limits {
        let (mut world, content) = swarm(8, &[2_000_000], 32 * 1024, 1, &config);
        world.run_until(LONG, |world| completed(world, 1));
        let seconds = world.now().as_micros() as f64 / 1e6;
        let fair = content.len() as f64 / 1e5;
        assert!(
            (0.95 * fair..1.10 * fair).contains(&seconds),
            "{seconds} s, {fair} s fair"
        );
    }
}

/// Two leechers with half the pieces each, and no seed, complete each other.
#[test]
fn halves_make_a_whole() {
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
    // Both dial at once: one of the two connections must survive.
    world.introduce(0, 1);
    world.introduce(1, 0);
    world.run_until(LONG, |world| completed(world, 0) && completed(world, 1));
    assert!((0..2).all(|host| world.hosts[host].disk.content(&torrent) == content));
}

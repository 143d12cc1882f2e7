//! Limits on single torrents, beside and below the one on all together.

use std::num::NonZeroU64;
use std::sync::Arc;

use ripcurrent_proto::api::{Add, Command, Config, Mode, Phase, TorrentStats};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::Torrent;

use crate::world::{TORRENT, World, add, torrent};

const OTHER: TorrentId = TorrentId(2);
const PIECE: usize = 32 * 1024;
const SIZE: usize = 8_000_000;
const SEED: usize = 0;
const LEECHER: usize = 1;
/// The longest that a scene lasts.
const SECONDS: u64 = 20;

/// Bytes per second; 0 for no limit.
#[derive(Clone, Copy, Default)]
struct Rates {
    all: u64,
    first: u64,
    second: u64,
}

/// Two torrents, and a leecher that fetches both from so many seeds, who dial it by turns.
struct Scene {
    world: World,
    works: [Arc<Torrent>; 2],
}

impl Scene {
    /// The limits hold where the leecher receives, or where the only seed sends.
    fn new(rates: Rates, receiving: bool, seeds: usize) -> Self {
        let mut world = World::new(3);
        world.slow_down(Duration::from_millis(5), Duration::ZERO);
        let works = [SIZE, SIZE - 1].map(|len| torrent(PIECE, &[len]));
        let none = Rates::default();
        let (up, down) = if receiving {
            (none, rates)
        } else {
            (rates, none)
        };
        for host in 0..=seeds {
            let limits = if host == LEECHER { down } else { up };
            let config = Config {
                down_limit: NonZeroU64::new(down.all).filter(|_| host == LEECHER),
                up_limit: NonZeroU64::new(up.all),
                ..Config::default()
            };
            world.host(config);
            for ((torrent, content), (id, rate)) in works
                .iter()
                .zip([(TORRENT, limits.first), (OTHER, limits.second)])
            {
                let mut add = Add {
                    id,
                    ..add(torrent, Mode::Download)
                };
                if host == LEECHER {
                    add.down_limit = NonZeroU64::new(rate);
                } else {
                    add.up_limit = NonZeroU64::new(rate);
                    world.hosts[host].disk.fill_as(id, torrent, content);
                }
                world.command(host, Command::Add(add));
            }
        }
        world.run_for(Duration::from_millis(100));
        for host in (0..=seeds).filter(|host| *host != LEECHER) {
            let (one, other) = if host % 2 == 0 {
                (LEECHER, host)
            } else {
                (host, LEECHER)
            };
            for id in [TORRENT, OTHER] {
                world.introduce_for(id, one, other);
            }
        }
        let works = works.map(|(torrent, _)| torrent);
        Scene { world, works }
    }

    fn stats(&mut self, id: TorrentId) -> TorrentStats {
        self.world.stats(LEECHER, id)
    }

    /// Bytes per second that came of each torrent.
    fn rates(&mut self) -> [f64; 2] {
        self.world.run_for(Duration::from_secs(SECONDS));
        [TORRENT, OTHER].map(|id| self.stats(id).downloaded as f64 / SECONDS as f64)
    }
}

fn is_about(rate: f64, limit: f64) -> bool {
    (0.96 * limit..1.05 * limit).contains(&rate)
}

/// A torrent keeps to its limit, in either direction and whoever dialled whom, and another one
/// without a limit is not held up by it.
#[test]
fn a_torrent_keeps_its_limit_and_holds_up_no_other() {
    let rates = Rates {
        first: 100_000,
        ..Rates::default()
    };
    for (receiving, seeds) in [(true, 1), (true, 4), (false, 1)] {
        let mut scene = Scene::new(rates, receiving, seeds);
        let [first, _] = scene.rates();
        assert!(is_about(first, 100_000.0), "{first} B/s, {receiving}");
        assert_eq!(scene.stats(OTHER).phase, Phase::Seeding, "{receiving}");
    }
}

/// The limit on all holds beside that of a torrent, and what the torrent leaves goes to the other.
#[test]
fn both_limits_hold_at_once() {
    let rates = Rates {
        all: 300_000,
        first: 50_000,
        second: 0,
    };
    for (receiving, seeds) in [(true, 1), (true, 4), (false, 1)] {
        let [first, second] = Scene::new(rates, receiving, seeds).rates();
        assert!(is_about(first, 50_000.0), "{first} B/s, {receiving}");
        assert!(
            is_about(first + second, 300_000.0),
            "{second} B/s, {receiving}"
        );
    }
}

/// Torrents that could take more than the limit on all share it evenly.
#[test]
fn torrents_share_the_limit_on_all() {
    let rates = Rates {
        all: 200_000,
        first: 150_000,
        second: 180_000,
    };
    for (receiving, seeds) in [(true, 1), (true, 4), (false, 1)] {
        let shares = Scene::new(rates, receiving, seeds).rates();
        for share in shares {
            assert!(
                (90_000.0..110_000.0).contains(&share),
                "{shares:?}, {receiving}"
            );
        }
    }
}

/// A torrent's limit changes on the way and is gone with the torrent; the other one keeps its own.
#[test]
fn a_limit_changes_on_the_way() {
    let rates = Rates {
        first: 20_000,
        second: 20_000,
        ..Rates::default()
    };
    let mut scene = Scene::new(rates, true, 1);
    scene.world.run_for(Duration::from_secs(5));
    let lifted = Command::SetTorrentLimits {
        torrent: TORRENT,
        down: None,
        up: None,
    };
    scene.world.command(LEECHER, lifted);
    scene.world.run_for(Duration::from_secs(5));
    assert_eq!(scene.stats(TORRENT).phase, Phase::Seeding);
    let slow = scene.stats(OTHER).downloaded;
    assert!(slow < 20_000 * 10 + 50_000, "{slow}");
    let data = ripcurrent_proto::api::Data::Delete;
    let gone = Command::Remove {
        torrent: OTHER,
        data,
    };
    scene.world.command(LEECHER, gone);
    scene.world.run_for(Duration::from_secs(5));
    let again = Add {
        id: OTHER,
        ..add(&scene.works[1], Mode::Download)
    };
    scene.world.command(LEECHER, Command::Add(again));
    scene.world.introduce_for(OTHER, LEECHER, SEED);
    scene.world.run_for(Duration::from_secs(5));
    assert_eq!(scene.stats(OTHER).phase, Phase::Seeding);
}

//! Some of those we meet mean harm.

use std::thread;

use crate::clients::hostile::{ATTACKS, Liar, besiege};
use crate::clients::ours::{self, Peer};
use crate::harness::{Content, Process, World, eventually};

/// One of three seeds puts a wrong byte into every fourth block: the download ends right, the liar
/// is banned and the honest are not.
#[test]
fn a_liar_is_banned_and_the_honest_are_not() {
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let liar = Liar::start(&torrent, 4);
    let (_one, one) = Peer::seed(&torrent).start_listening(&world);
    let (_other, other) = Peer::seed(&torrent).start_listening(&world);
    let folder = world.folder("fetched");
    let peer = Peer::download(&torrent, &folder)
        .knowing(liar.address)
        .knowing(one)
        .knowing(other);
    let mut download = peer.start(&world);
    download.succeed();
    assert!(torrent.is_whole_in(&folder));
    assert!(liar.lies() > 0, "the liar was never asked");
    let said = download.said();
    let banned: Vec<_> = said
        .lines()
        .filter(|line| line.contains("banned "))
        .collect();
    let is_named = |ip: String| banned.iter().any(|line| line.contains(&ip));
    assert!(is_named(liar.address.ip().to_string()), "{said}");
    assert!(
        !is_named(one.ip().to_string()) && !is_named(other.ip().to_string()),
        "{said}"
    );
}

/// A seed is attacked in every way there is, one after the other and then all at once, while 200
/// strangers connect and say nothing and an honest peer fetches from it: it serves on, within the
/// memory it said it would take.
#[test]
fn a_seed_under_attack_serves_on() {
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let (mut seed, address) = Peer::seed(&torrent)
        .with("--up-limit", "8MiB")
        .talkative()
        .start_listening(&world);
    for attack in ATTACKS {
        let is_broken_off = attack.dial(&torrent, address);
        assert!(seed.is_running(), "{} brought it down", attack.name);
        assert!(
            is_broken_off || !attack.is_broken_off,
            "{} was let pass",
            attack.name
        );
    }
    let folder = world.folder("fetched");
    let mut download = Peer::download(&torrent, &folder)
        .knowing(address)
        .start(&world);
    let _strangers = besiege(address, 200);
    thread::scope(|scope| {
        for attack in ATTACKS {
            scope.spawn(|| attack.dial(&torrent, address));
        }
    });
    download.succeed();
    assert!(torrent.is_whole_in(&folder));
    assert!(seed.is_running());
    assert_within_budget(&seed);
}

/// A download dials one honest seed and every kind of hostile one: it ends right, within the memory
/// it said it would take.
#[test]
fn a_download_among_enemies_ends_right() {
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let (_seed, honest) = Peer::seed(&torrent).start_listening(&world);
    let folder = world.folder("fetched");
    let mut peer = Peer::download_and_seed(&torrent, &folder)
        .with("--down-limit", "8MiB")
        .talkative();
    for attack in ATTACKS {
        peer = peer.knowing(attack.await_victims(&torrent));
    }
    let mut download = peer.knowing(honest).start(&world);
    eventually("everything is there", || {
        torrent.is_whole_in(&folder).then_some(())
    });
    assert!(download.is_running());
    assert_within_budget(&download);
}

/// The process took no more memory at once than it said at its start that it would.
#[track_caller]
fn assert_within_budget(process: &Process) {
    let (peak, budget) = (process.peak_memory(), ours::budget(process));
    assert!(peak <= budget, "{peak} bytes of at most {budget}");
}

//! The same over IPv6, all of it at `::1`.

use crate::clients::libtorrent::Libtorrent;
use crate::clients::ours::{self, Peer};
use crate::clients::scrape::wait_until_known;
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Program, World, eventually, has_ipv6};

/// We learn of libtorrent from the `peers6` of a tracker and get all from it.
#[test]
fn from_libtorrent() {
    if !has_ipv6() || !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker_at(&world, World::address6());
    let torrent = world.torrent(Content::File, &[&url]);
    let data = torrent.seed_folder();
    let _seed = Libtorrent::start_at(&world, &torrent, data, World::address6());
    wait_until_known(&url, &torrent, 1);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .at(World::address6())
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// libtorrent learns of us from the `peers6` of a tracker and gets all from us.
#[test]
fn to_libtorrent() {
    if !has_ipv6() || !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker_at(&world, World::address6());
    let torrent = world.torrent(Content::File, &[&url]);
    let _seed = Peer::seed(&torrent).at(World::address6()).start(&world);
    wait_until_known(&url, &torrent, 1);
    let folder = world.folder("fetched");
    let mut leecher = Libtorrent::start_at(&world, &torrent, &folder, World::address6());
    leecher.wait_until_complete();
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// Everything comes from Transmission.
#[test]
fn from_transmission() {
    if !has_ipv6() || !Program::all_here(&[Program::Transmission]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seed = Transmission::start6(&world, &torrent, torrent.seed_folder());
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .at(World::address6())
        .knowing(seed.address)
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// Our seed dials Transmission, and it gets all.
#[test]
fn to_transmission() {
    if !has_ipv6() || !Program::all_here(&[Program::Transmission]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let folder = world.folder("fetched");
    let leecher = Transmission::start6(&world, &torrent, &folder);
    let _seed = Peer::seed(&torrent)
        .at(World::address6())
        .knowing(leecher.address)
        .start(&world);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

//! Others fetch from us.

use crate::clients::aria2::Aria2;
use crate::clients::libtorrent::Libtorrent;
use crate::clients::ours::{self, Peer};
use crate::clients::qbittorrent::Qbittorrent;
use crate::clients::rtorrent;
use crate::clients::scrape::wait_until_known;
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Process, Program, Torrent, World, eventually};

/// libtorrent dials our seed and gets a folder with all its small and empty files.
#[test]
fn to_libtorrent() {
    if !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::Folder, &[]);
    let (_seed, address) = Peer::seed(&torrent).start_listening(&world);
    let folder = world.folder("fetched");
    let mut leecher = Libtorrent::start_knowing(&world, &torrent, &folder, &[address]);
    leecher.wait_until_complete();
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// Our seed dials Transmission, which takes no loopback address from anybody, and it gets all.
#[test]
fn to_transmission() {
    if !Program::all_here(&[Program::Transmission]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let folder = world.folder("fetched");
    let leecher = Transmission::start(&world, &torrent, &folder);
    let _seed = Peer::seed(&torrent).knowing(leecher.address).start(&world);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// aria2 learns of our seed from a tracker. It asks to encrypt, is refused, and gets all in plain
/// text.
#[test]
fn to_aria2() {
    if !Program::all_here(&[Program::Aria2]) {
        return;
    }
    let world = World::new();
    let (torrent, _running) = seed_on_a_tracker(&world);
    let folder = world.folder("fetched");
    let _leecher = Aria2::start(&world, &torrent, &folder);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// qBittorrent learns of our seed from a tracker and gets all.
#[test]
fn to_qbittorrent() {
    if !Program::all_here(&[Program::Qbittorrent]) {
        return;
    }
    let world = World::new();
    let (torrent, _running) = seed_on_a_tracker(&world);
    let folder = world.folder("fetched");
    let _leecher = Qbittorrent::start(&world, &torrent, &folder);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// rtorrent learns of our seed from a tracker and gets all.
#[test]
fn to_rtorrent() {
    if !Program::all_here(&[Program::Rtorrent]) {
        return;
    }
    let world = World::new();
    let (torrent, _running) = seed_on_a_tracker(&world);
    let folder = world.folder("fetched");
    let _leecher = rtorrent::start(&world, &torrent, &folder);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// Two of our own, one of which begins with nothing, meet by address alone.
#[test]
fn to_ourselves() {
    let world = World::new();
    let torrent = world.torrent(Content::Folder, &[]);
    let (_seed, address) = Peer::seed(&torrent).start_listening(&world);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(address)
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// What a download has fetched from one client it serves to the other.
#[test]
fn onwards_to_another() {
    if !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::File, &[&url]);
    let (_seed, seed) = Peer::seed(&torrent).start_listening(&world);
    let (ours, theirs) = (world.folder("ours"), world.folder("theirs"));
    let middle = Peer::download_and_seed(&torrent, &ours).knowing(seed);
    let (_middle, address) = middle.start_listening(&world);
    let mut leecher = Libtorrent::start_knowing(&world, &torrent, &theirs, &[address]);
    leecher.wait_until_complete();
    eventually("both have all bytes", || {
        (torrent.is_whole_in(&ours) && torrent.is_whole_in(&theirs)).then_some(())
    });
}

/// Our seed of a folder and our tracker, which knows it.
fn seed_on_a_tracker(world: &World) -> (Torrent, [Process; 2]) {
    let (tracker, url) = ours::tracker(world);
    let torrent = world.torrent(Content::Folder, &[&url]);
    let seed = Peer::seed(&torrent).start(world);
    wait_until_known(&url, &torrent, 1);
    (torrent, [tracker, seed])
}

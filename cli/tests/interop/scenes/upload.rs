//! Others fetch from us.

use crate::clients::libtorrent::Libtorrent;
use crate::clients::ours::{self, Peer};
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Program, World, eventually};

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

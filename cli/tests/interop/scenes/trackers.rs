//! Peers find each other through a tracker.

use crate::clients::libtorrent::Libtorrent;
use crate::clients::opentracker::Opentracker;
use crate::clients::ours::{self, Peer};
use crate::clients::scrape::wait_until_known;
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Program, World, eventually};

/// The others alone, as a control: where this fails, the fault is not ours.
#[test]
fn the_others_meet_through_opentracker() {
    use Program::{Libtorrent as L, Opentracker as O, Transmission as T};
    if !Program::all_here(&[T, L, O]) {
        return;
    }
    let world = World::new();
    let opentracker = Opentracker::new();
    let torrent = world.torrent(Content::File, &[&opentracker.url()]);
    let _tracker = opentracker.start(&world, &torrent);
    let _seed = Transmission::start(&world, &torrent, torrent.seed_folder());
    wait_until_known(&opentracker.url(), &torrent, 1);
    let folder = world.folder("fetched");
    let mut leecher = Libtorrent::start(&world, &torrent, &folder);
    leecher.wait_until_complete();
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// We learn of Transmission and of libtorrent through opentracker.
#[test]
fn we_find_seeds_through_opentracker() {
    use Program::{Libtorrent as L, Opentracker as O, Transmission as T};
    if !Program::all_here(&[T, L, O]) {
        return;
    }
    let world = World::new();
    let opentracker = Opentracker::new();
    let torrent = world.torrent(Content::File, &[&opentracker.url()]);
    let _tracker = opentracker.start(&world, &torrent);
    let _transmission = Transmission::start(&world, &torrent, torrent.seed_folder());
    let _libtorrent = Libtorrent::start_seeds(&world, &torrent, 1);
    wait_until_known(&opentracker.url(), &torrent, 2);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder).start(&world).succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// libtorrent learns of our seed through our own tracker.
#[test]
fn they_find_us_through_our_tracker() {
    if !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::File, &[&url]);
    let _seed = Peer::seed(&torrent).start(&world);
    wait_until_known(&url, &torrent, 1);
    let folder = world.folder("fetched");
    let mut leecher = Libtorrent::start(&world, &torrent, &folder);
    leecher.wait_until_complete();
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// Our seed learns of Transmission through our own tracker and dials it, as it must: Transmission
/// takes no loopback address from a tracker.
#[test]
fn we_find_a_leecher_through_our_tracker() {
    if !Program::all_here(&[Program::Transmission]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::File, &[&url]);
    let folder = world.folder("fetched");
    let _leecher = Transmission::start(&world, &torrent, &folder);
    wait_until_known(&url, &torrent, 1);
    let _seed = Peer::seed(&torrent).start(&world);
    eventually("the bytes are on the disk", || {
        torrent.is_whole_in(&folder).then_some(())
    });
}

/// Two of our own meet through our own tracker.
#[test]
fn we_find_ourselves_through_our_tracker() {
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::Folder, &[&url]);
    let _seed = Peer::seed(&torrent).start(&world);
    wait_until_known(&url, &torrent, 1);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder).start(&world).succeed();
    assert!(torrent.is_whole_in(&folder));
}

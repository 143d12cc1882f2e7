//! We fetch from others.

use std::fs;

use crate::clients::aria2::Aria2;
use crate::clients::libtorrent::Libtorrent;
use crate::clients::ours::{self, Peer};
use crate::clients::qbittorrent::Qbittorrent;
use crate::clients::rtorrent;
use crate::clients::scrape::wait_until_known;
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Program, World};

/// Everything comes from Transmission alone.
#[test]
fn from_transmission() {
    if !Program::all_here(&[Program::Transmission]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seed = Transmission::start(&world, &torrent, torrent.seed_folder());
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(seed.address)
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// Everything comes from libtorrent alone.
#[test]
fn from_libtorrent() {
    if !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seed = Libtorrent::start_seeds(&world, &torrent, 1);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(seed.address())
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// Everything comes from aria2 alone.
#[test]
fn from_aria2() {
    if !Program::all_here(&[Program::Aria2]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seed = Aria2::start(&world, &torrent, torrent.seed_folder());
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(seed.address)
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// Everything comes from qBittorrent alone.
#[test]
fn from_qbittorrent() {
    if !Program::all_here(&[Program::Qbittorrent]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seed = Qbittorrent::start(&world, &torrent, torrent.seed_folder());
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(seed.address)
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// Everything comes from rtorrent alone.
#[test]
fn from_rtorrent() {
    if !Program::all_here(&[Program::Rtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::File, &[&url]);
    let _seed = rtorrent::start(&world, &torrent, torrent.seed_folder());
    wait_until_known(&url, &torrent, 1);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder).start(&world).succeed();
    assert!(torrent.is_whole_in(&folder));
}

/// A folder with empty files and files smaller than a piece comes from both at once.
#[test]
fn a_folder_from_both_at_once() {
    if !Program::all_here(&[Program::Transmission, Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::Folder, &[]);
    let transmission = Transmission::start(&world, &torrent, torrent.seed_folder());
    let libtorrent = Libtorrent::start_seeds(&world, &torrent, 1);
    let folder = world.folder("fetched");
    Peer::download(&torrent, &folder)
        .knowing(transmission.address)
        .knowing(libtorrent.address())
        .start(&world)
        .succeed();
    assert!(torrent.is_whole_in(&folder));
    for path in ["empty first", "small/empty between", "zz empty last"] {
        let made = fs::metadata(torrent.content_in(&folder).join(path));
        assert_eq!(made.map(|data| data.len()).ok(), Some(0), "{path}");
    }
}

/// Of 45 seeds no more than 40 are spoken to at once, and many more than a few are.
#[test]
fn no_more_than_max_peers_at_once() {
    const SEEDS: usize = 45;
    const MOST: usize = 40;
    if !Program::all_here(&[Program::Libtorrent]) {
        return;
    }
    let world = World::new();
    let torrent = world.torrent(Content::File, &[]);
    let seeds = Libtorrent::start_seeds(&world, &torrent, SEEDS);
    let folder = world.folder("fetched");
    let mut peer = Peer::download(&torrent, &folder)
        .with("--max-peers", &MOST.to_string())
        // Slow enough for all connections to be there at once.
        .with("--down-limit", "4MiB");
    for address in &seeds.addresses {
        peer = peer.knowing(*address);
    }
    let from = peer.address().ip();
    let mut download = peer.start(&world);
    let mut most = 0;
    while download.is_running() {
        most = most.max(World::connections(from));
    }
    download.succeed();
    assert!(torrent.is_whole_in(&folder));
    assert!(
        (MOST / 2..=MOST).contains(&most),
        "{most} connections at once"
    );
}

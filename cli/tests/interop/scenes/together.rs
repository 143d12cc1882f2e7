//! Clients of several kinds at once.

use crate::clients::aria2::Aria2;
use crate::clients::libtorrent::Libtorrent;
use crate::clients::opentracker::Opentracker;
use crate::clients::ours::{self, Peer};
use crate::clients::qbittorrent::Qbittorrent;
use crate::clients::rtorrent;
use crate::clients::scrape::wait_until_known;
use crate::clients::transmission::Transmission;
use crate::harness::{Content, Program, World, eventually};

/// We fetch from aria2 and from rtorrent at once.
#[test]
fn two_kinds_serve_us() {
    if !Program::all_here(&[Program::Aria2, Program::Rtorrent]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::Folder, &[&url]);
    let _aria2 = Aria2::start(&world, &torrent, torrent.seed_folder());
    let _rtorrent = rtorrent::start(&world, &torrent, torrent.seed_folder());
    wait_until_known(&url, &torrent, 2);
    let folder = world.folder("fetched");
    let mut download = Peer::download(&torrent, &folder)
        // Slow enough for both to have their part in it.
        .with("--down-limit", &torrent.rate_to_take(2))
        .start(&world);
    download.succeed();
    assert!(torrent.is_whole_in(&folder));
    let said = download.said();
    assert!(said.contains("from at most 2 peers at once"), "{said}");
}

/// qBittorrent and aria2 fetch from us at once.
#[test]
fn we_serve_two_kinds() {
    if !Program::all_here(&[Program::Qbittorrent, Program::Aria2]) {
        return;
    }
    let world = World::new();
    let (_tracker, url) = ours::tracker(&world);
    let torrent = world.torrent(Content::File, &[&url]);
    let _seed = Peer::seed(&torrent)
        .with("--up-limit", &torrent.rate_to_take(2))
        .start(&world);
    wait_until_known(&url, &torrent, 1);
    let (one, other) = (world.folder("one"), world.folder("other"));
    let _qbittorrent = Qbittorrent::start(&world, &torrent, &one);
    let _aria2 = Aria2::start(&world, &torrent, &other);
    eventually("both have all bytes", || {
        (torrent.is_whole_in(&one) && torrent.is_whole_in(&other)).then_some(())
    });
}

/// Our seed begins alone. Six leechers, each another program, ours among them, meet through
/// opentracker. When the first of them has all bytes, the seed goes, and from each other every one
/// gets what it misses.
#[test]
fn a_swarm_of_six_kinds_completes() {
    use Program::{
        Aria2 as A, Libtorrent as L, Opentracker as O, Qbittorrent as Q, Rtorrent as R,
        Transmission as T,
    };
    if !Program::all_here(&[A, L, O, Q, R, T]) {
        return;
    }
    let world = World::new();
    let opentracker = Opentracker::new();
    let url = opentracker.url();
    let torrent = world.torrent(Content::File, &[&url]);
    let _tracker = opentracker.start(&world, &torrent);
    let seed = Peer::seed(&torrent)
        .with("--up-limit", &torrent.rate_to_take(8))
        .start(&world);
    wait_until_known(&url, &torrent, 1);
    let names = [
        "transmission",
        "aria2",
        "libtorrent",
        "qbittorrent",
        "rtorrent",
        "ours",
    ];
    let folders = names.map(|name| world.folder(name));
    let [transmission, aria2, libtorrent, qbittorrent, rtorrent, ours] = &folders;
    // It takes no loopback address from a tracker: who comes later dials it.
    let _transmission = Transmission::start(&world, &torrent, transmission);
    wait_until_known(&url, &torrent, 2);
    let _aria2 = Aria2::start(&world, &torrent, aria2);
    let _libtorrent = Libtorrent::start(&world, &torrent, libtorrent);
    let _qbittorrent = Qbittorrent::start(&world, &torrent, qbittorrent);
    let _rtorrent = rtorrent::start(&world, &torrent, rtorrent);
    let _ours = Peer::download_and_seed(&torrent, ours).start(&world);
    eventually("somebody has all bytes", || {
        let mut folders = folders.iter();
        folders.find(|folder| torrent.is_whole_in(folder))
    });
    drop(seed);
    for (name, folder) in names.iter().zip(&folders) {
        eventually(&format!("{name} has all bytes"), || {
            torrent.is_whole_in(folder).then_some(())
        });
    }
}

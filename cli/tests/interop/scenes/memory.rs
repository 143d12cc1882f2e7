//! How much memory a download takes.

use crate::clients::ours::{self, Peer};
use crate::harness::{Content, World, eventually};

/// Fetching from twenty seeds at once, a download takes no more memory than it said at its start
/// that it would, nor more than 150 MiB. `RIPCURRENT_MEMORY_MIB` is how much it fetches.
#[test]
fn a_download_from_twenty_peers_keeps_to_its_budget() {
    const SEEDS: usize = 20;
    const MOST: u64 = 150 << 20;
    let world = World::new();
    let torrent = world.torrent(Content::Large, &[]);
    let folder = world.folder("fetched");
    let mut seeds = Vec::new();
    let mut peer = Peer::download_and_seed(&torrent, &folder)
        .talkative()
        // Long enough for all to be seen at once.
        .with("--down-limit", &torrent.rate_to_take(3));
    for _ in 0..SEEDS {
        let seed = Peer::seed(&torrent);
        peer = peer.knowing(seed.address());
        seeds.push(seed.start(&world));
    }
    for seed in &mut seeds {
        seed.wait_until_said("seeding until");
    }
    let mut download = peer.start(&world);
    download.wait_until_said(" complete; ");
    let (peak, budget) = (download.peak_memory(), ours::budget(&download));
    assert!(torrent.is_whole_in(&folder));
    let said = download.said();
    assert!(said.contains("from at most 20 peers at once"), "{said}");
    println!("VmHWM {} MiB of at most {} MiB", peak >> 20, budget >> 20);
    assert!(peak <= budget, "{peak} bytes of at most {budget}");
    assert!(peak <= MOST, "{peak} bytes of at most {MOST}");
}

/// Over either backend, fetching several torrents at once, each from seeds of its own and one with
/// many files, takes no more memory than was said at the start.
#[test]
fn several_downloads_at_once_keep_to_one_budget() {
    const SEEDS_OF_EACH: usize = 2;
    let contents = [
        Content::Numbered(1),
        Content::Numbered(2),
        Content::Numbered(3),
        Content::Folder,
    ];
    // Each is made in a world of its own, of which it is the one torrent.
    let worlds = contents.map(|content| {
        let world = World::new();
        let torrent = world.torrent(content, &[]);
        (world, torrent)
    });
    let torrents = worlds.each_ref().map(|(_, torrent)| torrent);
    let world = World::new();
    let mut addresses = Vec::new();
    let mut seeds = Vec::new();
    for torrent in torrents {
        for _ in 0..SEEDS_OF_EACH {
            let (seed, address) = Peer::seed(torrent).start_listening(&world);
            seeds.push(seed);
            addresses.push(address);
        }
    }
    for backend in ["tokio-uring", "epoll"] {
        let folder = world.folder(backend);
        let mut peer = Peer::download_and_seed(torrents[0], &folder)
            .talkative()
            .with("--backend", backend)
            // Long enough for all to be under way at once.
            .with("--torrent-down-limit", &torrents[0].rate_to_take(2));
        for torrent in &torrents[1..] {
            peer = peer.and(torrent);
        }
        for address in &addresses {
            peer = peer.knowing(*address);
        }
        let mut download = peer.start(&world);
        eventually("all torrents are there", || {
            assert!(download.is_running());
            let mut all = torrents.iter();
            all.all(|torrent| torrent.is_whole_in(&folder))
                .then_some(())
        });
        let (peak, budget) = (download.peak_memory(), ours::budget(&download));
        println!(
            "{backend}: VmHWM {} MiB of at most {} MiB",
            peak >> 20,
            budget >> 20
        );
        assert!(peak <= budget, "{peak} bytes of at most {budget}");
    }
}

//! How much memory a download takes.

use crate::clients::ours::{self, Peer};
use crate::harness::{Content, World};

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

//! The peers of one torrent.
//!
//! Invariant: `places` has every peer of `leechers` and `seeds` once, with where it stands there,
//! and `by_age` every peer once, with its last announce.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use crate::tracker::announce::Peer;
use crate::tracker::scrape::Counts;

#[derive(Debug, Default)]
pub(super) struct Swarm {
    leechers: Vec<Peer>,
    seeds: Vec<Peer>,
    places: BTreeMap<SocketAddr, Place>,
    by_age: BTreeSet<(Instant, SocketAddr)>,
    downloaded: u32,
    /// The last announce of a peer that stays.
    pub(super) touched: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    is_seed: bool,
    index: usize,
    seen: Instant,
}

impl Swarm {
    /// Remembers a peer, in place of what was known of its address.
    pub(super) fn put(
        &mut self,
        now: Instant,
        peer: Peer,
        is_seed: bool,
        completed: bool,
        peers_max: usize,
    ) {
        let was_seed = self.remove(peer.addr);
        // A tale told twice counts once.
        if completed && is_seed && was_seed != Some(true) {
            self.downloaded = self.downloaded.saturating_add(1);
        }
        if self.places.len() >= peers_max
            && let Some((_, stalest)) = self.by_age.first().copied()
        {
            self.remove(stalest);
        }
        let peers = self.side(is_seed);
        let index = peers.len();
        peers.push(peer);
        let place = Place {
            is_seed,
            index,
            seen: now,
        };
        self.places.insert(peer.addr, place);
        self.by_age.insert((now, peer.addr));
        self.touched = now;
    }

    /// Forgets a peer; whether it was a seed, if it was known.
    pub(super) fn remove(&mut self, addr: SocketAddr) -> Option<bool> {
        let place = self.places.remove(&addr)?;
        self.by_age.remove(&(place.seen, addr));
        let peers = self.side(place.is_seed);
        peers.swap_remove(place.index);
        if let Some(moved) = peers.get(place.index).map(|peer| peer.addr)
            && let Some(moved) = self.places.get_mut(&moved)
        {
            moved.index = place.index;
        }
        Some(place.is_seed)
    }

    /// Forgets the peers that have not announced for `expiry`.
    pub(super) fn expire(&mut self, now: Instant, expiry: Duration) {
        while let Some((seen, addr)) = self.by_age.first().copied()
            && seen + expiry <= now
        {
            self.remove(addr);
        }
    }

    /// Up to `most` peers that can be of use to the one at `asking`, each choice as likely as any
    /// other. Takes time in proportion to `most`, however large the swarm.
    pub(super) fn choose(
        &self,
        asking: SocketAddr,
        is_seed: bool,
        most: usize,
        rng: &mut Rng,
    ) -> Vec<Peer> {
        let seeds = if is_seed { 0 } else { self.seeds.len() };
        let candidates = self.leechers.len() + seeds;
        // One more, for the one who asks may be among them.
        let indices = sample(candidates, most.saturating_add(1), rng);
        let peers = indices.into_iter().map(|index| {
            let leecher = self.leechers.get(index);
            *leecher.unwrap_or_else(|| &self.seeds[index - self.leechers.len()])
        });
        let others = peers.filter(|peer| peer.addr != asking);
        others.take(most).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            complete: self.seeds.len() as u32,
            incomplete: self.leechers.len() as u32,
            downloaded: self.downloaded,
        }
    }

    fn side(&mut self, is_seed: bool) -> &mut Vec<Peer> {
        if is_seed {
            &mut self.seeds
        } else {
            &mut self.leechers
        }
    }
}

/// `size` different numbers below `range`, or all of them, in random order (Floyd's algorithm).
fn sample(range: usize, size: usize, rng: &mut Rng) -> Vec<usize> {
    let size = size.min(range);
    let mut chosen = BTreeSet::new();
    for top in range - size..range {
        let drawn = rng.index(top + 1);
        if !chosen.insert(drawn) {
            chosen.insert(top);
        }
    }
    let mut chosen: Vec<usize> = chosen.into_iter().collect();
    rng.shuffle(&mut chosen);
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number comes about as often as any other.
    #[test]
    fn a_sample_is_fair_and_without_repetition() {
        let mut rng = Rng::from_seed([5; 32]);
        let mut times = [0; 10];
        for _ in 0..10_000 {
            let sample = sample(10, 3, &mut rng);
            assert_eq!(sample.len(), 3);
            assert_eq!(sample.iter().collect::<BTreeSet<_>>().len(), 3);
            for number in sample {
                times[number] += 1;
            }
        }
        assert!(
            times.iter().all(|n| (2_800..3_200).contains(n)),
            "{times:?}"
        );
        assert_eq!(sample(0, 3, &mut rng), []);
        assert_eq!(sample(2, 9, &mut rng).len(), 2);
    }
}

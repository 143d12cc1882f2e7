//! The memory of a small tracker: which peers are in which swarms.
//!
//! Invariants: a peer is in a swarm once, under the address it can be reached at; what is kept is
//! bounded by [`Settings`]; and whoever has not announced for [`Settings::expiry`] is told to
//! nobody.

mod swarm;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::announce::{Announce, Event, Peer, Told};
use super::scrape::Counts;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};
use swarm::Swarm;

/// The most peers in one answer.
pub const PEERS_TOLD_MAX: usize = 200;

/// The peers in an answer to a client that does not say how many it wants.
const PEERS_TOLD: u32 = 50;

type InfoHash = [u8; 20];

/// What the keeper of a tracker decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often a peer is to announce.
    pub interval: Duration,
    /// How soon it may at the earliest.
    pub min_interval: Duration,
    /// How long a peer is remembered after its last announce.
    pub expiry: Duration,
    /// The most swarms.
    pub swarms_max: usize,
    /// The most peers of one swarm; the one silent for longest makes room.
    pub peers_max: usize,
}

impl Default for Settings {
    /// Half an hour, one minute, a little over an hour; 1,000 swarms of 2,000 peers take about
    /// 500 MB at the very worst.
    fn default() -> Self {
        Settings {
            interval: Duration::from_secs(30 * 60),
            min_interval: Duration::from_secs(60),
            expiry: Duration::from_secs(65 * 60),
            swarms_max: 1_000,
            peers_max: 2_000,
        }
    }
}

/// Why an announce is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody could connect to port 0.
    #[error("port 0 cannot be reached")]
    Port,
    /// There is no room for another swarm.
    #[error("the tracker is full")]
    Full,
}

/// The swarms of a tracker.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
    rng: Rng,
    swarms: BTreeMap<InfoHash, Swarm>,
    /// Every swarm by its last announce.
    by_age: BTreeSet<(Instant, InfoHash)>,
}

impl Registry {
    /// A tracker that knows nobody.
    #[must_use]
    pub fn new(settings: Settings, rng: Rng) -> Self {
        Registry {
            settings,
            rng,
            swarms: BTreeMap::new(),
            by_age: BTreeSet::new(),
        }
    }

    /// A peer at `from` announces: remembers or forgets it, and tells it of others. A peer that
    /// misses nothing is not told of others like it.
    ///
    /// # Errors
    /// If it cannot be reached or there is no room.
    pub fn announce(
        &mut self,
        now: Instant,
        from: IpAddr,
        announce: &Announce,
    ) -> Result<Told, Refused> {
        self.expire(now);
        let stops = announce.event == Some(Event::Stopped);
        if announce.port == 0 && !stops {
            return Err(Refused::Port);
        }
        let is_new = !self.swarms.contains_key(&announce.info_hash);
        if is_new && (stops || self.swarms.len() >= self.settings.swarms_max) {
            let nobody = self.told(Counts::default(), Vec::new());
            return if stops {
                Ok(nobody)
            } else {
                Err(Refused::Full)
            };
        }
        let swarm = self.swarms.entry(announce.info_hash).or_default();
        swarm.expire(now, self.settings.expiry);
        let peer = Peer {
            addr: SocketAddr::new(from.to_canonical(), announce.port),
            peer_id: announce.peer_id,
        };
        let peers = if stops {
            swarm.remove(peer.addr);
            Vec::new()
        } else {
            self.by_age.remove(&(swarm.touched, announce.info_hash));
            self.by_age.insert((now, announce.info_hash));
            let completed = announce.event == Some(Event::Completed);
            let is_seed = announce.left == 0;
            swarm.put(now, peer, is_seed, completed, self.settings.peers_max);
            let wanted = announce.want_peers.unwrap_or(PEERS_TOLD) as usize;
            swarm.choose(
                peer.addr,
                is_seed,
                wanted.min(PEERS_TOLD_MAX),
                &mut self.rng,
            )
        };
        let counts = swarm.counts();
        Ok(self.told(counts, peers))
    }

    /// The sizes of swarms, by ascending info-hash; unknown ones are left out.
    pub fn scrape(&mut self, now: Instant, info_hashes: &[InfoHash]) -> Vec<(InfoHash, Counts)> {
        self.expire(now);
        let asked: BTreeSet<_> = info_hashes.iter().collect();
        let mut found = Vec::new();
        for info_hash in asked {
            if let Some(swarm) = self.swarms.get_mut(info_hash) {
                swarm.expire(now, self.settings.expiry);
                found.push((*info_hash, swarm.counts()));
            }
        }
        found
    }

    /// How many swarms are remembered.
    #[must_use]
    pub fn swarms(&self) -> usize {
        self.swarms.len()
    }

    fn told(&self, counts: Counts, peers: Vec<Peer>) -> Told {
        Told {
            interval: self.settings.interval,
            min_interval: self.settings.min_interval,
            complete: counts.complete,
            incomplete: counts.incomplete,
            peers,
        }
    }

    /// Forgets the swarms in which nobody has announced for long.
    fn expire(&mut self, now: Instant) {
        while let Some((touched, info_hash)) = self.by_age.first().copied()
            && touched + self.settings.expiry <= now
        {
            self.by_age.pop_first();
            self.swarms.remove(&info_hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};

    const HASH: InfoHash = [7; 20];

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn registry() -> Registry {
        Registry::new(Settings::default(), Rng::from_seed([1; 32]))
    }

    /// The announce of the peer at 10.0.x.y, and that address.
    fn peer(number: u16, left: u64) -> (IpAddr, Announce) {
        let [high, low] = number.to_be_bytes();
        let announce = Announce {
            info_hash: HASH,
            peer_id: [low; 20],
            port: 6881,
            uploaded: 0,
            downloaded: 0,
            left,
            event: None,
            want_peers: None,
            key: None,
            tracker_id: None,
            compact: true,
        };
        (Ipv4Addr::new(10, 0, high, low).into(), announce)
    }

    fn announce(registry: &mut Registry, now: u64, who: &(IpAddr, Announce)) -> Told {
        registry.announce(at(now), who.0, &who.1).unwrap()
    }

    fn addresses(told: &Told) -> BTreeSet<IpAddr> {
        told.peers.iter().map(|peer| peer.addr.ip()).collect()
    }

    /// Leechers hear of everybody but themselves, seeds of leechers alone.
    #[test]
    fn everybody_hears_of_whom_it_can_use() {
        let mut registry = registry();
        let (leech, other) = (peer(1, 10), peer(2, 10));
        let (seed, second) = (peer(3, 0), peer(4, 0));
        assert!(announce(&mut registry, 0, &leech).peers.is_empty());
        for who in [&other, &seed, &second] {
            announce(&mut registry, 0, who);
        }
        let told = announce(&mut registry, 1, &leech);
        assert_eq!(addresses(&told), [other.0, seed.0, second.0].into());
        assert_eq!((told.complete, told.incomplete), (2, 2));
        let told = announce(&mut registry, 1, &seed);
        assert_eq!(addresses(&told), [leech.0, other.0].into());
    }

    /// A leecher that completes is a seed from then on, and counts as one download, once.
    #[test]
    fn a_completed_download_changes_sides() {
        let mut registry = registry();
        announce(&mut registry, 0, &peer(1, 10));
        let mut done = peer(1, 0);
        done.1.event = Some(Event::Completed);
        let told = announce(&mut registry, 1, &done);
        assert_eq!((told.complete, told.incomplete), (1, 0));
        announce(&mut registry, 2, &done);
        let counts = registry.scrape(at(2), &[[9; 20], HASH, HASH]);
        let expected = Counts {
            complete: 1,
            incomplete: 0,
            downloaded: 1,
        };
        assert_eq!(counts, [(HASH, expected)]);
    }

    /// Who stops is told to nobody, and hears of nobody.
    #[test]
    fn who_stops_is_gone() {
        let mut registry = registry();
        announce(&mut registry, 0, &peer(1, 10));
        announce(&mut registry, 0, &peer(2, 10));
        let mut leaving = peer(1, 10);
        leaving.1.event = Some(Event::Stopped);
        assert!(announce(&mut registry, 1, &leaving).peers.is_empty());
        assert!(announce(&mut registry, 2, &peer(2, 10)).peers.is_empty());
        // Not even a stranger's goodbye makes a swarm.
        leaving.1.info_hash = [8; 20];
        announce(&mut registry, 3, &leaving);
        assert_eq!(registry.swarms(), 1);
    }

    /// Who falls silent is forgotten, and so is a swarm in which all have.
    #[test]
    fn who_falls_silent_is_forgotten() {
        let mut registry = registry();
        let expiry = Settings::default().expiry.as_secs();
        announce(&mut registry, 0, &peer(1, 10));
        announce(&mut registry, 10, &peer(2, 10));
        let told = announce(&mut registry, expiry - 1, &peer(3, 10));
        assert_eq!(addresses(&told), [peer(1, 0).0, peer(2, 0).0].into());
        let told = announce(&mut registry, expiry, &peer(3, 10));
        assert_eq!(addresses(&told), [peer(2, 0).0].into());
        assert_eq!(
            registry.scrape(at(2 * expiry - 1), &[HASH])[0].1.incomplete,
            1
        );
        assert_eq!(registry.scrape(at(2 * expiry), &[HASH]), []);
        assert_eq!(registry.swarms(), 0);
    }

    /// An answer has as many peers as were wanted, never more than the bound, each once; over many
    /// answers everybody is told.
    #[test]
    fn a_choice_is_bounded_and_fair() {
        let mut registry = registry();
        for number in 0..500 {
            announce(&mut registry, 0, &peer(number, 10));
        }
        let mut asking = peer(600, 10);
        assert_eq!(announce(&mut registry, 0, &asking).peers.len(), 50);
        asking.1.want_peers = Some(0);
        assert!(announce(&mut registry, 0, &asking).peers.is_empty());
        asking.1.want_peers = Some(u32::MAX);
        let mut heard_of = BTreeSet::new();
        for _ in 0..40 {
            let told = announce(&mut registry, 0, &asking);
            assert_eq!(told.peers.len(), PEERS_TOLD_MAX);
            let once = addresses(&told);
            assert_eq!(once.len(), PEERS_TOLD_MAX);
            assert!(!once.contains(&asking.0));
            heard_of.extend(once);
        }
        assert_eq!(heard_of.len(), 500);
    }

    /// Both families are told to everybody, and an IPv4 peer over an IPv6 socket is one of IPv4.
    #[test]
    fn both_families_meet() {
        let mut registry = registry();
        let mut six = peer(1, 10);
        six.0 = Ipv6Addr::LOCALHOST.into();
        announce(&mut registry, 0, &six);
        let mut mapped = peer(2, 10);
        let IpAddr::V4(four) = mapped.0 else {
            panic!("{} is IPv4", mapped.0);
        };
        mapped.0 = four.to_ipv6_mapped().into();
        let told = announce(&mut registry, 0, &mapped);
        assert_eq!(addresses(&told), [six.0].into());
        let told = announce(&mut registry, 0, &six);
        assert_eq!(addresses(&told), [IpAddr::V4(four)].into());
    }

    /// In a full swarm the peer silent for longest makes room; a full tracker takes no new swarm.
    #[test]
    fn what_is_remembered_is_bounded() {
        let settings = Settings {
            swarms_max: 2,
            peers_max: 3,
            ..Settings::default()
        };
        let mut registry = Registry::new(settings, Rng::from_seed([1; 32]));
        for number in 0..4 {
            announce(
                &mut registry,
                number.into(),
                &peer(number, u64::from(number % 2)),
            );
        }
        let told = announce(&mut registry, 5, &peer(1, 1));
        assert_eq!(addresses(&told), [peer(2, 0).0, peer(3, 0).0].into());
        let mut elsewhere = peer(1, 10);
        elsewhere.1.info_hash = [8; 20];
        announce(&mut registry, 6, &elsewhere);
        elsewhere.1.info_hash = [9; 20];
        let refused = registry.announce(at(6), elsewhere.0, &elsewhere.1);
        assert_eq!(refused, Err(Refused::Full));
    }

    #[test]
    fn a_peer_without_a_port_is_refused() {
        let mut nowhere = peer(1, 10);
        nowhere.1.port = 0;
        let refused = registry().announce(at(0), nowhere.0, &nowhere.1);
        assert_eq!(refused, Err(Refused::Port));
    }
}

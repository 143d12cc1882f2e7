//! Floor 2: which peers of a torrent are unchoked (BEP 3, "choking").
//!
//! Invariant: no more peers are unchoked than there are slots, and only interested ones that miss
//! something. The choker keeps no books: each round it is told all it needs, so nothing can be
//! forgotten when peers come and go.
//!
//! While we download, all slots but one go to those that give us most (tit for tat). The last one,
//! and each that nobody earns, is *optimistic*: its peer has it for [`OPTIMISTIC`] and is then
//! replaced by a random one that waits, a newcomer three times as likely as others. A peer that
//! snubs us can have no other (BEP 3, "anti-snubbing").
//!
//! While we seed, peers take turns: the one longest without goes first, those never served before
//! all. A turn ends after [`TURN`] or [`TURN_BYTES`], whichever is first, but lasts one round at
//! least; a fast peer's turns are short and a slow one's few bytes do not hold a slot for ever. When
//! there are slots for all, nobody is choked, and the fast ones go before where there are too few.

use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::base::id::ConnId;
use crate::base::rng::Rng;
use crate::base::time::{Duration, Instant};

/// How often the caller asks for a decision.
pub const ROUND: Duration = Duration::from_secs(10);

/// How long a peer has an optimistic slot while others wait.
pub const OPTIMISTIC: Duration = Duration::from_secs(30);

/// How long a peer counts as a newcomer, from its connection.
pub const NEWCOMER: Duration = Duration::from_secs(60);

/// How long a turn lasts at most while we seed and others wait.
pub const TURN: Duration = Duration::from_secs(60);

/// How many bytes end a turn while we seed and others wait.
pub const TURN_BYTES: u64 = 32 << 20;

/// How much likelier a newcomer gets an optimistic slot.
const NEWCOMER_WEIGHT: u64 = 3;

/// What the choker is told of a peer.
#[derive(Clone, Copy, Debug)]
pub struct PeerView {
    /// The peer.
    pub conn: ConnId,
    /// Whether it wants something of us.
    pub interested: bool,
    /// Whether we let it have something.
    pub unchoked: bool,
    /// Bytes per second it gives us.
    pub down_rate: u64,
    /// Bytes per second we give it.
    pub up_rate: u64,
    /// Whether it owes us blocks for long (BEP 3: over a minute).
    pub snubbed: bool,
    /// When it was connected.
    pub connected_at: Instant,
    /// When it was unchoked last, choked again or not.
    pub unchoked_at: Option<Instant>,
    /// Whether it has every piece: it needs no slot.
    pub has_all: bool,
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Unchoked peers to choke.
    pub choke: Vec<ConnId>,
    /// Choked peers to unchoke.
    pub unchoke: Vec<ConnId>,
}

/// The choker of one torrent.
#[derive(Debug)]
pub struct Choker {
    rng: Rng,
    slots: usize,
}

impl Choker {
    /// At most `slots` peers will be unchoked at a time, the optimistic ones included.
    #[must_use]
    pub fn new(rng: Rng, slots: usize) -> Self {
        Choker { rng, slots }
    }

    /// Whether a peer that becomes interested between rounds, and misses something, may be unchoked
    /// at once, when `unchoked` peers are.
    #[must_use]
    pub fn vacancy(&self, unchoked: usize) -> bool {
        unchoked < self.slots
    }

    /// Decides anew. To be asked each [`ROUND`] with all peers. O(peers x log peers).
    pub fn round(&mut self, now: Instant, seeding: bool, peers: &[PeerView]) -> Decision {
        let eligible = peers.iter().filter(|peer| peer.interested && !peer.has_all);
        let eligible: Vec<&PeerView> = eligible.collect();
        let mut chosen = if seeding {
            self.take_turns(now, eligible)
        } else {
            self.reciprocate(now, eligible)
        };
        chosen.sort_unstable();
        let mut decision = Decision::default();
        for peer in peers {
            match (chosen.binary_search(&peer.conn).is_ok(), peer.unchoked) {
                (true, false) => decision.unchoke.push(peer.conn),
                (false, true) => decision.choke.push(peer.conn),
                _ => {}
            }
        }
        decision
    }

    fn reciprocate(&mut self, now: Instant, mut peers: Vec<&PeerView>) -> Vec<ConnId> {
        // Among equals those that have a slot keep it.
        peers.sort_by_key(|peer| Reverse((earned(peer), peer.unchoked)));
        // A single slot is earned: nobody would give anything for a chance that all have alike.
        let regular = if self.slots > 1 { self.slots - 1 } else { 1 };
        let earners = peers.iter().take_while(|peer| earned(peer) > 0).count();
        let rest = peers.split_off(earners.min(regular).min(self.slots));
        let mut chosen: Vec<ConnId> = peers.iter().map(|peer| peer.conn).collect();

        let left = self.slots - chosen.len();
        let (mut tenants, mut waiting) = (Vec::new(), Vec::new());
        let mut expired = Vec::new();
        for peer in rest {
            match tenure(now, peer) {
                Some(tenure) if tenure < OPTIMISTIC => tenants.push((tenure, peer)),
                Some(_) => expired.push(peer),
                None => waiting.push(peer),
            }
        }
        tenants.sort_by_key(|(tenure, _)| *tenure);
        chosen.extend(tenants.iter().take(left).map(|(_, peer)| peer.conn));
        while chosen.len() < self.slots && !waiting.is_empty() {
            chosen.push(self.draw(now, &mut waiting));
        }
        let vacant = self.slots - chosen.len();
        chosen.extend(expired.iter().take(vacant).map(|peer| peer.conn));
        chosen
    }

    /// Takes a random one out of those that wait.
    fn draw(&mut self, now: Instant, waiting: &mut Vec<&PeerView>) -> ConnId {
        let weight = |peer: &PeerView| {
            if now.since(peer.connected_at) < NEWCOMER {
                NEWCOMER_WEIGHT
            } else {
                1
            }
        };
        let total = waiting.iter().map(|peer| weight(peer)).sum();
        let mut ticket = self.rng.below(total);
        let drawn = waiting.iter().position(|peer| {
            let won = ticket < weight(peer);
            ticket = ticket.saturating_sub(weight(peer));
            won
        });
        waiting.swap_remove(drawn.unwrap_or(0)).conn
    }

    fn take_turns(&mut self, now: Instant, mut peers: Vec<&PeerView>) -> Vec<ConnId> {
        // Chance decides between those that wait equally long.
        self.rng.shuffle(&mut peers);
        peers.sort_by_key(|peer| match tenure(now, peer) {
            Some(tenure) if !turn_is_over(tenure, peer) => (0, 0),
            // `None`, never served, is before all instants.
            None => (1, peer.unchoked_at.map_or(0, |at| at.as_micros() + 1)),
            Some(_) => (2, u64::MAX - peer.up_rate),
        });
        peers.truncate(self.slots);
        peers.iter().map(|peer| peer.conn).collect()
    }
}

/// What earns a peer a slot: nothing if it snubs us.
fn earned(peer: &PeerView) -> u64 {
    if peer.snubbed { 0 } else { peer.down_rate }
}

/// For how long a peer has had its slot.
fn tenure(now: Instant, peer: &PeerView) -> Option<Duration> {
    let since = peer.unchoked_at.unwrap_or(now);
    peer.unchoked.then(|| now.since(since))
}

/// Whether a peer has had its share, or takes nothing.
fn turn_is_over(tenure: Duration, peer: &PeerView) -> bool {
    let bytes = u128::from(peer.up_rate) * tenure.as_millis() / 1000;
    let share = tenure >= TURN || bytes >= u128::from(TURN_BYTES) || bytes == 0;
    tenure >= ROUND && share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use alloc::vec;

    /// A crowd that lives by the decisions, one round after the other.
    struct Scene {
        choker: Choker,
        slots: usize,
        now: Instant,
        seeding: bool,
        peers: Vec<PeerView>,
        /// Rounds in which each was unchoked.
        served: Vec<u32>,
    }

    impl Scene {
        fn new(slots: usize, seeding: bool) -> Self {
            Scene {
                choker: Choker::new(Rng::from_seed([4; 32]), slots),
                slots,
                now: Instant::from_micros(1_000_000_000),
                seeding,
                peers: Vec::new(),
                served: Vec::new(),
            }
        }

        /// An interested peer, connected long ago.
        fn add(&mut self, down_rate: u64) -> usize {
            let number = self.peers.len();
            self.peers.push(PeerView {
                conn: ConnId(Id::from_parts(number as u32, 0)),
                interested: true,
                unchoked: false,
                down_rate,
                up_rate: 10_000,
                snubbed: false,
                connected_at: Instant::ZERO,
                unchoked_at: None,
                has_all: false,
            });
            self.served.push(0);
            number
        }

        fn add_all(&mut self, down_rates: impl IntoIterator<Item = u64>) {
            for rate in down_rates {
                self.add(rate);
            }
        }

        fn round(&mut self) -> Decision {
            self.now += ROUND;
            let decision = self.choker.round(self.now, self.seeding, &self.peers);
            for (peer, served) in self.peers.iter_mut().zip(&mut self.served) {
                assert!(peer.unchoked || !decision.choke.contains(&peer.conn));
                assert!(!peer.unchoked || !decision.unchoke.contains(&peer.conn));
                if decision.unchoke.contains(&peer.conn) {
                    peer.unchoked_at = Some(self.now);
                    peer.unchoked = true;
                } else if decision.choke.contains(&peer.conn) {
                    peer.unchoked = false;
                }
                assert!(!peer.unchoked || (peer.interested && !peer.has_all));
                *served += u32::from(peer.unchoked);
            }
            assert!(self.unchoked() <= self.slots);
            decision
        }

        fn rounds(&mut self, rounds: u32) {
            for _ in 0..rounds {
                self.round();
            }
        }

        fn unchoked(&self) -> usize {
            self.peers.iter().filter(|peer| peer.unchoked).count()
        }
    }

    /// Those that give most are kept round after round; those that give nothing share the one
    /// optimistic slot, each a while.
    #[test]
    fn reciprocators_are_kept_and_free_riders_get_optimistic_slots_only() {
        let mut scene = Scene::new(4, false);
        scene.add_all([50, 60, 70]);
        let riders: Vec<usize> = (0..6).map(|_| scene.add(0)).collect();
        scene.rounds(600);
        assert_eq!(scene.served[..3], [600; 3]);
        let shared: u32 = riders.iter().map(|rider| scene.served[*rider]).sum();
        assert_eq!(shared, 600);
        for rider in riders {
            assert!(
                (50..200).contains(&scene.served[rider]),
                "{:?}",
                scene.served
            );
        }
    }

    /// A peer gets its optimistic slot for thirty seconds, not for one round.
    #[test]
    fn an_optimistic_slot_lasts_three_rounds() {
        let mut scene = Scene::new(1, false);
        scene.add_all([0; 5]);
        let changes: Vec<usize> = (0..9).map(|_| scene.round().unchoke.len()).collect();
        assert_eq!(changes, [1, 0, 0, 1, 0, 0, 1, 0, 0]);
    }

    /// One that begins to give more than others takes the place of the least.
    #[test]
    fn a_better_reciprocator_takes_the_slot_of_the_least() {
        let mut scene = Scene::new(3, false);
        let (least, most, late) = (scene.add(10), scene.add(30), scene.add(0));
        scene.add(0);
        scene.add(0);
        scene.rounds(10);
        scene.peers[late].down_rate = 20;
        scene.served.fill(0);
        scene.rounds(100);
        assert_eq!((scene.served[most], scene.served[late]), (100, 100));
        assert!(scene.served[least] < 50);
    }

    /// A newcomer among many gets its first chance about three times as often as the others.
    #[test]
    fn newcomers_get_their_chance_sooner() {
        let mut won = 0;
        for seed in 0..200 {
            let mut scene = Scene::new(1, false);
            scene.choker = Choker::new(Rng::from_seed([seed; 32]), 1);
            scene.add_all([0; 7]);
            let newcomer = scene.add(0);
            scene.peers[newcomer].connected_at = scene.now;
            scene.round();
            won += scene.served[newcomer];
        }
        // 3 of 10 tickets, 200 draws.
        assert!((40..80).contains(&won), "{won}");
    }

    /// A snubbing peer loses the slot that its rate of old would earn.
    #[test]
    fn a_snubbing_peer_is_left_to_chance() {
        let mut scene = Scene::new(2, false);
        let snubber = scene.add(1000);
        scene.add_all([1; 8]);
        scene.rounds(10);
        assert_eq!(scene.served[snubber], 10);
        scene.peers[snubber].snubbed = true;
        scene.served.fill(0);
        scene.rounds(200);
        assert!((1..80).contains(&scene.served[snubber]));
    }

    /// With slots for all, all are unchoked and nobody is ever choked for the sake of change; those
    /// that need nothing are not.
    #[test]
    fn free_slots_are_given_to_whoever_is_interested() {
        for seeding in [false, true] {
            let mut scene = Scene::new(8, seeding);
            scene.add_all([0, 1, 0, 1, 0]);
            let (bored, full) = (scene.add(5), scene.add(5));
            scene.peers[bored].interested = false;
            scene.peers[full].has_all = true;
            scene.rounds(50);
            assert_eq!(scene.served, [50, 50, 50, 50, 50, 0, 0]);
            assert!(scene.choker.vacancy(scene.unchoked()) && !scene.choker.vacancy(8));
            scene.peers[0].interested = false;
            assert_eq!(scene.round().choke, [scene.peers[0].conn]);
        }
    }

    /// A seed serves everybody in turn, whatever they give; nobody waits much longer than others.
    #[test]
    fn a_seed_serves_everybody_in_turn() {
        let mut scene = Scene::new(4, true);
        scene.add_all(0..20);
        scene.rounds(30 * 5);
        assert!(scene.served.iter().all(|served| (24..=36).contains(served)));
        let late = scene.add(0);
        scene.rounds(6);
        assert!(scene.served[late] > 0, "a fresh peer goes first");
    }

    /// Turns are shares of bytes: the fast are soon done, the idle at once, the slow after a minute.
    #[test]
    fn a_turn_ends_by_bytes_or_by_time() {
        let mut scene = Scene::new(1, true);
        let rates = [0, 10_000, TURN_BYTES.div_ceil(30), TURN_BYTES];
        for rate in rates {
            let number = scene.add(0);
            scene.peers[number].up_rate = rate;
        }
        scene.rounds(11 * 20);
        assert_eq!(scene.served, [20, 120, 60, 20]);
    }

    /// No slots, no peers unchoked; no peers, nothing to decide.
    #[test]
    fn nothing_is_decided_from_nothing() {
        let mut scene = Scene::new(0, false);
        assert_eq!(scene.round(), Decision::default());
        scene.add(100);
        scene.rounds(3);
        assert_eq!(scene.served, vec![0]);
    }
}

//! Floor 2: which peers of a torrent are unchoked (BEP 3, "choking").
//!
//! Invariant: after a round no more peers are unchoked than there are slots, and only interested ones
//! that miss something. The choker keeps no books: each round it is told all it needs, so nothing can
//! be forgotten when peers come and go.
//!
//! While we download, all slots but one go to those that give us most (tit for tat). The last one,
//! and each that nobody earns, is *optimistic*: its peer has it for [`OPTIMISTIC`] and is then
//! replaced by a random one that waits, a newcomer three times as likely as others. A peer that
//! snubs us can have no other (BEP 3, "anti-snubbing"). A debtor, who took much and gave little, has
//! its chance after all others, and no more than one debtor at a time: who rides free must wait for
//! the seeds.
//!
//! While we seed, most slots go to those to whom blocks flow fastest, so that whole copies spread
//! soon. A quarter of the slots, one at least, goes round: each that waits has one for [`OPTIMISTIC`],
//! or for one round if it takes nothing, and keeps a slot if it proves to be fast. Whoever waits
//! longest is next; one never served counts as if it had waited [`HEAD_START`] longer, so that fresh
//! peers soon have something to trade. Who comes later than that after a peer began to wait goes
//! behind it: nobody is starved, however many come, or come again.
//!
//! A seed whose line can give many peers [`SEED_SLOT_RATE`] each has slots for all of those: in a
//! flash crowd the sooner many have something, and not the same, the sooner their lines are of use.
//! A hundred leechers were busy ten seconds sooner with a seed of forty slots than with one of eight.
//!
//! Debtors aside, nobody is choked while there are slots for all. A slot that falls vacant between
//! rounds is given to whoever would be the next to have one.

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

/// How much longer than it did a peer counts as having waited that we never served while we seed:
/// long enough for a newcomer to go before a crowd of some dozens that all had their turn.
pub const HEAD_START: Duration = Duration::from_secs(30 * 60);

/// How long a slot may stand vacant before the caller asks who is to have it.
pub const VACANCY: Duration = Duration::from_secs(1);

/// While we seed, there are slots for as many peers as each get this many bytes per second.
pub const SEED_SLOT_RATE: u64 = 64 * 1024;

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
    /// When it was unchoked or, after that, choked last; `None` if it was never unchoked.
    pub switched_at: Option<Instant>,
    /// Whether it has every piece: it needs no slot.
    pub has_all: bool,
    /// Whether it took much of us and gave little: see [`is_debtor`].
    pub in_debt: bool,
}

/// What a peer may have had of us, in bytes, beyond twice of what it gave.
pub const DEBT_MAX: u64 = 1 << 20;

/// Whether a peer that gave us `given` bytes and took `taken` took much and gave little.
#[must_use]
pub fn is_debtor(given: u64, taken: u64) -> bool {
    taken > given.saturating_mul(2).saturating_add(DEBT_MAX)
}

/// What is to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Unchoked peers to choke.
    pub choke: Vec<ConnId>,
    /// Choked peers to unchoke.
    pub unchoke: Vec<ConnId>,
}

/// A choice half made: slots are given, to the best first, and others want one.
struct Choice<'a> {
    slots: usize,
    chosen: Vec<&'a PeerView>,
    /// Choked peers.
    waiting: Vec<&'a PeerView>,
    /// Unchoked peers whose turn is over, the best first.
    expired: Vec<&'a PeerView>,
}

impl PeerView {
    /// Whether a slot is of use to it.
    fn is_eligible(&self) -> bool {
        self.interested && !self.has_all
    }
}

impl Decision {
    /// What leads to `chosen` and no others having a slot.
    fn towards(mut chosen: Vec<ConnId>, peers: &[PeerView]) -> Self {
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
}

impl Choice<'_> {
    fn room(&self) -> usize {
        self.slots - self.chosen.len()
    }

    /// Whether one more slot may go to this peer: to a debtor only if no other has one.
    fn admits(&self, peer: &PeerView) -> bool {
        !peer.in_debt || self.chosen.iter().all(|chosen| !chosen.in_debt)
    }

    /// Slots that nobody waits for are kept by those that have them.
    fn finish(mut self) -> Vec<ConnId> {
        for peer in core::mem::take(&mut self.expired) {
            if self.room() > 0 && self.admits(peer) {
                self.chosen.push(peer);
            }
        }
        self.chosen.iter().map(|peer| peer.conn).collect()
    }
}

/// The choker of one torrent.
#[derive(Debug)]
pub struct Choker {
    rng: Rng,
    slots: usize,
}

impl Choker {
    /// At most `slots` peers will be unchoked at a time, the optimistic ones included; more while we
    /// seed and are fast, unless it is zero.
    #[must_use]
    pub fn new(rng: Rng, slots: usize) -> Self {
        Choker { rng, slots }
    }

    /// Whether a peer that becomes interested between rounds, and misses something, may be unchoked
    /// at once, when `unchoked` peers are and all together get `up_rate` bytes per second.
    #[must_use]
    pub fn vacancy(&self, seeding: bool, up_rate: u64, unchoked: usize) -> bool {
        unchoked < self.slots(seeding, up_rate)
    }

    /// Decides anew. To be asked each [`ROUND`] with all peers. O(peers x log peers).
    pub fn round(&mut self, now: Instant, seeding: bool, peers: &[PeerView]) -> Decision {
        let slots = self.slots(seeding, peers.iter().map(|peer| peer.up_rate).sum());
        let eligible: Vec<&PeerView> = peers.iter().filter(|peer| peer.is_eligible()).collect();
        let chosen = if seeding {
            self.spread(now, slots, eligible)
        } else {
            self.reciprocate(now, slots, eligible)
        };
        Decision::towards(chosen, peers)
    }

    /// Gives slots that fell vacant to those that wait, and takes none but from those that need
    /// theirs no more. To be asked between rounds with all peers. O(peers x log peers).
    pub fn fill(&mut self, now: Instant, seeding: bool, peers: &[PeerView]) -> Decision {
        let slots = self.slots(seeding, peers.iter().map(|peer| peer.up_rate).sum());
        let eligible = peers.iter().filter(|peer| peer.is_eligible());
        let (kept, waiting): (Vec<&PeerView>, Vec<&PeerView>) =
            eligible.partition(|peer| peer.unchoked);
        let mut choice = Choice {
            slots: slots.max(kept.len()),
            chosen: kept,
            waiting,
            expired: peers
                .iter()
                .filter(|peer| peer.unchoked && !peer.is_eligible())
                .collect(),
        };
        if seeding {
            self.serve_next(&mut choice);
        } else {
            self.draw_all(now, &mut choice);
        }
        Decision::towards(choice.finish(), peers)
    }

    /// How many peers may be unchoked at once.
    fn slots(&self, seeding: bool, up_rate: u64) -> usize {
        if !seeding || self.slots == 0 {
            return self.slots;
        }
        self.slots.max((up_rate / SEED_SLOT_RATE) as usize)
    }

    /// While we download: those that give most, and chance.
    fn reciprocate(&mut self, now: Instant, slots: usize, peers: Vec<&PeerView>) -> Vec<ConnId> {
        // A single slot is earned: nobody would give anything for a chance that all have alike.
        let regular = if slots > 1 { slots - 1 } else { 1 };
        let mut choice = best(now, slots, peers, regular, earned, |_| OPTIMISTIC);
        self.draw_all(now, &mut choice);
        choice.finish()
    }

    /// While we seed: those that take fastest, and turns.
    fn spread(&mut self, now: Instant, slots: usize, mut peers: Vec<&PeerView>) -> Vec<ConnId> {
        // Chance decides between those that are equally fast.
        self.rng.shuffle(&mut peers);
        let turns = (slots / 4).max(1);
        let regular = slots.saturating_sub(turns);
        let mut choice = best(now, slots, peers, regular, taken, turn);
        self.serve_next(&mut choice);
        choice.finish()
    }

    /// Gives what slots are left to those that have waited longest.
    fn serve_next(&mut self, choice: &mut Choice<'_>) {
        // Chance decides between those that have waited equally long.
        self.rng.shuffle(&mut choice.waiting);
        choice.waiting.sort_by_key(|peer| queued_at(peer));
        let next = choice.waiting.iter().take(choice.room());
        choice.chosen.extend(next);
    }

    /// Gives what slots are left by chance; to debtors after all others.
    fn draw_all(&mut self, now: Instant, choice: &mut Choice<'_>) {
        let waiting = core::mem::take(&mut choice.waiting);
        let (debtors, others): (Vec<&PeerView>, Vec<&PeerView>) =
            waiting.into_iter().partition(|peer| peer.in_debt);
        for mut group in [others, debtors] {
            while choice.room() > 0 && group.first().is_some_and(|peer| choice.admits(peer)) {
                let drawn = self.draw(now, &mut group);
                choice.chosen.push(drawn);
            }
        }
    }

    /// Takes a random one out of those that wait.
    fn draw<'a>(&mut self, now: Instant, waiting: &mut Vec<&'a PeerView>) -> &'a PeerView {
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
        waiting.swap_remove(drawn.unwrap_or(0))
    }
}

/// Gives `regular` slots to those with the most merit, if they have any, and the others to those
/// whose turn is not over.
fn best<'a>(
    now: Instant,
    slots: usize,
    mut peers: Vec<&'a PeerView>,
    regular: usize,
    merit: fn(&PeerView) -> u64,
    turn: fn(&PeerView) -> Duration,
) -> Choice<'a> {
    // Among equals those that have a slot keep it.
    peers.sort_by_key(|peer| Reverse((merit(peer), peer.unchoked)));
    let worthy = peers.iter().take_while(|peer| merit(peer) > 0).count();
    let rest = peers.split_off(worthy.min(regular).min(slots));
    let mut choice = Choice {
        slots,
        chosen: peers,
        waiting: Vec::new(),
        expired: Vec::new(),
    };
    let mut tenants = Vec::new();
    for peer in rest {
        match tenure(now, peer) {
            Some(tenure) if tenure < turn(peer) => tenants.push((tenure, peer)),
            Some(_) => choice.expired.push(peer),
            None => choice.waiting.push(peer),
        }
    }
    tenants.sort_by_key(|(tenure, _)| *tenure);
    let kept = tenants.iter().take(choice.room());
    choice.chosen.extend(kept.map(|(_, peer)| peer));
    choice
}

/// What earns a peer a slot: nothing if it snubs us.
fn earned(peer: &PeerView) -> u64 {
    if peer.snubbed { 0 } else { peer.down_rate }
}

/// What earns a peer a slot while we seed: how fast it takes what it is given.
fn taken(peer: &PeerView) -> u64 {
    if peer.unchoked { peer.up_rate } else { 0 }
}

/// How long a peer's turn lasts while we seed and others wait.
fn turn(peer: &PeerView) -> Duration {
    if taken(peer) > 0 { OPTIMISTIC } else { ROUND }
}

/// Since when a peer waits for its turn: the earlier, the sooner it has it.
fn queued_at(peer: &PeerView) -> Instant {
    match peer.switched_at {
        Some(choked_at) => choked_at + HEAD_START,
        None => peer.connected_at,
    }
}

/// For how long a peer has had its slot.
fn tenure(now: Instant, peer: &PeerView) -> Option<Duration> {
    let since = peer.switched_at.unwrap_or(now);
    peer.unchoked.then(|| now.since(since))
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
                up_rate: 100,
                snubbed: false,
                connected_at: Instant::ZERO,
                switched_at: None,
                has_all: false,
                in_debt: false,
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
            self.obey(&decision);
            for (peer, served) in self.peers.iter().zip(&mut self.served) {
                assert!(!peer.unchoked || peer.is_eligible());
                *served += u32::from(peer.unchoked);
            }
            decision
        }

        fn fill(&mut self) -> Decision {
            self.now += VACANCY;
            let decision = self.choker.fill(self.now, self.seeding, &self.peers);
            self.obey(&decision);
            decision
        }

        fn obey(&mut self, decision: &Decision) {
            for peer in &mut self.peers {
                assert!(peer.unchoked || !decision.choke.contains(&peer.conn));
                assert!(!peer.unchoked || !decision.unchoke.contains(&peer.conn));
                let unchoked = decision.unchoke.contains(&peer.conn);
                if unchoked || decision.choke.contains(&peer.conn) {
                    peer.switched_at = Some(self.now);
                    peer.unchoked = unchoked;
                }
            }
            assert!(self.unchoked() <= self.slots);
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

    /// Debtors have nothing while others wait, share one slot where nobody else does, and lose
    /// nothing that they earn.
    #[test]
    fn debtors_go_last_and_have_one_slot_at_most() {
        let mut scene = Scene::new(4, false);
        scene.add_all([50, 0, 0, 0, 0, 0, 0, 0, 0]);
        scene.peers[..5]
            .iter_mut()
            .for_each(|peer| peer.in_debt = true);
        scene.rounds(100);
        assert_eq!(scene.served[0], 100, "it gives");
        assert_eq!(scene.served[1..5], [0; 4]);
        scene.peers[5..]
            .iter_mut()
            .for_each(|peer| peer.interested = false);
        scene.peers[0].in_debt = false;
        scene.rounds(100);
        let shared: u32 = scene.served[1..5].iter().sum();
        assert_eq!(shared, 100, "one at a time");
        assert!(scene.served[1..5].iter().all(|served| *served > 10));
    }

    /// Twice of what it gave and a little, and no more.
    #[test]
    fn a_debtor_took_much_and_gave_little() {
        assert!(!is_debtor(0, DEBT_MAX) && is_debtor(0, DEBT_MAX + 1));
        assert!(!is_debtor(DEBT_MAX, 3 * DEBT_MAX) && is_debtor(DEBT_MAX, 3 * DEBT_MAX + 1));
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
            assert!(scene.choker.vacancy(seeding, 0, scene.unchoked()));
            assert!(!scene.choker.vacancy(seeding, 0, 8));
            scene.peers[0].interested = false;
            assert_eq!(scene.round().choke, [scene.peers[0].conn]);
        }
    }

    /// What a peer needs no more another has at once; nobody else loses anything.
    #[test]
    fn a_vacant_slot_is_given_to_the_next() {
        for seeding in [false, true] {
            let mut scene = Scene::new(4, seeding);
            scene.add_all([0; 6]);
            scene.round();
            assert_eq!(scene.fill(), Decision::default());
            let sated = scene.peers.iter().position(|peer| peer.unchoked).unwrap();
            scene.peers[sated].interested = false;
            let decision = scene.fill();
            assert_eq!(decision.choke, [scene.peers[sated].conn]);
            assert_eq!((decision.unchoke.len(), scene.unchoked()), (1, 4));
            let waiting = scene.peers.iter_mut().filter(|peer| !peer.unchoked);
            waiting.for_each(|peer| peer.interested = false);
            let bored = scene.peers.iter().position(|peer| peer.unchoked).unwrap();
            scene.peers[bored].interested = false;
            assert_eq!(scene.fill(), Decision::default(), "nobody waits");
        }
    }

    /// A seed serves as many as its line can serve well; one that downloads does not give away what
    /// others would give for.
    #[test]
    fn a_fast_seed_has_more_slots() {
        for (seeding, slots) in [(true, 10), (false, 4)] {
            let mut scene = Scene::new(4, seeding);
            scene.add_all([0; 20]);
            scene.round();
            assert_eq!(scene.unchoked(), 4);
            for peer in &mut scene.peers {
                peer.up_rate = SEED_SLOT_RATE / 2;
            }
            scene.slots = slots;
            scene.fill();
            assert_eq!(scene.unchoked(), slots);
            scene.rounds(10);
            assert_eq!(scene.unchoked(), slots);
            let vacancy = |unchoked| {
                let up_rate = 10 * SEED_SLOT_RATE;
                scene.choker.vacancy(seeding, up_rate, unchoked)
            };
            assert!(vacancy(slots - 1) && !vacancy(slots));
        }
    }

    /// A seed finds the fast and keeps them, however late they come; the others share what goes
    /// round, each its turn.
    #[test]
    fn a_seed_keeps_the_fast_and_lets_the_others_take_turns() {
        let mut scene = Scene::new(4, true);
        scene.add_all([0; 20]);
        let fast = [3, 9, 15];
        for peer in fast {
            scene.peers[peer].up_rate = 20_000;
        }
        scene.rounds(3 * 20);
        scene.served.fill(0);
        scene.rounds(3 * 17 * 5);
        assert_eq!(fast.map(|peer| scene.served[peer]), [3 * 17 * 5; 3]);
        for peer in (0..20).filter(|peer| !fast.contains(peer)) {
            assert_eq!(scene.served[peer], 3 * 5, "peer {peer}");
        }
        let faster = scene.add(0);
        scene.peers[faster].up_rate = 30_000;
        scene.peers[faster].connected_at = scene.now;
        scene.rounds(4);
        scene.served.fill(0);
        scene.rounds(100);
        assert_eq!(scene.served[faster], 100);
    }

    /// Where all are equally fast, all are served alike in the long run.
    #[test]
    fn a_seed_serves_equals_alike() {
        let mut scene = Scene::new(8, true);
        scene.add_all([0; 20]);
        scene.rounds(4000);
        let mean = 4000 * 8 / 20;
        let alike = mean * 3 / 4..mean * 5 / 4;
        assert!(
            scene.served.iter().all(|served| alike.contains(served)),
            "{:?}",
            scene.served
        );
    }

    /// A fresh peer is next in a crowd in which everybody had a turn lately, even with one slot.
    #[test]
    fn a_seed_serves_a_fresh_peer_next() {
        let mut scene = Scene::new(1, true);
        scene.add_all([0; 30]);
        scene.rounds(3 * 40);
        let late = scene.add(0);
        scene.peers[late].connected_at = scene.now;
        scene.rounds(3);
        assert!(scene.served[late] > 0);
    }

    /// Newcomers without end do not keep a peer from its next turn for ever.
    #[test]
    fn a_flood_of_newcomers_starves_nobody() {
        let mut scene = Scene::new(1, true);
        let first = scene.add(0);
        scene.rounds(3);
        assert_eq!(scene.served[first], 3);
        // Three newcomers come in the time of one turn; those of the head start go first.
        let ahead = (HEAD_START.as_millis() / ROUND.as_millis()) as u32 + 4;
        for _ in 0..3 * ahead {
            let late = scene.add(0);
            scene.peers[late].connected_at = scene.now;
            scene.round();
        }
        assert!(scene.served[first] > 3);
    }

    /// The turn of one that takes nothing is over after a round, that of others after three.
    #[test]
    fn an_idle_peer_has_a_short_turn() {
        let mut scene = Scene::new(1, true);
        scene.add_all([0; 4]);
        scene.peers[2].up_rate = 0;
        scene.rounds(10 * 20);
        assert_eq!(scene.served, [60, 60, 20, 60]);
    }

    /// Who has no slots to give serves nobody, whatever he is given.
    #[test]
    fn without_slots_nobody_is_served() {
        for seeding in [false, true] {
            let mut scene = Scene::new(0, seeding);
            scene.add_all([0, 1000, 2000]);
            assert!(!scene.choker.vacancy(seeding, 10 * SEED_SLOT_RATE, 0));
            assert_eq!(scene.round(), Decision::default());
            assert_eq!(scene.fill(), Decision::default());
        }
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

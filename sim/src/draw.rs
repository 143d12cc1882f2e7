//! A scenario of one's own for each seed: up to thirty hosts, a torrent of 8 to 64 MiB, and several
//! things that go wrong at once.
//!
//! Whatever is drawn can come to a good end: there is an *anchor*, a seed that stays and whose disk
//! never lies; the first tracker behaves but for a time; every fault ends; and nothing befalls
//! leechers but what an honest client must survive. So a run that fails has found a bug. Rates are
//! high: what is tested is the order of things, and a second in which nothing happens tests nothing.

mod dice;
mod trouble;

use ripcurrent_proto::base::rng::Rng;

use crate::adversary::Kind;
use crate::scenario::{
    Arrival, ClientPlan, ContentForm, End, FaultKind, Group, OnFinish, Role, Scenario, Share, Size,
    TorrentPlan, TrackerPlan,
};
use dice::{Dice, KIB, MIB};

/// The name of the group that is spared the worst.
const ANCHOR: &str = "anchor";

/// The scenario of `seed`.
#[must_use]
pub fn draw(seed: u64) -> Scenario {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = Rng::from_seed(bytes);
    let torrent = torrent(&mut Dice::new(rng.fork("torrent")));
    let groups = groups(&mut Dice::new(rng.fork("groups")));
    let trackers = Dice::new(rng.fork("trackers")).between(1, 3);
    let mut scenario = Scenario {
        torrent,
        trackers: vec![TrackerPlan::default(); trackers as usize],
        groups,
        faults: Vec::new(),
        end: End {
            within_s: 3600,
            ..End::default()
        },
    };
    let mut dice = Dice::new(rng.fork("trouble"));
    let kinds = dice.between(2, 5) as usize;
    let adversaries_drawn = dice.between(0, 2) as usize;
    for kind in dice.pick_some(adversaries_drawn, &Kind::ALL) {
        let group = adversaries(&mut dice, scenario.hosts(), kind);
        scenario.groups.push(group);
    }
    trouble::add(&mut scenario, &mut dice, kinds - adversaries_drawn);
    // Of what a disk has changed since it was written nobody can tell who gave it.
    let lies = |kind: &FaultKind| {
        matches!(
            kind,
            FaultKind::BitFlips(_) | FaultKind::MisdirectedReads(_)
        )
    };
    let mut dice = Dice::new(rng.fork("long pieces"));
    if dice.one_in(5) && !scenario.faults.iter().any(|fault| lies(&fault.kind)) {
        lengthen(&mut dice, &mut scenario.torrent, &mut scenario.groups);
    }
    scenario
}

fn torrent(dice: &mut Dice) -> TorrentPlan {
    let size = dice.skewed(8 * MIB, 64 * MIB);
    let files = match dice.one_in(3) {
        false => vec![Size(size)],
        true => dice.split(size),
    };
    TorrentPlan {
        files,
        piece_length: Size((64 * KIB) << dice.between(0, 3)),
        private: dice.one_in(4),
        content: ContentForm::Auto,
    }
}

/// Pieces are longer than what many leechers may hold of them.
fn lengthen(dice: &mut Dice, torrent: &mut TorrentPlan, groups: &mut [Group]) {
    torrent.piece_length = Size(MIB << dice.between(0, 2));
    for group in groups.iter_mut().filter(|group| group.role.fetches()) {
        let budget = Size(dice.between(1, 4) * MIB);
        group.client.memory_budget = Some(budget).filter(|_| !dice.one_in(4));
    }
}

/// The anchor, perhaps a second seed, and one to three kinds of leechers.
fn groups(dice: &mut Dice) -> Vec<Group> {
    let mut groups = vec![seeds(dice, ANCHOR, OnFinish::Stay)];
    if dice.one_in(3) {
        let leaves = OnFinish::SeedRatio(Share(dice.between(500, 2000)));
        groups.push(seeds(dice, "other-seed", leaves));
    }
    let kinds = dice.between(1, 3);
    for name in ["early", "late", "odd"].into_iter().take(kinds as usize) {
        groups.push(leechers(dice, name, 21 / kinds));
    }
    // Somebody wants the torrent from the start.
    let first = groups.iter_mut().find(|group| group.role.fetches());
    first.expect("there is a kind").arrival = Arrival::AtOnce;
    groups
}

fn seeds(dice: &mut Dice, name: &str, on_finish: OnFinish) -> Group {
    Group {
        name: name.into(),
        role: Role::Seed,
        adversary: None,
        count: 1,
        up: dice.rate(MIB, 8 * MIB),
        down: dice.rate(MIB, 8 * MIB),
        latency_ms: dice.latency_ms(),
        arrival: Arrival::AtOnce,
        on_finish,
        has: Share::default(),
        client: ClientPlan::default(),
    }
}

fn leechers(dice: &mut Dice, name: &str, most: u64) -> Group {
    let up = dice.rate(256 * KIB, 4 * MIB);
    let arrival = match dice.between(0, 3) {
        0 => Arrival::AtOnce,
        1 => Arrival::AfterS(dice.between(1, 15)),
        2 => Arrival::SpreadS([0, dice.between(1, 30)]),
        _ => Arrival::GapMs(dice.between(200, 3000)),
    };
    let on_finish = match dice.between(0, 3) {
        0 => OnFinish::Leave,
        1 => OnFinish::SeedS(dice.between(1, 20)),
        2 => OnFinish::SeedRatio(Share(dice.between(200, 1500))),
        _ => OnFinish::Stay,
    };
    let has = match dice.one_in(4) {
        true => Share(dice.between(1, 900)),
        false => Share::default(),
    };
    Group {
        name: name.into(),
        role: Role::Leecher,
        adversary: None,
        count: dice.between(3, most) as usize,
        up,
        down: dice.rate(up.0, 16 * MIB),
        latency_ms: dice.latency_ms(),
        arrival,
        on_finish,
        has,
        client: client(dice),
    }
}

/// Hosts that misbehave, fewer than a third of so many others.
fn adversaries(dice: &mut Dice, others: usize, kind: Kind) -> Group {
    let most = (others as u64 / 3).clamp(1, 5);
    Group {
        name: kind.to_string(),
        role: Role::Adversary,
        adversary: Some(kind),
        count: dice.between(1, most) as usize,
        up: dice.rate(256 * KIB, 8 * MIB),
        down: dice.rate(256 * KIB, 8 * MIB),
        latency_ms: dice.latency_ms(),
        arrival: Arrival::SpreadS([0, dice.between(0, 10)]),
        on_finish: OnFinish::Stay,
        has: Share::default(),
        client: ClientPlan::default(),
    }
}

/// Mostly the shipped settings. There is always room for more peers than there are adversaries.
fn client(dice: &mut Dice) -> ClientPlan {
    ClientPlan {
        memory_budget: dice.sometimes(|dice| Size(dice.between(3, 16) * MIB)),
        max_peers: dice.sometimes(|dice| dice.between(20, 40) as usize),
        upload_slots: dice.sometimes(|dice| dice.between(2, 8) as usize),
        up_limit: dice.sometimes(|dice| dice.rate(256 * KIB, 2 * MIB)),
        down_limit: dice.sometimes(|dice| dice.rate(512 * KIB, 8 * MIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is drawn is a good scenario of the size that was promised, with trouble of two kinds
    /// at least, and people can read it and run it again.
    #[test]
    fn what_is_drawn_is_a_scenario() {
        for seed in 0..500 {
            let scenario = draw(seed);
            let text = scenario.to_string();
            let read = Scenario::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(read, scenario, "seed {seed}");
            assert!((5..=30).contains(&scenario.hosts()), "seed {seed}");
            assert!(
                (8 * MIB..=64 * MIB).contains(&scenario.size()),
                "seed {seed}"
            );
            let adversaries = scenario
                .groups
                .iter()
                .filter(|group| group.adversary.is_some());
            assert!(
                adversaries.count() + scenario.faults.len() >= 2,
                "seed {seed}"
            );
        }
    }

    /// Every fault ends, and none takes the anchor's data away or makes it lie.
    #[test]
    fn what_is_drawn_can_end_well() {
        for seed in 0..500 {
            for fault in draw(seed).faults {
                assert!(
                    fault.for_s.is_some() || fault.kind.is_momentary(),
                    "seed {seed}"
                );
                let lies = matches!(
                    fault.kind,
                    FaultKind::BitFlips(_) | FaultKind::MisdirectedReads(_)
                );
                let anchor = fault.group.as_deref() == Some(ANCHOR);
                assert!(!(lies && anchor), "seed {seed}");
            }
        }
    }

    /// A seed has one scenario, and others have others.
    #[test]
    fn each_seed_has_its_own() {
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}

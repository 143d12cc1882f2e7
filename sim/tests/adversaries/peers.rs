//! Peers that misbehave.

use ripcurrent_proto::api::{Config, Mode};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_sim::adversary::Kind;
use ripcurrent_sim::content::Form;
use ripcurrent_sim::network::Backend;

use crate::swarm::{Swarm, Told};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Of the torrent, in bytes: no whole number of pieces, and no whole number of bytes of them.
const SIZE: u64 = 3 * MIB + 100 * KIB + 7;
const BUDGET: usize = 4 << 20;
/// How many peers a client takes at one address.
const PLACES: usize = 3;
/// How many connections two hosts may have for a moment, if both dialled.
const TWINS: usize = 2;
/// How long a swarm may take that needs some 20 s by itself: what adversaries are given is lost.
const LIMIT: Duration = Duration::from_secs(75);

/// A seed, four leechers, and adversaries of these kinds.
fn swarm(backend: Backend, kinds: &[Kind], seed: u64) -> Swarm {
    let form = match seed % 2 {
        0 => Form::Compact,
        _ => Form::Bytes,
    };
    let mut swarm = Swarm::new(backend, form, seed, SIZE);
    let config = || Config {
        memory_budget: BUDGET,
        ..Config::default()
    };
    swarm.client(Mode::Seed, config(), 256 * KIB);
    for _ in 0..4 {
        swarm.client(Mode::Download, config(), 128 * KIB);
    }
    for kind in kinds {
        swarm.adversary(*kind, 512 * KIB);
    }
    swarm
}

/// Everybody else gets everything in time, no host takes many places, only liars are banned, and
/// slabs stay within their budget.
fn assert_withstood(backend: Backend, kinds: &[Kind], seed: u64) {
    let mut swarm = swarm(backend, kinds, seed);
    let last = swarm.run(LIMIT);
    let told: Vec<_> = swarm
        .clients
        .iter()
        .map(|client| client.told.take())
        .collect();
    let banned = || told.iter().flat_map(|told| &told.banned);
    let scene = format!("{kinds:?} on {backend}, seed {seed}");
    let last = last.unwrap_or_else(|| panic!("{scene}: somebody never gets everything"));
    println!(
        "{scene}: {:.1} s, {} bans",
        last.since(Instant::ZERO).as_secs_f64(),
        banned().count()
    );
    assert!(swarm.is_whole(), "{scene}: not what was shared");
    for banned in banned() {
        let kind = swarm.adversaries.get(banned);
        assert!(
            kind.is_some_and(|kind| kind.is_liar()),
            "{scene}: {banned} is banned"
        );
    }
    let most = match kinds.contains(&Kind::Sybil) {
        true => PLACES,
        false => TWINS,
    };
    let crowd = swarm.most_at_one;
    assert!(crowd <= most, "{scene}: {crowd} peers at one address");
    for Told {
        corrupt,
        banned,
        most_lent,
        ..
    } in &told
    {
        assert!(*most_lent <= BUDGET, "{scene}: {most_lent} bytes of slabs");
        // Who gave what is known when the piece is right at last.
        assert!(
            *corrupt == 0 || !banned.is_empty(),
            "{scene}: nobody is blamed"
        );
    }
    let corrupt: usize = told.iter().map(|told| told.corrupt).sum();
    assert_eq!(
        corrupt > 0,
        kinds.contains(&Kind::Poisoner),
        "{scene}: {corrupt} failures"
    );
}

fn assert_all_withstood(backend: Backend) {
    for kind in Kind::ALL {
        (1..=3).for_each(|seed| assert_withstood(backend, &[kind; 2], seed));
    }
}

#[test]
fn adversaries_are_withstood_on_turmoil() {
    assert_all_withstood(Backend::Turmoil);
}

#[test]
fn adversaries_are_withstood_directly() {
    assert_all_withstood(Backend::Direct);
}

/// One of each kind at once, more than two for each client.
#[test]
fn a_crowd_of_adversaries_is_withstood() {
    (1..=4).for_each(|seed| assert_withstood(Backend::Direct, &Kind::ALL, seed));
}

/// The same seed is the same run beside every kind, and another is another.
#[test]
fn adversaries_follow_from_the_seed() {
    let digests = |backend, kind, seed| {
        let mut swarm = swarm(backend, &[kind; 2], seed);
        swarm.run_for(Duration::from_secs(12));
        swarm.digests()
    };
    for backend in Backend::ALL {
        for kind in Kind::ALL {
            let digest = digests(backend, kind, 1);
            assert_eq!(digest, digests(backend, kind, 1), "{kind} on {backend}");
            assert_ne!(digest, digests(backend, kind, 3), "{kind} on {backend}");
        }
    }
}

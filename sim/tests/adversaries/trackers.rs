//! Trackers that fail.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ripcurrent_proto::api::{Config, Mode};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_sim::content::Form;
use ripcurrent_sim::network::Backend;
use ripcurrent_sim::tracker::{Behaviour, Lie};

use crate::swarm::Swarm;

const KIB: u64 = 1 << 10;
/// Of the torrent, in bytes.
const SIZE: u64 = 2000 * KIB;
/// How long the tracker is not well.
const SICKNESS: Duration = Duration::from_secs(60);
/// How soon after it everybody has everything: some 20 s after peers have heard of each other.
const RECOVERY: Duration = Duration::from_secs(120);

/// A seed and four leechers.
fn swarm(backend: Backend, seed: u64) -> Swarm {
    let mut swarm = Swarm::new(backend, Form::Compact, seed, SIZE);
    swarm.client(Mode::Seed, Config::default(), 256 * KIB);
    for _ in 0..4 {
        swarm.client(Mode::Download, Config::default(), 128 * KIB);
    }
    swarm
}

fn behave(swarm: &Swarm, behaviour: Behaviour) {
    swarm
        .tracker
        .borrow_mut()
        .machine()
        .set_behaviour(behaviour);
}

/// Whether peers find each other by an answer of this kind.
fn is_of_use(behaviour: Behaviour) -> bool {
    matches!(
        behaviour,
        Behaviour::Ok
            | Behaviour::Slow { after_s: 0..10, .. }
            | Behaviour::Interval(_)
            | Behaviour::MinInterval(_)
            | Behaviour::Lies(Lie::Duplicates | Lie::WrongLength)
    )
}

/// Whatever the tracker does, nobody breaks down, what can be used of it is used, and when it is
/// well again peers find each other soon.
fn assert_survived(backend: Backend) {
    for behaviour in Behaviour::EACH {
        let mut swarm = swarm(backend, 1);
        behave(&swarm, behaviour);
        swarm.run_for(SICKNESS);
        let helped = swarm.last().is_some();
        behave(&swarm, Behaviour::Ok);
        let last = swarm.run(RECOVERY);
        let scene = format!("{behaviour:?} on {backend}");
        let last = last.unwrap_or_else(|| panic!("{scene}: somebody never gets everything"));
        println!("{scene}: {:.1} s", last.since(Instant::ZERO).as_secs_f64());
        assert!(swarm.is_whole(), "{scene}");
        assert!(helped || !is_of_use(behaviour), "{scene}: it was of no use");
    }
}

#[test]
fn trackers_that_fail_are_survived_on_turmoil() {
    assert_survived(Backend::Turmoil);
}

#[test]
fn trackers_that_fail_are_survived_directly() {
    assert_survived(Backend::Direct);
}

/// What a tracker remembers to have told is what it told: nobody of whom it never heard, and to
/// nobody their own address.
#[test]
fn a_tracker_knows_what_it_told() {
    for backend in Backend::ALL {
        let mut swarm = swarm(backend, 2);
        swarm.run_for(Duration::from_secs(20));
        let addrs: BTreeSet<_> = swarm.clients.iter().map(|client| client.addr).collect();
        let mut tracker = swarm.tracker.borrow_mut();
        let mut heard = 0;
        for addr in &addrs {
            for peer in tracker.machine().told(*addr) {
                assert!(addrs.contains(&peer.ip()) && peer.ip() != *addr, "{peer}");
                heard += 1;
            }
        }
        assert!(heard >= addrs.len(), "{heard} of {addrs:?}");
        tracker
            .machine()
            .set_behaviour(Behaviour::Lies(Lie::Nobody));
        drop(tracker);
        swarm.run_for(Duration::from_secs(120));
        let mut tracker = swarm.tracker.borrow_mut();
        let mut told = addrs
            .iter()
            .flat_map(|addr| tracker.machine().told(*addr).collect::<Vec<_>>());
        let is_stranger = |peer: SocketAddr| !addrs.contains(&peer.ip());
        assert!(told.any(is_stranger), "lies are remembered too");
    }
}

//! The ready scenarios, and what is drawn, run to a good end.

use std::fs;
use std::path::Path;

use ripcurrent_sim::draw::draw;
use ripcurrent_sim::network::Backend;
use ripcurrent_sim::report::Report;
use ripcurrent_sim::run::run;
use ripcurrent_sim::scenario::Scenario;

fn ready(name: &str) -> Scenario {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let text = fs::read_to_string(folder.join(name)).expect("a scenario of this name");
    Scenario::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn assert_good(scenario: &Scenario, seed: u64, backend: Backend) -> Report {
    let report = run(scenario, seed, backend).expect("no host breaks down");
    let failures = report.failures();
    assert!(
        report.is_success(),
        "on {backend}, seed {seed}: {failures:?}\n{report}"
    );
    report
}

/// Every ready scenario can be read, and tells in a comment what it shows.
#[test]
fn ready_scenarios_are_scenarios() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("there is a folder of them") {
        let path = entry.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("a file");
        assert!(text.starts_with("# "), "{} tells nothing", path.display());
        ready(path.file_name().expect("a name").to_str().expect("UTF-8"));
        count += 1;
    }
    assert!(count >= 15, "only {count} scenarios");
}

/// Hosts that lost their power come back and finish, on both backends.
#[test]
fn crashed_hosts_come_back() {
    for backend in Backend::ALL {
        let report = assert_good(&ready("crash-restart.toml"), 1, backend);
        let twice = report.hosts.iter().filter(|host| host.starts == 2);
        assert_eq!(twice.count(), 8, "{report}");
    }
}

/// Pieces that fit nobody's memory come to the same end, among liars and through power cuts, and who
/// lied is found out.
#[test]
fn long_pieces_are_hashed_from_disk() {
    for backend in Backend::ALL {
        let report = assert_good(&ready("long-pieces.toml"), 1, backend);
        let twice = report.hosts.iter().filter(|host| host.starts == 2);
        assert_eq!(twice.count(), 3, "{report}");
    }
}

/// Hosts that lose their power over and over come to the same end.
#[test]
fn power_may_fail_again_and_again() {
    for backend in Backend::ALL {
        let report = assert_good(&ready("power-cuts.toml"), 1, backend);
        let often = report.hosts.iter().filter(|host| host.starts > 2);
        assert_eq!(often.count(), 4, "{report}");
    }
}

/// The seed leaves in good order and is not there in the end; the others finish without it.
#[test]
fn leechers_finish_without_the_seed() {
    let report = assert_good(&ready("seed-leaves.toml"), 1, Backend::Direct);
    let seed = &report.hosts[0];
    assert!(seed.left.is_some_and(|at| at < report.ended), "{report}");
}

/// An HTTPS tracker introduces peers like any other.
#[test]
fn an_https_tracker_works() {
    for backend in Backend::ALL {
        let mut scenario = ready("flash-crowd-3.toml");
        scenario.trackers[0].https = true;
        assert_good(&scenario, 1, backend);
    }
}

/// A full disk holds its own host up and nobody else, and only until there is space.
#[test]
fn a_full_disk_recovers() {
    assert_good(&ready("disk-full.toml"), 1, Backend::Direct);
}

/// What is drawn comes to a good end, on both backends, and to the same one each time.
#[test]
fn what_is_drawn_ends_well() {
    for backend in Backend::ALL {
        for seed in 1..=2 {
            let scenario = draw(seed);
            let digest = assert_good(&scenario, seed, backend).digest;
            assert_eq!(assert_good(&scenario, seed, backend).digest, digest);
        }
    }
}

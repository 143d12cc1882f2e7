//! A hand-made swarm and what became of it, for tests: a seed and three leechers that have 1000
//! bytes after 10, 12 and 14 s, beside a bound of 10 s.

use std::num::NonZeroU64;

use ripcurrent_proto::base::time::{Duration, Instant};

use super::{Availability, Digest, GroupSample, HostReport, Mark, Report, Sample, Timeline};
use crate::bound::{Bound, Limit};
use crate::scenario::{Role, Scenario};

const TEXT: &str = r#"
    [torrent]
    files = [1000]
    piece_length = "16 KiB"
    [[tracker]]
    interval_s = 60
    [end]
    within_s = 600
    [[group]]
    name = "seed"
    role = "seed"
    count = 1
    up = "1 KiB/s"
    down = "1 KiB/s"
    latency_ms = [1, 1]
    [[group]]
    name = "<b>,\"leecher\""
    role = "leecher"
    count = 3
    up = "1 KiB/s"
    down = "1 KiB/s"
    latency_ms = [1, 1]
"#;

pub(crate) fn scenario() -> Scenario {
    Scenario::parse(TEXT).expect("a good scenario")
}

pub(crate) fn report() -> Report {
    Report {
        seed: 7,
        hosts: hosts(),
        ended: second(14),
        bound: Bound {
            fluid: Duration::from_secs(10),
            store_and_forward: Duration::from_millis(11_200),
            limit: Limit::Uploads,
        },
        violations: Vec::new(),
        breaches: Vec::new(),
        shortfalls: Vec::new(),
        timeline: timeline(),
        digest: Digest([0xab; 20]),
    }
}

fn second(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn hosts() -> Vec<HostReport> {
    let seed = HostReport {
        name: "seed-1".into(),
        group: 0,
        role: Role::Seed,
        arrived: Instant::ZERO,
        up: NonZeroU64::new(1024),
        down: None,
        had_at_start: 1000,
        completed: None,
        left: None,
        starts: 1,
        whole: true,
        downloaded: 0,
        uploaded: 1500,
        wasted: 0,
        received: 0,
    };
    let leecher = |number: u64, downloaded, wasted, received| HostReport {
        name: format!("<b>,\"leecher\"-{number}"),
        group: 1,
        role: Role::Leecher,
        had_at_start: 0,
        completed: Some(second(8 + 2 * number)),
        downloaded,
        uploaded: 500,
        wasted,
        received,
        ..seed.clone()
    };
    let leechers = [
        leecher(1, 300, 100, 350),
        leecher(2, 300, 0, 300),
        leecher(3, 400, 0, 400),
    ];
    [seed.clone()].into_iter().chain(leechers).collect()
}

/// Half of what can be sent is sent in the first second, and then everybody has everything.
fn timeline() -> Timeline {
    let sample = |at, uploaded: [u64; 2], had, pieces: [u32; 4]| Sample {
        at: second(at),
        groups: vec![
            GroupSample {
                running: 1,
                had: 1000,
                uploaded: uploaded[0],
                connections: 3,
                up_capacity: 1000,
                ..GroupSample::default()
            },
            GroupSample {
                running: 3,
                had,
                uploaded: uploaded[1],
                downloaded: uploaded[0] + uploaded[1],
                connections: 9,
                up_capacity: 3000,
                ..GroupSample::default()
            },
        ],
        availability: Availability {
            seeds: 1,
            pieces: pieces.to_vec(),
        },
    };
    Timeline {
        samples: vec![
            sample(0, [0, 0], 0, [1, 0, 0, 0]),
            sample(1, [1500, 500], 3000, [0, 0, 0, 1]),
            sample(2, [1500, 500], 3000, [0, 0, 0, 1]),
        ],
        marks: vec![Mark {
            at: second(1),
            what: "the power of <b>,\"leecher\"-1 fails".into(),
        }],
        ..Timeline::default()
    }
}

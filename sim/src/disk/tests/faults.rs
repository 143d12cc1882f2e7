//! What the engine makes of a disk that fails.

use std::num::NonZeroU64;

use ripcurrent_proto::api::{Event, IoErrorKind};
use ripcurrent_proto::base::time::{Duration, Instant};

use super::FORMS;
use super::swarm::{LEECHER, SEED, Swarm, addr};
use crate::content::Form;
use crate::disk::{Faults, Odds, Pace};
use crate::network::Backend;

/// Plays a scene in both forms on both backends.
fn everywhere(scene: impl Fn(Form, Backend)) {
    for form in FORMS {
        for backend in Backend::ALL {
            println!("{form:?} over {backend}");
            scene(form, backend);
        }
    }
}

/// How often the disk of a host failed in this action and for this reason.
fn failures(swarm: &Swarm, host: usize, what: &str, why: IoErrorKind) -> usize {
    swarm.count(host, |event| {
        matches!(event, Event::DiskFailed { action, error, .. }
            if *action == what && error.error.kind == why)
    })
}

/// A download whose disk refuses once stands still, and ends whole after it was told to check again.
#[test]
fn a_download_stands_still_and_is_taken_up() {
    let failing: [(&str, Faults); 6] = [
        (
            "write",
            Faults {
                write: Odds::Nth(3),
                ..Faults::default()
            },
        ),
        (
            "write",
            Faults {
                short_write: Odds::Nth(2),
                ..Faults::default()
            },
        ),
        (
            "write",
            Faults {
                torn_write: Odds::Nth(5),
                ..Faults::default()
            },
        ),
        (
            "sync",
            Faults {
                sync: Odds::Nth(1),
                ..Faults::default()
            },
        ),
        (
            "finish",
            Faults {
                finish: Odds::Nth(2),
                ..Faults::default()
            },
        ),
        (
            "write",
            Faults {
                write: Odds::PerThousand(100),
                torn_write: Odds::PerThousand(100),
                ..Faults::default()
            },
        ),
    ];
    everywhere(|form, backend| {
        for (action, faults) in &failing {
            let mut swarm = Swarm::new(form, backend, 1, 2);
            swarm.set_faults(LEECHER, faults.clone());
            swarm.start();
            let failed = |swarm: &Swarm| failures(swarm, LEECHER, action, IoErrorKind::Other);
            assert!(swarm.run_until(|swarm| failed(swarm) > 0), "{faults:?}");
            assert!(!swarm.has_completed(), "{faults:?}");
            assert!(swarm.completes(), "{faults:?} {:?}", swarm.events(LEECHER));
            assert!(swarm.is_finished(), "{faults:?}");
        }
    });
}

/// On a full disk a download waits until there is room, told once, and goes on by itself.
#[test]
fn a_full_disk_is_waited_for() {
    everywhere(|form, backend| {
        let mut swarm = Swarm::new(form, backend, 1, 2);
        let full = Faults {
            capacity: Some(300_000),
            ..Faults::default()
        };
        swarm.set_faults(LEECHER, full);
        swarm.start();
        swarm.run_for(Duration::from_secs(100));
        let told = |swarm: &Swarm| {
            let is_full = |event: &Event| matches!(event, Event::DiskFull { .. });
            let has_room = |event: &Event| matches!(event, Event::DiskRoom { .. });
            [
                swarm.count(LEECHER, is_full),
                swarm.count(LEECHER, has_room),
            ]
        };
        assert_eq!(told(&swarm), [1, 0]);
        assert!(swarm.disks[LEECHER].taken() <= 300_000 && !swarm.has_completed());
        swarm.set_faults(LEECHER, Faults::default());
        assert!(swarm.completes(), "{:?}", swarm.events(LEECHER));
        assert_eq!(told(&swarm), [1, 1]);
        assert!(swarm.is_finished());
    });
}

/// Whoever cannot save its state says so once, and gets everything all the same.
#[test]
fn a_state_that_is_not_saved_ends_nothing() {
    everywhere(|form, backend| {
        let mut swarm = Swarm::new(form, backend, 1, 2);
        let forgetful = Faults {
            save: Odds::PerThousand(1000),
            ..Faults::default()
        };
        swarm.set_faults(LEECHER, forgetful);
        swarm.start();
        assert!(swarm.completes() && swarm.is_finished());
        let is_told = |event: &Event| matches!(event, Event::StateNotSaved { .. });
        assert_eq!(swarm.count(LEECHER, is_told), 1);
        assert_eq!(failures(&swarm, LEECHER, "save", IoErrorKind::Other), 0);
    });
}

/// A seed that cannot read some of its data goes on serving the rest, and that too once it can.
#[test]
fn a_seed_that_cannot_read_goes_on() {
    everywhere(|form, backend| {
        let mut swarm = Swarm::new(form, backend, 1, 2);
        swarm.start();
        let is_checked =
            |swarm: &Swarm| swarm.count(SEED, |event| matches!(event, Event::Checked { .. })) > 0;
        assert!(swarm.run_until(is_checked));
        let bad = Faults {
            read: Odds::PerThousand(300),
            ..Faults::default()
        };
        swarm.set_faults(SEED, bad);
        assert!(swarm.completes(), "{:?}", swarm.events(SEED));
        assert!(swarm.is_finished());
        assert!(failures(&swarm, SEED, "read", IoErrorKind::Other) > 0);
    });
}

/// A seed does not look at what it has read before it serves it: one whose bits flip, or whose reads
/// go astray, sends wrong data and is banned for it. Whoever has another source ends whole.
#[test]
fn a_seed_with_wrong_data_is_left() {
    everywhere(|form, backend| {
        for flips in [true, false] {
            let mut swarm = Swarm::new(form, backend, 2, 2);
            swarm.start();
            let is_checked = |swarm: &Swarm| {
                swarm.count(SEED, |event| matches!(event, Event::Checked { .. })) > 0
            };
            assert!(swarm.run_until(is_checked));
            if flips {
                let mut rng = swarm.rng("flips");
                swarm.disks[SEED].flip(40, &mut rng);
            } else {
                let astray = Faults {
                    misdirected_read: Odds::PerThousand(1000),
                    ..Faults::default()
                };
                swarm.set_faults(SEED, astray);
            }
            assert!(swarm.completes(), "{:?}", swarm.events(LEECHER));
            assert!(swarm.is_finished());
            let is_corrupt = |event: &Event| matches!(event, Event::Corrupt { .. });
            assert!(swarm.count(LEECHER, is_corrupt) > 0, "nothing was wrong");
            let banned = |event: &Event| match event {
                Event::Banned { addr, .. } => Some(*addr),
                _ => None,
            };
            let banned: Vec<_> = swarm.events(LEECHER).iter().filter_map(banned).collect();
            assert_eq!(banned, [addr(SEED)]);
        }
    });
}

/// A slow disk is waited for, as long as it takes and no longer; one that hangs as long as it hangs.
#[test]
fn slow_disks_are_waited_for() {
    everywhere(|form, backend| {
        let time = |pace| {
            let mut swarm = Swarm::new(form, backend, 1, 2);
            let slow = Faults {
                pace,
                ..Faults::default()
            };
            swarm.set_faults(LEECHER, slow);
            swarm.start();
            assert!(swarm.completes() && swarm.is_finished());
            swarm.now().since(Instant::ZERO).as_millis()
        };
        let usual = time(Pace::default());
        let slow = time(Pace {
            rate: NonZeroU64::new(50_000),
            ..Pace::default()
        });
        let hanging = time(Pace {
            hangs_until: Instant::from_micros(30_000_000),
            ..Pace::default()
        });
        // 550,007 bytes at that rate.
        assert!((11_000..12_000 + usual).contains(&slow), "{usual} {slow}");
        assert!(
            (30_000..31_000 + usual).contains(&hanging),
            "{usual} {hanging}"
        );
    });
}

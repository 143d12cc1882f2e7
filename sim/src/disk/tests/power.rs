//! The power fails at every operation of a download.

use ripcurrent_proto::api::Event;
use ripcurrent_proto::base::rng::Rng;

use super::FORMS;
use super::swarm::{LEECHER, Swarm};
use crate::content::Form;
use crate::network::Backend;

#[test]
fn a_download_of_bytes_outlives_any_loss_of_power() {
    sweep(Form::Bytes, Backend::Direct);
}

#[test]
fn a_compact_download_outlives_any_loss_of_power() {
    sweep(Form::Compact, Backend::Direct);
}

#[test]
fn a_download_over_sockets_outlives_any_loss_of_power() {
    sweep(Form::Bytes, Backend::Turmoil);
}

/// Cut off after any operation, and once more in its recovery, a download ends whole and durable. On
/// its way it takes for right what is right on its disk and nothing else, and it tells of its end
/// when that is durable.
fn sweep(form: Form, backend: Backend) {
    let mut undisturbed = Swarm::new(form, backend, 1, 0);
    undisturbed.start();
    go_on(&mut undisturbed);
    let operations = undisturbed.disks[LEECHER].operations();
    assert!(operations > 10, "{operations}");
    let mut losses = 0;
    for first in 1..=operations {
        let scene = format!("{form:?} over {backend}, operation {first}");
        let seed = first as u8;
        let second = 1 + Rng::from_seed([seed; 32]).below(2 * operations);
        let mut swarm = Swarm::new(form, backend, 1, seed);
        swarm.disks[LEECHER].cut_power_after(first);
        swarm.start();
        for next in [Some(second), None] {
            go_on(&mut swarm);
            let before = swarm.pieces_right();
            swarm.lose_power();
            let right = swarm.pieces_right();
            losses += u32::from(right < before);
            if let Some(next) = next {
                swarm.disks[LEECHER].cut_power_after(next);
            } else {
                assert!(swarm.run_until(|swarm| checked(swarm).is_some()), "{scene}");
                assert_eq!(checked(&swarm), Some(right), "{scene}");
            }
        }
        go_on(&mut swarm);
        assert!(swarm.has_completed() && swarm.is_whole(), "{scene}");
    }
    assert!(losses > 5, "{losses}: what was lost was hardly anything");
}

/// Goes on until the power fails or the download ends, which is when all is durable.
fn go_on(swarm: &mut Swarm) {
    let is_over = |swarm: &Swarm| swarm.has_completed() || !swarm.disks[LEECHER].has_power();
    assert!(swarm.run_until(is_over), "{:?}", swarm.events(LEECHER));
    assert!(swarm.is_finished() || !swarm.has_completed());
}

/// How many pieces the leecher has found to be right.
fn checked(swarm: &Swarm) -> Option<u32> {
    swarm.events(LEECHER).iter().find_map(|event| match event {
        Event::Checked { pieces, .. } => Some(*pieces),
        _ => None,
    })
}

/// Killed at any time, a download goes on from all that was written.
#[test]
fn a_killed_download_goes_on() {
    for form in FORMS {
        for backend in Backend::ALL {
            let mut swarm = Swarm::new(form, backend, 1, 4);
            swarm.start();
            assert!(swarm.run_until(|swarm| swarm.pieces_right() > 2));
            let written = swarm.pieces_right();
            swarm.kill();
            assert!(swarm.run_until(|swarm| checked(swarm).is_some()));
            assert_eq!(checked(&swarm), Some(written), "{form:?} over {backend}");
            go_on(&mut swarm);
            assert!(swarm.is_whole(), "{form:?} over {backend}");
        }
    }
}

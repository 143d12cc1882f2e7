//! A download is cut off at every operation of its disk, by a loss of power, a kill or an order to
//! leave, and once more after its return.

use std::collections::BTreeSet;

use ripcurrent_proto::api::Event;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::BLOCK_LEN;

use super::FORMS;
use super::swarm::{LEECHER, Swarm};
use crate::content::Form;
use crate::disk::{Faults, Odds};
use crate::network::Backend;

/// What the seed sends, in bytes per second: slow enough for several syncs on the way.
const RATE: u64 = 30_000;
/// An empty file and one in the middle, whose first and last piece are of others as well.
const SOME: &[usize] = &[1, 3];
const FILES: usize = 5;

/// How a life of the leecher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The power fails.
    Power,
    /// The process is killed.
    Kill,
    /// It leaves in good order.
    Leave,
    /// It leaves in good order, and then the power fails.
    LeaveAndPower,
}

/// What is downloaded, and where.
#[derive(Clone, Debug)]
struct Scene {
    form: Form,
    backend: Backend,
    /// The files that are wanted; none for all.
    wanted: &'static [usize],
    faults: Faults,
}

impl Scene {
    fn swarm(&self, seed: u8) -> Swarm {
        let mut swarm = Swarm::new(self.form, self.backend, 1, seed).slow(RATE);
        if !self.wanted.is_empty() {
            let mut wanted = Bitfield::new(FILES);
            self.wanted.iter().for_each(|file| {
                wanted.insert(*file);
            });
            swarm.wanted = Some(wanted);
        }
        swarm.set_faults(LEECHER, self.faults.clone());
        swarm.start();
        swarm
    }
}

#[test]
fn a_download_outlives_any_loss_of_power() {
    everywhere(End::Power, &Backend::ALL, &Faults::default());
}

#[test]
fn a_download_outlives_any_kill() {
    everywhere(End::Kill, &[Backend::Direct], &Faults::default());
}

#[test]
fn a_download_goes_on_where_it_was_left() {
    everywhere(End::Leave, &Backend::ALL, &Faults::default());
}

#[test]
fn what_was_left_outlives_a_loss_of_power() {
    everywhere(End::LeaveAndPower, &[Backend::Direct], &Faults::default());
}

/// Whatever else the disk does.
#[test]
fn a_download_to_a_bad_disk_outlives_any_loss_of_power() {
    let bad = Faults {
        save: Odds::PerThousand(300),
        sync: Odds::PerThousand(100),
        finish: Odds::PerThousand(100),
        torn_write: Odds::PerThousand(30),
        ..Faults::default()
    };
    everywhere(End::Power, &[Backend::Direct], &bad);
}

/// In both forms over these backends: all of it, and a part.
fn everywhere(end: End, backends: &[Backend], faults: &Faults) {
    for form in FORMS {
        for &backend in backends {
            for wanted in [&[], SOME] {
                let faults = faults.clone();
                sweep(
                    &Scene {
                        form,
                        backend,
                        wanted,
                        faults,
                    },
                    end,
                );
            }
        }
    }
}

/// Cut off after any operation, and once more after its return, a download ends whole and durable.
/// On its way it takes for right what is right on its disk and nothing else, fetches nothing of that
/// again, and tells of its end when that is durable.
fn sweep(scene: &Scene, end: End) {
    let calm = Scene {
        faults: Faults::default(),
        ..scene.clone()
    };
    let mut undisturbed = calm.swarm(0);
    go_on(&mut undisturbed, None);
    let operations = undisturbed.disks[LEECHER].operations();
    assert!(operations > 10, "{operations}");
    let mut lost = 0;
    for first in 1..=operations {
        println!("{scene:?}, {end:?} after operation {first}");
        let seed = first as u8;
        let second = 1 + Rng::from_seed([seed; 32]).below(2 * operations);
        let mut swarm = scene.swarm(seed);
        let mut received = 0;
        for cut in [first, second] {
            go_on(&mut swarm, Some((end, cut)));
            received += swarm.work().received;
            let before = swarm.right().len();
            come_to_an_end(&mut swarm, end);
            lost += before - swarm.right().len();
            come_back(&mut swarm, end);
        }
        let right = swarm.right();
        go_on(&mut swarm, None);
        assert!(swarm.has_completed() && swarm.is_finished());
        assert!(swarm.work().written.is_disjoint(&right));
        let may_have_state = !scene.wanted.is_empty() || scene.faults.save != Odds::Never;
        assert!(may_have_state || !swarm.has_state());
        received += swarm.work().received;
        if matches!(end, End::Leave | End::LeaveAndPower) {
            // Of the block that was just coming nothing is kept.
            let wasted = received - swarm.bytes_wanted();
            assert!(wasted < 2 * u64::from(BLOCK_LEN), "{wasted} bytes");
        }
    }
    assert_eq!(lost > 0, end == End::Power, "{lost} pieces were lost");
}

/// Goes on until the download ends, which is when all is durable, or the disk has carried out so
/// many further operations.
fn go_on(swarm: &mut Swarm, cut: Option<(End, u64)>) {
    let files = &swarm.disks[LEECHER];
    let last = match cut {
        Some((End::Power, operations)) => {
            files.cut_power_after(operations);
            u64::MAX
        }
        Some((_, operations)) => files.operations() + operations,
        None => u64::MAX,
    };
    let is_over = |swarm: &Swarm| {
        let files = &swarm.disks[LEECHER];
        swarm.has_completed() || !files.has_power() || files.operations() >= last
    };
    assert!(swarm.run_until(is_over), "{:?}", swarm.events(LEECHER));
    assert!(swarm.is_finished() || !swarm.has_completed());
}

/// The leecher's life ends; what its state names is right whatever is left.
fn come_to_an_end(swarm: &mut Swarm, end: End) {
    match end {
        End::Power => swarm.lose_power(),
        End::Kill => swarm.kill(),
        End::Leave => swarm.leave(),
        End::LeaveAndPower => {
            swarm.leave();
            swarm.lose_power();
        }
    }
    let (recorded, right) = (swarm.recorded(), swarm.right());
    assert!(recorded.is_subset(&right), "{recorded:?} of {right:?}");
}

/// The leecher starts again, and knows what it has before it asks for anything.
fn come_back(swarm: &mut Swarm, end: End) {
    let right = swarm.right();
    swarm.restart();
    assert!(swarm.run_until(|swarm| checked(swarm).is_some()));
    assert_eq!(swarm.believed(), right);
    assert_eq!(checked(swarm), Some(right.len() as u32));
    let work = swarm.work();
    assert_eq!((work.received, work.written), (0, BTreeSet::new()));
    if matches!(end, End::Leave | End::LeaveAndPower) && swarm.has_state() {
        assert_eq!(work.hashes, 0, "it was left in good order");
    }
}

/// How many pieces the leecher has found to be right.
fn checked(swarm: &Swarm) -> Option<u32> {
    swarm.events(LEECHER).iter().find_map(|event| match event {
        Event::Checked { pieces, .. } => Some(*pieces),
        _ => None,
    })
}

/// What others did to the files meanwhile is noticed, in whatever state the leecher left them: what
/// is wrong is fetched, and nothing else.
#[test]
fn what_others_did_to_files_is_noticed() {
    const PART: &str = "data/swarm/4.bin.part";
    type Deed = fn(Vec<u8>) -> Option<Vec<u8>>;
    let deeds: [Deed; 4] = [
        |mut bytes| {
            bytes[150_000] ^= 1;
            Some(bytes)
        },
        |bytes| Some(bytes[..100_000].to_vec()),
        |bytes| Some([&bytes[..], b"more"].concat()),
        |_| None,
    ];
    for deed in deeds {
        for end in [End::Kill, End::Leave] {
            let mut swarm = Scene {
                form: Form::Bytes,
                backend: Backend::Direct,
                wanted: &[],
                faults: Faults::default(),
            }
            .swarm(1);
            assert!(swarm.run_until(|swarm| swarm.recorded().len() > 3));
            come_to_an_end(&mut swarm, end);
            let files = &swarm.disks[LEECHER];
            match deed(files.read(PART).unwrap()) {
                Some(bytes) => files.put(PART, bytes).unwrap(),
                None => files.remove(PART),
            }
            let right = swarm.right();
            swarm.restart();
            assert!(swarm.run_until(|swarm| checked(swarm).is_some()));
            assert_eq!(swarm.believed(), right);
            go_on(&mut swarm, None);
            assert!(swarm.is_finished() && swarm.work().written.is_disjoint(&right));
        }
    }
}

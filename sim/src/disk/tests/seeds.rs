//! A seed is cut off at every operation of its disk, while others copy its files there or change
//! them; it never serves what is not right.

use std::collections::BTreeSet;

use ripcurrent_proto::api::{self, Access, DiskDone, Event};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::layout::{FileIndex, FileKind, PieceIndex};

use super::swarm::{LEECHER, SEED, Swarm};
use super::{FORMS, OP, ROOT, SPARSE, STORAGE};
use crate::content::{Form, spoil};
use crate::disk::{Disk, Faults, Odds};
use crate::network::Backend;

/// What the seed sends, in bytes per second: slow enough to be cut off on the way.
const RATE: u64 = 60_000;
/// Long enough for the next look at files, and for some blocks.
const A_WHILE: Duration = Duration::from_secs(5);

/// How a life of the seed ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The power fails.
    Power,
    /// The process is killed.
    Kill,
    /// It leaves in good order, and then the power fails.
    LeaveAndPower,
}

/// What others do to its files while it is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    /// They write a piece again, as it was.
    Touch,
    /// They spoil a piece.
    Spoil,
    /// They remove a file.
    Remove,
}

#[test]
fn a_seed_outlives_any_loss_of_power() {
    for form in FORMS {
        for backend in Backend::ALL {
            sweep(form, backend, End::Power, &Faults::default());
        }
    }
}

#[test]
fn a_seed_outlives_any_kill() {
    for form in FORMS {
        sweep(form, Backend::Direct, End::Kill, &Faults::default());
    }
}

#[test]
fn a_seed_that_left_outlives_a_loss_of_power() {
    for form in FORMS {
        let end = End::LeaveAndPower;
        sweep(form, Backend::Direct, end, &Faults::default());
    }
}

/// Whatever else the disk does.
#[test]
fn a_seed_on_a_bad_disk_outlives_any_loss_of_power() {
    let bad = Faults {
        save: Odds::PerThousand(300),
        sync: Odds::PerThousand(300),
        ..Faults::default()
    };
    for form in FORMS {
        sweep(form, Backend::Direct, End::Power, &bad);
    }
}

/// Cut off after any operation, and once more after its return, a seed takes for right what is right
/// on its disk and nothing else, however its files came there, and hashes nothing that was looked at
/// and is as it was. Nobody ever gets a wrong byte of it.
fn sweep(form: Form, backend: Backend, end: End, faults: &Faults) {
    let (operations, _) = life(form, backend, None, faults, 0);
    assert!(operations > 15, "{operations}");
    let (mut lost, mut spared) = (0, 0);
    for first in 1..=operations {
        println!("{form:?} over {backend}, {end:?} after operation {first}");
        let (_, outcome) = life(form, backend, Some((end, first)), faults, first as u8);
        lost += outcome.lost;
        spared += outcome.spared;
    }
    assert_eq!(lost > 0, end != End::Kill, "{lost} pieces were lost");
    assert!(spared > 0, "no look was ever spared");
}

/// What became of the lives of a seed.
#[derive(Default)]
struct Outcome {
    /// Pieces that the power took.
    lost: usize,
    /// Starts that hashed nothing.
    spared: usize,
}

/// Three lives, each cut off but for the last; how many operations the first had, and what came of
/// all.
fn life(
    form: Form,
    backend: Backend,
    cut: Option<(End, u64)>,
    faults: &Faults,
    seed: u8,
) -> (u64, Outcome) {
    let mut rng = Rng::from_seed([seed; 32]);
    let mut swarm = Swarm::new(form, backend, 1, seed).slow(RATE);
    copy(&swarm);
    swarm.set_faults(SEED, faults.clone());
    swarm.start();
    let before = swarm.disks[SEED].operations();
    let mut outcome = Outcome::default();
    for life in 0..2 {
        let Some((end, first)) = cut else { break };
        let operations = if life == 0 { first } else { 1 + rng.below(40) };
        go_on(&mut swarm, end, operations);
        let right = swarm.right_of(SEED);
        come_to_an_end(&mut swarm, end);
        outcome.lost += right.difference(&swarm.right_of(SEED)).count();
        let deeds = [Deed::Nothing, Deed::Touch, Deed::Spoil, Deed::Remove];
        do_something(&swarm, deeds[rng.index(deeds.len())], &mut rng);
        swarm.set_faults(SEED, faults.clone());
        swarm.restart_host(SEED);
        come_back(&mut swarm);
        outcome.spared += usize::from(swarm.work_of(SEED).hashes == 0);
    }
    let all = swarm.content.torrent.layout().pieces() as usize;
    if swarm.right_of(SEED).len() == all {
        assert!(swarm.completes(), "{:?}", swarm.events(LEECHER));
    } else {
        swarm.run_for(A_WHILE);
    }
    judge(&swarm);
    (swarm.disks[SEED].operations() - before, outcome)
}

/// Goes on until the disk of the seed has carried out so many further operations, or nothing happens
/// any more.
fn go_on(swarm: &mut Swarm, end: End, operations: u64) {
    let files = &swarm.disks[SEED];
    let last = files.operations() + operations;
    if end == End::Power {
        files.cut_power_after(operations);
    }
    let until = swarm.now() + A_WHILE;
    swarm.run_until(|swarm| {
        let files = &swarm.disks[SEED];
        !files.has_power() || files.operations() >= last || swarm.now() >= until
    });
    judge(swarm);
}

fn come_to_an_end(swarm: &mut Swarm, end: End) {
    match end {
        End::Power => swarm.lose_power_of(SEED),
        End::Kill => swarm.kill_host(SEED),
        End::LeaveAndPower => {
            swarm.leave_host(SEED);
            swarm.lose_power_of(SEED);
        }
    }
}

/// The seed knows what it has before it serves anything.
fn come_back(swarm: &mut Swarm) {
    let is_checked = |event: &Event| matches!(event, Event::Checked { .. });
    let right = swarm.right_of(SEED);
    assert!(swarm.run_until(|swarm| swarm.count(SEED, is_checked) > 0));
    assert_eq!(swarm.believed_by(SEED), right);
}

/// Nobody got anything wrong, and the seed believes to have only what is right.
fn judge(swarm: &Swarm) {
    let is_wrong = |event: &Event| matches!(event, Event::Corrupt { .. } | Event::Banned { .. });
    assert_eq!(swarm.count(LEECHER, is_wrong), 0);
    let right = swarm.right_of(SEED);
    assert!(swarm.believed_by(SEED).is_subset(&right));
}

/// Somebody copies the files to the seed's disk, and syncs nothing.
fn copy(swarm: &Swarm) {
    for index in swarm.content.files() {
        let place = swarm.content.place(ROOT, index);
        swarm.disks[SEED].remove(&place.own);
    }
    let mut other = Other::new(swarm);
    (0..swarm.content.torrent.layout().pieces()).for_each(|piece| other.write(piece, None));
    other.finish();
}

fn do_something(swarm: &Swarm, deed: Deed, rng: &mut Rng) {
    let right: BTreeSet<u32> = swarm.right_of(SEED);
    let Some(&piece) = right.iter().nth(rng.index(right.len().max(1))) else {
        return;
    };
    match deed {
        Deed::Nothing => return,
        Deed::Remove => {
            let place = swarm.content.place(ROOT, FileIndex(3));
            return swarm.disks[SEED].remove(&place.own);
        }
        Deed::Touch | Deed::Spoil => {}
    }
    let mut other = Other::new(swarm);
    other.write(piece, (deed == Deed::Spoil).then_some(rng));
    other.finish();
    // What tells of a change may come to the disk later than the change, and then nobody can know.
    other.sync();
}

/// Another program on the host of the seed.
struct Other<'a> {
    swarm: &'a Swarm,
    disk: Disk,
}

impl<'a> Other<'a> {
    fn new(swarm: &'a Swarm) -> Self {
        swarm.set_faults(SEED, Faults::default());
        let mut other = Other {
            swarm,
            disk: Disk::new(swarm.disks[SEED].clone()),
        };
        let opened = other.perform(api::Disk::Open {
            op: OP,
            storage: STORAGE,
            root: ROOT.into(),
            info_hash: [0; 20],
            layout: swarm.content.torrent.layout().clone(),
            access: SPARSE,
        });
        assert!(matches!(opened, DiskDone::Opened { result: Ok(_), .. }));
        other
    }

    fn perform(&mut self, operation: api::Disk) -> DiskDone {
        self.disk.perform(operation)
    }

    /// Writes a piece as it should be, or spoils it.
    fn write(&mut self, piece: u32, spoils: Option<&mut Rng>) {
        let layout = self.swarm.content.torrent.layout();
        let index = PieceIndex(piece);
        let mut slab = Slab::new(layout.piece_length() as usize);
        slab.set_len(layout.piece_len(index) as usize);
        self.swarm.content.block(piece, 0, slab.as_mut_slice());
        if let Some(rng) = spoils {
            spoil(slab.as_mut_slice(), rng);
        }
        let spans = layout.spans(layout.whole(index));
        let written = self.perform(api::Disk::Write {
            op: OP,
            storage: STORAGE,
            slab,
            spans,
        });
        assert!(matches!(written, DiskDone::Written { result: Ok(()), .. }));
    }

    /// Gives every file that is there its name.
    fn finish(&mut self) {
        let layout = self.swarm.content.torrent.layout();
        let files = layout.files().iter().zip((0..).map(FileIndex));
        let is_there = |index: FileIndex| {
            let place = self.swarm.content.place(ROOT, index);
            let files = &self.swarm.disks[SEED];
            files.has(&place.own) || files.has(&place.part) || layout.files()[index.at()].len == 0
        };
        let files = files.filter(|(file, _)| matches!(file.kind, FileKind::Regular { .. }));
        let there: Vec<FileIndex> = files
            .map(|(_, index)| index)
            .filter(|index| is_there(*index))
            .collect();
        for file in there {
            let (op, storage) = (OP, STORAGE);
            let finished = self.perform(api::Disk::Finish { op, storage, file });
            assert!(matches!(
                finished,
                DiskDone::Finished { result: Ok(()), .. }
            ));
        }
    }

    fn sync(&mut self) {
        let (op, storage) = (OP, STORAGE);
        let synced = self.perform(api::Disk::Sync { op, storage });
        assert!(matches!(synced, DiskDone::Synced { result: Ok(_), .. }));
    }
}

/// What lies where nobody who reads may change anything stays as it was.
#[test]
fn a_seed_changes_nothing() {
    let mut swarm = Swarm::new(Form::Bytes, Backend::Direct, 1, 3);
    let look = |swarm: &Swarm| -> Vec<Option<Vec<u8>>> {
        let files = swarm.content.files();
        let own = files.map(|index| swarm.content.place(ROOT, index).own);
        own.map(|path| swarm.disks[SEED].read(&path)).collect()
    };
    let before = look(&swarm);
    swarm.start();
    assert!(swarm.completes());
    assert!(look(&swarm) == before);
    let state = swarm
        .content
        .beside(ROOT, ripcurrent_proto::meta::parts::STATE);
    assert!(!swarm.disks[SEED].has(&state));
    let mut disk = Disk::new(swarm.disks[SEED].clone());
    let opened = disk.perform(api::Disk::Open {
        op: OP,
        storage: STORAGE,
        root: ROOT.into(),
        info_hash: swarm.content.torrent.hashes().v1.unwrap(),
        layout: swarm.content.torrent.layout().clone(),
        access: Access::Read,
    });
    let DiskDone::Opened { result, .. } = opened else {
        panic!("{opened:?}")
    };
    assert!(result.unwrap().state.is_some(), "it remembers elsewhere");
}

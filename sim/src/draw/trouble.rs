//! What goes wrong in a scenario that is drawn.

use super::dice::{Dice, KIB, MIB};
use crate::scenario::{
    DiskErrors, DiskOperation, Fault, FaultKind, RatesPlan, Role, Scenario, Size, TrackerFault,
};
use crate::tracker::Behaviour;

/// The last second at which something begins to go wrong.
const BEGINS_MAX: u64 = 20;
/// How many seconds it lasts at most.
const LASTS_MAX: u64 = 40;

/// What may go wrong, by its kind.
#[derive(Clone, Copy)]
enum Trouble {
    Partition,
    Storm,
    Reset,
    Hold,
    Mute,
    Rates,
    Kill,
    PowerCut,
    Crash,
    Tracker,
    TrackerDown,
    DiskErrors,
    DiskCapacity,
    DiskSlow,
    DiskHang,
    BitFlips,
    MisdirectedReads,
    TornWrites,
}

const ALL: [Trouble; 18] = [
    Trouble::Partition,
    Trouble::Storm,
    Trouble::Reset,
    Trouble::Hold,
    Trouble::Mute,
    Trouble::Rates,
    Trouble::Kill,
    Trouble::PowerCut,
    Trouble::Crash,
    Trouble::Tracker,
    Trouble::TrackerDown,
    Trouble::DiskErrors,
    Trouble::DiskCapacity,
    Trouble::DiskSlow,
    Trouble::DiskHang,
    Trouble::BitFlips,
    Trouble::MisdirectedReads,
    Trouble::TornWrites,
];

/// Adds so many kinds of trouble.
pub(super) fn add(scenario: &mut Scenario, dice: &mut Dice, kinds: usize) {
    for trouble in dice.pick_some(kinds, &ALL) {
        let fault = fault(scenario, trouble, dice);
        scenario.faults.push(fault);
    }
    scenario.faults.sort_by_key(|fault| fault.at_s);
}

fn fault(scenario: &Scenario, trouble: Trouble, dice: &mut Dice) -> Fault {
    let kind = kind(scenario, trouble, dice);
    let group = match kind {
        FaultKind::Tracker(_) | FaultKind::TrackerDown(_) => None,
        _ => Some(whom(scenario, &kind, dice)),
    };
    let count = group.as_ref().map(|name| {
        let group = scenario.groups.iter().find(|group| group.name == *name);
        let most = group.map_or(1, |group| group.count as u64);
        // What spoils data befalls few: the others are to be told from them.
        let most = if spoils(&kind) { most.min(2) } else { most };
        dice.between(1, most) as usize
    });
    Fault {
        at_s: dice.between(0, BEGINS_MAX),
        for_s: (!kind.is_momentary()).then(|| dice.between(1, LASTS_MAX)),
        kind,
        group,
        count,
        share: None,
    }
}

fn kind(scenario: &Scenario, trouble: Trouble, dice: &mut Dice) -> FaultKind {
    let tracker = dice.between(1, scenario.trackers.len() as u64) as usize;
    match trouble {
        Trouble::Partition => FaultKind::Partition,
        Trouble::Storm => {
            let least = dice.between(0, 200);
            FaultKind::StormMs([least, least + dice.between(50, 2000)])
        }
        Trouble::Reset => FaultKind::Reset,
        Trouble::Hold => FaultKind::Hold,
        Trouble::Mute => FaultKind::Mute,
        Trouble::Rates => FaultKind::Rates(RatesPlan {
            up: dice.rate(8 * KIB, 256 * KIB),
            down: dice.rate(64 * KIB, MIB),
        }),
        Trouble::Kill => FaultKind::Kill,
        Trouble::PowerCut => FaultKind::PowerCut,
        Trouble::Crash => FaultKind::CrashAtOperation(dice.skewed(1, 300)),
        Trouble::Tracker => FaultKind::Tracker(TrackerFault {
            number: tracker,
            behaviour: dice.pick(&Behaviour::EACH),
        }),
        Trouble::TrackerDown => FaultKind::TrackerDown(tracker),
        Trouble::DiskErrors => FaultKind::DiskErrors(DiskErrors {
            on: operations(dice),
            share: dice.share(5, 300),
        }),
        Trouble::DiskCapacity => FaultKind::DiskCapacity(Size(dice.between(MIB, scenario.size()))),
        Trouble::DiskSlow => FaultKind::DiskSlowMs([1, dice.between(20, 500)]),
        Trouble::DiskHang => FaultKind::DiskHang,
        Trouble::BitFlips => FaultKind::BitFlips(dice.between(1, 20)),
        Trouble::MisdirectedReads => FaultKind::MisdirectedReads(dice.share(5, 200)),
        Trouble::TornWrites => FaultKind::TornWrites(dice.share(5, 300)),
    }
}

fn operations(dice: &mut Dice) -> Vec<DiskOperation> {
    let all = [
        DiskOperation::Open,
        DiskOperation::Read,
        DiskOperation::Write,
        DiskOperation::Sync,
    ];
    let count = dice.between(1, 4) as usize;
    let mut some = dice.pick_some(count, &all);
    some.sort_unstable();
    some
}

/// Whether honest hosts come to serve wrong data by it.
fn spoils(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::BitFlips(_) | FaultKind::MisdirectedReads(_)
    )
}

/// The name of the group that it befalls.
fn whom(scenario: &Scenario, kind: &FaultKind, dice: &mut Dice) -> String {
    let is_fit = |role: Role| match kind {
        FaultKind::DiskCapacity(_) => role == Role::Leecher,
        _ if spoils(kind) => role == Role::Leecher,
        _ => role != Role::Adversary,
    };
    let groups = scenario.groups.iter();
    let fit = groups.filter(|group| is_fit(group.role));
    let names: Vec<_> = fit.map(|group| group.name.clone()).collect();
    dice.pick(&names)
}

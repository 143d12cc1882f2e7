//! What the world is to do, and when.

use std::collections::BTreeMap;

use ripcurrent_proto::base::time::Instant;

/// Something that the world does by itself; hosts are told by their numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A host comes.
    Arrive(usize),
    /// A host leaves in good order.
    Leave(usize),
    /// Somebody sees to a client that stands still.
    Mend(usize),
    /// A fault of the scenario begins.
    Begin(usize),
    /// It is over.
    End(usize),
    /// A host that has crashed starts again.
    Return(usize),
}

/// Acts in the order of their times, those of one time in the order in which they were entered.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    acts: BTreeMap<(Instant, u64), Act>,
    entered: u64,
}

impl Agenda {
    pub(super) fn enter(&mut self, at: Instant, act: Act) {
        self.acts.insert((at, self.entered), act);
        self.entered += 1;
    }

    /// Takes out the next act whose time has come.
    pub(super) fn due(&mut self, now: Instant) -> Option<Act> {
        let first = self.acts.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acts_come_in_order_and_not_too_soon() {
        let at = Instant::from_micros;
        let mut agenda = Agenda::default();
        agenda.enter(at(7), Act::Leave(1));
        agenda.enter(at(5), Act::Begin(3));
        agenda.enter(at(5), Act::Arrive(2));
        assert_eq!(agenda.due(at(4)), None);
        assert_eq!(agenda.due(at(6)), Some(Act::Begin(3)));
        assert_eq!(agenda.due(at(6)), Some(Act::Arrive(2)));
        assert_eq!(agenda.due(at(6)), None);
        assert_eq!(agenda.due(at(9)), Some(Act::Leave(1)));
    }
}

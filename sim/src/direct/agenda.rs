//! What is to happen, in order.

use std::collections::BTreeMap;

use ripcurrent_proto::base::time::{Duration, Instant};

/// The grain of a host's timers: they fire at its multiples, as the other backend's do. Many events
/// share an instant because of it, so a queue for each instant is cheaper than one heap of events.
const GRAIN: Duration = Duration::from_millis(1);

/// Events by the time at which they happen; those of one time in the order they were entered.
#[derive(Debug)]
pub(super) struct Agenda<E>(BTreeMap<Instant, Vec<E>>);

impl<E> Agenda<E> {
    /// Nothing is to happen.
    pub(super) fn new() -> Self {
        Agenda(BTreeMap::new())
    }

    /// Enters an event.
    pub(super) fn enter(&mut self, at: Instant, event: E) {
        self.0.entry(at).or_default().push(event);
    }

    /// Enters events that go before all others of that time.
    pub(super) fn enter_first(&mut self, at: Instant, events: Vec<E>) {
        self.0.entry(at).or_default().splice(..0, events);
    }

    /// Takes out all events of the earliest time, if that is before `end`.
    pub(super) fn take_before(&mut self, end: Instant) -> Option<(Instant, Vec<E>)> {
        let first = self.0.first_entry()?;
        (*first.key() < end).then(|| first.remove_entry())
    }
}

/// When a timer set for `at` fires.
pub(super) fn firing(at: Instant) -> Instant {
    let grain = GRAIN.as_micros() as u64;
    // What is too far to be reached is as good as never.
    let fires = at.as_micros().checked_next_multiple_of(grain);
    Instant::from_micros(fires.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Time goes first, then the order of entering; what lies beyond the end stays.
    #[test]
    fn events_come_in_order() {
        let mut agenda = Agenda::new();
        for (micros, event) in [(3000, 'd'), (1000, 'a'), (2000, 'c'), (1000, 'b')] {
            agenda.enter(at(micros), event);
        }
        agenda.enter_first(at(1000), vec!['y', 'z']);
        assert_eq!(
            agenda.take_before(at(3000)),
            Some((at(1000), vec!['y', 'z', 'a', 'b']))
        );
        assert_eq!(agenda.take_before(at(3000)), Some((at(2000), vec!['c'])));
        assert_eq!(agenda.take_before(at(3000)), None);
        assert_eq!(agenda.take_before(at(3001)), Some((at(3000), vec!['d'])));
    }

    #[test]
    fn timers_fire_late_and_never_early() {
        assert_eq!(firing(at(0)), at(0));
        assert_eq!(firing(at(1)), at(1000));
        assert_eq!(firing(at(5000)), at(5000));
        assert_eq!(firing(at(u64::MAX)), at(u64::MAX));
    }
}

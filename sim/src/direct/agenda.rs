//! What is to happen, in order.

use std::collections::BTreeMap;
use std::mem;

use ripcurrent_proto::base::time::{Duration, Instant};

/// The grain of a host's timers: they fire at its multiples, as the other backend's do. So all that
/// happens, happens at its multiples, and many things at one of them.
const GRAIN: Duration = Duration::from_millis(1);

/// How many grains ahead most events lie: a power of two.
const NEAR: u64 = 1024;

/// Events by the time at which they happen; those of one time in the order they were entered.
///
/// A wheel of the near future: entering and taking out cost the same however many there are.
///
/// Invariant: `wheel[grain % NEAR]` holds what is entered for a grain from `next` to `next + NEAR`,
/// `later` what was entered for one while that lay beyond.
#[derive(Debug)]
pub(super) struct Agenda<E> {
    /// The first grain that may have events.
    next: u64,
    wheel: Vec<Vec<E>>,
    later: BTreeMap<u64, Vec<E>>,
}

impl<E> Agenda<E> {
    /// Nothing is to happen.
    pub(super) fn new() -> Self {
        Agenda {
            next: 0,
            wheel: (0..NEAR).map(|_| Vec::new()).collect(),
            later: BTreeMap::new(),
        }
    }

    /// Enters an event for a multiple of the grain that is not past.
    pub(super) fn enter(&mut self, at: Instant, event: E) {
        let grain = grain_of(at);
        debug_assert!(grain >= self.next, "{at} is past");
        if grain < self.next + NEAR {
            self.wheel[(grain % NEAR) as usize].push(event);
        } else {
            self.later.entry(grain).or_default().push(event);
        }
    }

    /// Enters events that go before all others of that time.
    pub(super) fn enter_first(&mut self, at: Instant, events: Vec<E>) {
        let first = self.later.entry(grain_of(at)).or_default();
        first.splice(..0, events);
    }

    /// Moves all events of the earliest time into `events`, which is empty, if that is before `end`;
    /// when it is.
    pub(super) fn take_before(&mut self, end: Instant, events: &mut Vec<E>) -> Option<Instant> {
        debug_assert!(events.is_empty());
        let end = grain_of(end);
        while self.next < end {
            let near = &mut self.wheel[(self.next % NEAR) as usize];
            let is_due = |grain: &u64| *grain <= self.next;
            if self
                .later
                .first_key_value()
                .is_some_and(|(at, _)| is_due(at))
            {
                // What was entered while it lay far ahead was entered first.
                events.extend(
                    self.later
                        .pop_first()
                        .into_iter()
                        .flat_map(|(_, first)| first),
                );
                events.append(near);
            } else {
                mem::swap(near, events);
            }
            if !events.is_empty() {
                return Some(Instant::from_micros(self.next * GRAIN.as_micros() as u64));
            }
            self.next += 1;
        }
        None
    }
}

fn grain_of(at: Instant) -> u64 {
    at.as_micros() / GRAIN.as_micros() as u64
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

    fn at(millis: u64) -> Instant {
        Instant::from_micros(millis * 1000)
    }

    fn take(agenda: &mut Agenda<char>, end: u64) -> Option<(u64, String)> {
        let mut events = Vec::new();
        let at = agenda.take_before(at(end), &mut events)?;
        Some((at.as_micros() / 1000, events.into_iter().collect()))
    }

    /// Time goes first, then the order of entering; what lies beyond the end stays.
    #[test]
    fn events_come_in_order() {
        let mut agenda = Agenda::new();
        for (millis, event) in [(3, 'd'), (1, 'a'), (2, 'c'), (1, 'b')] {
            agenda.enter(at(millis), event);
        }
        assert_eq!(take(&mut agenda, 3), Some((1, "ab".into())));
        agenda.enter(at(1), 'x');
        assert_eq!(take(&mut agenda, 3), Some((1, "x".into())));
        assert_eq!(take(&mut agenda, 3), Some((2, "c".into())));
        assert_eq!(take(&mut agenda, 3), None);
        assert_eq!(take(&mut agenda, 4), Some((3, "d".into())));
        agenda.enter(at(4), 'f');
        agenda.enter_first(at(4), vec!['d', 'e']);
        assert_eq!(take(&mut agenda, 9), Some((4, "def".into())));
    }

    /// What lies far ahead comes in its turn, before what was entered for that time later.
    #[test]
    fn the_far_future_comes() {
        let mut agenda = Agenda::new();
        for millis in [NEAR - 1, NEAR, 5 * NEAR, 5 * NEAR + 1] {
            agenda.enter(at(millis), 'a');
        }
        agenda.enter(Instant::from_micros(u64::MAX), 'z');
        assert_eq!(take(&mut agenda, 9999), Some((NEAR - 1, "a".into())));
        agenda.enter(at(NEAR), 'b');
        assert_eq!(take(&mut agenda, 9999), Some((NEAR, "ab".into())));
        assert_eq!(take(&mut agenda, 9999), Some((5 * NEAR, "a".into())));
        agenda.enter(at(5 * NEAR + 1), 'b');
        assert_eq!(take(&mut agenda, 9999), Some((5 * NEAR + 1, "ab".into())));
        assert_eq!(take(&mut agenda, 9999), None);
    }

    #[test]
    fn timers_fire_late_and_never_early() {
        let micros = Instant::from_micros;
        assert_eq!(firing(micros(0)), micros(0));
        assert_eq!(firing(micros(1)), micros(1000));
        assert_eq!(firing(micros(5000)), micros(5000));
        assert_eq!(firing(micros(u64::MAX)), micros(u64::MAX));
    }
}

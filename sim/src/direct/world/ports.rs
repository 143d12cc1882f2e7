//! The ports that a host calls from.

use std::collections::BTreeSet;

use crate::network::CALLING_PORTS;

/// Hands them out in turn; none twice at a time.
#[derive(Debug)]
pub(super) struct Ports {
    next: u16,
    /// The port that the host listens at, and those in use.
    taken: BTreeSet<u16>,
}

impl Ports {
    pub(super) fn new(listening: u16) -> Self {
        Ports {
            next: *CALLING_PORTS.start(),
            taken: BTreeSet::from([listening]),
        }
    }

    /// A port that is not in use; `None` if there is none.
    pub(super) fn take(&mut self) -> Option<u16> {
        let free = (self.next..=*CALLING_PORTS.end())
            .chain(CALLING_PORTS)
            .take(CALLING_PORTS.len())
            .find(|port| !self.taken.contains(port))?;
        self.taken.insert(free);
        self.next = free.checked_add(1).unwrap_or(*CALLING_PORTS.start());
        Some(free)
    }

    /// A connection from `port` is over.
    pub(super) fn give_back(&mut self, port: u16) {
        self.taken.remove(&port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After all have been used it begins again, past those that still are.
    #[test]
    fn ports_in_use_are_passed_over() {
        let mut ports = Ports::new(1025);
        assert_eq!(ports.take(), Some(1024));
        assert_eq!(
            ports.take(),
            Some(1026),
            "the host listens at the one between"
        );
        for expected in 1027..=u16::MAX {
            assert_eq!(ports.take(), Some(expected));
            ports.give_back(expected);
        }
        assert_eq!(ports.take(), Some(1027), "the first three are still in use");
        ports.give_back(1024);
        for _ in 1028..=u16::MAX {
            assert!(ports.take().is_some());
        }
        assert_eq!(ports.take(), Some(1024));
        assert_eq!(ports.take(), None);
    }
}

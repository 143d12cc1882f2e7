//! Who read how much of whom, and who sent it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use crate::referee::Traffic;

/// What each host read of and sent to each other, in all its lives.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger(BTreeMap<IpAddr, BTreeMap<IpAddr, Traffic>>);

/// More was read than was sent.
#[derive(Debug)]
pub(super) struct Excess {
    from: IpAddr,
    read: u64,
    sent: u64,
}

impl Ledger {
    /// Adds what the host at `addr` read and sent.
    pub(super) fn add(&mut self, addr: IpAddr, traffic: BTreeMap<IpAddr, Traffic>) {
        let sums = self.0.entry(addr).or_default();
        for (far, Traffic { down, up }) in traffic {
            let sum = sums.entry(far).or_default();
            (sum.down, sum.up) = (sum.down + down, sum.up + up);
        }
    }

    /// Somebody of whom the host at `addr` read more than that one sent it. What was sent and not
    /// read is under way, or lost. Hosts that are not in the ledger may send anything.
    pub(super) fn excess(&self, addr: IpAddr) -> Option<Excess> {
        let read = self.0.get(&addr)?.iter();
        let mut pairs = read.filter_map(|(from, traffic)| {
            let sent = self.0.get(from)?.get(&addr).map_or(0, |far| far.up);
            let read = traffic.down;
            Some(Excess {
                from: *from,
                read,
                sent,
            })
        });
        pairs.find(|pair| pair.read > pair.sent)
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Excess { from, read, sent } = self;
        write!(f, "{read} bytes read of {from}, which sent {sent}")
    }
}

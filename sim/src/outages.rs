//! What keeps packets from arriving, and why: one account for both backends, so that an outage
//! means the same on each.
//!
//! Causes overlap: a way is open again when the last of them is gone. What is sent meanwhile is
//! kept back, in order; nothing is ever taken out of the middle of a stream, because a stream with
//! a gap is what TCP never hands over. A real sender resends, so a short partition costs time and
//! no bytes, and one that outlasts [`GIVE_UP`] costs the connection.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ripcurrent_proto::base::time::{Duration, Instant};

/// How long TCP resends before it gives a connection up: 15 retries that back off to two minutes
/// (`tcp_retries2` of Linux) are 924.6 s. Peers that are alive say something every two minutes, so
/// a connection across a partition always has something to resend.
pub(crate) const GIVE_UP: Duration = Duration::from_millis(924_600);

/// Why nothing arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Partition = 1,
    Hold = 2,
    Mute = 4,
}

/// From whom, to whom.
pub(crate) type Way = (IpAddr, IpAddr);

/// Every way on which nothing arrives.
///
/// Invariant: each way that is listed has a cause.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    causes: BTreeMap<Way, u8>,
    /// Since when; by pair, the lower address first.
    partitions: BTreeMap<Way, Instant>,
}

impl Outages {
    /// Adds a cause; whether the way was open until now.
    pub(crate) fn begin(&mut self, way: Way, cause: Cause) -> bool {
        let causes = self.causes.entry(way).or_default();
        let was_open = *causes == 0;
        *causes |= cause as u8;
        was_open
    }

    /// Takes a cause away; whether the way is open because of that.
    pub(crate) fn end(&mut self, way: Way, cause: Cause) -> bool {
        let Some(causes) = self.causes.get_mut(&way) else {
            return false;
        };
        *causes &= !(cause as u8);
        let is_open = *causes == 0;
        if is_open {
            self.causes.remove(&way);
        }
        is_open
    }

    /// Two hosts have lost each other.
    pub(crate) fn part(&mut self, now: Instant, one: IpAddr, other: IpAddr) {
        self.partitions.entry(pair(one, other)).or_insert(now);
    }

    /// They have found each other.
    pub(crate) fn meet(&mut self, one: IpAddr, other: IpAddr) {
        self.partitions.remove(&pair(one, other));
    }

    /// Takes out a pair that has been parted for as long as TCP waits.
    pub(crate) fn given_up(&mut self, now: Instant) -> Option<Way> {
        let is_over = |since: &Instant| now.since(*since) >= GIVE_UP;
        let (&pair, _) = self.partitions.iter().find(|(_, since)| is_over(since))?;
        self.partitions.remove(&pair);
        Some(pair)
    }
}

fn pair(one: IpAddr, other: IpAddr) -> Way {
    (one.min(other), one.max(other))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn addr(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    /// A way is open when its last cause is gone, and only then; the way back is another.
    #[test]
    fn causes_overlap() {
        let (way, back) = ((addr(1), addr(2)), (addr(2), addr(1)));
        let mut outages = Outages::default();
        assert!(outages.begin(way, Cause::Hold));
        assert!(!outages.begin(way, Cause::Hold));
        assert!(!outages.begin(way, Cause::Partition));
        assert!(outages.begin(back, Cause::Mute));
        assert!(!outages.end(way, Cause::Mute), "that was no cause");
        assert!(!outages.end(way, Cause::Partition));
        assert!(outages.end(way, Cause::Hold));
        assert!(!outages.end(way, Cause::Hold), "it was open already");
        assert!(outages.end(back, Cause::Mute));
    }

    /// A pair gives up once, when the time is over, unless it has met before.
    #[test]
    fn long_partitions_are_given_up() {
        let mut outages = Outages::default();
        let start = Instant::from_micros(5);
        outages.part(start, addr(2), addr(1));
        outages.part(start + GIVE_UP, addr(1), addr(2));
        outages.part(start, addr(1), addr(3));
        outages.meet(addr(3), addr(1));
        assert_eq!(outages.given_up(Instant::ZERO + GIVE_UP), None);
        assert_eq!(
            outages.given_up(start + GIVE_UP),
            Some((addr(1), addr(2))),
            "the first partition counts"
        );
        assert_eq!(outages.given_up(start + GIVE_UP), None);
    }
}

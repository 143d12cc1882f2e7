//! Floor 2: whom to dial. The address book of one torrent, with back-off and bans.
//!
//! Invariant: an address is in exactly one of these states: waiting for its time, busy (being
//! dialled or connected), or shunned. Banned hosts are not in the book at all.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::{IpAddr, SocketAddr};

use crate::base::time::{Duration, Instant};

/// The most addresses kept. About 100 bytes each.
pub const BOOK_MAX: usize = 2000;
/// The most banned hosts kept.
pub const BANS_MAX: usize = 10_000;

/// The pause after the first failure; it doubles with each further one.
const BACKOFF_FIRST: Duration = Duration::from_secs(3);
/// The longest pause.
const BACKOFF_MAX: Duration = Duration::from_secs(1800);
/// The pause after a connection that worked and ended.
const REDIAL_AFTER: Duration = Duration::from_secs(10);
/// The pause after a second connection to a peer, or one too many to its host, was given up: one of
/// the others may end soon.
const TWIN_PAUSE: Duration = Duration::from_secs(120);
/// After so many failures in a row an address is forgotten.
const FAILURES_MAX: u32 = 8;
/// How many breaches of the protocol ban a host.
const STRIKES_MAX: u32 = 3;

/// How a connection to an address ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parting {
    /// It was never made, or never got past the handshake.
    Failed,
    /// It worked for a while.
    Worked,
    /// There is nothing to be had for either side: both have everything.
    Useless,
    /// It is connected already, by another connection, or its host by as many as it may.
    Twin,
    /// It is ourselves.
    Shunned,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting { from: Instant },
    Busy,
    Shunned,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: State,
    failures: u32,
}

/// The addresses of a torrent's peers.
#[derive(Debug, Default)]
pub struct Swarm {
    book: BTreeMap<SocketAddr, Entry>,
    /// The waiting addresses by their time, then in the order of their coming.
    waiting: BTreeMap<(Instant, u64), SocketAddr>,
    sequence: u64,
    banned: BTreeSet<IpAddr>,
    strikes: BTreeMap<IpAddr, u32>,
    loopback_only: bool,
}

impl Swarm {
    /// An empty book; with `loopback_only`, other addresses are not taken.
    #[must_use]
    pub fn new(loopback_only: bool) -> Self {
        Swarm {
            loopback_only,
            ..Swarm::default()
        }
    }

    /// Whether a host may be spoken to at all.
    #[must_use]
    pub fn admits(&self, ip: IpAddr) -> bool {
        (!self.loopback_only || ip.is_loopback()) && !self.banned.contains(&ip)
    }

    /// Writes an address into the book; false if it is there, unusable, or the book is full of
    /// such as may be dialled now. In a full one it takes the place of the one that would be dialled
    /// last: else whoever names thousands of addresses where nobody is keeps all others out until
    /// these have failed often enough.
    pub fn add(&mut self, now: Instant, addr: SocketAddr) -> bool {
        let usable = addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast();
        if !usable || !self.admits(addr.ip()) || self.book.contains_key(&addr) {
            return false;
        }
        if self.book.len() >= BOOK_MAX && !self.forget_last(now) {
            return false;
        }
        self.set(addr, State::Waiting { from: now }, 0);
        true
    }

    /// An address whose time has come; it is busy from now on.
    pub fn next(&mut self, now: Instant) -> Option<SocketAddr> {
        let (&(from, _), &addr) = self.waiting.first_key_value()?;
        if from > now {
            return None;
        }
        self.waiting.pop_first();
        if let Some(entry) = self.book.get_mut(&addr) {
            entry.state = State::Busy;
        }
        Some(addr)
    }

    /// When the next address may be dialled.
    #[must_use]
    pub fn next_at(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(&(from, _), _)| from)
    }

    /// A busy address is busy no more.
    pub fn parted(&mut self, now: Instant, addr: SocketAddr, how: Parting) {
        let Some(entry) = self.book.get(&addr).copied() else {
            return;
        };
        if entry.state != State::Busy {
            return;
        }
        let failures = if how == Parting::Failed {
            entry.failures + 1
        } else {
            0
        };
        match how {
            Parting::Failed if failures >= FAILURES_MAX => {
                self.book.remove(&addr);
            }
            Parting::Failed => {
                let pause = BACKOFF_FIRST
                    .saturating_mul(1 << (failures - 1))
                    .min(BACKOFF_MAX);
                self.set(addr, State::Waiting { from: now + pause }, failures);
            }
            Parting::Worked => self.set(
                addr,
                State::Waiting {
                    from: now + REDIAL_AFTER,
                },
                0,
            ),
            Parting::Useless => self.set(
                addr,
                State::Waiting {
                    from: now + BACKOFF_MAX,
                },
                0,
            ),
            Parting::Twin => self.set(
                addr,
                State::Waiting {
                    from: now + TWIN_PAUSE,
                },
                0,
            ),
            Parting::Shunned => self.set(addr, State::Shunned, 0),
        }
    }

    /// A host broke the protocol; true if it is banned for it now.
    pub fn strike(&mut self, ip: IpAddr) -> bool {
        if self.strikes.len() >= BANS_MAX {
            self.strikes.pop_first();
        }
        let strikes = self.strikes.entry(ip).or_default();
        *strikes += 1;
        *strikes >= STRIKES_MAX && self.ban(ip)
    }

    /// Bans a host; false if it was banned already.
    pub fn ban(&mut self, ip: IpAddr) -> bool {
        if self.banned.len() >= BANS_MAX {
            self.banned.pop_first();
        }
        self.strikes.remove(&ip);
        self.book.retain(|addr, _| addr.ip() != ip);
        self.waiting.retain(|_, addr| addr.ip() != ip);
        self.banned.insert(ip)
    }

    /// How many addresses are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.book.len()
    }

    /// Whether no address is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.book.is_empty()
    }

    /// Forgets the waiting address that would be dialled last, unless its time has come.
    fn forget_last(&mut self, now: Instant) -> bool {
        let Some(last) = self.waiting.last_entry() else {
            return false;
        };
        let (from, _) = *last.key();
        if from > now {
            self.book.remove(&last.remove());
        }
        from > now
    }

    fn set(&mut self, addr: SocketAddr, state: State, failures: u32) {
        self.book.insert(addr, Entry { state, failures });
        if let State::Waiting { from } = state {
            self.waiting.insert((from, self.sequence), addr);
            self.sequence += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn addr(last: u8) -> SocketAddr {
        SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), 6881)
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn failures_back_off_until_the_address_is_forgotten() {
        let mut swarm = Swarm::new(true);
        assert!(swarm.add(at(0), addr(2)) && !swarm.add(at(0), addr(2)));
        let mut now = at(0);
        let mut pauses = alloc::vec::Vec::new();
        while let Some(from) = swarm.next_at() {
            pauses.push(from.since(now).as_secs());
            now = from;
            let dialled = swarm.next(now).unwrap();
            assert_eq!(swarm.next(now), None, "busy");
            swarm.parted(now, dialled, Parting::Failed);
        }
        assert_eq!(pauses, [0, 3, 6, 12, 24, 48, 96, 192]);
        assert!(swarm.is_empty());
    }

    #[test]
    fn a_banned_host_is_neither_dialled_nor_admitted_again() {
        let mut swarm = Swarm::new(true);
        swarm.add(at(0), addr(2));
        assert!(!swarm.strike(addr(2).ip()) && !swarm.strike(addr(2).ip()));
        assert!(swarm.strike(addr(2).ip()), "the third is one too many");
        assert_eq!(swarm.next(at(9)), None);
        assert!(!swarm.add(at(9), addr(2)) && !swarm.admits(addr(2).ip()));
    }

    /// Addresses where nobody was found make room, the one that waits longest first; those that
    /// were not tried yet do not.
    #[test]
    fn a_full_book_forgets_what_was_of_no_use() {
        let mut swarm = Swarm::new(true);
        let nobody = |n: u32| SocketAddr::new(Ipv4Addr::from(0x7f01_0000 + n).into(), 1);
        assert!((0..BOOK_MAX as u32).all(|n| swarm.add(at(0), nobody(n))));
        assert!(!swarm.add(at(0), addr(2)), "all may be dialled");
        for second in [0, 1] {
            let tried = swarm.next(at(second)).unwrap();
            swarm.parted(at(second), tried, Parting::Failed);
        }
        assert!(swarm.add(at(2), addr(2)) && swarm.len() == BOOK_MAX);
        assert!(swarm.add(at(2), nobody(1)), "it waited longest");
        assert!(!swarm.add(at(2), nobody(0)) && !swarm.add(at(2), addr(3)));
        let dialled: BTreeSet<_> = core::iter::from_fn(|| swarm.next(at(2))).collect();
        assert!(dialled.contains(&addr(2)) && dialled.len() == BOOK_MAX);
    }

    #[test]
    fn what_cannot_be_dialled_is_not_taken() {
        let mut swarm = Swarm::new(true);
        for hopeless in ["127.0.0.1:0", "10.0.0.1:80", "0.0.0.0:80", "224.0.0.1:80"] {
            assert!(!swarm.add(at(0), hopeless.parse().unwrap()), "{hopeless}");
        }
        let many = (0..3000u32).filter(|n| {
            let ip = Ipv4Addr::from(0x7f00_0001 + n);
            swarm.add(at(0), SocketAddr::new(ip.into(), 1))
        });
        assert_eq!(many.count(), BOOK_MAX);
    }
}

//! The least time in which any protocol can distribute a torrent.
//!
//! # Bytes that flow like a fluid
//!
//! R. Kumar and K. W. Ross ("Peer-Assisted File Distribution: The Minimum Distribution Time", IEEE
//! HotWeb 2006) show that `N` leechers that come at once need, for `F` bytes, at least
//! `max(F / u_s, F / d_min, N F / (u_s + sum u_i))`: the seeds must send everything once, the
//! slowest leecher must receive it, and everybody together must send it to everybody.
//!
//! Where leechers come one after the other, what counts is how long each of them waits from its
//! arrival, and the bound is one of the longest wait `W`. Let `C(t)` be what all lines can have sent
//! up to `t`, each from its owner's arrival on. Those that arrive from `a_i` up to `a_j` must have
//! everything by `a_j + W`, and nothing that was sent before `a_i` went to them, so for all `i <= j`
//! `C(a_j + W) - C(a_i) >= (j - i + 1) F`. If all come at once that is the third term above. The
//! first can not be complete before the seeds have sent everything since it came.
//!
//! # Pieces that are whole before they are forwarded
//!
//! A leecher gives nothing before it has a whole piece of `P` bytes. J. Mundinger, R. Weber and G.
//! Weiss ("Optimal scheduling of peer-to-peer file dissemination", Journal of Scheduling 11, 2008)
//! prove `1 + floor(log2 N) / M` times `F / u` for `M` parts and equal rates, each part sent by one.
//! Here the blocks of a piece may come from many, so less is sure. With `U_k` for what the seeds and
//! the `k` fastest leechers send in a second:
//!
//! - *Beginning.* For `k` leechers to have a piece each, `k P` bytes must have been sent, and until
//!   the next one has, nobody but those `k` and the seeds sends. So all together need
//!   `P (1/U_0 + .. + 1/U_(N-1)) + N (F - P) / U_N`.
//! - *End.* The piece that is the last to leave the seeds is not whole anywhere before `F / u_s`,
//!   and again spreads no faster than those who have it can send: the `m`-th leecher has it after
//!   another `P (1/U_1 + .. + 1/U_(m-1))`.
//! - *Late arrivals.* A line counts in `C` only from `P / d_i` after its owner's arrival.
//!
//! A short last piece could be forwarded sooner, so here it is left out of `F`. Latencies, messages,
//! hashing and the disk are counted nowhere. If a leecher begins with some pieces, the seeds need
//! not send those and it may forward at once, so beginning and end add nothing.

use std::num::NonZeroU64;

use ripcurrent_proto::base::time::{Duration, Instant};

use crate::report::HostReport;
use crate::scenario::{Role, Scenario};

/// What stands for a line without a limit, in bytes per second.
const UNLIMITED: u64 = 1 << 40;
const MICROS: u128 = 1_000_000;

/// The least that the longest wait of a leecher can be, from its arrival to its last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// For bytes that flow like a fluid.
    pub fluid: Duration,
    /// For pieces that are whole before they are forwarded; at least `fluid`.
    pub store_and_forward: Duration,
    /// What makes `fluid` as long as it is.
    pub limit: Limit,
}

/// What a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The seeds must send everything once.
    Seeds,
    /// The slowest leecher must receive everything.
    Download,
    /// Everybody together must send everything to everybody.
    Uploads,
}

/// Those between whom a torrent is distributed: all that a bound depends on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swarm {
    /// The bytes of the torrent.
    pub size: u64,
    /// The bytes of every piece but the last.
    pub piece_length: u64,
    /// Have everything.
    pub seeds: Vec<Party>,
    /// Are to get everything.
    pub leechers: Vec<Party>,
}

/// A host of a [`Swarm`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// When it comes.
    pub arrives: Instant,
    /// Bytes per second that it can send.
    pub up: u64,
    /// Bytes per second that it can receive.
    pub down: u64,
    /// Bytes of the torrent that it has when it comes.
    pub has: u64,
}

impl Bound {
    /// The bound of a swarm; zero if there is nobody to send or to receive.
    #[must_use]
    pub fn of(swarm: &Swarm) -> Self {
        let Swarm { size, seeds, .. } = swarm;
        let mut leechers = swarm.leechers.clone();
        leechers.sort_by_key(|party| party.arrives);
        let terms = [
            (Limit::Seeds, seeds_term(*size, seeds, &leechers)),
            (Limit::Download, download_term(*size, &leechers)),
            (Limit::Uploads, uploads_term(*size, seeds, &leechers, 0)),
        ];
        // Of equal terms the first.
        let (limit, fluid) = terms
            .into_iter()
            .rev()
            .max_by_key(|(_, micros)| *micros)
            .expect("three terms");
        let whole = whole_pieces(swarm, seeds, &leechers);
        Bound {
            fluid: duration(fluid),
            store_and_forward: duration(whole.max(fluid)),
            limit,
        }
    }
}

impl Swarm {
    /// The honest hosts of a run: what adversaries and free riders might send is not counted on, and
    /// what becomes of them does not matter.
    pub(crate) fn of(scenario: &Scenario, hosts: &[HostReport]) -> Self {
        let parties = |role| {
            let hosts = hosts.iter().filter(move |host| host.role == role);
            hosts.map(Party::from).collect()
        };
        Swarm {
            size: scenario.size(),
            piece_length: scenario.torrent.piece_length.0,
            seeds: parties(Role::Seed),
            leechers: parties(Role::Leecher),
        }
    }
}

impl From<&HostReport> for Party {
    fn from(host: &HostReport) -> Self {
        Party {
            arrives: host.arrived,
            up: host.up.map_or(UNLIMITED, NonZeroU64::get),
            down: host.down.map_or(UNLIMITED, NonZeroU64::get),
            has: host.had_at_start,
        }
    }
}

/// Microseconds; `leechers` are in the order of their arrival, here and below.
fn seeds_term(size: u64, seeds: &[Party], leechers: &[Party]) -> u128 {
    let Some(first) = leechers.first() else {
        return 0;
    };
    last_new_byte(size, seeds, leechers).saturating_sub(micros(first.arrives))
}

/// When the seeds have sent everything that only they have.
fn last_new_byte(size: u64, seeds: &[Party], leechers: &[Party]) -> u128 {
    let first = leechers.first().map_or(0, |party| micros(party.arrives));
    let had: u128 = leechers.iter().map(|party| u128::from(party.has)).sum();
    let lines = seeds
        .iter()
        .map(|seed| (micros(seed.arrives).max(first), seed.up));
    let needed = u128::from(size).saturating_sub(had);
    Capacity::new(lines).when(needed * MICROS)
}

fn download_term(size: u64, leechers: &[Party]) -> u128 {
    let times = leechers
        .iter()
        .map(|party| time_for(missing(party, size), party.down));
    times.max().unwrap_or(0)
}

/// Leechers send only when they had the time to receive `first` bytes.
fn uploads_term(size: u64, seeds: &[Party], leechers: &[Party], first: u64) -> u128 {
    let seed_lines = seeds.iter().map(|seed| (micros(seed.arrives), seed.up));
    let leecher_lines = leechers.iter().map(|party| {
        let wait = time_for(u128::from(first.saturating_sub(party.has)), party.down);
        (micros(party.arrives) + wait, party.up)
    });
    let capacity = Capacity::new(seed_lines.chain(leecher_lines));
    // All that those up to here miss, and the least of it minus what can be sent before somebody
    // arrives: what was sent to earlier ones counts for them alone.
    let (mut missed, mut spare) = (0i128, i128::MAX);
    let mut longest = 0;
    for party in leechers {
        let arrives = micros(party.arrives);
        spare = spare.min(missed - capacity.by(arrives) as i128);
        missed += (missing(party, size) * MICROS) as i128;
        let complete = capacity.when((missed - spare) as u128);
        longest = longest.max(complete.saturating_sub(arrives));
    }
    longest
}

/// The bound for pieces that are forwarded only when they are whole.
fn whole_pieces(swarm: &Swarm, seeds: &[Party], leechers: &[Party]) -> u128 {
    let piece = swarm.piece_length.min(swarm.size).max(1);
    let size = swarm.size / piece * piece;
    let late = uploads_term(size, seeds, leechers, piece);
    if leechers.iter().any(|party| party.has > 0) {
        return late;
    }
    let rates = growing_rates(seeds, leechers);
    late.max(beginning(size, piece, leechers, &rates))
        .max(end(size, piece, seeds, leechers, &rates))
}

/// Bytes per second of the seeds, alone and with one, two, ... all of the leechers, the fastest first.
fn growing_rates(seeds: &[Party], leechers: &[Party]) -> Vec<u128> {
    let mut rates: Vec<u64> = leechers.iter().map(|party| party.up).collect();
    rates.sort_unstable_by(|one, other| other.cmp(one));
    let mut sum = seeds.iter().map(|seed| u128::from(seed.up)).sum();
    let mut growing = vec![sum];
    for rate in rates {
        sum += u128::from(rate);
        growing.push(sum);
    }
    growing
}

fn beginning(size: u64, piece: u64, leechers: &[Party], rates: &[u128]) -> u128 {
    let (Some(first), Some(last)) = (leechers.first(), leechers.last()) else {
        return 0;
    };
    let (few, all) = rates.split_at(leechers.len());
    let first_pieces: u128 = few.iter().map(|rate| divide(piece, *rate)).sum();
    let rest = u128::from(size - piece) * leechers.len() as u128 * MICROS;
    let complete = micros(first.arrives) + first_pieces + rest / all[0].max(1);
    complete.saturating_sub(micros(last.arrives))
}

fn end(size: u64, piece: u64, seeds: &[Party], leechers: &[Party], rates: &[u128]) -> u128 {
    let mut has_it = last_new_byte(size, seeds, leechers);
    let mut longest = 0;
    for (party, rate) in leechers.iter().zip(&rates[1..]) {
        longest = longest.max(has_it.saturating_sub(micros(party.arrives)));
        has_it += divide(piece, *rate);
    }
    longest
}

/// What some lines can have sent at a time: each nothing before its start, and then at its rate.
struct Capacity {
    /// Start, what could be sent up to there (in millionths of bytes), and the rate from there on.
    bends: Vec<(u128, u128, u128)>,
}

impl Capacity {
    fn new(lines: impl Iterator<Item = (u128, u64)>) -> Self {
        let mut lines: Vec<_> = lines.collect();
        lines.sort_unstable();
        let mut bends = Vec::with_capacity(lines.len());
        let (mut at, mut amount, mut rate) = (0, 0, 0);
        for (start, up) in lines {
            amount += (start - at) * rate;
            (at, rate) = (start, rate + u128::from(up));
            bends.push((at, amount, rate));
        }
        Capacity { bends }
    }

    /// Millionths of bytes that can have been sent by then.
    fn by(&self, time: u128) -> u128 {
        let bend = self
            .bends
            .partition_point(|(at, ..)| *at <= time)
            .checked_sub(1);
        bend.map_or(0, |bend| {
            let (at, amount, rate) = self.bends[bend];
            amount + (time - at) * rate
        })
    }

    /// When that many millionths of bytes can have been sent; zero if nobody ever sends.
    fn when(&self, wanted: u128) -> u128 {
        let bend = self
            .bends
            .partition_point(|(_, amount, _)| *amount < wanted)
            .checked_sub(1);
        bend.map_or(0, |bend| {
            let (at, amount, rate) = self.bends[bend];
            at + (wanted - amount).div_ceil(rate.max(1))
        })
    }
}

fn missing(party: &Party, size: u64) -> u128 {
    u128::from(size.saturating_sub(party.has))
}

/// Microseconds for `bytes` at `rate` bytes per second.
fn time_for(bytes: u128, rate: u64) -> u128 {
    (bytes * MICROS).div_ceil(u128::from(rate.max(1)))
}

/// The same, rounded down: many such are added up.
fn divide(bytes: u64, rate: u128) -> u128 {
    u128::from(bytes) * MICROS / rate.max(1)
}

fn micros(time: Instant) -> u128 {
    u128::from(time.as_micros())
}

fn duration(micros: u128) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn party(arrives_s: u64, up: u64, down: u64) -> Party {
        Party {
            arrives: Instant::ZERO + Duration::from_secs(arrives_s),
            up,
            down,
            has: 0,
        }
    }

    /// A torrent of `pieces` pieces of 100 bytes.
    fn swarm(pieces: u64, seed_up: u64, leechers: Vec<Party>) -> Swarm {
        Swarm {
            size: 100 * pieces,
            piece_length: 100,
            seeds: vec![party(0, seed_up, 1)],
            leechers,
        }
    }

    fn fluid_s(swarm: &Swarm) -> (u64, Limit) {
        let bound = Bound::of(swarm);
        assert!(bound.store_and_forward >= bound.fluid);
        (bound.fluid.as_secs(), bound.limit)
    }

    /// Each of the three limits is the bound where it is the narrowest.
    #[test]
    fn the_narrowest_limit_counts() {
        let seed = swarm(100, 100, vec![party(0, 1_000, 1_000); 3]);
        assert_eq!(fluid_s(&seed), (100, Limit::Seeds));
        let mut lines = vec![party(0, 9_000, 9_000); 2];
        lines.push(party(0, 9_000, 50));
        assert_eq!(fluid_s(&swarm(100, 5_000, lines)), (200, Limit::Download));
        let slow = swarm(100, 500, vec![party(0, 50, 9_000); 10]);
        assert_eq!(fluid_s(&slow), (100, Limit::Uploads));
    }

    /// Who comes when the others have gone through waits no longer than alone: the bound is one of
    /// waiting, not of the clock.
    #[test]
    fn waiting_is_counted_from_the_arrival() {
        let one = party(0, 1, 9_000);
        let other = party(5_000, 1, 9_000);
        let alone = fluid_s(&swarm(100, 100, vec![one]));
        assert_eq!(fluid_s(&swarm(100, 100, vec![one, other])), alone);
    }

    /// Of two that come 10 s apart, with 1 s of work at 1000 B/s behind each, nobody waits for the
    /// other; 2 s of work each, 1 s apart, and the second waits another second.
    #[test]
    fn late_arrivals_share_what_is_left() {
        let lines = |gap| vec![party(0, 1, 1 << 30), party(gap, 1, 1 << 30)];
        let wait = |pieces, gap| {
            let bound = Bound::of(&swarm(pieces, 1000, lines(gap)));
            bound.fluid.as_micros().div_ceil(10_000)
        };
        assert_eq!(wait(10, 10), 100);
        assert_eq!(wait(20, 1), 300);
    }

    /// Two leechers and a seed of 100 B/s each: the last piece is at one leecher after 4 s, and two
    /// lines bring it to the other in another half.
    #[test]
    fn the_last_piece_must_spread() {
        let bound = Bound::of(&swarm(4, 100, vec![party(0, 100, 1_000); 2]));
        assert_eq!(bound.fluid, Duration::from_secs(4));
        assert_eq!(bound.store_and_forward, Duration::from_millis(4_500));
    }

    /// A seed of 1000 B/s and nine leechers of 100 B/s: until each has a piece, the lines come into
    /// play one by one, after 100 / 1000 s, another 100 / 1100 s and so on.
    #[test]
    fn the_first_pieces_must_spread() {
        let bound = Bound::of(&swarm(40, 1_000, vec![party(0, 100, 9_000); 9]));
        let first: f64 = (0..9)
            .map(|have| 100.0 / f64::from(1000 + 100 * have))
            .sum();
        let all = first + 9.0 * 3900.0 / 1900.0;
        let got = bound.store_and_forward.as_secs_f64();
        assert!((got - all).abs() < 1e-4, "{got}, not {all}");
        assert!(bound.fluid.as_secs_f64() < got);
    }

    /// A short last piece makes no first holder: without it the bound is that of the whole ones.
    #[test]
    fn a_short_last_piece_adds_nothing() {
        let mut with_short = swarm(4, 100, vec![party(0, 100, 1_000); 2]);
        with_short.size += 1;
        let bound = Bound::of(&with_short);
        assert_eq!(bound.fluid, Duration::from_millis(4_010));
        assert_eq!(bound.store_and_forward, Duration::from_millis(4_500));
    }

    /// What leechers bring along the seeds need not send, and nobody needs to receive.
    #[test]
    fn what_is_there_already_is_not_sent() {
        let mut half = party(0, 100, 100);
        half.has = 200;
        let bound = Bound::of(&swarm(4, 100, vec![half]));
        assert_eq!(bound.fluid, Duration::from_secs(2));
        assert_eq!(bound.store_and_forward, bound.fluid);
    }

    /// Nobody to send to takes no time.
    #[test]
    fn nobody_waits_for_nothing() {
        assert_eq!(
            Bound::of(&Swarm::default()).store_and_forward,
            Duration::ZERO
        );
    }
}

//! The course of a run, read off the swarm at even virtual times. How often each piece is there is
//! counted along by what changed since the last look.

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::meta::layout::{Layout, PieceIndex};

use super::peer::{Peer, State};
use crate::report::{Availability, GroupSample, Mark, Sample, Timeline};
use crate::scenario::{Role, Scenario};

/// About how many samples the least possible time is divided into, where it is long.
const SAMPLES: u64 = 300;

/// Writes the course of a run down.
pub(super) struct Recorder {
    timeline: Timeline,
    next: Instant,
    groups: usize,
    /// Of each host, the pieces that are counted in `copies`.
    seen: Vec<Bitfield>,
    /// Of each piece, how many hosts have it that did not have everything from the start.
    copies: Vec<u32>,
    /// Hosts that had everything from the start, have it and are there.
    seeds: u32,
}

impl Recorder {
    /// Nothing is written yet; `bound` is the least possible time of the run.
    pub(super) fn new(scenario: &Scenario, pieces: usize, bound: Duration) -> Self {
        let every = Duration::from_secs((bound.as_secs() / SAMPLES).max(1));
        Recorder {
            timeline: Timeline {
                every,
                ..Timeline::default()
            },
            next: Instant::ZERO + every,
            groups: scenario.groups.len(),
            seen: vec![Bitfield::new(pieces); scenario.hosts()],
            copies: vec![0; pieces],
            seeds: 0,
        }
    }

    /// Whether it is time for a sample.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.next
    }

    /// Writes down what was done to the swarm.
    pub(super) fn mark(&mut self, at: Instant, what: String) {
        self.timeline.marks.push(Mark { at, what });
    }

    /// Writes down how the swarm is.
    pub(super) fn sample(&mut self, now: Instant, peers: &[Peer], layout: &Layout) {
        self.count_copies(peers);
        let mut groups = vec![GroupSample::default(); self.groups];
        for peer in peers {
            observe(&mut groups[peer.member.group], peer, layout, now);
        }
        self.next = now + self.timeline.every;
        self.timeline.samples.push(Sample {
            at: now,
            groups,
            availability: self.availability(),
        });
    }

    /// The last sample.
    pub(super) fn last(&self) -> Option<&Sample> {
        self.timeline.samples.last()
    }

    /// A piece that nobody has, as of the last sample.
    pub(super) fn lost(&self) -> Option<PieceIndex> {
        let lost = self.copies.iter().position(|copies| *copies == 0)?;
        (self.seeds == 0).then_some(PieceIndex(lost as u32))
    }

    /// How many copies there are of the rarest piece, those of whole seeds aside, as of the last
    /// sample.
    pub(super) fn copies_elsewhere(&self) -> u32 {
        self.copies.iter().min().copied().unwrap_or(0)
    }

    /// How many copies there are of the rarest piece, as of the last sample.
    pub(super) fn rarest(&self) -> u32 {
        self.seeds + self.copies_elsewhere()
    }

    pub(super) fn into_timeline(self) -> Timeline {
        self.timeline
    }

    fn availability(&self) -> Availability {
        let most = self.copies.iter().max().copied().unwrap_or(0);
        let mut pieces = vec![0; most as usize + 1];
        for copies in &self.copies {
            pieces[*copies as usize] += 1;
        }
        Availability {
            seeds: self.seeds,
            pieces,
        }
    }

    fn count_copies(&mut self, peers: &[Peer]) {
        self.seeds = 0;
        for (peer, seen) in peers.iter().zip(&mut self.seen) {
            let whole_seed = |had: &Bitfield| peer.member.role == Role::Seed && had.is_full();
            if peer.with_pieces(whole_seed) == Some(true) {
                self.seeds += 1;
                recount(&mut self.copies, seen, &Bitfield::new(seen.len()));
            } else if peer
                .with_pieces(|had| recount(&mut self.copies, seen, had))
                .is_none()
            {
                recount(&mut self.copies, seen, &Bitfield::new(seen.len()));
            }
        }
    }
}

/// Counts a host's pieces as those in `had` instead of those in `seen`.
fn recount(copies: &mut [u32], seen: &mut Bitfield, had: &Bitfield) {
    if seen == had {
        return;
    }
    had.beyond(seen).for_each(|piece| copies[piece] += 1);
    seen.beyond(had).for_each(|piece| copies[piece] -= 1);
    seen.clone_from(had);
}

fn observe(group: &mut GroupSample, peer: &Peer, layout: &Layout, now: Instant) {
    let stats = peer.stats(now);
    let counters = peer.counters(stats.as_ref());
    group.complete += u32::from(peer.completed.is_some());
    group.uploaded += counters.uploaded;
    group.downloaded += counters.downloaded;
    group.wasted += counters.wasted;
    group.received += counters.received;
    if let (State::Up | State::Leaving, Some(stats)) = (peer.state, stats) {
        group.running += 1;
        group.had += peer.with_pieces(|had| bytes_of(had, layout)).unwrap_or(0);
        group.connections += stats.peers as u32;
        group.up_capacity += peer.member.up.map_or(0, |rate| rate.get());
    }
}

/// The bytes of these pieces.
fn bytes_of(pieces: &Bitfield, layout: &Layout) -> u64 {
    let length = u64::from(layout.piece_length());
    let bytes = pieces.count() as u64 * length;
    let last = layout.pieces() - 1;
    match pieces.contains(last as usize) {
        true => bytes - (length - u64::from(layout.piece_len(PieceIndex(last)))),
        false => bytes,
    }
}

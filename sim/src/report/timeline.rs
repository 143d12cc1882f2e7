//! How a run went on: what is read off the swarm at even virtual times, and what befell it between.
//!
//! Counters never go back: where a client starts anew, what its process before it had counted is
//! kept. One [`GroupSample`] stands for each group of the scenario, in its order.

use ripcurrent_proto::base::time::{Duration, Instant};

/// The course of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The virtual time from one sample to the next; the last may come sooner, at the end.
    pub every: Duration,
    /// In the order of time.
    pub samples: Vec<Sample>,
    /// In the order of time.
    pub marks: Vec<Mark>,
}

/// The swarm at one instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Instant,
    /// The groups, in the order of the scenario.
    pub groups: Vec<GroupSample>,
    /// How often the pieces are there.
    pub availability: Availability,
}

/// The hosts of one group together, at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupSample {
    /// Hosts that are up: arrived, not crashed and not gone.
    pub running: u32,
    /// Hosts that have ever had everything, those that are gone included.
    pub complete: u32,
    /// Bytes of pieces verified and written, on the hosts that are up.
    pub had: u64,
    /// Bytes of blocks sent since the beginning.
    pub uploaded: u64,
    /// Bytes of blocks received since the beginning, wasted ones included.
    pub downloaded: u64,
    /// Bytes of blocks received for nothing since the beginning.
    pub wasted: u64,
    /// Bytes received in connections since the beginning: blocks, messages and trackers' answers.
    pub received: u64,
    /// Connections with peers, each counted at each of its ends.
    pub connections: u32,
    /// Bytes per second that the hosts that are up can send.
    pub up_capacity: u64,
}

/// How many copies of the pieces there are on hosts that are up and honest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Availability {
    /// Hosts that had everything from the start: each holds one more copy of every piece.
    pub seeds: u32,
    /// At `n`, the number of pieces of which `n` copies are elsewhere than on those.
    pub pieces: Vec<u32>,
}

/// Something that was done to the swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: Instant,
    /// What, in a few words.
    pub what: String,
}

impl Default for Timeline {
    fn default() -> Self {
        Timeline {
            every: Duration::from_secs(1),
            samples: Vec::new(),
            marks: Vec::new(),
        }
    }
}

impl Availability {
    /// The copies of the rarest piece, those of seeds included.
    #[must_use]
    pub fn min(&self) -> u32 {
        let rarest = self.pieces.iter().position(|pieces| *pieces > 0);
        self.seeds + rarest.unwrap_or(0) as u32
    }

    /// The copies of all pieces together in thousandths of the number of pieces, those of seeds
    /// included: 2500 means that of each piece there are two copies and a half on average.
    #[must_use]
    pub fn mean_milli(&self) -> u64 {
        let pieces: u64 = self.pieces.iter().map(|pieces| u64::from(*pieces)).sum();
        let counts = self.pieces.iter().zip(0u64..);
        let copies: u64 = counts
            .map(|(pieces, copies)| u64::from(*pieces) * copies)
            .sum();
        u64::from(self.seeds) * 1000 + (copies * 1000).checked_div(pieces).unwrap_or(0)
    }

    /// Pieces of which there are `copies` copies, those of seeds included.
    #[must_use]
    pub fn pieces_with(&self, copies: u32) -> u32 {
        let elsewhere = copies.checked_sub(self.seeds);
        let pieces = elsewhere.and_then(|copies| self.pieces.get(copies as usize));
        pieces.copied().unwrap_or(0)
    }

    /// Whether every piece is somewhere beside the seeds.
    #[must_use]
    pub fn is_whole_elsewhere(&self) -> bool {
        self.pieces.first() == Some(&0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds add a copy of everything; the rarest piece, the mean and the counts follow.
    #[test]
    fn copies_are_counted_with_those_of_seeds() {
        let availability = Availability {
            seeds: 1,
            pieces: vec![0, 3, 0, 1],
        };
        assert_eq!(availability.min(), 2);
        assert_eq!(availability.mean_milli(), 2500);
        let counts: Vec<_> = (0..6)
            .map(|copies| availability.pieces_with(copies))
            .collect();
        assert_eq!(counts, [0, 0, 3, 0, 1, 0]);
        assert!(availability.is_whole_elsewhere());
    }

    /// A piece that nobody has is the rarest of all.
    #[test]
    fn a_missing_piece_is_seen() {
        let availability = Availability {
            seeds: 0,
            pieces: vec![1, 3],
        };
        assert_eq!((availability.min(), availability.mean_milli()), (0, 750));
        assert!(!availability.is_whole_elsewhere());
        assert!(!Availability::default().is_whole_elsewhere());
    }
}

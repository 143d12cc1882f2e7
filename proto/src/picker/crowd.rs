//! The crowd: how many of the connected peers have each piece.
//!
//! Invariant: a peer that joined with everything counts in `seeds` alone, any other in `counts`, once
//! for each piece it has; the rarity order hears of each change of a count.

use super::Picker;
use crate::base::bits::Bitfield;
use crate::meta::layout::PieceIndex;

/// How a peer is counted in the availability of pieces: given when it joins, handed back when it
/// leaves, so that exactly what was done is undone.
#[derive(Debug)]
#[must_use = "without it the peer's pieces stay counted for ever"]
pub struct Counted(How);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// It joined with everything.
    AsSeed,
    /// By its pieces, even when it comes to have everything.
    ByPieces,
    /// Not at all: more peers are counted by pieces than 16 bits can tell.
    Not,
}

impl Picker {
    /// A peer is there and has these pieces. O(1) for none and for all, else O(pieces).
    ///
    /// A peer that tells of its pieces later joins with none, and again when it does.
    pub fn peer_joined(&mut self, have: &Bitfield) -> Counted {
        if have.is_full() {
            self.seeds += 1;
            return Counted(How::AsSeed);
        }
        if self.counted_peers == u16::MAX {
            return Counted(How::Not);
        }
        self.counted_peers += 1;
        for piece in have.iter() {
            self.count_up(piece);
        }
        Counted(How::ByPieces)
    }

    /// A peer that is there has one more piece. O(1). To be called once for each piece.
    pub fn peer_gained(&mut self, counted: &Counted, piece: PieceIndex) {
        if counted.0 == How::ByPieces {
            self.count_up(piece.at());
        }
    }

    /// A peer with these pieces is gone: those it joined with and those it gained. What it was asked
    /// for is released apart.
    pub fn peer_left(&mut self, counted: Counted, have: &Bitfield) {
        match counted.0 {
            How::AsSeed => self.seeds -= 1,
            How::ByPieces => {
                self.counted_peers -= 1;
                for piece in have.iter() {
                    self.count_down(piece);
                }
                if self.counted_peers == 0 {
                    self.counts.set_all(0);
                }
            }
            How::Not => {}
        }
    }

    /// How many connected peers have `piece`.
    #[must_use]
    pub fn availability(&self, piece: PieceIndex) -> u32 {
        self.seeds + u32::from(self.counts.get(piece.at()))
    }

    /// How many copies of the torrent the connected peers have together, in thousandths: whole
    /// copies, and of the next one the part of its pieces that is there. O(pieces).
    #[must_use]
    pub fn distributed_copies(&self) -> u64 {
        let whole = self.counts.iter().min().unwrap_or(0);
        let above = self.counts.iter().filter(|count| *count > whole).count() as u64;
        let part = above * 1000 / self.counts.len() as u64;
        (u64::from(self.seeds) + u64::from(whole)) * 1000 + part
    }

    fn count_up(&mut self, piece: usize) {
        let (count, priority) = (self.counts.get(piece), self.priorities.get(piece));
        self.rarity
            .count_grew(piece as u32, priority, count, &mut self.rng);
        self.counts.set(piece, count + 1);
    }

    fn count_down(&mut self, piece: usize) {
        let (count, priority) = (self.counts.get(piece), self.priorities.get(piece));
        self.rarity
            .count_shrank(piece as u32, priority, count, &mut self.rng);
        self.counts.set(piece, count - 1);
    }
}

//! Who gave which bytes of a piece that failed its hash.
//!
//! A piece with one giver has one culprit. With several, the digests of all blocks are kept; when
//! the piece at last passes, whoever gave a block that differs from the true one is the liar, and
//! the others are cleared.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::IpAddr;

use sha1::{Digest, Sha1};

use crate::meta::layout::{BLOCK_LEN, PieceIndex};

/// The most blocks remembered; the oldest piece is forgotten first. About 60 bytes each.
pub const BLOCKS_MAX: usize = 8192;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Given {
    block: u32,
    by: IpAddr,
    digest: [u8; 20],
}

/// What was given of failed pieces that have not passed yet.
#[derive(Debug, Default)]
pub struct Suspects {
    pieces: BTreeMap<PieceIndex, Vec<Given>>,
    /// In the order in which the pieces first failed.
    order: Vec<PieceIndex>,
}

impl Suspects {
    /// A piece failed. `givers` tells who gave each block. Gives the culprit if there is only one
    /// who can be; otherwise remembers what was given.
    pub fn failed(
        &mut self,
        piece: PieceIndex,
        bytes: &[u8],
        givers: &[Option<IpAddr>],
    ) -> Option<IpAddr> {
        let culprit = sole_giver(givers);
        if culprit.is_none() && givers.iter().any(Option::is_some) {
            self.remember(piece, digests(bytes), givers);
        }
        culprit
    }

    /// A piece failed, and nobody is the sole culprit: remembers what was given, by the digests of all
    /// blocks. Of a piece of more than [`BLOCKS_MAX`] blocks nothing is remembered.
    pub fn remember(
        &mut self,
        piece: PieceIndex,
        digests: impl Iterator<Item = [u8; 20]>,
        givers: &[Option<IpAddr>],
    ) {
        if givers.len() > BLOCKS_MAX {
            return;
        }
        self.make_room(givers.len());
        if !self.pieces.contains_key(&piece) {
            self.order.push(piece);
        }
        let given = self.pieces.entry(piece).or_default();
        let before = given.len();
        for ((block, digest), giver) in (0..).zip(digests).zip(givers) {
            if let Some(by) = *giver {
                let known = Given { block, by, digest };
                if !given[..before].contains(&known) {
                    given.push(known);
                }
            }
        }
    }

    /// Whether something is remembered of `piece`.
    #[must_use]
    pub fn knows(&self, piece: PieceIndex) -> bool {
        self.pieces.contains_key(&piece)
    }

    /// The piece passed. Gives everybody who had given a block that is not the true one.
    pub fn passed(&mut self, piece: PieceIndex, bytes: &[u8]) -> Vec<IpAddr> {
        match self.knows(piece) {
            true => self.passed_with(piece, &digests(bytes).collect::<Vec<_>>()),
            false => Vec::new(),
        }
    }

    /// The same, by the digests of all blocks.
    pub fn passed_with(&mut self, piece: PieceIndex, truth: &[[u8; 20]]) -> Vec<IpAddr> {
        let Some(given) = self.pieces.remove(&piece) else {
            return Vec::new();
        };
        self.order.retain(|failed| *failed != piece);
        let mut liars: Vec<IpAddr> = given
            .iter()
            .filter(|given| truth.get(given.block as usize) != Some(&given.digest))
            .map(|given| given.by)
            .collect();
        liars.sort_unstable();
        liars.dedup();
        liars
    }

    fn make_room(&mut self, blocks: usize) {
        while !self.order.is_empty()
            && self.pieces.values().map(Vec::len).sum::<usize>() + blocks > BLOCKS_MAX
        {
            let oldest = self.order.remove(0);
            self.pieces.remove(&oldest);
        }
    }
}

/// Who gave all blocks, if that is one.
#[must_use]
pub fn sole_giver(givers: &[Option<IpAddr>]) -> Option<IpAddr> {
    let first = givers.iter().flatten().next().copied()?;
    let is_first = |giver: &Option<IpAddr>| *giver == Some(first);
    givers.iter().all(is_first).then_some(first)
}

fn digests(bytes: &[u8]) -> impl Iterator<Item = [u8; 20]> {
    let blocks = bytes.chunks(BLOCK_LEN as usize);
    blocks.map(|block| Sha1::digest(block).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use core::net::Ipv4Addr;

    const PIECE: PieceIndex = PieceIndex(0);

    fn ip(last: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
    }

    fn piece(wrong: Option<usize>) -> Vec<u8> {
        let mut bytes = vec![7; 3 * BLOCK_LEN as usize];
        if let Some(block) = wrong {
            bytes[block * BLOCK_LEN as usize] = 8;
        }
        bytes
    }

    #[test]
    fn a_sole_giver_is_the_culprit() {
        let givers = [Some(ip(2)); 3];
        assert_eq!(
            Suspects::default().failed(PIECE, &piece(Some(1)), &givers),
            Some(ip(2))
        );
    }

    /// Two good peers and a liar share a piece: only the liar is named, even if its lie came twice.
    #[test]
    fn the_true_piece_tells_who_lied() {
        let mut suspects = Suspects::default();
        let givers = [Some(ip(2)), Some(ip(9)), Some(ip(3))];
        assert_eq!(suspects.failed(PIECE, &piece(Some(1)), &givers), None);
        let givers = [Some(ip(9)), Some(ip(2)), Some(ip(3))];
        assert_eq!(suspects.failed(PIECE, &piece(Some(0)), &givers), None);
        assert_eq!(suspects.passed(PIECE, &piece(None)), [ip(9)]);
        assert!(suspects.passed(PIECE, &piece(None)).is_empty());
    }

    #[test]
    fn memory_is_bounded_by_forgetting_the_oldest() {
        let mut suspects = Suspects::default();
        let givers: Vec<_> = (0..1024)
            .map(|block| Some(ip(if block == 0 { 1 } else { 2 })))
            .collect();
        let bytes = vec![0; 1024 * BLOCK_LEN as usize];
        for index in 0..20 {
            suspects.failed(PieceIndex(index), &bytes, &givers);
        }
        assert!(suspects.pieces.values().map(Vec::len).sum::<usize>() <= BLOCKS_MAX);
        assert!(suspects.pieces.contains_key(&PieceIndex(19)));
        assert!(!suspects.pieces.contains_key(&PieceIndex(0)));
    }
}

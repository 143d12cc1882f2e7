//! Pieces being received, each in its slab.
//!
//! Invariant: a block of an open piece has at most one [`Writer`] at a time. A piece that is closed
//! and opened again is another piece to the writers of before: their bytes go nowhere.

use alloc::collections::BTreeMap;

use smallvec::SmallVec;

use crate::base::slab::Slab;
use crate::meta::layout::{Block, PieceIndex};

/// The right to write one block of one opening of a piece.
#[derive(Debug)]
pub struct Writer {
    block: Block,
    written: u32,
    epoch: u64,
}

#[derive(Debug)]
struct Filling {
    slab: Slab,
    epoch: u64,
    /// The beginnings of the blocks that have a writer.
    writing: SmallVec<[u32; 4]>,
}

/// The open pieces.
#[derive(Debug, Default)]
pub struct Assembly {
    open: BTreeMap<PieceIndex, Filling>,
    epoch: u64,
}

impl Assembly {
    /// Opens `piece` in `slab`, whose length is the piece's.
    pub fn open(&mut self, piece: PieceIndex, slab: Slab) {
        self.epoch += 1;
        let filling = Filling {
            slab,
            epoch: self.epoch,
            writing: SmallVec::new(),
        };
        let before = self.open.insert(piece, filling);
        debug_assert!(before.is_none(), "a piece is opened once");
    }

    /// Begins to write `block`; `None` if its piece is not open or the block has a writer.
    pub fn begin(&mut self, block: Block) -> Option<Writer> {
        let filling = self.open.get_mut(&block.piece)?;
        if filling.writing.contains(&block.begin) {
            return None;
        }
        filling.writing.push(block.begin);
        Some(Writer {
            block,
            written: 0,
            epoch: filling.epoch,
        })
    }

    /// Appends `bytes` to the block; false if its piece was closed since.
    ///
    /// # Panics
    /// If the block would grow past its length.
    pub fn write(&mut self, writer: &mut Writer, bytes: &[u8]) -> bool {
        let Some(filling) = self.filling(writer) else {
            return false;
        };
        let end = writer.written + bytes.len() as u32;
        assert!(
            end <= writer.block.len,
            "the decoder bounds a payload by its header"
        );
        let at = (writer.block.begin + writer.written) as usize;
        filling.slab.as_mut_slice()[at..at + bytes.len()].copy_from_slice(bytes);
        writer.written = end;
        true
    }

    /// Gives the right back; whether the block was written whole into a piece that is still open.
    pub fn end(&mut self, writer: Writer) -> bool {
        let whole = writer.written == writer.block.len;
        let Some(filling) = self.filling(&writer) else {
            return false;
        };
        filling.writing.retain(|begin| *begin != writer.block.begin);
        whole
    }

    /// Whether `piece` is open.
    #[must_use]
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.open.contains_key(&piece)
    }

    /// Closes `piece` and gives its slab.
    pub fn close(&mut self, piece: PieceIndex) -> Option<Slab> {
        self.open.remove(&piece).map(|filling| filling.slab)
    }

    /// Closes all pieces.
    pub fn close_all(&mut self) -> impl Iterator<Item = Slab> {
        core::mem::take(&mut self.open)
            .into_values()
            .map(|filling| filling.slab)
    }

    fn filling(&mut self, writer: &Writer) -> Option<&mut Filling> {
        self.open
            .get_mut(&writer.block.piece)
            .filter(|filling| filling.epoch == writer.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: PieceIndex = PieceIndex(3);

    fn slab() -> Slab {
        let mut slab = Slab::new(8);
        slab.set_len(8);
        slab
    }

    fn block(begin: u32) -> Block {
        Block {
            piece: PIECE,
            begin,
            len: 4,
        }
    }

    #[test]
    fn a_block_has_one_writer_at_a_time() {
        let mut assembly = Assembly::default();
        assert!(assembly.begin(block(0)).is_none(), "not open");
        assembly.open(PIECE, slab());
        let mut first = assembly.begin(block(4)).unwrap();
        assert!(assembly.begin(block(4)).is_none());
        assert!(assembly.write(&mut first, b"ab") && assembly.write(&mut first, b"cd"));
        assert!(assembly.end(first));
        let half = assembly.begin(block(4)).unwrap();
        assert!(!assembly.end(half), "nothing was written");
        assert_eq!(&assembly.close(PIECE).unwrap().as_slice()[4..], b"abcd");
    }

    /// Half a block written before a piece was given up must never count for the next attempt.
    #[test]
    fn a_writer_does_not_outlive_its_opening() {
        let mut assembly = Assembly::default();
        assembly.open(PIECE, slab());
        let mut old = assembly.begin(block(0)).unwrap();
        assert!(assembly.write(&mut old, b"xx"));
        assembly.close(PIECE);
        assembly.open(PIECE, slab());
        assert!(!assembly.write(&mut old, b"yy") && !assembly.end(old));
        assert_eq!(assembly.close(PIECE).unwrap().as_slice(), &[0; 8]);
    }
}

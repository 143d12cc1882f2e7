//! Pieces being received, each in its slab.
//!
//! Invariant: of each block of an open piece only the last [`Writer`] counts. Whoever began before
//! and is not done, or began before the piece was closed and opened again, writes nowhere: else a
//! peer that stops in the middle of a block would keep it from all others.

use alloc::collections::BTreeMap;

use smallvec::SmallVec;

use crate::base::slab::Slab;
use crate::meta::layout::{Block, PieceIndex};

/// The right to write one block of one opening of a piece.
#[derive(Debug)]
pub struct Writer {
    block: Block,
    written: u32,
    serial: u64,
}

#[derive(Debug)]
struct Filling {
    slab: Slab,
    /// The beginnings of the blocks that have a writer, and its serial.
    writing: SmallVec<[(u32, u64); 4]>,
}

/// The open pieces.
#[derive(Debug, Default)]
pub struct Assembly {
    open: BTreeMap<PieceIndex, Filling>,
    /// Of the last writer.
    serial: u64,
}

impl Assembly {
    /// Opens `piece` in `slab`, whose length is the piece's.
    pub fn open(&mut self, piece: PieceIndex, slab: Slab) {
        let filling = Filling {
            slab,
            writing: SmallVec::new(),
        };
        let before = self.open.insert(piece, filling);
        debug_assert!(before.is_none(), "a piece is opened once");
    }

    /// Begins to write `block` from its start, in the place of whoever writes it; `None` if its piece
    /// is not open.
    pub fn begin(&mut self, block: Block) -> Option<Writer> {
        let filling = self.open.get_mut(&block.piece)?;
        self.serial += 1;
        let serial = self.serial;
        filling.writing.retain(|(begin, _)| *begin != block.begin);
        filling.writing.push((block.begin, serial));
        Some(Writer {
            block,
            written: 0,
            serial,
        })
    }

    /// Appends `bytes` to the block; false if its piece was closed or another writes it since.
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

    /// Gives the right back; whether the block was written whole and the right was still good.
    pub fn end(&mut self, writer: Writer) -> bool {
        let whole = writer.written == writer.block.len;
        let Some(filling) = self.filling(&writer) else {
            return false;
        };
        filling
            .writing
            .retain(|(_, serial)| *serial != writer.serial);
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
        let right = (writer.block.begin, writer.serial);
        self.open
            .get_mut(&writer.block.piece)
            .filter(|filling| filling.writing.contains(&right))
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
    fn the_last_writer_of_a_block_counts() {
        let mut assembly = Assembly::default();
        assert!(assembly.begin(block(0)).is_none(), "not open");
        assembly.open(PIECE, slab());
        let mut slow = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut slow, b"x"));
        let mut quick = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut quick, b"ab") && !assembly.write(&mut slow, b"xxx"));
        assert!(assembly.write(&mut quick, b"cd") && !assembly.end(slow));
        assert!(assembly.end(quick));
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

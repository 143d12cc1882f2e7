//! Pieces being received, each in its slab; of a long piece each section that has one.
//!
//! Several peers may send one block at once, as they do in the endgame: all of them write, and the
//! first that is done ends it for the others, so that nobody who is slow or stops in the middle
//! keeps a block from the rest. Honest bytes are the same bytes. But what a liar wrote may lie
//! between them, so of a block with several writers nobody is to blame: see
//! [`Assembly::was_shared`].
//!
//! Invariant: whoever began before a block was done, or before its piece was closed and opened
//! again, writes nowhere.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::base::slab::{PAGE, Slab};
use crate::meta::layout::{Block, PieceIndex};

/// The right to write one block of one opening of a piece.
#[derive(Debug)]
pub struct Writer {
    block: Block,
    written: u32,
    /// Where the block begins in the slab.
    at: u32,
    /// The place in the table of what is filled, if it is open still.
    place: u32,
    serial: u64,
}

/// An open piece or section, or a place for one.
#[derive(Debug)]
struct Filling {
    slab: Option<Slab>,
    writing: SmallVec<[Writing; 4]>,
}

/// A block that has writers.
#[derive(Debug)]
struct Writing {
    begin: u32,
    /// What its writers know it by.
    serial: u64,
    writers: u32,
    /// It had several at once.
    shared: bool,
}

/// An open range of a piece, all of it or a section, and its place in the table.
#[derive(Clone, Copy, Debug)]
struct Opening {
    key: Key,
    len: u32,
    place: u32,
}

/// A piece and an offset in it, in one number that is compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key(u64);

impl Key {
    fn new(piece: PieceIndex, begin: u32) -> Self {
        Key(u64::from(piece.0) << 32 | u64::from(begin))
    }
}

impl Opening {
    fn range(&self) -> Block {
        Block {
            piece: PieceIndex((self.key.0 >> 32) as u32),
            begin: self.key.0 as u32,
            len: self.len,
        }
    }
}

/// The open pieces and sections.
///
/// Invariant: `index` is sorted by piece and beginning, its ranges do not overlap, and it names each
/// one's place in `table`; all other places are in `spare` and hold nothing.
#[derive(Debug, Default)]
pub struct Assembly {
    index: Vec<Opening>,
    table: Vec<Filling>,
    spare: Vec<u32>,
    /// Blocks, by where they begin, that were written by several at once since their piece was
    /// opened; known until it is verified.
    shared: BTreeSet<(PieceIndex, u32)>,
    /// Of the last block that was begun.
    serial: u64,
}

impl Assembly {
    /// Opens `range`, a piece or a section of one, of which nothing is open, in `slab`, whose length
    /// is the range's.
    pub fn open(&mut self, range: Block, slab: Slab) {
        self.forget_blocks(range);
        let at = self.position(range.piece, range.begin);
        let at = at.expect_err("a piece is opened once");
        let place = self.spare.pop().unwrap_or(self.table.len() as u32);
        if place as usize == self.table.len() {
            self.table.push(Filling {
                slab: None,
                writing: SmallVec::new(),
            });
        }
        self.table[place as usize].slab = Some(slab);
        let key = Key::new(range.piece, range.begin);
        let len = range.len;
        self.index.insert(at, Opening { key, len, place });
    }

    /// Begins to write `block` from its start, beside whoever writes it; `None` if its piece, or its
    /// section of a long one, is not open.
    pub fn begin(&mut self, block: Block) -> Option<Writer> {
        let (at, place) = self.around(block)?;
        let filling = &mut self.table[place as usize];
        let mut writing = filling.writing.iter_mut();
        let serial = match writing.find(|writing| writing.begin == block.begin) {
            Some(writing) => {
                writing.writers += 1;
                writing.shared = true;
                writing.serial
            }
            None => {
                self.serial += 1;
                filling.writing.push(Writing {
                    begin: block.begin,
                    serial: self.serial,
                    writers: 1,
                    shared: false,
                });
                self.serial
            }
        };
        Some(Writer {
            block,
            written: 0,
            at,
            place,
            serial,
        })
    }

    /// Appends `bytes` to the block; false if its piece was closed or another was done first.
    ///
    /// # Panics
    /// If the block would grow past its length.
    pub fn write(&mut self, writer: &mut Writer, bytes: &[u8]) -> bool {
        let Some((filling, _)) = self.find(writer) else {
            return false;
        };
        let Some(slab) = &mut filling.slab else {
            return false;
        };
        let end = writer.written + bytes.len() as u32;
        assert!(
            end <= writer.block.len,
            "the decoder bounds a payload by its header"
        );
        let at = (writer.at + writer.written) as usize;
        put(slab, at, bytes);
        writer.written = end;
        true
    }

    /// Gives the right back; whether the block was written whole, before anybody else was done.
    pub fn end(&mut self, writer: Writer) -> bool {
        let whole = writer.written == writer.block.len;
        let Some((filling, at)) = self.find(&writer) else {
            return false;
        };
        let writing = &mut filling.writing[at];
        writing.writers -= 1;
        if whole || writing.writers == 0 {
            let shared = filling.writing.swap_remove(at).shared;
            if whole && shared {
                self.shared.insert((writer.block.piece, writer.block.begin));
            }
        }
        whole
    }

    /// Whether the block that begins at `begin` had several writers at once: whoever gave it may not
    /// be who wrote its bytes.
    #[must_use]
    pub fn was_shared(&self, piece: PieceIndex, begin: u32) -> bool {
        self.shared.contains(&(piece, begin))
    }

    /// The piece was verified or given up: what is known of its blocks is of no more use.
    pub fn forget(&mut self, piece: PieceIndex) {
        if !self.shared.is_empty() {
            self.shared.retain(|(of, _)| *of != piece);
        }
    }

    fn forget_blocks(&mut self, range: Block) {
        if !self.shared.is_empty() {
            let covers = |begin: u32| begin >= range.begin && begin - range.begin < range.len;
            self.shared
                .retain(|(of, begin)| *of != range.piece || !covers(*begin));
        }
    }

    /// Whether `piece` is open, or a section of it.
    #[must_use]
    pub fn is_open(&self, piece: PieceIndex) -> bool {
        self.next_of(piece).is_some()
    }

    /// What is open of `piece`: all of it, or the first section that is.
    #[must_use]
    pub fn next_of(&self, piece: PieceIndex) -> Option<Block> {
        let at = self.position(piece, 0).unwrap_or_else(|at| at);
        let range = self.index.get(at)?.range();
        (range.piece == piece).then_some(range)
    }

    /// All that is open, by piece and beginning.
    pub fn ranges(&self) -> impl Iterator<Item = Block> {
        self.index.iter().map(Opening::range)
    }

    /// Closes the range that begins with `begin` and gives its slab.
    pub fn close(&mut self, piece: PieceIndex, begin: u32) -> Option<Slab> {
        let at = self.position(piece, begin).ok()?;
        let Opening { place, .. } = self.index.remove(at);
        self.spare.push(place);
        let filling = &mut self.table[place as usize];
        filling.writing.clear();
        filling.slab.take()
    }

    /// Where `block` begins in the open range that it lies in, and that one's place.
    fn around(&self, block: Block) -> Option<(u32, u32)> {
        let key = Key::new(block.piece, block.begin);
        let after = self.index.partition_point(|opening| opening.key <= key);
        let opening = self.index.get(after.wrapping_sub(1))?;
        let at = key.0 - opening.key.0;
        (at < u64::from(opening.len)).then_some((at as u32, opening.place))
    }

    fn position(&self, piece: PieceIndex, begin: u32) -> Result<usize, usize> {
        let key = Key::new(piece, begin);
        self.index.binary_search_by_key(&key, |opening| opening.key)
    }

    /// The opening and the block that `writer` may write.
    fn find(&mut self, writer: &Writer) -> Option<(&mut Filling, usize)> {
        // Serials are never used twice, so one that is found is of the same opening.
        let filling = &mut self.table[writer.place as usize];
        let mut writing = filling.writing.iter();
        let at = writing.position(|writing| writing.serial == writer.serial)?;
        Some((filling, at))
    }
}

/// Copies `bytes`, but for zeros where there are zeros: a slab begins as zeros, so runs of them, as in
/// sparse files, take no memory. What comes is looked at first, for it is at hand: the slab is not, and
/// to wait for it would cost as much as all else that is done for a block.
fn put(slab: &mut Slab, at: usize, bytes: &[u8]) {
    let mut from = 0;
    for (page, bytes_of_page) in (0..).step_by(PAGE).zip(bytes.chunks(PAGE)) {
        let end = page + bytes_of_page.len();
        let is_there = bytes_of_page.iter().all(|byte| *byte == 0)
            && slab.as_slice().get(at + page..at + end) == Some(bytes_of_page);
        if is_there {
            slab.put(at + from, &bytes[from..page]);
            from = end;
        }
    }
    slab.put(at + from, &bytes[from..]);
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

    fn whole() -> Block {
        Block { len: 8, ..block(0) }
    }

    /// Of several writers the first that is done ends the block, and nobody's late bytes change it.
    #[test]
    fn the_first_that_is_done_counts() {
        let mut assembly = Assembly::default();
        assert!(assembly.begin(block(0)).is_none(), "not open");
        assembly.open(whole(), slab());
        let mut slow = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut slow, b"a"));
        let mut quick = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut quick, b"ab") && assembly.write(&mut slow, b"b"));
        assert!(assembly.write(&mut quick, b"cd") && assembly.end(quick));
        assert!(!assembly.write(&mut slow, b"xx") && !assembly.end(slow));
        assert!(assembly.was_shared(PIECE, 4) && !assembly.was_shared(PIECE, 0));
        assert_eq!(&assembly.close(PIECE, 0).unwrap().as_slice()[4..], b"abcd");
        assembly.open(whole(), slab());
        assert!(!assembly.was_shared(PIECE, 4), "another opening");
    }

    /// Who stops in the middle leaves the block to the next, who is then its only writer.
    #[test]
    fn half_a_block_is_none() {
        let mut assembly = Assembly::default();
        assembly.open(whole(), slab());
        let mut half = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut half, b"xx") && !assembly.end(half));
        let mut whole = assembly.begin(block(4)).unwrap();
        assert!(assembly.write(&mut whole, b"abcd") && assembly.end(whole));
        assert!(!assembly.was_shared(PIECE, 4));
    }

    /// Half a block written before a piece was given up must never count for the next attempt.
    #[test]
    fn a_writer_does_not_outlive_its_opening() {
        let mut assembly = Assembly::default();
        assembly.open(whole(), slab());
        let mut old = assembly.begin(block(0)).unwrap();
        assert!(assembly.write(&mut old, b"xx"));
        assembly.close(PIECE, 0);
        assembly.open(whole(), slab());
        assert!(!assembly.write(&mut old, b"yy") && !assembly.end(old));
        assert_eq!(assembly.close(PIECE, 0).unwrap().as_slice(), &[0; 8]);
    }

    /// In a slab that was used before, pages that hold what came are as right as those that do not.
    #[test]
    fn pages_are_written_where_they_differ() {
        let mut slab = Slab::new(4 * PAGE);
        slab.set_len(4 * PAGE);
        slab.as_mut_slice()[PAGE..3 * PAGE].fill(7);
        let mut came = alloc::vec![0; 4 * PAGE];
        came[PAGE..2 * PAGE].fill(7);
        came[4 * PAGE - 1] = 9;
        let mut assembly = Assembly::default();
        let len = 4 * PAGE as u32;
        let block = Block { len, ..block(0) };
        assembly.open(block, slab);
        let mut writer = assembly.begin(block).unwrap();
        for bytes in came.chunks(1000) {
            assert!(assembly.write(&mut writer, bytes));
        }
        assert!(assembly.end(writer));
        assert_eq!(assembly.close(PIECE, 0).unwrap().as_slice(), came);
    }

    /// Sections of one piece are open beside each other, each with its own bytes; what lies between
    /// them is not.
    #[test]
    fn sections_are_open_each_for_itself() {
        let mut assembly = Assembly::default();
        let section = |begin| Block {
            len: 8,
            ..block(begin)
        };
        assembly.open(section(16), slab());
        assembly.open(section(0), slab());
        for begin in [0, 4, 16, 20] {
            let mut writer = assembly.begin(block(begin)).unwrap();
            assert!(assembly.write(&mut writer, &[begin as u8; 4]) && assembly.end(writer));
        }
        let other = Block {
            piece: PieceIndex(4),
            ..block(0)
        };
        for outside in [block(8), block(12), block(24), other] {
            assert!(assembly.begin(outside).is_none(), "{outside:?}");
        }
        assert_eq!(assembly.next_of(PIECE), Some(section(0)));
        let first = assembly.close(PIECE, 0).unwrap();
        assert_eq!(first.as_slice(), [0, 0, 0, 0, 4, 4, 4, 4]);
        assert!(assembly.begin(block(4)).is_none() && assembly.is_open(PIECE));
        assert_eq!(assembly.ranges().collect::<Vec<_>>(), [section(16)]);
        let last = assembly.close(PIECE, 16).unwrap();
        assert_eq!(last.as_slice(), [16, 16, 16, 16, 20, 20, 20, 20]);
        assert!(!assembly.is_open(PIECE));
    }
}

//! Where the bytes of pieces lie in files: a torrent is one row of bytes, cut into files one way
//! and into pieces another.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use smallvec::SmallVec;

use crate::base::slab::PAGE;

/// The size of a block, in bytes: what one request asks for (BEP 3). The last block of a piece may
/// be shorter.
pub const BLOCK_LEN: u32 = 16 * 1024;

/// The index of a piece that exists: checked once, by [`Layout::piece`], and then trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

impl PieceIndex {
    /// The index as it is used on slices and bitfields.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// The index of a file in its torrent, in the order of the torrent file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileIndex(pub u32);

impl FileIndex {
    /// The index as it is used on slices.
    #[must_use]
    pub const fn at(self) -> usize {
        self.0 as usize
    }
}

/// How urgently a file or a piece is to be fetched. A piece with bytes of several files has the
/// greatest of their priorities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Not at all.
    Unwanted,
    /// After everything else.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Before everything else.
    High,
}

impl Priority {
    /// The priorities of what is to be fetched, the highest first.
    pub const WANTED: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// Whether it is to be fetched at all.
    #[must_use]
    pub const fn is_wanted(self) -> bool {
        !matches!(self, Priority::Unwanted)
    }
}

/// A range of a piece that exists: checked once, by [`Layout::block`], and then trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Block {
    /// The piece.
    pub piece: PieceIndex,
    /// Where it starts in the piece, in bytes.
    pub begin: u32,
    /// Its length in bytes, at least 1.
    pub len: u32,
}

/// A range of one file, or of padding that is on no disk (BEP 47).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// The file, or `None` for padding: skipped by writes, zeros to reads.
    pub file: Option<FileIndex>,
    /// Where it starts in the file, in bytes.
    pub offset: u64,
    /// Its length in bytes, at least 1.
    pub len: u32,
    /// The file is not wanted: where it is not there, its bytes are kept aside.
    pub aside: bool,
}

/// The consecutive file ranges of one operation; their lengths add up to the slab's, unless the
/// operation says otherwise.
pub type Spans = SmallVec<[FileSpan; 2]>;

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// An ordinary file.
    Regular {
        /// Whether it asks to be executable (BEP 47, `attr` `x`).
        executable: bool,
    },
    /// Padding: on no disk (BEP 47, `attr` `p`).
    Pad,
    /// A symbolic link of no length (BEP 47, `attr` `l`).
    Symlink {
        /// The components of its target, relative to the torrent's folder; checked and repaired.
        target: Vec<String>,
    },
}

/// A file of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntry {
    /// Its path below the download folder: checked, repaired and unlike every other's but of
    /// padding. The first component is the torrent's name.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Where its first byte lies in the torrent, in bytes.
    pub offset: u64,
    /// What it is.
    pub kind: FileKind,
}

impl FileEntry {
    /// The path with `/` between its components.
    #[must_use]
    pub fn path_string(&self) -> String {
        self.path.join("/")
    }

    /// Whether it has bytes on the disk.
    #[must_use]
    pub fn is_pad(&self) -> bool {
        self.kind == FileKind::Pad
    }
}

/// The files of a torrent as one row of bytes, cut into pieces.
///
/// Invariant: each file starts where the one before ends, and `total_len` is the end of the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    piece_len: u32,
    total_len: u64,
    files: Vec<FileEntry>,
}

/// Why files and a piece length make no layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadLayout {
    /// The piece length is zero.
    #[error("the piece length is zero")]
    NoPieceLength,
    /// There are no bytes, or more than 2^63.
    #[error("the lengths of the files add up to nothing, or to more than 2^63 bytes")]
    Length,
    /// There would be 2^32 pieces or more.
    #[error("too many pieces")]
    Pieces,
}

impl Layout {
    /// Lays `files` out in their order; their offsets are set here.
    ///
    /// # Errors
    /// If there are no bytes, or more than 2^63, or too many pieces.
    pub fn new(piece_len: u32, mut files: Vec<FileEntry>) -> Result<Self, BadLayout> {
        if piece_len == 0 {
            return Err(BadLayout::NoPieceLength);
        }
        let mut total_len = 0u64;
        for file in &mut files {
            file.offset = total_len;
            total_len = total_len.checked_add(file.len).ok_or(BadLayout::Length)?;
        }
        if total_len == 0 || i64::try_from(total_len).is_err() {
            return Err(BadLayout::Length);
        }
        if u32::try_from(total_len.div_ceil(u64::from(piece_len))).is_err() {
            return Err(BadLayout::Pieces);
        }
        Ok(Layout {
            piece_len,
            total_len,
            files,
        })
    }

    /// The length of every piece but the last, in bytes.
    #[must_use]
    pub fn piece_length(&self) -> u32 {
        self.piece_len
    }

    /// The length of the torrent in bytes, padding included.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        self.total_len
    }

    /// The files, padding included, in the order of the torrent file.
    #[must_use]
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }

    /// How many pieces there are, at least 1.
    #[must_use]
    pub fn pieces(&self) -> u32 {
        self.total_len.div_ceil(u64::from(self.piece_len)) as u32
    }

    /// Checks a piece index that came from elsewhere.
    #[must_use]
    pub fn piece(&self, raw: u32) -> Option<PieceIndex> {
        (raw < self.pieces()).then_some(PieceIndex(raw))
    }

    /// The length of `piece` in bytes.
    #[must_use]
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        let start = u64::from(piece.0) * u64::from(self.piece_len);
        u64::from(self.piece_len).min(self.total_len - start) as u32
    }

    /// Checks a range of a piece that came from elsewhere: any range of 1 byte or more inside one
    /// piece.
    #[must_use]
    pub fn block(&self, piece: u32, begin: u32, len: u32) -> Option<Block> {
        let piece = self.piece(piece)?;
        let end = begin.checked_add(len)?;
        (len > 0 && end <= self.piece_len(piece)).then_some(Block { piece, begin, len })
    }

    /// How many blocks of [`BLOCK_LEN`] cover `piece`.
    #[must_use]
    pub fn blocks_in(&self, piece: PieceIndex) -> u32 {
        self.piece_len(piece).div_ceil(BLOCK_LEN)
    }

    /// Block `index` of `piece`, counted in steps of [`BLOCK_LEN`].
    ///
    /// # Panics
    /// If the piece has no such block.
    #[must_use]
    pub fn nth_block(&self, piece: PieceIndex, index: u32) -> Block {
        let begin = index * BLOCK_LEN;
        let len = BLOCK_LEN.min(
            self.piece_len(piece)
                .checked_sub(begin)
                .expect("a block of the piece"),
        );
        Block { piece, begin, len }
    }

    /// The file ranges that `block` covers, in order, without empty ones.
    #[must_use]
    pub fn spans(&self, block: Block) -> Spans {
        let start = u64::from(block.piece.0) * u64::from(self.piece_len) + u64::from(block.begin);
        let end = start + u64::from(block.len);
        let first = self
            .files
            .partition_point(|file| file.offset + file.len <= start);
        let mut spans = Spans::new();
        for (file, index) in self.files[first..].iter().zip(first as u32..) {
            if file.offset >= end {
                break;
            }
            let from = start.max(file.offset);
            let to = end.min(file.offset + file.len);
            if from < to {
                spans.push(FileSpan {
                    file: (!file.is_pad()).then_some(FileIndex(index)),
                    offset: from - file.offset,
                    len: (to - from) as u32,
                    aside: false,
                });
            }
        }
        spans
    }

    /// All of `piece`, as a block.
    #[must_use]
    pub fn whole(&self, piece: PieceIndex) -> Block {
        Block {
            piece,
            begin: 0,
            len: self.piece_len(piece),
        }
    }

    /// How far behind the start of a page the first byte of `range`, a piece or a part of one, should
    /// lie in memory, in bytes below [`PAGE`]: what it has in its largest file then lies in pages as it
    /// does in the file.
    #[must_use]
    pub fn shift_of(&self, range: Block) -> usize {
        let mut largest = (0, 0);
        let mut at = 0;
        for span in self.spans(range) {
            if span.file.is_some() && span.len > largest.0 {
                largest = (span.len, span.offset.wrapping_sub(at));
            }
            at += u64::from(span.len);
        }
        (largest.1 % PAGE as u64) as usize
    }

    /// The pieces that hold bytes of `file`; empty for an empty file.
    #[must_use]
    pub fn pieces_of(&self, file: FileIndex) -> Range<u32> {
        let Some(entry) = self.files.get(file.at()).filter(|entry| entry.len > 0) else {
            return 0..0;
        };
        let piece_len = u64::from(self.piece_len);
        let last = (entry.offset + entry.len - 1) / piece_len;
        (entry.offset / piece_len) as u32..last as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn file(name: &str, len: u64) -> FileEntry {
        let kind = FileKind::Regular { executable: false };
        FileEntry {
            path: vec![name.into()],
            len,
            offset: 0,
            kind,
        }
    }

    fn span(file: u32, offset: u64, len: u32) -> FileSpan {
        FileSpan {
            file: Some(FileIndex(file)),
            offset,
            len,
            aside: false,
        }
    }

    #[test]
    fn a_piece_covers_several_files_and_skips_the_empty_ones() {
        let mut pad = file("pad", 6);
        pad.kind = FileKind::Pad;
        let files = vec![
            file("a", 10),
            file("empty", 0),
            file("b", 14),
            pad,
            file("c", 9),
        ];
        let layout = Layout::new(20, files).unwrap();
        assert_eq!((layout.pieces(), layout.piece_len(PieceIndex(1))), (2, 19));
        let spans = |piece| layout.spans(layout.whole(PieceIndex(piece))).to_vec();
        assert_eq!(spans(0), [span(0, 0, 10), span(2, 0, 10)]);
        let padding = FileSpan {
            file: None,
            offset: 0,
            len: 6,
            aside: false,
        };
        assert_eq!(spans(1), [span(2, 10, 4), padding, span(4, 0, 9)]);
        assert_eq!(layout.pieces_of(FileIndex(1)), 0..0);
        assert_eq!(layout.pieces_of(FileIndex(2)), 0..2);
    }

    /// In memory as on the disk: the largest part of a piece lies in pages as in its file, whether
    /// the piece begins in the file before it, inside it, or is only padding.
    #[test]
    fn the_largest_part_of_a_piece_lies_in_pages_as_in_its_file() {
        let piece_len = 64 * 1024;
        let mut pad = file("pad", 3 * 65_536);
        pad.kind = FileKind::Pad;
        let files = vec![
            file("a", 1000),
            file("b", 200_000),
            file("c", 50_000),
            file("d", 10_000),
            pad,
        ];
        let layout = Layout::new(piece_len, files).unwrap();
        let shifts =
            (0..layout.pieces()).map(|piece| layout.shift_of(layout.whole(PieceIndex(piece))));
        // `b` begins 1,000 bytes into the torrent; the fourth piece holds more of `c` than of it.
        let in_b = |piece: u64| (piece * u64::from(piece_len) + 4096 - 1000) as usize % PAGE;
        let in_c = (3 * 65_536 + 4096 * 50 - 201_000) as usize % PAGE;
        let shifts: Vec<usize> = shifts.collect();
        assert_eq!(shifts[..4], [in_b(0), in_b(1), in_b(2), in_c]);
        assert_eq!(shifts.last(), Some(&0));
    }

    #[test]
    fn ranges_from_outside_are_checked() {
        let layout = Layout::new(20, vec![file("a", 30)]).unwrap();
        assert!(layout.block(1, 0, 10).is_some());
        for (piece, begin, len) in [
            (1, 0, 11),
            (1, 10, 1),
            (2, 0, 1),
            (0, 0, 0),
            (0, u32::MAX, 2),
        ] {
            assert_eq!(
                layout.block(piece, begin, len),
                None,
                "{piece} {begin} {len}"
            );
        }
    }

    #[test]
    fn sums_that_cannot_be_are_refused() {
        assert_eq!(
            Layout::new(0, vec![file("a", 1)]),
            Err(BadLayout::NoPieceLength)
        );
        assert_eq!(Layout::new(1, vec![file("a", 0)]), Err(BadLayout::Length));
        assert_eq!(
            Layout::new(1, vec![file("a", 1 << 33)]),
            Err(BadLayout::Pieces)
        );
        let huge = vec![file("a", u64::MAX), file("b", 2)];
        assert_eq!(Layout::new(1 << 30, huge), Err(BadLayout::Length));
    }
}

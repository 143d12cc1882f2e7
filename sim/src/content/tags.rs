//! The tags of a compact torrent: sixteen bytes at the beginning of each block, which say of which
//! torrent, piece and block they are.
//!
//! Blocks are counted through the torrent from its first byte. Pieces begin with one, since their
//! length is a power of two; files need not, so a file may begin inside a block, or even inside a
//! tag.

use std::ops::Range;

use ripcurrent_proto::meta::layout::BLOCK_LEN;

/// The length of a block in bytes.
pub(crate) const BLOCK: u64 = BLOCK_LEN as u64;
/// The length of a tag in bytes; that of a shorter last block is cut off.
pub(crate) const TAG: usize = 16;

/// Four words, the high byte of each first: torrent, piece, block of the piece, check word.
pub(crate) type Tag = [u8; TAG];

const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];

/// All tags of a torrent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tags {
    torrent: u32,
    blocks_in_piece: u64,
}

/// A tag, or as much of one as lies in a range of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which block of the torrent.
    pub(crate) block: u64,
    /// Which bytes of its tag.
    pub(crate) of_tag: Range<usize>,
    /// Where they lie in the range.
    pub(crate) at: usize,
}

impl Place {
    /// The bytes of the range that belong to the tag.
    pub(crate) fn within(&self) -> Range<usize> {
        self.at..self.at + self.of_tag.len()
    }
}

impl Tags {
    /// Those of a torrent with pieces of this length, which is a multiple of a block's.
    pub(crate) fn new(torrent: u32, piece_length: u32) -> Self {
        let blocks_in_piece = u64::from(piece_length / BLOCK_LEN);
        debug_assert!(piece_length.is_multiple_of(BLOCK_LEN) && blocks_in_piece > 0);
        Tags {
            torrent,
            blocks_in_piece,
        }
    }

    /// The tag of a block.
    pub(crate) fn of(self, block: u64) -> Tag {
        let piece = (block / self.blocks_in_piece) as u32;
        let in_piece = (block % self.blocks_in_piece) as u32;
        let words = [self.torrent, piece, in_piece];
        let mut tag = [0; TAG];
        let words = words.into_iter().chain([check_word(words)]);
        for (bytes, word) in tag.chunks_mut(4).zip(words) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        tag
    }

    /// The piece of whose first block this would be the tag.
    pub(crate) fn piece_of(self, tag: &Tag) -> u32 {
        u32::from_be_bytes([tag[4], tag[5], tag[6], tag[7]])
    }

    /// Writes the torrent's bytes from `start` on.
    pub(crate) fn fill(self, start: u64, bytes: &mut [u8]) {
        bytes.fill(0);
        for place in places(start, bytes.len()) {
            let tag = self.of(place.block);
            bytes[place.within()].copy_from_slice(&tag[place.of_tag]);
        }
    }
}

/// Where tags lie in the `len` bytes of the torrent that begin at `start`.
pub(crate) fn places(start: u64, len: usize) -> impl Iterator<Item = Place> {
    let end = start + len as u64;
    blocks(start, len as u64).map(move |block| {
        let begin = block * BLOCK;
        let from = start.max(begin);
        let to = end.min(begin + TAG as u64);
        Place {
            block,
            of_tag: (from - begin) as usize..(to - begin) as usize,
            at: (from - start) as usize,
        }
    })
}

/// The blocks of whose tags at least one byte lies in the `len` bytes that begin at `start`.
pub(crate) fn blocks(start: u64, len: u64) -> Range<u64> {
    let first = (start + BLOCK - TAG as u64) / BLOCK;
    let end = if len == 0 { 0 } else { start + len };
    first..end.div_ceil(BLOCK).max(first)
}

/// Whether the torrent's bytes from `start` on are zeros wherever there is no tag: what everybody
/// may rely on.
pub(crate) fn is_blank(start: u64, bytes: &[u8]) -> bool {
    let mut after = 0;
    for place in places(start, bytes.len()) {
        if !are_zeros(&bytes[after..place.at]) {
            return false;
        }
        after = place.within().end;
    }
    are_zeros(&bytes[after..])
}

pub(crate) fn are_zeros(bytes: &[u8]) -> bool {
    bytes
        .chunks(ZEROS.len())
        .all(|bytes| *bytes == ZEROS[..bytes.len()])
}

/// Any change of one word changes it (the mixing steps of SplitMix64 are bijective).
fn check_word([torrent, piece, block]: [u32; 3]) -> u32 {
    let mix = |mut bits: u64| {
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    };
    let bits = mix(u64::from(torrent) << 32 | u64::from(piece)) ^ u64::from(block);
    mix(bits) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(block: u64, of_tag: Range<usize>, at: usize) -> Place {
        Place { block, of_tag, at }
    }

    /// Ranges that begin and end inside tags hold the parts of them.
    #[test]
    fn tags_are_found_whole_and_in_parts() {
        let found = |start, len| places(start, len).collect::<Vec<_>>();
        assert_eq!(found(0, 1), [place(0, 0..1, 0)]);
        assert_eq!(
            found(0, 16_390),
            [place(0, 0..16, 0), place(1, 0..6, 16_384)]
        );
        assert_eq!(found(15, 2), [place(0, 15..16, 0)]);
        assert_eq!(found(16, 16_368), []);
        assert_eq!(found(15, 0), []);
        assert_eq!(found(16_000, 16_500), [place(1, 0..16, 384)]);
    }

    /// Every byte of a torrent is the same, read at once or in pieces of any length.
    #[test]
    fn bytes_do_not_depend_on_where_a_reader_begins() {
        let tags = Tags::new(7, 32 << 10);
        let mut whole = vec![1; 100_000];
        tags.fill(0, &mut whole);
        assert!(is_blank(0, &whole));
        for step in [1_000, 16_384, 16_391] {
            let mut parts = vec![1; whole.len()];
            for (part, start) in parts.chunks_mut(step).zip((0..).step_by(step)) {
                tags.fill(start, part);
                assert!(is_blank(start, part));
            }
            assert!(parts == whole, "in steps of {step}");
        }
        whole[16_400] = 1;
        assert!(!is_blank(0, &whole));
    }

    /// No two blocks of a torrent, and no two torrents, have a tag in common.
    #[test]
    fn tags_are_unlike_each_other() {
        let mut seen: Vec<Tag> = (0..1_000)
            .flat_map(|block| [1, 2].map(|torrent| Tags::new(torrent, 64 << 10).of(block)))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2_000);
        let tags = Tags::new(2, 64 << 10);
        assert_eq!(tags.piece_of(&tags.of(8)), 2);
    }
}

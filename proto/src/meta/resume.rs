//! What is remembered of an unfinished download, or of a seed, from one start to the next.
//!
//! The encoding is bencoded, with its SHA-1 behind it: a state that was torn or cut is none. It is
//! our own, so its reader accepts what the writer writes and nothing else. All pieces together are
//! written as none: the state of a seed is some 150 bytes and 30 for each file, however many pieces
//! there are.
//!
//! Invariant: a piece is in `have` only if its data was made durable before the state was saved.

use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::layout::{Layout, PieceIndex};
use crate::base::bits::Bitfield;
use crate::wire::bencode::{Limits, Value, decode, write_dict};

/// The version of the encoding.
const FORMAT: i64 = 1;
/// The most open pieces that are remembered.
const OPEN_MAX: usize = 4096;
/// The length of the digest behind the encoding.
pub(crate) const DIGEST_LEN: usize = 20;

/// A file as it was seen on the disk: enough to notice that somebody has changed it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Its length in bytes.
    pub len: u64,
    /// When its content was last changed, in nanoseconds since 1970 as the file system tells it;
    /// only compared for equality.
    pub modified: u64,
}

/// The state of an unfinished download, or of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The torrent's v1 info-hash.
    pub info_hash: [u8; 20],
    /// Everything that was written is accounted for: what is not in `have` or `open` is not there.
    pub clean: bool,
    /// The pieces that are verified and durable.
    pub have: Bitfield,
    /// Each file as it was when it was last made durable; `None` if it was not there.
    pub stamps: Vec<Option<Stamp>>,
    /// Pieces of which some blocks lie on the disk, unverified: which.
    pub open: Vec<(PieceIndex, Bitfield)>,
}

/// The longest encoding of a torrent's state, in bytes.
#[must_use]
pub fn most_len(layout: &Layout) -> usize {
    /// Two numbers of 20 digits and what is around them.
    const STAMP: usize = 48;
    const FIXED: usize = 256;
    let pieces = layout.pieces() as usize;
    let blocks = layout.blocks_in(PieceIndex(0)) as usize;
    let open = pieces.min(OPEN_MAX) * (blocks.div_ceil(8) + STAMP);
    FIXED + pieces.div_ceil(8) + layout.files().len() * STAMP + open + DIGEST_LEN
}

impl Resume {
    /// The encoding, at most [`most_len`] bytes. Of more open pieces than 4,096 the first are kept.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        write_dict(&mut out, |state| {
            state.integer(b"clean", self.clean.into());
            state.list(b"files", |files| {
                for stamp in &self.stamps {
                    files.list(|file| {
                        if let Some(stamp) = stamp {
                            file.integer(signed(stamp.len));
                            file.integer(signed(stamp.modified));
                        }
                    });
                }
            });
            state.integer(b"format", FORMAT);
            state.bytes(b"have", &wire_unless_full(&self.have));
            state.bytes(b"info_hash", &self.info_hash);
            state.list(b"open", |open| {
                for (piece, blocks) in self.open.iter().take(OPEN_MAX) {
                    open.list(|entry| {
                        entry.integer(piece.0.into());
                        entry.bytes(&wire(blocks));
                    });
                }
            });
        });
        let digest = Sha1::digest(&out);
        out.extend_from_slice(&digest);
        out
    }

    /// Reads the state of a torrent of this layout and info-hash; `None` if it is damaged, of
    /// another torrent or of another version.
    #[must_use]
    pub fn decode(bytes: &[u8], layout: &Layout, info_hash: [u8; 20]) -> Option<Self> {
        if bytes.len() > most_len(layout) {
            return None;
        }
        let (encoded, digest) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_LEN)?)?;
        if Sha1::digest(encoded).as_slice() != digest {
            return None;
        }
        let tree = decode(encoded, limits(layout)).ok()?;
        let state = tree.root();
        if number(state, b"format")? != FORMAT.cast_unsigned() {
            return None;
        }
        let resume = Resume {
            info_hash: state.get(b"info_hash")?.bytes()?.try_into().ok()?,
            clean: number(state, b"clean")? == 1,
            have: bits_or_full(state.get(b"have")?, layout.pieces())?,
            stamps: state
                .get(b"files")?
                .list()?
                .map(stamp)
                .collect::<Option<_>>()?,
            open: open_pieces(state.get(b"open")?, layout)?,
        };
        let fits = resume.info_hash == info_hash && resume.stamps.len() == layout.files().len();
        fits.then_some(resume)
    }
}

/// What the encoding of a state of this layout may take to be understood.
fn limits(layout: &Layout) -> Limits {
    Limits {
        depth: 4,
        tokens: 64 + 3 * (layout.files().len() + OPEN_MAX),
    }
}

fn open_pieces(list: Value<'_, '_>, layout: &Layout) -> Option<Vec<(PieceIndex, Bitfield)>> {
    let mut open: Vec<(PieceIndex, Bitfield)> = Vec::new();
    for entry in list.list()? {
        let mut entry = entry.list()?;
        let piece = u32::try_from(entry.next()?.integer()?).ok()?;
        let piece = layout.piece(piece)?;
        let blocks = bits(entry.next()?, layout.blocks_in(piece))?;
        // In their order, so that none comes twice.
        if open.last().is_some_and(|(last, _)| *last >= piece) {
            return None;
        }
        open.push((piece, blocks));
    }
    Some(open)
}

#[expect(
    clippy::option_option,
    reason = "no stamp is not the same as a bad one"
)]
fn stamp(value: Value<'_, '_>) -> Option<Option<Stamp>> {
    let mut numbers = value
        .list()?
        .map(|value| u64::try_from(value.integer()?).ok());
    match (numbers.next(), numbers.next(), numbers.next()) {
        (None, ..) => Some(None),
        (Some(Some(len)), Some(Some(modified)), None) => Some(Some(Stamp { len, modified })),
        _ => None,
    }
}

fn number(state: Value<'_, '_>, key: &[u8]) -> Option<u64> {
    u64::try_from(state.get(key)?.integer()?).ok()
}

fn bits(value: Value<'_, '_>, len: u32) -> Option<Bitfield> {
    Bitfield::from_wire(value.bytes()?, len as usize).ok()
}

/// A layout has at least one piece: no set of them is written as no bytes.
fn bits_or_full(value: Value<'_, '_>, len: u32) -> Option<Bitfield> {
    match value.bytes()? {
        [] => Some(Bitfield::full(len as usize)),
        _ => bits(value, len).filter(|bits| !bits.is_full()),
    }
}

fn wire_unless_full(bits: &Bitfield) -> Vec<u8> {
    match bits.is_full() {
        true => Vec::new(),
        false => wire(bits),
    }
}

fn wire(bits: &Bitfield) -> Vec<u8> {
    let mut bytes = Vec::new();
    bits.to_wire(&mut bytes);
    bytes
}

/// Bencode has signed numbers; no length or time comes near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::meta::layout::{FileEntry, FileKind};

    const HASH: [u8; 20] = [7; 20];

    fn layout() -> Layout {
        let file = |name: &str, len| FileEntry {
            path: vec![name.into()],
            len,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        Layout::new(65_536, vec![file("a", 300_000), file("b", 5)]).unwrap()
    }

    fn resume() -> Resume {
        let mut have = Bitfield::new(5);
        have.insert(0);
        have.insert(3);
        let mut blocks = Bitfield::new(4);
        blocks.insert(2);
        let stamp = Stamp {
            len: 300_000,
            modified: 1_790_000_000_123_456_789,
        };
        Resume {
            info_hash: HASH,
            clean: true,
            have,
            stamps: vec![Some(stamp), None],
            open: vec![(PieceIndex(1), blocks)],
        }
    }

    #[test]
    fn a_state_comes_back() {
        let bytes = resume().encode();
        assert!(bytes.len() <= most_len(&layout()));
        assert_eq!(Resume::decode(&bytes, &layout(), HASH), Some(resume()));
    }

    /// However many pieces a seed has, what is remembered of it is small, and nearly all of them are
    /// not taken for all.
    #[test]
    fn the_state_of_a_seed_is_small() {
        const PIECES: u32 = 100_000;
        let file = |len| FileEntry {
            path: vec!["a".into()],
            len,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(1, vec![file(u64::from(PIECES))]).unwrap();
        let mut seed = Resume {
            have: Bitfield::full(PIECES as usize),
            stamps: vec![resume().stamps[0]],
            open: Vec::new(),
            ..resume()
        };
        let bytes = seed.encode();
        assert!(bytes.len() < 200, "{}", bytes.len());
        assert_eq!(Resume::decode(&bytes, &layout, HASH), Some(seed.clone()));
        seed.have.remove(7);
        let bytes = seed.encode();
        assert_eq!(Resume::decode(&bytes, &layout, HASH), Some(seed));
    }

    /// Whatever a disk makes of it, a state that is not whole is none.
    #[test]
    fn a_damaged_state_is_none() {
        let bytes = resume().encode();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1;
            assert_eq!(Resume::decode(&flipped, &layout(), HASH), None, "{at}");
            assert_eq!(Resume::decode(&bytes[..at], &layout(), HASH), None, "{at}");
        }
    }

    /// A state whose digest is right, and which does not fit the torrent, is none either.
    #[test]
    fn a_state_of_something_else_is_none() {
        let changes: [fn(&mut Resume); 5] = [
            |state| state.info_hash[0] = 0,
            |state| state.have = Bitfield::new(9),
            |state| state.stamps.truncate(1),
            |state| state.open[0].0 = PieceIndex(5),
            |state| state.open.push(state.open[0].clone()),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut state = resume();
            change(&mut state);
            assert_eq!(
                Resume::decode(&state.encode(), &layout(), HASH),
                None,
                "{at}"
            );
        }
    }
}

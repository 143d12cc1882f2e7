//! Sets of pieces.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

const WORD: usize = u64::BITS as usize;

/// A set of indices below a fixed length, its size counted along. One with nothing in it, or with
/// everything, holds no memory: most peers are seeds.
///
/// Invariant: bits at and past `len` are zero, `ones` is the number of set bits, and `words` are there
/// unless `ones` says it all.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bitfield {
    words: Vec<u64>,
    len: usize,
    ones: usize,
}

/// Why bytes are not a bitfield of a given length (BEP 3, `bitfield`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBitfield {
    /// The number of bytes does not fit the number of pieces.
    #[error("a bitfield of {got} bytes where {expected} are due")]
    Length {
        /// Bytes due.
        expected: usize,
        /// Bytes received.
        got: usize,
    },
    /// A spare bit at the end is set.
    #[error("a spare bit at the end of a bitfield is set")]
    SpareBits,
}

impl Bitfield {
    /// The empty set of indices below `len`.
    #[must_use]
    pub fn new(len: usize) -> Self {
        Bitfield {
            words: Vec::new(),
            len,
            ones: 0,
        }
    }

    /// The set of all indices below `len`.
    #[must_use]
    pub fn full(len: usize) -> Self {
        Bitfield {
            words: Vec::new(),
            len,
            ones: len,
        }
    }

    /// Reads a wire bitfield: the high bit of the first byte is index 0 (BEP 3).
    ///
    /// # Errors
    /// If the length is wrong or a spare bit is set.
    pub fn from_wire(bytes: &[u8], len: usize) -> Result<Self, BadBitfield> {
        let expected = len.div_ceil(8);
        if bytes.len() != expected {
            return Err(BadBitfield::Length {
                expected,
                got: bytes.len(),
            });
        }
        if let Some(last) = bytes.last()
            && !len.is_multiple_of(8)
            && last & (0xff >> (len % 8)) != 0
        {
            return Err(BadBitfield::SpareBits);
        }
        let mut words = vec![0; len.div_ceil(WORD)];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(8)) {
            for (at, byte) in chunk.iter().enumerate() {
                *word |= u64::from(byte.reverse_bits()) << (8 * at);
            }
        }
        let ones = words.iter().map(|word: &u64| word.count_ones() as usize);
        let ones = ones.sum();
        let mut field = Bitfield { words, len, ones };
        field.fold();
        Ok(field)
    }

    /// Appends the wire form, `len.div_ceil(8)` bytes.
    pub fn to_wire(&self, out: &mut Vec<u8>) {
        let bytes = self.words().flat_map(u64::to_le_bytes);
        out.extend(bytes.take(self.len.div_ceil(8)).map(u8::reverse_bits));
    }

    /// How many indices there are, in the set or not.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no indices at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The size of the set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ones
    }

    /// Whether every index is in the set.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.ones == self.len
    }

    /// Whether `index` is in the set; false past the end.
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        index < self.len && self.word(index / WORD) >> (index % WORD) & 1 == 1
    }

    /// Adds `index`; whether it was new.
    ///
    /// # Panics
    /// If `index` is past the end.
    pub fn insert(&mut self, index: usize) -> bool {
        assert!(index < self.len, "index {index} of {}", self.len);
        let new = !self.contains(index);
        if new {
            self.unfold();
            self.words[index / WORD] |= 1 << (index % WORD);
            self.ones += 1;
            self.fold();
        }
        new
    }

    /// Takes `index` out; whether it was there.
    pub fn remove(&mut self, index: usize) -> bool {
        let there = self.contains(index);
        if there {
            self.unfold();
            self.words[index / WORD] &= !(1 << (index % WORD));
            self.ones -= 1;
            self.fold();
        }
        there
    }

    /// The indices of the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        let words = self.words().enumerate();
        words.flat_map(|(at, word)| bits_of(at, word))
    }

    /// The indices that both sets have, ascending.
    pub fn common(&self, other: &Bitfield) -> impl Iterator<Item = usize> {
        let words = self.words().zip(other.words()).enumerate();
        words.flat_map(|(at, (ours, theirs))| bits_of(at, ours & theirs))
    }

    /// The indices that this set has and `other` lacks, ascending.
    pub fn beyond(&self, other: &Bitfield) -> impl Iterator<Item = usize> {
        let words = self.words().zip(other.words()).enumerate();
        words.flat_map(|(at, (ours, theirs))| bits_of(at, ours & !theirs))
    }

    /// Whether there is an index that both sets have.
    #[must_use]
    pub fn meets(&self, other: &Bitfield) -> bool {
        let mut words = self.words().zip(other.words());
        words.any(|(ours, theirs)| ours & theirs != 0)
    }

    /// Whether `other` has an index that this set lacks.
    #[must_use]
    pub fn lacks_any_of(&self, other: &Bitfield) -> bool {
        let mut words = self.words().zip(other.words());
        words.any(|(ours, theirs)| theirs & !ours != 0)
    }

    /// Every word, in memory or not.
    fn words(&self) -> impl Iterator<Item = u64> {
        (0..self.len.div_ceil(WORD)).map(|at| self.word(at))
    }

    /// Word number `at`, which is not past the end.
    fn word(&self, at: usize) -> u64 {
        match self.words.get(at) {
            Some(word) => *word,
            None if self.ones == 0 => 0,
            None => u64::MAX >> (WORD - (self.len - at * WORD).min(WORD)),
        }
    }

    /// Puts the words into memory.
    fn unfold(&mut self) {
        if self.words.is_empty() {
            self.words = self.words().collect();
        }
    }

    /// Lets go of the words if there is nothing in them to be told.
    fn fold(&mut self) {
        if self.ones == 0 || self.ones == self.len {
            self.words = Vec::new();
        }
    }
}

/// The indices that word number `at` stands for, ascending.
fn bits_of(at: usize, mut word: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(at * WORD + bit)
    })
}

impl fmt::Debug for Bitfield {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bitfield({}/{})", self.ones, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_form_is_high_bit_first_and_round_trips() {
        for len in [1, 7, 8, 9, 63, 64, 65, 200] {
            let mut field = Bitfield::new(len);
            for index in (0..len).step_by(3) {
                field.insert(index);
            }
            let mut wire = Vec::new();
            field.to_wire(&mut wire);
            assert_eq!(wire[0] & 0x80, 0x80);
            assert_eq!(Bitfield::from_wire(&wire, len).unwrap(), field);
        }
        assert_eq!(
            Bitfield::from_wire(&[0xc0, 0x40], 10)
                .unwrap()
                .iter()
                .collect::<Vec<_>>(),
            [0, 1, 9]
        );
    }

    #[test]
    fn spare_bits_and_wrong_lengths_are_refused() {
        assert_eq!(
            Bitfield::from_wire(&[0xff, 0x20], 10),
            Err(BadBitfield::SpareBits)
        );
        let error = BadBitfield::Length {
            expected: 2,
            got: 1,
        };
        assert_eq!(Bitfield::from_wire(&[0xff], 10), Err(error));
    }

    #[test]
    fn what_two_fields_share_is_found_in_every_word() {
        let (mut some, mut others) = (Bitfield::new(200), Bitfield::new(200));
        for index in [0, 63, 64, 199] {
            some.insert(index);
        }
        for index in [1, 63, 128, 199] {
            others.insert(index);
        }
        assert_eq!(some.common(&others).collect::<Vec<_>>(), [63, 199]);
        assert_eq!(some.beyond(&others).collect::<Vec<_>>(), [0, 64]);
        assert!(some.meets(&others));
        others.remove(63);
        others.remove(199);
        assert!(!some.meets(&others));
    }

    /// A set that comes to be empty or full, in whatever way, holds no memory and is the same as one
    /// that was made so.
    #[test]
    fn what_goes_without_saying_takes_no_memory() {
        for len in [1, 63, 64, 65, 200] {
            let mut field = Bitfield::new(len);
            assert_eq!(field.iter().count(), 0);
            assert!((0..len).all(|index| field.insert(index)));
            assert_eq!((&field, field.words.capacity()), (&Bitfield::full(len), 0));
            assert!(field.iter().eq(0..len) && !field.contains(len));
            let mut wire = Vec::new();
            field.to_wire(&mut wire);
            let told = Bitfield::from_wire(&wire, len).unwrap();
            assert_eq!((&told, told.words.capacity()), (&field, 0));
            assert!((0..len).all(|index| field.remove(index)));
            assert_eq!((&field, field.words.capacity()), (&Bitfield::new(len), 0));
        }
    }

    #[test]
    fn a_full_field_counts_and_compares() {
        let full = Bitfield::full(130);
        let mut wire = Vec::new();
        full.to_wire(&mut wire);
        assert_eq!(Bitfield::from_wire(&wire, 130).unwrap(), full);
        let mut most = full.clone();
        assert!(most.remove(129) && !most.remove(129));
        assert!(most.lacks_any_of(&full) && !full.lacks_any_of(&most));
        assert_eq!(
            (full.is_full(), most.is_full(), most.count()),
            (true, false, 129)
        );
    }
}

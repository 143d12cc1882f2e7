//! What the targets share: how one input is divided into settings and a stream, and where the
//! stream is cut.
//!
//! Inputs are plain bytes instead of derived structures, so that a captured stream is a good seed
//! after a few bytes in front.

pub mod bencode;
pub mod host;

/// Reads settings from the front of an input; zeros once it is used up.
pub struct Knobs<'a>(pub &'a [u8]);

impl<'a> Knobs<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    /// The next two bytes as one big-endian number.
    pub fn short(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    /// A count in one byte, then as many lengths of pieces that a stream is cut into.
    pub fn cuts(&mut self) -> &'a [u8] {
        let count = usize::from(self.byte() % 32).min(self.0.len());
        let (cuts, rest) = self.0.split_at(count);
        self.0 = rest;
        cuts
    }

    /// Everything that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// The stream in pieces as long as `cuts` says, over and over; whole where it says nothing.
pub fn cut<'a>(mut stream: &'a [u8], cuts: &[u8]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    // Of lengths that are all zero nothing would ever come to an end.
    let mut lengths = cuts.iter().map(|len| usize::from(*len).max(1)).cycle();
    while !stream.is_empty() {
        let len = lengths.next().unwrap_or(stream.len()).min(stream.len());
        let (piece, rest) = stream.split_at(len);
        pieces.push(piece);
        stream = rest;
    }
    pieces
}

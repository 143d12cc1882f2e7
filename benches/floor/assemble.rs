//! Cuts what comes on one connection into blocks, and puts them into pieces.

/// The bytes before a block.
const HEADER: usize = 13;

/// The id of a `piece` message.
const PIECE: u8 = 7;

/// A part of a block, and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    pub(crate) piece: u32,
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
}

/// One connection's stream. Blocks of a piece come one after the other.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    header: [u8; HEADER],
    filled: usize,
    piece: u32,
    offset: usize,
    left: usize,
}

impl Stream {
    /// The next part of a block; `data` is advanced past it. `None`: more must come.
    pub(crate) fn next<'a>(&mut self, data: &mut &'a [u8]) -> Result<Option<Part<'a>>, String> {
        if self.left == 0 && !self.read_header(data)? {
            return Ok(None);
        }
        let (bytes, rest) = data.split_at(self.left.min(data.len()));
        *data = rest;
        if bytes.is_empty() {
            return Ok(None);
        }
        let part = Part {
            piece: self.piece,
            offset: self.offset,
            bytes,
        };
        self.offset += bytes.len();
        self.left -= bytes.len();
        Ok(Some(part))
    }

    /// Whether a header is whole.
    fn read_header(&mut self, data: &mut &[u8]) -> Result<bool, String> {
        let (bytes, rest) = data.split_at(data.len().min(HEADER - self.filled));
        *data = rest;
        self.header[self.filled..][..bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        if self.filled < HEADER {
            return Ok(false);
        }
        self.filled = 0;
        let number = |at: usize| {
            let bytes = [0, 1, 2, 3].map(|byte| self.header[at + byte]);
            u32::from_be_bytes(bytes)
        };
        if self.header[4] != PIECE || number(0) < 10 {
            return Err(format!("no header of a block: {:?}", self.header));
        }
        (self.piece, self.offset) = (number(5), number(9) as usize);
        self.left = number(0) as usize - 9;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wherever the stream is cut, the same bytes go to the same places.
    #[test]
    fn a_cut_changes_nothing() {
        let mut wire = Vec::new();
        for (piece, begin) in [(3_u32, 0_u32), (3, 5), (9, 0)] {
            wire.extend_from_slice(&14_u32.to_be_bytes());
            wire.push(PIECE);
            wire.extend_from_slice(&piece.to_be_bytes());
            wire.extend_from_slice(&begin.to_be_bytes());
            wire.extend_from_slice(b"block");
        }
        for cut in 0..wire.len() {
            let mut stream = Stream::default();
            let mut placed = Vec::new();
            for mut data in [&wire[..cut], &wire[cut..]] {
                while let Some(part) = stream.next(&mut data).unwrap() {
                    let at = part.offset..;
                    placed.extend(at.zip(part.bytes).map(|(at, byte)| (part.piece, at, *byte)));
                }
            }
            let block = |piece, begin| (begin..).zip(*b"block").map(move |(at, b)| (piece, at, b));
            let all = [block(3, 0), block(3, 5), block(9, 0)];
            assert_eq!(
                placed,
                all.into_iter().flatten().collect::<Vec<_>>(),
                "{cut}"
            );
        }
    }

    /// What is no block is refused.
    #[test]
    fn other_messages_are_refused() {
        let mut data: &[u8] = &[0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(Stream::default().next(&mut data).is_err());
    }
}

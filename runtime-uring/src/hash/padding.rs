//! How a message ends (FIPS 180-4, section 5.1.1): a one bit, zeros, and its length in bits.

/// What the hashes take in at once.
pub(super) type Block = [u8; 64];

/// Where the length of a message stands in its last block.
const LENGTH_AT: usize = 56;

/// The last blocks of a message: the bytes after its last whole block, and what must follow them.
pub(super) struct Padding {
    blocks: [Block; 2],
    /// How many of them count.
    count: usize,
}

impl Padding {
    /// Of a message that goes on.
    pub(super) const NONE: Self = Padding {
        blocks: [[0; 64]; 2],
        count: 0,
    };

    /// Of a message of `len` bytes in all, of which `rest` lie beyond its last whole block.
    pub(super) fn new(rest: &[u8], len: u64) -> Self {
        assert_eq!(rest.len() as u64, len % 64, "the rest is less than a block");
        let mut blocks = [[0; 64]; 2];
        blocks[0][..rest.len()].copy_from_slice(rest);
        blocks[0][rest.len()] = 0x80;
        let count = if rest.len() < LENGTH_AT { 1 } else { 2 };
        // No memory holds a message of 2^61 bytes.
        blocks[count - 1][LENGTH_AT..].copy_from_slice(&(len * 8).to_be_bytes());
        Padding { blocks, count }
    }

    pub(super) fn blocks(&self) -> &[Block] {
        &self.blocks[..self.count]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The length finds room in the block of the rest, or in one of its own.
    #[test]
    fn the_length_comes_last() {
        for (len, count) in [(0, 1), (1, 1), (55, 1), (56, 2), (63, 2), (64, 1), (119, 1)] {
            let rest = vec![7; len % 64];
            let padding = Padding::new(&rest, len as u64);
            let bytes = padding.blocks().concat();
            assert_eq!(bytes.len(), count * 64, "{len}");
            assert_eq!(bytes[..rest.len()], rest[..], "{len}");
            assert_eq!(bytes[rest.len()], 0x80, "{len}");
            let (zeros, length) = bytes[rest.len() + 1..].split_last_chunk().unwrap();
            assert!(zeros.iter().all(|byte| *byte == 0), "{len}");
            assert_eq!(u64::from_be_bytes(*length), len as u64 * 8, "{len}");
        }
        assert!(Padding::NONE.blocks().is_empty());
    }
}

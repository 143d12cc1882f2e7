//! The handshake that opens every connection between peers (BEP 3, "peer protocol"): 68 bytes.
//!
//! An acceptor must answer when the info-hash is in, before the peer id: trackers that test whether
//! a peer can be reached wait for the answer at that point. So it is read in two stages.

use super::Malformed;

/// The bytes of a whole handshake.
pub const LEN: usize = 68;

/// The bytes up to the end of the info-hash.
pub const HEAD_LEN: usize = 48;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";
const RESERVED_END: usize = 28;

/// The eight bytes in which a peer tells what it speaks. Unknown bits are kept and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reserved([u8; 8]);

impl Reserved {
    /// Nothing beyond BEP 3.
    pub const NONE: Reserved = Reserved([0; 8]);

    const EXTENDED: (usize, u8) = (5, 0x10);
    const DHT: (usize, u8) = (7, 0x01);
    const FAST: (usize, u8) = (7, 0x04);
    const V2: (usize, u8) = (7, 0x10);

    /// The bytes as they were received.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Reserved(bytes)
    }

    /// The bytes as they are sent.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// Speaks the extension protocol (BEP 10).
    #[must_use]
    pub const fn extended(self) -> bool {
        self.has(Self::EXTENDED)
    }

    /// Has a DHT node and sends `port` (BEP 5).
    #[must_use]
    pub const fn dht(self) -> bool {
        self.has(Self::DHT)
    }

    /// Speaks the fast extension (BEP 6).
    #[must_use]
    pub const fn fast(self) -> bool {
        self.has(Self::FAST)
    }

    /// Can upgrade a hybrid torrent to version 2 (BEP 52).
    #[must_use]
    pub const fn v2(self) -> bool {
        self.has(Self::V2)
    }

    /// With the extension protocol (BEP 10).
    #[must_use]
    pub const fn with_extended(self) -> Self {
        self.with(Self::EXTENDED)
    }

    /// With the DHT (BEP 5).
    #[must_use]
    pub const fn with_dht(self) -> Self {
        self.with(Self::DHT)
    }

    /// With the fast extension (BEP 6).
    #[must_use]
    pub const fn with_fast(self) -> Self {
        self.with(Self::FAST)
    }

    /// With the upgrade to version 2 (BEP 52).
    #[must_use]
    pub const fn with_v2(self) -> Self {
        self.with(Self::V2)
    }

    const fn has(self, (byte, bit): (usize, u8)) -> bool {
        self.0[byte] & bit != 0
    }

    const fn with(mut self, (byte, bit): (usize, u8)) -> Self {
        self.0[byte] |= bit;
        self
    }
}

/// A whole handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// What the sender speaks.
    pub reserved: Reserved,
    /// The torrent: SHA-1 of its info dictionary, or the first 20 bytes of its SHA-256 (BEP 52).
    pub info_hash: [u8; 20],
    /// The sender (BEP 20).
    pub peer_id: [u8; 20],
}

impl Handshake {
    /// The bytes as they are sent.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        out[..PROTOCOL.len()].copy_from_slice(PROTOCOL);
        out[PROTOCOL.len()..RESERVED_END].copy_from_slice(&self.reserved.0);
        out[RESERVED_END..HEAD_LEN].copy_from_slice(&self.info_hash);
        out[HEAD_LEN..].copy_from_slice(&self.peer_id);
        out
    }
}

/// How far a [`HandshakeReader`] has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Everything pushed was consumed; more must come.
    NeedMore,
    /// The info-hash is in: an acceptor answers now. Told once; the rest of the data waits for the
    /// next push.
    Head {
        /// What the sender speaks.
        reserved: Reserved,
        /// The torrent.
        info_hash: [u8; 20],
    },
    /// All of it is in. What is left of the data follows the handshake.
    Whole(Handshake),
}

/// Reads a handshake from a stream cut anywhere; holds 68 bytes and never more.
#[derive(Clone, Debug)]
pub struct HandshakeReader {
    buffer: [u8; LEN],
    filled: usize,
}

impl Default for HandshakeReader {
    fn default() -> Self {
        Self::new()
    }
}

impl HandshakeReader {
    /// Nothing read yet.
    #[must_use]
    pub const fn new() -> Self {
        HandshakeReader {
            buffer: [0; LEN],
            filled: 0,
        }
    }

    /// Consumes from the front of `data` and tells the next stage reached. Call again until it
    /// answers [`Progress::NeedMore`] or [`Progress::Whole`].
    ///
    /// # Errors
    /// At the first byte that is not of the protocol string.
    pub fn push(&mut self, data: &mut &[u8]) -> Result<Progress, Malformed> {
        if self.filled < HEAD_LEN {
            self.fill(data, HEAD_LEN)?;
            if self.filled < HEAD_LEN {
                return Ok(Progress::NeedMore);
            }
            let (reserved, info_hash) = self.head();
            return Ok(Progress::Head {
                reserved,
                info_hash,
            });
        }
        self.fill(data, LEN)?;
        if self.filled < LEN {
            return Ok(Progress::NeedMore);
        }
        let (reserved, info_hash) = self.head();
        Ok(Progress::Whole(Handshake {
            reserved,
            info_hash,
            peer_id: field(&self.buffer, HEAD_LEN),
        }))
    }

    fn fill(&mut self, data: &mut &[u8], end: usize) -> Result<(), Malformed> {
        let taken;
        (taken, *data) = data.split_at(data.len().min(end - self.filled));
        self.buffer[self.filled..][..taken.len()].copy_from_slice(taken);
        let from = self.filled;
        self.filled += taken.len();
        let mut wrong = (from..self.filled)
            .zip(taken)
            .zip(PROTOCOL.iter().skip(from));
        match wrong.find(|((_, got), expected)| got != expected) {
            Some(((at, got), _)) => Err(Malformed::Protocol { at, got: *got }),
            None => Ok(()),
        }
    }

    fn head(&self) -> (Reserved, [u8; 20]) {
        let reserved = Reserved(field(&self.buffer, PROTOCOL.len()));
        (reserved, field(&self.buffer, RESERVED_END))
    }
}

fn field<const N: usize>(bytes: &[u8; LEN], from: usize) -> [u8; N] {
    *bytes[from..]
        .first_chunk()
        .expect("a field of the handshake")
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    const SAMPLE: Handshake = Handshake {
        reserved: Reserved::NONE.with_fast().with_extended(),
        info_hash: [0xab; 20],
        peer_id: *b"-RC0100-abcdefghijkl",
    };

    /// Pushes the pieces one after the other and collects every stage that is told.
    fn stages(pieces: &[&[u8]]) -> Result<Vec<Progress>, Malformed> {
        let mut reader = HandshakeReader::new();
        let mut told = Vec::new();
        for piece in pieces {
            let mut data = *piece;
            while !data.is_empty() {
                match reader.push(&mut data)? {
                    Progress::NeedMore => assert!(data.is_empty()),
                    stage => told.push(stage),
                }
            }
        }
        Ok(told)
    }

    /// The head is told once and the whole once, wherever the stream is cut.
    #[test]
    fn any_cut_tells_the_same_stages() {
        let bytes = SAMPLE.encode();
        let expected = vec![
            Progress::Head {
                reserved: SAMPLE.reserved,
                info_hash: SAMPLE.info_hash,
            },
            Progress::Whole(SAMPLE),
        ];
        for cut in 0..=LEN {
            let (front, back) = bytes.split_at(cut);
            assert_eq!(stages(&[front, back]), Ok(expected.clone()), "cut at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(stages(&single), Ok(expected));
    }

    /// What follows the handshake stays with the caller.
    #[test]
    fn the_rest_is_left_over() {
        let mut bytes = SAMPLE.encode().to_vec();
        bytes.extend_from_slice(b"next");
        let mut data = &bytes[..];
        let mut reader = HandshakeReader::new();
        assert!(matches!(reader.push(&mut data), Ok(Progress::Head { .. })));
        assert_eq!(data.len(), 24);
        assert_eq!(reader.push(&mut data), Ok(Progress::Whole(SAMPLE)));
        assert_eq!(data, b"next");
    }

    /// A stranger is refused at its first wrong byte, not after 68.
    #[test]
    fn a_wrong_protocol_is_refused_at_its_first_byte() {
        let mut reader = HandshakeReader::new();
        let refused = reader.push(&mut &b"GET / HTTP"[..]);
        assert_eq!(refused, Err(Malformed::Protocol { at: 0, got: b'G' }));

        let mut reader = HandshakeReader::new();
        assert_eq!(reader.push(&mut &b"\x13Bit"[..]), Ok(Progress::NeedMore));
        let refused = reader.push(&mut &b"Coin"[..]);
        assert_eq!(refused, Err(Malformed::Protocol { at: 4, got: b'C' }));
    }

    #[test]
    fn reserved_bits_are_told_apart() {
        let all = Reserved::NONE
            .with_dht()
            .with_v2()
            .with_fast()
            .with_extended();
        assert_eq!(all.to_bytes(), [0, 0, 0, 0, 0, 0x10, 0, 0x15]);
        let dht = Reserved::from_bytes([0x80, 0, 0, 0, 0, 0, 0, 0x01]);
        assert!(dht.dht() && !dht.fast() && !dht.v2() && !dht.extended());
    }
}

//! The handshake of one side (BEP 3, "peer protocol"): 68 bytes, gathered.

use super::Whistle;
use super::rules::{Rule, Rules};

/// Its length in bytes.
const LEN: usize = 68;
/// What it begins with.
const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The reserved bytes of a handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reserved(pub(super) [u8; 8]);

impl Reserved {
    /// The extension protocol (BEP 10).
    pub(super) const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// The fast extension (BEP 6).
    pub(super) const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// A DHT node (BEP 5).
    pub(super) const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Version 2 (BEP 52).
    pub(super) const fn v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }
}

/// A handshake, as far as it has passed.
#[derive(Debug)]
pub(super) struct Greeting {
    bytes: [u8; LEN],
    filled: usize,
}

impl Default for Greeting {
    fn default() -> Self {
        Greeting {
            bytes: [0; LEN],
            filled: 0,
        }
    }
}

impl Greeting {
    /// Takes what belongs to it from the front of `data`; whether that made it whole.
    pub(super) fn push(&mut self, data: &mut &[u8]) -> bool {
        let taken;
        (taken, *data) = data.split_at(data.len().min(LEN - self.filled));
        self.bytes[self.filled..][..taken.len()].copy_from_slice(taken);
        self.filled += taken.len();
        !taken.is_empty() && self.is_whole()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.filled == LEN
    }

    /// Whether what has passed is the beginning of a handshake of this protocol.
    pub(super) fn is_ours(&self) -> bool {
        let told = self.filled.min(PROTOCOL.len());
        self.bytes[..told] == PROTOCOL[..told]
    }

    pub(super) fn reserved(&self) -> Reserved {
        Reserved(self.field(20))
    }

    pub(super) fn info_hash(&self) -> [u8; 20] {
        self.field(28)
    }

    pub(super) fn peer_id(&self) -> [u8; 20] {
        self.field(48)
    }

    /// Judges our client's, whose peer id was `peer_id` on its first connection.
    pub(super) fn judge(&self, whistle: &mut Whistle<'_>, rules: &Rules, peer_id: [u8; 20]) {
        let offers = self.reserved();
        if offers != rules.offered() {
            whistle.blow(Rule::Handshake, || format!("offers {:02x?}", offers.0));
        }
        if Some(self.info_hash()) != rules.torrent().hashes().v1 {
            whistle.blow(Rule::Handshake, || "another torrent".into());
        }
        if self.peer_id() != peer_id {
            whistle.blow(Rule::PeerId, || "another than before".into());
        }
    }

    fn field<const N: usize>(&self, from: usize) -> [u8; N] {
        let field = self.bytes[from..].first_chunk();
        *field.expect("a field of the handshake")
    }
}

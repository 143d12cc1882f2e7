//! The rules by name, and what a referee must know of the world to apply them.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::PieceIndex;

use super::greeting::Reserved;

/// What our client offers in its handshakes: the extension protocol (BEP 10) and the fast extension
/// (BEP 6).
const OFFERED: Reserved = Reserved([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

/// What a referee knows of the world. Cheap to clone: all clients of a torrent share it.
#[derive(Clone, Debug)]
pub struct Rules {
    torrent: Arc<Torrent>,
    /// The digests of all pieces, sorted.
    digests: Arc<[([u8; 20], u32)]>,
    offered: Reserved,
}

impl Rules {
    /// The rules for clients that share `torrent`.
    #[must_use]
    pub fn new(torrent: Arc<Torrent>) -> Self {
        let pieces = 0..torrent.layout().pieces();
        let digests = pieces.filter_map(|piece| {
            let digest = torrent.piece_hash_v1(PieceIndex(piece))?;
            Some((digest, piece))
        });
        let mut digests: Vec<_> = digests.collect();
        digests.sort_unstable();
        Rules {
            torrent,
            digests: digests.into(),
            offered: OFFERED,
        }
    }

    pub(super) fn torrent(&self) -> &Arc<Torrent> {
        &self.torrent
    }

    pub(super) fn offered(&self) -> Reserved {
        self.offered
    }

    /// The digests of all pieces and whose they are, sorted.
    pub(super) fn digests(&self) -> &[([u8; 20], u32)] {
        &self.digests
    }

    /// Where in [`Rules::digests`] those pieces are that have this digest: equal pieces share it.
    pub(super) fn of_digest(&self, digest: &[u8; 20]) -> Range<usize> {
        let from = self.digests.partition_point(|(other, _)| other < digest);
        let same = self.digests[from..].iter();
        from..from + same.take_while(|(other, _)| other == digest).count()
    }
}

/// A rule that our client may break. What each says, and where it stands, is in the
/// [table](super#rules).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(
    missing_docs,
    reason = "the table in the documentation of the module says each once"
)]
pub enum Rule {
    Handshake,
    PeerId,
    Severed,
    EarlyMessage,
    Frame,
    FirstMessage,
    Bitfield,
    NotFast,
    NotExtended,
    NotOffered,
    FalseHave,
    RepeatedHave,
    UntoldPiece,
    RepeatedState,
    ChokedRequest,
    UninterestedRequest,
    StaleInterest,
    AbsentRequest,
    NeedlessRequest,
    BadRange,
    DoubleRequest,
    TooManyRequests,
    IdleCancel,
    UnaskedPiece,
    PieceLength,
    ChokingPiece,
    UnheldPiece,
    IdleReject,
    Unanswered,
    Silence,
    StrangeAddress,
}

impl Rule {
    /// Its short name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.told().0
    }

    /// The standard it stands in.
    #[must_use]
    pub const fn source(self) -> &'static str {
        self.told().1
    }

    const fn told(self) -> (&'static str, &'static str) {
        match self {
            Rule::Handshake => ("handshake", "BEP 3"),
            Rule::PeerId => ("peer-id", "BEP 3"),
            Rule::Severed => ("severed", "BEP 3"),
            Rule::EarlyMessage => ("early-message", "BEP 3"),
            Rule::Frame => ("frame", "BEP 3"),
            Rule::FirstMessage => ("first-message", "BEP 3, 6"),
            Rule::Bitfield => ("bitfield", "BEP 3"),
            Rule::NotFast => ("not-fast", "BEP 6"),
            Rule::NotExtended => ("not-extended", "BEP 10"),
            Rule::NotOffered => ("not-offered", "BEP 5, 52"),
            Rule::FalseHave => ("false-have", "BEP 3"),
            Rule::RepeatedHave => ("repeated-have", "BEP 3"),
            Rule::UntoldPiece => ("untold-piece", "BEP 3"),
            Rule::RepeatedState => ("repeated-state", "BEP 3"),
            Rule::ChokedRequest => ("choked-request", "BEP 3, 6"),
            Rule::UninterestedRequest => ("uninterested-request", "BEP 3"),
            Rule::StaleInterest => ("stale-interest", "BEP 3"),
            Rule::AbsentRequest => ("absent-request", "BEP 3, 6"),
            Rule::NeedlessRequest => ("needless-request", "BEP 3"),
            Rule::BadRange => ("bad-range", "BEP 3"),
            Rule::DoubleRequest => ("double-request", "BEP 6"),
            Rule::TooManyRequests => ("too-many-requests", "BEP 10"),
            Rule::IdleCancel => ("idle-cancel", "BEP 3"),
            Rule::UnaskedPiece => ("unasked-piece", "BEP 3, 6"),
            Rule::PieceLength => ("piece-length", "BEP 3"),
            Rule::ChokingPiece => ("choking-piece", "BEP 3, 6"),
            Rule::UnheldPiece => ("unheld-piece", "BEP 3"),
            Rule::IdleReject => ("idle-reject", "BEP 6"),
            Rule::Unanswered => ("unanswered", "BEP 6"),
            Rule::Silence => ("silence", "BEP 3"),
            Rule::StrangeAddress => ("strange-address", "BEP 27"),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

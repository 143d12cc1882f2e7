//! The kinds of adversaries, and what may be done to them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How an adversary misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Serves corrupt blocks: all, some, or one of each piece.
    Poisoner,
    /// Claims one piece after the other and serves none; claims pieces twice, or such as there are
    /// not.
    FalseHaves,
    /// Claims everything and rejects or ignores each request, or sends a bitfield that cannot be.
    BitfieldLiar,
    /// Asks for everything, again and again, whether it may or not, and takes requests back.
    Flooder,
    /// Chokes and unchokes many times a second, and drops what was asked.
    ChokeFlapper,
    /// Claims everything and unchokes nobody.
    NeverUnchoke,
    /// Serves a few bytes a second.
    SlowDrip,
    /// Leaves when it is asked for the last block of a piece.
    Vanisher,
    /// Begins messages of more bytes than any message has.
    Oversize,
    /// Breaks the form of handshakes and messages, or sends such as mean nothing.
    Illegal,
    /// Sends its handshake byte by byte, and nothing after it.
    SlowLoris,
    /// Comes as many peers at once, all from one address, and takes what it gets.
    Sybil,
    /// Resets each connection after some bytes.
    ResetHappy,
    /// Says nothing, or nothing after its first words.
    Silent,
}

/// There is no kind of this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no adversary is of this kind")]
pub struct UnknownKind;

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 14] = [
        Kind::Poisoner,
        Kind::FalseHaves,
        Kind::BitfieldLiar,
        Kind::Flooder,
        Kind::ChokeFlapper,
        Kind::NeverUnchoke,
        Kind::SlowDrip,
        Kind::Vanisher,
        Kind::Oversize,
        Kind::Illegal,
        Kind::SlowLoris,
        Kind::Sybil,
        Kind::ResetHappy,
        Kind::Silent,
    ];

    /// Whether it serves corrupt data or breaks the protocol, so that a client may ban it. The
    /// others do only what the protocol allows, however little use they are: a client may leave
    /// them, and may not ban them.
    #[must_use]
    pub const fn is_liar(self) -> bool {
        match self {
            Kind::Poisoner
            | Kind::FalseHaves
            | Kind::BitfieldLiar
            | Kind::Flooder
            | Kind::Oversize
            | Kind::Illegal => true,
            Kind::ChokeFlapper
            | Kind::NeverUnchoke
            | Kind::SlowDrip
            | Kind::Vanisher
            | Kind::SlowLoris
            | Kind::Sybil
            | Kind::ResetHappy
            | Kind::Silent => false,
        }
    }

    /// Whether it tells trackers and peers that it has everything; the others have nothing.
    #[must_use]
    pub const fn poses_as_seed(self) -> bool {
        !matches!(self, Kind::FalseHaves | Kind::Flooder | Kind::Sybil)
    }

    /// How many connections it makes to each peer.
    pub(super) const fn connections(self) -> usize {
        match self {
            Kind::Sybil => 12,
            _ => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Kind::Poisoner => "poisoner",
            Kind::FalseHaves => "false-haves",
            Kind::BitfieldLiar => "bitfield-liar",
            Kind::Flooder => "flooder",
            Kind::ChokeFlapper => "choke-flapper",
            Kind::NeverUnchoke => "never-unchoke",
            Kind::SlowDrip => "slow-drip",
            Kind::Vanisher => "vanisher",
            Kind::Oversize => "oversize",
            Kind::Illegal => "illegal",
            Kind::SlowLoris => "slow-loris",
            Kind::Sybil => "sybil",
            Kind::ResetHappy => "reset-happy",
            Kind::Silent => "silent",
        }
    }
}

impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        let named = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        named.ok_or(UnknownKind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A kind has one name, wherever it is written.
    #[test]
    fn kinds_have_names() {
        #[derive(Debug, PartialEq, Deserialize, Serialize)]
        struct Table {
            kind: Kind,
        }
        for kind in Kind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
            let text = format!("kind = \"{kind}\"\n");
            assert_eq!(toml::from_str(&text), Ok(Table { kind }));
            assert_eq!(toml::to_string(&Table { kind }), Ok(text));
        }
        assert_eq!("nice".parse::<Kind>(), Err(UnknownKind));
    }
}

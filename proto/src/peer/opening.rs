//! The handshake of a connection, from its first byte to one value: [`Opened`].
//!
//! We send ours at once when we dial; as acceptor we answer when the info-hash is in, before the
//! peer id, where the checks of trackers stop.

use crate::wire::Malformed;
use crate::wire::handshake::{Handshake, HandshakeReader, Progress};

/// A handshake that is not finished.
#[derive(Debug)]
pub struct Opening {
    /// The info-hash we asked for; `None` where the far end asks.
    dialled: Option<[u8; 20]>,
    answered: bool,
    reader: HandshakeReader,
}

/// A finished handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// What the far end sent.
    pub handshake: Handshake,
    /// Whether it connected to us.
    pub incoming: bool,
}

/// What has become of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// More must be received.
    Pending,
    /// The far end asks for this torrent: answer with our handshake or close, then go on reading.
    Asked([u8; 20]),
    /// Done.
    Opened(Opened),
}

/// Why a handshake failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHandshake {
    /// It is not the BitTorrent protocol.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The far end answers for another torrent than the one we asked for.
    #[error("the peer answered for another torrent")]
    OtherTorrent,
}

impl Opening {
    /// We connected and asked for `info_hash`.
    #[must_use]
    pub fn dialled(info_hash: [u8; 20]) -> Self {
        Opening {
            dialled: Some(info_hash),
            answered: true,
            reader: HandshakeReader::new(),
        }
    }

    /// Somebody connected.
    #[must_use]
    pub fn accepted() -> Self {
        Opening {
            dialled: None,
            answered: false,
            reader: HandshakeReader::new(),
        }
    }

    /// The info-hash we asked for, if we dialled.
    #[must_use]
    pub fn asked_for(&self) -> Option<[u8; 20]> {
        self.dialled
    }

    /// Reads from the front of `data` and leaves what follows the handshake.
    ///
    /// # Errors
    /// If this is no handshake, or one for another torrent.
    pub fn read(&mut self, data: &mut &[u8]) -> Result<Step, BadHandshake> {
        let info_hash = match self.reader.push(data)? {
            Progress::NeedMore => return Ok(Step::Pending),
            Progress::Head { info_hash, .. } => info_hash,
            Progress::Whole(handshake) => handshake.info_hash,
        };
        if self.dialled.is_some_and(|asked| asked != info_hash) {
            return Err(BadHandshake::OtherTorrent);
        }
        if !self.answered {
            self.answered = true;
            return Ok(Step::Asked(info_hash));
        }
        match self.reader.push(data)? {
            Progress::Whole(handshake) => Ok(Step::Opened(Opened {
                handshake,
                incoming: self.dialled.is_none(),
            })),
            Progress::NeedMore | Progress::Head { .. } => Ok(Step::Pending),
        }
    }
}

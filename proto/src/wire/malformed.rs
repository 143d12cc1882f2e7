//! What the far end of a connection can get wrong in form.

/// The far end's fault: bytes that no peer protocol allows. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A handshake that does not begin like one.
    #[error("not a BitTorrent handshake: byte {at} is {got:#04x}")]
    Protocol {
        /// The first wrong byte's place, from 0.
        at: usize,
        /// The byte there.
        got: u8,
    },
    /// A message whose length is not the one its id demands.
    #[error("message {id} is {len} bytes long, not {expected}")]
    Length {
        /// The message id.
        id: u8,
        /// The length its prefix tells, in bytes.
        len: u32,
        /// The only length allowed, in bytes.
        expected: u32,
    },
    /// A message longer than its id allows.
    #[error("message {id} is {len} bytes long, more than {limit}")]
    TooLong {
        /// The message id.
        id: u8,
        /// The length its prefix tells, in bytes.
        len: u32,
        /// The most allowed, in bytes.
        limit: u32,
    },
    /// A message without the fields its id demands.
    #[error("message {id} is {len} bytes long, fewer than {least}")]
    TooShort {
        /// The message id.
        id: u8,
        /// The length its prefix tells, in bytes.
        len: u32,
        /// The least allowed, in bytes.
        least: u32,
    },
    /// A `hashes` message that does not end with a whole hash.
    #[error("a hashes message of {len} bytes ends within a hash")]
    PartialHash {
        /// The length its prefix tells, in bytes.
        len: u32,
    },
}

//! The memory of transmissions that came home: it goes to whoever has something to say next, so that
//! sending allocates nothing in the long run and a silent connection holds none.

use alloc::vec::Vec;

use crate::api::{Part, Transmission};

/// The most transmissions whose memory is kept.
pub(super) const SPARES_MAX: usize = 64;
/// The most memory kept of the small bytes of one, in bytes: enough for as many requests as are ever
/// sent at once.
pub(super) const SPARE_HEAD_MAX: usize = 16 * 1024;

/// Empty vectors.
#[derive(Debug, Default)]
pub(super) struct Spares {
    heads: Vec<Vec<u8>>,
    parts: Vec<Vec<Part>>,
}

impl Spares {
    /// Memory for small bytes.
    pub(super) fn head(&mut self) -> Vec<u8> {
        self.heads.pop().unwrap_or_default()
    }

    /// Memory for parts.
    pub(super) fn parts(&mut self) -> Vec<Part> {
        self.parts.pop().unwrap_or_default()
    }

    /// Keeps the memory of an emptied transmission.
    pub(super) fn keep(&mut self, Transmission { head, parts }: Transmission) {
        debug_assert!(head.is_empty() && parts.is_empty(), "nothing is sent twice");
        self.keep_head(head);
        if self.parts.len() < SPARES_MAX && parts.capacity() > 0 {
            self.parts.push(parts);
        }
    }

    /// Keeps the memory of small bytes.
    pub(super) fn keep_head(&mut self, mut head: Vec<u8>) {
        let is_handy = (1..=SPARE_HEAD_MAX).contains(&head.capacity());
        if self.heads.len() < SPARES_MAX && is_handy {
            head.clear();
            self.heads.push(head);
        }
    }
}

//! One protected connection, without its socket.
//!
//! Invariant: what is unsealed and not taken is no more than one receive has brought and one record
//! that was not whole before; what is sealed and not taken is at most [`SEALED_MAX`] bytes and
//! what TLS itself has to say.

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use ripcurrent_proto::api::TlsError;
use rustls::client::{ClientConfig, ClientConnection};
use rustls::pki_types::ServerName;

use super::error::meaning;

/// How much is sealed ahead of the socket, in bytes: two full records (RFC 8446, section 5.1).
pub(super) const SEALED_MAX: usize = 32 << 10;

/// See the documentation of the module.
pub(crate) struct Session {
    tls: ClientConnection,
    /// What was received and unsealed; taken up to `taken`.
    plain: Vec<u8>,
    taken: usize,
    /// How it came to its end.
    end: Option<End>,
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The far end said that it sends nothing more.
    Goodbye,
    /// Nothing that comes can be believed any more.
    Broken(TlsError),
}

impl Session {
    /// The beginning of a conversation with the server whose certificate is valid for `name`, a
    /// host name (which is told to it) or a literal address (which is not, RFC 6066 section 3).
    ///
    /// # Errors
    /// If no certificate can be valid for `name`.
    pub(crate) fn new(config: Arc<ClientConfig>, name: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(name.to_owned()).map_err(|_| TlsError::BadName)?;
        let mut tls = ClientConnection::new(config, name).map_err(|error| meaning(&error))?;
        tls.set_buffer_limit(Some(SEALED_MAX));
        Ok(Session {
            tls,
            plain: Vec::new(),
            taken: 0,
            end: None,
        })
    }

    /// Whether the far end has proven who it is and may be spoken to.
    pub(crate) fn is_made(&self) -> bool {
        !self.tls.is_handshaking()
    }

    /// How it ended, if it did; what was unsealed before may still be taken.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes came. What comes after the end is nobody's concern.
    pub(crate) fn unseal(&mut self, mut sealed: &[u8]) {
        while !sealed.is_empty() && self.end.is_none() {
            if let Err(error) = self.unseal_some(&mut sealed) {
                self.end = Some(End::Broken(error));
            }
        }
    }

    fn unseal_some(&mut self, sealed: &mut &[u8]) -> Result<(), TlsError> {
        // It refuses what makes a handshake message larger than any can be.
        let read = self.tls.read_tls(sealed);
        read.map_err(|_| TlsError::Violation)?;
        let made = self.is_made();
        let state = self.tls.process_new_packets().map_err(|error| {
            // Only whoever has not spoken TLS before may be said not to speak it.
            match meaning(&error) {
                TlsError::NotTls if made => TlsError::Violation,
                meaning => meaning,
            }
        })?;
        self.forget_taken();
        let from = self.plain.len();
        self.plain.resize(from + state.plaintext_bytes_to_read(), 0);
        let unsealed = self.tls.reader().read_exact(&mut self.plain[from..]);
        unsealed.map_err(|_| TlsError::Violation)?;
        if state.peer_has_closed() {
            self.end = Some(End::Goodbye);
        }
        Ok(())
    }

    /// The stream below has ended: unless a goodbye came before, something may be missing.
    pub(crate) fn cut_off(&mut self) {
        self.end.get_or_insert(End::Broken(TlsError::CutOff));
    }

    /// Takes up to `most` bytes of what was unsealed.
    pub(crate) fn take_plain(&mut self, most: u64) -> &mut [u8] {
        self.forget_taken();
        let left = self.plain.len() - self.taken;
        let len = usize::try_from(most).map_or(left, |most| most.min(left));
        let from = self.taken;
        self.taken += len;
        &mut self.plain[from..from + len]
    }

    fn forget_taken(&mut self) {
        if self.taken == self.plain.len() {
            self.plain.clear();
            self.taken = 0;
        }
    }

    /// Whether there is anything left to take.
    pub(crate) fn has_plain(&self) -> bool {
        self.taken < self.plain.len()
    }

    /// Seals from the beginning of `parts`, as much as is sealed ahead; how many bytes that was.
    /// Nothing while the session is not made or after it broke.
    pub(crate) fn seal(&mut self, parts: &[IoSlice<'_>]) -> usize {
        if !self.is_made() || matches!(self.end, Some(End::Broken(_))) {
            return 0;
        }
        // Writing into memory; it takes less where there is no room, and that is no error.
        self.tls.writer().write_vectored(parts).unwrap_or(0)
    }

    /// Says that nothing more will be sent.
    pub(crate) fn say_goodbye(&mut self) {
        self.tls.send_close_notify();
    }

    /// Appends what is to be sent to the server.
    pub(crate) fn take_sealed(&mut self, out: &mut Vec<u8>) {
        while self.tls.wants_write() {
            if self.tls.write_tls(out).is_err() {
                // Not in memory.
                return;
            }
        }
    }
}

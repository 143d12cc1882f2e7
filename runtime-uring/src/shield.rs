//! What stands between a stream and the machine where a connection is protected: a [`Session`], and
//! both are told only what it lets through. A matter of bytes, whatever carries them.
//!
//! The machine hears `Connected` when the far end has proven who it is. Credit counts what is
//! unsealed. Without credit the stream is read all the same, for TLS speaks on its own account too,
//! but only while nothing unsealed waits to be handed over: so that is what one receive brought, at
//! most. One write is in flight at most.

use std::io::IoSlice;

use ripcurrent_proto::api::{EndReason, Transmission};

use crate::cursor::Cursor;
use crate::tls::{End, Session};

/// How much of the stream is received at once, in bytes.
const RECEIVED_MAX: u64 = 16 << 10;

/// The most parts that are sealed in one step.
const PARTS_MAX: usize = 64;

/// See the documentation of the module.
pub(crate) struct Shield {
    session: Session,
    /// Whether the machine knows that the connection is made.
    told: bool,
    /// What the machine sends, and how far it is sealed.
    sending: Option<(Transmission, Cursor)>,
    /// Sealed bytes are being written.
    writing: bool,
    /// Empty, kept for its memory.
    spare: Transmission,
    /// The stream itself failed.
    failed: Option<EndReason>,
}

/// Something to tell the machine.
pub(crate) enum News<'a> {
    /// The connection is made.
    Made,
    /// Bytes came.
    Plain(&'a mut [u8]),
    /// Nothing more will come.
    End(EndReason),
}

impl Shield {
    pub(crate) fn new(session: Session) -> Self {
        Shield {
            session,
            told: false,
            sending: None,
            writing: false,
            spare: Transmission::default(),
            failed: None,
        }
    }

    /// Takes what the machine sends.
    pub(crate) fn send(&mut self, transmission: Transmission) {
        self.sending = Some((transmission, Cursor::default()));
    }

    /// Whether sealed bytes are being written.
    pub(crate) fn is_writing(&self) -> bool {
        self.writing
    }

    /// How much of the stream may be received now.
    pub(crate) fn appetite(&self) -> u64 {
        match self.end().is_some() || self.session.has_plain() {
            true => 0,
            false => RECEIVED_MAX,
        }
    }

    /// How it ended.
    fn end(&self) -> Option<EndReason> {
        let of_session = || match self.session.end()? {
            End::Goodbye => Some(EndReason::Eof),
            End::Broken(error) => Some(EndReason::Tls(error)),
        };
        self.failed.or_else(of_session)
    }

    /// Sealed bytes came; none at the end of the stream.
    pub(crate) fn unseal(&mut self, sealed: &[u8]) {
        match sealed {
            [] => self.session.cut_off(),
            sealed => self.session.unseal(sealed),
        }
    }

    /// The stream failed.
    pub(crate) fn fail(&mut self, reason: EndReason) {
        self.failed.get_or_insert(reason);
    }

    /// Whether there is something to tell the machine.
    pub(crate) fn has_news(&self, has_credit: bool) -> bool {
        match self.session.has_plain() {
            true => has_credit,
            false => self.end().is_some(),
        }
    }

    /// The next thing to tell the machine: that the connection is made, what was unsealed as far as
    /// there is credit, or after the last of it the end. One at a time, for it may want to close.
    pub(crate) fn take_news(&mut self, credit: u64) -> Option<News<'_>> {
        if self.session.is_made() && !self.told {
            self.told = true;
            return Some(News::Made);
        }
        if self.session.has_plain() {
            let data = self.session.take_plain(credit);
            return (!data.is_empty()).then_some(News::Plain(data));
        }
        self.end().map(News::End)
    }

    /// Whether nothing more of what the machine sends can be sealed.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.end(), Some(EndReason::Failed(_) | EndReason::Tls(_)))
    }

    /// What is to be written next, if anything, and if nothing is being written.
    pub(crate) fn write(&mut self) -> Option<Transmission> {
        if self.writing {
            return None;
        }
        let sealed = self.seal();
        if sealed.is_empty() {
            self.spare = sealed;
            return None;
        }
        self.writing = true;
        Some(sealed)
    }

    fn seal(&mut self) -> Transmission {
        let mut sealed = std::mem::take(&mut self.spare);
        sealed.clear();
        sealed.push_head(|out| {
            self.session.take_sealed(out);
            if let Some((transmission, cursor)) = &mut self.sending {
                let rest = cursor.rest(transmission).take(PARTS_MAX);
                let parts: Vec<_> = rest
                    .map(|at| IoSlice::new(at.bytes(transmission)))
                    .collect();
                // Nothing at its end, while the far end has proven nothing, or without room.
                let len = self.session.seal(&parts);
                if len > 0 && cursor.advance(transmission, len).is_ok() {
                    self.session.take_sealed(out);
                }
            }
        });
        sealed
    }

    /// What was to be written was, or never will be; its memory is used again.
    pub(crate) fn written(&mut self, sealed: Transmission) {
        self.writing = false;
        self.spare = sealed;
    }

    /// What the machine sent, once all of it was sealed and written.
    pub(crate) fn take_sent(&mut self) -> Option<Transmission> {
        let all = |(transmission, cursor): &mut (Transmission, Cursor)| {
            cursor.rest(transmission).next().is_none()
        };
        let is_sent = |sending: &mut (Transmission, Cursor)| !self.writing && all(sending);
        let (transmission, _) = self.sending.take_if(is_sent)?;
        Some(transmission)
    }

    /// What the machine sent and can never be sent any more, unless it is being written.
    pub(crate) fn take_unsent(&mut self, is_closing: bool) -> Option<Transmission> {
        let never = (is_closing || self.is_broken()) && !self.writing;
        let (transmission, _) = self.sending.take_if(|_| never)?;
        Some(transmission)
    }

    /// What a broken connection has to say once of what is wrong with it (RFC 8446, section 6.2).
    pub(crate) fn complaint(&mut self) -> Option<Vec<u8>> {
        match self.is_broken() {
            true => self.last_words(),
            false => None,
        }
    }

    /// What is to be said before a close: that nothing more comes (RFC 8446, section 6.1).
    pub(crate) fn goodbye(&mut self) -> Option<Vec<u8>> {
        if !self.told || self.is_broken() {
            return None;
        }
        self.session.say_goodbye();
        self.last_words()
    }

    /// What TLS itself has to say, if nothing is being written; to be sent at once or not at all.
    fn last_words(&mut self) -> Option<Vec<u8>> {
        if self.writing {
            return None;
        }
        let mut words = Vec::new();
        self.session.take_sealed(&mut words);
        Some(words)
    }
}

//! What peers say, taken in message by message.

use super::shared::Shared;
use super::{Session, Torrent};
use crate::api::Phase;
use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::meta::layout::{BLOCK_LEN, Block};
use crate::peer::pipeline::Standing;
use crate::peer::{ALLOWED_FAST_MAX, Peer, Violation};
use crate::store::assembly::Writer;
use crate::swarm::Parting;
use crate::wire::extended::ExtendedHandshake;
use crate::wire::message::{BlockRequest, Frame, Message};

impl Torrent {
    /// Bytes of a peer's stream.
    ///
    /// # Errors
    /// If the peer breaks the protocol; its connection is of no more use.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        conn: ConnId,
        mut data: &[u8],
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        let taken = self.with_session(conn, |torrent, session| {
            session.peer.heard_at = now;
            // A frame borrows the decoder while the rest of the session changes.
            let Some(mut decoder) = session.decoder.take() else {
                return Ok(());
            };
            while let Some(frame) = decoder.next(&mut data)? {
                torrent.frame(now, conn, session, frame, shared)?;
            }
            session.decoder = Some(decoder);
            Ok(())
        });
        taken.unwrap_or(Ok(()))
    }

    fn frame(
        &mut self,
        now: Instant,
        conn: ConnId,
        session: &mut Session,
        frame: Frame<'_>,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        match frame {
            Frame::Payload { bytes, last } => {
                self.block_continues(now, conn, &mut session.peer, bytes, last, shared);
                Ok(())
            }
            Frame::Piece(header) => {
                self.must_have_told(session)?;
                self.block_begins(conn, &mut session.peer, header)
            }
            Frame::Message(message) => self.message(now, conn, session, message, shared),
        }
    }

    fn message(
        &mut self,
        now: Instant,
        conn: ConnId,
        session: &mut Session,
        message: Message<'_>,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        let pieces = self.layout.pieces() as usize;
        let mut told = match message {
            Message::KeepAlive => return Ok(()),
            // An extended handshake may overtake the bitfield: some clients send it first.
            Message::Extended { id, payload } => {
                extended(&mut session.peer, id, payload);
                return Ok(());
            }
            Message::Bitfield(bytes) => Bitfield::from_wire(bytes, pieces)?,
            Message::HaveAll | Message::HaveNone if !session.peer.is_fast() => {
                return Err(Violation::NotFast);
            }
            Message::HaveNone if session.counted.is_some() => return Err(Violation::LateHaveNone),
            // Said again and again it would cost us more than them.
            Message::HaveAll if session.counted.is_some() && session.peer.have.is_full() => {
                return Ok(());
            }
            Message::HaveAll => Bitfield::full(pieces),
            Message::HaveNone => Bitfield::new(pieces),
            _ => return self.later_message(now, conn, session, message, shared),
        };
        if let Some(counted) = session.counted.take() {
            // Some clients (aria2) sum up many haves in a bitfield. What a peer told before stands.
            self.picker.peer_left(counted, &session.peer.have);
            for piece in session.peer.have.iter() {
                told.insert(piece);
            }
        }
        session.peer.have = told;
        session.counted = Some(self.picker.peer_joined(&session.peer.have));
        if self.is_useless(&session.peer) {
            shared.dismiss(self.id, conn, Parting::Useless);
        }
        self.consider(now, conn, &mut session.peer, shared);
        Ok(())
    }

    /// Any message after the one that tells what the peer has.
    fn later_message(
        &mut self,
        now: Instant,
        conn: ConnId,
        session: &mut Session,
        message: Message<'_>,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        self.must_have_told(session)?;
        let peer = &mut session.peer;
        match message {
            Message::Choke => self.chokes_us(conn, peer, shared),
            Message::Unchoke => {
                tracing::debug!("peer unchokes us");
                peer.chokes_us = false;
                peer.refusing = false;
                self.request_more(now, conn, peer, shared);
            }
            Message::Interested => {
                tracing::debug!("peer is interested");
                peer.wants_us = true;
                self.unchoke_if_vacant(now, conn, peer, shared);
            }
            Message::NotInterested => {
                tracing::debug!("peer is not interested any more");
                peer.wants_us = false;
                self.slot_vacated(now, peer, shared);
            }
            Message::Have(index) => self.has_piece(now, conn, session, index, shared)?,
            Message::Request(range) => self.requested(conn, peer, range, shared)?,
            Message::Cancel(range) => self.cancelled(conn, peer, range, shared),
            Message::Reject(range) => self.rejected(conn, peer, range, shared)?,
            Message::AllowedFast(index) => self.allowed(now, conn, peer, index, shared)?,
            Message::Suggest(_) if !peer.is_fast() => return Err(Violation::NotFast),
            _ => {}
        }
        Ok(())
    }

    /// With the fast extension the first message must be one that tells what the peer has (BEP 6);
    /// without it a peer that has nothing may leave the bitfield out (BEP 3).
    fn must_have_told(&mut self, session: &mut Session) -> Result<(), Violation> {
        if session.counted.is_some() {
            return Ok(());
        }
        if session.peer.is_fast() {
            return Err(Violation::NoBitfield);
        }
        session.counted = Some(self.picker.peer_joined(&session.peer.have));
        Ok(())
    }

    fn has_piece(
        &mut self,
        now: Instant,
        conn: ConnId,
        session: &mut Session,
        index: u32,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        let piece = self
            .layout
            .piece(index)
            .ok_or(Violation::NoSuchPiece(index))?;
        let peer = &mut session.peer;
        if !peer.have.insert(piece.at()) {
            return Ok(());
        }
        if let Some(counted) = &session.counted {
            self.picker.peer_gained(counted, piece);
        }
        if self.is_useless(peer) {
            shared.dismiss(self.id, conn, Parting::Useless);
        }
        if self.phase == Phase::Downloading && self.picker.wants(piece) {
            self.set_interest(conn, peer, true, shared);
            if peer.pipeline.is_empty() || self.hungry.contains(conn) {
                self.request_more(now, conn, peer, shared);
            }
        }
        Ok(())
    }

    /// Whether the peer is of interest, from all it has.
    pub(super) fn consider(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        let wanted = self.phase == Phase::Downloading && self.picker.wants_from(&peer.have);
        self.set_interest(conn, peer, wanted, shared);
        self.request_more(now, conn, peer, shared);
    }

    pub(super) fn set_interest(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        wanted: bool,
        shared: &mut Shared,
    ) {
        if peer.wanted != wanted {
            tracing::debug!(interested = wanted, "our interest changes");
            peer.wanted = wanted;
            let message = if wanted {
                Message::Interested
            } else {
                Message::NotInterested
            };
            shared.send(conn, |out| message.encode(out));
        }
    }

    /// With the fast extension every request still gets its answer; without it, none does
    /// (BEP 6).
    fn chokes_us(&mut self, conn: ConnId, peer: &mut Peer<Writer>, shared: &mut Shared) {
        peer.chokes_us = true;
        if !peer.is_fast() {
            peer.withdrew(peer.pipeline.len());
            self.release_requests(conn, peer, shared);
        }
        self.picker.resigned(conn);
        tracing::debug!("peer chokes us");
    }

    fn rejected(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        range: BlockRequest,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        if !peer.is_fast() {
            return Err(Violation::NotFast);
        }
        let Some(asked) = peer.pipeline.take(range) else {
            return peer.sin(Violation::Rejections);
        };
        if asked.standing == Standing::Awaited {
            self.picker.release(conn, asked.block);
        }
        peer.allowed_fast
            .retain(|piece| *piece != asked.block.piece);
        shared.freed = true;
        peer.refusing |= !peer.chokes_us;
        Ok(())
    }

    fn allowed(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        index: u32,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        if !peer.is_fast() {
            return Err(Violation::NotFast);
        }
        let piece = self
            .layout
            .piece(index)
            .ok_or(Violation::NoSuchPiece(index))?;
        if peer.allowed_fast.len() < ALLOWED_FAST_MAX && !peer.allowed_fast.contains(&piece) {
            peer.allowed_fast.push(piece);
            self.request_more(now, conn, peer, shared);
        }
        Ok(())
    }

    /// Checks a request: a range of at most 16 KiB of a piece we have.
    pub(super) fn servable(&self, range: BlockRequest) -> Option<Block> {
        let block = self.layout.block(range.piece, range.begin, range.len)?;
        (range.len <= BLOCK_LEN && self.have.contains(block.piece.at())).then_some(block)
    }
}

/// The extended handshake tells how many requests the peer accepts and its name (BEP 10). Other
/// extended messages were not offered by us and are skipped.
fn extended(peer: &mut Peer<Writer>, id: u8, payload: &[u8]) {
    if id != 0 {
        return;
    }
    let Ok(handshake) = ExtendedHandshake::decode(payload) else {
        return;
    };
    if let Some(most) = handshake.request_queue {
        peer.pipeline.set_ceiling(most as usize);
    }
    if let Some(client) = handshake.client {
        tracing::debug!(?client, "peer names itself");
        peer.client = client;
    }
}

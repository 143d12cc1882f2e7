//! Down: from a request that goes out to a piece that is written.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::Range;

use super::shared::{Op, Shared, Timer};
use super::{Session, Torrent};
use crate::api::{DiskError, Event, IoErrorKind, Output, Phase};
use crate::base::id::ConnId;
use crate::base::slab::Slab;
use crate::base::time::{Duration, Instant};
use crate::meta::layout::{BLOCK_LEN, Block, PieceIndex};
use crate::peer::{Arriving, Peer, Violation};
use crate::picker::{Arrival, Pick};
use crate::store::assembly::Writer;
use crate::wire::message::{BlockRequest, Message};

/// Peers that may act on a new piece hear of it at most this much later; meanwhile several gather.
const HAVE_DELAY: Duration = Duration::from_millis(500);
/// All others hear of it at most this much later, or with what else is said to them: they have it,
/// or are choked and interested anyway, so it only tells them how rare it is. A crowd of peers that
/// told each other of each piece at once would say more than all else together.
const HAVE_DELAY_MAX: Duration = Duration::from_secs(5);

impl Torrent {
    /// Asks `peer` for as much as its pipeline holds and memory allows.
    pub(super) fn request_more(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        if self.phase != Phase::Downloading || self.lacks_room() || !peer.wanted || peer.refusing {
            return;
        }
        if peer.chokes_us && peer.allowed_fast.is_empty() {
            return;
        }
        // Who chokes and unchokes by turns and reads nothing would have us ask without end.
        if shared.is_clogged(conn) {
            return self.is_hungry(conn, shared);
        }
        let mut room = peer.pipeline.room();
        if !peer.pipeline.owes() {
            peer.progress_at = now;
        }
        let out_before = peer.pipeline.len();
        while room > 0
            && let Some(pick) = self.pick(conn, peer, shared)
        {
            room -= 1;
            if !peer.pipeline.reclaim(pick.block) && !peer.is_sending(pick.block) {
                peer.pipeline.push(pick.block, now);
            }
        }
        if peer.pipeline.len() > out_before {
            let requests = peer.pipeline.since(out_before).map(range);
            shared.send(conn, |out| {
                requests.for_each(|range| Message::Request(range).encode(out));
            });
        }
        if room == 0 {
            self.hungry.remove(conn);
            return;
        }
        self.is_hungry(conn, shared);
        if peer.pipeline.is_empty() && !self.picker.wants_from(&peer.have) {
            self.set_interest(conn, peer, false, shared);
        }
    }

    /// The next block for `peer`; a slab is reserved before the first request of a piece.
    fn pick(&mut self, conn: ConnId, peer: &Peer<Writer>, shared: &mut Shared) -> Option<Pick> {
        let may_open = shared.may_take(self.id, self.slab_capacity());
        let pick = if peer.chokes_us {
            self.picker
                .pick_among(conn, &peer.have, &peer.allowed_fast, may_open)
        } else {
            self.picker.pick(conn, &peer.have, may_open)
        };
        let Some(pick) = pick else {
            if !may_open && self.picker.could_open(conn, &peer.have) {
                shared.stand_in_line(self.id);
            }
            return None;
        };
        if pick.opens {
            let range = self.range_of(pick.block);
            let slab = self
                .take_slab(range, shared)
                .expect("the pool said that it could");
            self.assembly.open(range, slab);
        }
        Some(pick)
    }

    /// Remembers a peer that was left without a block to ask for.
    pub(super) fn is_hungry(&mut self, conn: ConnId, shared: &mut Shared) {
        self.hungry.insert(conn);
        shared.waiting.insert(self.id);
    }

    /// Memory or blocks came free: whoever waited for them may go on.
    pub(crate) fn feed(&mut self, now: Instant, shared: &mut Shared) {
        self.check_more(now, shared);
        let mut last = None;
        while let Some(conn) = self.hungry.after(last)
            && !self.is_exhausted(shared)
        {
            last = Some(conn);
            self.hungry.remove(conn);
            self.with_session(conn, |torrent, session| {
                torrent.request_more(now, conn, &mut session.peer, shared);
            });
        }
        if !self.hungry.is_empty() {
            shared.waiting.insert(self.id);
        }
    }

    /// Whether nobody could be given a block now: none is free, and for the memory of another piece
    /// the torrent stands in line already.
    fn is_exhausted(&self, shared: &mut Shared) -> bool {
        self.picker.is_exhausted()
            && shared.stands_in_line(self.id)
            && !shared.may_take(self.id, self.slab_capacity())
    }

    /// Runs `act` with one session taken out, so that it and the torrent can both change.
    pub(super) fn with_session<R>(
        &mut self,
        conn: ConnId,
        act: impl FnOnce(&mut Self, &mut Session) -> R,
    ) -> Option<R> {
        let (place, mut session) = self.peers.take(conn)?;
        let _span = tracing::debug_span!("peer", addr = %session.peer.addr).entered();
        let result = act(self, &mut session);
        self.peers.put_back(place, conn, session);
        Some(result)
    }

    /// The header of a block came.
    pub(super) fn block_begins(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        header: BlockRequest,
    ) -> Result<(), Violation> {
        let Some(asked) = peer.pipeline.take(header) else {
            self.wasted.unrequested += u64::from(header.len);
            return peer.unrequested();
        };
        let block = asked.block;
        let needed = self.picker.needs(conn, block);
        let writer = if needed {
            self.assembly.begin(block)
        } else {
            None
        };
        let asked_at = asked.at;
        peer.arriving = Some(Arriving {
            block,
            asked_at,
            writer,
        });
        Ok(())
    }

    /// A part of a block came.
    pub(super) fn block_continues(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        bytes: &[u8],
        last: bool,
        shared: &mut Shared,
    ) {
        peer.down.add(now, bytes.len() as u64);
        self.down.add(now, bytes.len() as u64);
        let Some(arriving) = &mut peer.arriving else {
            return;
        };
        if let Some(writer) = &mut arriving.writer
            && !self.assembly.write(writer, bytes)
        {
            arriving.writer = None;
        }
        if last && let Some(arriving) = peer.arriving.take() {
            self.block_ends(now, conn, peer, arriving, shared);
        }
    }

    fn block_ends(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        arriving: Arriving<Writer>,
        shared: &mut Shared,
    ) {
        let block = arriving.block;
        peer.progress_at = now;
        peer.snubbed = false;
        peer.refusing = false;
        peer.absolve();
        peer.pipeline.block_came(now, arriving.asked_at);
        let whole = arriving
            .writer
            .is_some_and(|writer| self.assembly.end(writer));
        if !whole {
            self.wasted.duplicate += u64::from(block.len);
            self.picker.release(conn, block);
            shared.freed = true;
            return self.request_more(now, conn, peer, shared);
        }
        match self.picker.arrived(conn, block) {
            Arrival::Unwanted => self.wasted.duplicate += u64::from(block.len),
            Arrival::New { piece_complete } => {
                for other in self.picker.asked(block) {
                    self.cancel(other, block, shared);
                }
                if self.is_in_sections() {
                    self.seal(block, shared);
                } else if piece_complete {
                    self.piece_complete(block.piece, shared);
                }
            }
        }
        self.request_more(now, conn, peer, shared);
    }

    /// Withdraws a request from a peer that was asked as well (BEP 3, endgame).
    pub(super) fn cancel(&mut self, conn: ConnId, block: Block, shared: &mut Shared) {
        let Some(session) = self.peers.get_mut(conn) else {
            return;
        };
        if session.peer.is_sending(block) || !session.peer.pipeline.contains(block) {
            return;
        }
        // With the fast extension the answer still comes, a block or a rejection: it stays in the
        // pipeline until then (BEP 6).
        if session.peer.is_fast() {
            session.peer.pipeline.cancel(block);
        } else {
            session.peer.pipeline.take(range(block));
            session.peer.withdrew(1);
        }
        self.picker.release(conn, block);
        let cancel = Message::Cancel(range(block));
        shared.send(conn, |out| cancel.encode(out));
        self.is_hungry(conn, shared);
        shared.freed = true;
    }

    pub(super) fn piece_complete(&mut self, piece: PieceIndex, shared: &mut Shared) {
        let slab = self
            .assembly
            .close(piece, 0)
            .expect("a complete piece has its slab");
        let op = shared.begin(self.id, Op::Hash(piece));
        shared.push(Output::Hash { op, slab });
    }

    /// A downloaded piece was hashed.
    pub(crate) fn piece_hashed(
        &mut self,
        piece: PieceIndex,
        slab: Slab,
        digest: [u8; 20],
        shared: &mut Shared,
    ) {
        let whole = self.layout.whole(piece);
        let is_right = self.is_hash_of(piece, digest);
        match self.phase {
            Phase::Failed => return self.let_go(whole, slab, shared),
            Phase::Leaving if !is_right || self.delete => return self.let_go(whole, slab, shared),
            _ if !is_right => return self.piece_corrupt(piece, slab, shared),
            _ => {}
        }
        for liar in self.suspects.passed(piece, slab.as_slice()) {
            self.ban(liar, "corrupt data", shared);
        }
        tracing::debug!(piece = piece.0, "piece verified");
        self.write(whole, slab, shared);
    }

    /// Finds out who lied, and fetches the piece again from one peer alone.
    fn piece_corrupt(&mut self, piece: PieceIndex, slab: Slab, shared: &mut Shared) {
        shared.tell(Event::Corrupt {
            torrent: self.id,
            piece: piece.0,
        });
        self.wasted.corrupt += slab.len() as u64;
        let givers = self.givers_of(piece);
        let culprit = self.suspects.failed(piece, slab.as_slice(), &givers);
        self.picker.failed(piece, true);
        self.assembly.open(self.layout.whole(piece), slab);
        if let Some(culprit) = culprit {
            self.ban(culprit, "corrupt data", shared);
        }
        shared.freed = true;
    }

    /// Who gave each block of a complete piece, as far as that is known.
    pub(super) fn givers_of(&self, piece: PieceIndex) -> Vec<Option<IpAddr>> {
        self.picker
            .contributors(piece)
            .zip((0..).step_by(BLOCK_LEN as usize))
            .map(|(conn, begin)| {
                let alone = !self.assembly.was_shared(piece, begin);
                alone.then(|| self.host_of(conn)).flatten()
            })
            .collect()
    }

    fn host_of(&self, conn: ConnId) -> Option<IpAddr> {
        let here = self.peers.get(conn).map(|session| session.peer.addr.ip());
        here.or_else(|| {
            self.departed
                .iter()
                .find(|(gone, _)| *gone == conn)
                .map(|(_, ip)| *ip)
        })
    }

    /// A verified piece or a section of a long one was written, or could not be.
    pub(crate) fn written(
        &mut self,
        now: Instant,
        range: Block,
        slab: Slab,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        self.sections.writes -= 1;
        let is_over = matches!(self.phase, Phase::Failed | Phase::Leaving);
        match result {
            Err(error) if error.error.kind == IoErrorKind::NoSpace && !is_over => {
                return self.is_full(now, range, slab, error, shared);
            }
            Err(error) => {
                self.let_go(range, slab, shared);
                return self.fail(now, "write", error, shared);
            }
            Ok(()) => {}
        }
        self.has_room(shared);
        if self.is_in_sections() {
            return self.section_written(now, range, slab, shared);
        }
        if !is_over && self.may_be_asked_for(range.piece) {
            shared.keep(self.id, range.piece, slab);
        } else {
            shared.give(slab);
        }
        self.is_had(now, range.piece, shared);
    }

    /// A piece is verified and written.
    pub(super) fn is_had(&mut self, now: Instant, piece: PieceIndex, shared: &mut Shared) {
        self.picker.verified(piece);
        self.assembly.forget(piece);
        self.have.insert(piece.at());
        self.have_log.push(piece);
        self.haves_due.get_or_insert(now + HAVE_DELAY_MAX);
        self.haves
            .set(&mut shared.timers, now + HAVE_DELAY, Timer::Haves(self.id));
        self.is_on_disk(now, piece, shared);
        if self.phase == Phase::Downloading && self.picker.is_done() {
            self.all_written(now, shared);
        }
    }

    /// A piece in memory, or a section of a long one, is given up.
    pub(super) fn let_go(&mut self, range: Block, slab: Slab, shared: &mut Shared) {
        shared.give(slab);
        if self.is_in_sections() {
            self.picker.close_section(range);
        } else {
            self.picker.close_piece(range.piece);
        }
    }

    /// Everything wanted is written: it counts when it is durable.
    pub(super) fn all_written(&mut self, now: Instant, shared: &mut Shared) {
        let conns: Vec<ConnId> = self.peers.conns().collect();
        for conn in conns {
            self.with_session(conn, |torrent, session| {
                torrent.set_interest(conn, &mut session.peer, false, shared);
            });
        }
        self.hungry.clear();
        self.begin_pass(now, shared);
    }

    /// Peers are told of new pieces when they are next served.
    pub(crate) fn spread_haves(&mut self, now: Instant, shared: &mut Shared) {
        if !self.haves.fired(now) {
            return;
        }
        let is_due = self.haves_due.is_some_and(|due| due <= now);
        for (conn, session) in self.peers.iter() {
            let news = &self.have_log[session.peer.have_cursor..];
            if !news.is_empty() && (is_due || may_act_on(&session.peer, news)) {
                shared.mark_ready(conn);
            }
        }
        if is_due {
            self.haves_due = None;
        } else if let Some(due) = self.haves_due {
            self.haves
                .set(&mut shared.timers, due, Timer::Haves(self.id));
        }
    }

    /// Everything we asked of `peer` is void; others may be asked.
    pub(super) fn release_requests(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        if let Some(Arriving { block, writer, .. }) = peer.arriving.take() {
            self.picker.release(conn, block);
            if let Some(writer) = writer {
                self.assembly.end(writer);
            }
        }
        for asked in peer.pipeline.drain() {
            self.picker.release(conn, asked.block);
        }
        self.picker.resigned(conn);
        shared.freed = true;
    }

    /// Gives up an open piece, or a section of a long one, on which nobody works, for others who want its memory; whether there
    /// was one.
    pub(crate) fn give_up_piece(&mut self, shared: &mut Shared) -> bool {
        let idle = self.assembly.ranges().find(|range| {
            let mut blocks = blocks_of(*range).map(|at| self.layout.nth_block(range.piece, at));
            blocks.all(|block| self.picker.asked(block).next().is_none())
        });
        let Some(range) = idle else {
            return false;
        };
        let Some(slab) = self.assembly.close(range.piece, range.begin) else {
            return false;
        };
        let had = self.picker.blocks_had(range.piece);
        let came = blocks_of(range).filter(|at| had.contains(*at as usize));
        let came = came.count() as u64 * u64::from(BLOCK_LEN);
        self.wasted.given_up += came.min(slab.len() as u64);
        self.let_go(range, slab, shared);
        true
    }

    /// A slab for `range`, of its length and as it lies in its files; `None` has the torrent wait.
    pub(super) fn take_slab(&self, range: Block, shared: &mut Shared) -> Option<Slab> {
        let mut slab = shared.take(self.id, self.slab_capacity())?;
        slab.set_len(range.len as usize);
        slab.shift(self.layout.shift_of(range));
        Some(slab)
    }
}

/// The numbers of the blocks in a piece or a section of one.
pub(super) fn blocks_of(range: Block) -> Range<u32> {
    range.begin / BLOCK_LEN..(range.begin + range.len).div_ceil(BLOCK_LEN)
}

/// Whether a peer may ask for one of these pieces now, or become interested because of one.
fn may_act_on(peer: &Peer<Writer>, news: &[PieceIndex]) -> bool {
    let lacks = |piece: &PieceIndex| !peer.have.contains(piece.at());
    (!peer.choked || !peer.wants_us) && news.iter().any(lacks)
}

pub(super) fn range(block: Block) -> BlockRequest {
    BlockRequest {
        piece: block.piece.0,
        begin: block.begin,
        len: block.len,
    }
}

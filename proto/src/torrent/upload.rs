//! Up: from a peer's request to a block in a transmission.

use alloc::sync::Arc;
use alloc::vec::Vec;

use smallvec::SmallVec;

use super::Torrent;
use super::download::range;
use super::shared::{Op, Shared};
use crate::api::{Disk, DiskError, Event, Output, Transmission};
use crate::base::id::ConnId;
use crate::base::slab::{Purpose, Slab};
use crate::base::time::{Duration, Instant};
use crate::meta::layout::{BLOCK_LEN, Block, PieceIndex};
use crate::peer::{Peer, Violation};
use crate::store::assembly::Writer;
use crate::store::cache::{CHUNK_LEN, ChunkKey, Lookup};
use crate::swarm::Parting;
use crate::wire::message::{BlockRequest, Message, encode_piece_header};

/// The blocks gathered into one transmission for a peer of which nothing more is known: what is gathered
/// can neither be cancelled nor choked any more.
const BLOCKS_AT_ONCE: usize = 16;
/// The most blocks gathered into one transmission.
pub(super) const BLOCKS_AT_ONCE_MAX: usize = 64;
/// A peer is sent as much at once as it takes in this part of a second, within these bounds: each
/// transmission costs a turn of the loop and wakes the peer.
const TRANSMISSIONS_PER_SECOND: u64 = 64;
/// The most new pieces told of in one transmission.
pub(super) const HAVES_AT_ONCE: usize = 1024;
/// What takes longer to be read has to be waited for: it is not in the memory of the system.
const AT_ONCE: Duration = Duration::from_millis(5);

/// Ranges of slabs; a block mostly is one.
type Ranges = SmallVec<[(Arc<Slab>, u32, u32); 1]>;

impl Torrent {
    /// A peer asks for a block.
    pub(super) fn requested(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        range: BlockRequest,
        shared: &mut Shared,
    ) -> Result<(), Violation> {
        let refused = match self.servable(range) {
            Some(block) if !peer.choked => !peer.uploads.push(block),
            // A request may cross our choke on the wire: no sin (BEP 3).
            Some(_) => true,
            None => {
                peer.sin(Violation::Requests)?;
                true
            }
        };
        if !refused {
            shared.mark_ready(conn);
        } else if peer.is_fast() {
            shared.send(conn, |out| Message::Reject(range).encode(out));
        }
        Ok(())
    }

    /// A peer withdraws a request. With the fast extension it still gets an answer (BEP 6).
    pub(super) fn cancelled(
        &mut self,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        range: BlockRequest,
        shared: &mut Shared,
    ) {
        let block = self.layout.block(range.piece, range.begin, range.len);
        if block.is_some_and(|block| peer.uploads.cancel(block)) && peer.is_fast() {
            shared.send(conn, |out| Message::Reject(range).encode(out));
        }
    }

    /// Chokes a peer: what it asked for and did not get is withdrawn.
    pub(super) fn choke(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        peer.choked = true;
        peer.switched_at = Some(now);
        let withdrawn: Vec<Block> = peer.uploads.drain().collect();
        let fast = peer.is_fast();
        shared.send(conn, |out| {
            Message::Choke.encode(out);
            if fast {
                withdrawn
                    .iter()
                    .for_each(|block| Message::Reject(range(*block)).encode(out));
            }
        });
        tracing::debug!("choke");
    }

    /// Lets a peer ask for blocks.
    pub(super) fn unchoke(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        shared: &mut Shared,
    ) {
        peer.choked = false;
        peer.switched_at = Some(now);
        shared.send(conn, |out| Message::Unchoke.encode(out));
        tracing::debug!("unchoke");
    }

    /// Fills a transmission for a peer: our new pieces, then blocks it asked for. Whether more could
    /// have gone into a longer one.
    pub(crate) fn fill(
        &mut self,
        now: Instant,
        conn: ConnId,
        transmission: &mut Transmission,
        shared: &mut Shared,
    ) -> bool {
        let more = self.with_session(conn, |torrent, session| {
            let peer = &mut session.peer;
            torrent.tell_haves(peer, transmission);
            let most = blocks_at_once(now, peer);
            let mut served = 0;
            while served < most
                && torrent.serve_one(now, conn, peer, transmission, served > 0, shared)
            {
                served += 1;
            }
            let ahead = torrent.ahead(most, served);
            torrent.read_ahead(now, conn, peer, ahead, shared);
            if !transmission.is_empty() {
                peer.spoke_at = now;
            }
            served == most || peer.have_cursor < torrent.have_log.len()
        });
        more.unwrap_or(false)
    }

    /// How many of a peer's next requests to read ahead, when `served` blocks have just gone out to it
    /// of `most` that may at once. What is there at once is not read before it can go: then it is sent
    /// out of the caches of the processor, and takes less memory.
    fn ahead(&self, most: usize, served: usize) -> usize {
        match self.reads_slowly {
            true => 2 * most,
            // When these are sent it is its turn again.
            false if served == most => 0,
            false => most,
        }
    }

    fn tell_haves(&self, peer: &mut Peer<Writer>, transmission: &mut Transmission) {
        let end = self.have_log.len().min(peer.have_cursor + HAVES_AT_ONCE);
        // It is told of what it has itself too: how else would it know that we have everything?
        let news = self.have_log[peer.have_cursor..end].iter();
        peer.have_cursor = end;
        transmission.push_head(|out| news.for_each(|piece| Message::Have(piece.0).encode(out)));
    }

    /// Appends the peer's next block; false if there is none, or it cannot go yet. Whoever was
    /// `served` a moment ago lets others go first where a limit holds it back.
    fn serve_one(
        &mut self,
        now: Instant,
        conn: ConnId,
        peer: &mut Peer<Writer>,
        transmission: &mut Transmission,
        served: bool,
        shared: &mut Shared,
    ) -> bool {
        let Some(block) = peer.uploads.front() else {
            return false;
        };
        let Some(ranges) = self.ranges(block, shared) else {
            return false;
        };
        if !shared.may_send(now, conn, u64::from(block.len), served) {
            return false;
        }
        peer.uploads.pop();
        transmission.push_head(|out| encode_piece_header(range(block), out));
        for (slab, from, to) in ranges {
            transmission.push_slab(slab, from, to);
        }
        for (key, len) in self.chunks_of(block) {
            shared.cache.serve(key, len);
        }
        peer.up.add(now, u64::from(block.len));
        self.up.add(now, u64::from(block.len));
        true
    }

    /// The ranges of what is in memory that make up `block`; `None` if not all of it is there.
    fn ranges(&self, block: Block, shared: &mut Shared) -> Option<Ranges> {
        let mut at = block.begin;
        self.chunks_of(block)
            .map(|(key, len)| {
                let Lookup::Ready(slab, start) = shared.cache.lookup(key) else {
                    return None;
                };
                let from = at - start;
                at += len;
                Some((slab, from, from + len))
            })
            .collect()
    }

    /// The chunks that a block lies in, and how many of its bytes lie in each.
    fn chunks_of(&self, block: Block) -> impl Iterator<Item = (ChunkKey, u32)> + use<> {
        let end = block.begin + block.len;
        let torrent = self.id;
        (block.begin / CHUNK_LEN..=(end - 1) / CHUNK_LEN).map(move |index| {
            let start = index * CHUNK_LEN;
            let key = ChunkKey {
                torrent,
                piece: block.piece,
                index,
            };
            (key, end.min(start + CHUNK_LEN) - block.begin.max(start))
        })
    }

    /// Whether a peer may ask for a piece that was written a moment ago.
    pub(super) fn may_be_asked_for(&self, piece: PieceIndex) -> bool {
        let mut peers = self.peers.iter().map(|(_, session)| &session.peer);
        peers.any(|peer| !peer.choked && !peer.have.contains(piece.at()))
    }

    /// Reads what the peer's next requests need, so many of them, and has the peer woken when it is
    /// there.
    fn read_ahead(
        &self,
        now: Instant,
        conn: ConnId,
        peer: &Peer<Writer>,
        requests: usize,
        shared: &mut Shared,
    ) {
        // Blocks asked for in a row mostly lie in the same chunk.
        let mut last = None;
        for block in peer.uploads.iter().take(requests) {
            for (key, _) in self.chunks_of(block) {
                if last.replace(key) != Some(key) && !self.read_chunk(now, conn, key, shared) {
                    return;
                }
            }
        }
    }

    /// Sees to it that a chunk is there or on its way; false if memory forbids.
    fn read_chunk(&self, now: Instant, conn: ConnId, key: ChunkKey, shared: &mut Shared) -> bool {
        if matches!(shared.cache.lookup(key), Lookup::Missing) {
            let begin = key.index * CHUNK_LEN;
            let len = CHUNK_LEN.min(self.layout.piece_len(key.piece) - begin);
            let capacity = CHUNK_LEN.min(self.layout.piece_length()) as usize;
            let Some(mut slab) = shared.take_chunk(conn, capacity) else {
                return false;
            };
            slab.set_len(len as usize);
            slab.accept_loan();
            shared.cache.begin(now, key);
            let op = shared.begin(self.id, Op::Chunk(key));
            let spans = self.layout.spans(Block {
                piece: key.piece,
                begin,
                len,
            });
            shared.push(Output::Disk(Disk::Read {
                op,
                storage: self.id,
                slab,
                spans,
            }));
        }
        shared.cache.wait(key, conn);
        true
    }

    /// A chunk was read, or could not be.
    pub(crate) fn chunk_read(
        &mut self,
        now: Instant,
        key: ChunkKey,
        slab: Slab,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        if let Some(since) = shared.cache.reading_since(key) {
            self.reads_slowly = now.since(since) > AT_ONCE;
        }
        match result {
            Ok(()) => {
                let waiters = shared.cache.end(key, Some(slab));
                waiters.into_iter().for_each(|conn| shared.mark_ready(conn));
            }
            Err(error) => {
                shared.pool.give(slab, Purpose::Upload);
                let waiters = shared.cache.end(key, None);
                shared.tell(Event::DiskFailed {
                    torrent: self.id,
                    action: "read",
                    error,
                });
                waiters
                    .into_iter()
                    .for_each(|conn| self.cannot_serve(conn, key, shared));
            }
        }
        shared.chunk_freed();
    }

    /// The disk did not give what a peer was promised: it is told so, or left.
    fn cannot_serve(&mut self, conn: ConnId, key: ChunkKey, shared: &mut Shared) {
        let Some(session) = self.peers.get_mut(conn) else {
            return;
        };
        let peer = &mut session.peer;
        if !peer.is_fast() {
            return shared.dismiss(self.id, conn, Parting::Worked);
        }
        let lost: Vec<Block> = peer
            .uploads
            .iter()
            .filter(|block| block.piece == key.piece)
            .collect();
        for block in lost {
            peer.uploads.cancel(block);
            shared.send(conn, |out| Message::Reject(range(block)).encode(out));
        }
    }
}

/// How many blocks go into a transmission for `peer`, at most.
fn blocks_at_once(now: Instant, peer: &Peer<Writer>) -> usize {
    let bytes = peer.up.rate(now) / TRANSMISSIONS_PER_SECOND;
    let blocks = usize::try_from(bytes / u64::from(BLOCK_LEN)).unwrap_or(usize::MAX);
    blocks.clamp(BLOCKS_AT_ONCE, BLOCKS_AT_ONCE_MAX)
}

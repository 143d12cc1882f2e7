//! Memory that all torrents share: who gets it, and who waits for it.
//!
//! Invariants: pieces are given memory in the order of [`Shared::line`]; what is only kept to be sent
//! makes room for whoever has a right to more; whoever waits is woken when something that could serve it is free.

use super::shared::Shared;
use crate::base::id::{ConnId, TorrentId};
use crate::base::slab::{Purpose, Slab};
use crate::meta::layout::PieceIndex;

impl Shared {
    /// Gives a slab of a piece back.
    pub(crate) fn give(&mut self, slab: Slab) {
        self.pool.give(slab, Purpose::Download);
        self.freed = true;
    }

    /// Keeps a piece that was written for peers who may ask for it, until its memory is needed.
    pub(crate) fn keep(&mut self, torrent: TorrentId, piece: PieceIndex, slab: Slab) {
        self.pool.pass_on(&slab);
        self.cache.keep(torrent, piece, slab);
        self.freed = true;
    }

    /// Whether `torrent` may have a slab for a piece now: if it is its turn, and there is memory or
    /// idle chunks can make room.
    pub(crate) fn may_take(&mut self, torrent: TorrentId, capacity: usize) -> bool {
        let first = self.line.front().is_none_or(|first| *first == torrent);
        first && self.make_room(capacity)
    }

    /// A slab for a piece of `torrent`; `None` puts the torrent into the line of those who wait.
    pub(crate) fn take(&mut self, torrent: TorrentId, capacity: usize) -> Option<Slab> {
        if self.may_take(torrent, capacity) {
            return self.pool.take(capacity, Purpose::Download);
        }
        self.stand_in_line(torrent);
        None
    }

    /// `torrent` waits for the memory of a piece.
    pub(crate) fn stand_in_line(&mut self, torrent: TorrentId) {
        if !self.line.contains(&torrent) {
            self.line.push_back(torrent);
        }
    }

    /// Whether `torrent` waits for the memory of a piece.
    pub(crate) fn stands_in_line(&self, torrent: TorrentId) -> bool {
        self.line.contains(&torrent)
    }

    /// `torrent` gives its place in the line up; whether it had one.
    pub(crate) fn leave_line(&mut self, torrent: TorrentId) -> bool {
        let place = self.line.iter().position(|id| *id == torrent);
        place.and_then(|place| self.line.remove(place)).is_some()
    }

    /// Evicts idle chunks until there is memory for a piece; whether there is.
    pub(crate) fn make_room(&mut self, capacity: usize) -> bool {
        while !self.pool.can_take(capacity, Purpose::Download) {
            if !self.pool.fits_share(capacity, Purpose::Download)
                || !self.cache.evict(&mut self.pool)
            {
                return false;
            }
        }
        true
    }

    /// A slab for a chunk to be sent, at the cost of chunks that are idle; `None` has `conn` wait.
    pub(crate) fn take_chunk(&mut self, conn: ConnId, capacity: usize) -> Option<Slab> {
        loop {
            // Past its share an upload gives way to downloads that wait.
            let allowed = self.line.is_empty() || self.pool.fits_share(capacity, Purpose::Upload);
            if allowed && let Some(slab) = self.pool.take(capacity, Purpose::Upload) {
                return Some(slab);
            }
            if !self.cache.evict(&mut self.pool) {
                break;
            }
        }
        if !self.unserved.contains(&conn) {
            self.unserved.push_back(conn);
        }
        None
    }

    /// A chunk is idle or gone: whoever waits for memory may have it.
    pub(crate) fn chunk_freed(&mut self) {
        self.freed |= !self.line.is_empty();
        self.wake_unserved();
    }

    /// Peers that wait for the memory of a chunk try again.
    pub(crate) fn wake_unserved(&mut self) {
        while let Some(conn) = self.unserved.pop_front() {
            self.mark_ready(conn);
        }
    }
}

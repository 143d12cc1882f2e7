//! What peers are served from, shared by all peers and torrents: chunks of pieces that were read, and
//! pieces that were written a moment ago, in the slabs that they came in.
//!
//! Invariant: a chunk is being read or ready. A ready chunk and a piece are idle when nobody but the
//! cache holds them, and only what is idle is evicted. Every slab came from the pool and goes back
//! there, as one lent for an upload.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::base::id::{ConnId, TorrentId};
use crate::base::slab::{Purpose, Slab, SlabPool};
use crate::base::time::Instant;
use crate::meta::layout::PieceIndex;

/// The size of a chunk in bytes; the last one of a piece may be shorter.
pub const CHUNK_LEN: u32 = 256 * 1024;

/// How many idle chunks are kept of which each byte was sent. The system has them in its page cache, so
/// little is lost where one is asked for again; their memory goes around instead, and stays in the
/// caches of the processor.
const SPENT_MAX: usize = 16;

/// A chunk of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChunkKey {
    /// The torrent.
    pub torrent: TorrentId,
    /// The piece.
    pub piece: PieceIndex,
    /// Which chunk of it, in steps of [`CHUNK_LEN`].
    pub index: u32,
}

/// What the cache has of a chunk.
#[derive(Debug)]
pub enum Lookup {
    /// Here it is, in a slab that begins with that byte of its piece.
    Ready(Arc<Slab>, u32),
    /// It is being read.
    Reading,
    /// Nothing.
    Missing,
}

#[derive(Debug)]
enum State {
    Reading {
        waiters: Vec<ConnId>,
        since: Instant,
    },
    Ready {
        held: Held,
        /// Bytes of it that were not sent to anybody, if nothing was sent twice.
        unsent: u32,
    },
}

/// A slab, and when it was used last.
#[derive(Debug)]
struct Held {
    slab: Arc<Slab>,
    used: u64,
}

impl Held {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.slab) == 1
    }
}

/// What can be evicted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Chunk(ChunkKey),
    Piece(TorrentId, PieceIndex),
}

/// The chunks and pieces in memory.
#[derive(Debug, Default)]
pub struct ReadCache {
    chunks: BTreeMap<ChunkKey, State>,
    /// Chunks of which each byte was sent, the first one first; some may be gone.
    spent: VecDeque<ChunkKey>,
    /// Pieces that were written and not read again.
    pieces: BTreeMap<(TorrentId, PieceIndex), Held>,
    /// What was ready of torrents that are gone, still being sent.
    retired: Vec<Arc<Slab>>,
    clock: u64,
}

impl ReadCache {
    /// Looks for a chunk and counts it as used.
    pub fn lookup(&mut self, key: ChunkKey) -> Lookup {
        self.clock += 1;
        if let Some(piece) = self.pieces.get_mut(&(key.torrent, key.piece)) {
            piece.used = self.clock;
            return Lookup::Ready(piece.slab.clone(), 0);
        }
        match self.chunks.get_mut(&key) {
            Some(State::Ready { held, .. }) => {
                held.used = self.clock;
                Lookup::Ready(held.slab.clone(), key.index * CHUNK_LEN)
            }
            Some(State::Reading { .. }) => Lookup::Reading,
            None => Lookup::Missing,
        }
    }

    /// `bytes` of a chunk that is ready are being sent.
    pub fn serve(&mut self, key: ChunkKey, bytes: u32) {
        if let Some(State::Ready { unsent, .. }) = self.chunks.get_mut(&key)
            && *unsent > 0
        {
            *unsent = unsent.saturating_sub(bytes);
            if *unsent == 0 {
                self.spent.push_back(key);
            }
        }
    }

    /// Keeps a piece that was written, in a slab that was lent for an upload.
    pub fn keep(&mut self, torrent: TorrentId, piece: PieceIndex, slab: Slab) {
        self.clock += 1;
        let held = Held {
            slab: Arc::new(slab),
            used: self.clock,
        };
        if let Some(before) = self.pieces.insert((torrent, piece), held) {
            self.retired.push(before.slab);
        }
    }

    /// A read of the chunk was begun.
    pub fn begin(&mut self, now: Instant, key: ChunkKey) {
        let reading = State::Reading {
            waiters: Vec::new(),
            since: now,
        };
        self.chunks.insert(key, reading);
    }

    /// Since when a chunk is being read, if it is.
    #[must_use]
    pub fn reading_since(&self, key: ChunkKey) -> Option<Instant> {
        match self.chunks.get(&key) {
            Some(State::Reading { since, .. }) => Some(*since),
            _ => None,
        }
    }

    /// `conn` wants to be told when the chunk is there; nothing if it is not being read.
    pub fn wait(&mut self, key: ChunkKey, conn: ConnId) {
        if let Some(State::Reading { waiters, .. }) = self.chunks.get_mut(&key)
            && !waiters.contains(&conn)
        {
            waiters.push(conn);
        }
    }

    /// The read ended: with the chunk, or without it. Gives those who wait.
    pub fn end(&mut self, key: ChunkKey, slab: Option<Slab>) -> Vec<ConnId> {
        self.clock += 1;
        let state = match slab {
            Some(slab) => {
                let unsent = slab.len() as u32;
                let held = Held {
                    slab: Arc::new(slab),
                    used: self.clock,
                };
                self.chunks.insert(key, State::Ready { held, unsent })
            }
            None => self.chunks.remove(&key),
        };
        match state {
            Some(State::Reading { waiters, .. }) => waiters,
            _ => Vec::new(),
        }
    }

    /// Gives the slab of what is idle and was used longest ago back to the pool; whether there was
    /// one. O(chunks and pieces).
    pub fn evict(&mut self, pool: &mut SlabPool) -> bool {
        if self.reclaim(pool) {
            return true;
        }
        let chunks = self.chunks.iter().filter_map(|(key, state)| match state {
            State::Ready { held, .. } => Some((held, Key::Chunk(*key))),
            State::Reading { .. } => None,
        });
        let pieces = self.pieces.iter();
        let pieces = pieces.map(|((torrent, piece), held)| (held, Key::Piece(*torrent, *piece)));
        let idle = chunks.chain(pieces).filter(|(held, _)| held.is_idle());
        let oldest = idle.map(|(held, key)| (held.used, key)).min();
        oldest.is_some_and(|(_, key)| self.drop_idle(key, pool))
    }

    /// Forgets what there is of a torrent, of which nothing is being read.
    pub fn forget(&mut self, torrent: TorrentId, pool: &mut SlabPool) {
        let keys = self.chunks.keys().filter(|key| key.torrent == torrent);
        let keys: Vec<ChunkKey> = keys.copied().collect();
        for key in keys {
            if let Some(State::Ready { held, .. }) = self.chunks.remove(&key) {
                self.retired.push(held.slab);
            }
        }
        let last = PieceIndex(u32::MAX);
        let pieces = self
            .pieces
            .range((torrent, PieceIndex(0))..=(torrent, last));
        let keys: Vec<(TorrentId, PieceIndex)> = pieces.map(|(key, _)| *key).collect();
        let held = keys.iter().filter_map(|key| self.pieces.remove(key));
        self.retired.extend(held.map(|held| held.slab));
        self.reclaim(pool);
    }

    /// Gives back what is retired and not being sent any more, and of chunks that are spent and idle
    /// those that are too many; whether there were any.
    pub fn reclaim(&mut self, pool: &mut SlabPool) -> bool {
        let before = self.retired.len();
        let retired = core::mem::take(&mut self.retired);
        self.retired = retired
            .into_iter()
            .filter_map(|slab| give_back(slab, pool).err())
            .collect();
        let mut reclaimed = self.retired.len() < before;
        while self.spent.len() > SPENT_MAX
            && let Some(at) = self.spent.iter().position(|key| !self.is_being_sent(*key))
            && let Some(key) = self.spent.remove(at)
        {
            reclaimed |= self.is_spent(key) && self.drop_idle(Key::Chunk(key), pool);
        }
        reclaimed
    }

    fn is_being_sent(&self, key: ChunkKey) -> bool {
        match self.chunks.get(&key) {
            Some(State::Ready { held, .. }) => !held.is_idle(),
            _ => false,
        }
    }

    /// Whether each byte of a chunk was sent; not if it was evicted and is there again.
    fn is_spent(&self, key: ChunkKey) -> bool {
        matches!(self.chunks.get(&key), Some(State::Ready { unsent: 0, .. }))
    }

    /// Gives back what is idle; whether it was there.
    fn drop_idle(&mut self, key: Key, pool: &mut SlabPool) -> bool {
        let held = match key {
            Key::Chunk(key) => match self.chunks.remove(&key) {
                Some(State::Ready { held, .. }) => Some(held),
                _ => None,
            },
            Key::Piece(torrent, piece) => self.pieces.remove(&(torrent, piece)),
        };
        held.is_some_and(|held| give_back(held.slab, pool).is_ok())
    }
}

fn give_back(slab: Arc<Slab>, pool: &mut SlabPool) -> Result<(), Arc<Slab>> {
    Arc::try_unwrap(slab).map(|slab| pool.give(slab, Purpose::Upload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::id::Id;
    use crate::base::slab::PAGE;

    const NOW: Instant = Instant::from_micros(7);

    fn key(index: u32) -> ChunkKey {
        ChunkKey {
            torrent: TorrentId(1),
            piece: PieceIndex(0),
            index,
        }
    }

    fn filled(cache: &mut ReadCache, pool: &mut SlabPool, index: u32) {
        cache.begin(NOW, key(index));
        let mut slab = pool.take(1024, Purpose::Upload).unwrap();
        slab.set_len(1024);
        cache.end(key(index), Some(slab));
    }

    fn is_ready(cache: &mut ReadCache, index: u32) -> bool {
        matches!(cache.lookup(key(index)), Lookup::Ready(..))
    }

    #[test]
    fn the_chunk_used_longest_ago_goes_first_and_one_being_sent_stays() {
        let mut pool = SlabPool::new(3 * (1024 + PAGE), 0);
        let mut cache = ReadCache::default();
        (0..3).for_each(|index| filled(&mut cache, &mut pool, index));
        let Lookup::Ready(sent, 0) = cache.lookup(key(0)) else {
            panic!()
        };
        cache.lookup(key(1));
        assert!(cache.evict(&mut pool));
        assert!(!is_ready(&mut cache, 2));
        assert!(cache.evict(&mut pool), "1 is idle");
        assert!(!cache.evict(&mut pool), "0 is being sent");
        cache.forget(TorrentId(1), &mut pool);
        assert_eq!(pool.lent_bytes(), 1024 + PAGE);
        drop(sent);
        assert!(cache.reclaim(&mut pool));
        assert_eq!(pool.lent_bytes(), 0);
    }

    /// Of chunks that are sent to their end a few are kept, the last ones; the memory of the others
    /// goes around. What somebody has only begun to fetch stays, and so does what is on its way.
    #[test]
    fn the_memory_of_what_is_sent_goes_around() {
        let count = 2 * SPENT_MAX as u32;
        let mut pool = SlabPool::new(1 << 20, 0);
        let mut cache = ReadCache::default();
        (0..count).for_each(|index| filled(&mut cache, &mut pool, index));
        let Lookup::Ready(slow, _) = cache.lookup(key(1)) else {
            panic!()
        };
        for index in 0..count {
            cache.serve(key(index), 1000);
            if index > 0 {
                cache.serve(key(index), 24);
            }
        }
        assert!(cache.reclaim(&mut pool) && !cache.reclaim(&mut pool));
        let there = |cache: &mut ReadCache| {
            let there = (0..count).filter(|index| is_ready(cache, *index));
            there.collect::<Vec<_>>()
        };
        let kept = [0, 1].into_iter().chain(SPENT_MAX as u32 + 1..count);
        assert_eq!(there(&mut cache), kept.collect::<Vec<_>>());
        drop(slow);
        // Read again and not sent again: it is as new.
        cache.spent.push_front(key(0));
        cache.reclaim(&mut pool);
        assert!(is_ready(&mut cache, 0));
        cache.forget(TorrentId(1), &mut pool);
        assert_eq!(pool.lent_bytes(), 0);
    }

    /// A piece that was written answers for each of its chunks, until its memory is needed: by what
    /// was used less lately than a chunk it goes first.
    #[test]
    fn a_piece_serves_until_its_memory_is_needed() {
        let mut pool = SlabPool::new(1 << 20, 0);
        let mut cache = ReadCache::default();
        let piece = pool.take(5000, Purpose::Download).unwrap();
        pool.pass_on(&piece);
        cache.keep(TorrentId(1), PieceIndex(0), piece);
        for index in [0, 3] {
            let Lookup::Ready(slab, 0) = cache.lookup(key(index)) else {
                panic!()
            };
            assert_eq!(slab.capacity(), 5000);
            assert!(!cache.evict(&mut pool), "it is being sent");
        }
        let other = ChunkKey {
            piece: PieceIndex(1),
            ..key(0)
        };
        assert!(matches!(cache.lookup(other), Lookup::Missing));
        cache.begin(NOW, other);
        let slab = pool.take(1024, Purpose::Upload).unwrap();
        cache.end(other, Some(slab));
        assert!(cache.evict(&mut pool));
        assert!(matches!(cache.lookup(key(0)), Lookup::Missing));
        assert!(matches!(cache.lookup(other), Lookup::Ready(_, 0)));
        assert!(cache.evict(&mut pool) && !cache.evict(&mut pool));
        assert_eq!(pool.lent_bytes(), 0);
    }

    #[test]
    fn who_waits_is_told_once() {
        let mut cache = ReadCache::default();
        let conn = ConnId(Id::from_parts(4, 0));
        cache.wait(key(0), conn);
        cache.begin(NOW, key(0));
        assert_eq!(cache.reading_since(key(0)), Some(NOW));
        cache.wait(key(0), conn);
        cache.wait(key(0), conn);
        assert_eq!(cache.end(key(0), None), [conn]);
        assert!(matches!(cache.lookup(key(0)), Lookup::Missing));
    }
}

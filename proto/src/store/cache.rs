//! Chunks of pieces read for uploads, shared by all peers and torrents.
//!
//! Invariant: a chunk is being read or ready; a ready one is idle when nobody but the cache holds
//! it, and only idle ones are evicted. Every slab came from the pool and goes back there.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::base::id::{ConnId, TorrentId};
use crate::base::slab::{Purpose, Slab, SlabPool};
use crate::meta::layout::PieceIndex;

/// The size of a chunk in bytes; the last one of a piece may be shorter.
pub const CHUNK_LEN: u32 = 256 * 1024;

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
    /// Here it is.
    Ready(Arc<Slab>),
    /// It is being read.
    Reading,
    /// Nothing.
    Missing,
}

#[derive(Debug)]
enum State {
    Reading { waiters: Vec<ConnId> },
    Ready { slab: Arc<Slab>, used: u64 },
}

/// The chunks in memory.
#[derive(Debug, Default)]
pub struct ReadCache {
    chunks: BTreeMap<ChunkKey, State>,
    /// Ready chunks of torrents that are gone, still being sent.
    retired: Vec<Arc<Slab>>,
    clock: u64,
}

impl ReadCache {
    /// Looks for a chunk and counts it as used.
    pub fn lookup(&mut self, key: ChunkKey) -> Lookup {
        self.clock += 1;
        match self.chunks.get_mut(&key) {
            Some(State::Ready { slab, used }) => {
                *used = self.clock;
                Lookup::Ready(slab.clone())
            }
            Some(State::Reading { .. }) => Lookup::Reading,
            None => Lookup::Missing,
        }
    }

    /// A read of the chunk was begun.
    pub fn begin(&mut self, key: ChunkKey) {
        self.chunks.insert(
            key,
            State::Reading {
                waiters: Vec::new(),
            },
        );
    }

    /// `conn` wants to be told when the chunk is there; nothing if it is not being read.
    pub fn wait(&mut self, key: ChunkKey, conn: ConnId) {
        if let Some(State::Reading { waiters }) = self.chunks.get_mut(&key)
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
                let ready = State::Ready {
                    slab: Arc::new(slab),
                    used: self.clock,
                };
                self.chunks.insert(key, ready)
            }
            None => self.chunks.remove(&key),
        };
        match state {
            Some(State::Reading { waiters }) => waiters,
            _ => Vec::new(),
        }
    }

    /// Gives the slab of the idle chunk that was used longest ago back to the pool; whether there
    /// was one.
    pub fn evict(&mut self, pool: &mut SlabPool) -> bool {
        if self.reclaim(pool) {
            return true;
        }
        let idle = self.chunks.iter().filter_map(|(key, state)| match state {
            State::Ready { slab, used } if Arc::strong_count(slab) == 1 => Some((*used, *key)),
            _ => None,
        });
        let Some((_, key)) = idle.min() else {
            return false;
        };
        match self.chunks.remove(&key) {
            Some(State::Ready { slab, .. }) => give_back(slab, pool).is_ok(),
            _ => false,
        }
    }

    /// Forgets the chunks of a torrent, none of which is being read.
    pub fn forget(&mut self, torrent: TorrentId, pool: &mut SlabPool) {
        let keys: Vec<ChunkKey> = self
            .chunks
            .keys()
            .filter(|key| key.torrent == torrent)
            .copied()
            .collect();
        for key in keys {
            if let Some(State::Ready { slab, .. }) = self.chunks.remove(&key) {
                self.retired.push(slab);
            }
        }
        self.reclaim(pool);
    }

    /// Gives back retired chunks that are not being sent any more; whether there were any.
    pub fn reclaim(&mut self, pool: &mut SlabPool) -> bool {
        let before = self.retired.len();
        let retired = core::mem::take(&mut self.retired);
        self.retired = retired
            .into_iter()
            .filter_map(|slab| give_back(slab, pool).err())
            .collect();
        self.retired.len() < before
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

    fn key(index: u32) -> ChunkKey {
        ChunkKey {
            torrent: TorrentId(1),
            piece: PieceIndex(0),
            index,
        }
    }

    fn filled(cache: &mut ReadCache, pool: &mut SlabPool, index: u32) {
        cache.begin(key(index));
        let slab = pool.take(1024, Purpose::Upload).unwrap();
        cache.end(key(index), Some(slab));
    }

    #[test]
    fn the_chunk_used_longest_ago_goes_first_and_one_being_sent_stays() {
        let mut pool = SlabPool::new(3 * (1024 + PAGE), 0);
        let mut cache = ReadCache::default();
        (0..3).for_each(|index| filled(&mut cache, &mut pool, index));
        let Lookup::Ready(sent) = cache.lookup(key(0)) else {
            panic!()
        };
        cache.lookup(key(1));
        assert!(cache.evict(&mut pool));
        assert!(matches!(cache.lookup(key(2)), Lookup::Missing));
        assert!(cache.evict(&mut pool), "1 is idle");
        assert!(!cache.evict(&mut pool), "0 is being sent");
        cache.forget(TorrentId(1), &mut pool);
        assert_eq!(pool.lent_bytes(), 1024 + PAGE);
        drop(sent);
        assert!(cache.reclaim(&mut pool));
        assert_eq!(pool.lent_bytes(), 0);
    }

    #[test]
    fn who_waits_is_told_once() {
        let mut cache = ReadCache::default();
        let conn = ConnId(Id::from_parts(4, 0));
        cache.wait(key(0), conn);
        cache.begin(key(0));
        cache.wait(key(0), conn);
        cache.wait(key(0), conn);
        assert_eq!(cache.end(key(0), None), [conn]);
        assert!(matches!(cache.lookup(key(0)), Lookup::Missing));
    }
}

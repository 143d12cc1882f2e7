//! Everything that is done on threads beside the loop, whatever the ring: files, hashes, names.

mod batch;

use std::io;

use ripcurrent_proto::api::{Disk, DiskDone, Input};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;

use crate::bell::Waker;
use crate::disk::{Desk, Route, Transfer};
use crate::hash::{self, Kernel};
use crate::options::Options;
use crate::pool::{Basket, Finished, Pool};
use crate::resolve::resolve;
use batch::Batch;

/// Threads that look names up; one lookup may block for many seconds.
const RESOLVERS: usize = 2;

/// The threads and what they have done.
pub(crate) struct Work {
    basket: Basket,
    desk: Desk,
    hashers: Pool,
    batch: Batch,
    resolvers: Option<Pool>,
    loopback_only: bool,
}

impl Work {
    /// Starts the threads; what they finish rings `waker`.
    pub(crate) fn new(options: &Options, waker: &Waker) -> io::Result<Self> {
        let basket = Basket::new(waker.clone());
        let desk = Desk::new(options, &basket)?;
        let hashers = Pool::new("ripcurrent-hash", options.hash_threads, &basket)?;
        let resolvers = Pool::new("ripcurrent-name", RESOLVERS, &basket)?;
        Ok(Work {
            basket,
            desk,
            hashers,
            batch: Batch::new(options.hash_batch_bytes, Kernel::best().lanes()),
            resolvers: Some(resolvers),
            loopback_only: options.loopback_only,
        })
    }

    /// Starts a disk operation; an answer that is there already.
    pub(crate) fn disk(&mut self, disk: Disk) -> Option<DiskDone> {
        match self.desk.carry(disk, false) {
            Route::Done(done) => Some(done),
            Route::Thread => None,
            Route::Ring(_) => unreachable!("nobody has offered a ring"),
        }
    }

    /// Starts a disk operation where there is a ring that can help.
    pub(crate) fn disk_by_ring(&mut self, disk: Disk) -> Route {
        self.desk.carry(disk, true)
    }

    /// The ring has done what it was given of a disk operation.
    pub(crate) fn transferred(
        &mut self,
        transfer: Box<Transfer>,
        result: io::Result<usize>,
    ) -> Route {
        self.desk.landed(transfer, result)
    }

    /// Hashes, together with others as far as there are some: see [`hash_due`](Self::hash_due).
    pub(crate) fn hash(&mut self, op: OpId, slab: Slab) {
        if !self.batch.has_room_for(&slab) {
            self.hash_batch();
        }
        if self.batch.add(op, slab) {
            self.hash_batch();
        }
    }

    /// Starts to hash what has waited long enough for others; when to call again at the latest. A
    /// loop calls this after every turn, before it waits.
    ///
    /// `idle`: nothing has happened since the last call. Whoever says so is told a time soon after,
    /// and if nothing has happened until then either, nothing waits any longer.
    pub(crate) fn hash_due(&mut self, now: Instant, idle: bool) -> Option<Instant> {
        let at = self.batch.due(now, idle)?;
        if at > now {
            return Some(at);
        }
        self.hash_batch();
        None
    }

    fn hash_batch(&mut self) {
        let batch = self.batch.take();
        self.hashers.give_many(move |finished| {
            let pieces: Vec<&[u8]> = batch.iter().map(|(_, slab)| slab.as_slice()).collect();
            let mut digests = vec![[0; 20]; pieces.len()];
            hash::sha1(Kernel::best(), &pieces, &mut digests);
            let hashed = batch.into_iter().zip(digests);
            finished.extend(hashed.map(|((op, slab), digest)| Finished {
                input: Input::Hashed { op, slab, digest },
                storage: None,
            }));
        });
    }

    /// Starts to look a name up.
    pub(crate) fn resolve(&mut self, op: OpId, host: String) {
        let loopback_only = self.loopback_only;
        if let Some(resolvers) = &self.resolvers {
            resolvers.give(move || {
                let result = resolve(&host, loopback_only);
                Finished {
                    input: Input::Resolved { op, result },
                    storage: None,
                }
            });
        }
    }

    /// Something that is finished.
    pub(crate) fn take(&mut self) -> Option<Input<'static>> {
        let Finished { input, storage } = self.basket.take()?;
        if let Some(storage) = storage {
            self.desk.finished(storage);
        }
        Some(input)
    }
}

impl Drop for Work {
    /// Begun writes are finished; lookups are not waited for.
    fn drop(&mut self) {
        if let Some(resolvers) = self.resolvers.take() {
            resolvers.abandon();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use ripcurrent_proto::base::id::Id;
    use sha1::{Digest, Sha1};

    use super::*;

    fn slab(number: u32, len: usize) -> Slab {
        let mut slab = Slab::new(len);
        slab.set_len(len);
        slab.as_mut_slice().fill(number as u8);
        slab
    }

    /// Every slab comes back once, with its own digest, whether it went in a full batch, because
    /// another did not fit beside it, or because nothing more came.
    #[test]
    fn every_slab_comes_back_with_its_digest() {
        let options = Options {
            hash_batch_bytes: 2 << 20,
            ..Options::default()
        };
        let mut work = Work::new(&options, &Waker::new().unwrap()).unwrap();
        let lens = [16 << 10, 1 << 20, 100, 3 << 20, 700_000, 64, 1].repeat(9);
        let ops = (0..).map(|number| OpId(Id::from_parts(number, 0)));
        let mut awaited = BTreeMap::new();
        for ((op, number), len) in ops.zip(0..).zip(lens) {
            let slab = slab(number, len);
            awaited.insert(op, Sha1::digest(slab.as_slice()).into());
            work.hash(op, slab);
        }
        let now = Instant::from_micros(0);
        let soon = work.hash_due(now, true).expect("the last one waits");
        assert!(soon > now && soon <= now + Duration::from_millis(1));
        assert_eq!(work.hash_due(soon, true), None);
        let basket = work.basket.clone();
        drop(work);
        while let Some(finished) = basket.take() {
            let Input::Hashed { op, slab, digest } = finished.input else {
                panic!("{:?} was not asked for", finished.input);
            };
            assert_eq!(awaited.remove(&op), Some(digest), "{op:?}, {slab:?}");
        }
        assert!(awaited.is_empty(), "{awaited:?}");
    }
}

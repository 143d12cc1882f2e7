//! Everything that is done on threads beside the loop, whatever the ring: files, hashes, names.

use std::io;

use ripcurrent_proto::api::{Disk, DiskDone, Input};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use sha1::{Digest, Sha1};

use crate::bell::Waker;
use crate::disk::Desk;
use crate::options::Options;
use crate::pool::{Basket, Finished, Pool};
use crate::resolve::resolve;

/// Threads that look names up; one lookup may block for many seconds.
const RESOLVERS: usize = 2;

/// The threads and what they have done.
pub(crate) struct Work {
    basket: Basket,
    desk: Desk,
    hashers: Pool,
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
            resolvers: Some(resolvers),
            loopback_only: options.loopback_only,
        })
    }

    /// Starts a disk operation; an answer that is there already.
    pub(crate) fn disk(&mut self, disk: Disk) -> Option<DiskDone> {
        self.desk.carry(disk)
    }

    /// Starts to hash.
    pub(crate) fn hash(&mut self, op: OpId, slab: Slab) {
        self.hashers.give(move || {
            let digest = Sha1::digest(slab.as_slice()).into();
            Finished {
                input: Input::Hashed { op, slab, digest },
                storage: None,
            }
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

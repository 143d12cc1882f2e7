//! Digests of what lies on the disk: by a thread, however much it is, in as much memory as it was given.
//!
//! They are told of pieces that are longer than a share of the memory budget. One is a stream for one
//! hash: there is nothing to be done beside it but others, by other threads.

use ripcurrent_proto::api::{DiskDone, DiskError, StorageId};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::drive::digest;
use ripcurrent_proto::meta::layout::{FileSpan, Spans};

use super::cache::OpenFiles;
use super::storage::Storage;
use super::{Desk, Route, UNKNOWN};

impl Desk {
    pub(super) fn digest(
        &mut self,
        (op, storage): (OpId, StorageId),
        mut slab: Slab,
        spans: Spans,
        every: u32,
    ) -> Route {
        if !self.storages.contains_key(&storage) {
            let result = Err(UNKNOWN);
            return Route::Done(DiskDone::Digested { op, slab, result });
        }
        self.give(storage, move |storage, files| {
            let result = storage.digest(files, slab.as_mut_slice(), &spans, every);
            DiskDone::Digested { op, slab, result }
        });
        Route::Thread
    }
}

impl Storage {
    /// SHA-1 of each `every` bytes of the spans, read into `memory`.
    fn digest(
        &self,
        files: &OpenFiles,
        memory: &mut [u8],
        spans: &[FileSpan],
        every: u32,
    ) -> Result<Vec<[u8; 20]>, DiskError> {
        digest(memory, spans, every, |into, spans| {
            self.read(files, into, spans)
        })
    }
}

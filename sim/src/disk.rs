//! A disk that keeps its files in memory and refuses what a real one refuses.
//!
//! Two things with two lives: [`Files`] are what lies on the platter and outlives the process;
//! [`Disk`] is what one process knows of it. A process that dies leaves all that it has written;
//! when the [power fails](Files::lose_power), what was not synced is lost in part. What else may go
//! wrong is said by [`Faults`], at any time.
//!
//! A file is kept in one of two forms: as its bytes, or, where it belongs to a compact torrent, as
//! what became of each of its blocks.

mod bytes;
mod compact;
mod faults;
mod file;
mod files;
mod pen;
mod places;
mod power;
mod storage;
mod tree;

use std::collections::BTreeMap;

use ripcurrent_proto::api::{self, DiskDone, DiskError, IoError, IoErrorKind, Stamp, StorageId};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::meta::layout::FileIndex;

use sha1::{Digest, Sha1};

use faults::{Active, BROKEN, bytes_of};
use pen::Landing;
use storage::Storage;

pub use faults::{Faults, Odds, Pace};
pub use files::Files;
pub(crate) use places::Place;
pub use places::path_of;

/// What a device writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// What files take of a disk at a time, in bytes.
const CLUSTER: u64 = 16 << 10;

/// Two views of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// What programs see.
    Written,
    /// What is on the platter.
    Durable,
}

/// A process's view of its disk: the storages it has opened.
#[derive(Debug)]
pub struct Disk {
    files: Files,
    storages: BTreeMap<StorageId, Storage>,
    /// When all operations that have begun are over.
    busy_until: Instant,
}

impl Disk {
    /// No storage is open.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Disk {
            files,
            storages: BTreeMap::new(),
            busy_until: Instant::ZERO,
        }
    }

    /// SHA-1 of a piece that needs no hashing: all of its tags are right.
    pub(crate) fn recognise(&self, piece: &[u8]) -> Option<[u8; 20]> {
        self.files.known()?.recognise(piece)
    }

    /// When an operation that begins now is over, and is to be [performed](Disk::perform).
    pub fn end(&mut self, now: Instant, operation: &api::Disk) -> Instant {
        let end = self.files.lock().active.end(now, bytes_of(operation));
        self.busy_until = self.busy_until.max(end);
        if let api::Disk::Sync { storage, .. } = operation
            && let Some(storage) = self.storages.get_mut(storage)
        {
            self.files.lock().watch_sync(storage);
        }
        match operation {
            // After all that is under way.
            api::Disk::Close { .. } => self.busy_until,
            _ => end,
        }
    }

    /// Carries out one operation at once.
    pub fn perform(&mut self, operation: api::Disk) -> DiskDone {
        match operation {
            api::Disk::Open {
                op,
                storage,
                root,
                info_hash,
                layout,
                access,
            } => {
                let known = self.files.known();
                let known = known.filter(|known| known.is_laid_out_as(&layout));
                let opened = Storage::new(&root, info_hash, layout, access, known.cloned());
                let result = self.open(storage, opened);
                DiskDone::Opened { op, result }
            }
            api::Disk::Read {
                op,
                storage,
                mut slab,
                spans,
            } => {
                let result = self.read(storage, slab.as_mut_slice(), &spans);
                DiskDone::Read { op, slab, result }
            }
            api::Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => {
                let result = self.write(storage, slab.as_slice(), &spans);
                DiskDone::Written { op, slab, result }
            }
            api::Disk::Digest {
                op,
                storage,
                slab,
                spans,
                every,
            } => {
                let result = self.digest(storage, &spans, every);
                DiskDone::Digested { op, slab, result }
            }
            api::Disk::Sync { op, storage } => {
                let result = self.sync(storage);
                DiskDone::Synced { op, result }
            }
            api::Disk::Finish { op, storage, file } => {
                let result = self.finish(storage, file);
                DiskDone::Finished { op, result }
            }
            api::Disk::Save { op, storage, state } => {
                let result = self.save(storage, state);
                DiskDone::Saved { op, result }
            }
            api::Disk::Delete { op, storage } => {
                let result = self.delete(storage);
                DiskDone::Deleted { op, result }
            }
            api::Disk::Close { op, storage } => {
                // Whatever it says: a process without power is about to be stopped.
                self.files.lock().begin().ok();
                self.storages.remove(&storage);
                DiskDone::Closed { op }
            }
        }
    }

    fn open(&mut self, id: StorageId, mut storage: Storage) -> Result<api::Found, DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        if faults.open.strike(rng) {
            return Err(refuse(BROKEN));
        }
        let found = storage.open(tree)?;
        self.storages.insert(id, storage);
        Ok(found)
    }

    fn read(
        &mut self,
        id: StorageId,
        into: &mut [u8],
        spans: &[api::FileSpan],
    ) -> Result<(), DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        let storage = self.storages.get(&id).ok_or(missing())?;
        if faults.read.strike(rng) {
            return Err(at_first(spans, BROKEN));
        }
        let stray = faults.misdirected_read.strike(rng).then_some(rng);
        storage.read(tree, into, spans, stray)
    }

    /// In one step, whatever memory there is for it: what else happens meanwhile happens before or
    /// afterwards.
    fn digest(
        &mut self,
        id: StorageId,
        spans: &[api::FileSpan],
        every: u32,
    ) -> Result<Vec<[u8; 20]>, DiskError> {
        let len = spans.iter().map(|span| span.len as usize).sum();
        let mut bytes = vec![0; len];
        self.read(id, &mut bytes, spans)?;
        let parts = bytes.chunks(every as usize);
        let digest = |part: &[u8]| {
            let known = self.recognise(part);
            known.unwrap_or_else(|| Sha1::digest(part).into())
        };
        Ok(parts.map(digest).collect())
    }

    fn write(
        &mut self,
        id: StorageId,
        from: &[u8],
        spans: &[api::FileSpan],
    ) -> Result<(), DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        let storage = self.storages.get_mut(&id).ok_or(missing())?;
        if faults.write.strike(rng) {
            return Err(at_first(spans, BROKEN));
        }
        let landing = if faults.short_write.strike(rng) {
            Landing::Short(rng.below(from.len() as u64))
        } else if faults.torn_write.strike(rng) {
            Landing::Torn(rng)
        } else {
            Landing::Whole
        };
        storage.write(tree, from, spans, landing, faults.capacity)
    }

    fn sync(&mut self, id: StorageId) -> Result<Vec<(FileIndex, Stamp)>, DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        let storage = self.storages.get_mut(&id).ok_or(missing())?;
        if faults.sync.strike(rng) {
            return Err(refuse(BROKEN));
        }
        Ok(storage.sync(tree))
    }

    fn finish(&mut self, id: StorageId, file: FileIndex) -> Result<(), DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        let storage = self.storages.get_mut(&id).ok_or(missing())?;
        if faults.finish.strike(rng) {
            let (file, error) = (Some(file), BROKEN);
            return Err(DiskError { file, error });
        }
        storage.finish(tree, file, faults.capacity)
    }

    fn save(&mut self, id: StorageId, state: Option<Vec<u8>>) -> Result<(), DiskError> {
        let mut platter = self.files.lock();
        let (tree, Active { faults, rng, .. }) = platter.begin()?;
        let storage = self.storages.get_mut(&id).ok_or(missing())?;
        let fails = faults.save.strike(rng);
        if !fails || rng.below(2) == 0 {
            storage.save(tree, state, faults.capacity)?;
        }
        if fails { Err(refuse(BROKEN)) } else { Ok(()) }
    }

    fn delete(&mut self, id: StorageId) -> Result<(), DiskError> {
        let mut platter = self.files.lock();
        let (tree, _) = platter.begin()?;
        let storage = self.storages.get_mut(&id).ok_or(missing())?;
        storage.delete(tree);
        Ok(())
    }
}

/// The folder itself, or nothing in particular, is refused.
fn refuse(error: IoError) -> DiskError {
    DiskError { file: None, error }
}

/// The storage is not open.
fn missing() -> DiskError {
    refuse(plain(IoErrorKind::NotFound))
}

/// The first file of an operation is refused.
fn at_first(spans: &[api::FileSpan], error: IoError) -> DiskError {
    let file = spans.iter().find_map(|span| span.file);
    DiskError { file, error }
}

/// An error for which the system has no number here.
fn plain(kind: IoErrorKind) -> IoError {
    IoError { kind, code: 0 }
}

#[cfg(test)]
mod tests;

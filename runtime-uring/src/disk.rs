//! Storages, whatever the ring: operations are jobs for threads that may block, but for what touches
//! nothing but the bytes of files that are open.
//!
//! | what | how |
//! |---|---|
//! | what is read to be sent, in the page cache, where there is a ring | lent from a mapping, at once |
//! | any other read of at most 256 KiB that the page cache answers | at once, on the loop |
//! | any other read of at most 4 MiB from open files | by the ring, or at once where files lie in memory |
//! | a piece of which 128 KiB or more are whole pages | these past the page cache, its edges through it; by the ring where all its files are open |
//! | everything else, and all of it where there is no ring | by a thread |
//!
//! Threads have what a ring has no operation for: walking paths without following links, setting
//! lengths, syncing folders. They also finish what a ring could not.
//!
//! Torrents of many small files cost what the system does for each file, so it is asked for little: of
//! 5,000 files of 1 to 200 KiB in pieces of 256 KiB, each took 12 calls on files in place of 90, and 3
//! syncs stood for 11,000.
//!
//! Measured on ext4 (Linux 6.18, a virtual disk, two virtual cores of an AMD EPYC that others used as
//! well; medians of paired rounds, pieces in random order). Processor seconds of the process for each
//! GiB written, syncs included:
//!
//! | KiB at once | page cache, by a thread | direct, by a thread | direct, by the ring |
//! |---|---|---|---|
//! | 64 | 0.47 | 0.63 | 0.29 |
//! | 128 | 0.69 | 0.37 | 0.14 |
//! | 256 | 0.76 | 0.24 | 0.11 |
//!
//! The page cache costs what the state of memory makes it cost: 0.25 at 1 MiB where there were large
//! free pages, ten times as much where the system had to move memory to find some. In one such run
//! `examples/throughput.rs` took 2.9 seconds per GiB through it and 0.67 past it. Kernel threads, not
//! counted above, take about 0.1 for direct writes and 0.05 for others.
//!
//! A direct write into a hole goes to a worker of the kernel, one into an allocated file does not:
//! 0.06 against 0.046 at 1 MiB, with a sixth more throughput and a tenth of the fragments. The edges
//! of a piece cost the same on the loop and by the ring at 1 MiB, 0.04 more by the ring at 256 KiB;
//! there they never hold up the loop. What is in the page cache takes 0.06 to read by either way.
//! On tmpfs nothing is direct, and the backends differ no more than by their sockets.

mod aside;
mod cache;
mod digest;
mod direct;
mod home;
mod lend;
mod looks;
mod names;
mod paths;
mod seed;
mod state;
mod step;
mod storage;
mod sync;
mod system;
mod transfer;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::{io, mem};

use ripcurrent_proto::api::{
    Disk, DiskDone, DiskError, Input, IoError, IoErrorKind, Spans, StorageId,
};
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::meta::layout::FileIndex;

use crate::options::Options;
use crate::pool::{Basket, Finished, Pool, lock};
use cache::OpenFiles;
use step::{Step, Way};
use storage::{Plan, Storage};
use transfer::Outcome;

pub(crate) use lend::{Lent, MAPPED_BYTES};
pub(crate) use transfer::{Buffer, Call, Transfer};

/// The largest read, in bytes, that is tried on the loop: a copy of some 20 microseconds.
const AT_ONCE: usize = 256 << 10;

/// The largest read, in bytes, that is left to a ring: what is in the page cache it copies on the
/// loop, and of more a thread's way there and back is a small part.
const BY_RING: usize = 4 << 20;

/// Gives disk operations to threads, and holds a `Close` back until the operations before it are
/// done.
pub(crate) struct Desk {
    pool: Pool,
    state_home: Option<PathBuf>,
    direct_writes: bool,
    open_files: Arc<OpenFiles>,
    storages: BTreeMap<StorageId, Entry>,
    /// How many storages there have been.
    count: u64,
}

/// How an operation goes on.
pub(crate) enum Route {
    /// It is over.
    Done(DiskDone),
    /// A thread is at it.
    Thread,
    /// A ring is to make the next system call of it.
    Ring(Box<Transfer>),
}

struct Entry {
    storage: Arc<Storage>,
    /// Files that are to be finished; a thread takes them all at once.
    ripe: Arc<Mutex<Vec<(OpId, FileIndex)>>>,
    in_flight: usize,
    closing: Option<OpId>,
}

impl Desk {
    pub(crate) fn new(options: &Options, basket: &Basket) -> io::Result<Self> {
        Ok(Desk {
            pool: Pool::new("ripcurrent-disk", options.disk_threads, basket)?,
            state_home: options.state_home.clone(),
            direct_writes: options.direct_writes,
            open_files: Arc::new(OpenFiles::new(options.max_open_files)),
            storages: BTreeMap::new(),
            count: 0,
        })
    }

    /// Starts an operation. Where there is a `ring`, it is given what it is good for: what touches
    /// nothing but the bytes of files that are open.
    pub(crate) fn carry(&mut self, disk: Disk, ring: bool) -> Route {
        match disk {
            Disk::Open {
                op,
                storage,
                root,
                info_hash,
                layout,
                access,
            } => {
                self.count += 1;
                let plan = Plan {
                    number: self.count,
                    root: PathBuf::from(&*root),
                    state_home: self.state_home.clone(),
                    info_hash,
                    layout,
                    access,
                    direct: self.direct_writes,
                };
                let entry = Entry {
                    storage: Arc::new(Storage::new(plan)),
                    ripe: Arc::default(),
                    in_flight: 0,
                    closing: None,
                };
                self.storages.insert(storage, entry);
                self.give(storage, move |storage, files| DiskDone::Opened {
                    op,
                    result: storage.open(files),
                });
            }
            Disk::Read {
                op,
                storage,
                slab,
                spans,
            } => return self.read((op, storage), slab, spans, ring),
            Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => return self.write((op, storage), slab, spans, ring),
            Disk::Digest {
                op,
                storage,
                slab,
                spans,
                every,
            } => return self.digest((op, storage), slab, spans, every),
            Disk::Sync { op, storage } => {
                if !self.storages.contains_key(&storage) {
                    let result = Err(UNKNOWN);
                    return Route::Done(DiskDone::Synced { op, result });
                }
                self.give(storage, move |storage, files| DiskDone::Synced {
                    op,
                    result: storage.sync(files),
                });
            }
            Disk::Finish { op, storage, file } => return self.finish(op, storage, file),
            Disk::Save { op, storage, state } => {
                if !self.storages.contains_key(&storage) {
                    let result = Err(UNKNOWN);
                    return Route::Done(DiskDone::Saved { op, result });
                }
                self.give(storage, move |storage, files| DiskDone::Saved {
                    op,
                    result: storage.save(files, state.as_deref()),
                });
            }
            Disk::Delete { op, storage } => {
                if !self.storages.contains_key(&storage) {
                    let result = Err(UNKNOWN);
                    return Route::Done(DiskDone::Deleted { op, result });
                }
                self.give(storage, move |storage, files| DiskDone::Deleted {
                    op,
                    result: storage.delete(files),
                });
            }
            Disk::Close { op, storage } => {
                let Some(entry) = self.storages.get_mut(&storage) else {
                    return Route::Done(DiskDone::Closed { op });
                };
                entry.closing = Some(op);
                self.close_if_idle(storage);
            }
        }
        Route::Thread
    }

    fn read(
        &mut self,
        (op, storage): (OpId, StorageId),
        mut slab: Slab,
        spans: Spans,
        ring: bool,
    ) -> Route {
        let Some(entry) = self.storages.get_mut(&storage) else {
            let result = Err(UNKNOWN);
            return Route::Done(DiskDone::Read { op, slab, result });
        };
        if ring && entry.storage.lend(&self.open_files, &mut slab, &spans) {
            let result = Ok(());
            return Route::Done(DiskDone::Read { op, slab, result });
        }
        let (shared, len) = (&entry.storage, slab.len());
        if len <= AT_ONCE && shared.read_cached(&self.open_files, slab.as_mut_slice(), &spans) {
            let result = Ok(());
            return Route::Done(DiskDone::Read { op, slab, result });
        }
        let steps = match ring && len <= BY_RING {
            true => shared.steps_to_read(&self.open_files, slab.as_mut_slice(), &spans),
            false => None,
        };
        if let Some(steps) = steps {
            // A ring would give it to a thread of the kernel, for it cannot know.
            if steps.iter().all(Step::is_copying) {
                let result = storage::read_steps(steps, slab.as_mut_slice());
                return Route::Done(DiskDone::Read { op, slab, result });
            }
            return entry.by_ring((op, storage), Way::Read, slab, steps);
        }
        self.give(storage, move |storage, files| {
            let result = storage.read(files, slab.as_mut_slice(), &spans);
            DiskDone::Read { op, slab, result }
        });
        Route::Thread
    }

    fn write(
        &mut self,
        (op, storage): (OpId, StorageId),
        slab: Slab,
        spans: Spans,
        ring: bool,
    ) -> Route {
        let Some(entry) = self.storages.get_mut(&storage) else {
            let result = Err(UNKNOWN);
            return Route::Done(DiskDone::Written { op, slab, result });
        };
        let steps = match ring {
            true => entry
                .storage
                .steps_to_write(&self.open_files, slab.as_slice(), &spans),
            false => None,
        };
        if let Some(steps) = steps {
            return entry.by_ring((op, storage), Way::Write, slab, steps);
        }
        self.give(storage, move |storage, files| {
            let result = storage.write(files, slab.as_slice(), &spans);
            DiskDone::Written { op, slab, result }
        });
        Route::Thread
    }

    /// Finishes a file, together with all that come before a thread begins.
    fn finish(&mut self, op: OpId, storage: StorageId, file: FileIndex) -> Route {
        let Some(entry) = self.storages.get_mut(&storage) else {
            let result = Err(UNKNOWN);
            return Route::Done(DiskDone::Finished { op, result });
        };
        entry.in_flight += 1;
        let mut waiting = lock(&entry.ripe);
        waiting.push((op, file));
        if waiting.len() > 1 {
            return Route::Thread;
        }
        let (shared, files) = (Arc::clone(&entry.storage), Arc::clone(&self.open_files));
        let ripe = Arc::clone(&entry.ripe);
        self.pool.give_many(move |finished| {
            let (ops, ripe): (Vec<_>, Vec<_>) = mem::take(&mut *lock(&ripe)).into_iter().unzip();
            let results = shared.finish(&files, ripe);
            finished.extend(ops.into_iter().zip(results).map(|(op, result)| Finished {
                input: Input::Disk(DiskDone::Finished { op, result }),
                storage: Some(storage),
            }));
        });
        Route::Thread
    }

    /// The system call that a ring was to make for a transfer has come to its end.
    pub(crate) fn landed(&mut self, transfer: Box<Transfer>, result: io::Result<usize>) -> Route {
        let storage = transfer.storage;
        match transfer.landed(result) {
            Outcome::Again(transfer) => Route::Ring(transfer),
            Outcome::Elsewhere(transfer) => {
                self.pool.give(move || Finished {
                    input: Input::Disk(transfer.finish()),
                    storage: Some(storage),
                });
                Route::Thread
            }
            Outcome::Over(done) => {
                self.finished(storage);
                Route::Done(done)
            }
        }
    }

    /// An operation on `storage` is done.
    pub(crate) fn finished(&mut self, storage: StorageId) {
        if let Some(entry) = self.storages.get_mut(&storage) {
            entry.in_flight = entry.in_flight.saturating_sub(1);
        }
        self.close_if_idle(storage);
    }

    /// Closes what waits for nothing any more: storages that are to be closed, and those that were
    /// not opened.
    fn close_if_idle(&mut self, storage: StorageId) {
        let idle = |entry: &Entry| {
            entry.in_flight == 0 && (entry.closing.is_some() || !entry.storage.is_open())
        };
        if !self.storages.get(&storage).is_some_and(idle) {
            return;
        }
        let Some(Entry {
            storage, closing, ..
        }) = self.storages.remove(&storage)
        else {
            return;
        };
        let Some(op) = closing else { return };
        let files = Arc::clone(&self.open_files);
        // On a thread: it may remove a file.
        self.pool.give(move || {
            storage.close(&files);
            Finished {
                input: Input::Disk(DiskDone::Closed { op }),
                storage: None,
            }
        });
    }

    fn give(
        &mut self,
        storage: StorageId,
        job: impl FnOnce(&Storage, &OpenFiles) -> DiskDone + Send + 'static,
    ) {
        let Some(entry) = self.storages.get_mut(&storage) else {
            return;
        };
        entry.in_flight += 1;
        let (shared, files) = (Arc::clone(&entry.storage), Arc::clone(&self.open_files));
        self.pool.give(move || Finished {
            input: Input::Disk(job(&shared, &files)),
            storage: Some(storage),
        });
    }
}

impl Entry {
    fn by_ring(
        &mut self,
        names: (OpId, StorageId),
        way: Way,
        slab: Slab,
        steps: Vec<Step>,
    ) -> Route {
        self.in_flight += 1;
        let shared = Arc::clone(&self.storage);
        Route::Ring(Box::new(Transfer::new(names, shared, way, slab, steps)))
    }
}

/// The answer to operations on a storage that is not open.
const UNKNOWN: DiskError = DiskError {
    file: None,
    error: IoError {
        kind: IoErrorKind::NotFound,
        code: 0,
    },
};

#[cfg(test)]
mod tests;

//! What a power cut would take, and what makes it durable.
//!
//! When the system fails to write something back it tells that once, forgets what it had, and lets
//! the next sync succeed. So nothing is durable any more where a sync has failed once: it fails
//! until the storage is closed. What was not recorded until then is hashed at the next start.

use std::collections::BTreeSet;
use std::io;

use ripcurrent_proto::api::{Access, DiskError, Found, Stamp};
use ripcurrent_proto::meta::layout::FileIndex;
use rustix::fs::FileType;

use super::cache::OpenFiles;
use super::looks::{Device, Looks};
use super::paths::{Walker, stamp_of};
use super::storage::{Named, Storage, of_file, of_folder};
use super::system::{Answer, MANY};
use crate::errno;
use crate::pool::lock;

/// Files and folders that are to be synced.
#[derive(Default)]
pub(super) struct Unsynced {
    pub(super) files: BTreeSet<u32>,
    /// Folders whose entries have changed: their components below the root.
    pub(super) folders: BTreeSet<Vec<String>>,
    /// Whether what is aside has changed, or the folder it is in.
    pub(super) aside: bool,
    /// Something that cannot be made durable any more.
    lost: Option<DiskError>,
}

impl Unsynced {
    pub(super) fn file(&mut self, file: FileIndex) {
        self.files.insert(file.0);
    }

    pub(super) fn folders<'a>(&mut self, folders: impl IntoIterator<Item = &'a [String]>) {
        for folder in folders {
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_vec());
            }
        }
    }

    /// What is due now.
    ///
    /// # Errors
    /// If something was lost.
    fn take(&mut self) -> Result<Self, DiskError> {
        match self.lost {
            Some(error) => Err(error),
            None => Ok(std::mem::take(self)),
        }
    }

    /// Takes back what was due, as a sync of it has failed.
    fn put_back(&mut self, mut due: Self, failed: Failed) -> DiskError {
        self.files.append(&mut due.files);
        self.folders.append(&mut due.folders);
        self.aside |= due.aside;
        match failed {
            Failed::Early(error) => error,
            Failed::Lost(error) => *self.lost.insert(error),
        }
    }
}

/// Why a sync has failed.
enum Failed {
    /// It may be tried again.
    Early(DiskError),
    /// The system has given something up.
    Lost(DiskError),
}

impl Storage {
    /// Makes durable what was found or changed since the last sync, entries of folders included,
    /// and tells what the files look like then. If something fails, all of it is tried again by
    /// the next sync.
    pub(super) fn sync(&self, files: &OpenFiles) -> Result<Vec<(FileIndex, Stamp)>, DiskError> {
        // What another thread is at is not durable yet.
        let _syncing = lock(&self.syncing);
        let due = lock(&self.unsynced).take()?;
        self.sync_all(files, &due)
            .map_err(|failed| lock(&self.unsynced).put_back(due, failed))
    }

    /// Nobody knows whether what was found is durable.
    pub(super) fn distrust(&self, found: &Found) {
        let mut unsynced = lock(&self.unsynced);
        unsynced.aside = found.aside && self.plan.access != Access::Read;
        let entries = self.plan.layout.files().iter();
        for ((entry, file), index) in entries.zip(&found.files).zip((0..).map(FileIndex)) {
            if file.is_none() {
                continue;
            }
            unsynced.file(index);
            // Who only reads finds what has a name, and needs nothing that has none.
            if self.plan.access != Access::Read {
                unsynced.folders((0..entry.path.len()).map(|depth| &entry.path[..depth]));
            }
        }
    }

    fn sync_all(
        &self,
        files: &OpenFiles,
        due: &Unsynced,
    ) -> Result<Vec<(FileIndex, Stamp)>, Failed> {
        let durable = self.sync_system(due)?;
        let mut walker = self.walker();
        let mut stamps = Vec::with_capacity(due.files.len());
        for index in due.files.iter().copied().map(FileIndex) {
            let known = durable.and_then(|device| self.look_on(device, files, &mut walker, index));
            let stamp = known.map_or_else(|| self.sync_file(files, index), Ok)?;
            stamps.push((index, stamp));
        }
        if due.aside {
            self.sync_aside(files)?;
        }
        self.sync_folders(due, durable).map_err(early)?;
        Ok(stamps)
    }

    /// Syncs the whole file system where that is less than to sync each file; the one of which
    /// everything is durable then.
    fn sync_system(&self, due: &Unsynced) -> Result<Option<Device>, Failed> {
        let Some(root) = self.root() else {
            return Ok(None);
        };
        if due.files.len() + due.folders.len() < MANY {
            return Ok(None);
        }
        match self.system.sync(root) {
            Answer::Durable(device) => Ok(Some(device)),
            Answer::Unknown => Ok(None),
            Answer::Lost(error) => Err(Failed::Lost(of_folder(errno::io_error(&error)))),
        }
    }

    /// What a file looks like, if it is there and lies on that file system.
    fn look_on<'a>(
        &'a self,
        device: Device,
        files: &OpenFiles,
        walker: &mut Walker<'a>,
        index: FileIndex,
    ) -> Option<Stamp> {
        let named = self.named(index).ok()?;
        let looks = match files.get((self.plan.number, index.0)) {
            Some(open) => Looks::of(&open.file.metadata().ok()?),
            None => self.look_by_name(walker, named)?,
        };
        (looks.device() == device).then_some(looks.stamp)
    }

    fn look_by_name<'a>(&self, walker: &mut Walker<'a>, named: Named<'a>) -> Option<Looks> {
        let _naming = lock(&self.naming);
        [named.part, named.own].into_iter().find_map(|name| {
            let looks = walker.look(named.folder, name).ok()??;
            (looks.kind == FileType::RegularFile).then_some(looks)
        })
    }

    fn sync_file(&self, files: &OpenFiles, index: FileIndex) -> Result<Stamp, Failed> {
        let early = |error| Failed::Early(of_file(index, &error));
        // Not to write: a file that somebody has removed meanwhile is not made anew.
        let open = self
            .named(index)
            .and_then(|named| self.to_read(files, named))
            .map_err(early)?;
        // With its times: by them it is known again.
        let synced = match open.file.sync_all() {
            Err(error) if self.has_nothing_to_sync(&error) => Ok(()),
            synced => synced,
        };
        synced.map_err(|error| Failed::Lost(of_file(index, &error)))?;
        stamp_of(&open.file).map_err(early)
    }

    /// Whether a sync was refused because nothing is ever written there: file systems to be read
    /// alone, as those of optical disks and archives, have none.
    fn has_nothing_to_sync(&self, error: &io::Error) -> bool {
        let is_strange = matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS));
        is_strange && self.plan.access == Access::Read
    }

    fn sync_aside(&self, files: &OpenFiles) -> Result<(), Failed> {
        // It may have been removed since.
        if let Some(aside) = self.aside_to_read(files).map_err(early)? {
            let synced = aside.file.sync_all();
            synced.map_err(|error| Failed::Lost(of_folder(errno::io_error(&error))))?;
        }
        self.home()
            .map_or(Ok(()), |home| home.sync())
            .map_err(early)
    }

    fn sync_folders(&self, due: &Unsynced, durable: Option<Device>) -> io::Result<()> {
        let mut walker = self.walker();
        for folder in &due.folders {
            let folder = walker.folder(folder)?;
            if durable.is_none() || durable != Some(Looks::at(folder, ".")?.device()) {
                rustix::fs::fsync(folder)?;
            }
        }
        Ok(())
    }
}

fn early(error: io::Error) -> Failed {
    Failed::Early(of_folder(errno::io_error(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::api::{IoError, IoErrorKind};

    const ERROR: DiskError = DiskError {
        file: None,
        error: IoError {
            kind: IoErrorKind::Other,
            code: libc::EIO,
        },
    };

    /// What could not be tried is due again, with what came in meanwhile.
    #[test]
    fn what_failed_is_tried_again() {
        let mut unsynced = Unsynced::default();
        unsynced.file(FileIndex(1));
        let due = unsynced.take().unwrap();
        assert!(unsynced.take().unwrap().files.is_empty());
        unsynced.file(FileIndex(2));
        unsynced.put_back(due, Failed::Early(ERROR));
        assert_eq!(unsynced.take().unwrap().files, BTreeSet::from([1, 2]));
    }

    /// After one failure of the system itself no sync succeeds any more.
    #[test]
    fn what_is_lost_stays_lost() {
        let mut unsynced = Unsynced::default();
        let due = unsynced.take().unwrap();
        unsynced.put_back(due, Failed::Lost(ERROR));
        for _ in 0..2 {
            assert_eq!(unsynced.take().err(), Some(ERROR));
        }
    }
}

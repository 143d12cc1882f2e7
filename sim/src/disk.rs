//! A disk that keeps its files in memory and refuses what a real one refuses.
//!
//! Two things with two lives: [`Files`] are what lies on the platter and outlives the process;
//! [`Disk`] is what one process knows of it. A file is kept in one of two forms: as its bytes, or,
//! where it belongs to a [compact](crate::content) torrent, as what became of each of its blocks.

mod compact;
mod file;
mod files;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use ripcurrent_proto::api::{
    self, Access, DiskDone, DiskError, FileSpan, IoError, IoErrorKind, StorageId,
};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};

use crate::content::known::Known;
use file::File;
use tree::Tree;

pub use files::Files;

/// The path of a torrent's file below `root`.
#[must_use]
pub fn path_of(root: &str, file: &FileEntry) -> String {
    format!("{root}/{}", file.path_string())
}

/// A process's view of its disk: the storages it has opened.
#[derive(Debug)]
pub struct Disk {
    files: Files,
    storages: BTreeMap<StorageId, Storage>,
}

#[derive(Debug)]
struct Storage {
    layout: Arc<Layout>,
    /// Of each file of the layout.
    paths: Vec<String>,
    access: Access,
    /// The torrent, where its files are kept compact.
    known: Option<Arc<Known>>,
}

impl Disk {
    /// No storage is open.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Disk {
            files,
            storages: BTreeMap::new(),
        }
    }

    /// SHA-1 of a piece that needs no hashing: all of its tags are right.
    pub(crate) fn recognise(&self, piece: &[u8]) -> Option<[u8; 20]> {
        self.files.known()?.recognise(piece)
    }

    /// Carries out one operation at once.
    pub fn perform(&mut self, operation: api::Disk) -> DiskDone {
        match operation {
            api::Disk::Open {
                op,
                storage,
                root,
                layout,
                access,
            } => {
                let known = self.files.known();
                let known = known.filter(|known| known.is_laid_out_as(&layout));
                let paths = layout.files().iter().map(|entry| path_of(&root, entry));
                let opened = Storage {
                    paths: paths.collect(),
                    layout,
                    access,
                    known: known.cloned(),
                };
                let result = opened.open(&mut self.files.lock());
                self.storages.insert(storage, opened);
                DiskDone::Opened { op, result }
            }
            api::Disk::Read {
                op,
                storage,
                mut slab,
                spans,
            } => {
                let result = self.storage(storage).and_then(|storage| {
                    storage.read(&self.files.lock(), slab.as_mut_slice(), &spans)
                });
                DiskDone::Read { op, slab, result }
            }
            api::Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => {
                let result = self.storage(storage).and_then(|storage| {
                    storage.write(&mut self.files.lock(), slab.as_slice(), &spans)
                });
                DiskDone::Written { op, slab, result }
            }
            api::Disk::Sync { op, storage } => {
                let result = self.storage(storage).map(|_| ());
                DiskDone::Synced { op, result }
            }
            api::Disk::Delete { op, storage } => {
                let result = self.storage(storage);
                let result = result.map(|storage| storage.delete(&mut self.files.lock()));
                DiskDone::Deleted { op, result }
            }
            api::Disk::Close { op, storage } => {
                self.storages.remove(&storage);
                DiskDone::Closed { op }
            }
        }
    }

    fn storage(&self, id: StorageId) -> Result<&Storage, DiskError> {
        let missing = refuse(None, IoErrorKind::NotFound);
        self.storages.get(&id).ok_or(missing)
    }
}

impl Storage {
    fn path(&self, file: FileIndex) -> &str {
        &self.paths[file.at()]
    }

    /// The lengths of the files that are there; then makes the empty ones that are not.
    fn open(&self, tree: &mut Tree) -> Result<Vec<Option<u64>>, DiskError> {
        let mut lengths = Vec::with_capacity(self.paths.len());
        for (entry, index) in self.layout.files().iter().zip((0..).map(FileIndex)) {
            lengths.push(tree.file(self.path(index)).ok().map(File::len));
            let regular = matches!(entry.kind, FileKind::Regular { .. });
            if regular && entry.len == 0 && self.access != Access::Read {
                self.file_or_new(tree, index)?;
            }
        }
        Ok(lengths)
    }

    /// A file, made with its full length if it is not there.
    fn file_or_new<'a>(
        &self,
        tree: &'a mut Tree,
        index: FileIndex,
    ) -> Result<&'a mut File, DiskError> {
        let entry = &self.layout.files()[index.at()];
        let blank = || match &self.known {
            Some(known) => File::compact(known, entry),
            None => File::zeros(entry.len),
        };
        let file = tree.file_or_new(self.path(index), blank);
        file.map_err(|kind| refuse(Some(index), kind))
    }

    fn delete(&self, tree: &mut Tree) {
        self.paths.iter().for_each(|path| tree.remove(path));
    }

    fn read(&self, tree: &Tree, into: &mut [u8], spans: &[FileSpan]) -> Result<(), DiskError> {
        let mut rest = into;
        for span in spans {
            let (now, later) = rest.split_at_mut(span.len as usize);
            rest = later;
            let Some(index) = span.file else {
                now.fill(0);
                continue;
            };
            let read = tree.file(self.path(index));
            let read = read.and_then(|file| file.read(span.offset, now));
            read.map_err(|kind| refuse(Some(index), kind))?;
        }
        Ok(())
    }

    fn write(&self, tree: &mut Tree, from: &[u8], spans: &[FileSpan]) -> Result<(), DiskError> {
        let mut rest = from;
        for span in spans {
            let (now, later) = rest.split_at(span.len as usize);
            rest = later;
            let Some(index) = span.file else { continue };
            if self.access == Access::Read {
                return Err(refuse(Some(index), IoErrorKind::Forbidden));
            }
            self.file_or_new(tree, index)?.write(span.offset, now);
        }
        Ok(())
    }
}

fn refuse(file: Option<FileIndex>, kind: IoErrorKind) -> DiskError {
    let error = IoError { kind, code: 0 };
    DiskError { file, error }
}

//! A disk that keeps its files in memory and refuses what a real one refuses.
//!
//! Two things with two lives: [`Files`] are what lies on the platter and outlives the process;
//! [`Disk`] is what one process knows of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use ripcurrent_proto::api::{
    self, Access, DiskDone, DiskError, FileSpan, IoError, IoErrorKind, StorageId,
};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};

/// What lies on a host's disk. Clones look at the same disk.
#[derive(Clone, Debug, Default)]
pub struct Files(Arc<Mutex<Tree>>);

impl Files {
    /// Puts a file there, in place of one that was there.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if its path leads through a file or ends at a folder.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), IoErrorKind> {
        *self.lock().file_mut(path)? = bytes;
        Ok(())
    }

    /// Makes a folder and those it needs.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if a file is there.
    pub fn make_folder(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().make_folder(path)
    }

    /// The bytes of a file that is there.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().file(path).ok().map(<[u8]>::to_vec)
    }

    fn lock(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// Files and folders by their whole paths.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder,
    File(Vec<u8>),
}

impl Tree {
    fn file(&self, path: &str) -> Result<&[u8], IoErrorKind> {
        match self.0.get(path) {
            Some(Node::File(bytes)) => Ok(bytes),
            Some(Node::Folder) => Err(IoErrorKind::InTheWay),
            None => Err(IoErrorKind::NotFound),
        }
    }

    /// The file at `path`, made empty if it is not there.
    fn file_mut(&mut self, path: &str) -> Result<&mut Vec<u8>, IoErrorKind> {
        if !self.0.contains_key(path) {
            let (folder, _) = path.rsplit_once('/').unwrap_or_default();
            self.make_folder(folder)?;
        }
        let empty = || Node::File(Vec::new());
        match self.0.entry(path.to_owned()).or_insert_with(empty) {
            Node::File(bytes) => Ok(bytes),
            Node::Folder => Err(IoErrorKind::InTheWay),
        }
    }

    fn make_folder(&mut self, path: &str) -> Result<(), IoErrorKind> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let folder = path[..end].to_owned();
            let node = self.0.entry(folder).or_insert(Node::Folder);
            if matches!(node, Node::File(_)) {
                return Err(IoErrorKind::InTheWay);
            }
        }
        Ok(())
    }
}

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
    root: Arc<str>,
    layout: Arc<Layout>,
    access: Access,
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
                let opened = Storage {
                    root,
                    layout,
                    access,
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
    fn path(&self, file: FileIndex) -> String {
        path_of(&self.root, &self.layout.files()[file.at()])
    }

    /// The lengths of the files that are there; then makes the empty ones that are not.
    fn open(&self, files: &mut Tree) -> Result<Vec<Option<u64>>, DiskError> {
        let mut lengths = Vec::with_capacity(self.layout.files().len());
        for (entry, index) in self.layout.files().iter().zip(0..) {
            let path = path_of(&self.root, entry);
            lengths.push(files.file(&path).ok().map(|bytes| bytes.len() as u64));
            let regular = matches!(entry.kind, FileKind::Regular { .. });
            if regular && entry.len == 0 && self.access != Access::Read {
                let made = files.file_mut(&path);
                made.map_err(|kind| refuse(Some(FileIndex(index)), kind))?;
            }
        }
        Ok(lengths)
    }

    fn read(&self, files: &Tree, into: &mut [u8], spans: &[FileSpan]) -> Result<(), DiskError> {
        let mut rest = into;
        for span in spans {
            let (now, later) = rest.split_at_mut(span.len as usize);
            rest = later;
            let Some(file) = span.file else {
                now.fill(0);
                continue;
            };
            let bytes = files.file(&self.path(file));
            let bytes = bytes.map_err(|kind| refuse(Some(file), kind))?;
            let from = usize::try_from(span.offset).unwrap_or(usize::MAX);
            let found = bytes.get(from..from.saturating_add(now.len()));
            now.copy_from_slice(found.ok_or(refuse(Some(file), IoErrorKind::TooShort))?);
        }
        Ok(())
    }

    fn write(&self, files: &mut Tree, from: &[u8], spans: &[FileSpan]) -> Result<(), DiskError> {
        let mut rest = from;
        for span in spans {
            let (now, later) = rest.split_at(span.len as usize);
            rest = later;
            let Some(file) = span.file else { continue };
            let Access::Write { preallocate } = self.access else {
                return Err(refuse(Some(file), IoErrorKind::Forbidden));
            };
            let bytes = files.file_mut(&self.path(file));
            let bytes = bytes.map_err(|kind| refuse(Some(file), kind))?;
            let end = span.offset + u64::from(span.len);
            let whole = self.layout.files()[file.at()].len;
            let least = if preallocate { whole.max(end) } else { end } as usize;
            if bytes.len() < least {
                bytes.resize(least, 0);
            }
            bytes[span.offset as usize..end as usize].copy_from_slice(now);
        }
        Ok(())
    }
}

fn refuse(file: Option<FileIndex>, kind: IoErrorKind) -> DiskError {
    let error = IoError { kind, code: 0 };
    DiskError { file, error }
}

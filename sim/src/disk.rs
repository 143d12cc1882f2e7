//! A disk that keeps its files in memory and refuses what a real one refuses.
//!
//! Two things with two lives: [`Files`] are what lies on the platter and outlives the process;
//! [`Disk`] is what one process knows of it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
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
        *self.lock().file_or_new(path, 0)? = bytes;
        Ok(())
    }

    /// Makes a folder and those it needs.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if a file is there.
    pub fn make_folder(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().make_folder(path)
    }

    /// Makes a symbolic link. Where it leads makes no difference: no link is ever followed.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if something is there already.
    pub fn link(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().make(path, Node::Link).map(|_| ())
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

/// Everything by its whole path, with `/` between components.
///
/// Invariant: what a path leads through is a folder and is listed as well.
#[derive(Debug, Default)]
struct Tree(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder,
    File(Vec<u8>),
    Link,
}

impl Tree {
    fn file(&self, path: &str) -> Result<&[u8], IoErrorKind> {
        match self.0.get(path) {
            Some(Node::File(bytes)) => Ok(bytes),
            Some(Node::Folder | Node::Link) => Err(IoErrorKind::InTheWay),
            None => {
                let solid = |node| !matches!(node, &Node::Folder);
                let blocked = prefixes(path)
                    .filter_map(|folder| self.0.get(folder))
                    .any(solid);
                Err(match blocked {
                    true => IoErrorKind::InTheWay,
                    false => IoErrorKind::NotFound,
                })
            }
        }
    }

    /// Removes the file at `path`, if there is one, and the folders that this leaves empty.
    fn remove(&mut self, path: &str) {
        if !matches!(self.0.get(path), Some(Node::File(_))) {
            return;
        }
        self.0.remove(path);
        let mut left = path;
        while let Some((folder, _)) = left.rsplit_once('/') {
            let inside = format!("{folder}/");
            let next = self.0.range(inside.clone()..).next();
            if next.is_some_and(|(path, _)| path.starts_with(&inside)) {
                return;
            }
            self.0.remove(folder);
            left = folder;
        }
    }

    /// The file at `path`, made with `len` zeros if it is not there.
    fn file_or_new(&mut self, path: &str, len: usize) -> Result<&mut Vec<u8>, IoErrorKind> {
        if !self.0.contains_key(path) {
            self.make(path, Node::File(vec![0; len]))?;
        }
        match self.0.get_mut(path) {
            Some(Node::File(bytes)) => Ok(bytes),
            _ => Err(IoErrorKind::InTheWay),
        }
    }

    fn make_folder(&mut self, path: &str) -> Result<(), IoErrorKind> {
        for folder in prefixes(path).chain([path]) {
            let node = self.0.entry(folder.to_owned()).or_insert(Node::Folder);
            if !matches!(node, Node::Folder) {
                return Err(IoErrorKind::InTheWay);
            }
        }
        Ok(())
    }

    /// Puts a new node where nothing is, and makes the folders it needs.
    fn make(&mut self, path: &str, node: Node) -> Result<(), IoErrorKind> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.make_folder(folder)?;
        }
        match self.0.entry(path.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(node);
                Ok(())
            }
            Entry::Occupied(_) => Err(IoErrorKind::InTheWay),
        }
    }
}

/// The folders that `path` leads through, the outermost first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
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
                let made = files.file_or_new(&path, 0);
                made.map_err(|kind| refuse(Some(FileIndex(index)), kind))?;
            }
        }
        Ok(lengths)
    }

    fn delete(&self, files: &mut Tree) {
        for entry in self.layout.files() {
            files.remove(&path_of(&self.root, entry));
        }
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
            if self.access == Access::Read {
                return Err(refuse(Some(file), IoErrorKind::Forbidden));
            }
            let len = self.layout.files()[file.at()].len as usize;
            let bytes = files.file_or_new(&self.path(file), len);
            let bytes = bytes.map_err(|kind| refuse(Some(file), kind))?;
            let end = (span.offset + u64::from(span.len)) as usize;
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[span.offset as usize..end].copy_from_slice(now);
        }
        Ok(())
    }
}

fn refuse(file: Option<FileIndex>, kind: IoErrorKind) -> DiskError {
    let error = IoError { kind, code: 0 };
    DiskError { file, error }
}

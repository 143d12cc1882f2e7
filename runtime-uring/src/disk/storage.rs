//! The files of one torrent. Every operation blocks, and several threads may be at it at once.
//!
//! Invariant: a file that was written and not synced since is in `unsynced.files`; a folder that
//! got an entry and was not synced since is in `unsynced.folders`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use ripcurrent_proto::api::{
    Access, DiskError, FileSpan, Found, FoundFile, FoundName, IoError, IoErrorKind, Stamp,
};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};

use super::cache::{Open, OpenFiles};
use super::paths::{Mode, Walker};
use crate::errno;
use crate::pool::lock;

/// An open storage.
pub(super) struct Storage {
    /// Unlike every other storage's, now and before.
    number: u64,
    root: PathBuf,
    layout: Arc<Layout>,
    access: Access,
    unsynced: Mutex<Unsynced>,
}

#[derive(Default)]
struct Unsynced {
    files: BTreeSet<u32>,
    folders: BTreeSet<Vec<String>>,
}

impl Storage {
    pub(super) fn new(number: u64, root: &str, layout: Arc<Layout>, access: Access) -> Self {
        Storage {
            number,
            root: PathBuf::from(root),
            layout,
            access,
            unsynced: Mutex::default(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// What is there; then, to write, the empty files are made.
    pub(super) fn open(&self) -> Result<Found, DiskError> {
        let mut walker = Walker::new(&self.root, false);
        let mut lengths = Vec::with_capacity(self.layout.files().len());
        for (entry, index) in self.files() {
            let len = match entry.kind {
                FileKind::Regular { .. } => walker.file_len(&entry.path),
                FileKind::Pad | FileKind::Symlink { .. } => Ok(None),
            };
            lengths.push(len.map_err(|error| refusal(index, &error))?);
        }
        if let Access::Write { .. } = self.access {
            self.make_empty_files(&lengths)?;
        }
        let files = lengths.into_iter().map(|len| {
            let len = len?;
            Some(FoundFile {
                stamp: Stamp { len, modified: 0 },
                name: FoundName::Own,
            })
        });
        Ok(Found {
            files: files.collect(),
            ..Found::default()
        })
    }

    /// Fills `bytes` from the spans.
    pub(super) fn read(
        &self,
        files: &OpenFiles,
        bytes: &mut [u8],
        spans: &[FileSpan],
    ) -> Result<(), DiskError> {
        let mut rest = bytes;
        for span in spans {
            let (part, after) = rest.split_at_mut_checked(span.len as usize).ok_or(MISFIT)?;
            rest = after;
            let Some(index) = span.file else {
                part.fill(0);
                continue;
            };
            self.handle(files, index, false)
                .and_then(|open| open.file.read_exact_at(part, span.offset))
                .map_err(|error| refusal(index, &error))?;
        }
        Ok(())
    }

    /// Fills `bytes` from the spans if that needs no waiting: the files are open and the bytes in
    /// the page cache. Otherwise false, and what `bytes` holds is anything.
    pub(super) fn read_cached(
        &self,
        files: &OpenFiles,
        bytes: &mut [u8],
        spans: &[FileSpan],
    ) -> bool {
        let mut rest = bytes;
        for span in spans {
            let Some((part, after)) = rest.split_at_mut_checked(span.len as usize) else {
                return false;
            };
            rest = after;
            let Some(index) = span.file else {
                part.fill(0);
                continue;
            };
            let Some(open) = files.get((self.number, index.0)) else {
                return false;
            };
            if !read_without_waiting(&open.file, part, span.offset) {
                return false;
            }
        }
        true
    }

    /// Writes `bytes` to the spans.
    pub(super) fn write(
        &self,
        files: &OpenFiles,
        bytes: &[u8],
        spans: &[FileSpan],
    ) -> Result<(), DiskError> {
        let mut rest = bytes;
        for span in spans {
            let (part, after) = rest.split_at_checked(span.len as usize).ok_or(MISFIT)?;
            rest = after;
            let Some(index) = span.file else { continue };
            self.handle(files, index, true)
                .and_then(|open| {
                    lock(&self.unsynced).files.insert(index.0);
                    open.file.write_all_at(part, span.offset)
                })
                .map_err(|error| refusal(index, &error))?;
        }
        Ok(())
    }

    /// Makes durable what was written since the last sync, entries of folders included. What
    /// fails is tried again by the next sync.
    pub(super) fn sync(&self, files: &OpenFiles) -> Result<(), DiskError> {
        let mut due = std::mem::take(&mut *lock(&self.unsynced));
        let result = self.sync_all(files, &mut due);
        let unsynced = &mut *lock(&self.unsynced);
        unsynced.files.append(&mut due.files);
        unsynced.folders.append(&mut due.folders);
        result
    }

    /// Removes the files, and the folders that this leaves empty.
    pub(super) fn delete(&self, files: &OpenFiles) -> Result<(), DiskError> {
        files.forget(self.number);
        *lock(&self.unsynced) = Unsynced::default();
        let mut walker = Walker::new(&self.root, false);
        let mut folders = BTreeSet::new();
        for (entry, index) in self.files() {
            if entry.kind == FileKind::Pad {
                continue;
            }
            walker
                .remove_file(&entry.path)
                .map_err(|error| refusal(index, &error))?;
            folders.extend((1..entry.path.len()).map(|depth| &entry.path[..depth]));
        }
        // What lies deeper sorts behind what holds it.
        for folder in folders.into_iter().rev() {
            walker.remove_folder_if_empty(folder);
        }
        Ok(())
    }

    /// Syncs and takes out what is due, until something fails.
    fn sync_all(&self, files: &OpenFiles, due: &mut Unsynced) -> Result<(), DiskError> {
        while let Some(index) = due.files.first().copied() {
            let index = FileIndex(index);
            // Not to write: a file that somebody has removed meanwhile is not made anew.
            self.handle(files, index, false)
                .and_then(|open| open.file.sync_data())
                .map_err(|error| refusal(index, &error))?;
            due.files.pop_first();
        }
        while let Some(folder) = due.folders.first() {
            let synced = Walker::new(&self.root, false)
                .folder(folder)
                .and_then(|folder| folder.try_clone_to_owned())
                .and_then(|folder| File::from(folder).sync_all());
            synced.map_err(|error| DiskError {
                file: None,
                error: errno::io_error(&error),
            })?;
            due.folders.pop_first();
        }
        Ok(())
    }

    /// A descriptor of the file, open already or opened now. To write, the file is made if need
    /// be and has its full length.
    fn handle(&self, files: &OpenFiles, index: FileIndex, write: bool) -> io::Result<Arc<Open>> {
        let key = (self.number, index.0);
        if let Some(open) = files.get(key)
            && (open.writable || !write)
        {
            return Ok(open);
        }
        let entry = self
            .layout
            .files()
            .get(index.at())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let file = match (write, self.access) {
            (false, _) => Walker::new(&self.root, false).file(&entry.path, Mode::Read)?,
            (true, Access::Read) => return Err(io::Error::from_raw_os_error(libc::EACCES)),
            (true, Access::Write { preallocate, .. }) => {
                let file = self.create(&mut Walker::new(&self.root, true), entry)?;
                set_length(&file, entry.len, preallocate)?;
                file
            }
        };
        let writable = write;
        Ok(files.put(key, Open { file, writable }))
    }

    /// Makes a file, or opens it if it is there.
    fn create<'a>(&self, walker: &mut Walker<'a>, entry: &'a FileEntry) -> io::Result<File> {
        let executable = entry.kind == FileKind::Regular { executable: true };
        let file = walker.file(&entry.path, Mode::Create { executable });
        let mut unsynced = lock(&self.unsynced);
        for folder in walker.take_created_in() {
            unsynced.folders.insert(folder.to_vec());
        }
        file
    }

    fn make_empty_files(&self, lengths: &[Option<u64>]) -> Result<(), DiskError> {
        let mut walker = Walker::new(&self.root, true);
        for ((entry, index), len) in self.files().zip(lengths) {
            let regular = matches!(entry.kind, FileKind::Regular { .. });
            if regular && entry.len == 0 && len.is_none() {
                self.create(&mut walker, entry)
                    .map_err(|error| refusal(index, &error))?;
            }
        }
        Ok(())
    }

    fn files(&self) -> impl Iterator<Item = (&FileEntry, FileIndex)> {
        self.layout.files().iter().zip((0..).map(FileIndex))
    }
}

/// Fills `part` from the page cache; false if not all of it is there, or the file system cannot
/// tell.
fn read_without_waiting(file: &File, part: &mut [u8], offset: u64) -> bool {
    let Ok(offset) = libc::off_t::try_from(offset) else {
        return false;
    };
    let into = libc::iovec {
        iov_base: part.as_mut_ptr().cast(),
        iov_len: part.len(),
    };
    // SAFETY: the descriptor is open; `into` describes `part`, which is borrowed for writing until
    // the call is over.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &into, 1, offset, libc::RWF_NOWAIT) };
    usize::try_from(read) == Ok(part.len())
}

/// Gives a file its full length, unless it is longer.
fn set_length(file: &File, len: u64, preallocate: bool) -> io::Result<()> {
    if preallocate && allocate(file, len)? {
        return Ok(());
    }
    if file.metadata()?.len() < len {
        file.set_len(len)?;
    }
    Ok(())
}

/// Allocates every block of a file; false where the file system cannot.
fn allocate(file: &File, len: u64) -> io::Result<bool> {
    let too_large = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let len = libc::off_t::try_from(len).map_err(too_large)?;
    // SAFETY: the descriptor is open; no pointer is passed.
    if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(false),
        error => Err(error),
    }
}

fn refusal(file: FileIndex, error: &io::Error) -> DiskError {
    DiskError {
        file: Some(file),
        error: errno::io_error(error),
    }
}

/// The spans want more bytes than the slab has.
const MISFIT: DiskError = DiskError {
    file: None,
    error: IoError {
        kind: IoErrorKind::Other,
        code: libc::EINVAL,
    },
};

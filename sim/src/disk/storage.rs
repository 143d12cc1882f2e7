//! The files of one torrent, as one process has opened them.

use std::collections::BTreeSet;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Access, DiskError, FileSpan, Found, FoundFile, FoundName, IoError, IoErrorKind, Stamp,
};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};

use super::faults::{BROKEN, FULL};
use super::file::File;
use super::pen::{Landing, Pen};
use super::tree::Tree;
use super::{path_of, plain};
use crate::content::known::Known;

#[derive(Debug)]
pub(super) struct Storage {
    layout: Arc<Layout>,
    /// Of each file of the layout.
    paths: Vec<String>,
    access: Access,
    /// The torrent, where its files are kept compact.
    known: Option<Arc<Known>>,
    /// The files that may have more to be synced, whoever wrote it.
    unsynced: BTreeSet<FileIndex>,
}

impl Storage {
    pub(super) fn new(
        root: &str,
        layout: Arc<Layout>,
        access: Access,
        known: Option<Arc<Known>>,
    ) -> Self {
        let paths = layout.files().iter().map(|entry| path_of(root, entry));
        Storage {
            paths: paths.collect(),
            layout,
            access,
            known,
            unsynced: BTreeSet::new(),
        }
    }

    /// The lengths of the files that are there; then makes the empty ones that are not.
    pub(super) fn open(&mut self, tree: &mut Tree) -> Result<Found, DiskError> {
        let mut files = Vec::with_capacity(self.paths.len());
        for index in (0..self.paths.len() as u32).map(FileIndex) {
            let len = tree.file(self.path(index)).ok().map(File::len);
            files.push(len.map(|len| FoundFile {
                stamp: Stamp { len, modified: 0 },
                name: FoundName::Own,
            }));
            let entry = self.entry(index);
            let regular = matches!(entry.kind, FileKind::Regular { .. });
            let makes = regular && entry.len == 0 && self.access != Access::Read;
            if makes {
                self.make(tree, index, None)?;
            }
            if makes || len.is_some() {
                self.unsynced.insert(index);
            }
        }
        Ok(Found {
            files,
            ..Found::default()
        })
    }

    /// Fills `into`. With `stray`, the bytes of the first file come from another place of it.
    pub(super) fn read(
        &self,
        tree: &Tree,
        into: &mut [u8],
        spans: &[FileSpan],
        mut stray: Option<&mut Rng>,
    ) -> Result<(), DiskError> {
        let mut rest = into;
        for span in spans {
            let (now, later) = rest.split_at_mut(span.len as usize);
            rest = later;
            let Some(index) = span.file else {
                now.fill(0);
                continue;
            };
            let read = tree.file(self.path(index)).and_then(|file| {
                let offset = match stray.take() {
                    Some(rng) => elsewhere(file, span, rng),
                    None => span.offset,
                };
                file.read(offset, now)
            });
            read.map_err(|kind| refuse(index, plain(kind)))?;
        }
        Ok(())
    }

    /// Writes `from`, as far as it lands, to a disk of this capacity.
    pub(super) fn write(
        &mut self,
        tree: &mut Tree,
        from: &[u8],
        spans: &[FileSpan],
        landing: Landing<'_>,
        capacity: Option<u64>,
    ) -> Result<(), DiskError> {
        let mut pen = Pen::new(landing);
        let mut rest = from;
        for span in spans {
            let (now, later) = rest.split_at(span.len as usize);
            rest = later;
            let Some(index) = span.file else {
                pen.skip(span.len);
                continue;
            };
            if self.access == Access::Read {
                return Err(refuse(index, plain(IoErrorKind::Forbidden)));
            }
            self.unsynced.insert(index);
            self.make(tree, index, capacity)?;
            let room = capacity.map(|capacity| capacity.saturating_sub(tree.taken()));
            let file = tree.file_mut(self.path(index)).map_err(plain);
            let file = file.map_err(|error| refuse(index, error))?;
            let (taken, written) = pen.write(file, span.offset, now, room);
            tree.take(taken);
            written.map_err(|error| refuse(index, error))?;
        }
        let failed = DiskError {
            file: spans.iter().find_map(|span| span.file),
            error: BROKEN,
        };
        if pen.fails() { Err(failed) } else { Ok(()) }
    }

    /// Makes everything durable that was done with these files.
    pub(super) fn sync(&mut self, tree: &mut Tree) {
        for index in std::mem::take(&mut self.unsynced) {
            tree.sync(self.path(index));
        }
    }

    pub(super) fn delete(&mut self, tree: &mut Tree) {
        for index in (0..self.paths.len() as u32).map(FileIndex) {
            tree.remove(self.path(index));
            self.unsynced.insert(index);
        }
    }

    /// Makes a file of its full length, if it is not there.
    fn make(
        &self,
        tree: &mut Tree,
        index: FileIndex,
        capacity: Option<u64>,
    ) -> Result<(), DiskError> {
        let path = self.path(index);
        if tree.has(path) {
            return Ok(());
        }
        let entry = self.entry(index);
        let mut file = match &self.known {
            Some(known) => File::compact(known.tags(), entry),
            None => File::zeros(entry.len),
        };
        if matches!(
            self.access,
            Access::Write {
                preallocate: true,
                ..
            }
        ) {
            file.allocate();
        }
        if capacity.is_some_and(|capacity| tree.taken() + file.taken() > capacity) {
            return Err(refuse(index, FULL));
        }
        let made = tree.make_file(path, file);
        made.map_err(|kind| refuse(index, plain(kind)))
    }

    fn path(&self, index: FileIndex) -> &str {
        &self.paths[index.at()]
    }

    fn entry(&self, index: FileIndex) -> &FileEntry {
        &self.layout.files()[index.at()]
    }
}

/// Where a read that goes astray begins: at another place of the file as far from a unit's
/// beginning, if it has one.
fn elsewhere(file: &File, span: &FileSpan, rng: &mut Rng) -> u64 {
    let unit = file.unit();
    let end = span.offset + u64::from(span.len);
    let before = span.offset / unit;
    let after = file.len().saturating_sub(end) / unit;
    if before + after == 0 {
        return span.offset;
    }
    match rng.below(before + after) {
        steps if steps < before => span.offset - (steps + 1) * unit,
        steps => span.offset + (steps - before + 1) * unit,
    }
}

fn refuse(index: FileIndex, error: IoError) -> DiskError {
    let file = Some(index);
    DiskError { file, error }
}

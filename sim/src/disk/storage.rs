//! The files of one torrent, as one process has opened them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use ripcurrent_proto::api::{
    Access, DiskError, FileSpan, Found, FoundFile, FoundName, IoError, IoErrorKind, Stamp,
};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::PAGE;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};
use ripcurrent_proto::meta::resume::most_len;

use super::faults::{BROKEN, FULL};
use super::file::File;
use super::pen::{Landing, Pen};
use super::places::{Place, Places};
use super::tree::{Hold, Tree};
use super::{plain, refuse};
use crate::content::known::Known;

#[derive(Debug)]
pub(super) struct Storage {
    layout: Arc<Layout>,
    places: Places,
    /// Where its state lies.
    state: String,
    /// Where that of one to read lies: outside of the root.
    seed_state: String,
    access: Access,
    /// The torrent, where its files are kept compact.
    known: Option<Arc<Known>>,
    /// Its slabs may hold tags of other pieces between those that are read: slabs are shifted as a
    /// piece lies in its file, and this is not one file from the beginning of a page.
    are_slabs_stirred: bool,
    /// The files that may have more to be synced, whoever wrote it.
    unsynced: BTreeSet<FileIndex>,
    /// Those that the sync under way covers.
    in_sync: Option<BTreeSet<FileIndex>>,
    /// The state, held against other processes.
    hold: Option<Hold>,
}

impl Storage {
    pub(super) fn new(
        root: &str,
        info_hash: [u8; 20],
        layout: Arc<Layout>,
        access: Access,
        known: Option<Arc<Known>>,
    ) -> Self {
        let places = Places::new(root, &layout);
        let state = match access {
            Access::Read => seed_state(root, info_hash),
            Access::Write { .. } => places.state.clone(),
        };
        let is_compact = known.is_some();
        let lies_in_pages = |file: &FileEntry| file.offset.is_multiple_of(PAGE as u64);
        Storage {
            are_slabs_stirred: is_compact && !layout.files().iter().all(lies_in_pages),
            places,
            state,
            seed_state: seed_state(root, info_hash),
            layout,
            access,
            known,
            unsynced: BTreeSet::new(),
            in_sync: None,
            hold: None,
        }
    }

    /// What is there.
    pub(super) fn open(&mut self, tree: &mut Tree) -> Result<Found, DiskError> {
        if self.access != Access::Read {
            let hold = tree.hold(&self.state);
            self.hold = Some(hold.map_err(|kind| refuse(plain(kind)))?);
        }
        let files = self.files().map(|index| self.found(tree, index));
        let files: Vec<_> = files.collect();
        let there = self.files().filter(|index| files[index.at()].is_some());
        self.unsynced = there.collect();
        let state = tree.file(&self.state).ok();
        let state = state.filter(|state| state.len() <= most_len(&self.layout) as u64);
        Ok(Found {
            files,
            aside: tree.file(&self.places.aside).is_ok(),
            state: state.map(File::to_bytes),
        })
    }

    fn found(&self, tree: &Tree, index: FileIndex) -> Option<FoundFile> {
        if !matches!(self.entry(index).kind, FileKind::Regular { .. }) {
            return None;
        }
        let Place { own, part } = self.places.of(index);
        let (file, name) = match tree.file(part) {
            Ok(file) if tree.has(own) => (file, FoundName::Contested),
            Ok(file) => (file, FoundName::Part),
            Err(_) => (tree.file(own).ok()?, FoundName::Own),
        };
        let stamp = file.stamp();
        Some(FoundFile { stamp, name })
    }

    /// Fills `into`. With `stray`, the bytes of the first file come from another place of it.
    pub(super) fn read(
        &self,
        tree: &Tree,
        into: &mut [u8],
        spans: &[FileSpan],
        mut stray: Option<&mut Rng>,
    ) -> Result<(), DiskError> {
        if self.are_slabs_stirred {
            into.fill(0);
        }
        let mut rest = into;
        for span in spans {
            let (now, later) = rest.split_at_mut(span.len as usize);
            rest = later;
            let Some(index) = span.file else {
                now.fill(0);
                continue;
            };
            let read = match tree.file_at(self.places.of(index)) {
                Ok(file) => {
                    let offset = match stray.take() {
                        Some(rng) => elsewhere(file, span, rng),
                        None => span.offset,
                    };
                    file.read(offset, now)
                }
                Err(kind) => match tree.file(&self.places.aside) {
                    Ok(aside) => aside.read(self.entry(index).offset + span.offset, now),
                    Err(_) => Err(kind),
                },
            };
            read.map_err(|kind| at(index, plain(kind)))?;
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
                return Err(at(index, plain(IoErrorKind::Forbidden)));
            }
            let (path, offset) = self.target(tree, index, span, capacity)?;
            let room = capacity.map(|capacity| capacity.saturating_sub(tree.taken()));
            let time = tree.tick();
            let file = tree.file_mut(path).map_err(plain);
            let file = file.map_err(|error| at(index, error))?;
            file.touch(time);
            let (taken, written) = pen.write(file, offset, now, room);
            tree.take(taken);
            written.map_err(|error| at(index, error))?;
        }
        let failed = DiskError {
            file: spans.iter().find_map(|span| span.file),
            error: BROKEN,
        };
        if pen.fails() { Err(failed) } else { Ok(()) }
    }

    /// A sync begins: it covers what was found or done before.
    pub(super) fn sync_begins(&mut self, tree: &mut Tree) {
        // After one that failed there are two to be made up for.
        let due = self.in_sync.get_or_insert_default();
        due.append(&mut self.unsynced);
        let parts = due.iter().map(|index| &self.places.of(*index).part);
        let owns = due.iter().map(|index| &self.places.of(*index).own);
        for path in parts.chain(owns).chain([&self.places.aside]) {
            if let Ok(file) = tree.file_mut(path) {
                file.sync_begins();
            }
        }
    }

    /// Makes everything durable that was found or done before the sync began, if that was told.
    pub(super) fn sync(&mut self, tree: &mut Tree) -> Vec<(FileIndex, Stamp)> {
        if self.access != Access::Read {
            tree.sync(&self.state);
            tree.sync(&self.places.aside);
        }
        let mut durable = Vec::new();
        let due = self.in_sync.take();
        for index in due.unwrap_or_else(|| std::mem::take(&mut self.unsynced)) {
            let place = self.places.of(index);
            for path in [&place.own, &place.part] {
                match self.access {
                    Access::Read => tree.sync_content(path),
                    Access::Write { .. } => tree.sync(path),
                }
            }
            if let Some(found) = self.found(tree, index) {
                durable.push((index, found.stamp));
            }
        }
        durable
    }

    /// Gives a file its own name.
    pub(super) fn finish(
        &mut self,
        tree: &mut Tree,
        index: FileIndex,
        capacity: Option<u64>,
    ) -> Result<(), DiskError> {
        let Access::Write { overwrite, .. } = self.access else {
            return Err(at(index, plain(IoErrorKind::Forbidden)));
        };
        self.unsynced.insert(index);
        let entry = self.entry(index);
        let Place { own, part } = self.places.of(index);
        let is_link = matches!(entry.kind, FileKind::Symlink { .. });
        let is_part = !is_link && tree.file(part).is_ok();
        let is_finished = match is_link {
            true => tree.has_link(own),
            false => !is_part && tree.file(own).is_ok(),
        };
        if is_finished {
            return Ok(());
        }
        if tree.has(own) {
            if !overwrite || tree.has_folder(own) {
                return Err(at(index, plain(IoErrorKind::InTheWay)));
            }
            if !is_part {
                tree.remove(own);
            }
        }
        let done = if is_link {
            tree.make_link(own)
        } else if is_part {
            if let Ok(file) = tree.file_mut(part)
                && file.len() > entry.len
            {
                file.cut(entry.len);
            }
            tree.rename(part, own)
        } else {
            return self.make(tree, index, own, capacity);
        };
        done.map_err(|kind| at(index, plain(kind)))
    }

    /// Replaces the saved state, at once durable unless it is one to read.
    pub(super) fn save(
        &mut self,
        tree: &mut Tree,
        state: Option<Vec<u8>>,
        capacity: Option<u64>,
    ) -> Result<(), DiskError> {
        let reads = self.access == Access::Read;
        let Some(state) = state else {
            let aside = (!reads).then_some(&self.places.aside);
            for path in [&self.state].into_iter().chain(aside) {
                tree.remove(path);
                tree.sync(path);
            }
            return Ok(());
        };
        let state = match reads {
            true => File::of_unsynced(&state),
            false => File::of_bytes(state),
        };
        // The one before goes when this one is there.
        if capacity.is_some_and(|capacity| tree.taken() + state.taken() > capacity) {
            return Err(refuse(FULL));
        }
        let put = match reads {
            true => tree.replace(&self.state, state),
            false => tree.put(&self.state, state),
        };
        put.map_err(|kind| refuse(plain(kind)))
    }

    pub(super) fn delete(&mut self, tree: &mut Tree) {
        for index in self.files() {
            let Place { own, part } = self.places.of(index);
            match self.entry(index).kind {
                FileKind::Pad => continue,
                // What has a finished file's name while that is not finished is somebody else's.
                FileKind::Regular { .. } if tree.file(part).is_ok() => tree.remove(part),
                FileKind::Regular { .. } if tree.file(own).is_ok() => tree.remove(own),
                FileKind::Symlink { .. } if tree.has_link(own) => tree.remove(own),
                FileKind::Regular { .. } | FileKind::Symlink { .. } => {}
            }
            self.unsynced.insert(index);
        }
        for path in [&self.places.state, &self.places.aside, &self.seed_state] {
            tree.remove(path);
        }
    }

    /// Where bytes of a file are to be written: which file, made if it is not there, and where in
    /// it.
    fn target(
        &mut self,
        tree: &mut Tree,
        index: FileIndex,
        span: &FileSpan,
        capacity: Option<u64>,
    ) -> Result<(&str, u64), DiskError> {
        let Place { own, part } = self.places.of(index);
        let there = tree.file_at(self.places.of(index)).is_ok();
        if span.aside && !there {
            self.make_aside(tree, index)?;
            let offset = self.entry(index).offset + span.offset;
            return Ok((&self.places.aside, offset));
        }
        self.unsynced.insert(index);
        if !there {
            self.make(tree, index, part, capacity)?;
        } else if tree.file(part).is_err() {
            let renamed = match tree.has(part) {
                true => Err(IoErrorKind::InTheWay),
                false => tree.rename(own, part),
            };
            renamed.map_err(|kind| at(index, plain(kind)))?;
        }
        Ok((part, span.offset))
    }

    /// Makes a file of its full length, with what is kept aside of it: durable if that is so, lest
    /// it be lost by it.
    fn make(
        &self,
        tree: &mut Tree,
        index: FileIndex,
        path: &str,
        capacity: Option<u64>,
    ) -> Result<(), DiskError> {
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
        let adopts = self.adopt(tree, index, &mut file);
        if capacity.is_some_and(|capacity| tree.taken() + file.taken() > capacity) {
            return Err(at(index, FULL));
        }
        let made = tree.make_file(path, file);
        made.map_err(|kind| at(index, plain(kind)))?;
        if adopts {
            tree.sync(path);
        }
        Ok(())
    }

    /// Copies into a new file what is kept aside of its first and last piece, if anything is.
    fn adopt(&self, tree: &Tree, index: FileIndex, file: &mut File) -> bool {
        let Ok(aside) = tree.file(&self.places.aside) else {
            return false;
        };
        let entry = self.entry(index);
        let mut adopts = false;
        for Range { start, end } in edges(&self.layout, index) {
            let end = end.min(aside.len());
            if start >= end {
                continue;
            }
            let mut bytes = vec![0; (end - start) as usize];
            if aside.read(start, &mut bytes).is_ok() {
                file.write(start - entry.offset, &bytes);
                adopts = true;
            }
        }
        adopts
    }

    fn make_aside(&self, tree: &mut Tree, index: FileIndex) -> Result<(), DiskError> {
        let path = &self.places.aside;
        if tree.file(path).is_ok() {
            return Ok(());
        }
        let tags = self.known.as_ref().map(|known| known.tags());
        let file = File::aside(tags, self.layout.total_len());
        let made = tree.make_file(path, file);
        made.map_err(|kind| at(index, plain(kind)))
    }

    fn files(&self) -> impl Iterator<Item = FileIndex> + use<> {
        (0..self.layout.files().len() as u32).map(FileIndex)
    }

    fn entry(&self, index: FileIndex) -> &FileEntry {
        &self.layout.files()[index.at()]
    }
}

/// Where the state of a storage to read lies.
fn seed_state(root: &str, info_hash: [u8; 20]) -> String {
    let hash: String = info_hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("states/{hash}-{}", root.replace('/', "-"))
}

/// What lies of a file in its first and in its last piece: ranges of the torrent.
fn edges(layout: &Layout, index: FileIndex) -> impl Iterator<Item = Range<u64>> {
    let entry = &layout.files()[index.at()];
    let pieces = layout.pieces_of(index);
    let last = (pieces.len() > 1).then_some(pieces.end.saturating_sub(1));
    let first = (!pieces.is_empty()).then_some(pieces.start);
    let piece_length = u64::from(layout.piece_length());
    let (begin, end) = (entry.offset, entry.offset + entry.len);
    first.into_iter().chain(last).map(move |piece| {
        let start = u64::from(piece) * piece_length;
        start.max(begin)..end.min(start + piece_length)
    })
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

/// A file is refused.
fn at(index: FileIndex, error: IoError) -> DiskError {
    let file = Some(index);
    DiskError { file, error }
}

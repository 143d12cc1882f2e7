//! A disk in memory, which does what the vocabulary says in the fewest words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use ripcurrent_proto::api::{
    Access, Disk, DiskDone, DiskError, FileSpan, Found, FoundFile, FoundName, IoError, IoErrorKind,
    Stamp,
};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::slab::PAGE;
use ripcurrent_proto::drive::digest;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind};

use crate::world::TORRENT;

/// A disk in memory.
#[derive(Default)]
pub(crate) struct MemoryDisk {
    files: BTreeMap<(TorrentId, FileIndex), File>,
    aside: BTreeMap<(TorrentId, FileIndex), Vec<u8>>,
    pub(crate) states: BTreeMap<TorrentId, Vec<u8>>,
    /// Those of storages to read.
    pub(crate) seed_states: BTreeMap<TorrentId, Vec<u8>>,
    /// Storages that are open to read.
    read_only: BTreeSet<TorrentId>,
    /// Of each storage that is open, its files.
    open: BTreeMap<TorrentId, Vec<FileEntry>>,
    /// Operations that fail: `open`, `read`, `write`, `sync`, `finish` or `save`; `full` has writes
    /// find no room.
    pub(crate) refuse: BTreeSet<&'static str>,
    /// There is no room from the moment this many writes have succeeded.
    pub(crate) writes_left: Option<usize>,
    /// Writes that succeeded.
    pub(crate) writes: usize,
    /// Reads that succeeded.
    pub(crate) reads: usize,
    /// What was asked for, in order.
    pub(crate) log: Vec<String>,
    clock: u64,
}

struct File {
    bytes: Vec<u8>,
    name: FoundName,
    modified: u64,
}

/// Panics unless the largest span of a piece lies in pages of memory as it does in its file: only
/// then can a host write it without copying.
fn assert_lies_as_in_files(bytes: &[u8], spans: &[FileSpan]) {
    let starts = spans.iter().scan(0, |next, span| {
        let start = *next;
        *next += span.len as usize;
        Some((start, span))
    });
    let largest = starts
        .filter(|(_, span)| span.file.is_some())
        .max_by_key(|(start, span)| (span.len, Reverse(*start)));
    if let Some((start, span)) = largest {
        let in_memory = bytes[start..].as_ptr() as usize % PAGE;
        assert_eq!(in_memory, span.offset as usize % PAGE, "{spans:?}");
    }
}

impl MemoryDisk {
    pub(crate) fn carry(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op,
                storage,
                layout,
                access,
                ..
            } => {
                match access {
                    Access::Read => self.read_only.insert(storage),
                    Access::Write { .. } => self.read_only.remove(&storage),
                };
                let found = self.found(storage, layout.files());
                self.open.insert(storage, layout.files().to_vec());
                let result = self.allows("open", None).map(|()| found);
                DiskDone::Opened { op, result }
            }
            Disk::Read {
                op,
                storage,
                mut slab,
                spans,
            } => {
                let result = self.read(storage, slab.as_mut_slice(), &spans);
                DiskDone::Read { op, slab, result }
            }
            Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => {
                assert_lies_as_in_files(slab.as_slice(), &spans);
                let result = self.write(storage, slab.as_slice(), &spans);
                DiskDone::Written { op, slab, result }
            }
            Disk::Digest {
                op,
                storage,
                mut slab,
                spans,
                every,
            } => {
                self.log.push("digest".into());
                let memory = slab.as_mut_slice();
                let result = digest(memory, &spans, every, |to, spans| {
                    self.read(storage, to, spans)
                });
                DiskDone::Digested { op, slab, result }
            }
            Disk::Sync { op, storage } => {
                self.log.push("sync".into());
                let result = self.allows("sync", None).map(|()| self.stamps(storage));
                DiskDone::Synced { op, result }
            }
            Disk::Finish { op, storage, file } => {
                self.log.push(format!("finish {}", file.0));
                let result = self.finish(storage, file);
                DiskDone::Finished { op, result }
            }
            Disk::Save { op, storage, state } => {
                let what = if state.is_some() { "save" } else { "unsave" };
                self.log.push(what.into());
                let result = self.allows("save", None);
                let states = match self.read_only.contains(&storage) {
                    true => &mut self.seed_states,
                    false => &mut self.states,
                };
                match state.filter(|_| result.is_ok()) {
                    Some(state) => states.insert(storage, state),
                    None if result.is_ok() => states.remove(&storage),
                    None => None,
                };
                DiskDone::Saved { op, result }
            }
            Disk::Delete { op, storage } => {
                self.files.retain(|(owner, _), _| *owner != storage);
                self.aside.retain(|(owner, _), _| *owner != storage);
                self.states.remove(&storage);
                self.seed_states.remove(&storage);
                DiskDone::Deleted { op, result: Ok(()) }
            }
            Disk::Close { op, .. } => DiskDone::Closed { op },
        }
    }

    fn allows(&self, action: &'static str, file: Option<FileIndex>) -> Result<(), DiskError> {
        match self.refuse.contains(action) {
            true => Err(refusal(file, IoErrorKind::Other)),
            false => Ok(()),
        }
    }

    fn found(&self, storage: TorrentId, files: &[FileEntry]) -> Found {
        let files = (0..files.len() as u32).map(FileIndex);
        let there = |file| {
            let file = self.files.get(&(storage, file))?;
            Some(FoundFile {
                stamp: file.stamp(),
                name: file.name,
            })
        };
        Found {
            files: files.map(there).collect(),
            aside: self.aside.keys().any(|(owner, _)| *owner == storage),
            state: match self.read_only.contains(&storage) {
                true => self.seed_states.get(&storage).cloned(),
                false => self.states.get(&storage).cloned(),
            },
        }
    }

    fn stamps(&self, storage: TorrentId) -> Vec<(FileIndex, Stamp)> {
        let files = self.files.iter();
        files
            .filter(|((owner, _), _)| *owner == storage)
            .map(|((_, index), file)| (*index, file.stamp()))
            .collect()
    }

    fn read(
        &mut self,
        storage: TorrentId,
        mut to: &mut [u8],
        spans: &[FileSpan],
    ) -> Result<(), DiskError> {
        for span in spans {
            let (here, rest) = to.split_at_mut(span.len as usize);
            to = rest;
            let Some(index) = span.file else {
                here.fill(0);
                continue;
            };
            self.allows("read", Some(index))?;
            let range = span.offset as usize..span.offset as usize + span.len as usize;
            let key = (storage, index);
            let file = self.files.get(&key).map(|file| &file.bytes);
            let bytes = file.or_else(|| self.aside.get(&key));
            match bytes.and_then(|bytes| bytes.get(range)) {
                Some(bytes) => here.copy_from_slice(bytes),
                None => return Err(refusal(Some(index), IoErrorKind::TooShort)),
            }
        }
        self.reads += 1;
        Ok(())
    }

    fn write(
        &mut self,
        storage: TorrentId,
        mut from: &[u8],
        spans: &[FileSpan],
    ) -> Result<(), DiskError> {
        for span in spans {
            let (here, rest) = from.split_at(span.len as usize);
            from = rest;
            let Some(index) = span.file else { continue };
            self.allows("write", Some(index))?;
            if self.writes_left == Some(0) || self.refuse.contains("full") {
                return Err(refusal(Some(index), IoErrorKind::NoSpace));
            }
            let key = (storage, index);
            if span.aside && !self.files.contains_key(&key) {
                put(self.aside.entry(key).or_default(), span.offset, here);
                continue;
            }
            self.clock += 1;
            let file = self.files.entry(key).or_insert_with(|| File {
                bytes: self.aside.remove(&key).unwrap_or_default(),
                name: FoundName::Part,
                modified: 0,
            });
            file.modified = self.clock;
            file.name = FoundName::Part;
            put(&mut file.bytes, span.offset, here);
        }
        self.writes += 1;
        self.writes_left = self.writes_left.map(|left| left - 1);
        Ok(())
    }

    fn finish(&mut self, storage: TorrentId, index: FileIndex) -> Result<(), DiskError> {
        self.allows("finish", Some(index))?;
        let key = (storage, index);
        let aside = self.aside.remove(&key);
        let file = self.files.entry(key).or_insert_with(|| File {
            bytes: aside.unwrap_or_default(),
            name: FoundName::Part,
            modified: 0,
        });
        let len = self.open[&storage][index.at()].len as usize;
        assert!(
            file.bytes.len() >= len,
            "a file is finished when it is whole"
        );
        file.name = FoundName::Own;
        Ok(())
    }

    /// All bytes of the torrent as they lie on this disk, in order; padding as zeros.
    pub(crate) fn content(&self, torrent: &Torrent) -> Vec<u8> {
        self.content_of(TORRENT, torrent)
    }

    pub(crate) fn content_of(&self, id: TorrentId, torrent: &Torrent) -> Vec<u8> {
        let mut all = Vec::new();
        for (file, index) in torrent.layout().files().iter().zip(0..) {
            let there = self.files.get(&(id, FileIndex(index)));
            let mut bytes = there.map_or_else(Vec::new, |file| file.bytes.clone());
            bytes.resize(file.len as usize, 0);
            all.extend(bytes);
        }
        all
    }

    /// Under which names the files of the torrent are there.
    pub(crate) fn names(&self, torrent: &Torrent) -> Vec<Option<FoundName>> {
        let files = (0..torrent.layout().files().len() as u32).map(FileIndex);
        let name = |file| self.files.get(&(TORRENT, file)).map(|file| file.name);
        files.map(name).collect()
    }

    /// Puts the content of the torrent's files there.
    pub(crate) fn fill(&mut self, torrent: &Torrent, content: &[u8]) {
        self.fill_as(TORRENT, torrent, content);
    }

    pub(crate) fn fill_as(&mut self, id: TorrentId, torrent: &Torrent, content: &[u8]) {
        for (file, index) in torrent.layout().files().iter().zip(0..) {
            if matches!(file.kind, FileKind::Regular { .. }) {
                let range = file.offset as usize..(file.offset + file.len) as usize;
                self.clock += 1;
                let file = File {
                    bytes: content[range].to_vec(),
                    name: FoundName::Own,
                    modified: self.clock,
                };
                self.files.insert((id, FileIndex(index)), file);
            }
        }
    }

    /// Somebody else changes a byte of a file, or writes the same one again.
    pub(crate) fn meddle(&mut self, index: u32, at: usize, flip: u8) {
        self.clock += 1;
        let file = self.files.get_mut(&(TORRENT, FileIndex(index)));
        let file = file.expect("a file");
        file.bytes[at] ^= flip;
        file.modified = self.clock;
    }

    /// A file is there under this name.
    pub(crate) fn rename(&mut self, index: u32, name: FoundName) {
        let file = self.files.get_mut(&(TORRENT, FileIndex(index)));
        file.expect("a file").name = name;
    }

    /// A file is gone.
    pub(crate) fn remove(&mut self, index: u32) {
        self.files.remove(&(TORRENT, FileIndex(index)));
    }
}

impl File {
    fn stamp(&self) -> Stamp {
        Stamp {
            len: self.bytes.len() as u64,
            modified: self.modified,
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: u64, new: &[u8]) {
    let end = offset as usize + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset as usize..end].copy_from_slice(new);
}

fn refusal(file: Option<FileIndex>, kind: IoErrorKind) -> DiskError {
    let error = IoError { kind, code: 0 };
    DiskError { file, error }
}

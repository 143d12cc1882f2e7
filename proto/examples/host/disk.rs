// The disk, and hashing: a thread that does one thing after the other, and knows no machine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use ripcurrent_proto::api::{
    Access, Disk, DiskDone, DiskError, Found, FoundFile, FoundName, IoError, IoErrorKind, Spans,
    Stamp, StorageId,
};
use ripcurrent_proto::drive::digest;
use ripcurrent_proto::meta::layout::{FileIndex, FileSpan, Layout};
use ripcurrent_proto::meta::parts::{STATE, beside, part_names};
use ripcurrent_proto::meta::resume::most_len;

/// The storages that are open.
#[derive(Default)]
pub(crate) struct Storages(BTreeMap<StorageId, Storage>);

struct Storage {
    root: PathBuf,
    info_hash: [u8; 20],
    layout: Arc<Layout>,
    /// What each file is called until it is finished.
    parts: Vec<String>,
    access: Access,
    /// Found, written or finished since the last sync.
    unsynced: BTreeSet<FileIndex>,
}

impl Storages {
    /// Does one thing, whole or with the first error; the slab goes back either way.
    pub(crate) fn carry(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op,
                storage,
                root,
                info_hash,
                layout,
                access,
            } => {
                let mut opened = Storage {
                    root: PathBuf::from(&*root),
                    info_hash,
                    parts: part_names(&layout),
                    layout,
                    access,
                    unsynced: BTreeSet::new(),
                };
                let result = self.claim(&opened).and_then(|()| opened.look());
                if result.is_ok() {
                    self.0.insert(storage, opened);
                }
                DiskDone::Opened { op, result }
            }
            Disk::Read {
                op,
                storage,
                mut slab,
                spans,
            } => {
                let result = self.at(storage).read(slab.as_mut_slice(), &spans);
                DiskDone::Read { op, slab, result }
            }
            Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => {
                let result = self.at(storage).write(slab.as_slice(), &spans);
                DiskDone::Written { op, slab, result }
            }
            // Of a piece that is too long for the memory budget.
            Disk::Digest {
                op,
                storage,
                mut slab,
                spans,
                every,
            } => {
                let from = self.at(storage);
                let result = digest(slab.as_mut_slice(), &spans, every, |into, spans| {
                    from.read(into, spans)
                });
                DiskDone::Digested { op, slab, result }
            }
            Disk::Sync { op, storage } => {
                let result = self.at(storage).sync();
                DiskDone::Synced { op, result }
            }
            Disk::Finish { op, storage, file } => {
                let result = self.at(storage).finish(file);
                DiskDone::Finished { op, result }
            }
            Disk::Save { op, storage, state } => {
                let result = self.at(storage).save(state.as_deref());
                DiskDone::Saved {
                    op,
                    result: result.map_err(|error| refusal(None, &error)),
                }
            }
            Disk::Delete { op, storage } => {
                let result = self.at(storage).delete();
                DiskDone::Deleted { op, result }
            }
            // Nothing is in flight: this thread does one thing at a time.
            Disk::Close { op, storage } => {
                self.0.remove(&storage);
                DiskDone::Closed { op }
            }
        }
    }

    /// The engine names none that it has not opened, or has closed.
    fn at(&mut self, storage: StorageId) -> &mut Storage {
        self.0.get_mut(&storage).expect("it is open")
    }

    /// Two that write share no state. Other processes would be kept out by a lock, which this host
    /// does not know.
    fn claim(&self, storage: &Storage) -> Result<(), DiskError> {
        let mut others = self.0.values();
        let is_taken = |other: &Storage| other.writes() && other.state() == storage.state();
        if storage.writes() && others.any(is_taken) {
            let (kind, code) = (IoErrorKind::InUse, std::process::id().cast_signed());
            let error = IoError { kind, code };
            return Err(DiskError { file: None, error });
        }
        Ok(())
    }
}

impl Storage {
    /// What is there: each file under either of its names, and what was saved last.
    fn look(&mut self) -> Result<Found, DiskError> {
        let mut files = Vec::new();
        for file in self.files() {
            let found = self.look_at(file);
            files.push(found.map_err(|error| refusal(Some(file), &error))?);
        }
        let there = self
            .files()
            .zip(&files)
            .filter(|(_, found)| found.is_some());
        self.unsynced = there.map(|(file, _)| file).collect();
        let state = match fs::read(self.state()) {
            Ok(state) => Some(state).filter(|state| state.len() <= most_len(&self.layout)),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(refusal(None, &error)),
        };
        Ok(Found {
            files,
            aside: false,
            state,
        })
    }

    fn look_at(&self, file: FileIndex) -> io::Result<Option<FoundFile>> {
        let own = self.own(file);
        let name = match (self.part(file).is_file(), own.is_file()) {
            (false, false) => return Ok(None),
            (false, true) => FoundName::Own,
            (true, _) if own.exists() => FoundName::Contested,
            (true, _) => FoundName::Part,
        };
        Ok(Some(FoundFile {
            stamp: self.stamp(file)?,
            name,
        }))
    }

    /// What tells whether somebody has changed a file.
    fn stamp(&self, file: FileIndex) -> io::Result<Stamp> {
        let metadata = self.path(file).metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH);
        let modified = modified.unwrap_or_default().as_nanos() as u64;
        Ok(Stamp {
            len: metadata.len(),
            modified,
        })
    }

    fn read(&self, slab: &mut [u8], spans: &[FileSpan]) -> Result<(), DiskError> {
        // Padding is in no file, and reads as zeros.
        slab.fill(0);
        for (file, offset, range) in ranges(spans) {
            let read = File::open(self.path(file))
                .and_then(|open| open.read_exact_at(&mut slab[range], offset));
            read.map_err(|error| refusal(Some(file), &error))?;
        }
        Ok(())
    }

    fn write(&mut self, slab: &[u8], spans: &Spans) -> Result<(), DiskError> {
        for (file, offset, range) in ranges(spans) {
            let written = self
                .open_to_write(file)
                .and_then(|open| open.write_all_at(&slab[range], offset));
            written.map_err(|error| refusal(Some(file), &error))?;
        }
        Ok(())
    }

    /// A file to be written to: from now on it is not finished, whatever it was.
    fn open_to_write(&mut self, file: FileIndex) -> io::Result<File> {
        self.must_write()?;
        let (own, part) = (self.own(file), self.part(file));
        fs::create_dir_all(own.parent().unwrap_or(&self.root))?;
        if own.is_file() && !part.exists() {
            fs::rename(&own, &part)?;
        }
        let mut options = File::options();
        let open = options
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)?;
        // With its length from the beginning it is sparse, and shows at once whether it fits.
        let len = self.layout.files()[file.at()].len;
        if open.metadata()?.len() < len {
            open.set_len(len)?;
        }
        self.unsynced.insert(file);
        Ok(open)
    }

    fn must_write(&self) -> io::Result<()> {
        match self.access {
            Access::Write { .. } => Ok(()),
            Access::Read => Err(ErrorKind::PermissionDenied.into()),
        }
    }

    /// Data first, then the folders that hold its names.
    fn sync(&mut self) -> Result<Vec<(FileIndex, Stamp)>, DiskError> {
        let mut synced = Vec::new();
        for &file in &self.unsynced {
            let stamp = self.sync_file(&self.path(file));
            let stamp = stamp.and_then(|()| self.stamp(file));
            synced.push((file, stamp.map_err(|error| refusal(Some(file), &error))?));
        }
        self.unsynced.clear();
        Ok(synced)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()?;
        let folders = path.ancestors().skip(1);
        for folder in folders.take_while(|folder| folder.starts_with(&self.root)) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Gives a file its own name.
    fn finish(&mut self, file: FileIndex) -> Result<(), DiskError> {
        let finished = self.finish_file(file);
        finished.map_err(|error| refusal(Some(file), &error))
    }

    fn finish_file(&mut self, file: FileIndex) -> io::Result<()> {
        let (own, part) = (self.own(file), self.part(file));
        match (part.exists(), own.exists()) {
            (false, true) if own.is_file() => return self.must_write(),
            // It would replace files, and never folders.
            (true, true) if self.overwrites() && own.is_file() => {}
            (_, true) => return Err(ErrorKind::AlreadyExists.into()),
            // An empty file is made here: nobody ever wrote to it.
            (_, false) => {}
        }
        let len = self.layout.files()[file.at()].len;
        self.open_to_write(file)?.set_len(len)?;
        fs::rename(part, own)
    }

    fn overwrites(&self) -> bool {
        matches!(
            self.access,
            Access::Write {
                overwrite: true,
                ..
            }
        )
    }

    fn writes(&self) -> bool {
        self.access != Access::Read
    }

    fn files(&self) -> impl Iterator<Item = FileIndex> + use<> {
        (0..self.layout.files().len() as u32).map(FileIndex)
    }

    /// Replaces the state in one durable step: whole under another name, then renamed.
    fn save(&self, state: Option<&[u8]>) -> io::Result<()> {
        let (name, new) = (self.state(), self.state().with_extension("new"));
        let folder = name.parent().unwrap_or(&self.root);
        match state {
            Some(state) => {
                fs::create_dir_all(folder)?;
                let mut file = File::create(&new)?;
                file.write_all(state)?;
                file.sync_all()?;
                fs::rename(&new, &name)?;
            }
            None => match fs::remove_file(&name) {
                Err(error) if is_missing(&error) => return Ok(()),
                removed => removed?,
            },
        }
        File::open(folder)?.sync_all()
    }

    /// Removes what is there; folders that this leaves empty go too, and others stay.
    fn delete(&self) -> Result<(), DiskError> {
        for file in self.files() {
            for path in [self.part(file), self.own(file)] {
                if path.is_file() {
                    let removed = fs::remove_file(&path);
                    removed.map_err(|error| refusal(Some(file), &error))?;
                }
                let folders = path.ancestors().skip(1);
                let inside = folders.take_while(|folder| *folder != self.root);
                inside.for_each(|folder| drop(fs::remove_dir(folder)));
            }
        }
        for state in [self.state_beside(), self.state_elsewhere()] {
            match fs::remove_file(state) {
                Err(error) if !is_missing(&error) => return Err(refusal(None, &error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Where a file is now.
    fn path(&self, file: FileIndex) -> PathBuf {
        let part = self.part(file);
        if part.exists() { part } else { self.own(file) }
    }

    fn own(&self, file: FileIndex) -> PathBuf {
        self.root.join(self.layout.files()[file.at()].path_string())
    }

    fn part(&self, file: FileIndex) -> PathBuf {
        self.own(file).with_file_name(&self.parts[file.at()])
    }

    /// Who writes has the state beside the files, who reads changes nothing below the root.
    fn state(&self) -> PathBuf {
        match self.writes() {
            true => self.state_beside(),
            false => self.state_elsewhere(),
        }
    }

    fn state_beside(&self) -> PathBuf {
        self.root.join(beside(&self.layout, STATE))
    }

    /// In a folder beside the root, by the torrent's info-hash. A program for people would take one of
    /// the system's for it, and tell the roots apart by their paths.
    fn state_elsewhere(&self) -> PathBuf {
        let mut folder = self.root.clone().into_os_string();
        folder.push(".states");
        let hash = self.info_hash.iter();
        let name: String = hash.map(|byte| format!("{byte:02x}")).collect();
        PathBuf::from(folder).join(name)
    }
}

/// Each file of an operation but padding, where in it, and the range of the slab.
fn ranges(spans: &[FileSpan]) -> impl Iterator<Item = (FileIndex, u64, Range<usize>)> {
    let mut start = 0;
    spans.iter().filter_map(move |span| {
        let range = start..start + span.len as usize;
        start = range.end;
        Some((span.file?, span.offset, range))
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn refusal(file: Option<FileIndex>, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::NotFound => IoErrorKind::NotFound,
        ErrorKind::PermissionDenied => IoErrorKind::Forbidden,
        ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
            IoErrorKind::InTheWay
        }
        ErrorKind::StorageFull => IoErrorKind::NoSpace,
        ErrorKind::UnexpectedEof => IoErrorKind::TooShort,
        _ => IoErrorKind::Other,
    };
    let code = error.raw_os_error().unwrap_or(0);
    DiskError {
        file,
        error: IoError { kind, code },
    }
}

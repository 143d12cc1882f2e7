// The disk, and hashing: a thread that does one thing after the other, and knows no machine.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use ripcurrent_proto::api::{
    Disk, DiskDone, DiskError, Found, FoundFile, FoundName, IoError, IoErrorKind, Spans, Stamp,
    StorageId,
};
use ripcurrent_proto::meta::layout::{FileIndex, Layout};
use ripcurrent_proto::meta::parts::{STATE, beside, part_names};
use ripcurrent_proto::meta::resume::most_len;

/// The storages that are open.
#[derive(Default)]
pub(crate) struct Storages(BTreeMap<StorageId, Storage>);

struct Storage {
    root: PathBuf,
    layout: Arc<Layout>,
    /// What each file is called until it is finished.
    parts: Vec<String>,
}

impl Storages {
    /// Does one thing, whole or with the first error; the slab goes back either way.
    pub(crate) fn carry(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op,
                storage,
                root,
                layout,
                ..
            } => {
                let (root, parts) = (PathBuf::from(&*root), part_names(&layout));
                let opened = Storage {
                    root,
                    layout,
                    parts,
                };
                let result = opened.look();
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
                let result = self.0[&storage].read(slab.as_mut_slice(), &spans);
                DiskDone::Read { op, slab, result }
            }
            Disk::Write {
                op,
                storage,
                slab,
                spans,
            } => {
                let result = self.0[&storage].write(slab.as_slice(), &spans);
                DiskDone::Written { op, slab, result }
            }
            Disk::Sync { op, storage } => {
                let result = self.0[&storage].sync();
                DiskDone::Synced { op, result }
            }
            Disk::Finish { op, storage, file } => {
                let result = self.0[&storage].finish(file);
                DiskDone::Finished { op, result }
            }
            Disk::Save { op, storage, state } => {
                let result = self.0[&storage].save(state.as_deref());
                DiskDone::Saved {
                    op,
                    result: result.map_err(|error| refusal(None, &error)),
                }
            }
            Disk::Delete { op, storage } => {
                let result = self.0[&storage].delete();
                DiskDone::Deleted { op, result }
            }
            // Nothing is in flight: this thread does one thing at a time.
            Disk::Close { op, storage } => {
                self.0.remove(&storage);
                DiskDone::Closed { op }
            }
        }
    }
}

impl Storage {
    /// What is there: each file under either of its names, and what was saved last.
    fn look(&self) -> Result<Found, DiskError> {
        let files = (0..self.layout.files().len() as u32).map(FileIndex);
        let files = files.map(|file| {
            self.look_at(file)
                .map_err(|error| refusal(Some(file), &error))
        });
        let state = match fs::read(self.state()) {
            Ok(state) => Some(state).filter(|state| state.len() <= most_len(&self.layout)),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(refusal(None, &error)),
        };
        Ok(Found {
            files: files.collect::<Result<_, _>>()?,
            aside: false,
            state,
        })
    }

    fn look_at(&self, file: FileIndex) -> io::Result<Option<FoundFile>> {
        let name = match (self.part(file).exists(), self.own(file).exists()) {
            (false, false) => return Ok(None),
            (false, true) => FoundName::Own,
            (true, false) => FoundName::Part,
            (true, true) => FoundName::Contested,
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

    fn read(&self, slab: &mut [u8], spans: &Spans) -> Result<(), DiskError> {
        // Padding is in no file, and reads as zeros.
        slab.fill(0);
        for (file, offset, range) in ranges(spans) {
            let read = File::open(self.path(file))
                .and_then(|open| open.read_exact_at(&mut slab[range], offset));
            read.map_err(|error| refusal(Some(file), &error))?;
        }
        Ok(())
    }

    fn write(&self, slab: &[u8], spans: &Spans) -> Result<(), DiskError> {
        for (file, offset, range) in ranges(spans) {
            let written = self
                .to_write(file)
                .and_then(|open| open.write_all_at(&slab[range], offset));
            written.map_err(|error| refusal(Some(file), &error))?;
        }
        Ok(())
    }

    /// A file to be written to: from now on it is not finished, whatever it was.
    fn to_write(&self, file: FileIndex) -> io::Result<File> {
        let (own, part) = (self.own(file), self.part(file));
        fs::create_dir_all(own.parent().unwrap_or(&self.root))?;
        if own.is_file() && !part.exists() {
            fs::rename(&own, &part)?;
        }
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(part)
    }

    /// Data first, then the folders that hold its names.
    fn sync(&self) -> Result<Vec<(FileIndex, Stamp)>, DiskError> {
        let mut synced = Vec::new();
        for file in (0..self.layout.files().len() as u32).map(FileIndex) {
            let path = self.path(file);
            if !self.layout.files()[file.at()].is_pad() && path.exists() {
                let stamp = self.sync_file(&path).and_then(|()| self.stamp(file));
                synced.push((file, stamp.map_err(|error| refusal(Some(file), &error))?));
            }
        }
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
    fn finish(&self, file: FileIndex) -> Result<(), DiskError> {
        let (own, part) = (self.own(file), self.part(file));
        if part.exists() && own.exists() {
            let error = IoError {
                kind: IoErrorKind::InTheWay,
                code: 0,
            };
            return Err(DiskError {
                file: Some(file),
                error,
            });
        }
        if !part.exists() && own.exists() {
            return Ok(());
        }
        // An empty file is made here: nobody ever wrote to it. It may be too long, never too short.
        let len = self.layout.files()[file.at()].len;
        let finished = self.to_write(file).and_then(|open| open.set_len(len));
        let finished = finished.and_then(|()| fs::rename(part, own));
        finished.map_err(|error| refusal(Some(file), &error))
    }

    /// Replaces the state in one durable step: whole under another name, then renamed.
    fn save(&self, state: Option<&[u8]>) -> io::Result<()> {
        let (name, new) = (self.state(), self.state().with_extension("new"));
        match state {
            Some(state) => {
                fs::create_dir_all(&self.root)?;
                let mut file = File::create(&new)?;
                file.write_all(state)?;
                file.sync_all()?;
                fs::rename(&new, &name)?;
            }
            None => match fs::remove_file(&name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            },
        }
        File::open(&self.root)?.sync_all()
    }

    /// Removes what is there; folders that this leaves empty go too, and others stay.
    fn delete(&self) -> Result<(), DiskError> {
        for file in (0..self.layout.files().len() as u32).map(FileIndex) {
            for path in [self.part(file), self.own(file)] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() != ErrorKind::NotFound => {
                        return Err(refusal(Some(file), &error));
                    }
                    _ => {}
                }
                let folders = path.ancestors().skip(1);
                let inside = folders.take_while(|folder| *folder != self.root);
                inside.for_each(|folder| drop(fs::remove_dir(folder)));
            }
        }
        self.save(None).map_err(|error| refusal(None, &error))
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

    fn state(&self) -> PathBuf {
        self.root.join(beside(&self.layout, STATE))
    }
}

/// Each file of an operation but padding, where in it, and the range of the slab.
fn ranges(spans: &Spans) -> impl Iterator<Item = (FileIndex, u64, Range<usize>)> {
    let mut start = 0;
    spans.iter().filter_map(move |span| {
        let range = start..start + span.len as usize;
        start = range.end;
        Some((span.file?, span.offset, range))
    })
}

fn refusal(file: Option<FileIndex>, error: &io::Error) -> DiskError {
    let kind = match error.kind() {
        ErrorKind::NotFound => IoErrorKind::NotFound,
        ErrorKind::PermissionDenied => IoErrorKind::Forbidden,
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

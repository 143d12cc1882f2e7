//! Which of its names a file has, and how it gets the other one.
//!
//! A file is looked for under the name of an unfinished one first. Whatever has its own name while
//! there is one of those is somebody else's, until it is replaced or goes away.

use std::fs::File;
use std::io;
use std::sync::{Arc, MutexGuard};

use ripcurrent_proto::api::{Access, DiskError};
use ripcurrent_proto::meta::layout::{FileIndex, FileKind};

use super::cache::{Open, OpenFiles};
use super::direct::{Direct, LEAST_FILE};
use super::paths::{Entry, Mode, Walker, is_missing, is_no_file};
use super::storage::{Named, Storage, of_file};
use crate::pool::lock;

impl Storage {
    /// The file, wherever it is. Nothing is made.
    ///
    /// # Errors
    /// [`is_no_file`] tells those that say there is none.
    pub(super) fn to_read(&self, files: &OpenFiles, named: Named<'_>) -> io::Result<Arc<Open>> {
        let key = (self.plan.number, named.index.0);
        if let Some(open) = files.get(key) {
            return Ok(open);
        }
        let _naming = lock(&self.naming);
        let mut walker = self.walker();
        let file = match walker.file(named.folder, named.part, Mode::Read) {
            Err(error) if is_no_file(&error) => walker.file(named.folder, named.own, Mode::Read),
            opened => opened,
        };
        Ok(files.put(key, Open::new(file?, false)))
    }

    /// The unfinished file, at its full length unless what comes `is_whole`. It is made if need be, of
    /// the finished one if there is one and else with what is aside.
    pub(super) fn to_write<'a>(
        &'a self,
        (files, walker): (&OpenFiles, &mut Walker<'a>),
        named: Named<'a>,
        is_whole: bool,
    ) -> io::Result<Arc<Open>> {
        let key = (self.plan.number, named.index.0);
        if let Some(open) = files.get(key).filter(|open| open.is_unfinished()) {
            return Ok(open);
        }
        self.unfinished((files, walker), named, is_whole, &lock(&self.naming))
    }

    /// The same for who holds the lock already.
    fn unfinished<'a>(
        &'a self,
        (files, walker): (&OpenFiles, &mut Walker<'a>),
        named: Named<'a>,
        is_whole: bool,
        _naming: &MutexGuard<'_, ()>,
    ) -> io::Result<Arc<Open>> {
        let key = (self.plan.number, named.index.0);
        if let Some(open) = files.get(key).filter(|open| open.is_unfinished()) {
            return Ok(open);
        }
        let preallocate = match self.plan.access {
            Access::Write { preallocate, .. } => preallocate,
            Access::Read => return Err(io::Error::from_raw_os_error(libc::EACCES)),
        };
        let file = self.open_unfinished(files, walker, named);
        lock(&self.unsynced).folders(walker.take_changed());
        let file = file?;
        if !is_whole {
            set_length(&file, named.entry.len, preallocate)?;
        }
        let mut open = Open::new(file, true);
        if self.writes_directly(named) {
            let folder = walker.folder(named.folder).ok();
            open.direct = folder.and_then(|folder| Direct::of(&open.file, folder, named.part));
        }
        Ok(files.put(key, open))
    }

    fn open_unfinished<'a>(
        &self,
        files: &OpenFiles,
        walker: &mut Walker<'a>,
        named: Named<'a>,
    ) -> io::Result<File> {
        let (folder, part) = (named.folder, named.part);
        let is_there = walker.entry(folder, named.own)?.and_then(Entry::file);
        if is_there.is_none() {
            match self.make(files, walker, named) {
                Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
                made => return made,
            }
        }
        match walker.file(folder, part, Mode::Write) {
            Err(error) if is_missing(&error) => {}
            opened => return opened,
        }
        // Opened first: what cannot be written keeps its name.
        let file = walker.file(folder, named.own, Mode::Write)?;
        walker.rename(folder, named.own, part, false)?;
        Ok(file)
    }

    /// Makes the unfinished file, which must not be there, with what is aside.
    fn make<'a>(
        &self,
        files: &OpenFiles,
        walker: &mut Walker<'a>,
        named: Named<'a>,
    ) -> io::Result<File> {
        let (folder, part) = (named.folder, named.part);
        let executable = named.entry.kind == FileKind::Regular { executable: true };
        let file = walker.file(folder, part, Mode::Create { executable })?;
        if let Err(error) = self.adopt(files, named.entry, &file) {
            // Whoever finds it would not look at what is aside again.
            walker.remove(folder, part)?;
            return Err(error);
        }
        Ok(file)
    }

    /// Gives files and links their own names, each as far as it can.
    pub(super) fn finish(
        &self,
        files: &OpenFiles,
        indexes: impl IntoIterator<Item = FileIndex>,
    ) -> Vec<Result<(), DiskError>> {
        let mut walker = self.walker().making_folders();
        let finished = indexes.into_iter().map(|index| {
            let finished = match self.plan.access {
                Access::Read => Err(io::Error::from_raw_os_error(libc::EACCES)),
                Access::Write { overwrite, .. } => self
                    .named(index)
                    .and_then(|named| self.give_name((files, &mut walker), named, overwrite)),
            };
            finished.map_err(|error| of_file(index, &error))
        });
        finished.collect()
    }

    fn give_name<'a>(
        &'a self,
        (files, walker): (&OpenFiles, &mut Walker<'a>),
        named: Named<'a>,
        overwrite: bool,
    ) -> io::Result<()> {
        let naming = lock(&self.naming);
        let finished = match &named.entry.kind {
            FileKind::Pad => Ok(()),
            FileKind::Regular { .. } => {
                self.finish_file((files, walker), named, overwrite, &naming)
            }
            FileKind::Symlink { target } => {
                let target = relative(named.folder, target);
                walker.link(named.folder, named.own, &target, overwrite)
            }
        };
        lock(&self.unsynced).folders(walker.take_changed());
        finished
    }

    fn finish_file<'a>(
        &'a self,
        (files, walker): (&OpenFiles, &mut Walker<'a>),
        named: Named<'a>,
        overwrite: bool,
        naming: &MutexGuard<'_, ()>,
    ) -> io::Result<()> {
        let (folder, part) = (named.folder, named.part);
        let there = walker.entry(folder, part)?.and_then(Entry::file);
        if there.is_none_or(|stamp| stamp.len != named.entry.len) {
            match walker.entry(folder, named.own)? {
                Some(Entry::File(_)) if there.is_none() => return Ok(()),
                Some(_) if !overwrite => return Err(io::Error::from_raw_os_error(libc::EEXIST)),
                _ => {}
            }
            let open = self.unfinished((files, walker), named, false, naming)?;
            if open.file.metadata()?.len() > named.entry.len {
                open.file.set_len(named.entry.len)?;
            }
            lock(&self.unsynced).file(named.index);
        }
        // Kept as it is where the name is taken, so that another try may find it free.
        walker.rename(folder, part, named.own, overwrite)?;
        files.finished((self.plan.number, named.index.0));
        Ok(())
    }
}

/// The target of a link in `folder`: told from there, where `target` is told from the torrent's
/// folder.
fn relative(folder: &[String], target: &[String]) -> String {
    // The first component is the torrent's folder.
    let up = std::iter::repeat_n("..", folder.len().saturating_sub(1));
    let components: Vec<&str> = up.chain(target.iter().map(String::as_str)).collect();
    if components.is_empty() {
        return ".".into();
    }
    components.join("/")
}

/// Gives a file its full length, unless it has it already. A small one is not allocated: it comes in a
/// few writes, and the file system finds a better place when it knows all of them.
fn set_length(file: &File, len: u64, preallocate: bool) -> io::Result<()> {
    if file.metadata()?.len() >= len {
        return Ok(());
    }
    if preallocate && len >= LEAST_FILE && allocate(file, len)? {
        return Ok(());
    }
    file.set_len(len)
}

/// Allocates every block of a file; false where the file system cannot.
fn allocate(file: &File, len: u64) -> io::Result<bool> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;

    match fallocate(file, FallocateFlags::empty(), 0, len) {
        Err(Errno::OPNOTSUPP) => Ok(false),
        allocated => Ok(allocated.map(|()| true)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However deep a link lies, it points into the torrent's folder.
    #[test]
    fn links_are_relative() {
        let path = |text: &str| text.split('/').map(String::from).collect::<Vec<_>>();
        assert_eq!(relative(&path("t"), &path("a/b")), "a/b");
        assert_eq!(relative(&path("t/x/y"), &path("a")), "../../a");
        assert_eq!(relative(&path("t/x"), &[]), "..");
        assert_eq!(relative(&path("t"), &[]), ".");
    }
}

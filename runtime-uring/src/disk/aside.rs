//! Bytes of files that nobody wants, from pieces that lie over the edge of one: at their place in
//! the torrent, in a file with holes everywhere else.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ripcurrent_proto::meta::layout::FileEntry;

use super::cache::{ASIDE, Open, OpenFiles};
use super::home::Home;
use super::paths::{Entry, Mode, entry, is_missing, open_file, remove};
use super::storage::{Named, Storage};
use crate::pool::lock;

/// How much is copied at once, in bytes.
const CHUNK: usize = 256 << 10;

impl Home {
    /// Whether something is aside.
    pub(super) fn has_aside(&self) -> io::Result<bool> {
        let found = entry(self.folder(), &self.aside)?;
        Ok(matches!(found, Some(Entry::File(_))))
    }
}

impl Storage {
    /// What is aside, if anything is.
    pub(super) fn aside_to_read(&self, files: &OpenFiles) -> io::Result<Option<Arc<Open>>> {
        self.aside(files, Mode::Read)
    }

    /// Writes bytes of a file that nobody wants; false if the file is there, finished or not: then
    /// it is written to as every other.
    pub(super) fn write_aside(
        &self,
        files: &OpenFiles,
        named: Named<'_>,
        offset: u64,
        bytes: &[u8],
    ) -> io::Result<bool> {
        // Until the bytes are there: if the file is made meanwhile, it takes them along or not.
        let _naming = lock(&self.naming);
        let mut walker = self.walker();
        for name in [named.part, named.own] {
            if let Some(Entry::File(_)) = walker.entry(named.folder, name)? {
                return Ok(false);
            }
        }
        let aside = self.aside_to_write(files)?;
        let offset = named.entry.offset.saturating_add(offset);
        let written = aside.file.write_all_at(bytes, offset);
        lock(&self.unsynced).aside = true;
        written.map(|()| true)
    }

    /// Takes what is aside of a file that is new into it: only of pieces that lie over its edges
    /// can there be something. Holes are zeros, as the new file is, or the end of it. What was durable
    /// stays so.
    pub(super) fn adopt(
        &self,
        files: &OpenFiles,
        entry: &FileEntry,
        file: &File,
    ) -> io::Result<()> {
        if !self.has_aside.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(aside) = self.aside_to_read(files)? else {
            return Ok(());
        };
        let piece_len = u64::from(self.plan.layout.piece_length());
        let (start, end) = (entry.offset, entry.offset + entry.len);
        let first_ends = end.min((start / piece_len + 1) * piece_len);
        let last_starts = first_ends.max(end.saturating_sub(1) / piece_len * piece_len);
        for (from, to) in [(start, first_ends), (last_starts, end)] {
            copy(&aside.file, file, start, from, to)?;
        }
        file.sync_all()
    }

    /// Removes what is aside.
    pub(super) fn remove_aside(&self, files: &OpenFiles, home: &Home) -> io::Result<()> {
        let _naming = lock(&self.naming);
        files.forget_one((self.plan.number, ASIDE));
        lock(&self.unsynced).aside = false;
        remove(home.folder(), &home.aside)
    }

    fn aside_to_write(&self, files: &OpenFiles) -> io::Result<Arc<Open>> {
        if let Some(open) = self.aside(files, Mode::Write)? {
            return Ok(open);
        }
        // Before it is there: what it has, nobody may miss.
        self.has_aside.store(true, Ordering::Release);
        let made = self.aside(files, Mode::Create { executable: false })?;
        made.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn aside(&self, files: &OpenFiles, mode: Mode) -> io::Result<Option<Arc<Open>>> {
        let key = (self.plan.number, ASIDE);
        let unfinished = mode != Mode::Read;
        if let Some(open) = files.get(key)
            && (open.is_unfinished() || !unfinished)
        {
            return Ok(Some(open));
        }
        let Some(home) = self.home() else {
            return Ok(None);
        };
        match open_file(home.folder(), &home.aside, mode) {
            Ok(file) => Ok(Some(files.put(key, Open::new(file, unfinished)))),
            Err(error) if is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Copies the bytes `from..to` of the torrent, of which `into` begins with byte `start`, as far as
/// there are any.
fn copy(aside: &File, into: &File, start: u64, from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    let mut at = from;
    while at < to {
        let most = usize::try_from(to - at).unwrap_or(CHUNK).min(CHUNK);
        let read = match aside.read_at(&mut buffer[..most], at) {
            Ok(0) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        let bytes = &buffer[..read];
        if bytes.iter().any(|byte| *byte != 0) {
            into.write_all_at(bytes, at - start)?;
        }
        at += read as u64;
    }
    Ok(())
}

//! The files of one torrent. Every operation blocks, and several threads may be at it at once.
//!
//! Invariant: what was changed and not synced since is in `unsynced`, at the latest when the
//! operation that changed it ends. What has which name changes under `naming` only, and whoever
//! goes by names holds it.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use ripcurrent_proto::api::{
    Access, DiskError, FileSpan, Found, FoundFile, FoundName, IoError, IoErrorKind,
};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};
use ripcurrent_proto::meta::parts::part_names;
use ripcurrent_proto::meta::resume::most_len;

use super::cache::{Open, OpenFiles};
use super::home::Home;
use super::paths::{Entry, Walker, is_missing, is_no_file};
use super::seed::SeedState;
use super::state::StateFile;
use super::step::Step;
use super::sync::Unsynced;
use super::system::System;
use crate::errno;
use crate::pool::lock;

/// A storage.
pub(super) struct Storage {
    pub(super) plan: Plan,
    /// Set when it was opened.
    opened: OnceLock<Opened>,
    pub(super) naming: Mutex<()>,
    pub(super) unsynced: Mutex<Unsynced>,
    /// Held by who syncs.
    pub(super) syncing: Mutex<()>,
    /// Held from `Open` to `Close` of a storage to write, but for the time in which there is none.
    state: Mutex<Option<StateFile>>,
    /// Whether large parts of files are written past the page cache.
    pub(super) direct: AtomicBool,
    /// Whether anything may be aside.
    pub(super) has_aside: AtomicBool,
    /// What whole file systems said when they were synced.
    pub(super) system: System,
}

/// What a storage is to be.
pub(super) struct Plan {
    /// Unlike every other storage's, now and before.
    pub(super) number: u64,
    pub(super) root: PathBuf,
    /// Where states go that cannot lie beside the files.
    pub(super) state_home: Option<PathBuf>,
    pub(super) info_hash: [u8; 20],
    pub(super) layout: Arc<Layout>,
    pub(super) access: Access,
    /// Whether what is large may be written past the page cache.
    pub(super) direct: bool,
}

/// What is known of a storage once it is open.
struct Opened {
    /// What each file is called until it is finished.
    parts: Vec<String>,
    /// Where the state is, and what is aside; `None` of a storage to read that has nothing aside.
    home: Option<Arc<Home>>,
}

/// A file of the torrent and its two names in its folder.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    pub(super) index: FileIndex,
    pub(super) entry: &'a FileEntry,
    pub(super) folder: &'a [String],
    pub(super) own: &'a str,
    pub(super) part: &'a str,
}

impl Storage {
    pub(super) fn new(plan: Plan) -> Self {
        Storage {
            direct: AtomicBool::new(plan.direct),
            plan,
            opened: OnceLock::new(),
            naming: Mutex::default(),
            unsynced: Mutex::default(),
            syncing: Mutex::default(),
            state: Mutex::default(),
            has_aside: AtomicBool::new(false),
            system: System::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    /// Looks at what is there; to write, takes hold of the state first.
    pub(super) fn open(&self, files: &OpenFiles) -> Result<Found, DiskError> {
        let parts = part_names(&self.plan.layout);
        let (home, state) = match self.plan.access {
            Access::Read => (self.home_to_read(), None),
            Access::Write { .. } => {
                let (home, state) = self.hold_state().map_err(of_folder)?;
                (Some(home), Some(state))
            }
        };
        let opened = Opened { parts, home };
        let mut found = Found {
            files: self.look(&opened)?,
            ..Found::default()
        };
        let word = |error| of_folder(errno::io_error(&error));
        if let Some(home) = &opened.home {
            found.aside = home.has_aside().map_err(word)?;
            self.has_aside.store(found.aside, Ordering::Release);
        }
        let most = most_len(&self.plan.layout);
        if let Some(state) = state {
            found.state = state.content(most).map_err(word)?;
            *lock(&self.state) = Some(state);
        } else if let Ok(Some(state)) = self.seed_state(false) {
            // One that cannot be read is none: files can be looked at.
            found.state = state.content(most).unwrap_or_default();
        }
        self.distrust(&found);
        // Nobody else opens it.
        let _ = self.opened.set(opened);
        files.hold(self.descriptors());
        Ok(found)
    }

    /// Lets everything go.
    pub(super) fn close(&self, files: &OpenFiles) {
        files.forget(self.plan.number);
        lock(&self.state).take();
        if self.is_open() {
            files.let_go(self.descriptors());
        }
    }

    /// How many are held as long as it is open: the state and its folder.
    fn descriptors(&self) -> usize {
        let writes = self.plan.access != Access::Read;
        usize::from(writes) + usize::from(self.home().is_some())
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
            self.read_span(files, index, span.offset, part)
                .map_err(|error| of_file(index, &error))?;
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
            let Some(open) = files.get((self.plan.number, index.0)) else {
                return false;
            };
            if !read_without_waiting(&open, part, span.offset) {
                return false;
            }
        }
        true
    }

    /// The steps that fill `bytes` from the spans, all but padding, which is filled at once; `None`
    /// where a file is not open, or nothing is left to do.
    pub(super) fn steps_to_read(
        &self,
        files: &OpenFiles,
        bytes: &mut [u8],
        spans: &[FileSpan],
    ) -> Option<Vec<Step>> {
        let mut steps = Vec::with_capacity(spans.len());
        let mut at = 0;
        for span in spans {
            let range = at..at + span.len as usize;
            at = range.end;
            let part = bytes.get_mut(range.clone())?;
            let Some(index) = span.file else {
                part.fill(0);
                continue;
            };
            let open = files.get((self.plan.number, index.0))?;
            steps.push(Step::to_read(open, index, span.offset, range));
        }
        (!steps.is_empty()).then_some(steps)
    }

    /// Replaces the state; without one, what is aside goes as well.
    pub(super) fn save(&self, files: &OpenFiles, content: Option<&[u8]>) -> Result<(), DiskError> {
        let word = |error| of_folder(errno::io_error(&error));
        let (Access::Write { .. }, Some(home)) = (self.plan.access, self.home()) else {
            return self.save_seed(content).map_err(word);
        };
        let mut held = lock(&self.state);
        let Some(content) = content else {
            if let Some(state) = held.take() {
                state.remove().map_err(word)?;
            }
            self.remove_aside(files, home).map_err(word)?;
            return home.sync().map_err(word);
        };
        let mut state = match held.take() {
            Some(state) => state,
            None => StateFile::hold(home).map_err(of_folder)?,
        };
        let replaced = state.replace(content);
        *held = Some(state);
        replaced.map_err(word)
    }

    /// The same of a storage to read.
    fn save_seed(&self, content: Option<&[u8]>) -> io::Result<()> {
        match (content, self.seed_state(content.is_some())) {
            (Some(content), Ok(Some(state))) => state.replace(content),
            (Some(_), Ok(None)) => Err(io::Error::from_raw_os_error(libc::ENOENT)),
            (None, Ok(Some(state))) => state.remove(),
            (None, Ok(None)) => Ok(()),
            (None, Err(error)) if is_missing(&error) => Ok(()),
            (_, Err(error)) => Err(error),
        }
    }

    /// Where the state of a storage to read lies; `None` if there is no folder for states.
    fn seed_state(&self, make: bool) -> io::Result<Option<SeedState>> {
        let Plan {
            root, info_hash, ..
        } = &self.plan;
        let home = self.plan.state_home.as_deref();
        home.map(|home| SeedState::at(home, root, *info_hash, make))
            .transpose()
    }

    /// Removes the files, finished or not, what is kept beside them, and the folders that this
    /// leaves empty.
    pub(super) fn delete(&self, files: &OpenFiles) -> Result<(), DiskError> {
        files.forget(self.plan.number);
        *lock(&self.unsynced) = Unsynced::default();
        let mut walker = self.walker();
        let mut folders = BTreeSet::new();
        for named in self.all_named() {
            remove(&mut walker, named).map_err(|error| of_file(named.index, &error))?;
            folders.extend((1..=named.folder.len()).map(|depth| &named.folder[..depth]));
        }
        // What lies deeper sorts behind what holds it.
        for folder in folders.into_iter().rev() {
            walker.remove_folder_if_empty(folder);
        }
        let word = |error| of_folder(errno::io_error(&error));
        if let Some(state) = lock(&self.state).take() {
            state.remove().map_err(word)?;
        }
        match self.home() {
            Some(home) => home.clear().map_err(word)?,
            None => self
                .homes()
                .try_for_each(|home| home.clear())
                .map_err(word)?,
        }
        self.save_seed(None).map_err(word)
    }

    pub(super) fn home(&self) -> Option<&Arc<Home>> {
        self.opened.get()?.home.as_ref()
    }

    /// Walks to the files and leaves everything as it is.
    pub(super) fn walker(&self) -> Walker<'_> {
        Walker::new(&self.plan.root).from(self.root())
    }

    /// The root, of a storage that keeps its state there.
    pub(super) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.home()?.root()
    }

    /// The file of that index.
    pub(super) fn named(&self, index: FileIndex) -> io::Result<Named<'_>> {
        self.opened
            .get()
            .and_then(|opened| self.named_in(opened, index))
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }

    fn all_named(&self) -> impl Iterator<Item = Named<'_>> {
        (0..)
            .map(FileIndex)
            .map_while(|index| self.named(index).ok())
    }

    fn named_in<'a>(&'a self, opened: &'a Opened, index: FileIndex) -> Option<Named<'a>> {
        let entry = self.plan.layout.files().get(index.at())?;
        let (own, folder) = entry.path.split_last()?;
        Some(Named {
            index,
            entry,
            folder,
            own,
            part: opened.parts.get(index.at())?,
        })
    }

    /// What is there of each file.
    fn look(&self, opened: &Opened) -> Result<Vec<Option<FoundFile>>, DiskError> {
        let root = opened.home.as_ref().and_then(|home| home.root());
        let mut walker = Walker::new(&self.plan.root).from(root);
        let mut found = Vec::with_capacity(self.plan.layout.files().len());
        for index in (0..self.plan.layout.files().len() as u32).map(FileIndex) {
            let file = match self.named_in(opened, index) {
                Some(named) => {
                    look_at(&mut walker, named).map_err(|error| of_file(index, &error))?
                }
                None => None,
            };
            found.push(file);
        }
        Ok(found)
    }

    fn read_span(
        &self,
        files: &OpenFiles,
        index: FileIndex,
        offset: u64,
        into: &mut [u8],
    ) -> io::Result<()> {
        let named = self.named(index)?;
        match self.to_read(files, named) {
            Err(error) if is_no_file(&error) => match self.aside_to_read(files)? {
                Some(aside) => {
                    let offset = named.entry.offset.saturating_add(offset);
                    aside.file.read_exact_at(into, offset)
                }
                None => Err(error),
            },
            opened => opened?.file.read_exact_at(into, offset),
        }
    }

    /// Takes hold of the state beside the files or, where that is not allowed, elsewhere.
    fn hold_state(&self) -> Result<(Arc<Home>, StateFile), IoError> {
        let beside = Home::beside(&self.plan.root, &self.plan.layout, true);
        match hold(beside) {
            Err(error) if matches!(error.kind, IoErrorKind::Forbidden | IoErrorKind::ReadOnly) => {
                match self.home_elsewhere(true) {
                    Some(home) => hold(home),
                    None => Err(error),
                }
            }
            held => held,
        }
    }

    /// Where something is aside, if anything is.
    fn home_to_read(&self) -> Option<Arc<Home>> {
        self.homes()
            .find(|home| home.has_aside().unwrap_or(false))
            .map(Arc::new)
    }

    /// The folders that are there of those that a state may lie in.
    fn homes(&self) -> impl Iterator<Item = Home> {
        let beside = Home::beside(&self.plan.root, &self.plan.layout, false);
        let homes = [Some(beside), self.home_elsewhere(false)];
        homes.into_iter().flatten().flatten()
    }

    fn home_elsewhere(&self, make: bool) -> Option<io::Result<Home>> {
        let folder = self.plan.state_home.as_ref()?;
        let plan = &self.plan;
        Some(Home::elsewhere(folder, &plan.root, plan.info_hash, make))
    }
}

fn hold(home: io::Result<Home>) -> Result<(Arc<Home>, StateFile), IoError> {
    let home = Arc::new(home.map_err(|error| errno::io_error(&error))?);
    let state = StateFile::hold(&home)?;
    Ok((home, state))
}

/// Carries out the steps of a read on this thread.
pub(super) fn read_steps(steps: Vec<Step>, slab: &mut [u8]) -> Result<(), DiskError> {
    for step in steps {
        let index = step.index;
        step.read(slab).map_err(|error| of_file(index, &error))?;
    }
    Ok(())
}

/// What there is of a file, under which of its names.
fn look_at<'a>(walker: &mut Walker<'a>, named: Named<'a>) -> io::Result<Option<FoundFile>> {
    let FileKind::Regular { .. } = named.entry.kind else {
        return Ok(None);
    };
    let part = walker.entry(named.folder, named.part)?;
    let own = walker.entry(named.folder, named.own)?;
    let (stamp, name) = match (part.and_then(Entry::file), own) {
        (Some(part), Some(_)) => (Some(part), FoundName::Contested),
        (Some(part), None) => (Some(part), FoundName::Part),
        (None, own) => (own.and_then(Entry::file), FoundName::Own),
    };
    Ok(stamp.map(|stamp| FoundFile { stamp, name }))
}

/// Removes a file or a link. Whatever else has its name is somebody else's: also a file, as long as
/// ours is not finished.
fn remove<'a>(walker: &mut Walker<'a>, named: Named<'a>) -> io::Result<()> {
    let part = walker.entry(named.folder, named.part)?;
    let own = walker.entry(named.folder, named.own)?;
    let name = match (&named.entry.kind, part, own) {
        (FileKind::Regular { .. }, Some(Entry::File(_)), _) => named.part,
        (FileKind::Regular { .. }, _, Some(Entry::File(_)))
        | (FileKind::Symlink { .. }, _, Some(Entry::Link)) => named.own,
        _ => return Ok(()),
    };
    walker.remove(named.folder, name)
}

/// Fills `part` from the page cache; false if not all of it is there, or the file system cannot
/// tell.
pub(super) fn read_without_waiting(open: &Open, part: &mut [u8], offset: u64) -> bool {
    if open.is_in_memory() {
        return open.file.read_exact_at(part, offset).is_ok();
    }
    let mut into = [io::IoSliceMut::new(part)];
    let flags = rustix::io::ReadWriteFlags::NOWAIT;
    let read = rustix::io::preadv2(&open.file, &mut into, offset, flags);
    read == Ok(into[0].len())
}

pub(super) fn of_file(file: FileIndex, error: &io::Error) -> DiskError {
    DiskError {
        file: Some(file),
        error: errno::io_error(error),
    }
}

pub(super) fn of_folder(error: IoError) -> DiskError {
    DiskError { file: None, error }
}

/// The spans want more bytes than the slab has.
pub(super) const MISFIT: DiskError = DiskError {
    file: None,
    error: IoError {
        kind: IoErrorKind::Other,
        code: libc::EINVAL,
    },
};

//! Walking paths below a root, without ever following a link out of it.
//!
//! The engine hands in relative paths that were checked and repaired; this is the second line of
//! defence. Either the kernel walks, and is told to follow no link and to stay below the root
//! (`openat2`), or each component is opened by itself, relative to the folder before it and with
//! `O_NOFOLLOW`, so that neither a name nor a link that somebody makes meanwhile leads elsewhere.
//! The root itself is the user's choice and may be a link.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode as Bits, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use ripcurrent_proto::api::Stamp;

use super::looks::Looks;

/// Opens folders and files below a root.
pub(super) struct Walker<'a> {
    root: &'a Path,
    /// The root, if it is open already.
    held: Option<BorrowedFd<'a>>,
    /// Whether folders that are missing are made.
    create: bool,
    /// The folder walked to last: files come in order, so most walks are short.
    last: Option<(&'a [String], OwnedFd)>,
    /// A folder that is not there and is not to be made.
    missing: Option<&'a [String]>,
    /// Called with each folder whose entries change: its components below the root.
    changed: Vec<&'a [String]>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It must be there, and is only read.
    Read,
    /// It must be there.
    Write,
    /// It must be there, and is written past the page cache.
    Direct,
    /// It must not be there, and is made.
    Create {
        /// Whether it should be executable.
        executable: bool,
    },
}

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A regular file.
    File(Stamp),
    /// A symbolic link.
    Link,
    /// A folder, a pipe, a device: nothing that a torrent's files are.
    Other,
}

impl Entry {
    /// What a regular file looks like.
    pub(super) fn file(self) -> Option<Stamp> {
        match self {
            Entry::File(stamp) => Some(stamp),
            Entry::Link | Entry::Other => None,
        }
    }
}

impl<'a> Walker<'a> {
    /// Walks below `root` and leaves everything as it is.
    pub(super) fn new(root: &'a Path) -> Self {
        Walker {
            root,
            held: None,
            create: false,
            last: None,
            missing: None,
            changed: Vec::new(),
        }
    }

    /// The same; `held` is the root, from which what is there can be reached at once.
    pub(super) fn from(self, held: Option<BorrowedFd<'a>>) -> Self {
        Walker { held, ..self }
    }

    /// The same, and makes what folders are missing.
    pub(super) fn making_folders(self) -> Self {
        Walker {
            create: true,
            ..self
        }
    }

    /// Opens the regular file `name` in `folder`.
    pub(super) fn file(
        &mut self,
        folder: &'a [String],
        name: &str,
        mode: Mode,
    ) -> io::Result<File> {
        let file = open_file(self.folder(folder)?, name, mode)?;
        if let Mode::Create { .. } = mode {
            self.changed.push(folder);
        }
        Ok(file)
    }

    /// What is called `name` in `folder`; links are not followed.
    pub(super) fn entry(&mut self, folder: &'a [String], name: &str) -> io::Result<Option<Entry>> {
        match self.folder(folder).and_then(|folder| entry(folder, name)) {
            Err(error) if nothing_there(&error) => Ok(None),
            found => found,
        }
    }

    /// What is called `name` in `folder` looks like; links are not followed.
    pub(super) fn look(&mut self, folder: &'a [String], name: &str) -> io::Result<Option<Looks>> {
        look(self.folder(folder)?, name)
    }

    /// Opens the folder at `path` below the root.
    pub(super) fn folder(&mut self, path: &'a [String]) -> io::Result<BorrowedFd<'_>> {
        let cached = self.last.as_ref().is_some_and(|(last, _)| *last == path);
        if !cached {
            if self.missing == Some(path) {
                return Err(Errno::NOENT.into());
            }
            let found = match self.reach(path) {
                Some(fd) => Ok(fd),
                None => self.walk(path),
            };
            if found.as_ref().is_err_and(is_missing) && !self.create {
                self.missing = Some(path);
            }
            self.last = Some((path, found?));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(not_a_name()),
        }
    }

    /// Gives the file `from` in `folder` the name `to`, which must be free unless it may `replace`
    /// what has it: never a folder.
    pub(super) fn rename(
        &mut self,
        folder: &'a [String],
        from: &str,
        to: &str,
        replace: bool,
    ) -> io::Result<()> {
        rename(self.folder(folder)?, from, to, replace)?;
        self.changed.push(folder);
        Ok(())
    }

    /// Makes `name` in `folder` a symbolic link to `target`, unless it is one already. What is in
    /// the way is only replaced if it may be: never a folder.
    pub(super) fn link(
        &mut self,
        folder: &'a [String],
        name: &str,
        target: &str,
        replace: bool,
    ) -> io::Result<()> {
        let fd = self.folder(folder)?;
        if !leads_to(fd, name, target)? {
            if replace {
                remove(fd, name)?;
            }
            rustix::fs::symlinkat(target, fd, name)?;
        }
        self.changed.push(folder);
        Ok(())
    }

    /// Removes the file or link `name` in `folder`; nothing there counts as removed.
    pub(super) fn remove(&mut self, folder: &'a [String], name: &str) -> io::Result<()> {
        match self.folder(folder).and_then(|folder| remove(folder, name)) {
            Err(error) if nothing_there(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Removes the folder at `path`, unless somebody else's things are in it.
    pub(super) fn remove_folder_if_empty(&mut self, path: &'a [String]) {
        self.last = None;
        if let Some((name, folder)) = path.split_last()
            && let Ok(folder) = self.folder(folder)
            && check(name).is_ok()
        {
            // It stays where it is not empty, and where it is gone already there is nothing to do.
            let _ = rustix::fs::unlinkat(folder, name.as_str(), AtFlags::REMOVEDIR);
        }
    }

    /// The folders whose entries have changed since this was called last.
    pub(super) fn take_changed(&mut self) -> Vec<&'a [String]> {
        std::mem::take(&mut self.changed)
    }

    /// The folder at `path`, if one system call finds it. Whatever is in the way, a kernel or a sandbox
    /// that does not know the call included, walking will tell.
    fn reach(&self, path: &[String]) -> Option<OwnedFd> {
        let held = self.held.filter(|_| !path.is_empty())?;
        path.iter().try_for_each(|name| check(name)).ok()?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(held, path.join("/"), flags, Bits::empty(), resolve).ok()
    }

    /// The folder at `path`, one step after the other.
    fn walk(&mut self, path: &'a [String]) -> io::Result<OwnedFd> {
        let mut fd = self.open_root()?;
        for (at, name) in path.iter().enumerate() {
            let (next, new) = self.step(fd.as_fd(), name)?;
            if new {
                self.changed.push(&path[..at]);
            }
            fd = next;
        }
        Ok(fd)
    }

    fn open_root(&self) -> io::Result<OwnedFd> {
        if self.create {
            make_root(self.root)?;
        }
        open_folder(self.root)
    }

    /// The folder `name` in `folder`, made if need be, and whether it was.
    fn step(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<(OwnedFd, bool)> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        match open(folder, name, flags, Bits::empty()) {
            Err(error) if self.create && is_missing(&error) => {
                let made = make_folder(folder, name)?;
                Ok((open(folder, name, flags, Bits::empty())?, made))
            }
            opened => Ok((opened?, false)),
        }
    }
}

/// Makes the root and the folders above it that are missing, and makes them durable: no sync
/// reaches above the root later.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    if root.is_dir() {
        return Ok(());
    }
    let above = match root.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => return Ok(()),
    };
    make_root(above)?;
    match fs::create_dir(root) {
        // Another thread was faster, or opening it tells what is in the way.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made?,
    }
    match File::open(above) {
        Ok(above) => above.sync_all(),
        // Entries can be made where none can be seen.
        Err(_) => Ok(()),
    }
}

/// Opens a folder that was named by the user; links are followed.
pub(super) fn open_folder(path: &Path) -> io::Result<OwnedFd> {
    let mut options = fs::OpenOptions::new();
    let directory = OFlags::DIRECTORY.bits().cast_signed();
    options.read(true).custom_flags(directory);
    Ok(options.open(path)?.into())
}

/// Opens the regular file `name` in `folder`.
pub(super) fn open_file(folder: BorrowedFd<'_>, name: &str, mode: Mode) -> io::Result<File> {
    let (flags, bits) = match mode {
        Mode::Read => (OFlags::RDONLY, 0),
        Mode::Write => (OFlags::RDWR, 0),
        Mode::Direct => (OFlags::WRONLY | OFlags::DIRECT, 0),
        Mode::Create { executable } => {
            let bits = if executable { 0o777 } else { 0o666 };
            (OFlags::RDWR | OFlags::CREATE | OFlags::EXCL, bits)
        }
    };
    // Opening a pipe that is in the way must not wait for somebody at its other end.
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(open(folder, name, flags, Bits::from_raw_mode(bits))?);
    // What was made just now is what it was made as.
    if matches!(mode, Mode::Create { .. }) || file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Errno::EXIST.into())
    }
}

/// What is called `name` in `folder`; links are not followed.
pub(super) fn entry(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<Entry>> {
    let looks = look(folder, name)?;
    Ok(looks.map(|looks| match looks.kind {
        FileType::RegularFile => Entry::File(looks.stamp),
        FileType::Symlink => Entry::Link,
        _ => Entry::Other,
    }))
}

/// The same in more detail.
pub(super) fn look(folder: BorrowedFd<'_>, name: &str) -> io::Result<Option<Looks>> {
    check(name)?;
    match Looks::at(folder, name) {
        Err(error) if is_missing(&error) => Ok(None),
        looks => looks.map(Some),
    }
}

/// What an open file looks like.
pub(super) fn stamp_of(file: &File) -> io::Result<Stamp> {
    Ok(Looks::of(&file.metadata()?).stamp)
}

/// Removes the file or link `name` in `folder`; nothing there counts as removed.
pub(super) fn remove(folder: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    check(name)?;
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => Ok(removed?),
    }
}

/// Gives `from` the name `to`, which must be free unless it may `replace` what has it.
pub(super) fn rename(
    folder: BorrowedFd<'_>,
    from: &str,
    to: &str,
    replace: bool,
) -> io::Result<()> {
    check(from)?;
    check(to)?;
    if replace {
        return Ok(rustix::fs::renameat(folder, from, folder, to)?);
    }
    match rustix::fs::renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        // This file system, or the kernel, cannot do both in one step.
        Err(Errno::INVAL | Errno::NOSYS) => rename_if_free(folder, from, to),
        renamed => Ok(renamed?),
    }
}

/// The same in two steps: what somebody puts there between them is lost.
fn rename_if_free(folder: BorrowedFd<'_>, from: &str, to: &str) -> io::Result<()> {
    if entry(folder, to)?.is_some() {
        return Err(Errno::EXIST.into());
    }
    Ok(rustix::fs::renameat(folder, from, folder, to)?)
}

fn open(folder: BorrowedFd<'_>, name: &str, flags: OFlags, bits: Bits) -> io::Result<OwnedFd> {
    check(name)?;
    let flags = flags | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(folder, name, flags, bits)?)
}

/// Makes a folder; whether it was new.
fn make_folder(folder: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    check(name)?;
    match rustix::fs::mkdirat(folder, name, Bits::from_raw_mode(0o777)) {
        // Another thread was faster.
        Err(Errno::EXIST) => Ok(false),
        made => Ok(made.map(|()| true)?),
    }
}

/// Whether `name` is a link to exactly `target`.
fn leads_to(folder: BorrowedFd<'_>, name: &str, target: &str) -> io::Result<bool> {
    check(name)?;
    match rustix::fs::readlinkat(folder, name, Vec::new()) {
        Ok(there) => Ok(there.as_bytes() == target.as_bytes()),
        // It is not there, or no link.
        Err(Errno::NOENT | Errno::INVAL) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// One name, and nothing that could mean more.
fn check(name: &str) -> io::Result<()> {
    let more = name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']);
    if more { Err(not_a_name()) } else { Ok(()) }
}

fn not_a_name() -> io::Error {
    Errno::ACCESS.into()
}

/// Whether an error says that there is no such file or folder.
pub(super) fn is_missing(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENOENT)
}

/// Whether an error of a look at a path says that nothing of ours is there.
pub(super) fn nothing_there(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
    )
}

/// Whether an error of opening a file says that there is none: nothing has its name, or something
/// that is no file.
pub(super) fn is_no_file(error: &io::Error) -> bool {
    let something_else = matches!(
        error.raw_os_error(),
        Some(libc::EISDIR | libc::EEXIST | libc::ENXIO)
    );
    something_else || nothing_there(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREATE: Mode = Mode::Create { executable: false };

    fn path(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| String::from(*part)).collect()
    }

    /// Names that the engine should never let through are refused here too.
    #[test]
    fn hostile_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("below");
        for hostile in ["..", ".", "a/../../out", "nul\0", ""] {
            let folder = path(&[hostile]);
            let mut walker = Walker::new(&below).making_folders();
            let errors = [
                walker.file(&[], hostile, CREATE).map(|_| ()),
                walker.file(&folder, "out", CREATE).map(|_| ()),
                walker.link(&[], hostile, "out", false),
                walker.remove(&[], hostile),
                walker.rename(&[], hostile, "out", false),
                walker.rename(&[], "in", hostile, true),
            ];
            for error in errors {
                assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EACCES));
            }
        }
        assert!(!root.path().join("out").exists());
    }

    /// A pipe where a file should be neither blocks nor is written to.
    #[test]
    fn a_pipe_in_the_way_is_told_at_once() {
        let root = tempfile::tempdir().unwrap();
        let pipe = root.path().join("pipe");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Bits::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        for mode in [Mode::Read, Mode::Write, CREATE] {
            let error = Walker::new(root.path()).file(&[], "pipe", mode);
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EEXIST));
        }
    }

    /// Each folder whose entries change is told once, so that it can be synced.
    #[test]
    fn folders_with_changed_entries_are_told() {
        let root = tempfile::tempdir().unwrap();
        let folder = path(&["a", "b"]);
        let mut walker = Walker::new(root.path()).making_folders();
        walker.file(&folder, "file", CREATE).unwrap();
        let folders = [&folder[..0], &folder[..1], &folder[..2]];
        assert_eq!(walker.take_changed(), folders);
        walker.file(&folder, "file", Mode::Write).unwrap();
        assert_eq!(walker.take_changed(), Vec::<&[String]>::new());
        walker.rename(&folder, "file", "other", false).unwrap();
        assert_eq!(walker.take_changed(), [&folder[..]]);
    }

    /// Held or not, a root leads to the same folders, and to none that a link leads to: not even to one
    /// below it.
    #[test]
    fn the_kernel_walks_as_we_do() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), "content").unwrap();
        std::os::unix::fs::symlink("a", root.path().join("link")).unwrap();
        let held = open_folder(root.path()).unwrap();
        let paths = [
            "a/b", "a", "a/c", "link/b", "link", "a/../a/b", "a/b/file", "a//b", "/a",
        ];
        for parts in paths {
            let parts: Vec<String> = parts.split('/').map(String::from).collect();
            let mut walkers = [
                Walker::new(root.path()),
                Walker::new(root.path()).from(Some(held.as_fd())),
            ];
            let [walked, reached] = walkers.each_mut().map(|walker| {
                let found = walker
                    .folder(&parts)
                    .and_then(|folder| Looks::at(folder, "."));
                found.map_err(|error| error.raw_os_error())
            });
            assert_eq!(walked, reached, "{parts:?}");
            let is_there = matches!(parts.join("/").as_str(), "a/b" | "a");
            assert_eq!(reached.is_ok(), is_there);
        }
    }

    /// A folder that is not there is looked for once, and made by who makes folders.
    #[test]
    fn what_is_missing_is_looked_for_once() {
        let root = tempfile::tempdir().unwrap();
        let folder = path(&["a"]);
        let mut walker = Walker::new(root.path());
        assert_eq!(walker.entry(&folder, "file").unwrap(), None);
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/file"), "").unwrap();
        assert_eq!(walker.entry(&folder, "file").unwrap(), None);
        let mut anew = Walker::new(root.path()).making_folders();
        assert!(anew.entry(&folder, "file").unwrap().is_some());
    }

    /// In one step or in two, a name that is taken stays with what has it.
    #[test]
    fn nothing_is_renamed_over() {
        let root = tempfile::tempdir().unwrap();
        let at = |name| root.path().join(name);
        fs::write(at("from"), "from").unwrap();
        fs::write(at("to"), "to").unwrap();
        let folder = open_folder(root.path()).unwrap();
        for rename in [|f, a, b| rename(f, a, b, false), rename_if_free] {
            let error = rename(folder.as_fd(), "from", "to").unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EEXIST));
        }
        assert_eq!(fs::read(at("to")).unwrap(), b"to");
        rename_if_free(folder.as_fd(), "from", "free").unwrap();
        rename(folder.as_fd(), "free", "to", true).unwrap();
        assert_eq!(fs::read(at("to")).unwrap(), b"from");
    }
}

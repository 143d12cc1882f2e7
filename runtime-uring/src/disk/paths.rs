//! Walking paths below a root, without ever following a link out of it.
//!
//! The engine hands in relative paths that were checked and repaired; this is the second line of
//! defence. Each component is opened by itself, relative to the folder before it and with
//! `O_NOFOLLOW`, so that neither a name nor a link that somebody makes meanwhile leads elsewhere.
//! The root itself is the user's choice and may be a link.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens folders and files below a root.
pub(super) struct Walker<'a> {
    root: &'a Path,
    /// Whether folders that are missing are made.
    create: bool,
    /// The folder walked to last: files come in order, so most walks are short.
    last: Option<(&'a [String], OwnedFd)>,
    /// Called with each folder that gets a new entry: its components below the root.
    created_in: Vec<&'a [String]>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It must be there, and is only read.
    Read,
    /// It is made if it is not there.
    Create {
        /// Whether it should be executable where it is made.
        executable: bool,
    },
}

impl<'a> Walker<'a> {
    pub(super) fn new(root: &'a Path, create: bool) -> Self {
        Walker {
            root,
            create,
            last: None,
            created_in: Vec::new(),
        }
    }

    /// Opens the regular file at `path` below the root.
    pub(super) fn file(&mut self, path: &'a [String], mode: Mode) -> io::Result<File> {
        let (name, folder) = path.split_last().ok_or_else(not_a_name)?;
        let (fd, new) = {
            let folder_fd = self.folder(folder)?;
            open_file(folder_fd, name, mode)?
        };
        if new {
            self.created_in.push(folder);
        }
        let file = File::from(fd);
        if file.metadata()?.is_file() {
            Ok(file)
        } else {
            Err(io::Error::from_raw_os_error(libc::EEXIST))
        }
    }

    /// The length of the regular file at `path`; `None` if there is nothing, or something else.
    pub(super) fn file_len(&mut self, path: &'a [String]) -> io::Result<Option<u64>> {
        let (name, folder) = path.split_last().ok_or_else(not_a_name)?;
        let opened = self
            .folder(folder)
            .and_then(|folder| open(folder, name, libc::O_PATH | libc::O_NOFOLLOW));
        match opened {
            Ok(fd) => {
                let metadata = File::from(fd).metadata()?;
                Ok(metadata.is_file().then_some(metadata.len()))
            }
            Err(error) if nothing_there(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the folder at `path` below the root.
    pub(super) fn folder(&mut self, path: &'a [String]) -> io::Result<BorrowedFd<'_>> {
        let cached = self.last.as_ref().is_some_and(|(last, _)| *last == path);
        if !cached {
            let mut fd = self.open_root()?;
            for (at, name) in path.iter().enumerate() {
                let (next, new) = self.step(fd.as_fd(), name)?;
                if new {
                    self.created_in.push(&path[..at]);
                }
                fd = next;
            }
            self.last = Some((path, fd));
        }
        match &self.last {
            Some((_, fd)) => Ok(fd.as_fd()),
            None => Err(not_a_name()),
        }
    }

    /// Removes the file or link at `path`; nothing there counts as removed.
    pub(super) fn remove_file(&mut self, path: &'a [String]) -> io::Result<()> {
        let (name, folder) = path.split_last().ok_or_else(not_a_name)?;
        let removed = self
            .folder(folder)
            .and_then(|folder| remove(folder, name, 0));
        match removed {
            Err(error) if nothing_there(&error) => Ok(()),
            removed => removed,
        }
    }

    /// Removes the folder at `path`, unless somebody else's things are in it.
    pub(super) fn remove_folder_if_empty(&mut self, path: &'a [String]) {
        self.last = None;
        if let Some((name, folder)) = path.split_last()
            && let Ok(folder) = self.folder(folder)
        {
            // It stays where it is not empty, and where it is gone already there is nothing to do.
            let _ = remove(folder, name, libc::AT_REMOVEDIR);
        }
    }

    /// The folders that got new entries since this was called last.
    pub(super) fn take_created_in(&mut self) -> Vec<&'a [String]> {
        std::mem::take(&mut self.created_in)
    }

    fn open_root(&self) -> io::Result<OwnedFd> {
        if self.create {
            fs::create_dir_all(self.root)?;
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY);
        Ok(options.open(self.root)?.into())
    }

    /// The folder `name` in `folder`, made if need be, and whether it was.
    fn step(&self, folder: BorrowedFd<'_>, name: &str) -> io::Result<(OwnedFd, bool)> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NOFOLLOW;
        match open(folder, name, flags) {
            Err(error) if self.create && error.raw_os_error() == Some(libc::ENOENT) => {
                let made = make_folder(folder, name)?;
                Ok((open(folder, name, flags)?, made))
            }
            opened => Ok((opened?, false)),
        }
    }
}

/// Opens the file `name` in `folder`, and whether it was made.
fn open_file(folder: BorrowedFd<'_>, name: &str, mode: Mode) -> io::Result<(OwnedFd, bool)> {
    // Opening a pipe that is in the way must not wait for somebody at its other end.
    let common = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match mode {
        Mode::Read => Ok((open(folder, name, libc::O_RDONLY | common)?, false)),
        Mode::Create { executable } => {
            let bits = if executable { 0o777 } else { 0o666 };
            let flags = libc::O_RDWR | common;
            match open(folder, name, flags) {
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    let made = open_with(folder, name, flags | libc::O_CREAT, bits)?;
                    Ok((made, true))
                }
                opened => Ok((opened?, false)),
            }
        }
    }
}

fn open(folder: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> io::Result<OwnedFd> {
    open_with(folder, name, flags, 0)
}

fn open_with(
    folder: BorrowedFd<'_>,
    name: &str,
    flags: libc::c_int,
    bits: libc::mode_t,
) -> io::Result<OwnedFd> {
    let name = component(name)?;
    let flags = flags | libc::O_CLOEXEC;
    // SAFETY: `name` ends in NUL and lives through the call; the folder is an open descriptor.
    let fd = unsafe { libc::openat(folder.as_raw_fd(), name.as_ptr(), flags, bits) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new, valid and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes a folder; whether it was new.
fn make_folder(folder: BorrowedFd<'_>, name: &str) -> io::Result<bool> {
    let name = component(name)?;
    // SAFETY: `name` ends in NUL and lives through the call; the folder is an open descriptor.
    let result = unsafe { libc::mkdirat(folder.as_raw_fd(), name.as_ptr(), 0o777) };
    if result == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        // Another thread was faster.
        error if error.raw_os_error() == Some(libc::EEXIST) => Ok(false),
        error => Err(error),
    }
}

fn remove(folder: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> io::Result<()> {
    let name = component(name)?;
    // SAFETY: `name` ends in NUL and lives through the call; the folder is an open descriptor.
    match unsafe { libc::unlinkat(folder.as_raw_fd(), name.as_ptr(), flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One name, and nothing that could mean more.
fn component(name: &str) -> io::Result<CString> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(not_a_name());
    }
    CString::new(name).map_err(|_nul| not_a_name())
}

fn not_a_name() -> io::Error {
    io::Error::from_raw_os_error(libc::EACCES)
}

/// Whether an error of a look at a path says that nothing of ours is there.
fn nothing_there(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(parts: &[&str]) -> Vec<String> {
        parts.iter().map(|part| String::from(*part)).collect()
    }

    /// Names that the engine should never let through are refused here too.
    #[test]
    fn hostile_names_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("below");
        let create = Mode::Create { executable: false };
        for hostile in [
            &["..", "out"][..],
            &["."],
            &["a/../../out"],
            &["nul\0"],
            &[""],
            &[],
        ] {
            let hostile = path(hostile);
            let error = Walker::new(&below, true).file(&hostile, create);
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EACCES));
        }
        assert!(!root.path().join("out").exists());
    }

    /// A pipe where a file should be neither blocks nor is written to.
    #[test]
    fn a_pipe_in_the_way_is_told_at_once() {
        let root = tempfile::tempdir().unwrap();
        let pipe = CString::new(root.path().join("pipe").to_str().unwrap()).unwrap();
        // SAFETY: the path ends in NUL and lives through the call.
        assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
        let name = path(&["pipe"]);
        for mode in [Mode::Read, Mode::Create { executable: false }] {
            let error = Walker::new(root.path(), false).file(&name, mode);
            assert_eq!(error.unwrap_err().raw_os_error(), Some(libc::EEXIST));
        }
    }

    /// Each folder with a new entry is told once, so that it can be synced.
    #[test]
    fn folders_with_new_entries_are_told() {
        let root = tempfile::tempdir().unwrap();
        let file = path(&["a", "b", "file"]);
        let mut walker = Walker::new(root.path(), true);
        walker
            .file(&file, Mode::Create { executable: false })
            .unwrap();
        let folders = [&file[..0], &file[..1], &file[..2]];
        assert_eq!(walker.take_created_in(), folders);
        walker
            .file(&file, Mode::Create { executable: false })
            .unwrap();
        assert_eq!(walker.take_created_in(), Vec::<&[String]>::new());
    }
}

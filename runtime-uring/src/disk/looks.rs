//! What the system knows of a name, without opening what has it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;

use ripcurrent_proto::api::Stamp;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Statx, StatxFlags, openat, statx};
use rustix::io::Errno;

/// What has a name, or is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Looks {
    pub(super) kind: FileType,
    pub(super) stamp: Stamp,
    /// Which one of all it is: the file system it lies on, and its number there.
    pub(super) identity: (Device, u64),
}

/// A file system, by the numbers of its device.
pub(super) type Device = (u32, u32);

impl Looks {
    /// Of `name` in `folder`; links are not followed. Nothing is opened to read or write: a lock of
    /// this process on the file stays.
    pub(super) fn at(folder: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let (flags, wanted) = (AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
        match statx(folder, name, flags, wanted) {
            Ok(known) => Ok(Looks::from_statx(&known)),
            // A kernel or a sandbox that does not know the call.
            Err(Errno::NOSYS | Errno::PERM) => Looks::by_opening(folder, name),
            Err(error) => Err(error.into()),
        }
    }

    fn by_opening(folder: BorrowedFd<'_>, name: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let found = openat(folder, name, flags, Mode::empty())?;
        Ok(Looks::of(&File::from(found).metadata()?))
    }

    /// Of what is open.
    pub(super) fn of(known: &Metadata) -> Self {
        let device = known.dev();
        Looks {
            kind: FileType::from_raw_mode(known.mode()),
            stamp: stamp(known.len(), known.mtime(), known.mtime_nsec()),
            identity: (
                (rustix::fs::major(device), rustix::fs::minor(device)),
                known.ino(),
            ),
        }
    }

    fn from_statx(known: &Statx) -> Self {
        let modified = &known.stx_mtime;
        Looks {
            kind: FileType::from_raw_mode(known.stx_mode.into()),
            stamp: stamp(known.stx_size, modified.tv_sec, modified.tv_nsec.into()),
            identity: ((known.stx_dev_major, known.stx_dev_minor), known.stx_ino),
        }
    }

    pub(super) fn device(&self) -> Device {
        self.identity.0
    }
}

/// `modified`, in seconds, and `nanoseconds` of the next one.
fn stamp(len: u64, modified: i64, nanoseconds: i64) -> Stamp {
    let modified = modified
        .saturating_mul(1_000_000_000)
        .saturating_add(nanoseconds);
    Stamp {
        len,
        // What claims to be from before 1970 is all the same.
        modified: u64::try_from(modified).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;

    use super::*;
    use crate::disk::paths::open_folder;

    /// Whichever call is asked, and whether the file is open or not, it looks the same; a link is
    /// looked at itself.
    #[test]
    fn every_way_to_look_sees_the_same() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "content").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("file", folder.path().join("link")).unwrap();
        let root = open_folder(folder.path()).unwrap();
        for (name, kind) in [
            ("file", FileType::RegularFile),
            ("folder", FileType::Directory),
            ("link", FileType::Symlink),
        ] {
            let looks = Looks::at(root.as_fd(), name).unwrap();
            assert_eq!(looks.kind, kind);
            assert_eq!(looks, Looks::by_opening(root.as_fd(), name).unwrap());
            let known = fs::symlink_metadata(folder.path().join(name)).unwrap();
            assert_eq!(looks, Looks::of(&known));
        }
        for look in [Looks::at, Looks::by_opening] {
            let missing = look(root.as_fd(), "missing").unwrap_err();
            assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        }
    }
}

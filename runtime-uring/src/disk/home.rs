//! Where a storage keeps its state and what is aside: beside its files, hidden, or in a folder for
//! the states of all storages where nothing can be made beside them.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use ripcurrent_proto::meta::layout::Layout;
use ripcurrent_proto::meta::parts::{ASIDE, STATE, beside};
use sha1::{Digest, Sha1};

use super::paths::{entry, make_root, open_folder, remove};

/// What the name of a state ends with while it is being written.
const NEW: &str = ".ripcurrent-new";

/// A folder and the names of one storage's files in it.
pub(super) struct Home {
    folder: OwnedFd,
    /// Whether the folder is the storage's root.
    is_root: bool,
    pub(super) state: String,
    /// The next state, until it is whole.
    pub(super) new: String,
    pub(super) aside: String,
}

/// What tells a state from every other one, under whatever path its folder is reached.
pub(super) type Identity = (u64, u64, String);

impl Home {
    /// In the root folder, which is made if need be and it may be.
    pub(super) fn beside(root: &Path, layout: &Layout, make: bool) -> io::Result<Self> {
        if make {
            make_root(root)?;
        }
        Ok(Home {
            folder: open_folder(root)?,
            is_root: true,
            state: beside(layout, STATE),
            new: beside(layout, NEW),
            aside: beside(layout, ASIDE),
        })
    }

    /// In a folder for the states of all storages, which only its owner may look into.
    pub(super) fn elsewhere(
        folder: &Path,
        root: &Path,
        info_hash: [u8; 20],
        make: bool,
    ) -> io::Result<Self> {
        if make {
            make_folder(folder)?;
        }
        let name = name_of(root, info_hash);
        Ok(Home {
            folder: open_folder(folder)?,
            is_root: false,
            state: format!("{name}{STATE}"),
            new: format!("{name}{NEW}"),
            aside: format!("{name}{ASIDE}"),
        })
    }

    pub(super) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// The root of the storage, if that is the folder.
    pub(super) fn root(&self) -> Option<BorrowedFd<'_>> {
        self.is_root.then(|| self.folder.as_fd())
    }

    pub(super) fn identity(&self) -> io::Result<Identity> {
        let metadata = File::from(self.folder.try_clone()?).metadata()?;
        Ok((metadata.dev(), metadata.ino(), self.state.clone()))
    }

    /// Makes the entries of the folder durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    /// Removes everything; what is not there counts as removed.
    pub(super) fn clear(&self) -> io::Result<()> {
        // A state without what is aside would promise too much, not the other way round.
        for name in [&self.new, &self.state, &self.aside] {
            // A folder that cannot be written says so even of what is not there.
            if entry(self.folder(), name)?.is_some() {
                remove(self.folder(), name)?;
            }
        }
        Ok(())
    }
}

/// Makes the folder for states, which only its owner may look into.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(folder)
}

/// What the states of a torrent below `root` are called there, but for their endings.
pub(super) fn name_of(root: &Path, info_hash: [u8; 20]) -> String {
    // One folder has many paths.
    let root = fs::canonicalize(root).unwrap_or_else(|_| root.into());
    let digest = Sha1::digest(root.as_os_str().as_encoded_bytes());
    format!("{}-{}", hex(&info_hash), hex(&digest[..8]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

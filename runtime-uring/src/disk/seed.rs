//! The state of a storage to read: a small file in the folder for states, below nobody's data.
//!
//! Nobody holds it: several processes may seed the same, and whoever saves last counts. It is written
//! under a name of its own and renamed, so that nobody reads half of one. It is not synced: what a
//! loss of power makes of it is told by its digest, and costs a look at the files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::home::{make_folder, name_of};
use super::paths::{Mode, is_missing, open_file, open_folder, remove, rename};

/// What the name of such a state ends with.
const SEED: &str = ".ripcurrent-seed";

/// Tells the files apart that threads of this process write at once.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

/// Where such a state lies, whether it is there or not.
pub(super) struct SeedState {
    folder: OwnedFd,
    name: String,
}

impl SeedState {
    /// In the folder for states, which is made if need be and it may be.
    pub(super) fn at(
        folder: &Path,
        root: &Path,
        info_hash: [u8; 20],
        make: bool,
    ) -> io::Result<Self> {
        if make {
            make_folder(folder)?;
        }
        Ok(SeedState {
            folder: open_folder(folder)?,
            name: format!("{}{SEED}", name_of(root, info_hash)),
        })
    }

    /// What was saved last, of at most `most` bytes.
    pub(super) fn content(&self, most: usize) -> io::Result<Option<Vec<u8>>> {
        let file = match open_file(self.folder.as_fd(), &self.name, Mode::Read) {
            Err(error) if is_missing(&error) => return Ok(None),
            opened => opened?,
        };
        let mut content = Vec::new();
        let one_more = (most as u64).saturating_add(1);
        file.take(one_more).read_to_end(&mut content)?;
        Ok(Some(content).filter(|content| content.len() <= most))
    }

    /// Replaces it in one step.
    pub(super) fn replace(&self, content: &[u8]) -> io::Result<()> {
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let new = format!("{}-{}-{number}", self.name, std::process::id());
        // Left by a process of the same number that was killed.
        remove(self.folder.as_fd(), &new)?;
        let written = self.write(&new, content);
        let replaced = written.and_then(|()| rename(self.folder.as_fd(), &new, &self.name, true));
        replaced.inspect_err(|_| {
            // Its room may be what the disk lacks.
            let _ = remove(self.folder.as_fd(), &new);
        })
    }

    /// Removes it; what is not there counts as removed.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(self.folder.as_fd(), &self.name)
    }

    fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let create = Mode::Create { executable: false };
        let mut file: File = open_file(self.folder.as_fd(), name, create)?;
        file.write_all(content)
    }
}

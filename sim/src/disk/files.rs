//! What lies on the platter.

use std::sync::{Arc, Mutex, MutexGuard};

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::meta::layout::FileEntry;

use super::file::File;
use super::tree::Tree;
use crate::content::known::Known;

/// What lies on a host's disk. Clones look at the same disk.
#[derive(Clone, Debug, Default)]
pub struct Files {
    tree: Arc<Mutex<Tree>>,
    /// The torrent whose files are kept compact.
    known: Option<Arc<Known>>,
}

impl Files {
    /// An empty disk in a compact world.
    pub(crate) fn compact(known: Arc<Known>) -> Self {
        Files {
            tree: Arc::default(),
            known: Some(known),
        }
    }

    /// Puts a file there, in place of one that was there.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if its path leads through a file or ends at a folder.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), IoErrorKind> {
        self.place(path, File::Bytes(bytes))
    }

    /// Puts a whole file of a compact torrent there.
    pub(crate) fn put_known(
        &self,
        path: &str,
        known: &Arc<Known>,
        entry: &FileEntry,
    ) -> Result<(), IoErrorKind> {
        let mut file = File::compact(known, entry);
        file.complete();
        self.place(path, file)
    }

    /// Makes a folder and those it needs.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if a file is there.
    pub fn make_folder(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().make_folder(path)
    }

    /// Makes a symbolic link. Where it leads makes no difference: no link is ever followed.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if something is there already.
    pub fn link(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().make_link(path)
    }

    /// The bytes of a file that is there.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().file(path).ok().map(File::to_bytes)
    }

    /// Whether a file is there and holds these bytes.
    pub(crate) fn has(&self, path: &str, bytes: &[u8]) -> bool {
        self.lock().file(path).is_ok_and(|file| file.is(bytes))
    }

    /// Whether a whole file of a compact torrent is there.
    pub(crate) fn has_known(&self, path: &str, known: &Known, entry: &FileEntry) -> bool {
        let tree = self.lock();
        tree.file(path)
            .is_ok_and(|file| file.is_known(known, entry))
    }

    pub(super) fn known(&self) -> Option<&Arc<Known>> {
        self.known.as_ref()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().expect("nobody panics while holding it")
    }

    fn place(&self, path: &str, file: File) -> Result<(), IoErrorKind> {
        *self.lock().file_or_new(path, || File::zeros(0))? = file;
        Ok(())
    }
}

//! What a power cut would take: what has changed since the last sync.

use std::collections::BTreeSet;

use ripcurrent_proto::meta::layout::FileIndex;

/// Files and folders that are to be synced.
#[derive(Default)]
pub(super) struct Unsynced {
    pub(super) files: BTreeSet<u32>,
    /// Folders whose entries have changed: their components below the root.
    pub(super) folders: BTreeSet<Vec<String>>,
    /// Whether what is aside has changed, or the folder it is in.
    pub(super) aside: bool,
}

impl Unsynced {
    pub(super) fn file(&mut self, file: FileIndex) {
        self.files.insert(file.0);
    }

    pub(super) fn folders<'a>(&mut self, folders: impl IntoIterator<Item = &'a [String]>) {
        for folder in folders {
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_vec());
            }
        }
    }

    pub(super) fn append(&mut self, mut other: Unsynced) {
        self.files.append(&mut other.files);
        self.folders.append(&mut other.folders);
        self.aside |= other.aside;
    }
}

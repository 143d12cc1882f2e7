//! Where a torrent's files lie, and what is kept beside them.

use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, Layout};
use ripcurrent_proto::meta::parts::{ASIDE, STATE, beside, part_names};

/// The paths of everything that belongs to a torrent.
#[derive(Debug)]
pub(crate) struct Places {
    /// Of each file of the layout.
    files: Vec<Place>,
    /// That of who writes.
    pub(crate) state: String,
    /// Bytes of files that are not wanted, where they lie in the torrent.
    pub(crate) aside: String,
}

/// The two paths of a file.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) own: String,
    /// While it is not finished.
    pub(crate) part: String,
}

impl Places {
    /// Those of a torrent below `root`.
    pub(crate) fn new(root: &str, layout: &Layout) -> Self {
        let files = layout.files().iter().zip(part_names(layout));
        let files = files.map(|(entry, part)| Place::new(root, entry, &part));
        Places {
            files: files.collect(),
            state: format!("{root}/{}", beside(layout, STATE)),
            aside: format!("{root}/{}", beside(layout, ASIDE)),
        }
    }

    pub(crate) fn of(&self, file: FileIndex) -> &Place {
        &self.files[file.at()]
    }
}

impl Place {
    /// That of a file below `root`, with the last component of its name while it is not finished.
    pub(crate) fn new(root: &str, file: &FileEntry, part: &str) -> Self {
        Place {
            own: path_of(root, file),
            part: format!("{root}/{}", file.path_with_name(part).join("/")),
        }
    }
}

/// The path of a torrent's finished file below `root`.
#[must_use]
pub fn path_of(root: &str, file: &FileEntry) -> String {
    format!("{root}/{}", file.path_string())
}

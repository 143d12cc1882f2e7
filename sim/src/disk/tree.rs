//! Names: folders, links and files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ripcurrent_proto::api::IoErrorKind;

use super::file::File;

/// Everything by its whole path, with `/` between components.
///
/// Invariant: what a path leads through is a folder and is listed as well.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<String, Node>);

#[derive(Debug)]
enum Node {
    Folder,
    File(File),
    Link,
}

impl Tree {
    pub(super) fn file(&self, path: &str) -> Result<&File, IoErrorKind> {
        match self.0.get(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder | Node::Link) => Err(IoErrorKind::InTheWay),
            None => {
                let solid = |node| !matches!(node, &Node::Folder);
                let blocked = prefixes(path)
                    .filter_map(|folder| self.0.get(folder))
                    .any(solid);
                Err(match blocked {
                    true => IoErrorKind::InTheWay,
                    false => IoErrorKind::NotFound,
                })
            }
        }
    }

    /// Removes the file at `path`, if there is one, and the folders that this leaves empty.
    pub(super) fn remove(&mut self, path: &str) {
        if !matches!(self.0.get(path), Some(Node::File(_))) {
            return;
        }
        self.0.remove(path);
        let mut left = path;
        while let Some((folder, _)) = left.rsplit_once('/') {
            let inside = format!("{folder}/");
            let next = self.0.range(inside.clone()..).next();
            if next.is_some_and(|(path, _)| path.starts_with(&inside)) {
                return;
            }
            self.0.remove(folder);
            left = folder;
        }
    }

    /// The file at `path`; `blank` if it is not there.
    pub(super) fn file_or_new(
        &mut self,
        path: &str,
        blank: impl FnOnce() -> File,
    ) -> Result<&mut File, IoErrorKind> {
        if !self.0.contains_key(path) {
            self.make(path, Node::File(blank()))?;
        }
        match self.0.get_mut(path) {
            Some(Node::File(file)) => Ok(file),
            _ => Err(IoErrorKind::InTheWay),
        }
    }

    pub(super) fn make_folder(&mut self, path: &str) -> Result<(), IoErrorKind> {
        for folder in prefixes(path).chain([path]) {
            let node = self.0.entry(folder.to_owned()).or_insert(Node::Folder);
            if !matches!(node, Node::Folder) {
                return Err(IoErrorKind::InTheWay);
            }
        }
        Ok(())
    }

    pub(super) fn make_link(&mut self, path: &str) -> Result<(), IoErrorKind> {
        self.make(path, Node::Link)
    }

    /// Puts a new node where nothing is, and makes the folders it needs.
    fn make(&mut self, path: &str, node: Node) -> Result<(), IoErrorKind> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.make_folder(folder)?;
        }
        match self.0.entry(path.to_owned()) {
            Entry::Vacant(place) => {
                place.insert(node);
                Ok(())
            }
            Entry::Occupied(_) => Err(IoErrorKind::InTheWay),
        }
    }
}

/// The folders that `path` leads through, the outermost first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

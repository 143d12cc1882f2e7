//! Names: folders, links and files.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::base::rng::Rng;

use super::file::File;

/// Everything by its whole path, with `/` between components.
///
/// Folders and links are durable as soon as they are made.
///
/// Invariant: what a path leads through is a folder and is listed as well; `taken` is what the
/// files take.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// Files that were removed, and are still on the platter.
    ghosts: BTreeMap<String, File>,
    /// Bytes of the disk that files take.
    taken: u64,
}

#[derive(Debug)]
enum Node {
    Folder,
    File(Box<File>),
    Link,
}

impl Tree {
    /// Bytes of the disk that files take.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Counts what a file has taken.
    pub(super) fn take(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    pub(super) fn file(&self, path: &str) -> Result<&File, IoErrorKind> {
        match self.nodes.get(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder | Node::Link) => Err(IoErrorKind::InTheWay),
            None => {
                let solid = |node| !matches!(node, &Node::Folder);
                let blocked = prefixes(path)
                    .filter_map(|folder| self.nodes.get(folder))
                    .any(solid);
                Err(match blocked {
                    true => IoErrorKind::InTheWay,
                    false => IoErrorKind::NotFound,
                })
            }
        }
    }

    /// The files that are there, in the order of their paths.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut File> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(&mut **file),
            Node::Folder | Node::Link => None,
        })
    }

    /// Whether something is at `path`.
    pub(super) fn has(&self, path: &str) -> bool {
        self.nodes.contains_key(path)
    }

    /// The file at `path`.
    pub(super) fn file_mut(&mut self, path: &str) -> Result<&mut File, IoErrorKind> {
        match self.nodes.get_mut(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder | Node::Link) => Err(IoErrorKind::InTheWay),
            None => Err(IoErrorKind::NotFound),
        }
    }

    /// Puts a file where nothing is.
    pub(super) fn make_file(&mut self, path: &str, file: File) -> Result<(), IoErrorKind> {
        let taken = file.taken();
        self.make(path, Node::File(Box::new(file)))?;
        self.taken += taken;
        Ok(())
    }

    /// Puts a file there, in place of one that was there.
    pub(super) fn put(&mut self, path: &str, file: File) -> Result<(), IoErrorKind> {
        self.ghosts.remove(path);
        if !self.has(path) {
            return self.make_file(path, file);
        }
        let place = self.file_mut(path)?;
        let (new, old) = (file.taken(), place.taken());
        *place = file;
        self.taken = self.taken + new - old;
        Ok(())
    }

    /// Removes the file at `path`, if there is one, and the folders that this leaves empty.
    pub(super) fn remove(&mut self, path: &str) {
        let Ok(file) = self.file_mut(path) else {
            return;
        };
        let taken = file.taken();
        self.taken -= taken;
        if let Some(Node::File(file)) = self.nodes.remove(path)
            && file.is_durable()
        {
            self.ghosts.insert(path.to_owned(), *file);
        }
        let mut left = path;
        while let Some((folder, _)) = left.rsplit_once('/') {
            let inside = format!("{folder}/");
            let next = self.nodes.range(inside.clone()..).next();
            if next.is_some_and(|(path, _)| path.starts_with(&inside)) {
                return;
            }
            self.nodes.remove(folder);
            left = folder;
        }
    }

    /// Makes what became of a path durable.
    pub(super) fn sync(&mut self, path: &str) {
        self.ghosts.remove(path);
        if let Ok(file) = self.file_mut(path) {
            file.sync();
        }
    }

    /// Goes back to what is on the platter and a part of what was done since.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        self.nodes.retain(|_, node| match node {
            Node::File(file) => file.lose_power(rng),
            Node::Folder | Node::Link => true,
        });
        for (path, mut ghost) in std::mem::take(&mut self.ghosts) {
            let is_back = rng.below(2) == 0 && ghost.lose_power(rng);
            // Where something else is in its place by now, it stays away.
            if is_back && !self.nodes.contains_key(&path) {
                self.make(&path, Node::File(Box::new(ghost))).ok();
            }
        }
        self.taken = self.files_mut().map(|file| file.taken()).sum();
    }

    pub(super) fn make_folder(&mut self, path: &str) -> Result<(), IoErrorKind> {
        for folder in prefixes(path).chain([path]) {
            let node = self.nodes.entry(folder.to_owned()).or_insert(Node::Folder);
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
        match self.nodes.entry(path.to_owned()) {
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

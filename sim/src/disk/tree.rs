//! Names: folders, links and files.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::base::rng::Rng;

use super::file::File;
use super::places::Place;

/// Everything by its whole path, with `/` between components.
///
/// Folders are durable as soon as they are made.
///
/// Invariant: what a path leads through is a folder and is listed as well; `taken` is what the
/// files take.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: BTreeMap<String, Node>,
    /// What was done to names and is not on the platter yet, in its order.
    changes: Vec<Change>,
    /// What processes hold against others.
    held: BTreeMap<String, Weak<()>>,
    /// Bytes of the disk that files take.
    taken: u64,
    /// The time of the last change of a file's content. No two changes have the same.
    time: u64,
}

#[derive(Debug)]
enum Node {
    Folder,
    File(Box<File>),
    Link,
}

/// Something done to names, and what it takes to undo it.
#[derive(Debug)]
enum Change {
    /// A node was put where nothing was.
    Made(String),
    Removed(String, Node),
    Renamed {
        from: String,
        to: String,
        /// What had that name before.
        replaced: Option<Node>,
    },
}

impl Change {
    fn paths(&self) -> impl Iterator<Item = &String> {
        let (path, other) = match self {
            Change::Made(path) | Change::Removed(path, _) => (path, None),
            Change::Renamed { from, to, .. } => (from, Some(to)),
        };
        [path].into_iter().chain(other)
    }

    fn touches(&self, paths: &BTreeSet<String>) -> bool {
        self.paths().any(|path| paths.contains(path))
    }
}

/// A claim on a path. It ends when this is dropped, which is when its process ends.
#[derive(Debug)]
pub(super) struct Hold {
    _alive: Arc<()>,
}

/// What is there.
impl Tree {
    /// Bytes of the disk that files take.
    pub(super) fn taken(&self) -> u64 {
        self.taken
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

    /// A file under either of its names: the one for unfinished files first.
    pub(super) fn file_at(&self, place: &Place) -> Result<&File, IoErrorKind> {
        let part = self.file(&place.part);
        part.or_else(|_| self.file(&place.own))
    }

    /// The file at `path`, to be changed.
    pub(super) fn file_mut(&mut self, path: &str) -> Result<&mut File, IoErrorKind> {
        match self.nodes.get_mut(path) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Folder | Node::Link) => Err(IoErrorKind::InTheWay),
            None => Err(IoErrorKind::NotFound),
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

    pub(super) fn has_link(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node::Link))
    }

    pub(super) fn has_folder(&self, path: &str) -> bool {
        matches!(self.nodes.get(path), Some(Node::Folder))
    }

    /// Whether what `path` leads to now is what it leads to after a loss of power.
    pub(super) fn is_settled(&self, path: &str) -> bool {
        let mut paths = self.changes.iter().flat_map(Change::paths);
        !paths.any(|changed| changed == path)
    }
}

/// What is done to it.
impl Tree {
    /// Counts what a file has taken.
    pub(super) fn take(&mut self, bytes: u64) {
        self.taken += bytes;
    }

    /// The time of a change of a file's content.
    pub(super) fn tick(&mut self) -> u64 {
        self.time += 1;
        self.time
    }

    /// Puts a file where nothing is.
    pub(super) fn make_file(&mut self, path: &str, mut file: File) -> Result<(), IoErrorKind> {
        let taken = file.taken();
        file.touch(self.tick());
        self.make(path, Node::File(Box::new(file)))?;
        self.taken += taken;
        self.changes.push(Change::Made(path.to_owned()));
        Ok(())
    }

    /// Puts a file there, in place of one that was there, and makes it durable.
    pub(super) fn put(&mut self, path: &str, mut file: File) -> Result<(), IoErrorKind> {
        if self.has(path) {
            file.touch(self.tick());
            let place = self.file_mut(path)?;
            let (new, old) = (file.taken(), place.taken());
            *place = file;
            self.taken = self.taken + new - old;
        } else {
            self.make_file(path, file)?;
        }
        self.sync(path);
        Ok(())
    }

    /// Puts a file there, in place of one that was there, and leaves it to chance what a loss of power
    /// makes of both.
    pub(super) fn replace(&mut self, path: &str, file: File) -> Result<(), IoErrorKind> {
        self.remove(path);
        self.make_file(path, file)
    }

    /// Gives a file another name, in place of what had that. A folder has it for good.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<(), IoErrorKind> {
        self.file(from)?;
        if self.has_folder(to) {
            return Err(IoErrorKind::InTheWay);
        }
        let replaced = self.nodes.remove(to);
        if let Some(Node::File(file)) = &replaced {
            self.taken -= file.taken();
        }
        if let Some(node) = self.nodes.remove(from) {
            self.nodes.insert(to.to_owned(), node);
        }
        self.changes.push(Change::Renamed {
            from: from.to_owned(),
            to: to.to_owned(),
            replaced,
        });
        Ok(())
    }

    /// Removes the file or link at `path`, if there is one, and the folders that this leaves empty.
    pub(super) fn remove(&mut self, path: &str) {
        if matches!(self.nodes.get(path), None | Some(Node::Folder)) {
            return;
        }
        let Some(node) = self.nodes.remove(path) else {
            return;
        };
        if let Node::File(file) = &node {
            self.taken -= file.taken();
        }
        self.changes.push(Change::Removed(path.to_owned(), node));
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
        self.make(path, Node::Link)?;
        self.changes.push(Change::Made(path.to_owned()));
        Ok(())
    }

    /// Holds a path against other processes, if none does.
    pub(super) fn hold(&mut self, path: &str) -> Result<Hold, IoErrorKind> {
        let holder = self.held.get(path);
        if holder.is_some_and(|holder| holder.strong_count() > 0) {
            return Err(IoErrorKind::InUse);
        }
        let alive = Arc::new(());
        self.held.insert(path.to_owned(), Arc::downgrade(&alive));
        Ok(Hold { _alive: alive })
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

/// What is on the platter.
impl Tree {
    /// Makes what became of a path durable, and what that rests on.
    pub(super) fn sync(&mut self, path: &str) {
        let mut paths = BTreeSet::from([path.to_owned()]);
        let mut left = Vec::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            if change.touches(&paths) {
                paths.extend(change.paths().cloned());
            } else {
                left.push(change);
            }
        }
        left.reverse();
        self.changes = left;
        self.sync_content(path);
    }

    /// Makes the content of a file durable, whatever becomes of its name.
    pub(super) fn sync_content(&mut self, path: &str) {
        if let Ok(file) = self.file_mut(path) {
            file.sync();
        }
    }

    /// Goes back to what is on the platter and a part of what was done since: of names those
    /// changes that chance picks and what they rest on, of files what each keeps.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        self.held.clear();
        let mut kept = BTreeSet::new();
        for change in std::mem::take(&mut self.changes).into_iter().rev() {
            if change.touches(&kept) || rng.below(2) == 0 {
                kept.extend(change.paths().cloned());
            } else {
                self.undo(change);
            }
        }
        self.files_mut().for_each(|file| file.lose_power(rng));
        self.taken = self.files_mut().map(|file| file.taken()).sum();
    }

    /// Undoes a change after which nothing has changed at its paths. What then is in the way of
    /// what was there, as a file where its folder was, is left.
    fn undo(&mut self, change: Change) {
        match change {
            Change::Made(path) => {
                self.nodes.remove(&path);
            }
            Change::Removed(path, node) => {
                self.make(&path, node).ok();
            }
            Change::Renamed { from, to, replaced } => {
                if let Some(node) = self.nodes.remove(&to) {
                    self.make(&from, node).ok();
                }
                if let Some(node) = replaced {
                    self.make(&to, node).ok();
                }
            }
        }
    }
}

/// The folders that `path` leads through, the outermost first.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

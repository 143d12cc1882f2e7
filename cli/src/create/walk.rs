//! The files of a folder in the order they take in a torrent.
//!
//! The order is a function of the names alone: by components, byte by byte, so that the same
//! folder makes the same torrent on every machine and file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};

/// The deepest folder that is entered, counted from the root.
const MAX_DEPTH: usize = 100;

/// What to do with what is not a plain visible file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    /// Take names that begin with a dot.
    pub(crate) hidden: bool,
    /// Take what symbolic links point to.
    pub(crate) follow_links: bool,
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Where to read it.
    pub(crate) path: PathBuf,
    /// Its path below the root; empty if the root is this file.
    pub(crate) parts: Vec<String>,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Whether its owner may execute it.
    pub(crate) executable: bool,
}

/// Everything found, and how much was passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walk {
    /// The files in their order.
    pub(crate) files: Vec<Found>,
    /// Hidden files and folders that were passed over.
    pub(crate) hidden: usize,
    /// Symbolic links that were passed over.
    pub(crate) links: usize,
    /// Devices, sockets and pipes, which are never taken.
    pub(crate) special: usize,
}

/// Finds the files at and below `root`, which itself may be hidden or a link.
pub(crate) fn walk(root: &Path, rules: Rules) -> Result<Walk, Failure> {
    let mut walk = Walk::default();
    let metadata = fs::metadata(root).map_err(|error| Failure::disk("read", root, error))?;
    if metadata.is_dir() {
        let mut walker = Walker {
            rules,
            walk: &mut walk,
            inside: Vec::new(),
            parts: Vec::new(),
        };
        walker.folder(root, &metadata)?;
    } else {
        walk.file(root, &[], &metadata);
    }
    Ok(walk)
}

impl Walk {
    fn file(&mut self, path: &Path, parts: &[String], metadata: &fs::Metadata) {
        if !metadata.is_file() {
            self.special += 1;
            return;
        }
        self.files.push(Found {
            path: path.to_path_buf(),
            parts: parts.to_vec(),
            len: metadata.len(),
            executable: metadata.permissions().mode() & 0o100 != 0,
        });
    }
}

struct Walker<'a> {
    rules: Rules,
    walk: &'a mut Walk,
    /// Device and inode of every folder we are in: a link back to one of them is a loop.
    inside: Vec<(u64, u64)>,
    parts: Vec<String>,
}

impl Walker<'_> {
    fn folder(&mut self, path: &Path, metadata: &fs::Metadata) -> Result<(), Failure> {
        let identity = (metadata.dev(), metadata.ino());
        if self.inside.contains(&identity) {
            let what = format!("{} leads back to a folder it lies in", Escaped::path(path));
            return Err(Failure::new(Exit::Usage, what).remedy("Leave --follow-links out."));
        }
        if self.inside.len() >= MAX_DEPTH {
            let what = format!(
                "{} lies more than {MAX_DEPTH} folders deep",
                Escaped::path(path)
            );
            return Err(Failure::new(Exit::Usage, what));
        }
        self.inside.push(identity);
        for name in sorted_names(path)? {
            let path = path.join(&name);
            self.parts.push(name);
            self.entry(&path)?;
            self.parts.pop();
        }
        self.inside.pop();
        Ok(())
    }

    fn entry(&mut self, path: &Path) -> Result<(), Failure> {
        let hidden = self.parts.last().is_some_and(|name| name.starts_with('.'));
        if hidden && !self.rules.hidden {
            self.walk.hidden += 1;
            return Ok(());
        }
        let read = |error| Failure::disk("read", path, error);
        let mut metadata = fs::symlink_metadata(path).map_err(read)?;
        if metadata.is_symlink() {
            if !self.rules.follow_links {
                self.walk.links += 1;
                return Ok(());
            }
            metadata = fs::metadata(path).map_err(read)?;
        }
        if metadata.is_dir() {
            return self.folder(path, &metadata);
        }
        self.walk.file(path, &self.parts, &metadata);
        Ok(())
    }
}

/// A torrent's names are UTF-8 (BEP 3): a name that is not cannot be taken along as it is.
fn sorted_names(path: &Path) -> Result<Vec<String>, Failure> {
    let read = |error| Failure::disk("read", path, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(read)? {
        let name = entry.map_err(read)?.file_name();
        names.push(name.into_string().map_err(|name| {
            let path = path.join(name);
            let what = format!("the name of {} is not UTF-8", Escaped::path(&path));
            Failure::new(Exit::Usage, what).remedy("Rename it; torrents know no other encoding.")
        })?);
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, len) in [
            ("b/2", 2),
            ("b/10", 10),
            ("a.txt", 1),
            ("b.txt", 3),
            (".git/x", 4),
            ("empty", 0),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![0; len]).unwrap();
        }
        dir
    }

    fn names(walk: &Walk) -> Vec<String> {
        walk.files.iter().map(|file| file.parts.join("/")).collect()
    }

    /// Order by components: `b/2` comes before `b.txt`, whatever order the file system gives.
    #[test]
    fn the_order_is_by_components() {
        let dir = folder();
        let found = walk(dir.path(), Rules::default()).unwrap();
        assert_eq!(names(&found), ["a.txt", "b/10", "b/2", "b.txt", "empty"]);
        assert_eq!((found.hidden, found.links), (1, 0));
        assert_eq!(found.files[1].len, 10);
    }

    /// Hidden files come along when asked for, and a root that is hidden itself always does.
    #[test]
    fn hidden_files_are_a_choice() {
        let dir = folder();
        let all = walk(
            dir.path(),
            Rules {
                hidden: true,
                ..Rules::default()
            },
        )
        .unwrap();
        assert_eq!(names(&all)[0], ".git/x");
        assert_eq!(
            names(&walk(&dir.path().join(".git"), Rules::default()).unwrap()),
            ["x"]
        );
    }

    /// Links are passed over or followed; a loop is an error, not a run without end.
    #[test]
    fn links_are_a_choice() {
        let dir = folder();
        symlink(dir.path().join("a.txt"), dir.path().join("c")).unwrap();
        let follow = Rules {
            follow_links: true,
            ..Rules::default()
        };
        assert_eq!(walk(dir.path(), Rules::default()).unwrap().links, 1);
        assert!(names(&walk(dir.path(), follow).unwrap()).contains(&"c".into()));
        symlink("..", dir.path().join("b/up")).unwrap();
        assert_eq!(walk(dir.path(), follow).unwrap_err().exit(), Exit::Usage);
    }

    /// A single file is a walk of one, without a path below itself.
    #[test]
    fn a_file_alone_has_no_path_below_itself() {
        let dir = folder();
        let found = walk(&dir.path().join("b/10"), Rules::default()).unwrap();
        assert_eq!((found.files.len(), found.files[0].parts.len()), (1, 0));
        assert_eq!(
            walk(&dir.path().join("no"), Rules::default())
                .unwrap_err()
                .exit(),
            Exit::Disk
        );
    }
}

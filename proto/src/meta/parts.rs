//! What files are called until they are finished, and what is kept beside them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::layout::{FileEntry, Layout};
use super::path::{MAX_COMPONENT_LEN, floor};

/// What an unfinished file's name ends with.
pub const PART: &str = ".part";
/// What the name of a state ends with.
pub const STATE: &str = ".ripcurrent";
/// What the name of the bytes kept aside ends with.
pub const ASIDE: &str = ".ripcurrent-aside";

/// The last component of each file's path while it is not finished, by its index: `NAME.part`, or
/// `NAME.1.part` and so on where the torrent has a file of that name already. Depends on the
/// torrent alone.
#[must_use]
pub fn part_names(layout: &Layout) -> Vec<String> {
    let files = layout.files();
    let mut taken: BTreeSet<(&[String], String)> = BTreeSet::new();
    for file in files {
        // Folders are in the way as well.
        for depth in 1..=file.path.len() {
            let (name, folder) = split(&file.path[..depth]);
            taken.insert((folder, name.into()));
        }
    }
    let mut names = Vec::with_capacity(files.len());
    for file in files {
        let (name, folder) = split(&file.path);
        let mut numbers = 0u32..;
        let part = loop {
            let candidate = part_name(name, numbers.next().unwrap_or_default());
            if taken.insert((folder, candidate.clone())) {
                break candidate;
            }
        };
        names.push(part);
    }
    names
}

/// The name of what is kept beside a torrent's files: its own name, hidden, with an ending.
#[must_use]
pub fn beside(layout: &Layout, ending: &str) -> String {
    let first = layout.files().first().and_then(|file| file.path.first());
    let name = first.map_or("", String::as_str);
    let room = MAX_COMPONENT_LEN - ".".len() - ending.len();
    format!(".{}{ending}", floor(name, room))
}

fn split(path: &[String]) -> (&str, &[String]) {
    match path.split_last() {
        Some((name, folder)) => (name, folder),
        None => ("", &[]),
    }
}

fn part_name(name: &str, number: u32) -> String {
    let ending = match number {
        0 => PART.into(),
        number => format!(".{number}{PART}"),
    };
    format!("{}{ending}", floor(name, MAX_COMPONENT_LEN - ending.len()))
}

impl FileEntry {
    /// The file's path with another last component.
    #[must_use]
    pub fn path_with_name(&self, name: &str) -> Vec<String> {
        let (_, folder) = split(&self.path);
        folder.iter().cloned().chain([name.into()]).collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::meta::layout::FileKind;

    fn names(paths: &[&str]) -> Vec<String> {
        let file = |path: &&str| FileEntry {
            path: path.split('/').map(String::from).collect(),
            len: 1,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        part_names(&Layout::new(1, paths.iter().map(file).collect()).unwrap())
    }

    /// No unfinished file has the name of another file or folder, finished or not.
    #[test]
    fn parts_are_kept_apart() {
        assert_eq!(names(&["t/a", "t/s/a"]), ["a.part", "a.part"]);
        assert_eq!(
            names(&["t/a", "t/a.part", "t/a.1.part"]),
            ["a.2.part", "a.part.part", "a.1.part.part"]
        );
        assert_eq!(names(&["t/a", "t/a.part/b"]), ["a.1.part", "b.part"]);
        let long = ["n".repeat(255), "n".repeat(250) + "o"];
        let parts = names(&[&long[0], &long[1]]);
        assert_eq!(parts[0], "n".repeat(250) + ".part");
        assert_eq!(parts[1], "n".repeat(248) + ".1.part");
    }

    #[test]
    fn what_lies_beside_is_hidden() {
        let file = FileEntry {
            path: vec!["disk.iso".into()],
            len: 1,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(1, vec![file]).unwrap();
        assert_eq!(beside(&layout, STATE), ".disk.iso.ripcurrent");
    }
}

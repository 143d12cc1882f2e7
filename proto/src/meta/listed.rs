//! A file as an info dictionary lists it, in `files` or in the `file tree`.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::FileFacts;
use super::error::TorrentError;
use super::fields::size;
use super::layout::FileKind;
use super::path::PathBuilder;
use crate::wire::bencode::Value;

/// The most memory that the paths of one torrent take, in bytes. A v2 tree names a directory once
/// for all files in it; a layout repeats it for each.
const MAX_PATHS_LEN: usize = 256 << 20;
/// What a component takes beside its bytes, in bytes.
const COMPONENT_COST: usize = 48;

/// Names that BitComet gives padding instead of the attribute of BEP 47 begin so.
const BITCOMET_PAD: &str = "_____padding_file_";

/// A file and what is told of it.
#[derive(Debug)]
pub(super) struct Listed {
    /// Below the torrent's folder; for a torrent of one file without a folder, its name.
    pub(super) path: Vec<String>,
    pub(super) len: u64,
    pub(super) kind: FileKind,
    pub(super) facts: FileFacts,
}

/// The attributes of a file (BEP 47, `attr`); unknown ones are skipped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attributes {
    pub(super) pad: bool,
    symlink: bool,
    executable: bool,
    hidden: bool,
}

impl Attributes {
    pub(super) fn of(dict: Value<'_, '_>) -> Self {
        let attr = dict.get(b"attr").and_then(Value::bytes).unwrap_or(b"");
        Attributes {
            pad: attr.contains(&b'p'),
            symlink: attr.contains(&b'l'),
            executable: attr.contains(&b'x'),
            hidden: attr.contains(&b'h'),
        }
    }
}

impl Listed {
    /// A file that is no padding, of which `dict` tells. A link (BEP 47, "symlinks") has no length,
    /// whatever it says, and none without a target is one; `in_folder` tells whether there is a
    /// folder that a target could lie in.
    pub(super) fn file(
        dict: Value<'_, '_>,
        path: Vec<String>,
        in_folder: bool,
        field: &'static str,
    ) -> Result<Self, TorrentError> {
        let attributes = Attributes::of(dict);
        let target = (attributes.symlink && in_folder)
            .then(|| dict.get(b"symlink path").and_then(path_of))
            .flatten();
        let (len, kind) = match target {
            Some(target) => (0, FileKind::Symlink { target }),
            None => {
                let executable = attributes.executable;
                let len = dict.get(b"length").ok_or(TorrentError::Missing { field })?;
                (size(len, field)?, FileKind::Regular { executable })
            }
        };
        let facts = FileFacts {
            executable: attributes.executable,
            hidden: attributes.hidden,
            sha1: dict
                .get(b"sha1")
                .and_then(|hash| hash.bytes()?.try_into().ok()),
            md5: dict.get(b"md5sum").and_then(|hash| from_hex(hash.bytes()?)),
            pieces_root: None,
            piece_layer: None,
        };
        Ok(Listed {
            path,
            len,
            kind,
            facts,
        })
    }

    /// Padding of `len` bytes (BEP 47, "padding files"), under the recommended path if it has none.
    pub(super) fn pad(len: u64, path: Option<Vec<String>>) -> Self {
        Listed {
            path: path.unwrap_or_else(|| vec![".pad".into(), len.to_string()]),
            len,
            kind: FileKind::Pad,
            facts: FileFacts::default(),
        }
    }

    pub(super) fn is_pad(&self) -> bool {
        self.kind == FileKind::Pad
    }
}

/// Corrects targets of links that are told from the link's own directory, where BEP 47 ("symlinks")
/// wants them told from the torrent's folder: what is there in the one sense only is meant so. Other
/// targets stay, though nothing may be there: links can lead over links, and out of the folder none
/// can lead.
pub(super) fn correct_links(files: &mut [Listed]) {
    let mut there: Vec<&[String]> = files
        .iter()
        .filter(|file| !file.is_pad())
        .map(|file| &file.path[..])
        .collect();
    there.sort_unstable();
    let is_there = |path: &[String]| {
        let next = there.get(there.partition_point(|other| *other < path));
        next.is_some_and(|other| other.starts_with(path))
    };
    let mut corrected = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let FileKind::Symlink { target } = &file.kind else {
            continue;
        };
        let (_, directory) = file.path.split_last().expect("a link has a path");
        let near = [directory, target].concat();
        if !is_there(target) && is_there(&near) {
            corrected.push((index, near));
        }
    }
    for (index, target) in corrected {
        files[index].kind = FileKind::Symlink { target };
    }
}

/// Whether BitComet would take a file of this path for padding.
pub(super) fn is_bitcomet_pad(path: &[String]) -> bool {
    path.last()
        .is_some_and(|name| name.starts_with(BITCOMET_PAD))
}

/// A repaired path from a list of its components; `None` if it is not one or has none.
pub(super) fn path_of(list: Value<'_, '_>) -> Option<Vec<String>> {
    let mut path = PathBuilder::default();
    for name in list.list()? {
        path.push(name.bytes()?);
    }
    Some(path.finish()).filter(|path| !path.is_empty())
}

/// Counts the memory of paths.
#[derive(Debug, Default)]
pub(super) struct PathBudget {
    spent: usize,
}

impl PathBudget {
    pub(super) fn spend(&mut self, path: &[String]) -> Result<(), TorrentError> {
        self.spent += path
            .iter()
            .map(|name| name.len() + COMPONENT_COST)
            .sum::<usize>();
        if self.spent > MAX_PATHS_LEN {
            return Err(TorrentError::Paths);
        }
        Ok(())
    }
}

fn from_hex(text: &[u8]) -> Option<[u8; 16]> {
    let digits: &[u8; 32] = text.try_into().ok()?;
    let mut hash = [0; 16];
    for (byte, pair) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
        let digit = |at: usize| (pair[at] as char).to_digit(16);
        *byte = (digit(0)? << 4 | digit(1)?) as u8;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_paths_is_bounded() {
        let path = vec!["d".repeat(152); 100];
        let mut budget = PathBudget::default();
        let fit = MAX_PATHS_LEN / (100 * (152 + COMPONENT_COST));
        for _ in 0..fit {
            assert_eq!(budget.spend(&path), Ok(()));
        }
        assert_eq!(budget.spend(&path), Err(TorrentError::Paths));
    }

    #[test]
    fn only_32_hex_digits_are_an_md5() {
        assert_eq!(from_hex(&[b'f'; 32]), Some([0xff; 16]));
        assert_eq!(from_hex(&[b'f'; 31]), None);
        assert_eq!(from_hex(&[b'g'; 32]), None);
    }
}

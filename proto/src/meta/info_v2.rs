//! The files of a v2 info dictionary (BEP 52, "info dictionary"): a tree of dictionaries under
//! `file tree`, in which an empty name marks a file; and how it is laid beside a v1 half.

use alloc::vec;
use alloc::vec::Vec;

use super::error::TorrentError;
use super::fields::required;
use super::layout::BadLayout;
use super::listed::{Attributes, Listed, PathBudget};
use super::path::PathBuilder;
use crate::wire::bencode::Value;

const TREE: &str = "info.file tree";

/// Reads the files of the tree, in its order, without padding; at least one.
pub(super) fn read(info: Value<'_, '_>, in_folder: bool) -> Result<Vec<Listed>, TorrentError> {
    let bad_tree = TorrentError::Wrong {
        field: TREE,
        expected: "a tree of dictionaries with files at its ends",
    };
    let tree = required(info, "file tree", TREE)?;
    let mut open = vec![tree.dict().ok_or(bad_tree)?];
    let mut names: Vec<&[u8]> = Vec::new();
    let mut budget = PathBudget::default();
    let mut files = Vec::new();
    while let Some(directory) = open.last_mut() {
        let Some((name, node)) = directory.next() else {
            open.pop();
            names.pop();
            continue;
        };
        let mut entries = node.dict().ok_or(bad_tree)?;
        if name.is_empty() {
            // The root is a file, or a file has siblings.
            return Err(bad_tree);
        }
        names.push(name);
        let Some(properties) = node.get(b"") else {
            open.push(entries);
            continue;
        };
        if entries.nth(1).is_some() || properties.dict().is_none() {
            return Err(bad_tree);
        }
        let file = file(properties, &names, in_folder)?;
        budget.spend(&file.path)?;
        files.push(file);
        names.pop();
    }
    if files.is_empty() {
        return Err(TorrentError::NoFiles);
    }
    Ok(files)
}

/// Whether the files are one alone that lies in no folder.
pub(super) fn is_single(files: &[Listed]) -> bool {
    matches!(files, [file] if file.path.len() == 1)
}

/// Puts padding behind each file that does not end with a whole piece, so that every file begins
/// with one (BEP 52, `piece length`). The last file with bytes gets some only if `fill_last`.
pub(super) fn padded(files: Vec<Listed>, piece_len: u32, fill_last: bool) -> Vec<Listed> {
    let piece_len = u64::from(piece_len);
    let last = files.iter().rposition(|file| file.len > 0);
    let mut padded = Vec::with_capacity(files.len());
    for (index, file) in files.into_iter().enumerate() {
        let gap = file.len.next_multiple_of(piece_len) - file.len;
        padded.push(file);
        if gap > 0 && (fill_last || Some(index) != last) {
            padded.push(Listed::pad(gap, None));
        }
    }
    padded
}

/// Checks that both halves of a hybrid torrent lay the same files at the same places (BEP 52,
/// "upgrade path"), takes over what only `v1` tells, and returns the files of the tree with the
/// padding that `v1` has.
pub(super) fn agree(
    v1: &[Listed],
    mut v2: Vec<Listed>,
    piece_len: u32,
) -> Result<Vec<Listed>, TorrentError> {
    let piece_len = u64::from(piece_len);
    // Where the two stand, and where the tree's file would begin.
    let (mut file, mut offset, mut aligned) = (0, 0u64, 0u64);
    for listed in v1 {
        if !listed.is_pad() {
            let disagree = TorrentError::Disagree { file };
            let twin = v2.get_mut(file).ok_or(disagree)?;
            let same = twin.path == listed.path && twin.len == listed.len;
            if !same || (listed.len > 0 && offset != aligned) {
                return Err(disagree);
            }
            twin.facts.sha1 = twin.facts.sha1.or(listed.facts.sha1);
            twin.facts.md5 = twin.facts.md5.or(listed.facts.md5);
            aligned = aligned
                .checked_add(listed.len)
                .and_then(|end| end.checked_next_multiple_of(piece_len))
                .ok_or(BadLayout::Length)?;
            file += 1;
        }
        offset = offset.saturating_add(listed.len);
    }
    let end = v2.iter().rev().find(|file| file.len > 0);
    let gap = end.map_or(0, |file| file.len.next_multiple_of(piece_len) - file.len);
    // The last file may be padded or not; nothing else may follow it.
    let fill_last = offset == aligned;
    if file != v2.len() || !(fill_last || offset == aligned - gap) {
        return Err(TorrentError::Disagree { file });
    }
    Ok(padded(v2, piece_len as u32, fill_last))
}

fn file(
    properties: Value<'_, '_>,
    names: &[&[u8]],
    in_folder: bool,
) -> Result<Listed, TorrentError> {
    if Attributes::of(properties).pad {
        let (field, expected) = ("info.file tree.attr", "free of padding");
        return Err(TorrentError::Wrong { field, expected });
    }
    let mut path = PathBuilder::default();
    names.iter().for_each(|name| path.push(name));
    let mut file = Listed::file(
        properties,
        path.finish(),
        in_folder,
        "info.file tree.length",
    )?;
    if file.len > 0 {
        let (field, expected) = ("info.file tree.pieces root", "a SHA-256 other than zero");
        let root = required(properties, "pieces root", field)?.bytes();
        let root: Option<[u8; 32]> = root.and_then(|root| root.try_into().ok());
        let root = root.filter(|root| *root != [0; 32]);
        file.facts.pieces_root = Some(root.ok_or(TorrentError::Wrong { field, expected })?);
    }
    Ok(file)
}

//! The files of a v1 info dictionary (BEP 3, "info dictionary"): one file under `length`, or a list
//! under `files`; with `pieces`, 20 bytes of SHA-1 for each piece.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::error::TorrentError;
use super::fields::{list, required, size};
use super::listed::{Attributes, Listed, PathBudget, is_bitcomet_pad, path_of};
use crate::wire::bencode::Value;

/// What the v1 half of an info dictionary tells.
#[derive(Debug)]
pub(super) struct InfoV1<'b> {
    /// The files, padding included, in their order; at least one.
    pub(super) files: Vec<Listed>,
    /// Whether they lie in a folder with the torrent's name.
    pub(super) in_folder: bool,
    /// The hashes as they stand; their number is not checked yet.
    pub(super) pieces: &'b [u8],
}

/// Whether `info` has a v1 half beside a v2 one.
pub(super) fn is_there(info: Value<'_, '_>) -> bool {
    let keys = [&b"pieces"[..], b"files", b"length"];
    keys.iter().any(|key| info.get(key).is_some())
}

/// Reads the v1 half of `info`. If there are both `files` and `length`, the files count.
pub(super) fn read<'b>(info: Value<'_, 'b>, name: &str) -> Result<InfoV1<'b>, TorrentError> {
    let field = "info.pieces";
    let expected = "a string";
    let pieces = required(info, "pieces", field)?;
    let pieces = pieces
        .bytes()
        .ok_or(TorrentError::Wrong { field, expected })?;
    let (files, in_folder) = match info.get(b"files") {
        Some(files) => (several(files)?, true),
        None => {
            let path = vec![String::from(name)];
            (vec![Listed::file(info, path, false, "info.length")?], false)
        }
    };
    Ok(InfoV1 {
        files,
        in_folder,
        pieces,
    })
}

fn several(files: Value<'_, '_>) -> Result<Vec<Listed>, TorrentError> {
    let mut budget = PathBudget::default();
    let mut listed = Vec::new();
    for dict in list(files, "info.files")? {
        let file = one_of_several(dict)?;
        budget.spend(&file.path)?;
        listed.push(file);
    }
    if listed.is_empty() {
        return Err(TorrentError::NoFiles);
    }
    Ok(listed)
}

fn one_of_several(dict: Value<'_, '_>) -> Result<Listed, TorrentError> {
    let field = "info.files[].path";
    let path = match dict.get(b"path.utf-8").and_then(path_of) {
        Some(path) => Some(path),
        None => {
            let expected = "a list of strings";
            let read = |path| path_of(path).ok_or(TorrentError::Wrong { field, expected });
            dict.get(b"path").map(read).transpose()?
        }
    };
    if Attributes::of(dict).pad || path.as_deref().is_some_and(is_bitcomet_pad) {
        let field = "info.files[].length";
        let len = size(required(dict, "length", field)?, field)?;
        return Ok(Listed::pad(len, path));
    }
    let path = path.ok_or(TorrentError::Missing { field })?;
    Listed::file(dict, path, true, "info.files[].length")
}

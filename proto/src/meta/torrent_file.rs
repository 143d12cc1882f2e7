//! Reading torrent files (BEP 3, "metainfo files"; BEP 52; BEP 12, 17, 19, 27, 38, 47).
//!
//! What the info-hash vouches for must be right, or the torrent is refused. What stands around it
//! is hints: what is wrong there is left out.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::error::TorrentError;
use super::fields::{best, required, text};
use super::layout::{BLOCK_LEN, FileEntry, Layout};
use super::listed::{Listed, correct_links};
use super::{DhtNode, FileFacts, Hints, InfoHashes, Torrent};
use super::{info_v1, info_v2, merkle, path, url};
use crate::wire::bencode::{Items, Limits, Value, decode_prefix};

/// The longest torrent file, in bytes. What it becomes in memory is bounded by about ten times as
/// much.
pub const MAX_TORRENT_LEN: usize = 32 << 20;
/// The longest piece, in bytes.
pub const MAX_PIECE_LENGTH: u32 = 512 << 20;
/// The most pieces: each takes memory for each peer, and a v2 torrent of a few bytes could claim
/// any number.
pub const MAX_PIECES: u32 = 1 << 21;
/// The most trackers that are kept; the first ones of the file.
pub const MAX_TRACKERS: usize = 200;
/// The most web seeds, nodes, similar torrents and collections each that are kept.
pub const MAX_HINTS: usize = 200;

/// How many entries of a list of hints are looked at: comparing each with those that are kept must
/// not become work without end.
const MAX_LOOKED_AT: usize = 20 * MAX_HINTS;
/// The longest host name, in bytes.
const MAX_HOST_LEN: usize = 253;

impl Torrent {
    /// Reads a torrent file. Bytes after its dictionary are skipped.
    ///
    /// # Errors
    /// If it is too large, is no bencoding, or its info dictionary or piece layers are wrong; the
    /// error names the field.
    pub fn parse(bytes: Bytes) -> Result<Torrent, TorrentError> {
        if bytes.len() > MAX_TORRENT_LEN {
            return Err(TorrentError::TooLarge { len: bytes.len() });
        }
        let tree = decode_prefix(&bytes, Limits::METAINFO)?;
        let root = tree.root();
        let info = required(root, "info", "info")?;
        let mut torrent = read_info(info, &bytes)?;
        if let Some(layers) = root.get(b"piece layers")
            && torrent.hashes.v2.is_some()
        {
            read_piece_layers(layers, &bytes, &mut torrent)?;
        }
        torrent.hints = read_hints(root, info, torrent.layout.files().len() > 1);
        Ok(torrent)
    }
}

/// Reads the info dictionary, which lies in `bytes`.
fn read_info(info: Value<'_, '_>, bytes: &Bytes) -> Result<Torrent, TorrentError> {
    if info.dict().is_none() {
        let (field, expected) = ("info", "a dictionary");
        return Err(TorrentError::Wrong { field, expected });
    }
    let has_v2 = has_v2(info)?;
    let has_v1 = !has_v2 || info_v1::is_there(info);
    let piece_len = piece_length(info, has_v2)?;
    let field = "info.name";
    let name = best(info, "name").ok_or(TorrentError::Missing { field })?;
    let expected = "a name for a file or folder";
    let mut name = path::torrent_name(name).ok_or(TorrentError::Wrong { field, expected })?;
    let v1 = has_v1.then(|| info_v1::read(info, &name)).transpose()?;
    let mut in_folder = v1.as_ref().is_none_or(|v1| v1.in_folder);
    let v2 = has_v2.then(|| info_v2::read(info, in_folder)).transpose()?;
    let pieces_v1 = v1.as_ref().map_or(&b""[..], |v1| v1.pieces);
    let files = match (v1, v2) {
        (Some(v1), Some(v2)) => info_v2::agree(&v1.files, v2, piece_len)?,
        (None, Some(v2)) => {
            if info_v2::is_single(&v2) {
                in_folder = false;
                name.clone_from(&v2[0].path[0]);
            }
            info_v2::padded(v2, piece_len, true)
        }
        (Some(v1), None) => v1.files,
        (None, None) => return Err(TorrentError::NoFiles),
    };
    let (layout, facts) = lay_out(files, &name, in_folder, piece_len)?;
    let pieces = layout.pieces();
    if has_v1 && pieces_v1.len() as u64 != u64::from(pieces) * 20 {
        let len = pieces_v1.len();
        return Err(TorrentError::PieceHashes { len, pieces });
    }
    Ok(Torrent {
        hashes: InfoHashes {
            v1: has_v1.then(|| Sha1::digest(info.raw()).into()),
            v2: has_v2.then(|| Sha256::digest(info.raw()).into()),
        },
        info: bytes.slice(info.span()),
        name,
        layout: Arc::new(layout),
        facts,
        pieces_v1: bytes.slice_ref(pieces_v1),
        private: integer(info, b"private").is_some_and(|private| private != 0),
        source: text(info, "source"),
        hints: Hints::default(),
    })
}

/// Whether there is a v2 half, which must then be of the known version and in canonical form.
fn has_v2(info: Value<'_, '_>) -> Result<bool, TorrentError> {
    let field = "info.meta version";
    let version = match info.get(b"meta version") {
        Some(version) => version.integer().ok_or(TorrentError::Wrong {
            field,
            expected: "a number",
        })?,
        None => 1,
    };
    if version > 2 {
        return Err(TorrentError::MetaVersion(version));
    }
    if version < 2 && info.get(b"file tree").is_some() {
        let expected = "2, which a file tree needs";
        return Err(TorrentError::Wrong { field, expected });
    }
    if version == 2 && !info.flaws().is_empty() {
        return Err(TorrentError::NotCanonical(info.flaws()));
    }
    Ok(version == 2)
}

fn piece_length(info: Value<'_, '_>, has_v2: bool) -> Result<u32, TorrentError> {
    let field = "info.piece length";
    let raw = required(info, "piece length", field)?.integer();
    let len = raw.and_then(|raw| u32::try_from(raw).ok());
    let expected = "a number from 1 to 536870912";
    let len = len.filter(|len| (1..=MAX_PIECE_LENGTH).contains(len));
    let len = len.ok_or(TorrentError::Wrong { field, expected })?;
    if has_v2 && !(len.is_power_of_two() && len >= BLOCK_LEN) {
        let expected = "a power of two of 16384 or more";
        return Err(TorrentError::Wrong { field, expected });
    }
    Ok(len)
}

/// Keeps the files apart, puts them into their folder and lays them out.
fn lay_out(
    mut files: Vec<Listed>,
    name: &str,
    in_folder: bool,
    piece_len: u32,
) -> Result<(Layout, Vec<FileFacts>), TorrentError> {
    let on_disk = files.iter_mut().filter(|file| !file.is_pad());
    path::keep_apart(on_disk.map(|file| &mut file.path))?;
    correct_links(&mut files);
    let mut entries = Vec::with_capacity(files.len());
    let mut facts = Vec::with_capacity(files.len());
    for mut file in files {
        if in_folder || file.is_pad() {
            file.path.insert(0, String::from(name));
        }
        facts.push(file.facts);
        entries.push(FileEntry {
            path: file.path,
            len: file.len,
            offset: 0,
            kind: file.kind,
        });
    }
    let layout = Layout::new(piece_len, entries)?;
    let pieces = layout.pieces();
    if pieces > MAX_PIECES {
        return Err(TorrentError::TooManyPieces { pieces });
    }
    Ok((layout, facts))
}

/// Checks the layers against their roots and gives them to their files. Layers may be missing:
/// peers have them too.
fn read_piece_layers(
    layers: Value<'_, '_>,
    bytes: &Bytes,
    torrent: &mut Torrent,
) -> Result<(), TorrentError> {
    let (field, expected) = ("piece layers", "a dictionary");
    let wrong = TorrentError::Wrong { field, expected };
    let piece_len = torrent.layout.piece_length();
    let mut by_root: BTreeMap<merkle::Hash, Vec<usize>> = BTreeMap::new();
    for (index, file) in torrent.layout.files().iter().enumerate() {
        if let Some(root) = torrent.facts[index].pieces_root
            && file.len > u64::from(piece_len)
        {
            by_root.entry(root).or_default().push(index);
        }
    }
    for (root, layer) in layers.dict().ok_or(wrong)? {
        // Taken out: a second layer for a root would be work for nothing.
        let key = root.try_into().ok();
        let files = key.and_then(|root: merkle::Hash| by_root.remove(&root));
        let files = files.ok_or(TorrentError::UnknownPieceLayer)?;
        let file = files[0];
        let layer = layer.bytes().ok_or(TorrentError::PieceLayer { file })?;
        let height = merkle::piece_layer_height(piece_len);
        let top = merkle::root(merkle::hashes(layer), height);
        if top.as_ref().map(|hash| &hash[..]) != Some(root) {
            return Err(TorrentError::PieceLayer { file });
        }
        for file in files {
            let len = torrent.layout.files()[file].len;
            if layer.len() as u64 != len.div_ceil(u64::from(piece_len)) * 32 {
                return Err(TorrentError::PieceLayer { file });
            }
            torrent.facts[file].piece_layer = Some(bytes.slice_ref(layer));
        }
    }
    Ok(())
}

fn read_hints(root: Value<'_, '_>, info: Value<'_, '_>, several_files: bool) -> Hints {
    let mut url_seeds = seeds(root, b"url-list");
    if several_files {
        for seed in &mut url_seeds {
            if !seed.ends_with('/') {
                seed.push('/');
            }
        }
    }
    Hints {
        trackers: trackers(root),
        url_seeds,
        http_seeds: seeds(root, b"httpseeds"),
        nodes: kept(items(root, b"nodes"), node),
        comment: text(root, "comment"),
        created_by: text(root, "created by"),
        creation_date: integer(root, b"creation date"),
        encoding: text(root, "encoding"),
        similar: kept(both(info, root, b"similar"), |hash| {
            hash.bytes()?.try_into().ok()
        }),
        collections: kept(both(info, root, b"collections"), |name| {
            Some(path::text(name.bytes()?)).filter(|name| !name.is_empty())
        }),
    }
}

/// The tiers of `announce-list`, or `announce` alone where that brings none (BEP 12).
fn trackers(root: Value<'_, '_>) -> Vec<Vec<String>> {
    let mut tiers: Vec<Vec<String>> = Vec::new();
    let mut known: Vec<String> = Vec::new();
    let mut looks = MAX_LOOKED_AT;
    for tier in items(root, b"announce-list") {
        let before = known.len();
        for url in tier.list().into_iter().flatten() {
            if looks == 0 || known.len() == MAX_TRACKERS {
                break;
            }
            looks -= 1;
            let url = url.bytes().and_then(url::tracker);
            if let Some(url) = url.filter(|url| !known.contains(url)) {
                known.push(url);
            }
        }
        if known.len() > before {
            tiers.push(known[before..].to_vec());
        }
    }
    if tiers.is_empty() {
        let announce = root.get(b"announce").and_then(Value::bytes);
        tiers.extend(announce.and_then(url::tracker).map(|url| [url].into()));
    }
    tiers
}

/// The web seeds under `key`: a list, or one alone.
fn seeds(root: Value<'_, '_>, key: &[u8]) -> Vec<String> {
    let one = root.get(key).filter(|value| value.bytes().is_some());
    kept(one.into_iter().chain(items(root, key)), |seed| {
        url::web_seed(seed.bytes()?)
    })
}

fn node(pair: Value<'_, '_>) -> Option<DhtNode> {
    let mut pair = pair.list()?;
    let host = pair.next()?.text()?;
    let port = u16::try_from(pair.next()?.integer()?).ok()?;
    let good = port > 0 && (1..=MAX_HOST_LEN).contains(&host.len());
    good.then(|| DhtNode {
        host: String::from(host),
        port,
    })
}

/// What `read` makes of `values`, each once, at most [`MAX_HINTS`].
fn kept<'t, 'b: 't, T: PartialEq>(
    values: impl Iterator<Item = Value<'t, 'b>>,
    read: impl Fn(Value<'t, 'b>) -> Option<T>,
) -> Vec<T> {
    let mut kept = Vec::new();
    for value in values.take(MAX_LOOKED_AT).filter_map(read) {
        if kept.len() == MAX_HINTS {
            break;
        }
        if !kept.contains(&value) {
            kept.push(value);
        }
    }
    kept
}

/// The items of the lists under `key` inside and outside of the info dictionary (BEP 38).
fn both<'t, 'b>(
    info: Value<'t, 'b>,
    root: Value<'t, 'b>,
    key: &[u8],
) -> impl Iterator<Item = Value<'t, 'b>> {
    items(info, key).chain(items(root, key))
}

/// The items of the list under `key`; none if it is no list.
fn items<'t, 'b>(
    dict: Value<'t, 'b>,
    key: &[u8],
) -> core::iter::Flatten<core::option::IntoIter<Items<'t, 'b>>> {
    dict.get(key).and_then(Value::list).into_iter().flatten()
}

fn integer(dict: Value<'_, '_>, key: &[u8]) -> Option<i64> {
    dict.get(key)?.integer()
}

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

/// The longest torrent file, in bytes. The worst of that length take some twenty times as much
/// memory while they are read: tokens, paths, and what keeps paths apart.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::layout::{BadLayout, FileIndex, FileKind};
    use crate::meta::path::TooManyNamesakes;
    use crate::wire::bencode::{DictWriter, Flaws, write_dict};
    use alloc::format;
    use alloc::vec;

    /// A torrent file of an info dictionary and what stands before and after it.
    fn file(
        before: impl FnOnce(&mut DictWriter<'_>),
        info: impl FnOnce(&mut DictWriter<'_>),
        after: impl FnOnce(&mut DictWriter<'_>),
    ) -> Bytes {
        let mut out = Vec::new();
        write_dict(&mut out, |root| {
            before(root);
            root.dict(b"info", info);
            after(root);
        });
        out.into()
    }

    /// The files of a v1 half, each a dictionary that is encoded already, and all that it needs.
    fn v1(files: &[&[u8]], pieces: usize) -> Result<Torrent, TorrentError> {
        let info = |info: &mut DictWriter<'_>| {
            info.list(b"files", |list| {
                files.iter().for_each(|file| list.raw(file))
            });
            info.bytes(b"name", b"x");
            info.integer(b"piece length", 16_384);
            info.bytes(b"pieces", &vec![7; 20 * pieces]);
        };
        Torrent::parse(file(|_| {}, info, |_| {}))
    }

    #[test]
    fn every_optional_key_is_told() {
        let before = |root: &mut DictWriter<'_>| {
            root.bytes(b"announce", b"http://a/");
            root.bytes(b"comment", b"\xff");
            root.bytes(b"comment.utf-8", "ü".as_bytes());
            root.bytes(b"created by", b"me");
            root.integer(b"creation date", 7);
            root.bytes(b"encoding", b"GBK");
            root.list(b"httpseeds", |list| list.bytes(b"http://h/seed"));
        };
        let info = |info: &mut DictWriter<'_>| {
            info.bytes(b"attr", b"hx?");
            info.list(b"collections", |list| list.bytes(b"c"));
            info.integer(b"length", 1);
            info.bytes(b"md5sum", b"000102030405060708090A0B0C0D0E0F");
            info.bytes(b"name", b"\xc4\xd0");
            info.bytes(b"name.utf-8", "中".as_bytes());
            info.integer(b"piece length", 1);
            info.bytes(b"pieces", &[7; 20]);
            info.integer(b"private", 1);
            info.bytes(b"sha1", &[8; 20]);
            info.list(b"similar", |list| list.bytes(&[9; 20]));
            info.bytes(b"source", b"src");
        };
        let after = |root: &mut DictWriter<'_>| {
            root.list(b"similar", |list| {
                list.bytes(&[9; 20]);
                list.bytes(&[10; 20]);
            });
            root.bytes(b"url-list", b"http://w/");
        };
        let torrent = Torrent::parse(file(before, info, after)).unwrap();
        assert_eq!(torrent.trackers(), [["http://a/"]]);
        assert_eq!(
            (torrent.comment(), torrent.created_by()),
            (Some("ü"), Some("me"))
        );
        assert_eq!(
            (torrent.creation_date(), torrent.encoding()),
            (Some(7), Some("GBK"))
        );
        assert_eq!(torrent.http_seeds(), ["http://h/seed"]);
        assert_eq!(torrent.url_seeds(), ["http://w/"]);
        assert_eq!(torrent.similar(), [[9; 20], [10; 20]]);
        assert_eq!(torrent.collections(), ["c"]);
        assert_eq!((torrent.name(), torrent.source()), ("中", Some("src")));
        assert!(torrent.is_private());
        let expected = FileFacts {
            executable: true,
            hidden: true,
            sha1: Some([8; 20]),
            md5: Some(core::array::from_fn(|at| at as u8)),
            ..FileFacts::default()
        };
        assert_eq!(*torrent.facts(FileIndex(0)), expected);
    }

    #[test]
    fn links_are_told_from_the_folder_or_from_where_they_lie() {
        let torrent = v1(
            &[
                b"d6:lengthi5e4:pathl1:d4:realee",
                b"d4:attr1:l6:lengthi9e4:pathl1:d4:neare12:symlink pathl4:realee",
                b"d4:attr1:l4:pathl1:d3:fare12:symlink pathl1:d4:realee",
                b"d4:attr1:l4:pathl5:outere12:symlink pathl2:..4:realee",
                b"d4:attr1:l6:lengthi2e4:pathl4:nonee12:symlink pathlee",
            ],
            1,
        );
        let torrent = torrent.unwrap();
        let kind = |at: usize| &torrent.layout().files()[at].kind;
        let link = |target: &[&str]| FileKind::Symlink {
            target: target.iter().map(|name| String::from(*name)).collect(),
        };
        assert_eq!(*kind(1), link(&["d", "real"]));
        assert_eq!(*kind(2), link(&["d", "real"]));
        assert_eq!(*kind(3), link(&["_", "real"]));
        assert_eq!(*kind(4), FileKind::Regular { executable: false });
        assert_eq!(torrent.layout().total_len(), 7);
    }

    #[test]
    fn bounds_are_kept() {
        let len = MAX_TORRENT_LEN + 1;
        let error = Torrent::parse(vec![b'i'; len].into()).unwrap_err();
        assert_eq!(error, TorrentError::TooLarge { len });
        let namesakes = vec![&b"d6:lengthi1e4:pathl1:aee"[..]; 102];
        let error = v1(&namesakes, 1).unwrap_err();
        assert_eq!(error, TorrentError::Namesakes(TooManyNamesakes));
        let length = format!("i{}e", u64::from(MAX_PIECES) * 16_384 + 1);
        let error = v2(&[("a", &length, [1; 32])], |_| {}).unwrap_err();
        let pieces = MAX_PIECES + 1;
        assert_eq!(error, TorrentError::TooManyPieces { pieces });
    }

    /// A v2 torrent of files in a folder: name, encoded length, root.
    fn v2(
        files: &[(&str, &str, [u8; 32])],
        after: impl FnOnce(&mut DictWriter<'_>),
    ) -> Result<Torrent, TorrentError> {
        let info = |info: &mut DictWriter<'_>| {
            info.dict(b"file tree", |tree| {
                for (name, length, root) in files {
                    let properties = |file: &mut DictWriter<'_>| {
                        file.raw(b"length", length.as_bytes());
                        file.bytes(b"pieces root", root);
                    };
                    tree.dict(name.as_bytes(), |file| file.dict(b"", properties));
                }
            });
            info.integer(b"meta version", 2);
            info.bytes(b"name", b"x");
            info.integer(b"piece length", 16_384);
        };
        Torrent::parse(file(|_| {}, info, after))
    }

    #[test]
    fn a_piece_layer_serves_every_file_of_its_root_and_must_fit_each() {
        let layer = [[1; 32], [2; 32]];
        let root = merkle::root(layer, 0).unwrap();
        let layers = |dict: &mut DictWriter<'_>| {
            dict.dict(b"piece layers", |dict| {
                dict.bytes(&root, layer.as_flattened())
            });
        };
        let same = [("a", "i16385e", root), ("b", "i32768e", root)];
        let torrent = v2(&same, layers).unwrap();
        assert_eq!(torrent.hashes().v1, None);
        for file in [0, 2].map(FileIndex) {
            let got = torrent.facts(file).piece_layer.as_deref();
            assert_eq!(got, Some(layer.as_flattened()));
        }
        let error = v2(&[("a", "i32769e", root)], layers).unwrap_err();
        assert_eq!(error, TorrentError::PieceLayer { file: 0 });
        let error = v2(&[("a", "i16384e", root)], layers).unwrap_err();
        assert_eq!(error, TorrentError::UnknownPieceLayer);
        let twice = |dict: &mut DictWriter<'_>| {
            let mut out = b"d".to_vec();
            for _ in 0..2 {
                out.extend_from_slice(b"32:");
                out.extend_from_slice(&root);
                out.extend_from_slice(b"64:");
                out.extend_from_slice(layer.as_flattened());
            }
            out.push(b'e');
            dict.raw(b"piece layers", &out);
        };
        assert_eq!(
            v2(&same, twice).unwrap_err(),
            TorrentError::UnknownPieceLayer
        );
    }

    #[test]
    fn a_v2_info_dictionary_must_be_canonical() {
        let error = v2(&[("a", "i05e", [1; 32])], |_| {}).unwrap_err();
        assert_eq!(error, TorrentError::NotCanonical(Flaws::LEADING_ZERO));
    }

    /// A hybrid of `a` and `b`, their lengths and the v1 list as given.
    fn hybrid(lens: [i64; 2], files: &[&[u8]]) -> Result<Torrent, TorrentError> {
        let info = |info: &mut DictWriter<'_>| {
            info.dict(b"file tree", |tree| {
                for (name, len) in [b"a", b"b"].into_iter().zip(lens) {
                    let properties = |file: &mut DictWriter<'_>| {
                        file.integer(b"length", len);
                        file.bytes(b"pieces root", &[1; 32]);
                    };
                    tree.dict(name, |file| file.dict(b"", properties));
                }
            });
            info.list(b"files", |list| {
                files.iter().for_each(|file| list.raw(file))
            });
            info.integer(b"meta version", 2);
            info.bytes(b"name", b"x");
            info.integer(b"piece length", 16_384);
            info.bytes(b"pieces", &[7; 40]);
        };
        Torrent::parse(file(|_| {}, info, |_| {}))
    }

    #[test]
    fn the_halves_of_a_hybrid_must_lay_the_same_files_at_the_same_places() {
        let a: &[u8] = b"d6:lengthi5e4:pathl1:aee";
        let b: &[u8] = b"d6:lengthi3e4:pathl1:bee";
        let pad: &[u8] = b"d4:attr1:p6:lengthi16379e4:pathl4:.pad5:16379ee";
        let last_pad: &[u8] = b"d4:attr1:p6:lengthi16381ee";
        let one_byte: &[u8] = b"d4:attr1:p6:lengthi1ee";
        let total = |files: &[&[u8]]| Ok(hybrid([5, 3], files)?.layout().total_len());
        assert_eq!(total(&[a, pad, b]), Ok(16_387));
        assert_eq!(total(&[a, pad, b, last_pad]), Ok(32_768));
        let disagree = |file| Err(TorrentError::Disagree { file });
        assert_eq!(total(&[a, b]), disagree(1));
        assert_eq!(total(&[b, pad, a]), disagree(0));
        assert_eq!(total(&[a, pad]), disagree(1));
        assert_eq!(total(&[a, pad, b, b]), disagree(2));
        assert_eq!(total(&[a, pad, b, one_byte]), disagree(2));

        let a: &[u8] = b"d6:lengthi9223372036854775807e4:pathl1:aee";
        let b: &[u8] = b"d6:lengthi9223372036854775807e4:pathl1:bee";
        let error = hybrid([i64::MAX; 2], &[a, one_byte, b]).unwrap_err();
        assert_eq!(error, TorrentError::Layout(BadLayout::Length));
    }
}

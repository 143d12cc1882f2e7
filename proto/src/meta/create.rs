//! Making torrent files of version 1 (BEP 3): pure, the caller brings names, lengths and hashes.
//!
//! Invariant: what is made here parses back as it was meant. Names and addresses that a reader would
//! repair or leave out are refused, so that the data is found again where it lies.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::layout::{BLOCK_LEN, BadLayout, FileEntry, FileKind, Layout};
use super::listed::is_bitcomet_pad;
use super::{MAX_HINTS, MAX_PIECE_LENGTH, MAX_PIECES, MAX_TORRENT_LEN, MAX_TRACKERS, path, url};
use crate::wire::bencode::{DictWriter, ListWriter, write_dict};

/// The longest piece that [`default_piece_length`] chooses, in bytes.
const MAX_DEFAULT_PIECE_LENGTH: u32 = 16 << 20;
/// The most pieces that it aims at.
const MAX_DEFAULT_PIECES: u64 = 2000;

/// The piece length in bytes for `total_len` bytes: the power of two that makes between 1,000 and
/// 2,000 pieces, but at least 16 KiB and at most 16 MiB.
#[must_use]
pub fn default_piece_length(total_len: u64) -> u32 {
    let mut piece_len = BLOCK_LEN;
    while piece_len < MAX_DEFAULT_PIECE_LENGTH
        && total_len.div_ceil(u64::from(piece_len)) > MAX_DEFAULT_PIECES
    {
        piece_len *= 2;
    }
    piece_len
}

/// What a new torrent holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// One file with the torrent's name.
    File {
        /// Its length in bytes.
        len: u64,
        /// Whether it is executable.
        executable: bool,
    },
    /// A folder with the torrent's name and files in it, in this order.
    Folder(Vec<NewFile>),
}

/// A file in the folder of a new torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// The components of its path below the folder, at least one.
    pub path: Vec<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Whether it is executable.
    pub executable: bool,
}

/// Why a torrent cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CreateError {
    /// A name that readers would have to repair.
    #[error("`{0}` cannot be the name of a file or folder in a torrent")]
    Name(String),
    /// A path with too many components, too many bytes or none.
    #[error("`{0}` cannot be a path in a torrent")]
    Path(String),
    /// Two files with one path, or a file with the path of a folder.
    #[error("`{0}` is there twice")]
    SamePath(String),
    /// A piece length that is no power of two from 16 KiB to 512 MiB.
    #[error("pieces cannot be {0} bytes long: a power of two from 16384 to 536870912 is needed")]
    PieceLength(u32),
    /// Files and piece length that do not make a torrent.
    #[error(transparent)]
    Layout(#[from] BadLayout),
    /// More than [`MAX_PIECES`]: longer pieces are needed.
    #[error("{0} pieces, more than {MAX_PIECES}")]
    TooManyPieces(u32),
    /// An address that readers would not take for a tracker's, or too many of them.
    #[error("`{0}` cannot be a tracker, or is one too many")]
    Tracker(String),
    /// An address that readers would not take for a web seed's, or too many of them.
    #[error("`{0}` cannot be a web seed, or is one too many")]
    WebSeed(String),
    /// Other than one hash for each piece.
    #[error("{got} hashes for {expected} pieces")]
    PieceHashes {
        /// How many hashes there are.
        got: usize,
        /// How many pieces there are.
        expected: u32,
    },
    /// More than [`MAX_TORRENT_LEN`]: longer pieces or fewer files are needed.
    #[error("a torrent file of {0} bytes, more than {MAX_TORRENT_LEN}")]
    TooLarge(usize),
}

/// A torrent file in the making. The layout stands from the start, so that the caller can read and
/// hash the pieces; the rest may be set before [`Creation::finish`].
///
/// ```
/// use ripcurrent_proto::meta::{Torrent, create::{Content, Creation}};
///
/// let content = Content::File { len: 5, executable: false };
/// let mut creation = Creation::new("hello.txt", content, None)?;
/// creation.set_trackers(&[vec!["http://127.0.0.1:6969/announce".into()]])?;
/// assert_eq!(creation.layout().pieces(), 1);
/// let sha1_of_hello = [
///     0xaa, 0xf4, 0xc6, 0x1d, 0xdc, 0xc5, 0xe8, 0xa2, 0xda, 0xbe,
///     0xde, 0x0f, 0x3b, 0x48, 0x2c, 0xd9, 0xae, 0xa9, 0x43, 0x4d,
/// ];
/// let bytes = creation.finish(&[sha1_of_hello])?;
/// assert_eq!(Torrent::parse(bytes.into())?.name(), "hello.txt");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Creation {
    name: String,
    in_folder: bool,
    layout: Layout,
    trackers: Vec<Vec<String>>,
    web_seeds: Vec<String>,
    private: bool,
    comment: String,
    source: String,
    created_by: String,
    creation_date: Option<i64>,
}

impl Creation {
    /// Begins a torrent of `content`, with pieces of `piece_length` bytes or of the length that
    /// [`default_piece_length`] chooses.
    ///
    /// # Errors
    /// If a name, a path, the lengths or the piece length cannot be.
    pub fn new(
        name: &str,
        content: Content,
        piece_length: Option<u32>,
    ) -> Result<Self, CreateError> {
        check_name(name)?;
        let (files, in_folder) = match content {
            Content::File { len, executable } => {
                let path = Vec::new();
                let file = NewFile {
                    path,
                    len,
                    executable,
                };
                (vec![file], false)
            }
            Content::Folder(files) => {
                check_paths(&files)?;
                (files, true)
            }
        };
        let total_len = files
            .iter()
            .fold(0u64, |sum, file| sum.saturating_add(file.len));
        let piece_length = piece_length.unwrap_or_else(|| default_piece_length(total_len));
        if !piece_length.is_power_of_two()
            || !(BLOCK_LEN..=MAX_PIECE_LENGTH).contains(&piece_length)
        {
            return Err(CreateError::PieceLength(piece_length));
        }
        let entries = files.into_iter().map(|file| FileEntry {
            path: [vec![String::from(name)], file.path].concat(),
            len: file.len,
            offset: 0,
            kind: FileKind::Regular {
                executable: file.executable,
            },
        });
        let layout = Layout::new(piece_length, entries.collect())?;
        if layout.pieces() > MAX_PIECES {
            return Err(CreateError::TooManyPieces(layout.pieces()));
        }
        Ok(Creation {
            name: name.to_string(),
            in_folder,
            layout,
            trackers: Vec::new(),
            web_seeds: Vec::new(),
            private: false,
            comment: String::new(),
            source: String::new(),
            created_by: String::new(),
            creation_date: None,
        })
    }

    /// Where the bytes of its pieces lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Sets the trackers, in tiers (BEP 12). Empty tiers and repeated trackers are left out.
    ///
    /// # Errors
    /// If one is no address of a tracker as it stands, or there are more than [`MAX_TRACKERS`].
    pub fn set_trackers(&mut self, tiers: &[Vec<String>]) -> Result<(), CreateError> {
        let mut known: Vec<&str> = Vec::new();
        self.trackers.clear();
        for tier in tiers {
            let mut kept = Vec::new();
            for tracker in tier {
                if url::tracker(tracker.as_bytes()).as_ref() != Some(tracker)
                    || known.len() == MAX_TRACKERS
                {
                    return Err(CreateError::Tracker(tracker.clone()));
                }
                if !known.contains(&&**tracker) {
                    known.push(tracker);
                    kept.push(tracker.clone());
                }
            }
            if !kept.is_empty() {
                self.trackers.push(kept);
            }
        }
        Ok(())
    }

    /// Sets the web seeds (BEP 19). If there are several files, each gets a slash at its end.
    ///
    /// # Errors
    /// If one is no address of a web seed as it stands, or there are more than [`MAX_HINTS`].
    pub fn set_web_seeds(&mut self, seeds: &[String]) -> Result<(), CreateError> {
        self.web_seeds.clear();
        for seed in seeds {
            if url::web_seed(seed.as_bytes()).as_ref() != Some(seed)
                || self.web_seeds.len() == MAX_HINTS
            {
                return Err(CreateError::WebSeed(seed.clone()));
            }
            let mut seed = seed.clone();
            if self.layout.files().len() > 1 && !seed.ends_with('/') {
                seed.push('/');
            }
            if !self.web_seeds.contains(&seed) {
                self.web_seeds.push(seed);
            }
        }
        Ok(())
    }

    /// Whether peers may come from the trackers alone (BEP 27).
    pub fn set_private(&mut self, private: bool) {
        self.private = private;
    }

    /// Sets words for people.
    pub fn set_comment(&mut self, comment: &str) {
        self.comment = comment.to_string();
    }

    /// Sets the tracker it is made for, which changes the info-hash.
    pub fn set_source(&mut self, source: &str) {
        self.source = source.to_string();
    }

    /// Sets the program that makes it.
    pub fn set_created_by(&mut self, program: &str) {
        self.created_by = program.to_string();
    }

    /// Sets when it is made, in seconds since 1970.
    pub fn set_creation_date(&mut self, seconds: i64) {
        self.creation_date = Some(seconds);
    }

    /// The torrent file, in canonical form. `pieces` are the SHA-1 of all pieces in order.
    ///
    /// # Errors
    /// If the number of hashes is wrong, or readers would find the file too large.
    pub fn finish(&self, pieces: &[[u8; 20]]) -> Result<Vec<u8>, CreateError> {
        if pieces.len() as u64 != u64::from(self.layout.pieces()) {
            let (got, expected) = (pieces.len(), self.layout.pieces());
            return Err(CreateError::PieceHashes { got, expected });
        }
        let mut out = Vec::new();
        write_dict(&mut out, |root| {
            if let Some(first) = self.trackers.iter().flatten().next() {
                root.bytes(b"announce", first.as_bytes());
            }
            if self.trackers.iter().flatten().count() > 1 {
                root.list(b"announce-list", |list| {
                    for tier in &self.trackers {
                        list.list(|list| strings(list, tier));
                    }
                });
            }
            text(root, b"comment", &self.comment);
            text(root, b"created by", &self.created_by);
            if let Some(seconds) = self.creation_date {
                root.integer(b"creation date", seconds);
            }
            root.dict(b"info", |info| self.write_info(info, pieces));
            if !self.web_seeds.is_empty() {
                root.list(b"url-list", |list| strings(list, &self.web_seeds));
            }
        });
        if out.len() > MAX_TORRENT_LEN {
            return Err(CreateError::TooLarge(out.len()));
        }
        Ok(out)
    }

    fn write_info(&self, info: &mut DictWriter<'_>, pieces: &[[u8; 20]]) {
        if self.in_folder {
            info.list(b"files", |list| {
                for file in self.layout.files() {
                    list.dict(|dict| {
                        write_file(dict, file);
                        dict.list(b"path", |list| strings(list, &file.path[1..]));
                    });
                }
            });
        } else {
            write_file(info, &self.layout.files()[0]);
        }
        info.bytes(b"name", self.name.as_bytes());
        info.integer(b"piece length", i64::from(self.layout.piece_length()));
        info.bytes(b"pieces", pieces.as_flattened());
        if self.private {
            info.integer(b"private", 1);
        }
        text(info, b"source", &self.source);
    }
}

fn write_file(dict: &mut DictWriter<'_>, file: &FileEntry) {
    if file.kind == (FileKind::Regular { executable: true }) {
        dict.bytes(b"attr", b"x");
    }
    let len = i64::try_from(file.len).expect("a layout holds at most 2^63 bytes");
    dict.integer(b"length", len);
}

fn strings(list: &mut ListWriter<'_>, strings: &[String]) {
    for string in strings {
        list.bytes(string.as_bytes());
    }
}

fn text(dict: &mut DictWriter<'_>, key: &[u8], text: &str) {
    if !text.is_empty() {
        dict.bytes(key, text.as_bytes());
    }
}

fn check_name(name: &str) -> Result<(), CreateError> {
    if path::component(name.as_bytes()) != name {
        return Err(CreateError::Name(name.to_string()));
    }
    Ok(())
}

fn check_paths(files: &[NewFile]) -> Result<(), CreateError> {
    for NewFile { path, .. } in files {
        path.iter().try_for_each(|name| check_name(name))?;
        let mut read = path::PathBuilder::default();
        path.iter().for_each(|name| read.push(name.as_bytes()));
        if path.is_empty() || read.finish() != *path || is_bitcomet_pad(path) {
            return Err(CreateError::Path(path.join("/")));
        }
    }
    let mut sorted: Vec<&[String]> = files.iter().map(|file| &file.path[..]).collect();
    sorted.sort_unstable();
    // In this order what lies below a path follows it at once.
    match sorted.windows(2).find(|pair| pair[1].starts_with(pair[0])) {
        Some(pair) => Err(CreateError::SamePath(pair[0].join("/"))),
        None => Ok(()),
    }
}

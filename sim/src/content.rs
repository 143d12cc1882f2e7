//! What is distributed: a torrent and its data, both a function of the seed.
//!
//! The data has one of two forms. In **bytes** it looks random, and everything is kept, hashed and
//! compared byte by byte. In the **compact** form every block begins with a tag (`tags`) that says
//! which one it is, and the rest is zeros: hashes are those of these bytes, yet a piece is
//! recognised, and a disk remembers it, by its tags alone.
//!
//! Invariant of a compact world: past the tag of its block, payload is zeros, in memory, on the way
//! and on disks. So whoever makes payload up changes tags and nothing else, as `spoil` does, and
//! memory that was used for one block may be used for any other. What reads and writes payload
//! asserts this in debug.

pub(crate) mod known;
mod share;
pub(crate) mod tags;

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::create::{self, CreateError, Creation, NewFile};
use ripcurrent_proto::meta::layout::{FileIndex, Layout, PieceIndex};
use ripcurrent_proto::meta::parts::{ASIDE, beside, part_names};
use ripcurrent_proto::meta::{Torrent, TorrentError};
use sha1::{Digest, Sha1};

use crate::disk::{Files, Layer, Place, path_of};
use crate::scenario::TorrentPlan;
use known::Known;
use tags::{TAG, Tags};

/// The torrent's name, and that of its file or folder.
const NAME: &str = "swarm";

/// How the data is made up and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As bytes that look random.
    Bytes,
    /// As a tag for each block.
    Compact,
}

/// A torrent and its data.
pub struct Content {
    /// Its metadata.
    pub torrent: Arc<Torrent>,
    payload: Payload,
    /// What its files are called until they are finished.
    part_names: Vec<String>,
}

enum Payload {
    /// All files in a row.
    Bytes(Vec<u8>),
    Compact(Arc<Known>),
}

/// What is right in a range of a torrent.
pub(crate) enum Right<'a> {
    Bytes(&'a [u8]),
    Tags { tags: Tags, start: u64, len: u64 },
}

impl Right<'_> {
    /// The length of the range.
    pub(crate) fn len(&self) -> u64 {
        match self {
            Right::Bytes(bytes) => bytes.len() as u64,
            Right::Tags { len, .. } => *len,
        }
    }

    /// All of it.
    pub(crate) fn to_bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Right::Bytes(bytes) => Cow::Borrowed(bytes),
            Right::Tags { tags, start, len } => {
                let mut bytes = vec![0; *len as usize];
                tags.fill(*start, &mut bytes);
                Cow::Owned(bytes)
            }
        }
    }
}

/// Why a plan makes no torrent.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// It cannot be made.
    #[error(transparent)]
    Create(#[from] CreateError),
    /// It was made and cannot be read.
    #[error(transparent)]
    Read(#[from] TorrentError),
}

impl Content {
    /// Makes up the data of `plan` and its torrent, which names `trackers` (URLs), each in a tier of
    /// its own.
    ///
    /// # Errors
    /// If the plan makes no torrent.
    pub fn new(
        plan: &TorrentPlan,
        form: Form,
        trackers: &[&str],
        rng: &Rng,
    ) -> Result<Self, ContentError> {
        let piece_length = u32::try_from(plan.piece_length.0).ok();
        let mut creation = Creation::new(NAME, files(plan), piece_length)?;
        let tiers: Vec<_> = trackers.iter().map(|url| vec![(*url).to_owned()]).collect();
        creation.set_trackers(&tiers)?;
        creation.set_private(plan.private);
        let mut rng = rng.clone();
        match form {
            Form::Bytes => Content::of_bytes(&creation, &mut rng),
            Form::Compact => Content::of_tags(&creation, &mut rng),
        }
    }

    fn of_bytes(creation: &Creation, rng: &mut Rng) -> Result<Self, ContentError> {
        let mut bytes = vec![0; creation.layout().total_len() as usize];
        rng.fill(&mut bytes);
        let pieces = bytes.chunks(creation.layout().piece_length() as usize);
        let hashes: Vec<[u8; 20]> = pieces.map(|piece| Sha1::digest(piece).into()).collect();
        let torrent = torrent(creation, &hashes)?;
        Ok(Content::of(torrent, Payload::Bytes(bytes)))
    }

    fn of_tags(creation: &Creation, rng: &mut Rng) -> Result<Self, ContentError> {
        let tags = Tags::new(rng.next_u32(), creation.layout().piece_length());
        let hashes = known::hashes(tags, creation.layout());
        let torrent = torrent(creation, &hashes)?;
        let known = Known::new(tags, Arc::clone(torrent.layout()), hashes);
        Ok(Content::of(torrent, Payload::Compact(Arc::new(known))))
    }

    fn of(torrent: Arc<Torrent>, payload: Payload) -> Self {
        Content {
            part_names: part_names(torrent.layout()),
            torrent,
            payload,
        }
    }

    /// An empty disk that keeps this torrent's data in its form.
    pub fn blank_disk(&self) -> Files {
        match &self.payload {
            Payload::Bytes(_) => Files::default(),
            Payload::Compact(known) => Files::compact(Arc::clone(known)),
        }
    }

    /// Puts everything on an empty disk, below `root`.
    ///
    /// # Panics
    /// If something is in the way.
    pub fn put(&self, files: &Files, root: &str) {
        for entry in self.layout().files() {
            let path = path_of(root, entry);
            let put = match self.right(entry.offset, entry.len) {
                Right::Bytes(bytes) => files.put(&path, bytes.to_vec()),
                Right::Tags { tags, .. } => files.put_tags(&path, tags, entry),
            };
            put.expect("nothing is in the way on an empty disk");
        }
    }

    /// Whether a disk holds everything below `root`, byte for byte, finished or not.
    #[must_use]
    pub fn is_whole(&self, files: &Files, root: &str) -> bool {
        self.is_there(files, root, Layer::Written)
    }

    /// Whether all of it is durable there: whether it would outlive a loss of power.
    pub(crate) fn is_durable(&self, files: &Files, root: &str) -> bool {
        self.is_there(files, root, Layer::Durable)
    }

    /// Whether all of it is durable and every file finished, which no loss of power changes.
    pub(crate) fn is_finished(&self, files: &Files, root: &str) -> bool {
        self.files()
            .all(|index| self.is_file_finished(files, root, index))
    }

    /// The same for one file.
    pub(crate) fn is_file_finished(&self, files: &Files, root: &str, index: FileIndex) -> bool {
        let is_named = files.is_finished(&self.place(root, index));
        is_named && self.is_file_there(files, root, index, Layer::Durable)
    }

    fn is_there(&self, files: &Files, root: &str, layer: Layer) -> bool {
        let mut all = self.files();
        all.all(|index| self.is_file_there(files, root, index, layer))
    }

    fn is_file_there(&self, files: &Files, root: &str, index: FileIndex, layer: Layer) -> bool {
        let entry = &self.layout().files()[index.at()];
        let place = self.place(root, index);
        let right = self.right(entry.offset, entry.len);
        files.has_len(&place, entry.len, layer) && files.holds(&place, 0, &right, layer)
    }

    /// Whether a disk holds this piece, in its files or aside, as programs see it or so that it
    /// would outlive a loss of power.
    pub(crate) fn has_piece(
        &self,
        files: &Files,
        root: &str,
        piece: PieceIndex,
        layer: Layer,
    ) -> bool {
        let spans = self.layout().spans(self.layout().whole(piece));
        spans.iter().all(|span| {
            let Some(index) = span.file else { return true };
            let place = self.place(root, index);
            let start = self.layout().files()[index.at()].offset + span.offset;
            let right = self.right(start, u64::from(span.len));
            let aside = || self.beside(root, ASIDE);
            files.holds(&place, span.offset, &right, layer)
                || files.holds_aside(&place, &aside(), start, &right, layer)
        })
    }

    /// All files with a place on the disk.
    pub(crate) fn files(&self) -> impl Iterator<Item = FileIndex> {
        let files = self.layout().files().iter().zip(0..);
        files.filter_map(|(entry, index)| (!entry.is_pad()).then_some(FileIndex(index)))
    }

    /// Where a file lies below `root`.
    pub(crate) fn place(&self, root: &str, index: FileIndex) -> Place {
        let entry = &self.layout().files()[index.at()];
        Place::new(root, entry, &self.part_names[index.at()])
    }

    /// Where what has this ending is kept beside the files.
    pub(crate) fn beside(&self, root: &str, ending: &str) -> String {
        format!("{root}/{}", beside(self.layout(), ending))
    }

    /// Writes what is right at `begin` of `piece` into `block`: any range inside the piece.
    ///
    /// # Panics
    /// If the range is not.
    pub fn block(&self, piece: u32, begin: u32, block: &mut [u8]) {
        let start = u64::from(piece) * u64::from(self.layout().piece_length()) + u64::from(begin);
        match self.right(start, block.len() as u64) {
            Right::Bytes(bytes) => block.copy_from_slice(bytes),
            Right::Tags { tags, start, .. } => tags.fill(start, block),
        }
    }

    /// What is right in a range of the torrent.
    fn right(&self, start: u64, len: u64) -> Right<'_> {
        match &self.payload {
            Payload::Bytes(bytes) => {
                let start = start as usize;
                Right::Bytes(&bytes[start..start + len as usize])
            }
            Payload::Compact(known) => Right::Tags {
                tags: known.tags(),
                start,
                len,
            },
        }
    }

    fn layout(&self) -> &Arc<Layout> {
        self.torrent.layout()
    }
}

/// Makes a block wrong, in either form: bytes among its first are no more what they were.
pub(crate) fn spoil(block: &mut [u8], rng: &mut Rng) {
    let reach = block.len().min(TAG);
    block[rng.index(reach)] ^= 1 + rng.below(255) as u8;
}

fn torrent(creation: &Creation, hashes: &[[u8; 20]]) -> Result<Arc<Torrent>, ContentError> {
    let file = Bytes::from(creation.finish(hashes)?);
    Ok(Arc::new(Torrent::parse(file)?))
}

/// One file, or a folder of numbered ones.
fn files(plan: &TorrentPlan) -> create::Content {
    if let [only] = plan.files[..] {
        return create::Content::File {
            len: only.0,
            executable: false,
        };
    }
    let numbered = plan.files.iter().zip(1..).map(|(size, number)| NewFile {
        path: vec![format!("{number}.bin")],
        len: size.0,
        executable: false,
    });
    create::Content::Folder(numbered.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{ContentForm, Share, Size};

    const FORMS: [Form; 2] = [Form::Bytes, Form::Compact];

    fn content(seed: u8, form: Form) -> Content {
        let plan = TorrentPlan {
            files: [100_000, 0, 7, 40_000].map(Size).to_vec(),
            piece_length: Size(32 << 10),
            private: false,
            content: ContentForm::Bytes,
        };
        let rng = Rng::from_seed([seed; 32]);
        let trackers = ["http://tracker.test:80/announce"];
        Content::new(&plan, form, &trackers, &rng).unwrap()
    }

    /// What is put on a disk is whole until a byte of it changes or a file goes missing.
    #[test]
    fn a_copy_is_compared_byte_by_byte() {
        for form in FORMS {
            let content = content(1, form);
            let files = content.blank_disk();
            assert!(!content.is_whole(&files, "data"));
            content.put(&files, "data");
            assert!(content.is_whole(&files, "data"));
            let mut bytes = files.read("data/swarm/4.bin").unwrap();
            files.put("data/swarm/4.bin", bytes.clone()).unwrap();
            assert!(content.is_whole(&files, "data"), "{form:?}: put as bytes");
            bytes[39_999] ^= 1;
            files.put("data/swarm/4.bin", bytes).unwrap();
            assert!(!content.is_whole(&files, "data"), "{form:?}");
        }
    }

    /// A share of the pieces is there and right, and no more.
    #[test]
    fn a_share_of_the_pieces_can_be_there() {
        for form in FORMS {
            let content = content(1, form);
            let files = content.blank_disk();
            let mut rng = Rng::from_seed([4; 32]);
            content.put_share(&files, "data", Share(600), &mut rng);
            let mut row = Vec::new();
            for index in content.files() {
                let entry = &content.layout().files()[index.at()];
                let file = files.read(&content.place("data", index).part);
                row.extend_from_slice(&file.unwrap_or_default());
                row.resize((entry.offset + entry.len) as usize, 0);
            }
            let pieces = row.chunks(content.layout().piece_length() as usize);
            let right = pieces.zip(0..).filter(|(bytes, piece)| {
                let piece = content.layout().piece(*piece).unwrap();
                content.torrent.piece_hash_v1(piece) == Some(Sha1::digest(bytes).into())
            });
            assert_eq!(right.count(), 3, "of five pieces, {form:?}");
        }
    }

    /// The torrent follows from the seed.
    #[test]
    fn another_seed_is_another_torrent() {
        for form in FORMS {
            let hashes = |seed| content(seed, form).torrent.hashes();
            assert_eq!(hashes(1), hashes(1));
            assert_ne!(hashes(1), hashes(2));
        }
    }

    /// Blocks, pieces, hashes and files tell of the same bytes.
    #[test]
    fn pieces_have_the_hashes_of_their_blocks() {
        for form in FORMS {
            let content = content(3, form);
            let files = content.blank_disk();
            content.put(&files, "data");
            let mut row = Vec::new();
            for entry in content.layout().files() {
                row.extend(files.read(&path_of("data", entry)).unwrap());
            }
            let pieces = row.chunks(content.layout().piece_length() as usize);
            for (bytes, piece) in pieces.zip(0..) {
                let piece = content.layout().piece(piece).unwrap();
                let digest = Sha1::digest(bytes).into();
                assert_eq!(content.torrent.piece_hash_v1(piece), Some(digest));
                for at in 0..content.layout().blocks_in(piece) {
                    let block = content.layout().nth_block(piece, at);
                    let mut right = vec![0; block.len as usize];
                    content.block(piece.0, block.begin, &mut right);
                    assert_eq!(right, bytes[block.begin as usize..][..right.len()]);
                }
            }
        }
    }

    /// A spoilt block is never the right one, however short it is.
    #[test]
    fn what_is_spoilt_is_wrong() {
        let mut rng = Rng::from_seed([5; 32]);
        for len in (1..40).cycle().take(1000) {
            let mut block = vec![0; len];
            spoil(&mut block, &mut rng);
            assert!(block.iter().any(|byte| *byte != 0));
            assert!(block.iter().skip(TAG).all(|byte| *byte == 0));
        }
    }
}

//! What is distributed: bytes that look random and follow from the seed, and their torrent.

use std::sync::Arc;

use bytes::Bytes;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::create::{self, CreateError, Creation, NewFile};
use ripcurrent_proto::meta::layout::{FileEntry, Layout};
use ripcurrent_proto::meta::{Torrent, TorrentError};
use sha1::{Digest, Sha1};

use crate::disk::{Files, path_of};
use crate::scenario::TorrentPlan;

/// The torrent's name, and that of its file or folder.
const NAME: &str = "swarm";

/// A torrent and its data.
pub(crate) struct Content {
    pub(crate) torrent: Arc<Torrent>,
    /// All files in a row.
    bytes: Vec<u8>,
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
    /// Makes up the data of `plan` and its torrent, which names `tracker` (a URL).
    pub(crate) fn new(plan: &TorrentPlan, tracker: &str, rng: &Rng) -> Result<Self, ContentError> {
        let piece_length = u32::try_from(plan.piece_length.0).ok();
        let mut creation = Creation::new(NAME, files(plan), piece_length)?;
        creation.set_trackers(&[vec![tracker.to_owned()]])?;
        creation.set_private(plan.private);
        let mut bytes = vec![0; creation.layout().total_len() as usize];
        rng.clone().fill(&mut bytes);
        let pieces = bytes.chunks(creation.layout().piece_length() as usize);
        let hashes: Vec<[u8; 20]> = pieces.map(|piece| Sha1::digest(piece).into()).collect();
        let file = Bytes::from(creation.finish(&hashes)?);
        let torrent = Arc::new(Torrent::parse(file)?);
        Ok(Content { torrent, bytes })
    }

    /// Puts everything on a disk, below `root`.
    pub(crate) fn put(&self, files: &Files, root: &str) {
        for (entry, bytes) in self.entries() {
            let put = files.put(&path_of(root, entry), bytes.to_vec());
            put.expect("nothing is in the way on an empty disk");
        }
    }

    /// Whether a disk holds everything below `root`, byte for byte.
    pub(crate) fn is_whole(&self, files: &Files, root: &str) -> bool {
        let is_there = |(entry, bytes): (&FileEntry, &[u8])| {
            files.read(&path_of(root, entry)).as_deref() == Some(bytes)
        };
        self.entries().all(is_there)
    }

    fn entries(&self) -> impl Iterator<Item = (&FileEntry, &[u8])> {
        let layout: &Layout = self.torrent.layout();
        layout.files().iter().map(|entry| {
            let from = entry.offset as usize;
            (entry, &self.bytes[from..from + entry.len as usize])
        })
    }
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
    use crate::scenario::{ContentForm, Size};

    fn content(seed: u8) -> Content {
        let plan = TorrentPlan {
            files: [100_000, 0, 7, 40_000].map(Size).to_vec(),
            piece_length: Size(32 << 10),
            private: false,
            content: ContentForm::Bytes,
        };
        let rng = Rng::from_seed([seed; 32]);
        Content::new(&plan, "http://tracker.test:80/announce", &rng).unwrap()
    }

    /// What is put on a disk is whole until a byte of it changes or a file goes missing.
    #[test]
    fn a_copy_is_compared_byte_by_byte() {
        let content = content(1);
        let files = Files::default();
        assert!(!content.is_whole(&files, "data"));
        content.put(&files, "data");
        assert!(content.is_whole(&files, "data"));
        let mut bytes = files.read("data/swarm/4.bin").unwrap();
        bytes[39_999] ^= 1;
        files.put("data/swarm/4.bin", bytes).unwrap();
        assert!(!content.is_whole(&files, "data"));
    }

    /// The torrent follows from the seed.
    #[test]
    fn another_seed_is_another_torrent() {
        let hashes = |seed| content(seed).torrent.hashes();
        assert_eq!(hashes(1), hashes(1));
        assert_ne!(hashes(1), hashes(2));
    }
}

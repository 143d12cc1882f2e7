//! What is kept of a torrent while the command works on it, so that ten thousand fit: not the hashes
//! of its pieces, which are nearly all of it. Where the engine needs them its file is read again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ripcurrent_proto::meta::layout::Layout;
use ripcurrent_proto::meta::{InfoHashes, Torrent};

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::load::{self, hex};

/// What is kept of a torrent.
#[derive(Debug)]
pub(crate) struct Outline {
    name: Box<str>,
    hashes: InfoHashes,
    layout: Arc<Layout>,
    /// The bytes of its info dictionary, and of the addresses of its trackers.
    pub(crate) info_len: usize,
    pub(crate) trackers_len: usize,
    /// Its torrent file; `None` where there is none to be read again.
    file: Option<Box<Path>>,
}

impl Outline {
    /// That of `torrent`, which has its pieces and was read from `file`.
    pub(crate) fn new(torrent: &Torrent, file: Option<PathBuf>) -> Self {
        let trackers = torrent.trackers().iter().flatten();
        Outline {
            name: torrent.name().into(),
            hashes: torrent.hashes(),
            layout: Arc::clone(torrent.layout()),
            info_len: torrent.info_bytes().len(),
            trackers_len: trackers.map(String::len).sum(),
            file: file.map(PathBuf::into_boxed_path),
        }
    }

    /// Its name, which comes from outside.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its files.
    pub(crate) fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// What programs know it by: see [`load::id`].
    pub(crate) fn id(&self) -> String {
        let v1 = self.hashes.v1.map(|hash| hex(&hash));
        v1.or_else(|| Some(hex(&self.hashes.v2?)))
            .unwrap_or_default()
    }

    /// Its torrent file, if it was read from one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether it names trackers.
    pub(crate) fn has_trackers(&self) -> bool {
        self.trackers_len > 0
    }

    /// Reads all of it again.
    ///
    /// # Errors
    /// If its file is gone, is no torrent any more, or is another one.
    pub(crate) fn read_again(&self) -> Result<Arc<Torrent>, Failure> {
        let gone = || {
            let what = format!(
                "the torrent file of {} cannot be read again",
                Escaped(&self.name)
            );
            Failure::new(Exit::Internal, what)
        };
        let file = self.file.as_deref().ok_or_else(gone)?;
        let torrent = load::torrent(file)?;
        if torrent.hashes() != self.hashes {
            let file = Escaped::path(file).to_string();
            let what = format!("{file} is another torrent now than when the command began");
            let remedy = "Begin again, or put the file back.";
            return Err(Failure::new(Exit::BadTorrent, what).remedy(remedy));
        }
        Ok(Arc::new(torrent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::create::{Content, Creation};
    use std::fs;

    fn torrent_file(piece: u8) -> Vec<u8> {
        let content = Content::File {
            len: 5,
            executable: false,
        };
        let creation = Creation::new("a", content, Some(1 << 14)).unwrap();
        creation.finish(&[[piece; 20]]).unwrap()
    }

    /// What is read again is the same torrent, or why not is told with the file.
    #[test]
    fn only_the_same_torrent_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.torrent");
        fs::write(&path, torrent_file(1)).unwrap();
        let torrent = load::torrent(&path).unwrap();
        let outline = Outline::new(&torrent, Some(path.clone()));
        let again = outline.read_again().unwrap();
        assert!(again.has_pieces() && again.hashes() == torrent.hashes());
        for (bytes, told) in [
            (Some(torrent_file(2)), "is another torrent now"),
            (Some(b"x".to_vec()), "is not a torrent that can be used"),
            (None, "cannot read"),
        ] {
            match bytes {
                Some(bytes) => fs::write(&path, bytes).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let failure = outline.read_again().unwrap_err();
            assert_eq!(failure.exit(), Exit::BadTorrent);
            let text = failure.to_string();
            assert!(text.contains(told) && text.contains("a.torrent"), "{text}");
        }
    }
}

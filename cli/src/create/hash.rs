//! The hashes of all pieces of data on the disk that is to become a torrent.

use std::fs;
use std::path::{Path, PathBuf};

use ripcurrent_proto::meta::layout::{FileEntry, Layout, PieceIndex};

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::hashing::{self, Data};
use crate::stop::Stop;

/// Hashes the files of `layout`, which lie at `paths` in the same order; `None` if it was stopped.
/// `progress` is told the bytes hashed so far.
pub(crate) fn hash_pieces(
    layout: &Layout,
    paths: &[PathBuf],
    stop: &Stop,
    progress: impl FnMut(u64),
) -> Result<Option<Vec<[u8; 20]>>, Failure> {
    let all: Vec<Option<PathBuf>> = paths.iter().cloned().map(Some).collect();
    let data = Data {
        layout,
        paths: &all,
    };
    let Some(digests) = hashing::hash_pieces(data, stop, progress)? else {
        return Ok(None);
    };
    for (file, path) in layout.files().iter().zip(paths) {
        check_len(file, path)?;
    }
    let digests = (0..).zip(digests).map(|(piece, digest)| {
        digest.ok_or_else(|| {
            // It was shorter for a moment.
            let spans = layout.spans(layout.whole(PieceIndex(piece)));
            let file = spans.iter().find_map(|span| span.file);
            changed(file.map_or(Path::new(""), |file| &paths[file.at()]))
        })
    });
    digests.collect::<Result<_, _>>().map(Some)
}

/// A file whose length changed since it was listed is not the file that the torrent would name.
fn check_len(file: &FileEntry, path: &Path) -> Result<(), Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::disk("read", path, error))?;
    if metadata.len() == file.len {
        Ok(())
    } else {
        Err(changed(path))
    }
}

fn changed(path: &Path) -> Failure {
    let what = format!("{} changed while it was read", Escaped::path(path));
    Failure::new(Exit::CheckFailed, what).remedy("Try again when nothing writes to it any more.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::FileKind;
    use sha1::{Digest, Sha1};

    /// Pieces run across files as if all files were one, and the last word of the progress is all of
    /// it.
    #[test]
    fn pieces_run_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let lens = [5usize, 0, (1 << 20) + 3, 40_000];
        let mut all = Vec::new();
        let mut files = Vec::new();
        let mut paths = Vec::new();
        for (number, len) in lens.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..len).map(|at| (at * 31 + number) as u8).collect();
            let path = dir.path().join(number.to_string());
            fs::write(&path, &bytes).unwrap();
            let kind = FileKind::Regular { executable: false };
            files.push(FileEntry {
                path: vec![number.to_string()],
                len: len as u64,
                offset: 0,
                kind,
            });
            paths.push(path);
            all.extend(bytes);
        }
        let layout = Layout::new(16 << 10, files).unwrap();
        let stop = Stop::default();
        let mut told = 0;
        let pieces = hash_pieces(&layout, &paths, &stop, |done| told = done)
            .unwrap()
            .unwrap();
        let expected: Vec<[u8; 20]> = all
            .chunks(16 << 10)
            .map(|piece| Sha1::digest(piece).into())
            .collect();
        assert_eq!(pieces, expected);
        assert_eq!(told, all.len() as u64);
        stop.ask();
        assert_eq!(hash_pieces(&layout, &paths, &stop, |_| {}).unwrap(), None);
    }

    /// A file that became shorter or longer since it was listed makes no torrent.
    #[test]
    fn a_file_that_changes_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let kind = FileKind::Regular { executable: false };
        let files = vec![FileEntry {
            path: vec!["a".into()],
            len: 10,
            offset: 0,
            kind,
        }];
        let layout = Layout::new(16 << 10, files).unwrap();
        for len in [9, 11] {
            fs::write(&path, vec![0; len]).unwrap();
            let failure = hash_pieces(
                &layout,
                std::slice::from_ref(&path),
                &Stop::default(),
                |_| {},
            );
            assert_eq!(failure.unwrap_err().exit(), Exit::CheckFailed, "{len}");
        }
    }
}

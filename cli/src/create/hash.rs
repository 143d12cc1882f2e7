//! The hashes of all pieces of data on the disk.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ripcurrent_proto::meta::layout::{FileEntry, Layout};
use sha1::{Digest, Sha1};

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::stop::Stop;

/// Bytes read in one step.
const STEP: usize = 1 << 20;

/// Hashes the files of `layout`, which lie at `paths` in the same order; `None` if it was stopped.
/// `progress` is told the bytes hashed so far.
pub(crate) fn hash_pieces(
    layout: &Layout,
    paths: &[PathBuf],
    stop: &Stop,
    mut progress: impl FnMut(u64),
) -> Result<Option<Vec<[u8; 20]>>, Failure> {
    let mut pieces = Pieces::new(layout.piece_length());
    let mut step = vec![0; STEP];
    let mut done = 0;
    for (file, path) in layout.files().iter().zip(paths) {
        let read = |error| Failure::disk("read", path, error);
        let mut source = File::open(path).map_err(read)?;
        let mut left = file.len;
        while left > 0 {
            if stop.is_asked() {
                return Ok(None);
            }
            let most = left.min(STEP as u64) as usize;
            let got = read_some(&mut source, &mut step[..most]).map_err(read)?;
            if got == 0 {
                return Err(changed(path));
            }
            pieces.update(&step[..got]);
            left -= got as u64;
            done += got as u64;
            progress(done);
        }
        check_end(&source, file, path)?;
    }
    Ok(Some(pieces.finish()))
}

fn read_some(source: &mut File, step: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(step) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A file that grew since it was listed is not the file that the torrent would name.
fn check_end(source: &File, file: &FileEntry, path: &Path) -> Result<(), Failure> {
    let metadata = source
        .metadata()
        .map_err(|error| Failure::disk("read", path, error))?;
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

/// A row of bytes cut into pieces.
struct Pieces {
    piece_len: usize,
    hash: Sha1,
    /// Bytes of the current piece.
    filled: usize,
    digests: Vec<[u8; 20]>,
}

impl Pieces {
    fn new(piece_len: u32) -> Self {
        Pieces {
            piece_len: piece_len as usize,
            hash: Sha1::new(),
            filled: 0,
            digests: Vec::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(self.piece_len - self.filled));
            self.hash.update(now);
            self.filled += now.len();
            if self.filled == self.piece_len {
                self.digests.push(self.hash.finalize_reset().into());
                self.filled = 0;
            }
            bytes = later;
        }
    }

    fn finish(mut self) -> Vec<[u8; 20]> {
        if self.filled > 0 {
            self.digests.push(self.hash.finalize().into());
        }
        self.digests
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::FileKind;
    use std::fs;

    /// Pieces run across files and steps as if all files were one.
    #[test]
    fn pieces_run_across_files() {
        let dir = tempfile::tempdir().unwrap();
        let lens = [5usize, 0, STEP + 3, 40_000];
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

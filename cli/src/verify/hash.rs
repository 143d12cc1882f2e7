//! What of the data is right.
//!
//! What is judged as one is a piece, or, where a torrent has no v1 half (BEP 52), a file.

use std::path::PathBuf;

use ripcurrent_proto::meta::layout::{FileIndex, FileSpan, Layout, PieceIndex};
use ripcurrent_proto::meta::{Torrent, merkle};
use ripcurrent_runtime_uring::hash::{self, Kernel};

use crate::exit::Failure;
use crate::hashing::{self, Crew, Read, Reader, hash_pieces, in_parallel};
use crate::stop::Stop;

/// Bytes of a file read in one step: whole leaves.
const STEP: usize = 1 << 20;
/// The leaves of BEP 52, in bytes.
const LEAF: usize = 16 << 10;

/// What became of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is what the torrent says.
    Right,
    /// It is something else.
    Wrong,
    /// Not all of it is there.
    Absent,
}

/// Data on the disk: the path of each file that is there, in the order of the torrent.
pub(super) struct Data<'a> {
    pub(super) torrent: &'a Torrent,
    pub(super) paths: &'a [Option<PathBuf>],
}

impl Data<'_> {
    /// Judges all pieces; `None` if it was stopped. `progress` is told the bytes looked at.
    pub(super) fn judge(
        &self,
        stop: &Stop,
        progress: impl FnMut(u64),
    ) -> Result<Option<Vec<Found>>, Failure> {
        let layout = self.torrent.layout();
        let data = hashing::Data {
            layout,
            paths: self.paths,
        };
        if self.torrent.hashes().v1.is_some() {
            let digests = hash_pieces(data, stop, progress)?;
            return Ok(digests.map(|digests| self.judge_pieces(&digests)));
        }
        let tools = || Leaves::new(data);
        let task = |file: usize, leaves: &mut Leaves<'_>, crew: &Crew<'_>| {
            self.judge_file(FileIndex(file as u32), leaves, crew)
        };
        let files = in_parallel(layout.files().len(), stop, progress, tools, task)?;
        Ok(files.map(|files| pieces_of_files(layout, &files)))
    }

    fn judge_pieces(&self, digests: &[Option<[u8; 20]>]) -> Vec<Found> {
        let judge = |(piece, digest): (u32, &Option<[u8; 20]>)| match digest {
            Some(_) => verdict(self.torrent.piece_hash_v1(PieceIndex(piece)) == *digest),
            None => Found::Absent,
        };
        (0..).zip(digests).map(judge).collect()
    }

    fn judge_file(
        &self,
        file: FileIndex,
        leaves: &mut Leaves<'_>,
        crew: &Crew<'_>,
    ) -> Result<Found, Failure> {
        let len = self.torrent.layout().files()[file.at()].len;
        let Some(root) = self.torrent.facts(file).pieces_root.filter(|_| len > 0) else {
            crew.tell(len);
            return Ok(Found::Right);
        };
        Ok(match leaves.of(file, len, crew)? {
            Some(leaves) => verdict(merkle::root(leaves, 0) == Some(root)),
            None => Found::Absent,
        })
    }
}

fn verdict(is_right: bool) -> Found {
    if is_right { Found::Right } else { Found::Wrong }
}

/// Each piece as its file is: in BEP 52 no piece has bytes of two.
fn pieces_of_files(layout: &Layout, files: &[Found]) -> Vec<Found> {
    let mut pieces = vec![Found::Right; layout.pieces() as usize];
    for (index, found) in (0..).map(FileIndex).zip(files) {
        if !layout.files()[index.at()].is_pad() {
            for piece in layout.pieces_of(index) {
                pieces[piece as usize] = *found;
            }
        }
    }
    pieces
}

/// What a thread hashes the leaves of files with.
struct Leaves<'a> {
    kernel: Kernel,
    reader: Reader<'a>,
    step: Vec<u8>,
}

impl<'a> Leaves<'a> {
    fn new(data: hashing::Data<'a>) -> Self {
        Leaves {
            kernel: Kernel::best(),
            reader: Reader::new(data),
            step: vec![0; STEP],
        }
    }

    /// The leaves of a file of `len` bytes; `None` if not all of it is there.
    fn of(
        &mut self,
        file: FileIndex,
        len: u64,
        crew: &Crew<'_>,
    ) -> Result<Option<Vec<merkle::Hash>>, Failure> {
        let mut leaves = Vec::new();
        let mut offset = 0;
        while offset < len && !crew.is_over() {
            let step = &mut self.step[..(len - offset).min(STEP as u64) as usize];
            let span = FileSpan {
                file: Some(file),
                offset,
                len: step.len() as u32,
                aside: false,
            };
            if self.reader.read(&[span], step)? == Read::Absent {
                crew.tell(len - offset);
                return Ok(None);
            }
            let blocks: Vec<&[u8]> = step.chunks(LEAF).collect();
            let hashed = leaves.len();
            leaves.resize(hashed + blocks.len(), [0; 32]);
            hash::sha256(self.kernel, &blocks, &mut leaves[hashed..]);
            crew.tell(step.len() as u64);
            offset += step.len() as u64;
        }
        Ok(Some(leaves))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::wire::bencode;
    use std::fs;
    use std::path::Path;

    /// A v2-only torrent of files in a folder `t`, none longer than a piece.
    fn v2(files: &[(&str, &[u8])]) -> Torrent {
        let mut bytes = Vec::new();
        bencode::write_dict(&mut bytes, |root| {
            root.dict(b"info", |info| {
                info.dict(b"file tree", |tree| {
                    for (name, content) in files {
                        tree.dict(name.as_bytes(), |file| {
                            file.dict(b"", |file| {
                                file.integer(b"length", content.len() as i64);
                                let leaves = content.chunks(LEAF).map(merkle::leaf);
                                if let Some(root) = merkle::root(leaves, 0) {
                                    file.bytes(b"pieces root", &root);
                                }
                            });
                        });
                    }
                });
                info.integer(b"meta version", 2);
                info.bytes(b"name", b"t");
                info.integer(b"piece length", 1 << 16);
            });
        });
        Torrent::parse(bytes.into()).unwrap()
    }

    fn judge(torrent: &Torrent, dir: &Path) -> Result<Option<Vec<Found>>, Failure> {
        let files = torrent.layout().files().iter();
        let paths: Vec<_> = files
            .map(|entry| Some(dir.join(entry.path_string())).filter(|path| path.exists()))
            .collect();
        let paths = &paths;
        Data { torrent, paths }.judge(&Stop::default(), |_| {})
    }

    /// Files of a v2-only torrent are judged by their own roots: right, changed, short, gone.
    #[test]
    fn files_of_v2_torrents_are_judged_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b, c) = (vec![1; 40_000], vec![2; 1 << 16], vec![3; 5]);
        let torrent = v2(&[("a", &a), ("b", &b), ("c", &c), ("d", b"")]);
        fs::create_dir(dir.path().join("t")).unwrap();
        for (name, content) in [("a", &a), ("b", &b), ("c", &c)] {
            fs::write(dir.path().join("t").join(name), content).unwrap();
        }
        let found = || judge(&torrent, dir.path()).unwrap().unwrap();
        assert_eq!(found(), [Found::Right; 3]);
        fs::write(dir.path().join("t/a"), vec![9; 40_000]).unwrap();
        fs::write(dir.path().join("t/b"), &b[1..]).unwrap();
        fs::remove_file(dir.path().join("t/c")).unwrap();
        assert_eq!(found(), [Found::Wrong, Found::Absent, Found::Absent]);
    }

    /// What the disk refuses is no verdict, and who asks to stop gets none.
    #[test]
    fn no_verdict_without_a_look() {
        let dir = tempfile::tempdir().unwrap();
        let torrent = v2(&[("a", b"x")]);
        let path = dir.path().join(torrent.layout().files()[0].path_string());
        fs::create_dir_all(&path).unwrap();
        let failure = judge(&torrent, dir.path()).unwrap_err().to_string();
        assert!(failure.contains(path.to_str().unwrap()), "{failure}");
        let stop = Stop::default();
        stop.ask();
        let data = Data {
            torrent: &torrent,
            paths: &[None],
        };
        assert_eq!(data.judge(&stop, |_| {}).unwrap(), None);
    }
}

//! Reads and hashes what is there on all cores; nothing is changed.
//!
//! What is judged as one is a piece, or, where a torrent has no v1 half (BEP 52), a file.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroUsize;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ripcurrent_proto::meta::layout::{FileIndex, FileSpan, Layout, PieceIndex};
use ripcurrent_proto::meta::{Torrent, merkle};
use sha1::{Digest, Sha1};

use crate::exit::Failure;
use crate::stop::Stop;

/// Bytes read in one step.
const STEP: usize = 1 << 20;
/// The leaves of BEP 52, in bytes.
const LEAF: usize = 16 << 10;
/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// What became of a piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Found {
    /// It is what the torrent says.
    Right,
    /// It is something else.
    Wrong,
    /// Not all of it is there.
    #[default]
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
        if self.torrent.hashes().v1.is_some() {
            let work = |piece: usize, reader: &mut Reader<'_>| {
                let piece = PieceIndex(piece as u32);
                let found = self.judge_piece(piece, reader)?;
                Ok((found, layout.piece_len(piece).into()))
            };
            return in_parallel(self, layout.pieces() as usize, stop, progress, work);
        }
        let work = |file: usize, reader: &mut Reader<'_>| {
            let file = FileIndex(file as u32);
            Ok((
                self.judge_file(file, reader)?,
                layout.files()[file.at()].len,
            ))
        };
        let files = in_parallel(self, layout.files().len(), stop, progress, work)?;
        Ok(files.map(|files| pieces_of_files(layout, &files)))
    }

    fn judge_piece(&self, piece: PieceIndex, reader: &mut Reader<'_>) -> Result<Found, Failure> {
        let layout = self.torrent.layout();
        let mut hash = Sha1::new();
        for span in layout.spans(layout.whole(piece)) {
            if !reader.feed(span, u64::from(span.len), |bytes| hash.update(bytes))? {
                return Ok(Found::Absent);
            }
        }
        let digest: [u8; 20] = hash.finalize().into();
        Ok(verdict(self.torrent.piece_hash_v1(piece) == Some(digest)))
    }

    fn judge_file(&self, file: FileIndex, reader: &mut Reader<'_>) -> Result<Found, Failure> {
        let len = self.torrent.layout().files()[file.at()].len;
        let Some(root) = self.torrent.facts(file).pieces_root.filter(|_| len > 0) else {
            return Ok(Found::Right);
        };
        let whole = FileSpan {
            file: Some(file),
            offset: 0,
            len: 0,
            aside: false,
        };
        let mut leaves = Vec::new();
        // Every step but the last is a whole number of leaves.
        let is_there = reader.feed(whole, len, |bytes| {
            leaves.extend(bytes.chunks(LEAF).map(merkle::leaf));
        })?;
        if !is_there {
            return Ok(Found::Absent);
        }
        Ok(verdict(merkle::root(leaves, 0) == Some(root)))
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

/// Does `work` for each number below `count` on all cores, the results in order.
fn in_parallel(
    data: &Data<'_>,
    count: usize,
    stop: &Stop,
    mut progress: impl FnMut(u64),
    work: impl Fn(usize, &mut Reader<'_>) -> Result<(Found, u64), Failure> + Sync,
) -> Result<Option<Vec<Found>>, Failure> {
    let results = Mutex::new(vec![Found::default(); count]);
    let refused = Mutex::new(None);
    let (next, done, broken) = (
        AtomicUsize::new(0),
        AtomicU64::new(0),
        AtomicBool::new(false),
    );
    let (at_work, workers) = channel::<()>();
    let labour = |_at_work: std::sync::mpsc::Sender<()>| {
        let mut reader = Reader::new(data);
        while !stop.is_asked() && !broken.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            match work(number, &mut reader) {
                Ok((found, bytes)) => {
                    results.lock().unwrap_or_else(PoisonError::into_inner)[number] = found;
                    done.fetch_add(bytes, Ordering::Relaxed);
                }
                Err(failure) => {
                    broken.store(true, Ordering::Relaxed);
                    refused
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert(failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        for _ in 0..cores.min(count) {
            let at_work = at_work.clone();
            scope.spawn(|| labour(at_work));
        }
        drop(at_work);
        while let Err(RecvTimeoutError::Timeout) = workers.recv_timeout(TICK) {
            progress(done.load(Ordering::Relaxed));
        }
    });
    match refused.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None if stop.is_asked() => Ok(None),
        None => Ok(Some(
            results.into_inner().unwrap_or_else(PoisonError::into_inner),
        )),
    }
}

/// Reads files one after another, the last one open.
struct Reader<'a> {
    data: &'a Data<'a>,
    open: Option<(FileIndex, File)>,
    step: Vec<u8>,
}

impl<'a> Reader<'a> {
    fn new(data: &'a Data<'a>) -> Self {
        Reader {
            data,
            open: None,
            step: vec![0; STEP],
        }
    }

    /// Hands `len` bytes to `take`, from where `span` begins; false if not all of them are there.
    fn feed(
        &mut self,
        span: FileSpan,
        len: u64,
        mut take: impl FnMut(&[u8]),
    ) -> Result<bool, Failure> {
        let mut at = span.offset;
        let end = span.offset + len;
        while at < end {
            let most = (end - at).min(STEP as u64) as usize;
            match span.file {
                None => self.step[..most].fill(0),
                Some(file) if !self.read(file, at, most)? => return Ok(false),
                Some(_) => {}
            }
            take(&self.step[..most]);
            at += most as u64;
        }
        Ok(true)
    }

    fn read(&mut self, file: FileIndex, at: u64, len: usize) -> Result<bool, Failure> {
        let Some(path) = &self.data.paths[file.at()] else {
            return Ok(false);
        };
        let open = match self.open.take() {
            Some((open, handle)) if open == file => Ok(handle),
            _ => File::open(path),
        };
        let result = open.and_then(|handle| {
            let read = handle.read_exact_at(&mut self.step[..len], at);
            self.open = Some((file, handle));
            read
        });
        match result {
            Ok(()) => Ok(true),
            Err(error) if is_absence(&error) => Ok(false),
            Err(error) => Err(Failure::disk("read", path, error)),
        }
    }
}

/// Whether the file ended or went away: then something is missing, and nothing failed.
fn is_absence(error: &io::Error) -> bool {
    [ErrorKind::UnexpectedEof, ErrorKind::NotFound].contains(&error.kind())
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

//! SHA-1 of all pieces, several at a time on each core.
//!
//! A thread takes a row of pieces, as many as its kernel has lanes, and brings them forward together
//! by steps that stay in the core's own cache between being read and being hashed. Its memory is the
//! lanes times the step, whatever the length of the pieces.
//!
//! Of the processor seconds one half is the hash, the other the copy out of the page cache; steps of
//! 16 KiB cost an eighth more, of 128 KiB as much. Hashing mapped files would save a sixth of it all,
//! for page faults take the place of the copy. It would also take a handler for SIGBUS, of which a
//! process has one: a file that somebody makes shorter would be told by it.

use std::ops::Range;

use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::meta::layout::{Block, Layout, PieceIndex};
use ripcurrent_runtime_uring::hash::{Kernel, Sha1Part};

use super::Data;
use super::crew::{Crew, cores, in_parallel};
use super::reader::{Read, Reader};
use crate::exit::Failure;
use crate::stop::Stop;

/// Bytes of a piece read in one step: whole blocks of the hash.
const STEP: usize = 64 << 10;

/// How far ahead the disk is told of what will be asked for, in bytes of each piece: enough to be
/// worth its way there.
const AHEAD: u32 = 2 << 20;

/// The digest of each piece, `None` for those of which not everything is there; nothing at all if it
/// was stopped. `progress` is told the bytes looked at.
pub(crate) fn hash_pieces(
    data: Data<'_>,
    stop: &Stop,
    progress: impl FnMut(u64),
) -> Result<Option<Vec<Option<[u8; 20]>>>, Failure> {
    let kernel = Kernel::best();
    let count = data.layout.pieces() as usize;
    // A few large pieces are divided among the cores before they are put side by side.
    let width = count.div_ceil(cores()).clamp(1, kernel.lanes());
    let tools = || {
        let mut memory = Slab::new(width * STEP);
        memory.set_len(width * STEP);
        Lanes {
            kernel,
            reader: Reader::new(data),
            memory,
        }
    };
    let task = |row: usize, lanes: &mut Lanes<'_>, crew: &Crew<'_>| {
        let first = row * width;
        let pieces = first as u32..(first + width).min(count) as u32;
        lanes.hash(data.layout, pieces, crew)
    };
    let rows = in_parallel(count.div_ceil(width), stop, progress, tools, task)?;
    Ok(rows.map(|rows| rows.concat()))
}

/// What a thread hashes with.
struct Lanes<'a> {
    kernel: Kernel,
    reader: Reader<'a>,
    /// A step for each lane. It begins a page: blocks that cross cache lines take a sixth longer.
    memory: Slab,
}

impl Lanes<'_> {
    /// The digests of a row of pieces.
    fn hash(
        &mut self,
        layout: &Layout,
        pieces: Range<u32>,
        crew: &Crew<'_>,
    ) -> Result<Vec<Option<[u8; 20]>>, Failure> {
        let mut digests = vec![None; pieces.len()];
        let memory = self
            .memory
            .as_mut_slice()
            .chunks_exact_mut(STEP)
            .enumerate();
        let mut lanes: Vec<Lane<'_>> = pieces
            .zip(memory)
            .map(|(piece, (place, memory))| Lane::new(layout, PieceIndex(piece), place, memory))
            .collect();
        while !lanes.is_empty() && !crew.is_over() {
            let mut there = Vec::with_capacity(lanes.len());
            for mut lane in lanes {
                if lane.read(layout, &mut self.reader)? {
                    crew.tell(lane.step().into());
                    there.push(lane);
                } else {
                    crew.tell((lane.len - lane.at).into());
                }
            }
            let (ended, going): (Vec<_>, Vec<_>) = there.into_iter().partition(Lane::is_at_end);
            finish(self.kernel, &ended, &mut digests);
            lanes = advance(self.kernel, going);
        }
        Ok(digests)
    }
}

/// A piece on its way.
struct Lane<'a> {
    piece: PieceIndex,
    /// Its place in the row.
    place: usize,
    /// The length of the piece in bytes.
    len: u32,
    /// As far as it is hashed.
    at: u32,
    sum: Sha1Part,
    /// As far as the disk knows what will be asked for.
    foreseen: u32,
    memory: &'a mut [u8],
}

impl<'a> Lane<'a> {
    fn new(layout: &Layout, piece: PieceIndex, place: usize, memory: &'a mut [u8]) -> Self {
        Lane {
            piece,
            place,
            len: layout.piece_len(piece),
            at: 0,
            sum: Sha1Part::default(),
            foreseen: 0,
            memory,
        }
    }

    /// Reads the next step; false if not all of it is there.
    fn read(&mut self, layout: &Layout, reader: &mut Reader<'_>) -> Result<bool, Failure> {
        let step = self.step();
        let spans = layout.spans(self.block(self.at, step));
        let read = reader.read(&spans, &mut self.memory[..step as usize])?;
        let next = self.at + step;
        if read == Read::Waited && self.foreseen <= next && next < self.len {
            let len = AHEAD.min(self.len - next);
            reader.foresee(&layout.spans(self.block(next, len)))?;
            self.foreseen = next + len;
        }
        Ok(read != Read::Absent)
    }

    fn block(&self, begin: u32, len: u32) -> Block {
        let piece = self.piece;
        Block { piece, begin, len }
    }

    /// Bytes of the next step.
    fn step(&self) -> u32 {
        (self.len - self.at).min(STEP as u32)
    }

    fn is_at_end(&self) -> bool {
        self.at + self.step() == self.len
    }

    fn bytes(&self) -> &[u8] {
        &self.memory[..self.step() as usize]
    }
}

/// Hashes the step that was read of each piece.
fn advance<'a>(kernel: Kernel, mut lanes: Vec<Lane<'a>>) -> Vec<Lane<'a>> {
    let mut sums: Vec<Sha1Part> = lanes.iter().map(|lane| lane.sum).collect();
    let steps: Vec<&[u8]> = lanes.iter().map(Lane::bytes).collect();
    Sha1Part::advance(kernel, &mut sums, &steps);
    for (lane, sum) in lanes.iter_mut().zip(sums) {
        lane.sum = sum;
        lane.at += lane.step();
    }
    lanes
}

/// Hashes the last step of each piece.
fn finish(kernel: Kernel, lanes: &[Lane<'_>], digests: &mut [Option<[u8; 20]>]) {
    let sums: Vec<Sha1Part> = lanes.iter().map(|lane| lane.sum).collect();
    let steps: Vec<&[u8]> = lanes.iter().map(Lane::bytes).collect();
    let mut ends = vec![[0; 20]; lanes.len()];
    Sha1Part::finish(kernel, &sums, &steps, &mut ends);
    for (lane, digest) in lanes.iter().zip(ends) {
        digests[lane.place] = Some(digest);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::thread;

    use ripcurrent_proto::meta::layout::{FileEntry, FileKind};
    use sha1::{Digest, Sha1};

    use super::*;

    /// Files of these lengths in `dir`, one after the other; every third one is padding, which lies
    /// on no disk.
    fn made(
        dir: &std::path::Path,
        piece_len: u32,
        lens: &[usize],
    ) -> (Layout, Vec<Option<PathBuf>>, Vec<u8>) {
        let (mut all, mut files, mut paths) = (Vec::new(), Vec::new(), Vec::new());
        for (number, len) in lens.iter().enumerate() {
            let path = dir.join(number.to_string());
            let is_pad = number % 3 == 2;
            let byte = |at: usize| {
                if is_pad {
                    0
                } else {
                    (at * 31 + at / 256 + number) as u8
                }
            };
            let bytes: Vec<u8> = (0..*len).map(byte).collect();
            if !is_pad {
                fs::write(&path, &bytes).unwrap();
            }
            files.push(FileEntry {
                path: vec![number.to_string()],
                len: *len as u64,
                offset: 0,
                kind: if is_pad {
                    FileKind::Pad
                } else {
                    FileKind::Regular { executable: false }
                },
            });
            paths.push((!is_pad).then_some(path));
            all.extend(bytes);
        }
        (Layout::new(piece_len, files).unwrap(), paths, all)
    }

    fn hash(layout: &Layout, paths: &[Option<PathBuf>]) -> Vec<Option<[u8; 20]>> {
        let mut told = 0;
        let data = Data { layout, paths };
        let digests = hash_pieces(data, &Stop::default(), |bytes| told = bytes)
            .unwrap()
            .unwrap();
        assert_eq!(told, layout.total_len());
        digests
    }

    /// Pieces shorter and longer than a step, across files and padding, in rows that end in the
    /// middle and with a last piece that is shorter: each has the digest of its bytes.
    #[test]
    fn pieces_run_across_files_and_steps() {
        for piece_len in [16 << 10, 64 << 10, 96 << 10, 256 << 10] {
            let dir = tempfile::tempdir().unwrap();
            let lens = [5, 0, 70_000, 2_000_003, 300_000, 1, 3, 60_000, 7];
            let (layout, paths, all) = made(dir.path(), piece_len, &lens);
            let expected: Vec<_> = all
                .chunks(piece_len as usize)
                .map(|piece| Some(Sha1::digest(piece).into()))
                .collect();
            assert!(hash(&layout, &paths) == expected, "{piece_len}");
        }
    }

    /// What the page cache has dropped comes from the disk, the same bytes.
    #[test]
    fn what_is_not_cached_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, paths, all) = made(dir.path(), 4 << 20, &[9_000_000]);
        let file = fs::File::open(dir.path().join("0")).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        let expected = all
            .chunks(4 << 20)
            .map(|piece| Some(Sha1::digest(piece).into()));
        assert!(hash(&layout, &paths) == expected.collect::<Vec<_>>());
    }

    /// What is missing costs the pieces that have bytes of it, wherever in them, and no others.
    #[test]
    fn what_is_missing_has_no_digest() {
        let dir = tempfile::tempdir().unwrap();
        let lens = [1_000_000, 100_000, 0, 1_000_000];
        let (layout, mut paths, _) = made(dir.path(), 128 << 10, &lens);
        let all = hash(&layout, &paths);
        let missing = |paths: &[_]| -> Vec<usize> {
            let digests = hash(&layout, paths).into_iter().zip(&all).enumerate();
            digests
                .filter_map(|(piece, (digest, whole))| match digest {
                    None => Some(piece),
                    Some(digest) => {
                        assert_eq!(Some(digest), *whole, "{piece}");
                        None
                    }
                })
                .collect()
        };
        assert!(missing(&paths).is_empty());
        let short = fs::File::options()
            .write(true)
            .open(dir.path().join("3"))
            .unwrap();
        short.set_len(999_999).unwrap();
        assert_eq!(missing(&paths), [16]);
        paths[1] = None;
        assert_eq!(missing(&paths), [7, 8, 16]);
        fs::remove_file(dir.path().join("0")).unwrap();
        assert_eq!(missing(&paths), [0, 1, 2, 3, 4, 5, 6, 7, 8, 16]);
    }

    /// A file that is cut off in the middle of it all: whatever was read of it by then, a piece before
    /// the cut is right, one after it is right or missing, and nothing else ever.
    #[test]
    fn a_file_may_be_cut_off_meanwhile() {
        for cut in [0, 1_000_000, 4_000_001] {
            let dir = tempfile::tempdir().unwrap();
            let (layout, paths, all) = made(dir.path(), 32 << 10, &[8_000_000]);
            let file = fs::File::options().write(true).open(dir.path().join("0"));
            let file = file.unwrap();
            let found = thread::scope(|scope| {
                scope.spawn(|| file.set_len(cut).unwrap());
                hash(&layout, &paths)
            });
            for (piece, (found, bytes)) in found.iter().zip(all.chunks(32 << 10)).enumerate() {
                let is_before = (piece as u64 * (32 << 10)) + bytes.len() as u64 <= cut;
                let expected = Sha1::digest(bytes).into();
                assert!(
                    *found == Some(expected) || (found.is_none() && !is_before),
                    "piece {piece}, cut at {cut}"
                );
            }
        }
    }

    /// A hole in a file reads as zeros; one that runs to the end of a file is there like any bytes.
    #[test]
    fn holes_are_zeros() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, paths, mut all) = made(dir.path(), 64 << 10, &[1_000_003]);
        let file = fs::File::options().write(true).open(dir.path().join("0"));
        let file = file.unwrap();
        file.set_len(300_001).unwrap();
        file.set_len(1_000_003).unwrap();
        all[300_001..].fill(0);
        let expected = all
            .chunks(64 << 10)
            .map(|bytes| Some(Sha1::digest(bytes).into()));
        assert!(hash(&layout, &paths) == expected.collect::<Vec<_>>());
    }

    /// What the disk refuses to read is no piece that is missing: it ends it all, and names the file.
    #[test]
    fn a_read_that_fails_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let (layout, paths, _) = made(dir.path(), 64 << 10, &[1_000_000, 500_000]);
        let path = dir.path().join("1");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let (layout, paths) = (&layout, &paths[..]);
        let failure = hash_pieces(Data { layout, paths }, &Stop::default(), |_| {}).unwrap_err();
        let said = failure.to_string();
        assert!(said.contains(path.to_str().unwrap()), "{said}");
    }
}

//! Reads ranges of a torrent's files.
//!
//! Whoever hashes pieces side by side reads a little of each in turns, of which the system's own
//! read-ahead makes nothing. So what the page cache has is taken from there, and where it has not
//! what is asked for, the system is told what will be.

use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

use ripcurrent_proto::meta::layout::{FileIndex, FileSpan};
use rustix::fs::{Advice, fadvise};
use rustix::io::{ReadWriteFlags, preadv2};

use super::Data;
use crate::exit::Failure;

/// Files kept open: pieces side by side lie in a few large files, or small ones are read once.
const MOST_OPEN: usize = 4;

/// A reader of one thread.
pub(crate) struct Reader<'a> {
    data: Data<'a>,
    /// The last one was used last.
    open: Vec<(FileIndex, File)>,
}

/// What became of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// The page cache had all of it.
    Cached,
    /// The disk had to be waited for.
    Waited,
    /// Not all of it is there.
    Absent,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(data: Data<'a>) -> Self {
        let open = Vec::new();
        Reader { data, open }
    }

    /// Fills `into` with the bytes of `spans`, one after the other; padding is zeros.
    pub(crate) fn read(
        &mut self,
        spans: &[FileSpan],
        mut into: &mut [u8],
    ) -> Result<Read, Failure> {
        let mut all = Read::Cached;
        for span in spans {
            let Some(part) = into.split_off_mut(..span.len as usize) else {
                break;
            };
            let Some(file) = span.file else {
                part.fill(0);
                continue;
            };
            match self.with(file, |file| read_at(file, part, span.offset))? {
                Some(Read::Cached) => {}
                Some(Read::Waited) => all = Read::Waited,
                Some(Read::Absent) | None => return Ok(Read::Absent),
            }
        }
        Ok(all)
    }

    /// Lets the system begin to read what will be asked for. It knows best whether it can.
    pub(crate) fn foresee(&mut self, spans: &[FileSpan]) -> Result<(), Failure> {
        for span in spans {
            let (Some(file), Some(len)) = (span.file, NonZeroU64::new(span.len.into())) else {
                continue;
            };
            self.with(file, |file| {
                // Advice that is not taken changes nothing.
                let _ = fadvise(file, span.offset, Some(len), Advice::WillNeed);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Does something with an open file; `None` if it is not there.
    fn with<T>(
        &mut self,
        file: FileIndex,
        act: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<Option<T>, Failure> {
        let Some(path) = &self.data.paths[file.at()] else {
            return Ok(None);
        };
        let result = match self.open.iter().position(|(open, _)| *open == file) {
            Some(at) => {
                self.open[at..].rotate_left(1);
                Ok(())
            }
            None => File::open(path).map(|opened| {
                if self.open.len() == MOST_OPEN {
                    self.open.remove(0);
                }
                self.open.push((file, opened));
            }),
        };
        let acted = result.and_then(|()| match self.open.last() {
            Some((_, file)) => act(file),
            None => Err(ErrorKind::NotFound.into()),
        });
        match acted {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::disk("read", path, error)),
        }
    }
}

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<Read> {
    let mut slices = [IoSliceMut::new(into)];
    // File systems that cannot tell, and old kernels, refuse it: then it is read without asking.
    let cached = preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT).unwrap_or(0);
    if cached == into.len() {
        return Ok(Read::Cached);
    }
    match file.read_exact_at(&mut into[cached..], offset + cached as u64) {
        Ok(()) => Ok(Read::Waited),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Read::Absent),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout};

    use super::*;

    /// A file that becomes shorter between two reads is missing from there on, also where a read
    /// begins before its end; what lies before is still read.
    #[test]
    fn a_file_that_became_shorter_is_missing_from_there_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, [7; 100_000]).unwrap();
        let file = FileEntry {
            path: vec!["file".to_owned()],
            len: 100_000,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(16 << 10, vec![file]).unwrap();
        let paths = [Some(path.clone())];
        let mut reader = Reader::new(Data {
            layout: &layout,
            paths: &paths,
        });
        let mut read = |offset, len: u32| {
            let mut into = vec![0; len as usize];
            let span = FileSpan {
                file: Some(FileIndex(0)),
                offset,
                len,
                aside: false,
            };
            let read = reader.read(&[span], &mut into).unwrap();
            (read != Read::Absent).then_some(into)
        };
        assert_eq!(read(90_000, 10_000), Some(vec![7; 10_000]));
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(50_000).unwrap();
        assert_eq!(read(90_000, 10_000), None);
        assert_eq!(read(49_000, 1_001), None);
        assert_eq!(read(49_000, 1_000), Some(vec![7; 1_000]));
        assert_eq!(read(50_000, 1), None);
    }
}

//! What reads and writes come down to: a range of a slab and a range of a file, one system call for
//! each as long as all goes well, by a thread or by a ring.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use ripcurrent_proto::meta::layout::{FileIndex, FileSpan};

use super::cache::Open;
use super::direct::Direct;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the file.
    Read,
    /// To the file.
    Write,
}

/// A range of a file that is open, and where its bytes are in the slab. What was done of it is not
/// in it any more.
#[derive(Debug)]
pub(super) struct Step {
    open: Arc<Open>,
    pub(super) index: FileIndex,
    road: Road,
    pub(super) offset: u64,
    /// Never empty.
    pub(super) range: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    /// Through the page cache.
    Cached,
    /// Past it, on the second descriptor.
    Direct,
}

/// How far a step has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Over,
    /// What is left of it can be done in the same way.
    Again,
    /// What is left of it is for a thread.
    Elsewhere,
    /// The same, and nothing of this storage is to be written directly any more.
    Refused,
}

impl Step {
    /// The one step that reads the bytes `range` of a slab from `offset` of the file.
    pub(super) fn to_read(
        open: Arc<Open>,
        index: FileIndex,
        offset: u64,
        range: Range<usize>,
    ) -> Self {
        Step {
            open,
            index,
            road: Road::Cached,
            offset,
            range,
        }
    }

    /// Adds the steps that write a span, whose bytes are in the slab from `at` on and in memory from
    /// `address` on: whole pages directly if they `may` and as far as it is worth it, the edges not.
    pub(super) fn to_write(
        steps: &mut Vec<Self>,
        open: &Arc<Open>,
        index: FileIndex,
        span: &FileSpan,
        at: usize,
        address: usize,
        may: bool,
    ) {
        let len = span.len as usize;
        let direct = open.direct.as_ref().filter(|_| may);
        let interior = direct.and_then(|direct| direct.interior(address, span.offset, len));
        let Range { start, end } = interior.clone().unwrap_or(0..0);
        let parts = [
            (Road::Cached, 0..start),
            (Road::Direct, start..end),
            (Road::Cached, end..len),
        ];
        let parts = parts.into_iter().filter(|(_, part)| !part.is_empty());
        steps.extend(parts.map(|(road, part)| Step {
            open: Arc::clone(open),
            index,
            road,
            offset: span.offset + part.start as u64,
            range: at + part.start..at + part.end,
        }));
    }

    /// Whether to read it is to copy it, whatever is asked for.
    pub(super) fn is_copying(&self) -> bool {
        self.open.is_in_memory()
    }

    /// Whether it passes the page cache by.
    pub(super) fn is_direct(&self) -> bool {
        self.direct().is_some()
    }

    /// The descriptor it works on; open as long as the step lives.
    pub(super) fn descriptor(&self) -> RawFd {
        match self.direct() {
            Some(direct) => direct.file.as_raw_fd(),
            None => self.open.file.as_raw_fd(),
        }
    }

    /// Takes what the system call has returned.
    ///
    /// # Errors
    /// What it has failed by, where that is final; bytes that should be there and are not.
    pub(super) fn advance(&mut self, way: Way, result: io::Result<usize>) -> io::Result<Progress> {
        match result {
            Ok(count) => self.moved(way, count),
            Err(error) => self.failed(error),
        }
    }

    fn moved(&mut self, way: Way, count: usize) -> io::Result<Progress> {
        if count == 0 {
            return Err(match way {
                Way::Read => io::ErrorKind::UnexpectedEof.into(),
                Way::Write => io::ErrorKind::WriteZero.into(),
            });
        }
        self.offset += count as u64;
        self.range.start += count;
        if self.range.is_empty() {
            return Ok(Progress::Over);
        }
        match self.direct() {
            Some(direct) if !direct.may_go_on(self.offset) => {
                self.road = Road::Cached;
                Ok(Progress::Elsewhere)
            }
            _ => Ok(Progress::Again),
        }
    }

    fn failed(&mut self, error: io::Error) -> io::Result<Progress> {
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(Progress::Again),
            // It cannot be done without waiting, or the ring is about to end.
            Some(libc::EAGAIN | libc::ECANCELED) => {
                self.road = Road::Cached;
                Ok(Progress::Elsewhere)
            }
            Some(libc::EINVAL | libc::EOPNOTSUPP) if self.is_direct() => {
                self.road = Road::Cached;
                Ok(Progress::Refused)
            }
            _ => Err(error),
        }
    }

    /// Writes all of it from `slab`, waiting as long as it takes; whether direct writes were
    /// refused.
    pub(super) fn write(mut self, slab: &[u8]) -> io::Result<bool> {
        let mut refused = false;
        while let Some(direct) = self.direct() {
            let bytes = &slab[self.range.clone()];
            let result = direct.file.write_at(bytes, self.offset);
            match self.advance(Way::Write, result)? {
                Progress::Over => return Ok(refused),
                Progress::Again | Progress::Elsewhere => {}
                Progress::Refused => refused = true,
            }
        }
        let bytes = &slab[self.range.clone()];
        self.open.file.write_all_at(bytes, self.offset)?;
        Ok(refused)
    }

    /// Reads all of it into `slab`, waiting as long as it takes.
    pub(super) fn read(self, slab: &mut [u8]) -> io::Result<()> {
        let bytes = &mut slab[self.range];
        self.open.file.read_exact_at(bytes, self.offset)
    }

    fn direct(&self) -> Option<&Direct> {
        match self.road {
            Road::Cached => None,
            Road::Direct => self.open.direct.as_ref(),
        }
    }
}

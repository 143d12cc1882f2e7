//! One file, in either form.

use ripcurrent_proto::api::IoErrorKind;
use ripcurrent_proto::meta::layout::FileEntry;

use super::compact::Compact;
use crate::content::known::Known;

#[derive(Debug)]
pub(super) enum File {
    Bytes(Vec<u8>),
    Compact(Compact),
}

impl File {
    /// So many zeros.
    pub(super) fn zeros(len: u64) -> Self {
        File::Bytes(vec![0; len as usize])
    }

    /// A file of a compact torrent, of its full length and without content.
    pub(super) fn compact(known: &Known, entry: &FileEntry) -> Self {
        File::Compact(Compact::new(known.tags(), entry))
    }

    /// Gives a file of a compact torrent all of its content.
    pub(super) fn complete(&mut self) {
        match self {
            File::Bytes(_) => {}
            File::Compact(file) => file.complete(),
        }
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            File::Bytes(bytes) => bytes.len() as u64,
            File::Compact(file) => file.len(),
        }
    }

    /// Fills `into` with what begins at `offset`.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), IoErrorKind> {
        if offset.saturating_add(into.len() as u64) > self.len() {
            return Err(IoErrorKind::TooShort);
        }
        match self {
            File::Bytes(bytes) => {
                let from = offset as usize;
                into.copy_from_slice(&bytes[from..from + into.len()]);
            }
            File::Compact(file) => file.read(offset, into),
        }
        Ok(())
    }

    /// Writes `from` at `offset`; a file that ends before is made longer.
    pub(super) fn write(&mut self, offset: u64, from: &[u8]) {
        match self {
            File::Bytes(bytes) => {
                let start = offset as usize;
                let end = start + from.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(from);
            }
            File::Compact(file) => file.write(offset, from),
        }
    }

    /// All of it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match self {
            File::Bytes(bytes) => bytes.clone(),
            File::Compact(file) => {
                let mut bytes = vec![0; file.len() as usize];
                file.read(0, &mut bytes);
                bytes
            }
        }
    }

    /// Whether it holds these bytes.
    pub(super) fn is(&self, bytes: &[u8]) -> bool {
        match self {
            File::Bytes(own) => own == bytes,
            File::Compact(_) => self.to_bytes() == bytes,
        }
    }

    /// Whether it is a whole file of a compact torrent.
    pub(super) fn is_known(&self, known: &Known, entry: &FileEntry) -> bool {
        match self {
            File::Compact(file) => file.is_whole(entry),
            File::Bytes(bytes) => {
                let mut right = vec![0; entry.len as usize];
                known.tags().fill(entry.offset, &mut right);
                *bytes == right
            }
        }
    }
}

//! Bodies in their three framings (RFC 9112, section 6.3).

use alloc::vec::Vec;

use super::BadHttp;

/// The longest line of a chunk's size with its extensions, and of all trailer fields, in bytes.
const LINES_MAX: usize = 4 << 10;

/// Gathers a body.
#[derive(Clone, Debug)]
pub(super) struct BodyReader {
    framing: Framing,
    limit: usize,
    bytes: Vec<u8>,
}

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are to come.
    Length(u64),
    /// In chunks.
    Chunked(Chunk),
    /// By the end of the connection.
    UntilClose,
}

/// Where in the chunks a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the digits of a size.
    Size { value: u64, digits: usize },
    /// Behind them, up to the end of the line.
    Extension { value: u64, seen: usize },
    /// So many bytes before the end of a chunk's data.
    Data(u64),
    /// In the line end after the data.
    DataEnd,
    /// In the lines after the last chunk: bytes of the line, bytes of all lines.
    Trailer { line: usize, seen: usize },
    /// Past the end.
    Done,
}

impl Chunk {
    pub(super) const START: Chunk = Chunk::Size {
        value: 0,
        digits: 0,
    };
}

impl BodyReader {
    pub(super) fn new(framing: Framing, limit: usize) -> Result<Self, BadHttp> {
        if matches!(framing, Framing::Length(length) if length > limit as u64) {
            return Err(BadHttp::BodyTooLong { limit });
        }
        Ok(BodyReader {
            framing,
            limit,
            bytes: Vec::new(),
        })
    }

    /// Takes bytes from the front of `data`; whether the body is whole.
    pub(super) fn push(&mut self, data: &mut &[u8]) -> Result<bool, BadHttp> {
        match self.framing {
            Framing::Length(left) => {
                let left = left - self.take(data, left)?;
                self.framing = Framing::Length(left);
                Ok(left == 0)
            }
            Framing::UntilClose => {
                self.take(data, u64::MAX)?;
                Ok(false)
            }
            Framing::Chunked(mut chunk) => {
                while chunk != Chunk::Done && !data.is_empty() {
                    chunk = self.step(chunk, data)?;
                }
                self.framing = Framing::Chunked(chunk);
                Ok(chunk == Chunk::Done)
            }
        }
    }

    /// The connection ended; whether the body is whole now.
    pub(super) fn end(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Takes at most `most` bytes into the body and tells how many.
    fn take(&mut self, data: &mut &[u8], most: u64) -> Result<u64, BadHttp> {
        let len = data.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        if len > self.limit - self.bytes.len() {
            return Err(BadHttp::BodyTooLong { limit: self.limit });
        }
        let taken;
        (taken, *data) = data.split_at(len);
        self.bytes.extend_from_slice(taken);
        Ok(len as u64)
    }

    /// One byte of framing, or data up to the end of the chunk.
    fn step(&mut self, chunk: Chunk, data: &mut &[u8]) -> Result<Chunk, BadHttp> {
        if let Chunk::Data(left) = chunk {
            return Ok(match left - self.take(data, left)? {
                0 => Chunk::DataEnd,
                left => Chunk::Data(left),
            });
        }
        let Some((byte, rest)) = data.split_first() else {
            return Ok(chunk);
        };
        *data = rest;
        match (chunk, byte) {
            (Chunk::Size { value, digits }, byte) => self.size(value, digits, *byte),
            (Chunk::Extension { value, .. }, b'\n') => Ok(match value {
                0 => Chunk::Trailer { line: 0, seen: 0 },
                value => Chunk::Data(value),
            }),
            (Chunk::Extension { value, seen }, _) if seen < LINES_MAX => {
                let seen = seen + 1;
                Ok(Chunk::Extension { value, seen })
            }
            (Chunk::DataEnd, b'\r') => Ok(Chunk::DataEnd),
            (Chunk::DataEnd, b'\n') => Ok(Chunk::START),
            (Chunk::Trailer { line: 0, .. }, b'\n') => Ok(Chunk::Done),
            (Chunk::Trailer { line, seen }, byte) if seen < LINES_MAX => {
                let seen = seen + 1;
                let line = match byte {
                    b'\n' => 0,
                    b'\r' => line,
                    _ => line + 1,
                };
                Ok(Chunk::Trailer { line, seen })
            }
            _ => Err(BadHttp::Chunk),
        }
    }

    fn size(&self, value: u64, digits: usize, byte: u8) -> Result<Chunk, BadHttp> {
        if let Some(digit) = (byte as char).to_digit(16) {
            // So long a chunk is refused by its size, before a byte of it came.
            let value = value << 4 | u64::from(digit);
            if value > (self.limit - self.bytes.len()) as u64 {
                return Err(BadHttp::BodyTooLong { limit: self.limit });
            }
            let digits = digits + 1;
            return match digits {
                0..=16 => Ok(Chunk::Size { value, digits }),
                _ => Err(BadHttp::Chunk),
            };
        }
        match byte {
            _ if digits == 0 => Err(BadHttp::Chunk),
            b'\n' if value == 0 => Ok(Chunk::Trailer { line: 0, seen: 0 }),
            b'\n' => Ok(Chunk::Data(value)),
            b'\r' | b' ' | b'\t' | b';' => Ok(Chunk::Extension { value, seen: 0 }),
            _ => Err(BadHttp::Chunk),
        }
    }
}

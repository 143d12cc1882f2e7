//! Heads: the lines up to the first empty one.

use alloc::vec::Vec;

use super::BadHttp;

/// The longest head taken, in bytes.
pub const HEAD_MAX: usize = 16 << 10;

/// The most header fields of a head.
pub(super) const FIELDS_MAX: usize = 64;

/// Gathers a head. It is parsed once, when its end is in: work in proportion to its length, however
/// small the pieces in which it comes.
#[derive(Clone, Debug, Default)]
pub(super) struct HeadReader {
    bytes: Vec<u8>,
    /// Bytes of the line that is not over yet, carriage returns not counted.
    line: usize,
}

impl HeadReader {
    /// Takes bytes from the front of `data`; the head once it is whole.
    pub(super) fn push(&mut self, data: &mut &[u8]) -> Result<Option<Vec<u8>>, BadHttp> {
        let room = HEAD_MAX - self.bytes.len();
        for (at, byte) in data.iter().take(room).enumerate() {
            match byte {
                b'\n' if self.line == 0 => {
                    self.take(data, at + 1);
                    return Ok(Some(core::mem::take(self).bytes));
                }
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => self.line += 1,
            }
        }
        if data.len() >= room {
            return Err(BadHttp::HeadTooLong);
        }
        self.take(data, data.len());
        Ok(None)
    }

    fn take(&mut self, data: &mut &[u8], len: usize) {
        let taken;
        (taken, *data) = data.split_at(len);
        self.bytes.extend_from_slice(taken);
    }
}

/// The values of the header fields called `name`, in any case.
pub(super) fn values<'h>(
    fields: &'h [httparse::Header<'_>],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> {
    let fields = fields.iter();
    let named = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value.trim_ascii())
}

/// The items of the comma-separated lists in the header fields called `name`.
pub(super) fn items<'h>(
    fields: &'h [httparse::Header<'_>],
    name: &'static str,
) -> impl Iterator<Item = &'h [u8]> {
    let items = values(fields, name).flat_map(|value| value.split(|byte| *byte == b','));
    items
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

//! From values to bytes, in canonical form only: keys that do not ascend are our own mistake and
//! stop the program.

use alloc::string::ToString;
use alloc::vec::Vec;

/// Appends an integer.
pub fn write_integer(out: &mut Vec<u8>, value: i64) {
    out.push(b'i');
    out.extend_from_slice(value.to_string().as_bytes());
    out.push(b'e');
}

/// Appends a string.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes.len().to_string().as_bytes());
    out.push(b':');
    out.extend_from_slice(bytes);
}

/// Appends a list of what `fill` writes.
pub fn write_list(out: &mut Vec<u8>, fill: impl FnOnce(&mut ListWriter<'_>)) {
    out.push(b'l');
    fill(&mut ListWriter { out });
    out.push(b'e');
}

/// Appends a dictionary of what `fill` writes.
///
/// # Panics
/// If a key does not come after the one before it, in the order of their bytes.
pub fn write_dict(out: &mut Vec<u8>, fill: impl FnOnce(&mut DictWriter<'_>)) {
    out.push(b'd');
    fill(&mut DictWriter { out, last: None });
    out.push(b'e');
}

/// Appends the items of a list.
#[derive(Debug)]
pub struct ListWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl ListWriter<'_> {
    /// Appends an integer.
    pub fn integer(&mut self, value: i64) {
        write_integer(self.out, value);
    }

    /// Appends a string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        write_bytes(self.out, bytes);
    }

    /// Appends a list.
    pub fn list(&mut self, fill: impl FnOnce(&mut ListWriter<'_>)) {
        write_list(self.out, fill);
    }

    /// Appends a value that is encoded already.
    pub fn raw(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// Appends a dictionary.
    ///
    /// # Panics
    /// As [`write_dict`].
    pub fn dict(&mut self, fill: impl FnOnce(&mut DictWriter<'_>)) {
        write_dict(self.out, fill);
    }
}

/// Appends the keys and values of a dictionary, its keys ascending.
#[derive(Debug)]
pub struct DictWriter<'o> {
    out: &'o mut Vec<u8>,
    /// Where the content of the last key lies in `out`.
    last: Option<(usize, usize)>,
}

impl DictWriter<'_> {
    /// Appends an integer under `key`.
    pub fn integer(&mut self, key: &[u8], value: i64) {
        self.key(key);
        write_integer(self.out, value);
    }

    /// Appends a string under `key`.
    pub fn bytes(&mut self, key: &[u8], bytes: &[u8]) {
        self.key(key);
        write_bytes(self.out, bytes);
    }

    /// Appends a list under `key`.
    pub fn list(&mut self, key: &[u8], fill: impl FnOnce(&mut ListWriter<'_>)) {
        self.key(key);
        write_list(self.out, fill);
    }

    /// Appends a dictionary under `key`.
    pub fn dict(&mut self, key: &[u8], fill: impl FnOnce(&mut DictWriter<'_>)) {
        self.key(key);
        write_dict(self.out, fill);
    }

    /// Appends a value that is encoded already under `key`.
    pub fn raw(&mut self, key: &[u8], value: &[u8]) {
        self.key(key);
        self.out.extend_from_slice(value);
    }

    fn key(&mut self, key: &[u8]) {
        if let Some((from, to)) = self.last {
            assert!(&self.out[from..to] < key, "dictionary keys must ascend");
        }
        write_bytes(self.out, key);
        self.last = Some((self.out.len() - key.len(), self.out.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_is_written() {
        let mut out = Vec::new();
        write_dict(&mut out, |dict| {
            dict.bytes(b"", b"\xff");
            dict.dict(b"d", |_| {});
            dict.integer(b"i", i64::MIN);
            dict.list(b"l", |list| {
                list.integer(0);
                list.bytes(b"");
                list.list(|_| {});
                list.dict(|dict| dict.raw(b"raw", b"le"));
            });
        });
        let expected = b"d0:1:\xff1:dde1:ii-9223372036854775808e1:lli0e0:led3:rawleeee";
        assert_eq!(out, expected);
    }

    #[test]
    #[should_panic(expected = "must ascend")]
    fn keys_out_of_order_are_our_own_mistake() {
        write_dict(&mut Vec::new(), |dict| {
            dict.integer(b"b", 1);
            dict.integer(b"a", 2);
        });
    }
}

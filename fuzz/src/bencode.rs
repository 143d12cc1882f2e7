//! A bencoded value as a plain tree: the common ground on which decoders are compared.

use ripcurrent_proto::wire::bencode::{self, Value};

/// A value, its dictionaries in the order of the bytes.
#[derive(Debug, PartialEq)]
pub enum Plain {
    /// An integer within `i64`.
    Integer(i64),
    /// A string.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Plain>),
    /// A dictionary.
    Dict(Vec<(Vec<u8>, Plain)>),
}

impl Plain {
    /// The value that our decoder saw; `None` where it holds an integer outside `i64`.
    pub fn of(value: Value<'_, '_>) -> Option<Plain> {
        if let Some(bytes) = value.bytes() {
            return Some(Plain::Bytes(bytes.to_vec()));
        }
        if let Some(items) = value.list() {
            return items.map(Plain::of).collect::<Option<_>>().map(Plain::List);
        }
        if let Some(entries) = value.dict() {
            let plain = entries.map(|(key, value)| Some((key.to_vec(), Plain::of(value)?)));
            return plain.collect::<Option<_>>().map(Plain::Dict);
        }
        value.integer().map(Plain::Integer)
    }

    /// The canonical encoding, by the most direct way there is.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Plain::Integer(value) => bencode::write_integer(out, *value),
            Plain::Bytes(bytes) => bencode::write_bytes(out, bytes),
            Plain::List(items) => {
                out.push(b'l');
                items.iter().for_each(|item| item.encode(out));
                out.push(b'e');
            }
            Plain::Dict(entries) => {
                out.push(b'd');
                for (key, value) in entries {
                    bencode::write_bytes(out, key);
                    value.encode(out);
                }
                out.push(b'e');
            }
        }
    }

    /// The same value with the entries of every dictionary sorted by their keys.
    pub fn sorted(self) -> Plain {
        match self {
            Plain::List(items) => Plain::List(items.into_iter().map(Plain::sorted).collect()),
            Plain::Dict(entries) => {
                let sort = |(key, value): (Vec<u8>, Plain)| (key, value.sorted());
                let mut entries: Vec<_> = entries.into_iter().map(sort).collect();
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                Plain::Dict(entries)
            }
            leaf => leaf,
        }
    }
}

//! Our bencoding against three other decoders, on inputs within the means of the weakest.
//!
//! `bencode-rs` recurses without a bound and its lengths wrap, so nesting and runs of digits are
//! kept short; what it takes for one value whose keys are strings, we must take too, and mean the
//! same. `bendy` is strict: what it accepts must show no flaw to us, and what shows none it must
//! accept. `librqbit-bencode` is lenient in ways of its own: it must only accept, as the same
//! value, what shows no flaw.
//!
//! Input: the bytes.
#![no_main]

use std::collections::HashMap;

use bendy::decoding::{Decoder, Object};
use libfuzzer_sys::{Corpus, fuzz_target};
use librqbit_bencode::BencodeValue;
use ripcurrent_fuzz::bencode::Plain;
use ripcurrent_proto::wire::bencode::{Limits, decode};

const DEPTH: usize = 90;
const DIGITS: usize = 18;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    if !within_means(bytes) {
        return Corpus::Reject;
    }
    let tree = decode(bytes, Limits::METAINFO).ok();
    let ours = tree.as_ref().and_then(|tree| Plain::of(tree.root()));
    let canonical = tree
        .as_ref()
        .is_some_and(|tree| tree.root().flaws().is_empty());

    if let Some(theirs) = by_bencode_rs(bytes) {
        assert_eq!(ours.as_ref(), Some(&theirs), "bencode-rs accepts");
    } else {
        assert!(!canonical, "bencode-rs refuses what is canonical");
    }
    let theirs = by_bendy(bytes);
    assert_eq!(theirs.is_some(), canonical, "bendy, strict like us");
    if canonical {
        assert_eq!(theirs, ours, "bendy");
        assert_eq!(
            by_librqbit(bytes),
            ours.map(Plain::sorted),
            "librqbit-bencode"
        );
    }
    Corpus::Keep
});

fn within_means(bytes: &[u8]) -> bool {
    let openers = bytes
        .iter()
        .filter(|byte| matches!(byte, b'l' | b'd'))
        .count();
    let longest = bytes
        .split(|byte| !byte.is_ascii_digit())
        .map(<[u8]>::len)
        .max();
    openers < DEPTH && longest.is_none_or(|digits| digits <= DIGITS)
}

fn by_bencode_rs(bytes: &[u8]) -> Option<Plain> {
    let mut values = bencode_rs::parse_all(bytes).ok()?;
    let value = values.pop()?;
    values.is_empty().then(|| plain_bencode_rs(value))?
}

/// `None` where a key is no string.
fn plain_bencode_rs(value: bencode_rs::Value) -> Option<Plain> {
    Some(match value {
        bencode_rs::Value::Integer(value) => Plain::Integer(value),
        bencode_rs::Value::ByteString(bytes) => Plain::Bytes(bytes),
        bencode_rs::Value::List(items) => {
            let items = items.into_iter().map(plain_bencode_rs);
            Plain::List(items.collect::<Option<_>>()?)
        }
        bencode_rs::Value::Dictionary(entries) => {
            let entries = entries.into_iter().map(|(key, value)| match key {
                bencode_rs::Value::ByteString(key) => Some((key, plain_bencode_rs(value)?)),
                _ => None,
            });
            Plain::Dict(entries.collect::<Option<_>>()?)
        }
    })
}

fn by_bendy(bytes: &[u8]) -> Option<Plain> {
    let mut decoder = Decoder::new(bytes).with_max_depth(DEPTH + 1);
    let plain = plain_bendy(decoder.next_object().ok()??)?;
    matches!(decoder.next_object(), Ok(None)).then_some(plain)
}

fn plain_bendy(object: Object<'_, '_>) -> Option<Plain> {
    Some(match object {
        Object::Integer(digits) => Plain::Integer(digits.parse().ok()?),
        Object::Bytes(bytes) => Plain::Bytes(bytes.to_vec()),
        Object::List(mut list) => {
            let mut items = Vec::new();
            while let Some(item) = list.next_object().ok()? {
                items.push(plain_bendy(item)?);
            }
            Plain::List(items)
        }
        Object::Dict(mut dict) => {
            let mut entries = Vec::new();
            while let Some((key, value)) = dict.next_pair().ok()? {
                entries.push((key.to_vec(), plain_bendy(value)?));
            }
            Plain::Dict(entries)
        }
    })
}

fn by_librqbit(bytes: &[u8]) -> Option<Plain> {
    let value: BencodeValue<Key> = librqbit_bencode::dyn_from_bytes(bytes).ok()?;
    Some(plain_librqbit(value).sorted())
}

fn plain_librqbit(value: BencodeValue<Key>) -> Plain {
    match value {
        BencodeValue::Bytes(Key(bytes)) => Plain::Bytes(bytes),
        BencodeValue::Integer(value) => Plain::Integer(value),
        BencodeValue::List(items) => Plain::List(items.into_iter().map(plain_librqbit).collect()),
        BencodeValue::Dict(entries) => {
            let entries: HashMap<Key, _> = entries;
            let plain = |(Key(key), value)| (key, plain_librqbit(value));
            Plain::Dict(entries.into_iter().map(plain).collect())
        }
    }
}

/// An owned string, as `librqbit-bencode` wants its buffers to be.
#[derive(PartialEq, Eq, Hash)]
struct Key(Vec<u8>);

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        Key(bytes.to_vec())
    }
}

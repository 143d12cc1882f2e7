//! Bencoding against the known answers in `testdata/vectors/bencode.json`, and its properties.

#![expect(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use ripcurrent_proto::wire::bencode::{self, Flaws, Limits, Value, decode, decode_prefix};

/// Every known answer: canonical texts decode whole and without flaws; of the others, what
/// libtorrent refuses is refused, and what it accepts is accepted with the departure reported.
#[test]
fn every_vector_decodes_as_it_should() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../testdata/vectors/bencode.json")).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 60);
    for vector in vectors {
        let bytes = match vector["text"].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => from_hex(vector["hex"].as_str().unwrap()),
        };
        let result = decode_prefix(&bytes, Limits::METAINFO);
        if vector["libtorrent"] == "rejects" {
            assert!(result.is_err(), "{vector}");
            continue;
        }
        let tree = result.unwrap_or_else(|error| panic!("{vector}: {error}"));
        let whole = tree.consumed() == bytes.len();
        let flawless = whole && tree.root().flaws().is_empty();
        assert_eq!(flawless, vector["canonical"], "{vector}");
        assert_eq!(whole, decode(&bytes, Limits::METAINFO).is_ok());
        if flawless {
            assert_eq!(encoded(&Owned::of(tree.root())), bytes, "{vector}");
        }
    }
}

/// Integers at and past the bounds of `i64` are told apart.
#[test]
fn an_integer_outside_i64_has_no_value() {
    let read = |text: &'static [u8]| decode(text, Limits::MESSAGE).unwrap();
    let integer = |text| read(text).root().integer();
    assert_eq!(integer(b"i9223372036854775807e"), Some(i64::MAX));
    assert_eq!(integer(b"i-9223372036854775808e"), Some(i64::MIN));
    for text in [&b"i9223372036854775808e"[..], b"i-9223372036854775809e"] {
        assert_eq!(integer(text), None);
        assert_eq!(read(text).root().flaws(), Flaws::OUT_OF_RANGE);
    }
    assert_eq!((integer(b"i-007e"), integer(b"i-0e")), (Some(-7), Some(0)));
}

/// A megabyte of nesting ends in an error, not in the end of the stack.
#[test]
fn endless_nesting_is_refused_early() {
    for byte in [b'l', b'd'] {
        assert!(decode(&vec![byte; 1 << 20], Limits::METAINFO).is_err());
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Owned {
    Integer(i64),
    Bytes(Vec<u8>),
    List(Vec<Owned>),
    Dict(BTreeMap<Vec<u8>, Owned>),
}

impl Owned {
    fn of(value: Value<'_, '_>) -> Owned {
        if let Some(integer) = value.integer() {
            Owned::Integer(integer)
        } else if let Some(bytes) = value.bytes() {
            Owned::Bytes(bytes.to_vec())
        } else if let Some(items) = value.list() {
            Owned::List(items.map(Owned::of).collect())
        } else {
            let entries = value.dict().unwrap();
            Owned::Dict(
                entries
                    .map(|(key, value)| (key.to_vec(), Owned::of(value)))
                    .collect(),
            )
        }
    }
}

fn encoded(value: &Owned) -> Vec<u8> {
    let mut out = Vec::new();
    match value {
        Owned::Integer(integer) => bencode::write_integer(&mut out, *integer),
        Owned::Bytes(bytes) => bencode::write_bytes(&mut out, bytes),
        Owned::List(items) => bencode::write_list(&mut out, |list| {
            for item in items {
                list.raw(&encoded(item));
            }
        }),
        Owned::Dict(entries) => bencode::write_dict(&mut out, |dict| {
            for (key, value) in entries {
                dict.raw(key, &encoded(value));
            }
        }),
    }
    out
}

fn owned() -> impl Strategy<Value = Owned> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..12);
    let leaf = prop_oneof![
        any::<i64>().prop_map(Owned::Integer),
        bytes().prop_map(Owned::Bytes),
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Owned::List),
            prop::collection::btree_map(bytes(), inner, 0..6).prop_map(Owned::Dict),
        ]
    })
}

/// Bytes that look like bencoding more often than chance would have it.
fn almost_bencoding() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(&b"deli0123:-9\xffa"[..]), 0..64)
}

proptest! {
    /// What is encoded decodes to the same value, whole and without a flaw, also as a prefix.
    #[test]
    fn encoding_and_decoding_are_inverse(value in owned(), tail in any::<Vec<u8>>()) {
        let bytes = encoded(&value);
        let tree = decode(&bytes, Limits::MESSAGE).unwrap();
        prop_assert_eq!(Owned::of(tree.root()), value);
        prop_assert!(tree.root().flaws().is_empty());
        prop_assert_eq!(tree.root().raw(), &bytes[..]);
        let longer = [&bytes[..], &tail].concat();
        prop_assert_eq!(decode_prefix(&longer, Limits::MESSAGE).unwrap().consumed(), bytes.len());
    }

    /// Every proper prefix of an encoded value is refused.
    #[test]
    fn what_is_cut_is_refused(value in owned()) {
        let bytes = encoded(&value);
        for end in 0..bytes.len() {
            prop_assert!(decode_prefix(&bytes[..end], Limits::MESSAGE).is_err());
        }
    }

    /// No bytes make the decoder panic, and a value without flaws is encoded back as it was.
    #[test]
    fn whatever_decodes_without_flaws_is_canonical(bytes in prop_oneof![
        any::<Vec<u8>>().boxed(),
        almost_bencoding().boxed(),
    ]) {
        if let Ok(tree) = decode_prefix(&bytes, Limits::MESSAGE) {
            prop_assert!(tree.consumed() <= bytes.len());
            if tree.root().flaws().is_empty() {
                prop_assert_eq!(encoded(&Owned::of(tree.root())), tree.root().raw());
            }
        }
    }
}

fn from_hex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

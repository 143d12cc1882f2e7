//! Any bytes: decoding ends, every value lies inside its parent, and what shows no flaw is the
//! canonical encoding of what it means.
//!
//! Input: the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::bencode::Plain;
use ripcurrent_proto::wire::bencode::{Limits, Value, decode, decode_prefix};

fuzz_target!(|bytes: &[u8]| {
    for limits in [Limits::MESSAGE, Limits::METAINFO] {
        let prefix = decode_prefix(bytes, limits);
        let whole = decode(bytes, limits);
        let Ok(tree) = prefix else {
            assert!(whole.is_err());
            continue;
        };
        assert_eq!(whole.is_ok(), tree.consumed() == bytes.len());
        let root = tree.root();
        assert_eq!(root.span(), 0..tree.consumed());
        walk(root, bytes);
        if let Some(plain) = Plain::of(root) {
            let mut encoded = Vec::new();
            plain.encode(&mut encoded);
            // Without flaws there is one way to write it; zeros in front only make it longer.
            assert!(encoded.len() <= root.raw().len());
            assert!(!root.flaws().is_empty() || encoded == root.raw());
        } else {
            assert!(!root.flaws().is_empty());
        }
    }
});

fn walk(value: Value<'_, '_>, bytes: &[u8]) {
    let span = value.span();
    assert_eq!(value.raw(), &bytes[span.clone()]);
    let children: Vec<_> = match (value.list(), value.dict()) {
        (Some(items), _) => items.collect(),
        (_, Some(entries)) => entries.map(|(_, value)| value).collect(),
        _ => return,
    };
    let mut at = span.start + 1;
    for child in children {
        assert!(at <= child.span().start && child.span().end < span.end);
        assert!(value.flaws().contains(child.flaws()));
        at = child.span().end;
        walk(child, bytes);
    }
}

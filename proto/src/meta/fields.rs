//! Reading fields of dictionaries, with errors that name them.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::TorrentError;
use super::path;
use crate::wire::bencode::{Items, Value};

/// The value of `key`.
pub(super) fn required<'t, 'b>(
    dict: Value<'t, 'b>,
    key: &str,
    field: &'static str,
) -> Result<Value<'t, 'b>, TorrentError> {
    dict.get(key.as_bytes())
        .ok_or(TorrentError::Missing { field })
}

/// The items of a value that must be a list.
pub(super) fn list<'t, 'b>(
    value: Value<'t, 'b>,
    field: &'static str,
) -> Result<Items<'t, 'b>, TorrentError> {
    let expected = "a list";
    value.list().ok_or(TorrentError::Wrong { field, expected })
}

/// A value that must be a number of bytes.
pub(super) fn size(value: Value<'_, '_>, field: &'static str) -> Result<u64, TorrentError> {
    let expected = "a number of bytes";
    let size = value.integer().and_then(|size| u64::try_from(size).ok());
    size.ok_or(TorrentError::Wrong { field, expected })
}

/// Text for people: of `key` with `.utf-8` behind it, or else of `key`; `None` if neither is there
/// or it is empty.
pub(super) fn text(dict: Value<'_, '_>, key: &str) -> Option<String> {
    let text = path::text(best(dict, key)?);
    (!text.is_empty()).then_some(text)
}

/// The string under `key` with `.utf-8` behind it, or else under `key`.
pub(super) fn best<'b>(dict: Value<'_, 'b>, key: &str) -> Option<&'b [u8]> {
    let mut utf8 = Vec::from(key);
    utf8.extend_from_slice(b".utf-8");
    let bytes = |key: &[u8]| dict.get(key)?.bytes();
    bytes(&utf8).or_else(|| bytes(key.as_bytes()))
}

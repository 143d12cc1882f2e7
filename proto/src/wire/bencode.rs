//! Bencoding (BEP 3 and BEP 52, "bencoding"): the form of torrent files, of the DHT, of trackers
//! and of extension messages.
//!
//! Decoding makes a flat tape of tokens over the bytes it was given: nothing is copied, nothing
//! recurses, and every value knows its exact bytes, because an info-hash is a hash over bytes as
//! they were received.
//!
//! Invariant: a [`Tree`] holds one whole value. Every token lies inside the bytes it was read from,
//! every container is closed, every dictionary has a string before each of its values.
//!
//! The decoder is lenient where the network is: unsorted and duplicate keys, leading zeros, minus
//! zero and integers outside `i64` are accepted and reported by [`Value::flaws`]. Who must be strict
//! refuses a value with any.

mod decode;
mod encode;

use alloc::vec::Vec;
use core::fmt;
use core::ops::{BitOr, BitOrAssign, Range};

pub use decode::{decode, decode_prefix};
pub use encode::{DictWriter, ListWriter, write_bytes, write_dict, write_integer, write_list};

/// The most that a decoder takes on. The memory of a tree is 16 bytes for each token, the keys of
/// dictionaries counted as tokens too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many containers may be open at once.
    pub depth: usize,
    /// How many tokens there may be in all.
    pub tokens: usize,
}

impl Limits {
    /// For torrent files and info dictionaries.
    pub const METAINFO: Limits = Limits {
        depth: 100,
        tokens: 4_000_000,
    };
    /// For single messages of peers, DHT nodes and trackers.
    pub const MESSAGE: Limits = Limits {
        depth: 16,
        tokens: 16_384,
    };
}

/// Bytes that are not bencoding, or more of it than allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at byte {at}")]
pub struct Error {
    /// Where, in bytes from the start.
    pub at: usize,
    /// What.
    pub kind: ErrorKind,
}

/// What is wrong with bytes that are not bencoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The bytes end within the value.
    #[error("the bytes end within a value")]
    Cut,
    /// A byte that begins no value.
    #[error("no value begins so")]
    UnknownType,
    /// An integer without digits, or with something else among them.
    #[error("not an integer")]
    Integer,
    /// An integer that no 64 bits can hold.
    #[error("an integer of more than 64 bits")]
    IntegerTooLong,
    /// The length of a string is not digits and a colon.
    #[error("not a string length")]
    Length,
    /// A string longer than all that follows.
    #[error("a string longer than what follows")]
    PastEnd,
    /// A dictionary key that is no string.
    #[error("a dictionary key that is no string")]
    Key,
    /// A dictionary that ends between a key and its value.
    #[error("a dictionary key without a value")]
    KeyWithoutValue,
    /// More open containers than [`Limits::depth`].
    #[error("nested too deep")]
    TooDeep,
    /// More tokens than [`Limits::tokens`], or 4 GiB or more.
    #[error("too much")]
    TooMuch,
    /// Something follows the value, where nothing may.
    #[error("bytes after the value")]
    Trailing,
}

/// Where a value departs from the one canonical form: a set.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Flaws(u8);

impl Flaws {
    /// None.
    pub const NONE: Flaws = Flaws(0);
    /// Dictionary keys out of order.
    pub const UNSORTED: Flaws = Flaws(1);
    /// A dictionary key that comes twice; the first is the one that counts.
    pub const DUPLICATE: Flaws = Flaws(2);
    /// An integer or a string length with a leading zero.
    pub const LEADING_ZERO: Flaws = Flaws(4);
    /// The integer `-0`.
    pub const MINUS_ZERO: Flaws = Flaws(8);
    /// An integer outside `i64`.
    pub const OUT_OF_RANGE: Flaws = Flaws(16);

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Flaws) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Flaws {
    type Output = Flaws;

    fn bitor(self, other: Flaws) -> Flaws {
        Flaws(self.0 | other.0)
    }
}

impl BitOrAssign for Flaws {
    fn bitor_assign(&mut self, other: Flaws) {
        self.0 |= other.0;
    }
}

impl fmt::Debug for Flaws {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            "unsorted",
            "duplicate",
            "leading zero",
            "minus zero",
            "out of range",
        ];
        let set = names
            .iter()
            .zip(0..)
            .filter(|(_, bit)| self.0 >> bit & 1 == 1);
        f.debug_set().entries(set.map(|(name, _)| name)).finish()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Integer,
    Bytes,
    List,
    Dict,
}

#[derive(Clone, Copy, Debug)]
struct Token {
    /// The first byte.
    start: u32,
    /// The byte after the last.
    end: u32,
    /// Of containers: the token after all of theirs. Of strings: the first byte of the content.
    link: u32,
    kind: Kind,
    flaws: Flaws,
}

/// One decoded value with all that is in it.
#[derive(Clone, Debug)]
pub struct Tree<'b> {
    bytes: &'b [u8],
    tape: Vec<Token>,
}

impl<'b> Tree<'b> {
    /// The value.
    #[must_use]
    pub fn root(&self) -> Value<'_, 'b> {
        Value {
            tree: self,
            index: 0,
        }
    }

    /// How many bytes the value took, at least 2. What follows it begins there.
    #[must_use]
    pub fn consumed(&self) -> usize {
        self.tape[0].end as usize
    }
}

/// A value in a [`Tree`].
#[derive(Clone, Copy)]
pub struct Value<'t, 'b> {
    tree: &'t Tree<'b>,
    index: usize,
}

impl<'t, 'b> Value<'t, 'b> {
    /// The integer; `None` if it is none or lies outside `i64`.
    #[must_use]
    pub fn integer(self) -> Option<i64> {
        let token = self.token();
        if token.kind != Kind::Integer || token.flaws.contains(Flaws::OUT_OF_RANGE) {
            return None;
        }
        let digits = &self.tree.bytes[token.start as usize + 1..token.end as usize - 1];
        core::str::from_utf8(digits).ok()?.parse().ok()
    }

    /// The content of the string; `None` if it is none.
    #[must_use]
    pub fn bytes(self) -> Option<&'b [u8]> {
        let token = self.token();
        (token.kind == Kind::Bytes)
            .then(|| &self.tree.bytes[token.link as usize..token.end as usize])
    }

    /// The content of the string; `None` if it is none or not UTF-8.
    #[must_use]
    pub fn text(self) -> Option<&'b str> {
        core::str::from_utf8(self.bytes()?).ok()
    }

    /// The items of the list; `None` if it is none.
    #[must_use]
    pub fn list(self) -> Option<Items<'t, 'b>> {
        (self.token().kind == Kind::List).then(|| self.children())
    }

    /// The keys and values of the dictionary, in the order of the bytes; `None` if it is none.
    #[must_use]
    pub fn dict(self) -> Option<Entries<'t, 'b>> {
        (self.token().kind == Kind::Dict).then(|| Entries(self.children()))
    }

    /// The value of `key`, the first if it comes twice; `None` if there is none or this is no
    /// dictionary. Takes time in proportion to the number of keys.
    #[must_use]
    pub fn get(self, key: &[u8]) -> Option<Value<'t, 'b>> {
        let mut entries = self.dict()?;
        entries
            .find(|(name, _)| *name == key)
            .map(|(_, value)| value)
    }

    /// Where the encoded value lies in the bytes that were decoded.
    #[must_use]
    pub fn span(self) -> Range<usize> {
        let token = self.token();
        token.start as usize..token.end as usize
    }

    /// The encoded value, as it was received.
    #[must_use]
    pub fn raw(self) -> &'b [u8] {
        &self.tree.bytes[self.span()]
    }

    /// The flaws of this value and all that is in it.
    #[must_use]
    pub fn flaws(self) -> Flaws {
        self.tree.tape[self.index..self.after()]
            .iter()
            .fold(Flaws::NONE, |flaws, token| flaws | token.flaws)
    }

    fn token(self) -> &'t Token {
        &self.tree.tape[self.index]
    }

    /// The index of the first token that is not of this value.
    fn after(self) -> usize {
        let token = self.token();
        match token.kind {
            Kind::Integer | Kind::Bytes => self.index + 1,
            Kind::List | Kind::Dict => token.link as usize,
        }
    }

    fn children(self) -> Items<'t, 'b> {
        Items {
            tree: self.tree,
            next: self.index + 1,
            end: self.after(),
        }
    }
}

impl fmt::Debug for Value<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.token().kind, self.span())
    }
}

/// The items of a list.
#[derive(Clone, Debug)]
pub struct Items<'t, 'b> {
    tree: &'t Tree<'b>,
    next: usize,
    end: usize,
}

impl<'t, 'b> Iterator for Items<'t, 'b> {
    type Item = Value<'t, 'b>;

    fn next(&mut self) -> Option<Self::Item> {
        let value = (self.next < self.end).then_some(Value {
            tree: self.tree,
            index: self.next,
        })?;
        self.next = value.after();
        Some(value)
    }
}

/// The keys and values of a dictionary, in the order of the bytes.
#[derive(Clone, Debug)]
pub struct Entries<'t, 'b>(Items<'t, 'b>);

impl<'t, 'b> Iterator for Entries<'t, 'b> {
    type Item = (&'b [u8], Value<'t, 'b>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.0.next()?.bytes()?;
        Some((key, self.0.next()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn every_value_knows_its_content_and_its_exact_bytes() {
        let bytes = b"d1:ai-42e4:infod3:key5:valuee1:lli1e0:leee";
        let tree = decode(bytes, Limits::MESSAGE).unwrap();
        let root = tree.root();
        assert_eq!(root.get(b"a").unwrap().integer(), Some(-42));
        let info = root.get(b"info").unwrap();
        assert_eq!(info.raw(), b"d3:key5:valuee");
        assert_eq!(info.span(), 15..29);
        assert_eq!(info.get(b"key").unwrap().text(), Some("value"));
        let items: Vec<_> = root.get(b"l").unwrap().list().unwrap().collect();
        assert_eq!(items.len(), 3);
        assert_eq!(items[1].bytes(), Some(&b""[..]));
        assert_eq!(items[2].list().unwrap().count(), 0);
        let keys: Vec<_> = root.dict().unwrap().map(|(key, _)| key).collect();
        assert_eq!(keys, [&b"a"[..], b"info", b"l"]);
        assert!(root.get(b"no").is_none() && items[0].get(b"a").is_none());
    }

    #[test]
    fn of_a_key_that_comes_twice_the_first_counts_and_both_flaws_are_told() {
        let tree = decode(b"d1:bi1e1:ai2e1:bi3ee", Limits::MESSAGE).unwrap();
        assert_eq!(tree.root().get(b"b").unwrap().integer(), Some(1));
        assert_eq!(tree.root().flaws(), Flaws::UNSORTED | Flaws::DUPLICATE);
    }

    #[test]
    fn flaws_are_those_of_the_value_and_what_is_in_it() {
        let tree = decode(b"d1:ali01eee1:bi-0ee", Limits::MESSAGE);
        assert!(tree.is_err(), "the dictionary ends before its second key");
        let tree = decode(b"d1:ali01ee1:bi-0ee", Limits::MESSAGE).unwrap();
        let flaws = |key: &[u8]| tree.root().get(key).unwrap().flaws();
        assert_eq!(flaws(b"a"), Flaws::LEADING_ZERO);
        assert_eq!(flaws(b"b"), Flaws::MINUS_ZERO);
        assert_eq!(alloc::format!("{:?}", flaws(b"b")), r#"{"minus zero"}"#);
    }

    #[test]
    fn a_prefix_is_decoded_and_says_where_it_ends() {
        let bytes = b"d8:msg_typei1e5:piecei0eeraw bytes";
        let tree = decode_prefix(bytes, Limits::MESSAGE).unwrap();
        assert_eq!(&bytes[tree.consumed()..], b"raw bytes");
        let error = decode(bytes, Limits::MESSAGE).unwrap_err();
        assert_eq!((error.kind, error.at), (ErrorKind::Trailing, 25));
    }

    #[test]
    fn depth_and_tokens_are_bounded() {
        let nested = [vec![b'l'; 16], vec![b'e'; 16]].concat();
        assert!(decode(&nested, Limits::MESSAGE).is_ok());
        let nested = [vec![b'l'; 17], vec![b'e'; 17]].concat();
        let error = decode(&nested, Limits::MESSAGE).unwrap_err();
        assert_eq!((error.kind, error.at), (ErrorKind::TooDeep, 16));
        let few = Limits {
            depth: 1,
            tokens: 3,
        };
        assert!(decode(b"li1ei2ee", few).is_ok());
        let error = decode(b"li1ei2ei3ee", few).unwrap_err();
        assert_eq!((error.kind, error.at), (ErrorKind::TooMuch, 7));
    }
}

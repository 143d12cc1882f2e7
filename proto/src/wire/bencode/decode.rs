//! From bytes to the tape. One loop, one byte decides; the open containers are on a list whose
//! length is bounded.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::{Error, ErrorKind, Flaws, Kind, Limits, Token, Tree};

/// Decodes one value that takes all of `bytes`.
///
/// # Errors
/// If the bytes are not bencoding, are more than `limits` allow, or go on after the value.
pub fn decode(bytes: &[u8], limits: Limits) -> Result<Tree<'_>, Error> {
    let tree = decode_prefix(bytes, limits)?;
    let at = tree.consumed();
    if at == bytes.len() {
        Ok(tree)
    } else {
        let kind = ErrorKind::Trailing;
        Err(Error { at, kind })
    }
}

/// Decodes the value at the start of `bytes`; [`Tree::consumed`] tells where it ends.
///
/// # Errors
/// If the bytes do not begin with bencoding, or with more of it than `limits` allow.
pub fn decode_prefix(bytes: &[u8], limits: Limits) -> Result<Tree<'_>, Error> {
    let mut decoder = Decoder {
        bytes,
        at: 0,
        limits,
        tape: Vec::new(),
        open: Vec::new(),
    };
    loop {
        decoder.step()?;
        if decoder.open.is_empty() {
            let tape = decoder.tape;
            return Ok(Tree { bytes, tape });
        }
    }
}

struct Decoder<'b> {
    bytes: &'b [u8],
    at: usize,
    limits: Limits,
    tape: Vec<Token>,
    open: Vec<Open>,
}

/// A container that is not closed yet.
struct Open {
    token: usize,
    expects: Expects,
    last_key: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Item,
    Key,
    Value,
}

impl Decoder<'_> {
    /// Reads a whole string or integer, or opens or closes a container.
    fn step(&mut self) -> Result<(), Error> {
        let expects = self.open.last().map(|open| open.expects);
        match self.peek()? {
            b'e' => self.close(),
            b'0'..=b'9' => self.string(),
            _ if expects == Some(Expects::Key) => self.fail(ErrorKind::Key),
            b'i' => self.integer(),
            b'l' => self.open(Kind::List, Expects::Item),
            b'd' => self.open(Kind::Dict, Expects::Key),
            _ => self.fail(ErrorKind::UnknownType),
        }
    }

    fn string(&mut self) -> Result<(), Error> {
        let start = self.at;
        let mut len = 0usize;
        while let digit @ b'0'..=b'9' = self.peek()? {
            let longer = len.checked_mul(10);
            let longer = longer.and_then(|len| len.checked_add(usize::from(digit - b'0')));
            let Some(longer) = longer else {
                return self.fail(ErrorKind::PastEnd);
            };
            len = longer;
            self.at += 1;
        }
        if self.peek()? != b':' {
            return self.fail(ErrorKind::Length);
        }
        let flaws = leading_zero(&self.bytes[start..self.at]);
        let content = self.at + 1;
        if len > self.bytes.len() - content {
            return self.fail(ErrorKind::PastEnd);
        }
        self.at = content + len;
        self.push(start, Kind::Bytes, content, flaws)
    }

    fn integer(&mut self) -> Result<(), Error> {
        let start = self.at;
        self.at += 1;
        let negative = self.peek()? == b'-';
        self.at += usize::from(negative);
        let first = self.at;
        let mut magnitude = 0u64;
        while let digit @ b'0'..=b'9' = self.peek()? {
            let longer = magnitude.checked_mul(10);
            let longer = longer.and_then(|value| value.checked_add(u64::from(digit - b'0')));
            let Some(longer) = longer else {
                return self.fail(ErrorKind::IntegerTooLong);
            };
            magnitude = longer;
            self.at += 1;
        }
        if self.peek()? != b'e' || self.at == first {
            return self.fail(ErrorKind::Integer);
        }
        let mut flaws = leading_zero(&self.bytes[first..self.at]);
        if negative && magnitude == 0 {
            flaws |= Flaws::MINUS_ZERO;
        }
        if magnitude > i64::MAX as u64 + u64::from(negative) {
            flaws |= Flaws::OUT_OF_RANGE;
        }
        self.at += 1;
        self.push(start, Kind::Integer, 0, flaws)
    }

    fn open(&mut self, kind: Kind, expects: Expects) -> Result<(), Error> {
        if self.open.len() == self.limits.depth {
            return self.fail(ErrorKind::TooDeep);
        }
        let start = self.at;
        self.at += 1;
        self.push(start, kind, 0, Flaws::NONE)?;
        self.open.push(Open {
            token: self.tape.len() - 1,
            expects,
            last_key: None,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.pop() else {
            return self.fail(ErrorKind::UnknownType);
        };
        if open.expects == Expects::Value {
            return self.fail(ErrorKind::KeyWithoutValue);
        }
        self.at += 1;
        let after = self.tape.len() as u32;
        let token = &mut self.tape[open.token];
        token.end = self.at as u32;
        token.link = after;
        if token.flaws.contains(Flaws::UNSORTED) && self.has_duplicates(open.token) {
            self.tape[open.token].flaws |= Flaws::DUPLICATE;
        }
        Ok(())
    }

    /// Puts down a token that reaches from `start` to here, as the next thing in its container.
    fn push(&mut self, start: usize, kind: Kind, link: usize, flaws: Flaws) -> Result<(), Error> {
        if self.tape.len() == self.limits.tokens || u32::try_from(self.at).is_err() {
            let kind = ErrorKind::TooMuch;
            return Err(Error { at: start, kind });
        }
        let index = self.tape.len();
        self.tape.push(Token {
            start: start as u32,
            end: self.at as u32,
            link: link as u32,
            kind,
            flaws,
        });
        let Some(open) = self.open.last_mut() else {
            return Ok(());
        };
        match open.expects {
            Expects::Item => {}
            Expects::Value => open.expects = Expects::Key,
            Expects::Key => {
                open.expects = Expects::Value;
                let (dict, last) = (open.token, open.last_key.replace(index));
                self.judge_order(dict, last, index);
            }
        }
        Ok(())
    }

    /// Marks `dict` if `key` does not come after `last`.
    fn judge_order(&mut self, dict: usize, last: Option<usize>, key: usize) {
        let Some(last) = last else { return };
        let flaw = match self.content(last).cmp(self.content(key)) {
            Ordering::Less => return,
            Ordering::Equal => Flaws::DUPLICATE,
            Ordering::Greater => Flaws::UNSORTED,
        };
        self.tape[dict].flaws |= flaw;
    }

    /// Whether a key of the closed dictionary `dict` comes twice, in whatever order.
    fn has_duplicates(&self, dict: usize) -> bool {
        let mut keys = Vec::new();
        let mut index = dict + 1;
        while index < self.tape.len() {
            keys.push(self.content(index));
            let value = &self.tape[index + 1];
            index = match value.kind {
                Kind::Integer | Kind::Bytes => index + 2,
                Kind::List | Kind::Dict => value.link as usize,
            };
        }
        keys.sort_unstable();
        keys.windows(2).any(|pair| pair[0] == pair[1])
    }

    fn content(&self, string: usize) -> &[u8] {
        let token = &self.tape[string];
        &self.bytes[token.link as usize..token.end as usize]
    }

    fn peek(&self) -> Result<u8, Error> {
        let (at, kind) = (self.at, ErrorKind::Cut);
        self.bytes.get(at).copied().ok_or(Error { at, kind })
    }

    fn fail<T>(&self, kind: ErrorKind) -> Result<T, Error> {
        Err(Error { at: self.at, kind })
    }
}

fn leading_zero(digits: &[u8]) -> Flaws {
    if digits.len() > 1 && digits[0] == b'0' {
        Flaws::LEADING_ZERO
    } else {
        Flaws::NONE
    }
}

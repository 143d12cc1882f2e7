//! As much of bencoding as a referee must read: what stands under the keys of a dictionary.

/// The deepest nesting that is read.
const DEPTH_MAX: usize = 64;

/// The entries of the dictionary that `bytes` begin with, each value as its own bytes; `None` if
/// they do not begin with a whole dictionary.
pub(super) fn entries(bytes: &[u8]) -> Option<impl Iterator<Item = (&[u8], &[u8])>> {
    let end = skip(bytes)?;
    let mut rest = bytes[..end].strip_prefix(b"d")?;
    Some(std::iter::from_fn(move || {
        let key;
        (key, rest) = text(rest)?;
        let value;
        (value, rest) = rest.split_at(skip(rest)?);
        Some((key, value))
    }))
}

/// The values of the list that `bytes` are.
pub(super) fn items(bytes: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = bytes.strip_prefix(b"l")?;
    Some(std::iter::from_fn(move || {
        let value;
        (value, rest) = rest.split_at(skip(rest)?);
        Some(value)
    }))
}

/// The number that `bytes` are.
pub(super) fn number(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"i")?.strip_suffix(b"e")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The byte string that `bytes` begin with, and what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = bytes.iter().take(12).position(|byte| *byte == b':')?;
    let digits = &bytes[..colon];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let len: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
    bytes[colon + 1..].split_at_checked(len)
}

/// Where the value that `bytes` begin with ends.
fn skip(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0);
    loop {
        match bytes.get(at)? {
            b'd' | b'l' if depth < DEPTH_MAX => {
                depth += 1;
                at += 1;
            }
            b'i' => at += 1 + bytes[at..].iter().position(|byte| *byte == b'e')?,
            b'e' if depth > 0 => {
                depth -= 1;
                at += 1;
            }
            b'0'..=b'9' => at = bytes.len() - text(&bytes[at..])?.1.len(),
            _ => return None,
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_under_their_keys() {
        let bytes = b"d1:md2:aai1e2:bbi0ee4:reqqi250e1:v3:xyz5:peersl2:ab2:cdeetrailing";
        let told: Vec<_> = entries(bytes).unwrap().collect();
        assert_eq!(told[0], (&b"m"[..], &b"d2:aai1e2:bbi0ee"[..]));
        assert_eq!(number(told[1].1), Some(250));
        assert_eq!(text(told[2].1).unwrap().0, b"xyz");
        assert_eq!(items(told[3].1).unwrap().count(), 2);
        assert_eq!(told.len(), 4);
    }

    /// What is not bencoding is no dictionary, and nothing overflows.
    #[test]
    fn noise_is_nothing() {
        for bytes in [
            &b""[..],
            b"d",
            b"d1:a",
            b"le",
            b"d1:ai5ee5",
            b"99999999999:a",
            b"de",
        ] {
            let expected = matches!(bytes, b"d1:ai5ee5" | b"de");
            assert_eq!(entries(bytes).is_some(), expected, "{bytes:?}");
        }
        assert!(entries(&b"d".repeat(10_000)).is_none());
    }
}

//! Bytes in URLs (RFC 3986, section 2.1).

use alloc::string::String;
use alloc::vec::Vec;

/// Appends bytes; all but letters, digits and `.-_~` as `%XX`.
pub(super) fn encode(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b".-_~".contains(byte) {
            out.push(*byte as char);
        } else {
            out.push('%');
            out.push(DIGITS[usize::from(byte >> 4)] as char);
            out.push(DIGITS[usize::from(byte & 15)] as char);
        }
    }
}

/// The bytes behind a text; `None` where a `%` is not followed by two digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let high = (bytes.next()? as char).to_digit(16)?;
                let low = (bytes.next()? as char).to_digit(16)?;
                (high << 4 | low) as u8
            }
            byte => byte,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte comes back, and only what is safe stands for itself.
    #[test]
    fn every_byte_survives() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = String::new();
        encode(&all, &mut text);
        assert_eq!(text.len(), 66 + (256 - 66) * 3);
        assert_eq!(decode(&text), Some(all));
        assert_eq!(decode("%aF+"), Some(b"\xaf+".to_vec()));
        for broken in ["%", "%1", "%g1", "%1g", "a%2"] {
            assert_eq!(decode(broken), None, "{broken}");
        }
    }
}

//! Text that strangers chose, made safe to print.

use alloc::string::String;
use core::fmt;

/// Bytes as text for a terminal or a log: at most `most` characters, and none that moves the
/// cursor, changes colours or turns the direction of writing. What is not UTF-8 or not printable
/// shows as U+FFFD.
#[must_use]
pub fn printable(bytes: &[u8], most: usize) -> String {
    let mut out = String::new();
    // A character has four bytes at most, so no more than these can matter.
    let bytes = &bytes[..bytes.len().min(most.saturating_mul(4))];
    for char in String::from_utf8_lossy(bytes).chars().take(most) {
        out.push(if hides(char) {
            char::REPLACEMENT_CHARACTER
        } else {
            char
        });
    }
    out
}

fn hides(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
        )
}

/// Displays bytes as ASCII, a dot for each that has no printable form.
#[derive(Clone, Copy, Debug)]
pub struct Ascii<'a>(pub &'a [u8]);

impl fmt::Display for Ascii<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            let shown = matches!(byte, b' '..=b'~');
            fmt::Write::write_char(f, if shown { *byte as char } else { '.' })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    /// A terminal shows what is printed and obeys none of it.
    #[test]
    fn nothing_printed_is_an_order_to_the_terminal() {
        let fine = "µTorrent 1.2 日本";
        assert_eq!(printable(fine.as_bytes(), 100), fine);
        let evil = "a\x1b[31m\r\n\u{9b}\u{202e}z";
        let shown = printable(evil.as_bytes(), 100);
        assert_eq!(shown, "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}z");
        assert_eq!(printable(b"\xff\xfeab", 100), "\u{fffd}\u{fffd}ab");
        assert_eq!(printable("日本語".as_bytes(), 2), "日本");
        assert_eq!(Ascii(b"-RC\x1b\0~\x7f\xff").to_string(), "-RC..~..");
    }
}

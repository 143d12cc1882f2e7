//! Text from outside on its way to a terminal: what could move the cursor, hide text or turn its
//! direction is shown as `\u{..}` instead of being sent.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::path::Path;

/// Displays a string from outside, such as a file's name or a tracker's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Escaped<'_> {
    /// Displays a path; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn path(path: &Path) -> EscapedPath<'_> {
        EscapedPath(path.to_string_lossy())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '\t' => f.write_str("\\t")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                _ if is_unsafe(character) => write!(f, "{}", character.escape_unicode())?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// See [`Escaped::path`].
#[derive(Clone, Debug)]
pub(crate) struct EscapedPath<'a>(Cow<'a, str>);

impl fmt::Display for EscapedPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

/// Control characters, line and paragraph separators, and everything that reorders or hides text.
pub(crate) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name cannot clear the screen, forge a line or turn the direction of text.
    #[test]
    fn nothing_reaches_the_terminal_that_could_steer_it() {
        let shown = |text| Escaped(text).to_string();
        assert_eq!(shown("\u{1b}[2Jx"), "\\u{1b}[2Jx");
        assert_eq!(
            shown("a\nb\tc\rd\u{7f}\u{9b}"),
            "a\\nb\\tc\\rd\\u{7f}\\u{9b}"
        );
        assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
    }

    /// Ordinary names in any script pass unchanged.
    #[test]
    fn letters_of_every_script_pass() {
        for name in ["naïve – 日本語 العربية", "C:\\dir", "🦀 'quotes' \"too\""] {
            assert_eq!(Escaped(name).to_string(), name);
        }
    }
}

//! Text from outside on its way to a terminal: what could move the cursor, hide text or turn its
//! direction is shown as `\u{..}` instead of being sent.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

/// Displays a string from outside, such as a file's name or a tracker's message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(pub(crate) &'a str);

impl Escaped<'_> {
    /// Escapes a text line by line.
    pub(crate) fn lines(text: &str) -> String {
        let lines = text.split('\n').map(|line| Escaped(line).to_string());
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Displays a path; bytes that are not UTF-8 become U+FFFD.
    pub(crate) fn path(path: &Path) -> EscapedPath<'_> {
        EscapedPath(path.to_string_lossy())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        escape(self.0, is_utf8_spoken(), f)
    }
}

fn escape(text: &str, utf8: bool, f: &mut impl fmt::Write) -> fmt::Result {
    for character in text.chars() {
        match character {
            '\t' => f.write_str("\\t")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            _ if is_unsafe(character) || !(utf8 || character.is_ascii()) => {
                write!(f, "{}", character.escape_unicode())?;
            }
            _ => f.write_char(character)?,
        }
    }
    Ok(())
}

/// Whether the terminal shows UTF-8, by the locale.
pub(crate) fn is_utf8_spoken() -> bool {
    static SPOKEN: OnceLock<bool> = OnceLock::new();
    *SPOKEN.get_or_init(|| says_utf8(["LC_ALL", "LC_CTYPE", "LANG"].map(std::env::var_os)))
}

/// Whether these values, the first that is set before all others, name a locale of UTF-8. Where none
/// is set, as in many containers, nobody has said otherwise.
fn says_utf8(values: [Option<OsString>; 3]) -> bool {
    let set = values.into_iter().flatten().find(|value| !value.is_empty());
    set.is_none_or(|value| {
        let value = value.to_string_lossy().to_ascii_lowercase();
        value.contains("utf-8") || value.contains("utf8")
    })
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

    fn shown(text: &str, utf8: bool) -> String {
        let mut shown = String::new();
        escape(text, utf8, &mut shown).unwrap();
        shown
    }

    /// A name cannot clear the screen, forge a line or turn the direction of text.
    #[test]
    fn nothing_reaches_the_terminal_that_could_steer_it() {
        for utf8 in [true, false] {
            let shown = |text| shown(text, utf8);
            assert_eq!(shown("\u{1b}[2Jx"), "\\u{1b}[2Jx");
            assert_eq!(
                shown("a\nb\tc\rd\u{7f}\u{9b}"),
                "a\\nb\\tc\\rd\\u{7f}\\u{9b}"
            );
            assert_eq!(shown("gpj.\u{202e}exe"), "gpj.\\u{202e}exe");
        }
    }

    /// What is told in lines stays so, and a name in it still forges none.
    #[test]
    fn lines_stay_lines() {
        assert_eq!(Escaped::lines("a\u{1b}b\r\n\nc"), "a\\u{1b}b\\r\n\nc");
    }

    /// Ordinary names in any script pass unchanged, unless the terminal knows ASCII alone.
    #[test]
    fn letters_of_every_script_pass() {
        for name in ["naïve – 日本語 العربية", "C:\\dir", "🦀 'quotes' \"too\""] {
            assert_eq!(shown(name, true), name);
        }
        assert_eq!(shown("naïve é", false), "na\\u{ef}ve \\u{e9}");
    }

    /// The locale is the first that is set; `C` has no UTF-8, and no locale at all says nothing.
    #[test]
    fn the_locale_is_heard() {
        let says = |all: &str, ctype: &str, lang: &str| {
            says_utf8([all, ctype, lang].map(|value| Some(OsString::from(value))))
        };
        assert!(says("", "", "en_GB.UTF-8") && says("C.utf8", "C", "C") && says("", "", ""));
        assert!(!says("C", "", "en_GB.UTF-8") && !says("", "POSIX", "") && !says("", "", "de_DE"));
        assert!(says_utf8([None, None, None]));
    }
}

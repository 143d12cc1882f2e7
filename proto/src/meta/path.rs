//! Names from torrents made safe for a file system.
//!
//! Invariant: a component that leaves here is 1 to 255 bytes of UTF-8 without separator, NUL,
//! control or direction character, neither `.` nor `..` nor the name of a device; a path has 1 to
//! [`MAX_COMPONENTS`] of them; no two files have one path, and none has the path of a directory.
//! Every repair depends on the torrent alone, so that a download finds its files again.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The longest component, in bytes: what Linux file systems take.
pub const MAX_COMPONENT_LEN: usize = 255;
/// The most components of a path below the torrent's folder.
pub const MAX_COMPONENTS: usize = 100;
/// The longest path below the torrent's folder, in bytes, separators included: half of what Linux
/// takes, the rest is for the download folder.
pub const MAX_PATH_LEN: usize = 2048;
/// How often files may want one and the same path.
pub const MAX_NAMESAKES: u32 = 100;

/// The longest ending that a shortened name keeps, in bytes, its dot included.
const MAX_EXTENSION_LEN: usize = 16;

/// Names that open a device instead of a file where Windows can see them.
const DEVICES: [&str; 4] = ["CON", "PRN", "AUX", "NUL"];
/// The same, before a digit from 1 to 9.
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

/// More than [`MAX_NAMESAKES`] files want one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {MAX_NAMESAKES} files have the same path")]
pub struct TooManyNamesakes;

/// Repairs one component: bytes that are not UTF-8 and control characters become `_`; separators,
/// NUL and direction marks go; what is then empty, `.` or `..` becomes `_`; a device gets a `_`
/// behind it; what is too long is shortened before its ending.
#[must_use]
pub fn component(raw: &[u8]) -> String {
    let mut name = visible(raw);
    if is_reserved(&name) {
        // A dot would still be there behind a mark: these names are replaced, not amended.
        name = String::from("_");
    } else if is_device(&name) {
        name.push('_');
    }
    shorten(name, MAX_COMPONENT_LEN)
}

/// Repairs the name of a torrent as [`component`] does; `None` if nothing of it is left.
#[must_use]
pub fn torrent_name(raw: &[u8]) -> Option<String> {
    (!is_reserved(&visible(raw))).then(|| component(raw))
}

/// Reads text from bytes that should be UTF-8: each byte that is not becomes `_`.
#[must_use]
pub fn text(raw: &[u8]) -> String {
    let mut text = String::with_capacity(raw.len());
    for chunk in raw.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '_'));
    }
    text
}

/// A path below the torrent's folder, one component after the other. What is too deep or too long
/// loses the directories before the file's own name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PathBuilder {
    components: Vec<String>,
}

impl PathBuilder {
    pub(super) fn push(&mut self, raw: &[u8]) {
        if self.components.len() == MAX_COMPONENTS {
            self.components.pop();
        }
        self.components.push(component(raw));
    }

    /// The path; empty if nothing was pushed.
    pub(super) fn finish(mut self) -> Vec<String> {
        let mut len: usize = self.components.iter().map(|name| name.len() + 1).sum();
        while len > MAX_PATH_LEN {
            // A single component is always short enough.
            let dropped = self.components.remove(self.components.len() - 2);
            len -= dropped.len() + 1;
        }
        self.components
    }
}

/// Renames files until no two have one path and none has the path of a directory. A file keeps its
/// name if no file before it has it; later ones get `.1`, `.2` and so on before their ending.
///
/// # Errors
/// If one path is wanted too often.
pub(super) fn keep_apart<'p>(
    paths: impl Iterator<Item = &'p mut Vec<String>>,
) -> Result<(), TooManyNamesakes> {
    let mut paths: Vec<&mut Vec<String>> = paths.collect();
    let renamed = new_names(&paths)?;
    for (index, name) in renamed {
        if let Some(last) = paths[index].last_mut() {
            *last = name;
        }
    }
    Ok(())
}

fn new_names(paths: &[&mut Vec<String>]) -> Result<Vec<(usize, String)>, TooManyNamesakes> {
    // All directories first: it is files that give way, whatever the order.
    let (homes, directories) = directories(paths);
    // Each name in its directory, with the number that its next namesake tries.
    let mut files: BTreeMap<(u32, Cow<'_, str>), u32> = BTreeMap::new();
    let mut renamed = Vec::new();
    for (index, (path, home)) in paths.iter().zip(homes).enumerate() {
        let Some(name) = path.last() else { continue };
        let wanted = (home, Cow::Borrowed(name.as_str()));
        let is_directory = directories.contains_key(&(home, name.as_str()));
        if !is_directory && !files.contains_key(&wanted) {
            files.insert(wanted, 1);
            continue;
        }
        let first = files.get(&wanted).copied().unwrap_or(1);
        let (number, new) = (first..=MAX_NAMESAKES)
            .map(|number| (number, numbered(name, number)))
            .find(|(_, new)| {
                !directories.contains_key(&(home, new.as_str()))
                    && !files.contains_key(&(home, Cow::Borrowed(new.as_str())))
            })
            .ok_or(TooManyNamesakes)?;
        files.insert(wanted, number + 1);
        files.insert((home, Cow::Owned(new.clone())), 1);
        renamed.push((index, new));
    }
    Ok(renamed)
}

/// Numbers of directories by their parent's number and their name; the root is 0.
type Directories<'p> = BTreeMap<(u32, &'p str), u32>;

/// The directory that each path's last component lies in, and all directories.
fn directories<'p>(paths: &'p [&mut Vec<String>]) -> (Vec<u32>, Directories<'p>) {
    let mut known = Directories::new();
    let mut homes = Vec::with_capacity(paths.len());
    for path in paths {
        let mut home = 0;
        for name in &path[..path.len().saturating_sub(1)] {
            let next = known.len() as u32 + 1;
            home = *known.entry((home, name)).or_insert(next);
        }
        homes.push(home);
    }
    (homes, known)
}

/// `name.txt` with the number 1 is `name.1.txt`.
fn numbered(name: &str, number: u32) -> String {
    let mark = format!(".{number}");
    let (stem, ending) = split_ending(name);
    let stem = floor(stem, MAX_COMPONENT_LEN - mark.len() - ending.len());
    format!("{stem}{mark}{ending}")
}

fn visible(raw: &[u8]) -> String {
    text(raw)
        .chars()
        .filter(|char| !matches!(char, '/' | '\\' | '\0') && !is_direction(*char))
        .map(|char| if char.is_control() { '_' } else { char })
        .collect()
}

/// Marks that change the direction of text and so make a name look like another.
fn is_direction(char: char) -> bool {
    matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_reserved(name: &str) -> bool {
    matches!(name, "" | "." | "..")
}

fn is_device(name: &str) -> bool {
    let is = |device: &&str| name.eq_ignore_ascii_case(device);
    let is_numbered = |device: &&str| match name.as_bytes() {
        [start @ .., b'1'..=b'9'] => start.eq_ignore_ascii_case(device.as_bytes()),
        _ => false,
    };
    DEVICES.iter().any(is) || NUMBERED_DEVICES.iter().any(is_numbered)
}

fn shorten(name: String, limit: usize) -> String {
    if name.len() <= limit {
        return name;
    }
    let (stem, ending) = split_ending(&name);
    let stem = floor(stem, limit - ending.len());
    format!("{stem}{ending}")
}

/// The name before its ending, and the ending with its dot; a long ending is none.
fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION_LEN => name.split_at(dot),
        _ => (name, ""),
    }
}

/// The longest start of `text` of at most `limit` bytes that ends between characters.
pub(super) fn floor(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn hostile_components_become_ordinary_names() {
        let cases: [(&[u8], &str); 15] = [
            (b"plain.txt", "plain.txt"),
            (b"", "_"),
            (b".", "_"),
            (b"..", "_"),
            (b"./.", "_"),
            (b"/etc/passwd", "etcpasswd"),
            (b"foo/../../../bar", "foo......bar"),
            (b"..\\x", "..x"),
            (b"a\0b", "ab"),
            (b"a\nb\x1b[31m", "a_b_[31m"),
            (b"\xff\xfe\xfd", "___"),
            (b"ok\xe2\x82", "ok__"),
            ("a\u{202e}gpj.exe".as_bytes(), "agpj.exe"),
            (b"cOn", "cOn_"),
            (b"lpt9", "lpt9_"),
        ];
        for (raw, expected) in cases {
            assert_eq!(component(raw), expected);
            assert_eq!(component(expected.as_bytes()), expected, "repaired once");
        }
        for name in ["aux.c", "com0", "b.", "foobar ", ".hidden"] {
            assert_eq!(component(name.as_bytes()), name);
        }
    }

    #[test]
    fn a_torrent_whose_name_vanishes_has_none() {
        for raw in [&b""[..], b"..", b"//", b"\0\0"] {
            assert_eq!(torrent_name(raw), None);
        }
        assert_eq!(torrent_name(b"\n").as_deref(), Some("_"));
    }

    #[test]
    fn long_names_keep_their_ending_and_whole_characters() {
        let long = component(&[&[b'n'; 5000], &b".tar.gz"[..]].concat());
        assert_eq!(long.len(), 255);
        assert!(long.ends_with("n.gz"));
        let long = component("ü".repeat(200).as_bytes());
        assert_eq!(long, "ü".repeat(127));
        assert_eq!(numbered(&long, 7), "ü".repeat(126) + ".7");
    }

    #[test]
    fn paths_too_deep_or_too_long_lose_directories() {
        let mut path = PathBuilder::default();
        for index in 0..300 {
            path.push(index.to_string().as_bytes());
        }
        let path = path.finish();
        assert_eq!(
            (path.len(), path[98].as_str(), path[99].as_str()),
            (100, "98", "299")
        );
        let mut path = PathBuilder::default();
        for _ in 0..40 {
            path.push(&[b'd'; 250]);
        }
        path.push(b"file");
        let path = path.finish();
        assert_eq!((path.len(), path[8].as_str()), (9, "file"));
    }

    fn apart(paths: &[&str]) -> Result<Vec<String>, TooManyNamesakes> {
        let split = |path: &&str| path.split('/').map(String::from).collect();
        let mut paths: Vec<Vec<String>> = paths.iter().map(split).collect();
        keep_apart(paths.iter_mut())?;
        Ok(paths.iter().map(|path| path.join("/")).collect())
    }

    #[test]
    fn files_that_would_land_on_one_path_are_kept_apart() {
        let same = ["f.txt", "g", "f.txt", "d/f.txt", "f.txt"];
        let expected = ["f.txt", "g", "f.1.txt", "d/f.txt", "f.2.txt"];
        assert_eq!(apart(&same).unwrap(), expected);
        assert_eq!(apart(&["A", "a"]).unwrap(), ["A", "a"]);
        assert_eq!(apart(&["a", "a/b"]).unwrap(), ["a.1", "a/b"]);
        assert_eq!(apart(&["a/b", "a", "a"]).unwrap(), ["a/b", "a.1", "a.2"]);
        // A name that a repair has taken is taken.
        assert_eq!(apart(&["a", "a", "a.1"]).unwrap(), ["a", "a.1", "a.1.1"]);
        assert_eq!(apart(&["a", "a.1", "a"]).unwrap(), ["a", "a.1", "a.2"]);
    }

    #[test]
    fn namesakes_are_bounded() {
        assert!(apart(&vec!["a"; 101]).is_ok());
        assert_eq!(apart(&vec!["a"; 102]), Err(TooManyNamesakes));
    }
}

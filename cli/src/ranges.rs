//! Lists of numbers and ranges, such as `17,20-25`, and what they choose of a torrent.

use std::ops::RangeInclusive;
use std::str::FromStr;

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::layout::{FileIndex, Layout};

/// A list of numbers and ranges, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<RangeInclusive<u32>>);

/// Why a list or a choice cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadChoice {
    /// Not a number or a range.
    #[error("`{0}` is no number or range; write a list as 17,20-25")]
    Syntax(String),
    /// A range that ends before it begins.
    #[error("the range {0}-{1} ends before it begins")]
    Backwards(u32, u32),
    /// A piece past the last.
    #[error("there is no piece {piece}: the torrent has pieces 0 to {last}")]
    NoPiece {
        /// The piece asked for.
        piece: u32,
        /// The last one there is.
        last: u32,
    },
    /// A file number past the last, or zero.
    #[error("there is no file {file}: the torrent has files 1 to {last}; `inspect` lists them")]
    NoFile {
        /// The number asked for.
        file: u32,
        /// The last one there is.
        last: u32,
    },
    /// A name that no file or folder has.
    #[error("no file or folder is named `{0}`; `inspect` lists them")]
    NoName(String),
}

impl FromStr for Ranges {
    type Err = BadChoice;

    fn from_str(text: &str) -> Result<Self, BadChoice> {
        text.split(',')
            .map(parse_range)
            .collect::<Result<_, _>>()
            .map(Ranges)
    }
}

fn parse_range(item: &str) -> Result<RangeInclusive<u32>, BadChoice> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| BadChoice::Syntax(item.into()))
    };
    let item_trimmed = item.trim();
    let (first, last) = item_trimmed
        .split_once('-')
        .unwrap_or((item_trimmed, item_trimmed));
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(BadChoice::Backwards(first, last));
    }
    Ok(first..=last)
}

/// The pieces of a torrent that `pieces` names, counted from 0.
pub(crate) fn pieces(layout: &Layout, pieces: &Ranges) -> Result<Bitfield, BadChoice> {
    let last = layout.pieces() - 1;
    let mut chosen = Bitfield::new(layout.pieces() as usize);
    for range in &pieces.0 {
        if *range.end() > last {
            return Err(BadChoice::NoPiece {
                piece: *range.end(),
                last,
            });
        }
        for piece in range.clone() {
            chosen.insert(piece as usize);
        }
    }
    Ok(chosen)
}

/// The files of a torrent that `choices` name.
///
/// Each choice is the path of a file or folder, with or without the torrent's own name in front;
/// or a list of such paths, file numbers and ranges. Numbers count from 1 as `inspect` shows them.
pub(crate) fn files(layout: &Layout, choices: &[String]) -> Result<Bitfield, BadChoice> {
    let numbered = numbered(layout);
    let mut chosen = Bitfield::new(layout.files().len());
    let mut choose = |files: &[FileIndex]| {
        for file in files {
            chosen.insert(file.at());
        }
    };
    for choice in choices {
        // A whole choice first: a name may hold commas.
        let named = by_name(layout, &numbered, choice);
        if !named.is_empty() {
            choose(&named);
            continue;
        }
        for item in choice.split(',') {
            choose(&one_choice(layout, &numbered, item.trim())?);
        }
    }
    Ok(chosen)
}

/// The files that have numbers: all but padding, in the order of the torrent.
pub(crate) fn numbered(layout: &Layout) -> Vec<FileIndex> {
    let indices = (0u32..).map(FileIndex).zip(layout.files());
    indices
        .filter(|(_, file)| !file.is_pad())
        .map(|(index, _)| index)
        .collect()
}

fn one_choice(
    layout: &Layout,
    numbered: &[FileIndex],
    item: &str,
) -> Result<Vec<FileIndex>, BadChoice> {
    let named = by_name(layout, numbered, item);
    if !named.is_empty() {
        return Ok(named);
    }
    let range = match parse_range(item) {
        Ok(range) => range,
        Err(BadChoice::Syntax(name)) => return Err(BadChoice::NoName(name)),
        Err(other) => return Err(other),
    };
    let last = numbered.len() as u32;
    let outside = [*range.start(), *range.end()]
        .into_iter()
        .find(|file| !(1..=last).contains(file));
    match outside {
        Some(file) => Err(BadChoice::NoFile { file, last }),
        None => Ok(numbered[*range.start() as usize - 1..*range.end() as usize].to_vec()),
    }
}

fn by_name(layout: &Layout, numbered: &[FileIndex], name: &str) -> Vec<FileIndex> {
    let wanted: Vec<&str> = name
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let starts = |path: &[String]| {
        path.len() >= wanted.len() && path.iter().zip(&wanted).all(|(a, b)| a == b)
    };
    if wanted.is_empty() {
        return Vec::new();
    }
    let is_named = |file: &&FileIndex| {
        let path = &layout.files()[file.at()].path;
        starts(path) || starts(&path[1.min(path.len())..])
    };
    numbered.iter().filter(is_named).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

    fn layout() -> Layout {
        let file = |path: &[&str], len, kind| FileEntry {
            path: path.iter().map(|part| (*part).to_owned()).collect(),
            len,
            offset: 0,
            kind,
        };
        let plain = || FileKind::Regular { executable: false };
        let files = vec![
            file(&["t", "a"], 25, plain()),
            file(&["t", ".pad", "5"], 5, FileKind::Pad),
            file(&["t", "d", "1"], 10, plain()),
            file(&["t", "d", "x,y"], 20, plain()),
            file(&["t", "2"], 0, plain()),
        ];
        Layout::new(10, files).unwrap()
    }

    fn chosen(field: &Bitfield) -> Vec<usize> {
        (0..field.len()).filter(|at| field.contains(*at)).collect()
    }

    fn by(choices: &[&str]) -> Result<Vec<usize>, BadChoice> {
        let choices: Vec<String> = choices.iter().map(|&c| c.to_owned()).collect();
        files(&layout(), &choices).map(|field| chosen(&field))
    }

    /// Numbers and ranges become pieces; what is past the end is an error that says what there is.
    #[test]
    fn pieces_are_chosen_by_number() {
        let choose = |text: &str| pieces(&layout(), &text.parse()?).map(|field| chosen(&field));
        assert_eq!(choose("1, 3-5"), Ok(vec![1, 3, 4, 5]));
        assert_eq!(choose("0-5,2"), Ok(vec![0, 1, 2, 3, 4, 5]));
        assert_eq!(choose("6"), Err(BadChoice::NoPiece { piece: 6, last: 5 }));
        assert_eq!(
            choose("0-4294967295"),
            Err(BadChoice::NoPiece {
                piece: u32::MAX,
                last: 5
            })
        );
        assert_eq!(choose("3-1"), Err(BadChoice::Backwards(3, 1)));
        for text in ["", "1,", "a", "1-", "-1", "+1", "1-2-3", "4294967296"] {
            assert!(matches!(choose(text), Err(BadChoice::Syntax(_))), "{text}");
        }
    }

    /// Padding has no number.
    #[test]
    fn files_are_chosen_by_number() {
        assert_eq!(by(&["1"]), Ok(vec![0]));
        assert_eq!(by(&["3"]), Ok(vec![3]));
        assert_eq!(by(&["1,3"]), Ok(vec![0, 3]));
        assert_eq!(by(&["5"]), Err(BadChoice::NoFile { file: 5, last: 4 }));
        assert_eq!(by(&["0-2"]), Err(BadChoice::NoFile { file: 0, last: 4 }));
    }

    /// A name wins over a number, may hold a comma, and may stand for a whole folder.
    #[test]
    fn files_are_chosen_by_name() {
        assert_eq!(by(&["a"]), Ok(vec![0]));
        assert_eq!(by(&["t/d/1"]), Ok(vec![2]));
        assert_eq!(by(&["d/x,y"]), Ok(vec![3]));
        assert_eq!(by(&["d"]), Ok(vec![2, 3]));
        assert_eq!(by(&["./d/", "a"]), Ok(vec![0, 2, 3]));
        assert_eq!(by(&["2"]), Ok(vec![4]), "the empty file named 2");
        assert_eq!(by(&["e"]), Err(BadChoice::NoName("e".into())));
        assert_eq!(by(&[".pad"]), Err(BadChoice::NoName(".pad".into())));
    }
}

//! What `inspect` tells, under the names it has in `--json`.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::escape::Escaped;
use crate::units::Size;

/// Everything a torrent file holds but the hashes of its pieces.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// SHA-1 of the info dictionary, in hexadecimal (BEP 3).
    pub(crate) info_hash_v1: Option<String>,
    /// SHA-256 of the info dictionary, in hexadecimal (BEP 52).
    pub(crate) info_hash_v2: Option<String>,
    /// The display name.
    pub(crate) name: String,
    /// Bytes of each piece but the last.
    pub(crate) piece_length: u32,
    /// How many pieces there are.
    pub(crate) num_pieces: u32,
    /// Bytes in all, padding included.
    pub(crate) total_size: u64,
    /// The files in their order, padding included.
    pub(crate) files: Vec<File>,
    /// The trackers, tier by tier (BEP 12).
    pub(crate) trackers: Vec<Tracker>,
    /// Web seeds of BEP 19.
    pub(crate) url_seeds: Vec<String>,
    /// Web seeds of BEP 17.
    pub(crate) http_seeds: Vec<String>,
    /// DHT nodes to begin with (BEP 5).
    pub(crate) dht_nodes: Vec<(String, u16)>,
    /// Whether peers may come from the trackers alone (BEP 27).
    pub(crate) private: bool,
    /// A remark; empty if there is none.
    pub(crate) comment: String,
    /// The program that made it; empty if it does not say.
    pub(crate) created_by: String,
    /// Seconds since 1970; 0 if it does not say.
    pub(crate) creation_date: i64,
    /// Where it comes from.
    pub(crate) source: Option<String>,
    /// Info-hashes of torrents that share files (BEP 38), in hexadecimal.
    pub(crate) similar: Vec<String>,
    /// Collections it belongs to (BEP 38).
    pub(crate) collections: Vec<String>,
}

/// A file of a torrent.
#[derive(Debug, Serialize)]
pub(crate) struct File {
    /// Where it will lie below the download folder.
    pub(crate) path: String,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Where its first byte lies in the torrent, in bytes.
    pub(crate) offset: u64,
    /// BEP 47: `p` padding, `x` executable, `l` symbolic link.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) attr: String,
    /// Where a symbolic link points to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) symlink: Option<String>,
    /// SHA-1 of its content as the torrent says (BEP 47), in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sha1: Option<String>,
    /// The root of its hash tree (BEP 52), in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pieces_root: Option<String>,
}

/// A tracker and its tier.
#[derive(Debug, Serialize)]
pub(crate) struct Tracker {
    /// Its address.
    pub(crate) url: String,
    /// Its tier: lower ones are asked first.
    pub(crate) tier: usize,
}

/// Shown to people: one fact a line, the files last with the numbers that `--files` takes.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fact(f, "Name", Escaped(&self.name))?;
        for (label, hash) in [
            ("Info-hash v1", &self.info_hash_v1),
            ("Info-hash v2", &self.info_hash_v2),
        ] {
            if let Some(hash) = hash {
                fact(f, label, hash)?;
            }
        }
        fact(
            f,
            "Size",
            format_args!("{} ({} bytes)", Size(self.total_size), self.total_size),
        )?;
        fact(
            f,
            "Pieces",
            format_args!("{} of {}", self.num_pieces, Size(self.piece_length.into())),
        )?;
        if self.private {
            fact(f, "Private", "yes: peers come from its trackers alone")?;
        }
        for tracker in &self.trackers {
            fact(
                f,
                "Tracker",
                format_args!("{} (tier {})", Escaped(&tracker.url), tracker.tier + 1),
            )?;
        }
        for seed in self.url_seeds.iter().chain(&self.http_seeds) {
            fact(f, "Web seed", Escaped(seed))?;
        }
        for (host, port) in &self.dht_nodes {
            fact(f, "DHT node", format_args!("{}:{port}", Escaped(host)))?;
        }
        self.origin(f)?;
        for hash in &self.similar {
            fact(f, "Similar to", hash)?;
        }
        for collection in &self.collections {
            fact(f, "Collection", Escaped(collection))?;
        }
        self.file_list(f)
    }
}

impl Report {
    fn origin(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (label, text) in [("Comment", &self.comment), ("Created by", &self.created_by)] {
            if !text.is_empty() {
                fact(f, label, Escaped(text))?;
            }
        }
        if let Some(date) = date(self.creation_date) {
            fact(f, "Created", date)?;
        }
        match &self.source {
            Some(source) => fact(f, "Source", Escaped(source)),
            None => Ok(()),
        }
    }

    fn file_list(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Files")?;
        let mut number = 0;
        for file in self.files.iter().filter(|file| !file.attr.contains('p')) {
            number += 1;
            write!(
                f,
                "{number:>6}  {:>9}  {}",
                Size(file.size),
                Escaped(&file.path)
            )?;
            match &file.symlink {
                Some(target) => writeln!(f, " -> {}", Escaped(target))?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

fn fact(f: &mut fmt::Formatter<'_>, label: &str, value: impl fmt::Display) -> fmt::Result {
    writeln!(f, "{label:<13} {value}")
}

/// A date in the years 1970 to 9999, in Coordinated Universal Time.
fn date(seconds: i64) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = u64::try_from(seconds)
        .ok()
        .filter(|at| (1..YEAR_10000).contains(at))?;
    let date = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds));
    Some(date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, size: u64, attr: &str) -> File {
        let (path, attr) = (path.to_owned(), attr.to_owned());
        File {
            path,
            size,
            offset: 0,
            attr,
            symlink: None,
            sha1: None,
            pieces_root: None,
        }
    }

    fn report() -> Report {
        Report {
            info_hash_v1: Some("aa".repeat(20)),
            info_hash_v2: None,
            name: "a\u{1b}[31m".into(),
            piece_length: 1 << 18,
            num_pieces: 3,
            total_size: 700_000,
            files: vec![
                file("a/1", 699_000, ""),
                file("a/.pad/1", 999, "p"),
                file("a/2", 1, "x"),
            ],
            trackers: vec![Tracker {
                url: "http://t/a".into(),
                tier: 0,
            }],
            url_seeds: Vec::new(),
            http_seeds: Vec::new(),
            dht_nodes: vec![("::1".into(), 6881)],
            private: false,
            comment: String::new(),
            created_by: "hand".into(),
            creation_date: 1_359_599_503,
            source: None,
            similar: Vec::new(),
            collections: Vec::new(),
        }
    }

    /// What is there is shown, what is not there takes no line, padding has no number, and nothing
    /// from the file reaches the terminal raw.
    #[test]
    fn people_read_one_fact_a_line() {
        let shown = report().to_string();
        let expected = "\
Name          a\\u{1b}[31m
Info-hash v1  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
Size          684 KiB (700000 bytes)
Pieces        3 of 256 KiB
Tracker       http://t/a (tier 1)
DHT node      ::1:6881
Created by    hand
Created       2013-01-31T02:31:43Z
Files
     1    683 KiB  a/1
     2        1 B  a/2
";
        assert_eq!(shown, expected);
    }

    /// Any number a file may hold as its date is harmless.
    #[test]
    fn odd_dates_are_left_out() {
        for seconds in [i64::MIN, -1, 0, 253_402_300_800, i64::MAX] {
            assert_eq!(date(seconds), None);
        }
        assert_eq!(
            date(253_402_300_799).as_deref(),
            Some("9999-12-31T23:59:59Z")
        );
    }
}

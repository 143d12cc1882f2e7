//! Scrapes: the size of swarms, asked without joining them (BEP 48).

use alloc::string::String;
use alloc::vec::Vec;

use super::announce::{BadAnnounce, BadReply, count, find};
use super::percent;
use crate::wire::bencode::{self, Limits};

/// The most swarms of one scrape.
pub const SWARMS_MAX: usize = 64;

/// The size of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that have not.
    pub incomplete: u32,
    /// Downloads that ended.
    pub downloaded: u32,
}

/// Where to scrape a tracker with this announce URL; `None` where it follows no convention.
#[must_use]
pub fn scrape_url(announce: &str) -> Option<String> {
    let (front, last) = announce.split_at(announce.rfind('/')? + 1);
    let rest = last.strip_prefix("announce")?;
    Some([front, "scrape", rest].concat())
}

/// The swarms that the query of a request asks for, at most [`SWARMS_MAX`].
///
/// # Errors
/// If it asks for none, or an info-hash is none.
pub fn from_query(query: &str) -> Result<Vec<[u8; 20]>, BadAnnounce> {
    let key = "info_hash";
    let hashes: Option<Vec<_>> = find(query, key)
        .take(SWARMS_MAX)
        .map(|text| percent::decode(text)?.try_into().ok())
        .collect();
    match hashes.ok_or(BadAnnounce::Value { key })? {
        hashes if hashes.is_empty() => Err(BadAnnounce::Missing { key }),
        hashes => Ok(hashes),
    }
}

/// Reads the body of a response: the swarms that it tells of, at most [`SWARMS_MAX`].
///
/// # Errors
/// If it is not a dictionary.
pub fn decode(body: &[u8]) -> Result<Vec<([u8; 20], Counts)>, BadReply> {
    let tree = bencode::decode_prefix(body, Limits::MESSAGE)?;
    let root = tree.root();
    if root.dict().is_none() {
        return Err(BadReply::NotADictionary);
    }
    let swarms = root.get(b"files").and_then(|files| files.dict());
    let swarms = swarms.into_iter().flatten().filter_map(|(hash, swarm)| {
        let number = |key: &[u8]| swarm.get(key).and_then(count).unwrap_or(0);
        let counts = Counts {
            complete: number(b"complete"),
            incomplete: number(b"incomplete"),
            downloaded: number(b"downloaded"),
        };
        Some((hash.try_into().ok()?, counts))
    });
    Ok(swarms.take(SWARMS_MAX).collect())
}

/// Appends the body of a response; `swarms` by ascending info-hash, each once.
pub fn encode(swarms: &[([u8; 20], Counts)], out: &mut Vec<u8>) {
    bencode::write_dict(out, |dict| {
        dict.dict(b"files", |files| {
            for (hash, counts) in swarms {
                files.dict(hash, |swarm| {
                    swarm.integer(b"complete", counts.complete.into());
                    swarm.integer(b"downloaded", counts.downloaded.into());
                    swarm.integer(b"incomplete", counts.incomplete.into());
                });
            }
        });
    });
}

//! A question to a tracker, by hand: whom it knows (BEP 48).

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use ripcurrent_proto::wire::bencode::{Limits, decode};

use crate::harness::{Torrent, eventually};

/// Waits until the tracker with this announce URL knows so many peers of `torrent`.
#[track_caller]
pub(crate) fn wait_until_known(url: &str, torrent: &Torrent, peers: i64) {
    let what = format!("{url} knows {peers} peers");
    eventually(&what, || (known(url, torrent)? >= peers).then_some(()));
}

/// Seeds and leechers together; `None` where there is no answer.
fn known(url: &str, torrent: &Torrent) -> Option<i64> {
    let host = url.strip_prefix("http://")?.strip_suffix("/announce")?;
    let mut hash = String::new();
    for digits in torrent.info_hash.as_bytes().chunks(2) {
        write!(hash, "%{}", std::str::from_utf8(digits).ok()?).ok()?;
    }
    let mut stream = TcpStream::connect(host).ok()?;
    write!(
        stream,
        "GET /scrape?info_hash={hash} HTTP/1.0\r\nHost: {host}\r\n\r\n"
    )
    .ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let body = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let tree = decode(&answer[body..], Limits::MESSAGE).ok()?;
    let (_, file) = tree.root().get(b"files")?.dict()?.next()?;
    let count = |key: &[u8]| file.get(key)?.integer();
    Some(count(b"complete")? + count(b"incomplete")?)
}

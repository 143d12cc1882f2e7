//! Announces and the answers to them, as bytes (BEP 3 "trackers", BEP 7, 23, 24 and 31).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::percent;
use crate::base::time::Duration;
use crate::wire::bencode::{self, DictWriter, Limits, Value};
use crate::wire::text::printable;

/// The most peers taken from one reply.
pub const PEERS_MAX: usize = 1_000;

/// The longest reason or warning kept, in characters.
const TEXT_MAX: usize = 200;

/// The longest tracker id kept, in bytes: it is sent back with each announce.
const TRACKER_ID_MAX: usize = 256;

/// What happened to a peer, where an announce is more than a sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has joined.
    Started,
    /// Its download ended.
    Completed,
    /// It leaves.
    Stopped,
}

/// An announce: what a client tells a tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The torrent.
    pub info_hash: [u8; 20],
    /// The client.
    pub peer_id: [u8; 20],
    /// Where it listens.
    pub port: u16,
    /// Bytes sent to peers since it joined.
    pub uploaded: u64,
    /// Bytes received from peers since it joined.
    pub downloaded: u64,
    /// Bytes missing.
    pub left: u64,
    /// What happened.
    pub event: Option<Event>,
    /// How many peers it wants; the tracker decides where this is left out.
    pub want_peers: Option<u32>,
    /// A secret by which a client proves who it is when its address has changed.
    pub key: Option<u32>,
    /// What the tracker last wanted to be told again.
    pub tracker_id: Option<Vec<u8>>,
    /// Whether peers may come as strings of bytes (BEP 23).
    pub compact: bool,
}

/// The client's fault: a query that is not an announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAnnounce {
    /// A key that must be there is not.
    #[error("{key} is missing")]
    Missing {
        /// The key.
        key: &'static str,
    },
    /// A key has a value it cannot have.
    #[error("{key} has a wrong value")]
    Value {
        /// The key.
        key: &'static str,
    },
}

impl Announce {
    /// The path and query of a request: those of the tracker's URL with the announce appended.
    #[must_use]
    pub fn to_target(&self, target: &str) -> String {
        let mut out = String::from(target);
        out.push(if target.contains('?') { '&' } else { '?' });
        out.push_str("info_hash=");
        percent::encode(&self.info_hash, &mut out);
        out.push_str("&peer_id=");
        percent::encode(&self.peer_id, &mut out);
        let mut field = |key: &str, value: &str| {
            for part in ["&", key, "=", value] {
                out.push_str(part);
            }
        };
        field("port", &self.port.to_string());
        field("uploaded", &self.uploaded.to_string());
        field("downloaded", &self.downloaded.to_string());
        field("left", &self.left.to_string());
        field("compact", if self.compact { "1" } else { "0" });
        match self.event {
            Some(Event::Started) => field("event", "started"),
            Some(Event::Completed) => field("event", "completed"),
            Some(Event::Stopped) => field("event", "stopped"),
            None => {}
        }
        if let Some(peers) = self.want_peers {
            field("numwant", &peers.to_string());
        }
        if let Some(key) = self.key {
            field("key", &alloc::format!("{key:08x}"));
        }
        if let Some(tracker_id) = &self.tracker_id {
            out.push_str("&trackerid=");
            percent::encode(tracker_id, &mut out);
        }
        out
    }

    /// Reads the query of a request, what follows its `?`. The address of the peer is where the
    /// request came from: addresses claimed in a query are not believed.
    ///
    /// # Errors
    /// If a key that must be there is missing or has a wrong value.
    pub fn from_query(query: &str) -> Result<Self, BadAnnounce> {
        let value = |key: &'static str| find(query, key).next();
        let bytes = |key: &'static str| match value(key) {
            Some(text) => percent::decode(text)
                .map(Some)
                .ok_or(BadAnnounce::Value { key }),
            None => Ok(None),
        };
        let hash = |key: &'static str| -> Result<[u8; 20], BadAnnounce> {
            let bytes = bytes(key)?.ok_or(BadAnnounce::Missing { key })?;
            bytes.try_into().map_err(|_| BadAnnounce::Value { key })
        };
        Ok(Announce {
            info_hash: hash("info_hash")?,
            peer_id: hash("peer_id")?,
            port: number("port", value)?.ok_or(BadAnnounce::Missing { key: "port" })?,
            uploaded: number("uploaded", value)?.unwrap_or(0),
            downloaded: number("downloaded", value)?.unwrap_or(0),
            left: number("left", value)?.ok_or(BadAnnounce::Missing { key: "left" })?,
            event: match value("event") {
                Some("started") => Some(Event::Started),
                Some("completed") => Some(Event::Completed),
                Some("stopped") => Some(Event::Stopped),
                // Some clients send an empty one, or one of their own.
                Some(_) | None => None,
            },
            // -1 is how some say that they do not care.
            want_peers: value("numwant").and_then(|text| text.parse().ok()),
            key: value("key").and_then(|text| u32::from_str_radix(text, 16).ok()),
            tracker_id: bytes("trackerid")?,
            compact: value("compact") != Some("0"),
        })
    }
}

/// The values of `key` in a query, as they stand there.
pub(super) fn find<'q>(query: &'q str, key: &'static str) -> impl Iterator<Item = &'q str> {
    let fields = query.split('&').filter_map(|field| field.split_once('='));
    fields
        .filter(move |(name, _)| *name == key)
        .map(|(_, value)| value)
}

fn number<'q, T: core::str::FromStr>(
    key: &'static str,
    value: impl Fn(&'static str) -> Option<&'q str>,
) -> Result<Option<T>, BadAnnounce> {
    match value(key) {
        Some(text) => text
            .parse()
            .map(Some)
            .map_err(|_| BadAnnounce::Value { key }),
        None => Ok(None),
    }
}

/// A tracker's answer, as a client reads it. What is missing or of a wrong type is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Reply {
    /// Peers with a port and an address that one peer can have, at most [`PEERS_MAX`].
    pub peers: Vec<SocketAddr>,
    /// When to announce again.
    pub interval: Option<Duration>,
    /// How soon at the earliest.
    pub min_interval: Option<Duration>,
    /// What to tell the tracker with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Peers that have everything.
    pub complete: Option<u32>,
    /// Peers that have not.
    pub incomplete: Option<u32>,
    /// Something for people, safe to print.
    pub warning: Option<String>,
    /// Our address, as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
}

/// A tracker's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why, for people, safe to print.
    pub reason: String,
    /// When to ask again.
    pub retry: Retry,
}

/// When a tracker that refused may be asked again (BEP 31).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It does not say.
    Unsaid,
    /// After this time.
    After(Duration),
    /// Never.
    Never,
}

/// What a tracker answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Reply(Reply),
    /// No.
    Failure(Failure),
}

/// The tracker's fault: something else than an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not bencoding.
    #[error("an answer that is not bencoding: {0}")]
    Bencode(#[from] bencode::Error),
    /// Something else than a dictionary.
    #[error("an answer that is not a dictionary")]
    NotADictionary,
}

impl Answer {
    /// Reads the body of a response. What follows the dictionary is ignored.
    ///
    /// # Errors
    /// If it does not begin with a dictionary.
    pub fn decode(body: &[u8]) -> Result<Self, BadReply> {
        let tree = bencode::decode_prefix(body, Limits::MESSAGE)?;
        let root = tree.root();
        if root.dict().is_none() {
            return Err(BadReply::NotADictionary);
        }
        let text = |key: &[u8]| Some(printable(root.get(key)?.bytes()?, TEXT_MAX));
        if let Some(reason) = text(b"failure reason") {
            let retry = root.get(b"retry in").map_or(Retry::Unsaid, retry);
            return Ok(Answer::Failure(Failure { reason, retry }));
        }
        let tracker_id = root.get(b"tracker id").and_then(Value::bytes);
        let fits = |id: &&[u8]| id.len() <= TRACKER_ID_MAX;
        Ok(Answer::Reply(Reply {
            peers: peers(root),
            interval: root.get(b"interval").and_then(seconds),
            min_interval: root.get(b"min interval").and_then(seconds),
            tracker_id: tracker_id.filter(fits).map(<[u8]>::to_vec),
            complete: root.get(b"complete").and_then(count),
            incomplete: root.get(b"incomplete").and_then(count),
            warning: text(b"warning message"),
            external_ip: root.get(b"external ip").and_then(address),
        }))
    }
}

fn retry(value: Value<'_, '_>) -> Retry {
    // The example of BEP 31 has the number as a string.
    let minutes = match value.text() {
        Some("never") => return Retry::Never,
        Some(digits) => digits.parse().ok(),
        None => value
            .integer()
            .and_then(|minutes| u32::try_from(minutes).ok()),
    };
    minutes.map_or(Retry::Unsaid, |minutes: u32| {
        Retry::After(Duration::from_secs(u64::from(minutes) * 60))
    })
}

fn seconds(value: Value<'_, '_>) -> Option<Duration> {
    Some(Duration::from_secs(count(value)?.into()))
}

pub(super) fn count(value: Value<'_, '_>) -> Option<u32> {
    u32::try_from(value.integer()?).ok()
}

fn address(value: Value<'_, '_>) -> Option<IpAddr> {
    let bytes = value.bytes()?;
    let v4 = || Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?));
    let v6 = || Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?));
    v4().or_else(v6)
}

/// The peers of both models and both families.
fn peers(root: Value<'_, '_>) -> Vec<SocketAddr> {
    let mut out = Vec::new();
    let mut keep = |addr: SocketAddr| {
        let ip = addr.ip();
        if addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && out.len() < PEERS_MAX {
            out.push(addr);
        }
    };
    if let Some(value) = root.get(b"peers") {
        for bytes in value.bytes().unwrap_or(b"").as_chunks::<6>().0 {
            let [a, b, c, d, port @ ..] = *bytes;
            keep((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes(port)).into());
        }
        value
            .list()
            .into_iter()
            .flatten()
            .filter_map(peer)
            .for_each(&mut keep);
    }
    if let Some(bytes) = root.get(b"peers6").and_then(Value::bytes) {
        for bytes in bytes.as_chunks::<18>().0 {
            let (ip, port) = bytes.split_at(16);
            let ip: [u8; 16] = ip.try_into().expect("16 of 18 bytes");
            let port = u16::from_be_bytes([port[0], port[1]]);
            keep((Ipv6Addr::from(ip), port).into());
        }
    }
    out
}

/// A peer of the dictionary model. One whose address is a name is left out.
fn peer(value: Value<'_, '_>) -> Option<SocketAddr> {
    let ip: IpAddr = value.get(b"ip")?.text()?.parse().ok()?;
    let port = u16::try_from(value.get(b"port")?.integer()?).ok()?;
    Some((ip, port).into())
}

/// A tracker's answer, as a server writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When to announce again.
    pub interval: Duration,
    /// How soon at the earliest.
    pub min_interval: Duration,
    /// Peers that have everything.
    pub complete: u32,
    /// Peers that have not.
    pub incomplete: u32,
    /// Some peers.
    pub peers: Vec<Peer>,
}

/// A peer, as a tracker knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Who it is.
    pub peer_id: [u8; 20],
}

impl Told {
    /// Appends the body of a response: peers as strings of bytes (BEP 23, BEP 7) where `compact`,
    /// else as a list of dictionaries.
    pub fn encode(&self, compact: bool, out: &mut Vec<u8>) {
        bencode::write_dict(out, |dict| {
            dict.integer(b"complete", self.complete.into());
            dict.integer(b"incomplete", self.incomplete.into());
            dict.integer(b"interval", whole_seconds(self.interval));
            dict.integer(b"min interval", whole_seconds(self.min_interval));
            if compact {
                self.encode_compact(dict);
            } else {
                self.encode_dictionaries(dict);
            }
        });
    }

    fn encode_compact(&self, dict: &mut DictWriter<'_>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Peer { addr, .. } in &self.peers {
            let out = match addr.ip() {
                IpAddr::V4(ip) => {
                    v4.extend_from_slice(&ip.octets());
                    &mut v4
                }
                IpAddr::V6(ip) => {
                    v6.extend_from_slice(&ip.octets());
                    &mut v6
                }
            };
            out.extend_from_slice(&addr.port().to_be_bytes());
        }
        dict.bytes(b"peers", &v4);
        if !v6.is_empty() {
            dict.bytes(b"peers6", &v6);
        }
    }

    fn encode_dictionaries(&self, dict: &mut DictWriter<'_>) {
        dict.list(b"peers", |list| {
            for Peer { addr, peer_id } in &self.peers {
                list.dict(|dict| {
                    dict.bytes(b"ip", addr.ip().to_string().as_bytes());
                    dict.bytes(b"peer id", peer_id);
                    dict.integer(b"port", addr.port().into());
                });
            }
        });
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Appends the body of a refusal.
pub fn encode_failure(reason: &str, out: &mut Vec<u8>) {
    bencode::write_dict(out, |dict| dict.bytes(b"failure reason", reason.as_bytes()));
}

//! What a tracker answers, rightly or not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::tracker::announce::{self, Announce, Reply, encode_failure};
use ripcurrent_proto::tracker::service::respond;
use ripcurrent_proto::wire::bencode;
use ripcurrent_proto::wire::http::{RequestHead, ResponseReader, encode_response};

use super::{Behaviour, Lie, Tracker};

/// The longest body that a client takes, in bytes, and one that is longer.
const BODY_MAX: usize = 1 << 20;
const OVERSIZE: usize = 3 << 20;
/// How many addresses at which nobody is stand in a lie, and in a great one.
const NOBODIES: usize = 50;
const THOUSANDS: usize = 5_000;
/// What an answer without an end goes on with, and the pause before each time: a link without a
/// limit would take them all at one instant.
static REFRAIN: [u8; 16 * 1024] = [b'0'; 16 * 1024];
const REFRAIN_PAUSE: Duration = Duration::from_millis(20);
/// How the addresses begin at which no host ever is.
const NOWHERE: [u8; 2] = [10, 255];
/// How often each peer is told of by a tracker that repeats itself.
const TIMES: usize = 20;

/// An answer, and how it is sent: at once, part by part, or without an end.
pub(super) struct Answer {
    /// What is to be sent.
    bytes: Vec<u8>,
    /// Before the next part.
    pub(super) pause: Duration,
    /// Before each part after it; zero if there is only one.
    pauses: Duration,
    /// What comes when all is sent, again and again.
    refrain: &'static [u8],
}

impl Answer {
    /// One that is sent at once.
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Answer {
            bytes,
            pause: Duration::ZERO,
            pauses: Duration::ZERO,
            refrain: b"",
        }
    }

    /// What is sent now; empty at the end.
    pub(super) fn next_part(&mut self) -> Vec<u8> {
        self.pause = self.pauses;
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(self.refrain);
        }
        let is_dripping = !self.pauses.is_zero() && self.refrain.is_empty();
        let part = if is_dripping { 1 } else { self.bytes.len() };
        let rest = self.bytes.split_off(part.min(self.bytes.len()));
        std::mem::replace(&mut self.bytes, rest)
    }
}

impl Tracker {
    /// The answer to a request; `None` if there will be none.
    pub(super) fn answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        request: &RequestHead,
    ) -> Option<Answer> {
        let mut right = || respond(&mut self.registry, now, from.ip(), request);
        let bytes = match self.behaviour {
            Behaviour::Ok | Behaviour::Slow { .. } => right(),
            // Who came before it began to close is closed without a word.
            Behaviour::Closes => Vec::new(),
            Behaviour::Hangs => return None,
            Behaviour::Status(status) => response(status, b"no"),
            Behaviour::Failure => {
                let mut body = Vec::new();
                encode_failure("out of order", &mut body);
                response(200, &body)
            }
            Behaviour::Noise => self.noise(500),
            Behaviour::Garbage => response(200, &self.noise(500)),
            Behaviour::Truncated => {
                let mut right = right();
                right.pop();
                right
            }
            Behaviour::Oversize => response(200, &vec![b'l'; OVERSIZE]),
            Behaviour::Endless => b"HTTP/1.1 200 OK\r\n\r\nd8:intervali".to_vec(),
            Behaviour::Redirects => {
                let target = &request.target;
                format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n")
                    .into()
            }
            Behaviour::Interval(_)
            | Behaviour::MinInterval(_)
            | Behaviour::Empty
            | Behaviour::Partial(_)
            | Behaviour::Lies(_) => {
                let right = right();
                self.bend(right, from, request)
            }
        };
        self.note(from.ip(), &bytes);
        let mut answer = Answer::new(bytes);
        match self.behaviour {
            Behaviour::Endless => {
                answer.refrain = &REFRAIN;
                answer.pauses = REFRAIN_PAUSE;
            }
            Behaviour::Slow { after_s, byte_ms } => {
                answer.pause = Duration::from_secs(after_s);
                answer.pauses = Duration::from_millis(byte_ms);
            }
            _ => {}
        }
        Some(answer)
    }

    /// Remembers whom a client may learn of by an answer.
    fn note(&mut self, ip: IpAddr, answer: &[u8]) {
        let peers = read(answer).map(|reply| reply.peers).unwrap_or_default();
        self.told.entry(ip).or_default().extend(peers);
    }

    /// The right answer to an announce with something in it changed; any other as it is.
    fn bend(&mut self, right: Vec<u8>, from: SocketAddr, request: &RequestHead) -> Vec<u8> {
        let Some(reply) = read(&right) else {
            return right;
        };
        let mut bent = Bent {
            interval: seconds(reply.interval),
            min_interval: seconds(reply.min_interval),
            peers: reply.peers,
            cut: 0,
        };
        match self.behaviour {
            Behaviour::Interval(told) => bent.interval = told,
            Behaviour::MinInterval(told) => bent.min_interval = told,
            Behaviour::Empty => bent.peers.clear(),
            Behaviour::Partial(share) => bent.peers.retain(|peer| {
                let pair = format!("{} {peer}", from.ip());
                self.rng.fork(&pair).below(100) < share.into()
            }),
            Behaviour::Lies(lie) => self.lie(lie, &mut bent, from.ip(), request),
            _ => {}
        }
        response(200, &bent.encode())
    }

    fn lie(&mut self, lie: Lie, bent: &mut Bent, from: IpAddr, request: &RequestHead) {
        let peers = &mut bent.peers;
        match lie {
            Lie::Nobody => *peers = self.nobodies(NOBODIES),
            Lie::Asker => {
                let query = request
                    .target
                    .split_once('?')
                    .map_or("", |(_, query)| query);
                let asker = Announce::from_query(query).map(|asker| asker.port);
                *peers = asker.into_iter().map(|port| (from, port).into()).collect();
            }
            Lie::Itself => *peers = self.addr.into_iter().collect(),
            Lie::Duplicates => *peers = peers.repeat(TIMES),
            Lie::PortZero => peers.iter_mut().for_each(|peer| peer.set_port(0)),
            Lie::Thousands => {
                let known = std::mem::replace(peers, self.nobodies(THOUSANDS));
                peers.extend(known);
            }
            Lie::WrongLength => bent.cut = 1,
        }
    }

    fn nobodies(&mut self, count: usize) -> Vec<SocketAddr> {
        let nobody = |_| {
            let [high, low, port_high, port_low, ..] = self.rng.next_u64().to_be_bytes();
            let port = u16::from_be_bytes([port_high, port_low]).max(1);
            (Ipv4Addr::new(NOWHERE[0], NOWHERE[1], high, low), port).into()
        };
        (0..count).map(nobody).collect()
    }

    fn noise(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.rng.fill(&mut bytes);
        bytes
    }
}

/// An answer in which something was changed.
struct Bent {
    interval: i64,
    min_interval: i64,
    peers: Vec<SocketAddr>,
    /// How many bytes are missing at the end of the peers.
    cut: usize,
}

impl Bent {
    /// The body of a response, its peers as a string of bytes (BEP 23).
    fn encode(&self) -> Vec<u8> {
        let mut peers = Vec::new();
        for peer in &self.peers {
            if let IpAddr::V4(ip) = peer.ip() {
                peers.extend(ip.octets());
                peers.extend(peer.port().to_be_bytes());
            }
        }
        peers.truncate(peers.len().saturating_sub(self.cut));
        let mut body = Vec::new();
        bencode::write_dict(&mut body, |dict| {
            dict.integer(b"interval", self.interval);
            dict.integer(b"min interval", self.min_interval);
            dict.bytes(b"peers", &peers);
        });
        body
    }
}

fn seconds(duration: Option<Duration>) -> i64 {
    duration.map_or(0, |duration| duration.as_secs() as i64)
}

fn response(status: u16, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_response(status, "text/plain", body, &mut out);
    out
}

/// What a client reads in a response, if it is the answer to an announce.
fn read(response: &[u8]) -> Option<Reply> {
    let response = ResponseReader::new(BODY_MAX).push(response).ok()??;
    match announce::Answer::decode(&response.body).ok()? {
        announce::Answer::Reply(reply) => Some(reply),
        announce::Answer::Failure(_) => None,
    }
}

//! Where our client may know addresses from, when the torrent is private (BEP 27): its trackers'
//! answers, read here from their bytes, and people.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::bencode::{entries, items, number, text};

/// The longest answer of a tracker that is kept.
const ANSWER_MAX: usize = 1 << 20;

/// The addresses that our client was given.
#[derive(Debug)]
pub(super) struct Leads {
    /// `None` where any address will do: the torrent is public, or a tracker's answer could not be
    /// read here.
    given: Option<BTreeSet<SocketAddr>>,
}

impl Leads {
    pub(super) fn new(is_private: bool) -> Self {
        Leads {
            given: is_private.then(BTreeSet::new),
        }
    }

    /// Keeps bytes of a tracker's answer until it is whole.
    pub(super) fn gather(&mut self, answer: &mut Vec<u8>, data: &[u8]) {
        if self.given.is_some() && answer.len() + data.len() <= ANSWER_MAX {
            answer.extend_from_slice(data);
        }
        self.take(answer);
    }

    /// Somebody named an address.
    pub(super) fn name(&mut self, addr: SocketAddr) {
        if let Some(given) = &mut self.given {
            given.insert(addr);
        }
    }

    pub(super) fn may_dial(&self, addr: SocketAddr) -> bool {
        self.given
            .as_ref()
            .is_none_or(|given| given.contains(&addr))
    }

    /// Reads the addresses of an answer, if it is whole.
    fn take(&mut self, answer: &[u8]) {
        let Some(given) = &mut self.given else { return };
        let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return;
        };
        let (head, body) = answer.split_at(at + 4);
        let head = head.to_ascii_lowercase();
        let is_coded = |field: &[u8]| head.windows(field.len()).any(|window| window == field);
        if is_coded(b"content-encoding:") || is_coded(b"transfer-encoding:") {
            self.given = None;
            return;
        }
        for (key, value) in entries(body).into_iter().flatten() {
            match key {
                b"peers" | b"peers6" => given.extend(addresses(value)),
                _ => {}
            }
        }
    }
}

/// The addresses of a tracker's list (BEP 3), or of its compact form (BEP 7, 23).
fn addresses(value: &[u8]) -> Vec<SocketAddr> {
    if let Some(listed) = items(value) {
        return listed.filter_map(listed_address).collect();
    }
    let Some((packed, _)) = text(value) else {
        return Vec::new();
    };
    let v4 = packed.as_chunks::<6>().0.iter().map(|bytes| {
        let [a, b, c, d, high, low] = *bytes;
        let port = u16::from_be_bytes([high, low]);
        SocketAddr::from((Ipv4Addr::new(a, b, c, d), port))
    });
    let v6 = packed.as_chunks::<18>().0.iter().map(|bytes| {
        let (ip, port) = bytes.split_at(16);
        let ip = Ipv6Addr::from(<[u8; 16]>::try_from(ip).expect("16 of 18 bytes"));
        SocketAddr::from((ip, u16::from_be_bytes([port[0], port[1]])))
    });
    // Which of the two it is the key tells, but whoever takes one for the other finds nobody.
    v4.chain(v6).collect()
}

fn listed_address(peer: &[u8]) -> Option<SocketAddr> {
    let (mut ip, mut port) = (None, None);
    for (key, value) in entries(peer)? {
        match key {
            b"ip" => {
                ip = std::str::from_utf8(text(value)?.0)
                    .ok()?
                    .parse::<IpAddr>()
                    .ok()
            }
            b"port" => port = u16::try_from(number(value)?).ok(),
            _ => {}
        }
    }
    Some(SocketAddr::new(ip?, port?))
}

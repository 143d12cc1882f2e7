//! A tracker's answer with hidden addresses.
//!
//! It says the same in the same number of bytes or more, and ends as the answer did: by its length
//! or by the end of the stream. So it is whole when the answer was.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::blind::Blind;
use crate::base::time::Duration;
use crate::tracker::BODY_MAX;
use crate::tracker::announce::{Answer, Reply};
use crate::wire::bencode::{self, DictWriter};
use crate::wire::http::ResponseReader;

/// The answer as it is to be told: as it came if it names nobody.
pub(super) fn hide(came: &[u8], blind: &mut Blind) -> Vec<u8> {
    let mut reader = ResponseReader::new(BODY_MAX);
    let (response, by_length) = match reader.push(came) {
        Ok(Some(response)) => (Some(response), true),
        Ok(None) => (reader.end().ok(), false),
        Err(_) => (None, false),
    };
    let reply = response.filter(|response| response.status == 200);
    let reply = reply.and_then(|response| match Answer::decode(&response.body) {
        Ok(Answer::Reply(reply)) => Some(reply),
        _ => None,
    });
    match reply {
        Some(mut reply) => {
            for peer in &mut reply.peers {
                *peer = blind.hide_addr(*peer);
            }
            reply.external_ip = reply.external_ip.map(|ip| blind.hide(ip));
            respond(&reply, by_length, came.len())
        }
        None => came.to_vec(),
    }
}

fn respond(reply: &Reply, by_length: bool, least: usize) -> Vec<u8> {
    let mut body = Vec::new();
    encode(reply, &mut body);
    let head = |body: &[u8]| match by_length {
        true => {
            let len = body.len().to_string();
            ["HTTP/1.1 200 OK\r\nContent-Length: ", &len, "\r\n\r\n"].concat()
        }
        false => "HTTP/1.1 200 OK\r\n\r\n".to_string(),
    };
    // What follows the dictionary is ignored.
    let short = least.saturating_sub(head(&body).len() + body.len());
    body.resize(body.len() + short, b' ');
    let mut response = head(&body).into_bytes();
    response.extend_from_slice(&body);
    response
}

fn encode(reply: &Reply, out: &mut Vec<u8>) {
    let number = |value: Option<u32>| value.map(i64::from);
    let seconds = |value: Option<Duration>| value.map(|value| value.as_secs() as i64);
    bencode::write_dict(out, |dict| {
        let integer = |dict: &mut DictWriter<'_>, key: &[u8], value: Option<i64>| {
            if let Some(value) = value {
                dict.integer(key, value);
            }
        };
        integer(dict, b"complete", number(reply.complete));
        match reply.external_ip {
            Some(IpAddr::V4(ip)) => dict.bytes(b"external ip", &ip.octets()),
            Some(IpAddr::V6(ip)) => dict.bytes(b"external ip", &ip.octets()),
            None => {}
        }
        integer(dict, b"incomplete", number(reply.incomplete));
        integer(dict, b"interval", seconds(reply.interval));
        integer(dict, b"min interval", seconds(reply.min_interval));
        encode_peers(&reply.peers, dict);
        if let Some(id) = &reply.tracker_id {
            dict.bytes(b"tracker id", id);
        }
        if let Some(warning) = &reply.warning {
            dict.bytes(b"warning message", warning.as_bytes());
        }
    });
}

/// In their order: as strings of bytes where one family follows the other, else one by one.
fn encode_peers(peers: &[SocketAddr], dict: &mut DictWriter<'_>) {
    if peers.is_sorted_by_key(SocketAddr::is_ipv6) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for peer in peers {
            let port = peer.port().to_be_bytes();
            match peer.ip() {
                IpAddr::V4(ip) => v4.extend(ip.octets().into_iter().chain(port)),
                IpAddr::V6(ip) => v6.extend(ip.octets().into_iter().chain(port)),
            }
        }
        dict.bytes(b"peers", &v4);
        dict.bytes(b"peers6", &v6);
        return;
    }
    dict.list(b"peers", |list| {
        for peer in peers {
            list.dict(|dict| {
                dict.bytes(b"ip", peer.ip().to_string().as_bytes());
                dict.integer(b"port", peer.port().into());
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http::encode_response;
    use alloc::collections::BTreeSet;

    fn reply(came: &[u8]) -> Reply {
        let mut reader = ResponseReader::new(BODY_MAX);
        let pushed = reader.push(came).unwrap();
        let response = pushed.unwrap_or_else(|| reader.end().unwrap());
        match Answer::decode(&response.body).unwrap() {
            Answer::Reply(reply) => reply,
            Answer::Failure(failure) => panic!("{failure:?}"),
        }
    }

    /// All that is told is told again, of peers that nobody knows, in no fewer bytes.
    #[test]
    fn an_answer_says_the_same_of_hidden_peers() {
        for peers in [
            &["198.51.100.7:1", "198.51.100.8:2", "[2001:db8::7]:3"][..],
            &["[2001:db8::7]:3", "198.51.100.7:1"],
            &[],
        ] {
            let peers: Vec<SocketAddr> = peers.iter().map(|peer| peer.parse().unwrap()).collect();
            let told = Reply {
                peers: peers.clone(),
                interval: Some(Duration::from_secs(60)),
                tracker_id: Some(b"id".to_vec()),
                complete: Some(4),
                warning: Some("mind the gap".into()),
                external_ip: Some("198.51.100.9".parse().unwrap()),
                ..Reply::default()
            };
            let (mut body, mut came) = (Vec::new(), Vec::new());
            encode(&told, &mut body);
            encode_response(200, "text/plain", &body, &mut came);
            let until_end = [b"HTTP/1.0 200 OK\r\n\r\n", &body[..]].concat();
            for came in [came, until_end] {
                let mut blind = Blind::on(BTreeSet::new());
                let hidden = hide(&came, &mut blind);
                assert!(hidden.len() >= came.len());
                let mut expected = told.clone();
                for peer in &mut expected.peers {
                    *peer = blind.hide_addr(*peer);
                }
                expected.external_ip = told.external_ip.map(|ip| blind.hide(ip));
                assert_eq!(reply(&hidden), expected);
                assert!(peers.iter().all(|peer| !expected.peers.contains(peer)));
            }
        }
    }

    #[test]
    fn what_names_nobody_stays() {
        for came in [&b"HTTP/1.1 404 Not Found\r\n\r\nno"[..], b"noise", b""] {
            assert_eq!(hide(came, &mut Blind::on(BTreeSet::new())), came);
        }
    }
}

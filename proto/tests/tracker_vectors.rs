//! Known answers for trackers, and a client and a server of ours that meet.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::tracker::announce::{
    Announce, Answer, Event, Failure, Peer, Reply, Retry, Told,
};
use ripcurrent_proto::tracker::registry::{Registry, Settings};
use ripcurrent_proto::tracker::{scrape, service};
use ripcurrent_proto::wire::http::{Request, RequestReader, ResponseReader, encode_get};
use serde_json::Value;

fn known_answers() -> Value {
    let path = format!(
        "{}/testdata/vectors/http_tracker.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).expect("known answers are JSON")
}

fn array<'v>(json: &'v Value, key: &str) -> &'v [Value] {
    json[key].as_array().expect("an array of vectors")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text in a vector")
}

fn unhex(hex: &Value) -> Vec<u8> {
    let digit = |digit: u8| (digit as char).to_digit(16).expect("a hex digit") as u8;
    let pairs = text(hex).as_bytes().chunks_exact(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn body_of(what: &str) -> Vec<u8> {
    let json = known_answers();
    let vector = array(&json, "vectors")
        .iter()
        .find(|vector| vector["what"] == what);
    unhex(&vector.expect("a vector of that name")["body_hex"])
}

fn reply(what: &str) -> Reply {
    match Answer::decode(&body_of(what)) {
        Ok(Answer::Reply(reply)) => reply,
        other => panic!("{what}: {other:?}"),
    }
}

fn failure(what: &str) -> Failure {
    match Answer::decode(&body_of(what)) {
        Ok(Answer::Failure(failure)) => failure,
        other => panic!("{what}: {other:?}"),
    }
}

/// Every reply among the vectors means what is written beside it, and more.
#[test]
fn answers_of_the_vectors() {
    let json = known_answers();
    for vector in array(&json, "vectors") {
        if vector["what"] == "scrape" {
            continue;
        }
        let means = &vector["means"];
        let answer = Answer::decode(&unhex(&vector["body_hex"]));
        match answer.unwrap_or_else(|error| panic!("{vector}: {error}")) {
            Answer::Failure(failure) => {
                assert_eq!(means["failure"], failure.reason[..], "{vector}");
                if let Some(minutes) = means["retry_in_minutes"].as_u64() {
                    let time = Duration::from_secs(minutes * 60);
                    assert_eq!(failure.retry, Retry::After(time), "{vector}");
                }
            }
            Answer::Reply(reply) => {
                let peers: Vec<_> = reply.peers.iter().map(ToString::to_string).collect();
                let expected = means["peers"].clone();
                let expected = if expected.is_null() {
                    Value::Array(vec![])
                } else {
                    expected
                };
                assert_eq!(expected, Value::from(peers), "{vector}");
                let warning = reply.warning.map_or(Value::Null, Value::from);
                assert_eq!(means["warning"], warning, "{vector}");
                let ip = reply
                    .external_ip
                    .map_or(Value::Null, |ip| ip.to_string().into());
                assert_eq!(means["external_ip"], ip, "{vector}");
            }
        }
    }
    let compact = reply("compact");
    assert_eq!(compact.interval, Some(Duration::from_secs(1_800)));
    assert_eq!(compact.min_interval, Some(Duration::from_secs(900)));
    assert_eq!((compact.complete, compact.incomplete), (Some(3), Some(4)));
    assert_eq!(compact.tracker_id, Some(b"abc".to_vec()));
    assert_eq!(failure("failure").retry, Retry::Unsaid);
    assert_eq!(failure("failure, never").retry, Retry::Never);
}

#[test]
fn the_scrape_of_the_vectors() {
    let swarms = scrape::decode(&body_of("scrape")).expect("a scrape");
    let counts = scrape::Counts {
        complete: 1,
        incomplete: 3,
        downloaded: 2,
    };
    let info_hash = core::array::from_fn(|at| at as u8);
    assert_eq!(swarms, [(info_hash, counts)]);
    let mut back = Vec::new();
    scrape::encode(&swarms, &mut back);
    assert_eq!(scrape::decode(&back).as_ref(), Ok(&swarms));
}

#[test]
fn scrape_urls_of_the_vectors() {
    for vector in array(&known_answers(), "scrape_url") {
        let url = scrape::scrape_url(text(&vector["announce"]));
        assert_eq!(Value::from(url), vector["scrape"], "{vector}");
    }
}

fn announce() -> Announce {
    Announce {
        info_hash: [0xaa; 20],
        peer_id: *b"-RC0100-abcdefghijkl",
        port: 6881,
        uploaded: 1,
        downloaded: 2,
        left: 3,
        event: None,
        want_peers: None,
        key: None,
        tracker_id: None,
        compact: true,
    }
}

#[test]
fn info_hashes_are_escaped_as_in_the_vectors() {
    for vector in array(&known_answers(), "announce_url_escaping") {
        let info_hash = unhex(&vector["info_hash"]).try_into().expect("20 bytes");
        let announce = Announce {
            info_hash,
            ..announce()
        };
        let expected = format!("/a?info_hash={}&peer_id=", text(&vector["escaped"]));
        let target = announce.to_target("/a");
        assert!(target.starts_with(&expected), "{target}");
    }
}

/// The query that stands in a tracker's URL stays where it is.
#[test]
fn an_existing_query_is_kept() {
    let target = announce().to_target("/announce.php?pass=x%20y");
    let start = "/announce.php?pass=x%20y&info_hash=%AA%AA";
    assert!(target.starts_with(start), "{target}");
}

/// What is missing or wrong in a query is named.
#[test]
fn a_wrong_query_is_refused_by_name() {
    let right = announce().to_target("");
    let refused = |query: &str| {
        let error = Announce::from_query(query).expect_err(query);
        error.to_string()
    };
    let without = |key: &str| right[1..].replace(key, "other");
    assert_eq!(refused(&without("info_hash")), "info_hash is missing");
    assert_eq!(refused(&without("peer_id")), "peer_id is missing");
    assert_eq!(refused(&without("port")), "port is missing");
    assert_eq!(refused(&without("left")), "left is missing");
    assert_eq!(refused(&without("info_hash=%AA")), "info_hash is missing");
    let wrong = "info_hash has a wrong value";
    assert_eq!(refused(&right[1..].replacen("%AA", "", 1)), wrong);
    assert_eq!(refused(&right[1..].replacen("%AA", "%A", 1)), wrong);
    let port = right[1..].replace("6881", "65536");
    assert_eq!(refused(&port), "port has a wrong value");
    let loose = right[1..].to_owned() + "&numwant=-1&event=&key=xyz";
    let read = Announce::from_query(&loose).expect("what is loose is let pass");
    assert_eq!(read, announce());
}

/// Our server's answers read back by our client, in both models.
#[test]
fn an_answer_reads_as_it_was_written() {
    let addresses = ["10.0.0.1:6881", "[2001:db8::1]:51413", "10.0.0.2:1"];
    let addresses = addresses.map(|text| text.parse::<SocketAddr>().expect("an address"));
    let told = Told {
        interval: Duration::from_secs(1_800),
        min_interval: Duration::from_secs(60),
        complete: 1,
        incomplete: 2,
        peers: addresses
            .map(|addr| Peer {
                addr,
                peer_id: [b'x'; 20],
            })
            .into(),
    };
    for compact in [true, false] {
        let mut body = Vec::new();
        told.encode(compact, &mut body);
        let Ok(Answer::Reply(mut reply)) = Answer::decode(&body) else {
            panic!("{body:?}");
        };
        reply.peers.sort_unstable();
        let mut expected = addresses;
        expected.sort_unstable();
        assert_eq!(reply.peers, expected);
        assert_eq!(reply.interval, Some(told.interval));
        assert_eq!(reply.min_interval, Some(told.min_interval));
        assert_eq!((reply.complete, reply.incomplete), (Some(1), Some(2)));
    }
}

/// Addresses that no peer can have are left out, and a list without end is cut.
#[test]
fn only_peers_that_can_be_are_taken() {
    let body = b"d5:peers24:\x00\x00\x00\x00\x1a\xe1\xe0\x00\x00\x01\x1a\xe1\x0a\x00\x00\x01\x00\x00\x0a\x00\x00\x01\x1a\xe1e";
    let Ok(Answer::Reply(reply)) = Answer::decode(body) else {
        panic!("a reply");
    };
    assert_eq!(reply.peers, ["10.0.0.1:6881".parse().expect("an address")]);
    let mut body = b"d5:peers60000:".to_vec();
    body.resize(body.len() + 60_000, 1);
    body.push(b'e');
    let Ok(Answer::Reply(reply)) = Answer::decode(&body) else {
        panic!("a reply");
    };
    assert_eq!(reply.peers.len(), 1_000);
}

/// One request to our server, and the body of its response.
fn ask(registry: &mut Registry, from: [u8; 4], target: &str) -> (u16, Vec<u8>) {
    let mut bytes = Vec::new();
    let request = Request {
        target,
        authority: "t",
        user_agent: "test",
    };
    encode_get(request, &mut bytes);
    let head = RequestReader::new()
        .push(&mut &bytes[..])
        .expect("a request");
    let from = IpAddr::from(Ipv4Addr::from(from));
    let head = head.expect("a whole request");
    let response = service::respond(registry, Instant::ZERO, from, &head);
    let response = ResponseReader::new(10_000)
        .push(&response)
        .expect("a response");
    let response = response.expect("a whole response");
    (response.status, response.body)
}

/// Two clients meet through the server: over HTTP, from query to reply.
#[test]
fn two_clients_meet() {
    let mut registry = Registry::new(Settings::default(), Rng::from_seed([1; 32]));
    let started = Announce {
        event: Some(Event::Started),
        ..announce()
    };
    ask(
        &mut registry,
        [127, 0, 0, 2],
        &started.to_target("/announce"),
    );
    let (status, body) = ask(
        &mut registry,
        [127, 0, 0, 3],
        &started.to_target("/announce"),
    );
    assert_eq!(status, 200);
    let Ok(Answer::Reply(reply)) = Answer::decode(&body) else {
        panic!("{body:?}");
    };
    assert_eq!(reply.peers, ["127.0.0.2:6881".parse().expect("an address")]);
    let target = started.to_target("/scrape");
    let (_, body) = ask(&mut registry, [127, 0, 0, 3], &target);
    let swarms = scrape::decode(&body).expect("a scrape");
    assert_eq!(swarms[0].1.incomplete, 2);
}

/// Whoever asks wrongly is told so, in a form that clients understand.
#[test]
fn wrong_requests_are_answered() {
    let mut registry = Registry::new(Settings::default(), Rng::from_seed([1; 32]));
    let mut ask = |target: &str| ask(&mut registry, [127, 0, 0, 2], target);
    assert_eq!(ask("/").0, 404);
    assert_eq!(ask("/announce/").0, 404);
    let missing = b"d14:failure reason20:info_hash is missinge".to_vec();
    assert_eq!(ask("/announce"), (200, missing.clone()));
    assert_eq!(ask("/scrape?x"), (200, missing));
    let (status, _) = ask("/scrape?info_hash=%");
    assert_eq!(status, 200);
}

proptest! {
    /// Every announce reads as it was written.
    #[test]
    fn an_announce_reads_as_it_was_written(
        info_hash: [u8; 20],
        peer_id: [u8; 20],
        port: u16,
        bytes: [u64; 3],
        event in prop_oneof![
            Just(None),
            Just(Some(Event::Started)),
            Just(Some(Event::Completed)),
            Just(Some(Event::Stopped)),
        ],
        want_peers: Option<u32>,
        key: Option<u32>,
        tracker_id: Option<Vec<u8>>,
        compact: bool,
    ) {
        let [uploaded, downloaded, left] = bytes;
        let announce = Announce {
            info_hash, peer_id, port, uploaded, downloaded, left, event, want_peers, key,
            tracker_id, compact,
        };
        let target = announce.to_target("/announce");
        let (_, query) = target.split_once('?').expect("a query");
        prop_assert_eq!(Announce::from_query(query), Ok(announce));
    }

    /// An answer with any bytes changed, and any noise, is read or refused.
    #[test]
    fn spoiled_answers_are_survived(
        which: prop::sample::Index,
        changes in proptest::collection::vec(any::<(prop::sample::Index, u8)>(), 0..4),
        end: prop::sample::Index,
    ) {
        let json = known_answers();
        let vectors = array(&json, "vectors");
        let mut body = unhex(&vectors[which.index(vectors.len())]["body_hex"]);
        for (at, byte) in changes {
            let at = at.index(body.len());
            body[at] = byte;
        }
        body.truncate(1 + end.index(body.len()));
        let _ = Answer::decode(&body);
        let _ = scrape::decode(&body);
    }

    /// So is a query.
    #[test]
    fn noise_for_a_query_is_survived(query in "[a-z_=&%0-9]{0,60}") {
        let _ = Announce::from_query(&query);
        let _ = scrape::from_query(&query);
    }
}

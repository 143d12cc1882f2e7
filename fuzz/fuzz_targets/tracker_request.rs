//! What a client sends a tracker: any request gets a response that our own client can read, and
//! the tracker remembers no more swarms than it was told to. An announce that was understood
//! encodes to one that means the same.
//!
//! Input: requests, each at most 255 bytes long with its length in front.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::Knobs;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::tracker::announce::{Announce, Answer};
use ripcurrent_proto::tracker::registry::{Registry, Settings};
use ripcurrent_proto::tracker::{scrape, service};
use ripcurrent_proto::wire::http::{RequestHead, RequestReader, ResponseReader};

const SWARMS: usize = 3;

fuzz_target!(|input: &[u8]| {
    let settings = Settings {
        swarms_max: SWARMS,
        peers_max: 4,
        ..Settings::default()
    };
    let mut registry = Registry::new(settings, Rng::from_seed([7; 32]));
    let mut now = Instant::ZERO;
    let mut knobs = Knobs(input);
    while !knobs.0.is_empty() {
        let len = usize::from(knobs.byte()).min(knobs.0.len());
        let (target, rest) = knobs.0.split_at(len);
        knobs.0 = rest;
        now += Duration::from_secs(60);
        let from = IpAddr::V4(Ipv4Addr::new(10, 0, 0, len as u8));
        if let Some(request) = read(target) {
            answer(&mut registry, now, from, &request);
            again(&request.target);
        }
        assert!(registry.swarms() <= SWARMS);
    }
});

fn read(target: &[u8]) -> Option<RequestHead> {
    let bytes = [b"GET /", target, b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat();
    RequestReader::new().push(&mut &bytes[..]).ok()?
}

fn answer(registry: &mut Registry, now: Instant, from: IpAddr, request: &RequestHead) {
    let bytes = service::respond(registry, now, from, request);
    let mut reader = ResponseReader::new(1 << 20);
    let response = reader.push(&bytes).expect("what we send we can read");
    let response = response
        .or_else(|| reader.end().ok())
        .expect("a whole response");
    if response.status == 200 {
        let body = &response.body;
        assert!(Answer::decode(body).is_ok() || scrape::decode(body).is_ok());
    }
}

fn again(target: &str) {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    if let Ok(announce) = Announce::from_query(query) {
        let target = announce.to_target("/announce");
        let query = target.split_once('?').map_or("", |(_, query)| query);
        assert_eq!(Announce::from_query(query), Ok(announce));
    }
}

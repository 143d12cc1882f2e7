//! The HTTP side of a small tracker: a request in, the bytes of the response out.
//!
//! A host accepts a connection, feeds a [`RequestReader`](crate::wire::http::RequestReader) until
//! it has a head, sends what [`respond`] gives, and closes.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::announce::{Announce, encode_failure};
use super::registry::Registry;
use super::scrape;
use crate::base::time::Instant;
use crate::wire::http::{RequestHead, encode_response};

/// The response to a request that came from `from`: announces at `/announce`, scrapes at `/scrape`,
/// and nothing else.
#[must_use]
pub fn respond(
    registry: &mut Registry,
    now: Instant,
    from: IpAddr,
    request: &RequestHead,
) -> Vec<u8> {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let mut body = Vec::new();
    let status = match path {
        _ if request.method != "GET" => 405,
        "/announce" => announce(registry, now, from, query, &mut body),
        "/scrape" => scrape(registry, now, query, &mut body),
        _ => 404,
    };
    let mut out = Vec::new();
    encode_response(status, "text/plain", &body, &mut out);
    out
}

/// The response to bytes that are not a request.
#[must_use]
pub fn respond_to_noise() -> Vec<u8> {
    let mut out = Vec::new();
    encode_response(400, "text/plain", b"", &mut out);
    out
}

// A refusal has status 200 too: clients look for its reason in the body (BEP 3).

fn announce(
    registry: &mut Registry,
    now: Instant,
    from: IpAddr,
    query: &str,
    body: &mut Vec<u8>,
) -> u16 {
    match Announce::from_query(query) {
        Ok(announce) => match registry.announce(now, from, &announce) {
            Ok(told) => told.encode(announce.compact, body),
            Err(refused) => encode_failure(&refused.to_string(), body),
        },
        Err(error) => encode_failure(&error.to_string(), body),
    }
    200
}

fn scrape(registry: &mut Registry, now: Instant, query: &str, body: &mut Vec<u8>) -> u16 {
    match scrape::from_query(query) {
        Ok(asked) => scrape::encode(&registry.scrape(now, &asked), body),
        Err(error) => encode_failure(&error.to_string(), body),
    }
    200
}

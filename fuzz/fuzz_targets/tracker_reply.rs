//! What a tracker sends a client: any body is read in bounded memory and leaves nothing that could
//! disturb a terminal; any redirect is refused or leads to a URL that reads back as itself.
//!
//! Input: the body, which is also taken for a redirect.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_proto::tracker::announce::{Answer, PEERS_MAX};
use ripcurrent_proto::tracker::scrape;
use ripcurrent_proto::tracker::url::Url;

fuzz_target!(|body: &[u8]| {
    match Answer::decode(body) {
        Ok(Answer::Reply(reply)) => {
            assert!(reply.peers.len() <= PEERS_MAX);
            assert!(reply.peers.iter().all(|peer| peer.port() != 0));
            check_text(reply.warning.as_deref().unwrap_or_default());
        }
        Ok(Answer::Failure(failure)) => check_text(&failure.reason),
        Err(_) => assert!(scrape::decode(body).is_err()),
    }
    if let Ok(swarms) = scrape::decode(body) {
        assert!(swarms.len() <= scrape::SWARMS_MAX);
    }
    if let Ok(location) = std::str::from_utf8(body) {
        let here = Url::parse("http://tracker.test/a/announce?b=c").expect("a URL");
        for url in [Url::parse(location), here.join(location)]
            .into_iter()
            .flatten()
        {
            assert!(url.port() != 0 && url.target().starts_with('/'));
            let text = format!("http://{}{}", url.authority(), url.target());
            // One byte more than was there at most: the slash.
            if let Ok(again) = Url::parse(&text) {
                assert_eq!(again, url);
            }
        }
    }
});

fn check_text(text: &str) {
    assert!(!text.contains(char::is_control) && text.chars().count() <= 200);
}

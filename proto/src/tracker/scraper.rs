//! One scrape of one tracker: how large a swarm is, asked without joining it (BEP 48).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::announce::Answer;
use super::error::AnnounceError;
use super::exchange::{Exchange, Want};
use super::percent;
use super::scrape::{self, Counts};
use super::url::Url;
use crate::base::io::{EndReason, IoError};
use crate::base::time::Instant;
use crate::wire::http::{Request, Response, encode_get};

/// Why a scrape brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScrapeError {
    /// The tracker follows no convention by which it could be scraped.
    #[error("it cannot be scraped: the last part of its address does not begin with `announce`")]
    NoConvention,
    /// The tracker was not reached, or did not answer as it should.
    #[error(transparent)]
    Unanswered(#[from] AnnounceError),
    /// The tracker answered, but not of this torrent.
    #[error("it knows nothing of this torrent")]
    Unknown,
}

/// What a scraper wants done. There is one connection at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look up a name; answered by [`Scraper::resolved`].
    Resolve {
        /// The name, never a literal address.
        host: String,
    },
    /// Open the connection; answered by [`Scraper::connected`] or [`Scraper::ended`].
    Connect {
        /// Where to.
        to: SocketAddr,
        /// For whom the far end's certificate must be valid; `None` for no protection.
        tls: Option<Arc<str>>,
    },
    /// Send this on it.
    Send {
        /// The request.
        bytes: Vec<u8>,
    },
    /// Close it; answered by [`Scraper::closed`].
    Disconnect,
    /// The tracker answered or failed; told once.
    Report(Result<Counts, ScrapeError>),
}

/// Asks one tracker of one torrent, once.
///
/// Tell it what happens, then [`poll`](Self::poll) until it wants nothing more, and call
/// [`handle_timeout`](Self::handle_timeout) at [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Scraper {
    info_hash: [u8; 20],
    user_agent: &'static str,
    exchange: Exchange,
}

impl Scraper {
    /// Begins to ask the tracker whose announce address is `announce`.
    ///
    /// # Errors
    /// If the address is none, or follows no convention by which it could be scraped.
    pub fn new(
        now: Instant,
        announce: &str,
        info_hash: [u8; 20],
        user_agent: &'static str,
        loopback_only: bool,
    ) -> Result<Self, ScrapeError> {
        let bad = |error| ScrapeError::Unanswered(AnnounceError::Url(error));
        Url::parse(announce).map_err(bad)?;
        let url = scrape::scrape_url(announce).ok_or(ScrapeError::NoConvention)?;
        let url = Url::parse(&url).map_err(bad)?;
        Ok(Scraper {
            info_hash,
            user_agent,
            exchange: Exchange::new(now, url, loopback_only),
        })
    }

    /// What is to be done now; call again until it wants nothing more.
    pub fn poll(&mut self) -> Option<Action> {
        if let Some(outcome) = self.exchange.take_outcome() {
            return Some(Action::Report(self.read(outcome)));
        }
        Some(match self.exchange.poll(false)? {
            Want::Resolve(host) => Action::Resolve { host },
            Want::Connect { to, tls } => Action::Connect { to, tls },
            Want::Send => Action::Send {
                bytes: self.request(),
            },
            Want::Disconnect => Action::Disconnect,
        })
    }

    /// The answer to a [`Action::Resolve`]: addresses in the resolver's order.
    pub fn resolved(&mut self, now: Instant, result: Result<&[IpAddr], IoError>) {
        self.exchange.resolved(now, result);
    }

    /// The connection is there.
    pub fn connected(&mut self) {
        self.exchange.connected();
    }

    /// Bytes of the answer.
    pub fn received(&mut self, data: &[u8]) {
        self.exchange.received(data);
    }

    /// The connection ended or was never made. The host closes it now, without being told, and
    /// says [`closed`](Self::closed).
    pub fn ended(&mut self, reason: EndReason) {
        self.exchange.ended(reason);
    }

    /// The connection is closed, after a [`Action::Disconnect`] or an end.
    pub fn closed(&mut self, now: Instant) {
        self.exchange.closed(now);
    }

    /// Gives up what has taken too long.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.exchange.handle_timeout(now);
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.exchange.deadline()
    }

    /// Nobody wants the answer any more: closes what is open.
    pub fn abandon(&mut self) {
        self.exchange.abandon();
    }

    fn request(&self) -> Vec<u8> {
        let url = self.exchange.url();
        let mut target = String::from(url.target());
        // Who redirects may have taken the question along.
        if !target.contains("info_hash=") {
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str("info_hash=");
            percent::encode(&self.info_hash, &mut target);
        }
        let mut bytes = Vec::new();
        let request = Request {
            target: &target,
            authority: url.authority(),
            user_agent: self.user_agent,
        };
        encode_get(request, &mut bytes);
        bytes
    }

    fn read(&self, outcome: Result<Response, AnnounceError>) -> Result<Counts, ScrapeError> {
        let Response { status, body, .. } = outcome?;
        // Some trackers refuse with a status of their own, and say why.
        if let Ok(Answer::Failure(failure)) = Answer::decode(&body) {
            return Err(AnnounceError::Failure(failure).into());
        }
        if status != 200 {
            return Err(AnnounceError::Status(status).into());
        }
        let swarms = scrape::decode(&body).map_err(AnnounceError::Reply)?;
        let ours = swarms.iter().find(|(hash, _)| *hash == self.info_hash);
        ours.map(|(_, counts)| *counts).ok_or(ScrapeError::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Duration;
    use crate::tracker::url::BadUrl;
    use crate::wire::http::{RequestReader, encode_response};
    use alloc::string::ToString;
    use alloc::vec;

    const HASH: [u8; 20] = *b"\xff0123456789abcdefghi";
    const COUNTS: Counts = Counts {
        complete: 3,
        incomplete: 2,
        downloaded: 7,
    };

    fn scraper(announce: &str) -> Result<Scraper, ScrapeError> {
        Scraper::new(Instant::ZERO, announce, HASH, "test", false)
    }

    /// The target that is asked for, once the connection is there.
    fn asked(scraper: &mut Scraper) -> String {
        let Some(Action::Connect { .. }) = scraper.poll() else {
            panic!("nothing is dialled")
        };
        scraper.connected();
        let Some(Action::Send { bytes }) = scraper.poll() else {
            panic!("nothing is asked")
        };
        let head = RequestReader::new().push(&mut &bytes[..]).unwrap().unwrap();
        head.target
    }

    /// What comes of an answer.
    fn answered(status: u16, body: &[u8]) -> Result<Counts, ScrapeError> {
        let mut scraper = scraper("http://127.0.0.1:1/announce").unwrap();
        asked(&mut scraper);
        let mut response = Vec::new();
        encode_response(status, "text/plain", body, &mut response);
        scraper.received(&response);
        let Some(Action::Report(result)) = scraper.poll() else {
            panic!("nothing is reported")
        };
        assert_eq!(scraper.poll(), Some(Action::Disconnect));
        scraper.closed(Instant::ZERO);
        assert_eq!((scraper.poll(), scraper.poll_timeout()), (None, None));
        result
    }

    fn body(hash: [u8; 20]) -> Vec<u8> {
        let mut body = Vec::new();
        scrape::encode(&[(hash, COUNTS)], &mut body);
        body
    }

    /// The question goes where the convention says, with what the address has of its own.
    #[test]
    fn the_question_follows_the_convention() {
        for (announce, target) in [
            ("http://127.0.0.1:1/announce", "/scrape?info_hash="),
            (
                "http://127.0.0.1:1/x/announce.php?p=q",
                "/x/scrape.php?p=q&info_hash=",
            ),
        ] {
            let asked = asked(&mut scraper(announce).unwrap());
            let hash = "%FF0123456789abcdefghi";
            assert_eq!(asked, [target, hash].concat());
        }
        for announce in ["http://127.0.0.1/a", "http://127.0.0.1/announces/x"] {
            assert_eq!(scraper(announce).unwrap_err(), ScrapeError::NoConvention);
        }
        let error = scraper("udp://127.0.0.1:1/announce").unwrap_err();
        let scheme = BadUrl::NotYet { scheme: "udp" };
        assert_eq!(error, ScrapeError::Unanswered(AnnounceError::Url(scheme)));
    }

    /// Counts are of this torrent alone; refusals tell why.
    #[test]
    fn answers_are_read() {
        assert_eq!(answered(200, &body(HASH)), Ok(COUNTS));
        assert_eq!(answered(200, &body([1; 20])), Err(ScrapeError::Unknown));
        let told = |status, body| answered(status, body).unwrap_err().to_string();
        assert_eq!(told(404, b"gone"), "HTTP status 404");
        assert_eq!(
            told(400, b"d14:failure reason2:noe"),
            "the tracker says: no"
        );
        assert!(told(200, b"x").contains("not bencoding"));
    }

    /// A redirect is followed, and a question that it took along is not asked twice.
    #[test]
    fn redirects_are_followed() {
        let mut scraper = scraper("http://127.0.0.1:1/announce").unwrap();
        asked(&mut scraper);
        let response = "HTTP/1.1 302 x\r\nLocation: /s?info_hash=y\r\nContent-Length: 0\r\n\r\n";
        scraper.received(response.as_bytes());
        assert_eq!(scraper.poll(), Some(Action::Disconnect));
        scraper.closed(Instant::ZERO);
        assert_eq!(asked(&mut scraper), "/s?info_hash=y");
    }

    /// A tracker that says nothing is given up, and one that is not wanted any more is left.
    #[test]
    fn silence_ends() {
        let mut scraper = scraper("http://127.0.0.1:1/announce").unwrap();
        asked(&mut scraper);
        let later = Instant::ZERO + Duration::from_secs(60);
        scraper.handle_timeout(later);
        let timed_out = ScrapeError::Unanswered(AnnounceError::TimedOut);
        assert_eq!(scraper.poll(), Some(Action::Report(Err(timed_out))));
        let mut scraper = super::tests::scraper("http://127.0.0.1:1/announce").unwrap();
        asked(&mut scraper);
        scraper.abandon();
        let rest: Vec<_> = core::iter::from_fn(|| scraper.poll()).collect();
        assert_eq!(rest, vec![Action::Disconnect]);
    }
}

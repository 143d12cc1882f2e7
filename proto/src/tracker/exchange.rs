//! One question to one HTTP or HTTPS tracker: look up its name, dial its addresses in turn, ask,
//! read, follow redirects, but none that gives up protection.
//!
//! Invariant: at most one connection is open, and none once the exchange is [over]. A connection is
//! over only when the host says so.
//!
//! [over]: Exchange::is_over

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;
use core::net::{IpAddr, SocketAddr};

use super::error::AnnounceError;
use super::url::{Host, Url};
use crate::base::io::{EndReason, IoError, IoErrorKind, TlsError};
use crate::base::time::{Duration, Instant};
use crate::wire::http::{BadHttp, Response, ResponseReader};

/// How long a lookup may take, and then each address from dialling it to the end of its answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// The most redirects that are followed.
const REDIRECTS_MAX: u32 = 5;

/// The longest body, in bytes, as it is sent and unpacked.
pub(crate) const BODY_MAX: usize = 1 << 20;

/// What an exchange wants done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Want {
    Resolve(String),
    Connect {
        to: SocketAddr,
        /// For whom a certificate must be valid, where the connection is protected.
        tls: Option<Arc<str>>,
    },
    /// The request is to be sent to [`Exchange::url`].
    Send,
    Disconnect,
}

/// Which addresses may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Any,
    /// The user wants to stay on this host.
    Loopback,
    /// A tracker outside must not send us to something within this host or link that only trusts
    /// what is near.
    Outside,
}

#[derive(Debug)]
pub(super) struct Exchange {
    url: Url,
    reach: Reach,
    redirects: u32,
    /// What is left to be dialled, the next one last.
    addresses: Vec<IpAddr>,
    deadline: Instant,
    step: Step,
    /// Why an address of this name was not trusted: worth more to people than that the last of them
    /// did not answer.
    untrusted: Option<AnnounceError>,
    outcome: Option<Result<Response, AnnounceError>>,
}

#[derive(Debug)]
enum Step {
    /// The name is to be looked up.
    Ask(String),
    Lookup,
    /// An address is to be dialled.
    Dial(SocketAddr),
    Dialling,
    /// The connection is there and the request is to be sent.
    Request,
    Reading(ResponseReader),
    /// The connection is to be closed.
    Close(Next),
    /// The host closes it.
    Closing(Next),
    Over,
}

/// What follows when the connection is closed.
#[derive(Debug)]
enum Next {
    Dial,
    Redirect(Url),
    Nothing,
}

impl Exchange {
    pub(super) fn new(now: Instant, url: Url, loopback_only: bool) -> Self {
        let mut exchange = Exchange {
            url,
            reach: if loopback_only {
                Reach::Loopback
            } else {
                Reach::Any
            },
            redirects: 0,
            addresses: Vec::new(),
            deadline: now,
            step: Step::Over,
            untrusted: None,
            outcome: None,
        };
        exchange.open(now);
        exchange
    }

    /// Where the request goes.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// What is to be done now. No name is asked for while `lookup_owed`: the host still owes the
    /// answer to an older question, and answers are told apart by their order alone.
    pub(super) fn poll(&mut self, lookup_owed: bool) -> Option<Want> {
        let (step, want) = match mem::replace(&mut self.step, Step::Over) {
            Step::Ask(name) if !lookup_owed => (Step::Lookup, Some(Want::Resolve(name))),
            Step::Dial(to) => {
                let tls = self.url.tls_name();
                (Step::Dialling, Some(Want::Connect { to, tls }))
            }
            Step::Request => {
                let reader = ResponseReader::new(BODY_MAX);
                (Step::Reading(reader), Some(Want::Send))
            }
            Step::Close(next) => (Step::Closing(next), Some(Want::Disconnect)),
            step => (step, None),
        };
        self.step = step;
        want
    }

    /// The response or why there is none, told once, perhaps before the exchange is over.
    pub(super) fn take_outcome(&mut self) -> Option<Result<Response, AnnounceError>> {
        self.outcome.take()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// Whether the tracker may have got the request.
    pub(super) fn is_sent(&self) -> bool {
        matches!(self.step, Step::Reading(_))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let waits = !matches!(self.step, Step::Close(_) | Step::Closing(_) | Step::Over);
        waits.then_some(self.deadline)
    }

    pub(super) fn resolved(&mut self, now: Instant, result: Result<&[IpAddr], IoError>) {
        if !matches!(self.step, Step::Lookup) {
            return;
        }
        match result {
            Ok(addresses) => self.dial_these(now, addresses),
            Err(error) => self.finish(Err(AnnounceError::Name(error))),
        }
    }

    pub(super) fn connected(&mut self) {
        if matches!(self.step, Step::Dialling) {
            self.step = Step::Request;
        }
    }

    pub(super) fn received(&mut self, data: &[u8]) {
        let Step::Reading(reader) = &mut self.step else {
            return;
        };
        match reader.push(data) {
            Ok(None) => {}
            Ok(Some(response)) => self.step = Step::Close(self.after(response)),
            Err(error) => {
                self.outcome = Some(Err(error.into()));
                self.step = Step::Close(Next::Nothing);
            }
        }
    }

    /// The connection ended; the host closes it of its own accord.
    pub(super) fn ended(&mut self, reason: EndReason) {
        let next = match (mem::replace(&mut self.step, Step::Over), reason) {
            (Step::Reading(mut reader), EndReason::Eof) => match reader.end() {
                Ok(response) => self.after(response),
                Err(error) => self.after_failure(error.into()),
            },
            (Step::Dialling | Step::Request | Step::Reading(_), reason) => {
                self.after_failure(match reason {
                    EndReason::Eof => BadHttp::CutOff.into(),
                    EndReason::Failed(error) => AnnounceError::Connection(error.kind),
                    EndReason::Tls(error) => self.of_tls(error),
                })
            }
            (Step::Close(next) | Step::Closing(next), _) => next,
            (step, _) => {
                self.step = step;
                return;
            }
        };
        self.step = Step::Closing(next);
    }

    /// The connection is closed.
    pub(super) fn closed(&mut self, now: Instant) {
        // Whatever was still expected of it will not come.
        self.ended(EndReason::Eof);
        match mem::replace(&mut self.step, Step::Over) {
            Step::Closing(Next::Dial) => self.dial_next(now),
            Step::Closing(Next::Redirect(url)) => {
                self.url = url;
                self.open(now);
            }
            Step::Closing(Next::Nothing) => {}
            step => self.step = step,
        }
    }

    /// Gives up what has taken too long; nothing before the deadline.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.step {
            Step::Dialling | Step::Request | Step::Reading(_) => {
                self.step = Step::Close(self.after_failure(AnnounceError::TimedOut));
            }
            _ => self.finish(Err(AnnounceError::TimedOut)),
        }
    }

    /// Nobody wants the answer any more.
    pub(super) fn abandon(&mut self) {
        self.step = match mem::replace(&mut self.step, Step::Over) {
            Step::Dialling | Step::Request | Step::Reading(_) | Step::Close(_) => {
                Step::Close(Next::Nothing)
            }
            Step::Closing(_) => Step::Closing(Next::Nothing),
            Step::Ask(_) | Step::Lookup | Step::Dial(_) | Step::Over => Step::Over,
        };
        self.outcome = None;
    }

    fn open(&mut self, now: Instant) {
        self.deadline = now + TIMEOUT;
        self.untrusted = None;
        match self.url.host() {
            Host::Name(name) => self.step = Step::Ask(name.clone()),
            Host::Address(address) => self.dial_these(now, &[*address]),
        }
    }

    fn dial_these(&mut self, now: Instant, addresses: &[IpAddr]) {
        let reach = self.reach;
        let allowed = addresses.iter().filter(|address| reach.allows(**address));
        self.addresses = allowed.copied().take(ADDRESSES_MAX).collect();
        self.addresses.reverse();
        if !self.addresses.is_empty() {
            return self.dial_next(now);
        }
        let no_address = IoError {
            kind: IoErrorKind::NotFound,
            code: 0,
        };
        self.finish(Err(match (addresses.first(), reach) {
            (None, _) => AnnounceError::Name(no_address),
            (Some(address), Reach::Outside) => AnnounceError::Inward(*address),
            (Some(address), _) => AnnounceError::NotLoopback(*address),
        }));
    }

    fn dial_next(&mut self, now: Instant) {
        let Some(address) = self.addresses.pop() else {
            return;
        };
        if self.reach == Reach::Any && !is_near(address) {
            self.reach = Reach::Outside;
        }
        self.deadline = now + TIMEOUT;
        self.step = Step::Dial(SocketAddr::new(address, self.url.port()));
    }

    /// What follows a whole response.
    fn after(&mut self, response: Response) -> Next {
        let location = match (response.status, &response.location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => location,
            _ => {
                self.outcome = Some(Ok(response));
                return Next::Nothing;
            }
        };
        self.redirects += 1;
        if self.redirects > REDIRECTS_MAX {
            self.outcome = Some(Err(AnnounceError::Redirects));
            return Next::Nothing;
        }
        let error = match self.url.join(location) {
            Ok(url) if self.url.is_protected() && !url.is_protected() => AnnounceError::Downgrade,
            Ok(url) => return Next::Redirect(url),
            Err(error) => error.into(),
        };
        self.outcome = Some(Err(error));
        Next::Nothing
    }

    /// What it means that the connection is not protected.
    fn of_tls(&self, error: TlsError) -> AnnounceError {
        match (error, self.url.tls_name()) {
            (TlsError::WrongName, Some(name)) => AnnounceError::WrongName(name),
            (error, _) => AnnounceError::Tls(error),
        }
    }

    /// What follows a failure of one address: the next one, as long as there is one.
    fn after_failure(&mut self, error: AnnounceError) -> Next {
        let is_of_trust = matches!(error, AnnounceError::Tls(_) | AnnounceError::WrongName(_));
        if is_of_trust && self.untrusted.is_none() {
            self.untrusted = Some(error.clone());
        }
        if self.addresses.is_empty() {
            self.outcome = Some(Err(self.untrusted.take().unwrap_or(error)));
            Next::Nothing
        } else {
            Next::Dial
        }
    }

    /// Ends the exchange while no connection is open.
    fn finish(&mut self, outcome: Result<Response, AnnounceError>) {
        self.outcome = Some(outcome);
        self.step = Step::Over;
    }
}

impl Reach {
    fn allows(self, address: IpAddr) -> bool {
        match self {
            Reach::Any => true,
            Reach::Loopback => address.to_canonical().is_loopback(),
            Reach::Outside => !is_near(address),
        }
    }
}

/// Whether an address means this host or this link.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

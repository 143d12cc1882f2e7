//! Why an announce brought nothing.

use alloc::sync::Arc;
use core::net::IpAddr;

use super::announce::{BadReply, Failure};
use super::url::BadUrl;
use crate::base::io::{IoError, IoErrorKind, TlsError};
use crate::wire::http::BadHttp;

/// Why an announce brought nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnounceError {
    /// The URL of the tracker, or of a redirect, cannot be used.
    #[error("{0}")]
    Url(#[from] BadUrl),
    /// The name of the tracker has no address.
    #[error("its name cannot be resolved: {}", .0.kind)]
    Name(IoError),
    /// Only loopback addresses are allowed, and this one is not.
    #[error("{0} is not a loopback address, and only those are allowed")]
    NotLoopback(IpAddr),
    /// A tracker elsewhere sent us to an address within this host or link.
    #[error("a redirect from outside to the local address {0}")]
    Inward(IpAddr),
    /// The connection failed.
    #[error("{0}")]
    Connection(IoErrorKind),
    /// The certificate is for others than this one.
    #[error("the certificate is not valid for {0}")]
    WrongName(Arc<str>),
    /// The connection could not be protected for another reason.
    #[error("{0}")]
    Tls(TlsError),
    /// No whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is not HTTP as it should be.
    #[error("{0}")]
    Http(#[from] BadHttp),
    /// The answer has a status that is neither success nor a redirect with a way to go.
    #[error("HTTP status {0}")]
    Status(u16),
    /// A redirect after the last that is followed.
    #[error("too many redirects")]
    Redirects,
    /// A redirect that would give up protection.
    #[error("a redirect from https to http, which would show everybody what is asked")]
    Downgrade,
    /// The body is not the answer of a tracker.
    #[error("{0}")]
    Reply(#[from] BadReply),
    /// The tracker says no.
    #[error("the tracker says: {}", .0.reason)]
    Failure(Failure),
}

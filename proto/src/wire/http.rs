//! HTTP/1.1, as much as trackers need (RFC 9110, RFC 9112): one request and one response for each
//! connection, from both sides.
//!
//! Invariant: what a reader keeps is one head of at most [`HEAD_MAX`] bytes or one body within the
//! bound its user gave, and memory follows the bytes that came, not the length that was claimed.
//! Any split of the stream reads the same.

mod body;
mod gzip;
mod head;
mod request;
mod response;

pub use head::HEAD_MAX;
pub use request::{Request, RequestHead, RequestReader, encode_get};
pub use response::{Response, ResponseReader, encode_response};

/// The far end's fault: not HTTP, or more of it than is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHttp {
    /// A head longer than [`HEAD_MAX`].
    #[error("an HTTP head of more than {HEAD_MAX} bytes")]
    HeadTooLong,
    /// A head that does not parse.
    #[error("a malformed HTTP head: {0}")]
    Head(httparse::Error),
    /// A `Content-Length` that is no number, or two that differ.
    #[error("a Content-Length that is no single number")]
    ContentLength,
    /// A `Transfer-Encoding` other than `chunked`.
    #[error("a Transfer-Encoding other than chunked")]
    TransferEncoding,
    /// A `Content-Encoding` that was not asked for and is not understood.
    #[error("a Content-Encoding other than gzip")]
    ContentEncoding,
    /// A body in chunks whose framing is wrong.
    #[error("a malformed chunk")]
    Chunk,
    /// A body longer than allowed, as it was sent or unpacked.
    #[error("an HTTP body of more than {limit} bytes")]
    BodyTooLong {
        /// The most bytes allowed.
        limit: usize,
    },
    /// A gzip body that does not unpack or fails its checksum.
    #[error("a damaged gzip body")]
    Gzip,
    /// The connection ended before the response did.
    #[error("the response was cut off")]
    CutOff,
}

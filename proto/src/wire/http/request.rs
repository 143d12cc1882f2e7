//! Requests, written by a client and read by a server.

use alloc::string::String;
use alloc::vec::Vec;

use super::BadHttp;
use super::head::{self, FIELDS_MAX, HeadReader};

/// A `GET` for one response and no more.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The path and query, beginning with a slash.
    pub target: &'a str,
    /// Host and port as they stand in the URL.
    pub authority: &'a str,
    /// The name of this client.
    pub user_agent: &'a str,
}

/// Appends a request.
///
/// # Panics
/// If a field holds a control character or, but for the user agent, a space: it would end the field
/// and begin another.
pub fn encode_get(request: Request<'_>, out: &mut Vec<u8>) {
    let Request {
        target,
        authority,
        user_agent,
    } = request;
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    assert!(
        is_word(target) && is_word(authority),
        "{target} {authority}"
    );
    assert!(!user_agent.contains(char::is_control), "{user_agent}");
    for part in [
        "GET ",
        target,
        " HTTP/1.1\r\nHost: ",
        authority,
        "\r\nUser-Agent: ",
        user_agent,
        "\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// What a server needs of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// `GET`, for example.
    pub method: String,
    /// The path and query.
    pub target: String,
    /// The `Host`, empty where none is told.
    pub host: String,
}

/// Reads the head of a request; bodies are not for trackers.
#[derive(Clone, Debug, Default)]
pub struct RequestReader {
    head: HeadReader,
}

impl RequestReader {
    /// Nothing read yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes as they come; the request once its head is whole. What follows in `data` is
    /// left there.
    ///
    /// # Errors
    /// If it is not a request, or too long.
    pub fn push(&mut self, data: &mut &[u8]) -> Result<Option<RequestHead>, BadHttp> {
        match self.head.push(data)? {
            Some(bytes) => parse(&bytes).map(Some),
            None => Ok(None),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<RequestHead, BadHttp> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let status = request.parse(bytes).map_err(BadHttp::Head)?;
    let (Some(method), Some(target), true) = (request.method, request.path, status.is_complete())
    else {
        return Err(BadHttp::Head(httparse::Error::NewLine));
    };
    let host = head::values(request.headers, "host").next().unwrap_or(b"");
    Ok(RequestHead {
        method: method.into(),
        target: target.into(),
        host: String::from_utf8_lossy(host).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const REQUEST: Request<'static> = Request {
        target: "/announce?port=6881",
        authority: "tracker.test:8080",
        user_agent: "Ripcurrent 0.1.0",
    };

    /// What the client writes the server reads, wherever it is cut.
    #[test]
    fn a_request_reads_as_it_was_written() {
        let mut bytes = Vec::new();
        encode_get(REQUEST, &mut bytes);
        for cut in 0..bytes.len() {
            let mut reader = RequestReader::new();
            let (mut front, mut back) = bytes.split_at(cut);
            assert_eq!(reader.push(&mut front), Ok(None));
            let head = reader.push(&mut back).unwrap().unwrap();
            assert_eq!(head.method, "GET");
            assert_eq!(head.target, REQUEST.target);
            assert_eq!(head.host, REQUEST.authority);
            assert!(back.is_empty());
        }
    }

    /// A head without an end is refused at its bound, in one piece or in many.
    #[test]
    fn an_endless_head_is_refused() {
        let noise = vec![b'a'; super::super::HEAD_MAX];
        let mut reader = RequestReader::new();
        assert_eq!(reader.push(&mut &noise[..]), Err(BadHttp::HeadTooLong));
        let mut reader = RequestReader::new();
        let (last, most) = noise.split_last().unwrap();
        for chunk in most.chunks(1_000) {
            assert_eq!(reader.push(&mut &chunk[..]), Ok(None));
        }
        assert_eq!(reader.push(&mut &[*last][..]), Err(BadHttp::HeadTooLong));
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        let refused = |bytes: &[u8]| RequestReader::new().push(&mut &bytes[..]).is_err();
        assert!(refused(b"\r\n"));
        assert!(refused(b"hello\r\n\r\n"));
        assert!(refused(b"GET / HTTP/1.1\r\nno colon\r\n\r\n"));
        assert!(refused(b"GET / HTTP/3.7\r\n\r\n"));
    }

    #[test]
    #[should_panic(expected = "Evil")]
    fn no_field_can_be_smuggled_into_a_request() {
        let target = "/ HTTP/1.1\r\nEvil: yes";
        encode_get(Request { target, ..REQUEST }, &mut Vec::new());
    }
}

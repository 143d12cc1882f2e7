//! Responses, read by a client and written by a server.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::body::{BodyReader, Chunk, Framing};
use super::head::{self, FIELDS_MAX, HeadReader};
use super::{BadHttp, gzip};

/// A whole response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Where a redirect leads; `None` where that is missing or not ASCII.
    pub location: Option<String>,
    /// The body, unpacked.
    pub body: Vec<u8>,
}

/// Reads the response to a `GET`. Interim responses are passed over.
#[derive(Clone, Debug)]
pub struct ResponseReader {
    body_max: usize,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Head(HeadReader),
    Body { start: Start, body: BodyReader },
    Over,
}

/// What the head tells.
#[derive(Clone, Debug)]
struct Start {
    status: u16,
    location: Option<String>,
    packed: bool,
}

impl ResponseReader {
    /// Nothing read yet; a body may have `body_max` bytes, both as it is sent and unpacked.
    #[must_use]
    pub fn new(body_max: usize) -> Self {
        ResponseReader {
            body_max,
            state: State::Head(HeadReader::default()),
        }
    }

    /// Takes bytes as they come; the response once it is whole. What follows it is ignored, and so
    /// is everything after it or after an error.
    ///
    /// # Errors
    /// If it is not a response, or too long.
    pub fn push(&mut self, mut data: &[u8]) -> Result<Option<Response>, BadHttp> {
        loop {
            match core::mem::replace(&mut self.state, State::Over) {
                State::Head(mut reader) => match reader.push(&mut data)? {
                    Some(head) => self.state = self.after_head(&head)?,
                    None => {
                        self.state = State::Head(reader);
                        return Ok(None);
                    }
                },
                State::Body { start, mut body } => {
                    if body.push(&mut data)? {
                        return self.finish(start, body).map(Some);
                    }
                    self.state = State::Body { start, body };
                    return Ok(None);
                }
                State::Over => return Ok(None),
            }
        }
    }

    /// The connection ended: the response, where that is how its end is told.
    ///
    /// # Errors
    /// If the response is not whole.
    pub fn end(&mut self) -> Result<Response, BadHttp> {
        match core::mem::replace(&mut self.state, State::Over) {
            State::Body { start, body } if body.end() => self.finish(start, body),
            _ => Err(BadHttp::CutOff),
        }
    }

    fn after_head(&self, head: &[u8]) -> Result<State, BadHttp> {
        let (start, framing) = parse(head)?;
        // 101 would change the protocol, which nobody asked for.
        if matches!(start.status, 100 | 102..=199) {
            return Ok(State::Head(HeadReader::default()));
        }
        let body = BodyReader::new(framing, self.body_max)?;
        Ok(State::Body { start, body })
    }

    fn finish(&self, start: Start, body: BodyReader) -> Result<Response, BadHttp> {
        let mut body = body.into_bytes();
        if start.packed && !body.is_empty() {
            body = gzip::unpack(&body, self.body_max)?;
        }
        Ok(Response {
            status: start.status,
            location: start.location,
            body,
        })
    }
}

fn parse(bytes: &[u8]) -> Result<(Start, Framing), BadHttp> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let parsed = response.parse(bytes).map_err(BadHttp::Head)?;
    let (Some(status), true) = (response.code, parsed.is_complete()) else {
        return Err(BadHttp::Head(httparse::Error::NewLine));
    };
    let fields = &*response.headers;
    let location = head::values(fields, "location").next();
    let location = location.and_then(|value| core::str::from_utf8(value).ok());
    let start = Start {
        status,
        location: location.filter(|text| text.is_ascii()).map(String::from),
        packed: is_packed(fields)?,
    };
    Ok((start, framing(status, fields)?))
}

fn is_packed(fields: &[httparse::Header<'_>]) -> Result<bool, BadHttp> {
    let mut packed = false;
    for coding in head::items(fields, "content-encoding") {
        let is = |name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        match () {
            () if is("identity") => {}
            () if !packed && (is("gzip") || is("x-gzip")) => packed = true,
            () => return Err(BadHttp::ContentEncoding),
        }
    }
    Ok(packed)
}

fn framing(status: u16, fields: &[httparse::Header<'_>]) -> Result<Framing, BadHttp> {
    if matches!(status, 100..=199 | 204 | 304) {
        return Ok(Framing::Length(0));
    }
    let mut codings = head::items(fields, "transfer-encoding");
    if let Some(coding) = codings.next() {
        let chunked = coding.eq_ignore_ascii_case(b"chunked") && codings.next().is_none();
        let framing = Framing::Chunked(Chunk::START);
        return chunked.then_some(framing).ok_or(BadHttp::TransferEncoding);
    }
    let mut lengths = head::items(fields, "content-length");
    let Some(first) = lengths.next() else {
        return Ok(Framing::UntilClose);
    };
    let digits = first.iter().all(u8::is_ascii_digit);
    let length = core::str::from_utf8(first)
        .ok()
        .and_then(|text| text.parse().ok());
    match length {
        Some(length) if digits && lengths.all(|other| other == first) => {
            Ok(Framing::Length(length))
        }
        _ => Err(BadHttp::ContentLength),
    }
}

/// Appends a response with its body, after which the connection is closed.
pub fn encode_response(status: u16, content_type: &str, body: &[u8], out: &mut Vec<u8>) {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        _ => "",
    };
    for part in [
        "HTTP/1.1 ",
        &status.to_string(),
        " ",
        reason,
        "\r\nContent-Type: ",
        content_type,
        "\r\nContent-Length: ",
        &body.len().to_string(),
        "\r\nConnection: close\r\n\r\n",
    ] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    use proptest::prelude::*;

    const LIMIT: usize = 1_000;

    /// Reads a response that comes in these pieces, after which the connection ends.
    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Response, BadHttp> {
        let mut reader = ResponseReader::new(LIMIT);
        for piece in pieces {
            if let Some(response) = reader.push(piece)? {
                return Ok(response);
            }
        }
        reader.end()
    }

    /// Reads it whole, byte by byte, and in two pieces cut everywhere: always the same.
    fn read_all_ways(bytes: &[u8]) -> Result<Response, BadHttp> {
        let whole = read([bytes]);
        assert_eq!(read(bytes.chunks(1)), whole);
        for cut in 0..bytes.len() {
            assert_eq!(read([&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        whole
    }

    fn body(head: &str, body: &[u8]) -> Result<Vec<u8>, BadHttp> {
        let mut bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        read_all_ways(&bytes).map(|response| response.body)
    }

    fn ok(text: &[u8]) -> Result<Vec<u8>, BadHttp> {
        Ok(text.into())
    }

    /// The end of a body is told by its length, by chunks, by the end of the connection, or by a
    /// status that has none.
    #[test]
    fn every_framing_ends_where_it_should() {
        assert_eq!(body("Content-Length: 3\r\n", b"abcdef"), ok(b"abc"));
        assert_eq!(body("Content-Length: 3, 3\r\n", b"abc"), ok(b"abc"));
        assert_eq!(body("", b"abc"), ok(b"abc"));
        let chunked = "Transfer-Encoding: Chunked\r\nContent-Length: 1\r\n";
        assert_eq!(body(chunked, b"3\r\nabc\r\n0\r\n\r\n"), ok(b"abc"));
        let odd = b"2;a=b\r\nab\r\n01 \r\nc\r\n0;x\r\nTrailer: y\r\n\r\nrest";
        assert_eq!(body(chunked, odd), ok(b"abc"));
        assert_eq!(
            body(chunked, b"1\na\nA\n0123456789\n0\n\n"),
            ok(b"a0123456789")
        );
        let empty = read_all_ways(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((empty.status, empty.body), (204, Vec::new()));
        let old = read_all_ways(b"HTTP/1.0 404 \n\nabc").unwrap();
        assert_eq!((old.status, &old.body[..]), (404, &b"abc"[..]));
    }

    /// An interim response is not the response.
    #[test]
    fn interim_responses_are_passed_over() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
            HTTP/1.1 302 Found\r\nlocation:  http://127.0.0.1/x \r\nContent-Length: 0\r\n\r\n";
        let response = read_all_ways(bytes).unwrap();
        assert_eq!(response.status, 302);
        assert_eq!(response.location.as_deref(), Some("http://127.0.0.1/x"));
    }

    /// A packed body is unpacked, though nobody may have asked for it.
    #[test]
    fn a_gzip_body_is_unpacked() {
        // "de" as `gzip -n` packs it.
        let packed = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x4b\x49\x05\0\x8b\x29\x90\x7d\x02\0\0\0";
        assert_eq!(body("Content-Encoding: gzip\r\n", packed), ok(b"de"));
        assert_eq!(body("Content-Encoding: identity\r\n", b"de"), ok(b"de"));
        assert_eq!(
            body("Content-Encoding: gzip\r\n", b"de"),
            Err(BadHttp::Gzip)
        );
        let unknown = body("Content-Encoding: br\r\n", b"de");
        assert_eq!(unknown, Err(BadHttp::ContentEncoding));
    }

    /// Too long a body is refused as soon as its length is known.
    #[test]
    fn no_body_passes_its_bound() {
        let limit = LIMIT;
        let long = Err(BadHttp::BodyTooLong { limit });
        let text = [b'x'; LIMIT + 1];
        assert_eq!(body("", &text[1..]), ok(&text[1..]));
        assert_eq!(body("", &text), long);
        assert_eq!(body("Content-Length: 1001\r\n", b""), long);
        assert_eq!(body("Transfer-Encoding: chunked\r\n", b"3e9"), long);
        let endless = body("Transfer-Encoding: chunked\r\n", b"00000000000000000");
        assert_eq!(endless, Err(BadHttp::Chunk));
        let extended = [&b"1;"[..], &[b'x'; 5_000]].concat();
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let refused = read([chunked.as_bytes(), &extended]);
        assert_eq!(refused, Err(BadHttp::Chunk));
    }

    #[test]
    fn what_is_not_a_response_is_refused() {
        let cut_off = Err(BadHttp::CutOff);
        assert_eq!(body("Content-Length: 4\r\n", b"abc"), cut_off);
        assert_eq!(
            body("Transfer-Encoding: chunked\r\n", b"3\r\nabc\r\n"),
            cut_off
        );
        let chunk = Err(BadHttp::Chunk);
        assert_eq!(body("Transfer-Encoding: chunked\r\n", b"3\r\nabcd"), chunk);
        assert_eq!(body("Transfer-Encoding: chunked\r\n", b"\r\n"), chunk);
        let length = Err(BadHttp::ContentLength);
        assert_eq!(body("Content-Length: 3, 4\r\n", b"abc"), length);
        assert_eq!(body("Content-Length: +3\r\n", b"abc"), length);
        assert_eq!(
            body("Content-Length: 99999999999999999999\r\n", b""),
            length
        );
        let coding = body("Transfer-Encoding: gzip, chunked\r\n", b"");
        assert_eq!(coding, Err(BadHttp::TransferEncoding));
        assert!(matches!(
            read_all_ways(b"SSH-2.0\r\n\r\n"),
            Err(BadHttp::Head(_))
        ));
        assert_eq!(read_all_ways(b"HTTP/1.1 200 OK\r\n"), Err(BadHttp::CutOff));
    }

    /// What the server writes the client reads.
    #[test]
    fn a_response_reads_as_it_was_written() {
        let mut bytes = Vec::new();
        encode_response(200, "text/plain", b"de", &mut bytes);
        let response = read_all_ways(&bytes).unwrap();
        assert_eq!((response.status, &response.body[..]), (200, &b"de"[..]));
    }

    proptest! {
        /// Chunks with anything wrong in them read the same wherever they are cut.
        #[test]
        fn spoiled_chunks_read_the_same_however_cut(
            noise in proptest::collection::vec(
                prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'1'), Just(b'0'), any::<u8>()],
                0..60,
            ),
        ) {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            let bytes = [&head[..], &noise].concat();
            let _ = read_all_ways(&bytes);
        }

        /// So do heads.
        #[test]
        fn spoiled_heads_read_the_same_however_cut(at in 0usize..60, wrong: u8) {
            let mut bytes =
                b"HTTP/1.1 200 OK\r\nContent-Encoding: x\r\nContent-Length: 2\r\n\r\nde".to_vec();
            bytes[at] = wrong;
            let _ = read_all_ways(&bytes);
        }
    }
}

//! An HTTP response cut anywhere: the same response, the same fault, never a body beyond its bound.
//! The same bytes as a request do no harm either.
//!
//! Input: the bound of the body in bytes (two bytes), cuts, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::{Knobs, cut};
use ripcurrent_proto::wire::http::{BadHttp, RequestHead, RequestReader, Response, ResponseReader};

fuzz_target!(|input: &[u8]| {
    let mut knobs = Knobs(input);
    let (body_max, cuts) = (usize::from(knobs.short()), knobs.cuts());
    let stream = knobs.rest();
    let pieces = cut(stream, cuts);

    let whole = response(body_max, &[stream]);
    assert_eq!(whole, response(body_max, &pieces));
    if let Ok(response) = whole {
        assert!(response.body.len() <= body_max);
    }
    assert_eq!(request(&[stream]), request(&pieces));
});

fn response(body_max: usize, pieces: &[&[u8]]) -> Result<Response, BadHttp> {
    let mut reader = ResponseReader::new(body_max);
    for piece in pieces {
        if let Some(response) = reader.push(piece)? {
            return Ok(response);
        }
    }
    reader.end()
}

fn request(pieces: &[&[u8]]) -> Result<Option<RequestHead>, BadHttp> {
    let mut reader = RequestReader::new();
    for piece in pieces {
        let mut data = *piece;
        if let Some(head) = reader.push(&mut data)? {
            return Ok(Some(head));
        }
        assert!(data.is_empty());
    }
    Ok(None)
}

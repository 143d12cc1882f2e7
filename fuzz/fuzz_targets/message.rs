//! A stream of messages cut anywhere: the same messages, the same fault, never more memory than was
//! promised; what was decoded encodes and decodes to itself.
//!
//! Input: pieces of the torrent (two bytes), cuts, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::{Knobs, cut};
use ripcurrent_proto::wire::Malformed;
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

fuzz_target!(|input: &[u8]| {
    let mut knobs = Knobs(input);
    let (pieces, cuts) = (u32::from(knobs.short()), knobs.cuts());
    let stream = knobs.rest();
    let whole = read(pieces, &[stream]);
    assert_eq!(whole, read(pieces, &cut(stream, cuts)));

    let (said, _) = whole;
    let encoded = said.iter().map(Said::encoded).collect::<Vec<_>>().concat();
    assert_eq!(read(pieces, &[&encoded]), (said, None));
});

/// What a peer said, owned, the parts of a payload joined.
#[derive(Debug, PartialEq)]
enum Said {
    /// A message as it encodes, and as it shows.
    Message(Vec<u8>, String),
    /// A block, its payload perhaps not complete.
    Block(BlockRequest, Vec<u8>),
}

impl Said {
    fn encoded(&self) -> Vec<u8> {
        match self {
            Said::Message(bytes, _) => bytes.clone(),
            Said::Block(block, payload) => {
                let mut bytes = Vec::new();
                encode_piece_header(*block, &mut bytes);
                bytes.extend_from_slice(payload);
                bytes
            }
        }
    }
}

fn read(pieces: u32, stream: &[&[u8]]) -> (Vec<Said>, Option<Malformed>) {
    let mut decoder = Decoder::new(pieces);
    let mut said = Vec::new();
    for piece in stream {
        let mut data = *piece;
        loop {
            match decoder.next(&mut data) {
                Ok(Some(frame)) => take(frame, &mut said),
                Ok(None) => break assert!(data.is_empty()),
                Err(fault) => return (said, Some(fault)),
            }
            assert!(decoder.held() <= Decoder::most_held(pieces));
        }
        assert!(decoder.held() <= Decoder::most_held(pieces));
    }
    (said, None)
}

fn take(frame: Frame<'_>, said: &mut Vec<Said>) {
    match frame {
        Frame::Message(message) => {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            // An unknown message is not kept, so it shows without the length it had.
            assert!(!matches!(message, Message::Unknown { .. }) || bytes.len() == 5);
            said.push(Said::Message(bytes, format!("{message:?}")));
        }
        Frame::Piece(block) => said.push(Said::Block(block, Vec::new())),
        Frame::Payload { bytes, last } => {
            let Some(Said::Block(block, payload)) = said.last_mut() else {
                panic!("a payload follows the header of its block");
            };
            payload.extend_from_slice(bytes);
            assert_eq!(last, payload.len() == block.len as usize);
        }
    }
}

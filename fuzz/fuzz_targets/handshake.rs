//! A handshake read from a stream cut anywhere: the same stages, the same fault; what was read
//! encodes back to the bytes it came from.
//!
//! Input: cuts, then the stream.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ripcurrent_fuzz::{Knobs, cut};
use ripcurrent_proto::wire::Malformed;
use ripcurrent_proto::wire::handshake::{HandshakeReader, LEN, Progress};

fuzz_target!(|input: &[u8]| {
    let mut knobs = Knobs(input);
    let cuts = knobs.cuts();
    let stream = knobs.rest();
    let (whole, cut) = (read(&[stream]), read(&cut(stream, cuts)));
    assert_eq!(whole, cut);
    if let Ok((stages, consumed)) = whole
        && let Some(Progress::Whole(handshake)) = stages.last()
    {
        assert_eq!(consumed, LEN);
        assert_eq!(handshake.encode(), stream[..LEN]);
    }
});

/// The stages told until the handshake is whole, and how many bytes that took.
fn read(pieces: &[&[u8]]) -> Result<(Vec<Progress>, usize), Malformed> {
    let mut reader = HandshakeReader::new();
    let (mut stages, mut consumed) = (Vec::new(), 0);
    for piece in pieces {
        let mut data = *piece;
        loop {
            let before = data.len();
            let stage = reader.push(&mut data)?;
            consumed += before - data.len();
            match stage {
                Progress::NeedMore => break assert!(data.is_empty()),
                Progress::Head { .. } => stages.push(stage),
                Progress::Whole(_) => {
                    stages.push(stage);
                    return Ok((stages, consumed));
                }
            }
        }
    }
    Ok((stages, consumed))
}

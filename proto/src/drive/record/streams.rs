//! What came in on each connection, apart from when: so that payload can be told by its digest and
//! addresses be hidden, although both may be cut anywhere.

use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::answer;
use super::blind::Blind;

/// How much is gathered before it is written.
const RAW_MAX: usize = 4096;
/// The longest message that is kept back until it is whole; no machine waits for a longer one.
const MESSAGE_MAX: usize = 2 << 20;
/// The longest answer of a tracker that is kept back.
const ANSWER_MAX: usize = 4 << 20;
const HANDSHAKE: usize = 68;
/// The first byte of a handshake (BEP 3): the length of the protocol's name.
const NAME_LEN: u8 = 19;
const PIECE: u8 = 7;
const PIECE_HEAD: usize = 13;
const EXTENDED: u8 = 20;

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// These bytes.
    Raw(Vec<u8>),
    /// So many bytes of payload with this SHA-1.
    Payload([u8; 20], usize),
}

/// One connection's incoming bytes.
#[derive(Debug, Default)]
pub(super) struct Stream {
    state: State,
    /// Whole messages that are not written yet.
    raw: Vec<u8>,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing came.
    #[default]
    Start,
    /// A peer's handshake, so many bytes before its end.
    Handshake(usize),
    /// A peer's message that is not whole.
    Message(Vec<u8>),
    /// The payload of a `piece` message: its hash, its length so far, and what is left.
    Payload(Sha1, usize, usize),
    /// A tracker's answer.
    Answer(Vec<u8>),
    /// Nothing that anybody understands.
    Noise,
}

impl Stream {
    /// Takes bytes in, and gives the segments that are finished.
    pub(super) fn push(&mut self, mut data: &[u8], blind: &mut Blind, out: &mut Vec<Segment>) {
        while !data.is_empty() {
            self.state = match core::mem::take(&mut self.state) {
                State::Start if data[0] == NAME_LEN => State::Handshake(HANDSHAKE),
                State::Start => State::Answer(Vec::new()),
                State::Handshake(left) => {
                    let taken = take(&mut data, left);
                    self.raw.extend_from_slice(taken);
                    match left - taken.len() {
                        0 => State::Message(Vec::new()),
                        left => State::Handshake(left),
                    }
                }
                State::Message(held) => self.gather(held, &mut data, blind, out),
                State::Payload(mut hash, len, left) => {
                    let taken = take(&mut data, left);
                    hash.update(taken);
                    let len = len + taken.len();
                    match left - taken.len() {
                        0 => self.end_payload(hash, len, out),
                        left => State::Payload(hash, len, left),
                    }
                }
                State::Answer(mut held) if held.len() <= ANSWER_MAX => {
                    held.extend_from_slice(take(&mut data, usize::MAX));
                    State::Answer(held)
                }
                State::Answer(held) => {
                    self.raw.extend_from_slice(&held);
                    State::Noise
                }
                State::Noise => {
                    self.raw.extend_from_slice(take(&mut data, usize::MAX));
                    State::Noise
                }
            };
            if self.raw.len() >= RAW_MAX {
                self.flush(out);
            }
        }
    }

    /// The connection is over: gives what is left.
    pub(super) fn finish(mut self, blind: &mut Blind, out: &mut Vec<Segment>) {
        match core::mem::take(&mut self.state) {
            State::Message(held) => self.raw.extend_from_slice(&held),
            State::Payload(hash, len, _) => {
                self.end_payload(hash, len, out);
            }
            State::Answer(held) => self.raw.extend_from_slice(&answer::hide(&held, blind)),
            State::Start | State::Handshake(_) | State::Noise => {}
        }
        self.flush(out);
    }

    fn gather(
        &mut self,
        mut held: Vec<u8>,
        data: &mut &[u8],
        blind: &mut Blind,
        out: &mut Vec<Segment>,
    ) -> State {
        let need = need(&held);
        if need > MESSAGE_MAX {
            self.raw.extend_from_slice(&held);
            return State::Noise;
        }
        held.extend_from_slice(take(data, need - held.len()));
        if held.len() < need || self::need(&held) > need {
            return State::Message(held);
        }
        let id = held.get(4).copied();
        if id == Some(EXTENDED) {
            blind.hide_in(&mut held[5..]);
        }
        self.raw.extend_from_slice(&held);
        match (id, length(&held).saturating_sub(PIECE_HEAD - 4)) {
            (Some(PIECE), left @ 1..) => {
                self.flush(out);
                State::Payload(Sha1::new(), 0, left)
            }
            _ => State::Message(Vec::new()),
        }
    }

    fn end_payload(&mut self, hash: Sha1, len: usize, out: &mut Vec<Segment>) -> State {
        if len > 0 {
            out.push(Segment::Payload(hash.finalize().into(), len));
        }
        State::Message(Vec::new())
    }

    fn flush(&mut self, out: &mut Vec<Segment>) {
        if !self.raw.is_empty() {
            out.push(Segment::Raw(core::mem::take(&mut self.raw)));
        }
    }
}

/// How many bytes of a message must be there to know more; of a `piece` its header is all.
fn need(held: &[u8]) -> usize {
    match held.get(4) {
        _ if held.len() < 4 => 4,
        _ if length(held) == 0 => 4,
        None => 5,
        Some(&PIECE) => PIECE_HEAD.min(4 + length(held)),
        Some(_) => 4 + length(held),
    }
}

/// What the prefix says.
fn length(held: &[u8]) -> usize {
    let prefix = held.first_chunk().copied().unwrap_or_default();
    u32::from_be_bytes(prefix) as usize
}

fn take<'d>(data: &mut &'d [u8], most: usize) -> &'d [u8] {
    let taken;
    (taken, *data) = data.split_at(data.len().min(most));
    taken
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::wire::message::{BlockRequest, Message, encode_piece_header};

    fn segments(stream: &[u8], cut: usize) -> Vec<Segment> {
        let (mut taker, mut blind, mut out) = (Stream::default(), Blind::default(), Vec::new());
        for part in stream.chunks(cut) {
            taker.push(part, &mut blind, &mut out);
        }
        taker.finish(&mut blind, &mut out);
        out
    }

    /// A conversation with every kind of message, and 40 bytes of payload.
    fn conversation() -> Vec<u8> {
        let mut stream = vec![NAME_LEN; HANDSHAKE];
        let block = BlockRequest {
            piece: 1,
            begin: 0,
            len: 40,
        };
        let payload: &[u8] = b"d6:yourip4:\x01\x02\x03\x04e";
        let messages = [
            Message::HaveAll,
            Message::Extended { id: 0, payload },
            Message::KeepAlive,
            Message::Request(block),
        ];
        messages
            .iter()
            .for_each(|message| message.encode(&mut stream));
        encode_piece_header(block, &mut stream);
        stream.extend_from_slice(&[7; 40]);
        Message::Have(3).encode(&mut stream);
        stream
    }

    /// Wherever a stream is cut, its segments are the same, and only payload is told by its digest.
    #[test]
    fn a_stream_has_the_same_segments_however_it_comes() {
        let stream = conversation();
        let whole = segments(&stream, stream.len());
        let payload = Segment::Payload(Sha1::digest([7; 40]).into(), 40);
        let (before, after) = stream.split_at(stream.len() - 9 - 40);
        let raw = |bytes: &[u8]| Segment::Raw(bytes.to_vec());
        assert_eq!(whole, [raw(before), payload, raw(&after[40..])]);
        for cut in 1..stream.len() {
            assert_eq!(segments(&stream, cut), whole, "{cut} bytes at a time");
        }
    }

    /// A stream that ends in the middle of anything loses no byte.
    #[test]
    fn a_stream_cut_short_is_told_as_far_as_it_came() {
        let stream = conversation();
        for len in HANDSHAKE..stream.len() {
            let told = segments(&stream[..len], len).into_iter();
            let lengths = told.map(|segment| match segment {
                Segment::Raw(bytes) => bytes.len(),
                Segment::Payload(_, len) => len,
            });
            assert_eq!(lengths.sum::<usize>(), len);
        }
    }

    /// What is no message at all is told as it came.
    #[test]
    fn noise_is_kept() {
        let mut stream = vec![NAME_LEN; HANDSHAKE];
        stream.extend_from_slice(&[0xff; 100]);
        assert_eq!(segments(&stream, 7), [Segment::Raw(stream)]);
    }
}

//! One direction of a connection, told as the messages that it carries (BEP 3).

use std::fmt::{self, Write as _};

use ripcurrent_proto::wire::handshake::{HandshakeReader, Progress};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message};

/// The most characters of a line of text that are shown.
const TEXT_MAX: usize = 100;

/// Where one direction of a connection stands.
#[derive(Debug)]
pub(super) struct Stream {
    state: State,
    pieces: u32,
}

#[derive(Debug)]
enum State {
    /// Nothing of it has passed.
    Begins,
    Handshake(HandshakeReader),
    Messages(Decoder),
    /// It is no conversation of peers, or has ceased to be one.
    Other,
}

/// The messages that ended in some bytes.
#[derive(Debug, Default)]
pub(super) struct Told(String);

impl Stream {
    /// At its beginning, for a torrent of so many pieces.
    pub(super) fn new(pieces: u32) -> Self {
        Stream {
            state: State::Begins,
            pieces,
        }
    }

    /// Tells the next bytes of it.
    pub(super) fn tell(&mut self, mut data: &[u8]) -> Told {
        let mut told = Told::default();
        while self.step(&mut data, &mut told) {}
        told
    }

    /// Takes from the front of `data`; whether there may be more to take.
    fn step(&mut self, data: &mut &[u8], told: &mut Told) -> bool {
        match &mut self.state {
            State::Begins if data.first() == Some(&19) => {
                self.state = State::Handshake(HandshakeReader::new());
            }
            State::Begins => {
                told.add(format_args!("{:?}", first_line(data)));
                self.state = State::Other;
            }
            State::Handshake(reader) => match reader.push(data) {
                Ok(Progress::NeedMore) => return false,
                Ok(Progress::Head { .. }) => {}
                Ok(Progress::Whole(handshake)) => {
                    let peer = handshake.peer_id.escape_ascii();
                    told.add(format_args!("handshake of {peer}"));
                    self.state = State::Messages(Decoder::new(self.pieces));
                }
                Err(error) => self.give_up(told, &error),
            },
            State::Messages(decoder) => match decoder.next(data) {
                Ok(Some(frame)) => describe(frame, told),
                Ok(None) => return false,
                Err(error) => self.give_up(told, &error),
            },
            State::Other => return false,
        }
        true
    }

    fn give_up(&mut self, told: &mut Told, error: &dyn fmt::Display) {
        told.add(format_args!("NOT OF THE PROTOCOL ({error})"));
        self.state = State::Other;
    }
}

impl Told {
    fn add(&mut self, what: fmt::Arguments<'_>) {
        if !self.0.is_empty() {
            self.0.push_str(", ");
        }
        // Writing to a string does not fail.
        let _ = self.0.write_fmt(what);
    }

    /// This and what comes behind it.
    pub(super) fn and(mut self, next: Told) -> Self {
        if !next.0.is_empty() {
            self.add(format_args!("{}", next.0));
        }
        self
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_str() {
            "" => Ok(()),
            told => write!(f, ": {told}"),
        }
    }
}

fn first_line(data: &[u8]) -> String {
    let line = data.split(|byte| *byte == b'\r' || *byte == b'\n').next();
    let text = String::from_utf8_lossy(line.unwrap_or_default());
    text.chars().take(TEXT_MAX).collect()
}

fn describe(frame: Frame<'_>, told: &mut Told) {
    match frame {
        Frame::Message(message) => describe_message(message, told),
        Frame::Piece(block) => told.block("piece", block),
        // The header has told it.
        Frame::Payload { .. } => {}
    }
}

fn describe_message(message: Message<'_>, told: &mut Told) {
    match message {
        Message::KeepAlive => told.add(format_args!("keep-alive")),
        Message::Choke => told.add(format_args!("choke")),
        Message::Unchoke => told.add(format_args!("unchoke")),
        Message::Interested => told.add(format_args!("interested")),
        Message::NotInterested => told.add(format_args!("not interested")),
        Message::Have(piece) => told.add(format_args!("have {piece}")),
        Message::Bitfield(bits) => {
            let count: u32 = bits.iter().map(|byte| byte.count_ones()).sum();
            told.add(format_args!("bitfield of {count} pieces"));
        }
        Message::Request(block) => told.block("request", block),
        Message::Cancel(block) => told.block("cancel", block),
        Message::Port(port) => told.add(format_args!("port {port}")),
        Message::Suggest(piece) => told.add(format_args!("suggest {piece}")),
        Message::HaveAll => told.add(format_args!("have all")),
        Message::HaveNone => told.add(format_args!("have none")),
        Message::Reject(block) => told.block("reject", block),
        Message::AllowedFast(piece) => told.add(format_args!("allowed fast {piece}")),
        Message::Extended { id, payload } => {
            told.add(format_args!("extended {id} of {} B", payload.len()));
        }
        Message::HashRequest(range) => told.add(format_args!("hash request {}", range.index)),
        Message::Hashes { range, .. } => told.add(format_args!("hashes {}", range.index)),
        Message::HashReject(range) => told.add(format_args!("hash reject {}", range.index)),
        Message::Unknown { id } => told.add(format_args!("message of unknown id {id}")),
    }
}

impl Told {
    fn block(&mut self, what: &str, BlockRequest { piece, begin, len }: BlockRequest) {
        self.add(format_args!("{what} {piece}+{begin}+{len}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::wire::handshake::{Handshake, Reserved};
    use ripcurrent_proto::wire::message::encode_piece_header;

    fn conversation() -> Vec<u8> {
        let handshake = Handshake {
            reserved: Reserved::default(),
            info_hash: [1; 20],
            peer_id: *b"-RC0010-abcdefghijkl",
        };
        let mut bytes = handshake.encode().to_vec();
        let block = BlockRequest {
            piece: 7,
            begin: 0,
            len: 5,
        };
        Message::Bitfield(&[0b1100_0000, 0]).encode(&mut bytes);
        Message::Request(block).encode(&mut bytes);
        encode_piece_header(block, &mut bytes);
        bytes.extend_from_slice(b"block");
        Message::Have(3).encode(&mut bytes);
        bytes
    }

    /// Wherever the stream is cut, each message is told once, in its order.
    #[test]
    fn messages_are_told_once_however_they_come() {
        let bytes = conversation();
        let whole = ": handshake of -RC0010-abcdefghijkl, bitfield of 2 pieces, request 7+0+5, \
                     piece 7+0+5, have 3";
        for size in [1, 7, 68, bytes.len()] {
            let mut stream = Stream::new(10);
            let told = bytes.chunks(size).map(|chunk| stream.tell(chunk));
            let told = told.fold(Told::default(), Told::and);
            assert_eq!(told.to_string(), whole, "cut every {size} bytes");
        }
    }

    /// A tracker's connection is told by its first line; a peer that leaves the protocol once.
    #[test]
    fn what_is_no_conversation_of_peers_is_told_as_such() {
        let mut stream = Stream::new(10);
        let told = stream.tell(b"GET /announce?x HTTP/1.1\r\nHost: a\r\n");
        assert_eq!(told.to_string(), ": \"GET /announce?x HTTP/1.1\"");
        assert_eq!(stream.tell(b"more").to_string(), "");

        let mut stream = Stream::new(10);
        stream.tell(&conversation());
        let told = stream.tell(&[0xff; 8]).to_string();
        assert!(told.contains("NOT OF THE PROTOCOL"), "{told}");
        assert_eq!(stream.tell(&[0; 4]).to_string(), "");
    }
}

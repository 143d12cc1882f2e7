//! The messages between peers (BEP 3, "peer messages"; BEP 5, 6, 10 and 52) and the decoder that
//! cuts them out of a stream.
//!
//! Invariant: a frame is bounded by its id before a byte of it is kept. What a decoder holds is one
//! incomplete frame at most: [`Decoder::most_held`] bytes. The payload of a `piece` message is never
//! held, nor are messages of unknown ids.

use alloc::vec::Vec;

use super::Malformed;

/// The most payload of a `piece` message, in bytes: what BEP 3 once allowed. Good clients send
/// 16 KiB.
pub const PIECE_PAYLOAD_MAX: u32 = 128 << 10;

/// The most payload of an extended message, in bytes: a piece of metadata has 16 KiB and its
/// dictionary, a peer exchange that lists 5,000 IPv6 peers 95,000 bytes.
pub const EXTENDED_PAYLOAD_MAX: u32 = 128 << 10;

/// The most hashes of a `hashes` message: 512 of the base layer (BEP 52) and a proof for each layer
/// of the highest tree that can be.
pub const HASHES_MAX: u32 = 512 + 64;

/// The most bytes of a message of an unknown id; they are skipped.
pub const UNKNOWN_MAX: u32 = 1 << 20;

/// What a decoder may keep allocated while it holds nothing, in bytes.
const KEPT: usize = 64;

const PREFIX: usize = 4;
const BLOCK: u32 = 12;
const PIECE_HEAD: u32 = 8;
const RANGE: u32 = 48;
const HASH: u32 = 32;

/// The message ids.
mod id {
    pub(super) const CHOKE: u8 = 0;
    pub(super) const UNCHOKE: u8 = 1;
    pub(super) const INTERESTED: u8 = 2;
    pub(super) const NOT_INTERESTED: u8 = 3;
    pub(super) const HAVE: u8 = 4;
    pub(super) const BITFIELD: u8 = 5;
    pub(super) const REQUEST: u8 = 6;
    pub(super) const PIECE: u8 = 7;
    pub(super) const CANCEL: u8 = 8;
    pub(super) const PORT: u8 = 9;
    pub(super) const SUGGEST: u8 = 13;
    pub(super) const HAVE_ALL: u8 = 14;
    pub(super) const HAVE_NONE: u8 = 15;
    pub(super) const REJECT: u8 = 16;
    pub(super) const ALLOWED_FAST: u8 = 17;
    pub(super) const EXTENDED: u8 = 20;
    pub(super) const HASH_REQUEST: u8 = 21;
    pub(super) const HASHES: u8 = 22;
    pub(super) const HASH_REJECT: u8 = 23;
}

/// A message, complete. Numbers are as they were sent: whether a piece exists is not checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Nothing, said to keep the connection open.
    KeepAlive,
    /// Requests are not answered until further notice.
    Choke,
    /// Requests are answered.
    Unchoke,
    /// The sender wants pieces of ours.
    Interested,
    /// The sender wants none of ours.
    NotInterested,
    /// The sender has this piece now.
    Have(u32),
    /// What the sender has: as many bytes as the torrent needs, spare bits not yet checked.
    Bitfield(&'a [u8]),
    /// A block, please.
    Request(BlockRequest),
    /// Not that block any more.
    Cancel(BlockRequest),
    /// The UDP port of the sender's DHT node (BEP 5).
    Port(u16),
    /// A piece that is cheap to serve (BEP 6).
    Suggest(u32),
    /// The sender has everything (BEP 6).
    HaveAll,
    /// The sender has nothing (BEP 6).
    HaveNone,
    /// That block will not come (BEP 6).
    Reject(BlockRequest),
    /// A piece that is served even to a choked peer (BEP 6).
    AllowedFast(u32),
    /// A message of the extension protocol (BEP 10).
    Extended {
        /// The receiver's own number for it, 0 for the handshake.
        id: u8,
        /// What it says.
        payload: &'a [u8],
    },
    /// Hashes of a merkle tree, please (BEP 52).
    HashRequest(HashRange),
    /// Hashes of a merkle tree (BEP 52).
    Hashes {
        /// Which.
        range: HashRange,
        /// Whole SHA-256 digests, the base layer first, then the proof.
        hashes: &'a [u8],
    },
    /// Those hashes will not come (BEP 52).
    HashReject(HashRange),
    /// A message of an id not known here; its bytes are skipped. Encodes without a payload.
    Unknown {
        /// The id.
        id: u8,
    },
}

/// A block of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRequest {
    /// The index of the piece.
    pub piece: u32,
    /// Where it begins in the piece, in bytes.
    pub begin: u32,
    /// How long it is, in bytes.
    pub len: u32,
}

/// A range of hashes of a file's merkle tree (BEP 52).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HashRange {
    /// The root of the file's tree.
    pub pieces_root: [u8; 32],
    /// The layer, counted from the leaves.
    pub base_layer: u32,
    /// The first hash of the layer.
    pub index: u32,
    /// How many hashes of the layer.
    pub length: u32,
    /// How many layers above the base layer are proven.
    pub proof_layers: u32,
}

/// What a [`Decoder`] finds in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole message other than `piece`.
    Message(Message<'a>),
    /// The header of a `piece` message. Exactly `len` bytes follow as [`Frame::Payload`], and
    /// nothing else before them; `len` is from 1 to [`PIECE_PAYLOAD_MAX`].
    Piece(BlockRequest),
    /// A part of the payload, in order, never empty.
    Payload {
        /// The bytes.
        bytes: &'a [u8],
        /// Whether the payload ends here.
        last: bool,
    },
}

impl Message<'_> {
    /// Appends the message with its length prefix.
    ///
    /// # Panics
    /// If a payload is 4 GiB or longer.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Message::KeepAlive => out.extend_from_slice(&[0; PREFIX]),
            Message::Choke => put(out, id::CHOKE, &[]),
            Message::Unchoke => put(out, id::UNCHOKE, &[]),
            Message::Interested => put(out, id::INTERESTED, &[]),
            Message::NotInterested => put(out, id::NOT_INTERESTED, &[]),
            Message::Have(piece) => put_piece(out, id::HAVE, piece),
            Message::Bitfield(bits) => put(out, id::BITFIELD, &[bits]),
            Message::Request(block) => put_block(out, id::REQUEST, block),
            Message::Cancel(block) => put_block(out, id::CANCEL, block),
            Message::Port(port) => put(out, id::PORT, &[&port.to_be_bytes()]),
            Message::Suggest(piece) => put(out, id::SUGGEST, &[&piece.to_be_bytes()]),
            Message::HaveAll => put(out, id::HAVE_ALL, &[]),
            Message::HaveNone => put(out, id::HAVE_NONE, &[]),
            Message::Reject(block) => put_block(out, id::REJECT, block),
            Message::AllowedFast(piece) => put(out, id::ALLOWED_FAST, &[&piece.to_be_bytes()]),
            Message::Extended { id, payload } => put(out, id::EXTENDED, &[&[id], payload]),
            Message::HashRequest(range) => put(out, id::HASH_REQUEST, &[&range.to_bytes()]),
            Message::Hashes { range, hashes } => {
                put(out, id::HASHES, &[&range.to_bytes(), hashes]);
            }
            Message::HashReject(range) => put(out, id::HASH_REJECT, &[&range.to_bytes()]),
            Message::Unknown { id } => put(out, id, &[]),
        }
    }
}

/// Appends the 13 bytes before the payload of a `piece` message; `block.len` bytes are to follow.
pub fn encode_piece_header(block: BlockRequest, out: &mut Vec<u8>) {
    let mut header = [0; PREFIX + 1 + PIECE_HEAD as usize];
    header[..4].copy_from_slice(&(1 + PIECE_HEAD + block.len).to_be_bytes());
    header[4] = id::PIECE;
    header[5..9].copy_from_slice(&block.piece.to_be_bytes());
    header[9..].copy_from_slice(&block.begin.to_be_bytes());
    out.extend_from_slice(&header);
}

/// Appends a message of one block: of these there are as many as of blocks.
fn put_block(out: &mut Vec<u8>, id: u8, block: BlockRequest) {
    let mut message = [0; PREFIX + 1 + BLOCK as usize];
    message[..4].copy_from_slice(&(1 + BLOCK).to_be_bytes());
    message[4] = id;
    message[5..].copy_from_slice(&block.to_bytes());
    out.extend_from_slice(&message);
}

/// Appends a message of one piece.
fn put_piece(out: &mut Vec<u8>, id: u8, piece: u32) {
    let mut message = [0; PREFIX + 1 + 4];
    message[..4].copy_from_slice(&5u32.to_be_bytes());
    message[4] = id;
    message[5..].copy_from_slice(&piece.to_be_bytes());
    out.extend_from_slice(&message);
}

fn put(out: &mut Vec<u8>, id: u8, fields: &[&[u8]]) {
    let len = 1 + fields.iter().map(|field| field.len()).sum::<usize>();
    let len = u32::try_from(len).expect("a message below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.push(id);
    for field in fields {
        out.extend_from_slice(field);
    }
}

/// Cuts a stream into frames, the same ones wherever the stream is cut.
#[derive(Debug)]
pub struct Decoder {
    pieces: u32,
    state: State,
    /// The beginning of a frame whose end has not come; the whole of it in [`State::Given`].
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the beginning of a frame or, where something is held, inside it.
    Frame,
    /// The frame held was given out and is over.
    Given,
    /// Inside the payload of a `piece` message, so many bytes before its end.
    Payload(u32),
    /// Inside a message of an unknown id, so many bytes before its end.
    Skip(u32),
}

impl Decoder {
    /// A decoder at the beginning of a message, for a torrent of so many pieces.
    #[must_use]
    pub const fn new(pieces: u32) -> Self {
        Decoder {
            pieces,
            state: State::Frame,
            held: Vec::new(),
        }
    }

    /// The most bytes that a decoder for a torrent of `pieces` pieces ever keeps allocated: the
    /// longest of the messages that are held.
    #[must_use]
    pub fn most_held(pieces: u32) -> usize {
        let extended = 1 + EXTENDED_PAYLOAD_MAX as usize;
        let hashes = (RANGE + HASH * HASHES_MAX) as usize;
        let bitfield = pieces.div_ceil(8) as usize;
        PREFIX + 1 + extended.max(hashes).max(bitfield)
    }

    /// The bytes it keeps allocated now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.capacity()
    }

    /// The next frame; `data` is advanced past what was consumed. `None`: all of it was consumed
    /// and more must come.
    ///
    /// A message that lies whole in `data` is not copied. After an error the decoder must not be
    /// asked again.
    ///
    /// # Errors
    /// As soon as the length and the id of a message are seen not to fit.
    pub fn next<'a, 'd: 'a>(
        &'a mut self,
        data: &mut &'d [u8],
    ) -> Result<Option<Frame<'a>>, Malformed> {
        match self.state {
            State::Frame => {}
            State::Given => self.release(),
            State::Payload(left) => return Ok(self.stream(left, data)),
            State::Skip(left) => {
                // The header of this message may have been held.
                self.held.clear();
                let skipped = take(data, left);
                self.state = match left - skipped.len() as u32 {
                    0 => State::Frame,
                    left => State::Skip(left),
                };
            }
        }
        if data.is_empty() {
            return Ok(None);
        }
        if self.held.is_empty() {
            let need = self.need(data)?;
            if let Some((frame, rest)) = data.split_at_checked(need) {
                *data = rest;
                let (frame, state) = decode(frame, State::Frame);
                self.state = state;
                return Ok(Some(frame));
            }
        }
        if !self.gather(data)? {
            return Ok(None);
        }
        let (frame, state) = decode(&self.held, State::Given);
        self.state = state;
        Ok(Some(frame))
    }

    fn stream<'d>(&mut self, left: u32, data: &mut &'d [u8]) -> Option<Frame<'d>> {
        // The header of this payload may have been held.
        self.held.clear();
        if data.is_empty() {
            return None;
        }
        let bytes = take(data, left);
        let left = left - bytes.len() as u32;
        self.state = match left {
            0 => State::Frame,
            left => State::Payload(left),
        };
        let last = left == 0;
        Some(Frame::Payload { bytes, last })
    }

    /// Moves bytes from `data` to what is held until that is a frame; whether it is.
    fn gather(&mut self, data: &mut &[u8]) -> Result<bool, Malformed> {
        loop {
            let need = self.need(&self.held)?;
            let missing = need - self.held.len();
            if missing == 0 {
                return Ok(true);
            }
            if data.is_empty() {
                return Ok(false);
            }
            // Memory follows the bytes that came, not the length that was claimed: twice as much
            // at most, and never past the end of the frame.
            let spare = self.held.capacity() - self.held.len();
            if spare < missing.min(data.len()) {
                let growth = data.len().max(self.held.len()).max(64);
                self.held.reserve_exact(missing.min(growth));
            }
            self.held.extend_from_slice(take(data, missing as u32));
        }
    }

    fn release(&mut self) {
        self.state = State::Frame;
        if self.held.capacity() > KEPT {
            self.held = Vec::new();
        } else {
            self.held.clear();
        }
    }

    /// How many bytes of a frame, from its prefix on, must be seen to go on.
    fn need(&self, start: &[u8]) -> Result<usize, Malformed> {
        let Some((prefix, rest)) = start.split_first_chunk() else {
            return Ok(PREFIX);
        };
        let len = u32::from_be_bytes(*prefix);
        match rest.first() {
            _ if len == 0 => Ok(PREFIX),
            None => Ok(PREFIX + 1),
            Some(id) => Ok(PREFIX + self.extent(*id, len)? as usize),
        }
    }

    /// How many bytes of a message, from its id on, are decoded at once.
    fn extent(&self, id: u8, len: u32) -> Result<u32, Malformed> {
        let (least, limit) = match id {
            id::CHOKE | id::UNCHOKE | id::INTERESTED | id::NOT_INTERESTED => (0, 0),
            id::HAVE_ALL | id::HAVE_NONE => (0, 0),
            id::HAVE | id::SUGGEST | id::ALLOWED_FAST => (4, 4),
            id::REQUEST | id::CANCEL | id::REJECT => (BLOCK, BLOCK),
            id::PORT => (2, 2),
            id::HASH_REQUEST | id::HASH_REJECT => (RANGE, RANGE),
            id::BITFIELD => (self.pieces.div_ceil(8), self.pieces.div_ceil(8)),
            id::PIECE => (PIECE_HEAD + 1, PIECE_HEAD + PIECE_PAYLOAD_MAX),
            id::EXTENDED => (1, 1 + EXTENDED_PAYLOAD_MAX),
            id::HASHES => (RANGE, RANGE + HASH * HASHES_MAX),
            _ => (0, UNKNOWN_MAX - 1),
        };
        let (least, limit) = (1 + least, 1 + limit);
        if len < least || len > limit {
            return Err(wrong_length(id, len, least, limit));
        }
        match id {
            id::PIECE => Ok(1 + PIECE_HEAD),
            id::HASHES if !(len - 1 - RANGE).is_multiple_of(HASH) => {
                Err(Malformed::PartialHash { len })
            }
            _ if is_known(id) => Ok(len),
            _ => Ok(1),
        }
    }
}

#[cold]
fn wrong_length(id: u8, len: u32, least: u32, limit: u32) -> Malformed {
    match limit {
        expected if least == limit => Malformed::Length { id, len, expected },
        limit if len > limit => Malformed::TooLong { id, len, limit },
        _ => Malformed::TooShort { id, len, least },
    }
}

fn is_known(id: u8) -> bool {
    matches!(
        id,
        id::CHOKE..=id::PORT | id::SUGGEST..=id::ALLOWED_FAST | id::EXTENDED..=id::HASH_REJECT
    )
}

/// Takes up to `most` bytes from the front of `data`.
fn take<'d>(data: &mut &'d [u8], most: u32) -> &'d [u8] {
    let taken;
    (taken, *data) = data.split_at(data.len().min(most as usize));
    taken
}

/// Reads a frame whose extent was checked, and tells the state after it: `plain` where nothing of
/// the message follows.
fn decode(frame: &[u8], plain: State) -> (Frame<'_>, State) {
    let Some((id, fields)) = frame[PREFIX..].split_first() else {
        return (Frame::Message(Message::KeepAlive), plain);
    };
    let message = match *id {
        id::PIECE => {
            let block = BlockRequest {
                piece: number(fields, 0),
                begin: number(fields, 4),
                len: number(frame, 0) - 1 - PIECE_HEAD,
            };
            return (Frame::Piece(block), State::Payload(block.len));
        }
        id::CHOKE => Message::Choke,
        id::UNCHOKE => Message::Unchoke,
        id::INTERESTED => Message::Interested,
        id::NOT_INTERESTED => Message::NotInterested,
        id::HAVE => Message::Have(number(fields, 0)),
        id::BITFIELD => Message::Bitfield(fields),
        id::REQUEST => Message::Request(BlockRequest::from_bytes(fields)),
        id::CANCEL => Message::Cancel(BlockRequest::from_bytes(fields)),
        id::PORT => Message::Port(u16::from_be_bytes([fields[0], fields[1]])),
        id::SUGGEST => Message::Suggest(number(fields, 0)),
        id::HAVE_ALL => Message::HaveAll,
        id::HAVE_NONE => Message::HaveNone,
        id::REJECT => Message::Reject(BlockRequest::from_bytes(fields)),
        id::ALLOWED_FAST => Message::AllowedFast(number(fields, 0)),
        id::EXTENDED => Message::Extended {
            id: fields[0],
            payload: &fields[1..],
        },
        id::HASH_REQUEST => Message::HashRequest(HashRange::from_bytes(fields)),
        id::HASHES => Message::Hashes {
            range: HashRange::from_bytes(fields),
            hashes: &fields[RANGE as usize..],
        },
        id::HASH_REJECT => Message::HashReject(HashRange::from_bytes(fields)),
        id => {
            let state = match number(frame, 0) - 1 {
                0 => plain,
                left => State::Skip(left),
            };
            return (Frame::Message(Message::Unknown { id }), state);
        }
    };
    (Frame::Message(message), plain)
}

/// The big-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(*bytes[at..].first_chunk().expect("four bytes of a message"))
}

impl BlockRequest {
    fn to_bytes(self) -> [u8; BLOCK as usize] {
        let mut out = [0; BLOCK as usize];
        out[..4].copy_from_slice(&self.piece.to_be_bytes());
        out[4..8].copy_from_slice(&self.begin.to_be_bytes());
        out[8..].copy_from_slice(&self.len.to_be_bytes());
        out
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        BlockRequest {
            piece: number(bytes, 0),
            begin: number(bytes, 4),
            len: number(bytes, 8),
        }
    }
}

impl HashRange {
    fn to_bytes(self) -> [u8; RANGE as usize] {
        let numbers = [self.base_layer, self.index, self.length, self.proof_layers];
        let mut out = [0; RANGE as usize];
        let (root, fields) = out.split_at_mut(self.pieces_root.len());
        root.copy_from_slice(&self.pieces_root);
        for (field, number) in fields.chunks_exact_mut(4).zip(numbers) {
            field.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        HashRange {
            pieces_root: *bytes.first_chunk().expect("a hash of a message"),
            base_layer: number(bytes, 32),
            index: number(bytes, 36),
            length: number(bytes, 40),
            proof_layers: number(bytes, 44),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn bytes(message: Message<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        message.encode(&mut out);
        out
    }

    /// A length and an id that do not fit are refused before more than five bytes came.
    #[test]
    fn bounds_hold_at_the_fifth_byte() {
        let refused = |len: u32, id: u8| {
            let mut start = len.to_be_bytes().to_vec();
            start.push(id);
            Decoder::new(10).next(&mut &start[..]).err()
        };
        let length = |id, len, expected| Some(Malformed::Length { id, len, expected });
        let long = |id, len, limit| Some(Malformed::TooLong { id, len, limit });
        let short = |id, len, least| Some(Malformed::TooShort { id, len, least });
        assert_eq!(refused(2, id::CHOKE), length(0, 2, 1));
        assert_eq!(refused(4, id::HAVE), length(4, 4, 5));
        assert_eq!(refused(2, id::BITFIELD), length(5, 2, 3));
        assert_eq!(refused(4, id::BITFIELD), length(5, 4, 3));
        assert_eq!(refused(12, id::REQUEST), length(6, 12, 13));
        assert_eq!(refused(u32::MAX, id::PORT), length(9, u32::MAX, 3));
        assert_eq!(refused(9, id::PIECE), short(7, 9, 10));
        assert_eq!(refused(10, id::PIECE), None);
        assert_eq!(refused(9 + (128 << 10), id::PIECE), None);
        let over = 10 + (128 << 10);
        assert_eq!(refused(over, id::PIECE), long(7, over, over - 1));
        assert_eq!(refused(1, id::EXTENDED), short(20, 1, 2));
        assert_eq!(refused(2 + (128 << 10), id::EXTENDED), None);
        let over = 3 + (128 << 10);
        assert_eq!(refused(over, id::EXTENDED), long(20, over, over - 1));
        assert_eq!(refused(48, id::HASHES), short(22, 48, 49));
        assert_eq!(refused(81, id::HASHES), None);
        let partial = Malformed::PartialHash { len: 80 };
        assert_eq!(refused(80, id::HASHES), Some(partial));
        let most = 49 + 32 * HASHES_MAX;
        assert_eq!(refused(most + 32, id::HASHES), long(22, most + 32, most));
        assert_eq!(refused(1 << 20, 77), None);
        let over = (1 << 20) + 1;
        assert_eq!(refused(over, 77), long(77, over, 1 << 20));
    }

    /// The bytes of a block come as they lie in the data, cut where the data is cut.
    #[test]
    fn a_payload_is_streamed_and_never_held() {
        let block = BlockRequest {
            piece: 3,
            begin: 16_384,
            len: 6,
        };
        let mut stream = Vec::new();
        encode_piece_header(block, &mut stream);
        stream.extend_from_slice(b"abcdef");
        stream.extend_from_slice(&bytes(Message::Choke));
        let (front, mut back) = stream.split_at(15);
        let mut front = front;

        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.next(&mut front), Ok(Some(Frame::Piece(block))));
        let frame = |bytes, last| Ok(Some(Frame::Payload { bytes, last }));
        assert_eq!(decoder.next(&mut front), frame(b"ab", false));
        assert_eq!(decoder.next(&mut front), Ok(None));
        assert_eq!(decoder.next(&mut back), frame(b"cdef", true));
        let choke = Ok(Some(Frame::Message(Message::Choke)));
        assert_eq!(decoder.next(&mut back), choke);
        assert_eq!(decoder.next(&mut back), Ok(None));
        assert_eq!(decoder.held(), 0);
    }

    /// A length that was claimed costs nothing: memory follows the bytes that came, and a large
    /// buffer goes as soon as its message was read.
    #[test]
    fn memory_follows_the_bytes_and_is_given_back() {
        let payload = vec![7; EXTENDED_PAYLOAD_MAX as usize];
        let stream = bytes(Message::Extended {
            id: 1,
            payload: &payload,
        });
        let mut decoder = Decoder::new(10);
        let mut arrived = 0;
        for chunk in stream[..stream.len() - 1].chunks(1_000) {
            assert_eq!(decoder.next(&mut &chunk[..]), Ok(None));
            arrived += chunk.len();
            assert!(decoder.held() <= 2 * arrived + 64);
            assert!(decoder.held() <= Decoder::most_held(10));
        }
        let mut end = &stream[stream.len() - 1..];
        let whole = Frame::Message(Message::Extended {
            id: 1,
            payload: &payload,
        });
        assert_eq!(decoder.next(&mut end), Ok(Some(whole)));
        assert_eq!(decoder.next(&mut end), Ok(None));
        assert_eq!(decoder.held(), 0);
    }

    /// The longest message of an unknown id passes through without being kept.
    #[test]
    fn an_unknown_message_is_skipped_without_being_held() {
        let mut stream = UNKNOWN_MAX.to_be_bytes().to_vec();
        stream.push(200);
        stream.resize(PREFIX + UNKNOWN_MAX as usize, 0);
        stream.extend_from_slice(&bytes(Message::Unchoke));
        let mut decoder = Decoder::new(10);
        let mut found = Vec::new();
        for mut chunk in stream.chunks(3) {
            while let Some(frame) = decoder.next(&mut chunk).unwrap() {
                match frame {
                    Frame::Message(Message::Unknown { id }) => found.push(id),
                    Frame::Message(Message::Unchoke) => found.push(id::UNCHOKE),
                    frame => panic!("{frame:?}"),
                }
            }
            assert!(decoder.held() <= 64);
        }
        assert_eq!(found, [200, id::UNCHOKE]);
    }
}

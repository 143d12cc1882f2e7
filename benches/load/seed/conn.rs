//! One connection of the seed.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::TcpStream;

use ripcurrent_benches::content::Facts;
use ripcurrent_proto::wire::handshake::{Handshake, HandshakeReader, Progress, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

use super::Shared;
use crate::poller::Readiness;

/// The bytes before a block.
const HEADER: usize = 13;

/// The most blocks that go out in one call, and the most bytes in one turn.
const BATCH: usize = 32;

/// The most requests that may wait: more is an attack, or a bug of who asks.
const ASKED_MAX: usize = 100_000;

/// What a turn came to.
pub(super) enum Step {
    /// There is more to do at once.
    More,
    /// The other side, or the network, has to do something first.
    Wait,
    /// The connection is over.
    Over,
}

pub(super) struct Conn {
    stream: TcpStream,
    readiness: Readiness,
    stage: Stage,
    decoder: Decoder,
    /// Handshake and bitfield, until they are said.
    greeting: Vec<u8>,
    /// Small messages that are to go out, before blocks.
    said: Vec<u8>,
    asked: VecDeque<BlockRequest>,
    /// How much of the first of these, header included, has gone out.
    begun: usize,
}

enum Stage {
    /// Nothing was read; the first byte tells who is there.
    Silent,
    Handshake(HandshakeReader),
    Messages,
    /// An announce, as far as it has come.
    Announce(Vec<u8>),
    /// What the floor program asks for, as far as it has come.
    Pour(Vec<u8>),
    /// Over when all was sent.
    Last,
}

impl Conn {
    /// The connection over `stream`, the `number`th of all.
    pub(super) fn new(stream: TcpStream, facts: &Facts, number: u64, dialled: bool) -> Conn {
        let greeting = greeting(facts, number);
        let (greeting, said) = if dialled {
            (Vec::new(), greeting)
        } else {
            (greeting, Vec::new())
        };
        Conn {
            stream,
            readiness: Readiness::default(),
            stage: Stage::Silent,
            decoder: Decoder::new(facts.pieces),
            greeting,
            said,
            asked: VecDeque::new(),
            begun: 0,
        }
    }

    pub(super) fn note(&mut self, readiness: Readiness) {
        self.readiness.readable |= readiness.readable;
        self.readiness.writable |= readiness.writable;
    }

    /// Reads once, writes once.
    pub(super) fn step(&mut self, shared: &mut Shared) -> io::Result<Step> {
        if self.readiness.readable && !self.read(shared)? {
            return Ok(Step::Over);
        }
        if self.readiness.writable && self.has_output() {
            self.write(shared)?;
        }
        if matches!(self.stage, Stage::Last) && !self.has_output() {
            return Ok(Step::Over);
        }
        let can_write = self.readiness.writable && self.has_output();
        if self.readiness.readable || can_write {
            return Ok(Step::More);
        }
        Ok(Step::Wait)
    }

    fn has_output(&self) -> bool {
        !self.said.is_empty() || !self.asked.is_empty()
    }

    /// Whether the other side is still there and makes sense.
    fn read(&mut self, shared: &mut Shared) -> io::Result<bool> {
        let mut buffer = std::mem::take(&mut shared.buffer);
        let read = self.stream.read(&mut buffer);
        let sane = match read {
            Ok(0) => Ok(false),
            Ok(len) => Ok(self.hear(&buffer[..len], shared)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readiness.readable = false;
                Ok(true)
            }
            Err(error) => Err(error),
        };
        shared.buffer = buffer;
        sane
    }

    /// Takes in what was read; whether it makes sense.
    fn hear(&mut self, mut data: &[u8], shared: &Shared) -> bool {
        if let (Stage::Silent, Some(first)) = (&self.stage, data.first()) {
            self.stage = match first {
                b'G' => Stage::Announce(Vec::new()),
                b'p' => Stage::Pour(Vec::new()),
                _ => Stage::Handshake(HandshakeReader::new()),
            };
        }
        match &mut self.stage {
            Stage::Announce(text) => {
                text.extend_from_slice(data);
                if text.ends_with(b"\r\n\r\n") {
                    self.said = announced(shared);
                    self.stage = Stage::Last;
                }
                return true;
            }
            Stage::Pour(text) => {
                text.extend_from_slice(data);
                return !text.ends_with(b"\n") || self.pour(shared);
            }
            Stage::Handshake(_) => match self.shake(&mut data, shared) {
                Some(true) => {}
                Some(false) => return true,
                None => return false,
            },
            Stage::Silent | Stage::Messages | Stage::Last => {}
        }
        self.listen(data, shared)
    }

    /// Whether the other side's handshake is in; `None` if it is none, or about another torrent.
    fn shake(&mut self, data: &mut &[u8], shared: &Shared) -> Option<bool> {
        let Stage::Handshake(reader) = &mut self.stage else {
            return Some(true);
        };
        loop {
            match reader.push(data).ok()? {
                Progress::NeedMore => return Some(false),
                Progress::Head { info_hash, .. } if info_hash != shared.facts.info_hash => {
                    return None;
                }
                Progress::Head { .. } => self.said.append(&mut self.greeting),
                Progress::Whole(_) => {
                    self.stage = Stage::Messages;
                    return Some(true);
                }
            }
        }
    }

    fn listen(&mut self, mut data: &[u8], shared: &Shared) -> bool {
        loop {
            match self.decoder.next(&mut data) {
                Ok(None) => return true,
                Ok(Some(Frame::Message(Message::Interested))) => {
                    Message::Unchoke.encode(&mut self.said);
                }
                Ok(Some(Frame::Message(Message::Request(block)))) => {
                    if shared.facts.offset(block).is_none() || self.asked.len() >= ASKED_MAX {
                        return false;
                    }
                    self.asked.push_back(block);
                }
                Ok(Some(Frame::Message(Message::Cancel(block)))) => {
                    // The first one may have begun to go out.
                    let at = self.asked.iter().skip(1).position(|asked| *asked == block);
                    at.and_then(|at| self.asked.remove(at + 1));
                }
                Ok(Some(_)) => {}
                Err(_) => return false,
            }
        }
    }

    /// `pour NUMBER OF`: every `OF`th piece from `NUMBER` on, unasked.
    fn pour(&mut self, shared: &Shared) -> bool {
        let Stage::Pour(text) = &self.stage else {
            return false;
        };
        let text = String::from_utf8_lossy(text);
        let mut words = text.split_whitespace().skip(1).map(str::parse::<u32>);
        let (Some(Ok(number)), Some(Ok(of @ 1..))) = (words.next(), words.next()) else {
            return false;
        };
        let pieces = (number..shared.facts.pieces).step_by(of as usize);
        self.asked = pieces
            .flat_map(|piece| shared.facts.blocks(piece))
            .collect();
        self.stage = Stage::Last;
        true
    }

    fn write(&mut self, shared: &mut Shared) -> io::Result<()> {
        // Small messages come between blocks, never into one.
        let result = if !self.said.is_empty() && self.begun == 0 {
            (&self.stream).write(&self.said).map(|sent| {
                self.said.drain(..sent);
            })
        } else {
            let sent = self.send_blocks(&shared.facts, &shared.bytes);
            sent.map(|sent| shared.count(sent))
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readiness.writable = false;
                Ok(())
            }
            other => other,
        }
    }

    /// Sends some blocks in one call; the bytes that went out.
    fn send_blocks(&mut self, facts: &Facts, bytes: &[u8]) -> io::Result<u64> {
        let mut headers = Vec::with_capacity(BATCH * HEADER);
        let batch = self.asked.len().min(BATCH);
        for block in self.asked.iter().take(batch) {
            encode_piece_header(*block, &mut headers);
        }
        let mut parts = Vec::with_capacity(2 * BATCH);
        for (block, header) in self.asked.iter().zip(headers.chunks(HEADER)) {
            let offset = facts.offset(*block).unwrap_or(0) as usize;
            parts.push(IoSlice::new(header));
            parts.push(IoSlice::new(&bytes[offset..][..block.len as usize]));
        }
        let mut parts = parts.as_mut_slice();
        IoSlice::advance_slices(&mut parts, self.begun);
        let sent = (&self.stream).write_vectored(parts)?;
        self.advance(sent);
        Ok(sent as u64)
    }

    /// So much more went out.
    fn advance(&mut self, sent: usize) {
        self.begun += sent;
        while let Some(block) = self.asked.front() {
            let whole = HEADER + block.len as usize;
            if self.begun < whole {
                return;
            }
            self.begun -= whole;
            self.asked.pop_front();
        }
    }
}

/// A handshake without any extension, by a peer id of its own, and a bitfield of everything.
fn greeting(facts: &Facts, number: u64) -> Vec<u8> {
    let mut peer_id = *b"-XL0001-............";
    peer_id[8..16].copy_from_slice(&number.to_be_bytes());
    let handshake = Handshake {
        reserved: Reserved::NONE,
        info_hash: facts.info_hash,
        peer_id,
    };
    let mut out = handshake.encode().to_vec();
    let mut bits = vec![0xff; facts.pieces.div_ceil(8) as usize];
    if let (spare @ 1.., Some(last)) = ((8 - facts.pieces % 8) % 8, bits.last_mut()) {
        *last <<= spare;
    }
    Message::Bitfield(&bits).encode(&mut out);
    out
}

/// The answer to an announce: every address of this seed.
fn announced(shared: &Shared) -> Vec<u8> {
    let mut peers = Vec::new();
    for address in &shared.addresses {
        peers.extend_from_slice(&address.ip().octets());
        peers.extend_from_slice(&address.port().to_be_bytes());
    }
    let mut body = format!("d8:intervali1800e5:peers{}:", peers.len()).into_bytes();
    body.extend_from_slice(&peers);
    body.push(b'e');
    let mut text = String::from("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n");
    let _ = write!(
        text,
        "Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut answer = text.into_bytes();
    answer.extend_from_slice(&body);
    answer
}

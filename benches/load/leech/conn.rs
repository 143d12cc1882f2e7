//! One connection of the leecher.

use std::collections::VecDeque;
use std::io::{self, Write as _};
use std::net::TcpStream;

use ripcurrent_benches::content::Facts;
use ripcurrent_benches::rng;
use ripcurrent_proto::wire::handshake::{Handshake, LEN as HANDSHAKE, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Message};
use rustix::net::RecvFlags;

use crate::LeechArgs;
use crate::poller::Readiness;

/// The length of a message and its id.
const HEAD: usize = 5;

/// The bytes of a `piece` message before its block, after its head.
const PIECE_HEAD: u64 = 8;

const CHOKE: u8 = 0;
const UNCHOKE: u8 = 1;
const PIECE: u8 = 7;

/// What a turn came to.
pub(super) enum Step {
    /// There is more to do at once.
    More,
    /// The other side, or the network, has to do something first.
    Wait,
}

pub(super) struct Conn {
    stream: TcpStream,
    readiness: Readiness,
    /// What is being read: the first bytes of it, and how many are there.
    head: [u8; HANDSHAKE],
    filled: usize,
    /// Bytes to throw away before the next message.
    skip: u64,
    greeted: bool,
    choked: bool,
    /// Small messages that are to go out.
    said: Vec<u8>,
    /// What is said when the other side's handshake is in: aria2 1.36 takes nothing before.
    second: Vec<u8>,
    /// Pieces that were not asked for, the next one last.
    pieces: Vec<u32>,
    /// Blocks of the piece that is being asked for.
    next: VecDeque<BlockRequest>,
    /// What was asked for and has not come; answers come in this order.
    asked: VecDeque<BlockRequest>,
    depth: usize,
    begun: bool,
    /// Bytes of blocks that came.
    arrived: u64,
}

impl Conn {
    /// The `number`th connection, over `stream`.
    pub(super) fn new(stream: TcpStream, facts: &Facts, number: u32, args: &LeechArgs) -> Conn {
        let mut peer_id = *b"-XM0001-............";
        peer_id[8..12].copy_from_slice(&number.to_be_bytes());
        let handshake = Handshake {
            reserved: Reserved::NONE,
            info_hash: facts.info_hash,
            peer_id,
        };
        let mut second = Vec::new();
        if args.idle {
            Message::Bitfield(&half(facts.pieces, number)).encode(&mut second);
        } else {
            Message::Interested.encode(&mut second);
        }
        Conn {
            stream,
            readiness: Readiness::default(),
            head: [0; HANDSHAKE],
            filled: 0,
            skip: 0,
            greeted: false,
            choked: true,
            said: handshake.encode().to_vec(),
            second,
            pieces: shuffled(facts.pieces, number),
            next: VecDeque::new(),
            asked: VecDeque::new(),
            depth: args.depth,
            begun: false,
            arrived: 0,
        }
    }

    pub(super) fn note(&mut self, readiness: Readiness) {
        self.readiness.readable |= readiness.readable;
        self.readiness.writable |= readiness.writable;
    }

    pub(super) fn is_greeted(&self) -> bool {
        self.greeted
    }

    pub(super) fn may_ask(&self) -> bool {
        !self.choked
    }

    /// Bytes of blocks that came so far.
    pub(super) fn arrived(&self) -> u64 {
        self.arrived
    }

    pub(super) fn is_done(&self) -> bool {
        self.pieces.is_empty() && self.next.is_empty() && self.asked.is_empty() && self.skip == 0
    }

    /// Asks from now on.
    pub(super) fn begin(&mut self, facts: &Facts) {
        self.begun = true;
        self.ask(facts);
    }

    /// Reads once, writes what there is.
    pub(super) fn step(&mut self, buffer: &mut [u8], facts: &Facts) -> io::Result<Step> {
        if self.readiness.readable {
            self.read(buffer)?;
            if self.begun && !self.choked && self.asked.len() <= self.depth / 2 {
                self.ask(facts);
            }
        }
        if self.readiness.writable && !self.said.is_empty() {
            match (&self.stream).write(&self.said) {
                Ok(sent) => drop(self.said.drain(..sent)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.readiness.writable = false;
                }
                Err(error) => return Err(error),
            }
        }
        let can_write = self.readiness.writable && !self.said.is_empty();
        Ok(if self.readiness.readable || can_write {
            Step::More
        } else {
            Step::Wait
        })
    }

    /// Fills the pipeline.
    fn ask(&mut self, facts: &Facts) {
        while !self.choked && self.asked.len() < self.depth {
            if self.next.is_empty() {
                let Some(piece) = self.pieces.pop() else {
                    return;
                };
                self.next.extend(facts.blocks(piece));
            }
            let Some(block) = self.next.pop_front() else {
                return;
            };
            Message::Request(block).encode(&mut self.said);
            self.asked.push_back(block);
        }
    }

    /// One read: of what is thrown away, or of a message's head.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        let read = if self.skip > 0 {
            let len = buffer
                .len()
                .min(usize::try_from(self.skip).unwrap_or(usize::MAX));
            // TCP throws away what is truncated (tcp(7)): nothing is copied.
            let read = rustix::net::recv(&self.stream, &mut buffer[..len], RecvFlags::TRUNC);
            read.map(|(_, len)| {
                self.skip -= len as u64;
                len
            })
        } else {
            let end = if self.greeted { HEAD } else { HANDSHAKE };
            let rest = &mut self.head[self.filled..end];
            rustix::net::recv(&self.stream, rest, RecvFlags::empty()).map(|(_, len)| {
                self.filled += len;
                len
            })
        };
        match read {
            Ok(0) => Err(io::Error::other("the seed hung up")),
            Ok(_) => self.hear(),
            Err(rustix::io::Errno::AGAIN) => {
                self.readiness.readable = false;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in the handshake, or a message's head, once it is there.
    fn hear(&mut self) -> io::Result<()> {
        if !self.greeted {
            self.greeted = self.filled == HANDSHAKE;
            if self.greeted {
                self.filled = 0;
                self.said.append(&mut self.second);
            }
            return Ok(());
        }
        let len = u32::from_be_bytes([self.head[0], self.head[1], self.head[2], self.head[3]]);
        if self.filled >= 4 && len == 0 {
            // Nothing, said to keep the connection open; the fifth byte begins the next message.
            self.head[0] = self.head[4];
            self.filled -= 4;
            return Ok(());
        }
        if self.filled < HEAD {
            return Ok(());
        }
        self.filled = 0;
        self.skip = u64::from(len) - 1;
        match self.head[4] {
            CHOKE => self.choke(),
            UNCHOKE => self.choked = false,
            PIECE => return self.arrive(),
            _ => {}
        }
        Ok(())
    }

    /// What was asked for will not come.
    fn choke(&mut self) {
        self.choked = true;
        let again = self.asked.drain(..).rev();
        for block in again {
            self.next.push_front(block);
        }
    }

    /// A block begins to come.
    fn arrive(&mut self) -> io::Result<()> {
        let block = self.asked.pop_front();
        let expected = block.map(|block| u64::from(block.len) + PIECE_HEAD);
        if expected == Some(self.skip) {
            self.arrived += self.skip - PIECE_HEAD;
            return Ok(());
        }
        let (got, asked) = (self.skip, self.asked.len());
        let what = format!("a block of {got} bytes came, asked was {block:?}, and {asked} more");
        Err(io::Error::other(what))
    }
}

/// The pieces in an order of the connection's own.
fn shuffled(pieces: u32, number: u32) -> Vec<u32> {
    let mut rng = rng(&format!("leech {number}"));
    let mut order: Vec<u32> = (0..pieces).collect();
    for at in (1..order.len()).rev() {
        order.swap(at, rng.below(at as u64 + 1) as usize);
    }
    order
}

/// A bitfield of about half of the pieces.
fn half(pieces: u32, number: u32) -> Vec<u8> {
    let mut rng = rng(&format!("idle {number}"));
    let mut bits = vec![0; pieces.div_ceil(8) as usize];
    for piece in 0..pieces as usize {
        if rng.below(2) == 0 {
            bits[piece / 8] |= 0x80 >> (piece % 8);
        }
    }
    bits
}

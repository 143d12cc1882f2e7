//! Those that break the form of the protocol.

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::wire::handshake::LEN;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

use super::conduct::Conduct;
use super::line::Talk;

/// Where clients count before they lose patience, enough to lose it.
const AGAIN_AND_AGAIN: usize = 200;

/// The bytes that tell the length of a message.
const PREFIX: usize = 4;

/// Wrong lengths are from 1 to this.
const LENGTHS: usize = 31;

/// Begins a message of more bytes than any message has.
pub(super) struct Oversize;

impl Conduct for Oversize {
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        talk.claim_all();
        let len = (1 << 20) + 1 + talk.rng.below((1 << 32) - (1 << 20) - 1);
        let id = talk.rng.below(24) as u8;
        let mut bytes = (len as u32).to_be_bytes().to_vec();
        bytes.push(id);
        bytes.resize(bytes.len() + 1_000, 0);
        talk.say_bytes(bytes);
    }
}

/// Breaks a rule of handshakes or messages, another one on each connection.
#[derive(Default)]
pub(super) struct Illegal {
    breach: Option<Breach>,
}

/// What it does.
#[derive(Clone, Copy, Debug)]
enum Breach {
    /// Ends within its handshake.
    CutShort,
    /// Sends noise in the place of a handshake.
    Noise,
    /// Speaks before it shakes hands.
    NoHandshake,
    /// Answers for another torrent.
    OtherTorrent,
    /// Sends messages of wrong lengths.
    Lengths,
    /// Sends messages of ids that mean nothing.
    Ids,
    /// Sends extended messages that are no bencoding, or hold what nobody can mean (BEP 10).
    Extended,
    /// Sends blocks that nobody asked for.
    Unasked,
    /// Rejects what nobody asked for (BEP 6).
    Rejections,
    /// Tells that it has everything, and then that it has nothing (BEP 6).
    Twice,
    /// Speaks the fast extension without having said so (BEP 6).
    NotFast,
    /// Speaks before it tells what it has (BEP 6).
    NothingTold,
    /// Asks for what lies beyond the end.
    Beyond,
}

impl Breach {
    const ALL: [Breach; 13] = [
        Breach::CutShort,
        Breach::Noise,
        Breach::NoHandshake,
        Breach::OtherTorrent,
        Breach::Lengths,
        Breach::Ids,
        Breach::Extended,
        Breach::Unasked,
        Breach::Rejections,
        Breach::Twice,
        Breach::NotFast,
        Breach::NothingTold,
        Breach::Beyond,
    ];
}

impl Conduct for Illegal {
    fn greet(&mut self, talk: &mut Talk<'_>) {
        let breach = Breach::ALL[talk.rng.index(Breach::ALL.len())];
        self.breach = Some(breach);
        match breach {
            Breach::CutShort => {
                let cut = 1 + talk.rng.index(LEN - 1);
                talk.say_bytes(talk.handshake().encode()[..cut].to_vec());
                if talk.rng.below(2) == 0 {
                    talk.hang_up_when_idle();
                }
            }
            Breach::Noise => {
                let noise = noise(talk.rng, 1_000);
                talk.say_bytes(noise);
            }
            Breach::NoHandshake => {
                talk.say(Message::Unchoke);
                talk.say(Message::Interested);
                talk.shake_hands();
            }
            Breach::OtherTorrent => {
                let mut other = talk.handshake();
                talk.rng.fill(&mut other.info_hash);
                talk.say_bytes(other.encode().to_vec());
            }
            Breach::NotFast => {
                talk.be_plain();
                talk.shake_hands();
            }
            _ => talk.shake_hands(),
        }
    }

    fn introduce(&mut self, talk: &mut Talk<'_>) {
        match self.breach {
            Some(Breach::NotFast) => return talk.say(Message::HaveAll),
            Some(Breach::NothingTold) => return talk.say(Message::Unchoke),
            _ => talk.claim_all(),
        }
        match self.breach {
            Some(Breach::Lengths) => wrong_length(talk),
            Some(Breach::Ids) => unknown_ids(talk),
            Some(Breach::Extended) => broken_extended(talk),
            Some(Breach::Unasked) => (0..AGAIN_AND_AGAIN).for_each(|_| {
                let range = talk.any_block();
                talk.serve(range);
            }),
            Some(Breach::Rejections) => (0..AGAIN_AND_AGAIN).for_each(|_| {
                let range = talk.any_block();
                talk.say(Message::Reject(range));
            }),
            Some(Breach::Twice) => talk.say(Message::HaveNone),
            Some(Breach::Beyond) => (0..AGAIN_AND_AGAIN).for_each(|_| {
                let range = BlockRequest {
                    piece: talk.layout().pieces(),
                    ..talk.any_block()
                };
                talk.say(Message::Request(range));
            }),
            _ => {}
        }
    }
}

/// Of the messages of a fixed length one that is longer or shorter.
fn wrong_length(talk: &mut Talk<'_>) {
    let mut bytes = Vec::new();
    match talk.rng.below(4) {
        0 => Message::Have(0).encode(&mut bytes),
        1 => Message::Choke.encode(&mut bytes),
        2 => Message::Port(6881).encode(&mut bytes),
        _ => Message::Request(talk.any_block()).encode(&mut bytes),
    }
    let right = bytes.len() - PREFIX;
    let wrong = (right + talk.rng.index(LENGTHS - 1)) % LENGTHS + 1;
    bytes[..PREFIX].copy_from_slice(&(wrong as u32).to_be_bytes());
    bytes.resize(PREFIX + wrong, 0);
    talk.say_bytes(bytes);
}

fn unknown_ids(talk: &mut Talk<'_>) {
    for _ in 0..AGAIN_AND_AGAIN {
        let id = 24 + talk.rng.below(256 - 24) as u8;
        let payload = noise(talk.rng, 100);
        let mut bytes = (payload.len() as u32 + 1).to_be_bytes().to_vec();
        bytes.push(id);
        bytes.extend(payload);
        talk.say_bytes(bytes);
    }
}

fn broken_extended(talk: &mut Talk<'_>) {
    let noise = noise(talk.rng, 1_000);
    for payload in [
        b"".as_slice(),
        b"d1:m",
        b"le",
        b"d1:md11:ut_metadatai-1e6:ut_pexi999eee",
        b"d4:reqqi-5e1:pi70000e13:metadata_sizei9223372036854775807ee",
        b"d1:v999999999:xe",
        &noise,
    ] {
        for id in [0, 1, 255] {
            talk.say(Message::Extended { id, payload });
        }
    }
    let deep = [b"d1:x".as_slice(), &[b'l'; 10_000]].concat();
    let payload = deep.as_slice();
    talk.say(Message::Extended { id: 0, payload });
}

/// From one byte to `most`.
fn noise(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; 1 + rng.index(most)];
    rng.fill(&mut bytes);
    bytes
}

//! One connection of an adversary to a peer: framing, and what waits to be sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ripcurrent_proto::api::Transmission;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::meta::layout::Layout;
use ripcurrent_proto::wire::handshake::{Handshake, HandshakeReader, Progress, Reserved};
use ripcurrent_proto::wire::message::{BlockRequest, Decoder, Frame, Message, encode_piece_header};

use super::conduct::Conduct;
use crate::content::{Content, spoil};

/// About how many bytes go into one transmission.
const TRANSMISSION: usize = 64 * 1024;

/// A connection and how the adversary behaves on it.
pub(super) struct Line {
    pub(super) addr: SocketAddr,
    /// Whether it made the connection.
    pub(super) dialled: bool,
    conduct: Box<dyn Conduct>,
    rng: Rng,
    hearing: Hearing,
    wire: Wire,
}

/// What is expected of the peer next.
enum Hearing {
    Handshake(HandshakeReader),
    Messages(Decoder),
    /// It sent what no peer sends, or was hung up on.
    Nothing,
}

/// What goes the other way.
struct Wire {
    /// The handshake that it shakes hands by.
    ours: Handshake,
    /// Whether the peer speaks the fast extension (BEP 6).
    fast: bool,
    queue: VecDeque<Order>,
    /// A transmission is in flight.
    sending: bool,
    /// It hangs up when everything is sent.
    leaving: bool,
    hung_up: bool,
    wake_at: Option<Instant>,
}

/// Something to be sent.
enum Order {
    Bytes(Vec<u8>),
    Block { range: BlockRequest, spoilt: bool },
}

/// What a [`Conduct`] can do on its connection.
pub(super) struct Talk<'a> {
    pub(super) rng: &'a mut Rng,
    now: Instant,
    content: &'a Content,
    wire: &'a mut Wire,
}

impl Line {
    pub(super) fn new(
        addr: SocketAddr,
        dialled: bool,
        conduct: Box<dyn Conduct>,
        ours: Handshake,
        rng: Rng,
    ) -> Self {
        Line {
            addr,
            dialled,
            conduct,
            rng,
            hearing: Hearing::Handshake(HandshakeReader::new()),
            wire: Wire {
                ours,
                fast: false,
                queue: VecDeque::new(),
                sending: false,
                leaving: false,
                hung_up: false,
                wake_at: None,
            },
        }
    }

    /// The connection is there; how many bytes it takes from it.
    pub(super) fn connected(&mut self, now: Instant, content: &Content) -> u64 {
        if self.dialled {
            self.act(now, content, |conduct, talk| conduct.greet(talk));
        }
        self.conduct.appetite(&mut self.rng)
    }

    /// Bytes of the peer.
    pub(super) fn received(&mut self, now: Instant, content: &Content, mut data: &[u8]) {
        let len = data.len() as u64;
        self.act(now, content, |conduct, talk| conduct.received(talk, len));
        if let Hearing::Handshake(_) = self.hearing {
            self.read_handshake(now, content, &mut data);
        }
        if let Hearing::Messages(_) = self.hearing {
            self.read_messages(now, content, data);
        }
    }

    /// The time has come that it asked for.
    pub(super) fn woken(&mut self, now: Instant, content: &Content) {
        self.act(now, content, |conduct, talk| conduct.woken(talk));
    }

    /// The transmission is over.
    pub(super) fn sent(&mut self) {
        self.wire.sending = false;
    }

    pub(super) fn has_hung_up(&self) -> bool {
        self.wire.hung_up
    }

    /// When it wants to be woken; told once.
    pub(super) fn take_alarm(&mut self) -> Option<Instant> {
        self.wire.wake_at.take()
    }

    /// What is to be sent now.
    pub(super) fn next_transmission(&mut self, content: &Content) -> Option<Transmission> {
        if self.wire.sending || self.wire.queue.is_empty() {
            self.wire.hung_up |= self.wire.leaving && !self.wire.sending;
            return None;
        }
        let mut transmission = Transmission::default();
        let (queue, rng) = (&mut self.wire.queue, &mut self.rng);
        transmission.push_head(|head| {
            while head.len() < TRANSMISSION
                && let Some(order) = queue.pop_front()
            {
                order.write(content, rng, head);
            }
        });
        self.wire.sending = true;
        Some(transmission)
    }

    fn read_handshake(&mut self, now: Instant, content: &Content, data: &mut &[u8]) {
        while let Hearing::Handshake(reader) = &mut self.hearing {
            match reader.push(data) {
                Ok(Progress::NeedMore) => return,
                Ok(Progress::Head { .. }) => {}
                Ok(Progress::Whole(theirs)) => {
                    let pieces = content.torrent.layout().pieces();
                    self.hearing = Hearing::Messages(Decoder::new(pieces));
                    self.wire.fast = theirs.reserved.fast();
                    if !self.dialled {
                        self.act(now, content, |conduct, talk| conduct.greet(talk));
                    }
                    self.act(now, content, |conduct, talk| conduct.introduce(talk));
                }
                Err(_) => {
                    self.hearing = Hearing::Nothing;
                    self.wire.hung_up = true;
                }
            }
        }
    }

    fn read_messages(&mut self, now: Instant, content: &Content, mut data: &[u8]) {
        // A message borrows the decoder while the rest of the line changes.
        let Hearing::Messages(mut decoder) = std::mem::replace(&mut self.hearing, Hearing::Nothing)
        else {
            return;
        };
        loop {
            match decoder.next(&mut data) {
                Ok(Some(Frame::Message(message))) => {
                    self.act(now, content, |conduct, talk| conduct.hear(talk, message));
                }
                // What it is given is of no use to it.
                Ok(Some(Frame::Piece(_) | Frame::Payload { .. })) => {}
                Ok(None) => break,
                Err(_) => {
                    self.wire.hung_up = true;
                    return;
                }
            }
        }
        self.hearing = Hearing::Messages(decoder);
    }

    /// Lets it do as it does, unless it is as good as gone.
    fn act(
        &mut self,
        now: Instant,
        content: &Content,
        act: impl FnOnce(&mut dyn Conduct, &mut Talk<'_>),
    ) {
        if self.wire.hung_up || self.wire.leaving {
            return;
        }
        let mut talk = Talk {
            rng: &mut self.rng,
            now,
            content,
            wire: &mut self.wire,
        };
        act(&mut *self.conduct, &mut talk);
    }
}

impl Order {
    fn write(self, content: &Content, rng: &mut Rng, out: &mut Vec<u8>) {
        match self {
            Order::Bytes(bytes) => out.extend_from_slice(&bytes),
            Order::Block { range, spoilt } => {
                encode_piece_header(range, out);
                let from = out.len();
                out.resize(from + range.len as usize, 0);
                let block = &mut out[from..];
                content.block(range.piece, range.begin, block);
                if spoilt {
                    spoil(block, rng);
                }
            }
        }
    }
}

impl Talk<'_> {
    /// Its handshake, as it would be sent.
    pub(super) fn handshake(&self) -> Handshake {
        self.wire.ours
    }

    /// Sends its handshake.
    pub(super) fn shake_hands(&mut self) {
        self.say_bytes(self.wire.ours.encode().to_vec());
    }

    /// Does without extensions from here on, if hands are not shaken yet.
    pub(super) fn be_plain(&mut self) {
        self.wire.ours.reserved = Reserved::NONE;
    }

    /// Whether the fast extension was agreed on (BEP 6).
    pub(super) fn is_fast(&self) -> bool {
        self.wire.fast && self.wire.ours.reserved.fast()
    }

    pub(super) fn say(&mut self, message: Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.say_bytes(bytes);
    }

    pub(super) fn say_bytes(&mut self, bytes: Vec<u8>) {
        self.wire.queue.push_back(Order::Bytes(bytes));
    }

    /// Tells that it has everything.
    pub(super) fn claim_all(&mut self) {
        if self.is_fast() {
            return self.say(Message::HaveAll);
        }
        let mut bits = Vec::new();
        Bitfield::full(self.layout().pieces() as usize).to_wire(&mut bits);
        self.say(Message::Bitfield(&bits));
    }

    /// Tells that it has nothing.
    pub(super) fn claim_nothing(&mut self) {
        if self.is_fast() {
            self.say(Message::HaveNone);
        }
    }

    /// Sends a block as it should be, in its turn; nothing if there is none such.
    pub(super) fn serve(&mut self, range: BlockRequest) {
        self.put_block(range, false);
    }

    /// Sends a corrupt block, in its turn.
    pub(super) fn serve_spoilt(&mut self, range: BlockRequest) {
        self.put_block(range, true);
    }

    /// Refuses a request in the way that the peer understands (BEP 6), or by silence.
    pub(super) fn reject(&mut self, range: BlockRequest) {
        if self.is_fast() {
            self.say(Message::Reject(range));
        }
    }

    /// Takes back what was to be served; what it was.
    pub(super) fn withdraw(&mut self) -> Vec<BlockRequest> {
        let mut withdrawn = Vec::new();
        self.wire.queue.retain(|order| match order {
            Order::Bytes(_) => true,
            Order::Block { range, .. } => {
                withdrawn.push(*range);
                false
            }
        });
        withdrawn
    }

    /// Whether nothing waits to be sent.
    pub(super) fn is_idle(&self) -> bool {
        self.wire.queue.is_empty()
    }

    /// Closes the connection; what waits is not sent any more.
    pub(super) fn hang_up(&mut self) {
        self.wire.hung_up = true;
    }

    /// Closes the connection once everything that waits is sent.
    pub(super) fn hang_up_when_idle(&mut self) {
        self.wire.leaving = true;
    }

    /// Has itself woken, once.
    pub(super) fn wake_after(&mut self, pause: Duration) {
        self.wire.wake_at = Some(self.now + pause);
    }

    pub(super) fn layout(&self) -> &Layout {
        self.content.torrent.layout()
    }

    /// The bytes of a block as they should be; none if there is none such.
    pub(super) fn right_bytes(&self, range: BlockRequest) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.exists(range) {
            bytes.resize(range.len as usize, 0);
            self.content.block(range.piece, range.begin, &mut bytes);
        }
        bytes
    }

    /// A block of the torrent.
    pub(super) fn any_block(&mut self) -> BlockRequest {
        let layout = self.content.torrent.layout();
        let piece = self.rng.below(layout.pieces().into()) as u32;
        let piece = layout.piece(piece).expect("below the number of pieces");
        let at = self.rng.below(layout.blocks_in(piece).into()) as u32;
        let block = layout.nth_block(piece, at);
        BlockRequest {
            piece: block.piece.0,
            begin: block.begin,
            len: block.len,
        }
    }

    fn put_block(&mut self, range: BlockRequest, spoilt: bool) {
        if self.exists(range) {
            self.wire.queue.push_back(Order::Block { range, spoilt });
        }
    }

    fn exists(&self, range: BlockRequest) -> bool {
        let layout = self.layout();
        layout.block(range.piece, range.begin, range.len).is_some()
    }
}

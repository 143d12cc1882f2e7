//! One conversation with a peer, both sides of it, in the order in which our client read and spoke.
//!
//! Our client *speaks* when it hands a transmission over. It may have meant what it says at any time
//! since it spoke last, for messages gather while a transmission is in flight: where the far end
//! changed something in that time, either state will do. Everything else is strict.

mod ours;
mod theirs;

use ripcurrent_proto::api::Transmission;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::time::{Duration, Instant};

use super::Whistle;
use super::asked::Asked;
use super::extended::Extensions;
use super::frames::Cutter;
use super::greeting::{Greeting, Reserved};
use super::holdings::Holdings;
use super::rules::Rule;
use super::wants::Wants;

/// The longest our client may say nothing (BEP 3: keep-alives are generally sent once every two
/// minutes).
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long our client may show an interest that it has not, or none that it has.
const CHANGE_WITHIN: Duration = Duration::from_secs(30);
/// How long a piece may be held before our client's next words tell of it.
const TELL_WITHIN: Duration = Duration::from_secs(10);

/// What is wrong with a stream that is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It is not this protocol.
    NoHandshake,
    /// It is about another torrent.
    OtherTorrent,
}

/// A conversation with a peer.
#[derive(Debug)]
pub(super) struct Conversation {
    ours: Side,
    theirs: Side,
    /// What is wrong with the far end's handshake.
    fault: Option<Fault>,
    // What our client said.
    /// Anything behind the handshake.
    has_spoken: bool,
    /// It held something when the far end's handshake was in.
    had_something: bool,
    has_told_extensions: bool,
    chokes: bool,
    is_interested: bool,
    /// Since when its interest is not what it should be.
    stale_since: Option<Instant>,
    told: Bitfield,
    /// Its last words told of a piece.
    is_telling: bool,
    /// How much of the log of what our client holds was told.
    told_to: usize,
    allowed: Vec<u32>,
    asked: Asked,
    // What the far end said.
    has: Bitfield,
    is_choking: bool,
    /// It did not choke at some time since our client spoke last.
    unchoked_lately: bool,
    /// It choked at some time since our client spoke last, which voided requests (BEP 3).
    voided_lately: bool,
    /// Pieces that it gives while it chokes (BEP 6).
    allows: Option<Box<Bitfield>>,
    extensions: Extensions,
    wants: Wants,
    // When.
    /// How often our client had spoken to anybody when it spoke here last.
    spoken: u32,
    spoke_at: Instant,
    in_flight: bool,
    ended: bool,
    traffic: Traffic,
}

/// One direction.
#[derive(Debug, Default)]
struct Side {
    greeting: Greeting,
    frames: Cutter,
    body: Body,
}

/// What the body is of that passes.
#[derive(Debug, Default)]
enum Body {
    /// Something that is of no interest here.
    #[default]
    Skipped,
    /// A block.
    Payload,
    /// A bitfield, from this byte on.
    Bits(usize),
    /// An extended message, from its id on.
    Extended(Vec<u8>),
}

/// Bytes of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Read.
    pub down: u64,
    /// Handed over to be sent.
    pub up: u64,
}

impl Conversation {
    pub(super) fn new(now: Instant, pieces: usize) -> Self {
        Conversation {
            ours: Side::default(),
            theirs: Side::default(),
            fault: None,
            has_spoken: false,
            had_something: false,
            has_told_extensions: false,
            chokes: true,
            is_interested: false,
            stale_since: None,
            told: Bitfield::new(pieces),
            is_telling: false,
            told_to: 0,
            allowed: Vec::new(),
            asked: Asked::default(),
            has: Bitfield::new(pieces),
            is_choking: true,
            unchoked_lately: false,
            voided_lately: false,
            allows: None,
            extensions: Extensions::default(),
            wants: Wants::default(),
            spoken: 0,
            spoke_at: now,
            in_flight: false,
            ended: false,
            traffic: Traffic::default(),
        }
    }

    /// Bytes of blocks so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Our client's handshake, once it has said all of it.
    pub(super) fn greeting(&self) -> Option<&Greeting> {
        Some(&self.ours.greeting).filter(|greeting| greeting.is_whole())
    }

    /// Whether both handshakes are over.
    pub(super) fn is_open(&self) -> bool {
        self.ours.greeting.is_whole() && self.theirs.greeting.is_whole()
    }

    /// Our client reads.
    pub(super) fn read(&mut self, now: Instant, holdings: &Holdings, mut data: &[u8]) {
        if self.fault.is_some() {
            return;
        }
        if !self.theirs.greeting.is_whole() && !self.is_greeted(now, holdings, &mut data) {
            return;
        }
        while let Some(frame) = self.theirs.frames.next(&mut data) {
            self.take_in(holdings.torrent().layout(), frame);
        }
    }

    /// Takes in the far end's handshake; whether it is over and as it should be.
    fn is_greeted(&mut self, now: Instant, holdings: &Holdings, data: &mut &[u8]) -> bool {
        let greeting = &mut self.theirs.greeting;
        let is_whole = greeting.push(data);
        if !greeting.is_ours() {
            self.fault = Some(Fault::NoHandshake);
        } else if is_whole && Some(greeting.info_hash()) != holdings.torrent().hashes().v1 {
            self.fault = Some(Fault::OtherTorrent);
        }
        self.had_something = holdings.held().count() > 0;
        self.spoke_at = now;
        is_whole && self.fault.is_none()
    }

    /// Our client speaks: hands a transmission over.
    pub(super) fn speak(
        &mut self,
        whistle: &mut Whistle<'_>,
        holdings: &Holdings,
        transmission: &Transmission,
    ) {
        self.is_telling = false;
        for part in &transmission.parts {
            self.say(whistle, holdings, transmission.bytes(part));
        }
        self.check_told(whistle, holdings);
        self.check_interest(whistle, holdings);
        let overdue = self
            .wants
            .spoken(self.is_fast(), self.chokes, &self.allowed);
        if let Some(range) = overdue.filter(|_| self.is_fast()) {
            whistle.blow(Rule::Unanswered, || show(range));
        }
        self.asked.spoken();
        self.extensions.spoken();
        self.unchoked_lately = !self.is_choking;
        self.voided_lately = false;
        self.spoken = holdings.spoken();
        self.spoke_at = whistle.now;
        self.in_flight = true;
    }

    /// The transmission in flight is with the network.
    pub(super) fn sent(&mut self, now: Instant) {
        self.in_flight = false;
        self.spoke_at = now;
    }

    /// Nothing more will be read: there is nobody left to speak to.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Looks at how long our client has been silent. It had been called at `called`, and can have
    /// seen then that it was time.
    pub(super) fn check_silence(&mut self, whistle: &mut Whistle<'_>, called: Instant) {
        let may_speak = self.is_open() && !self.in_flight && !self.ended;
        if may_speak && called > self.spoke_at + SILENCE_MAX {
            let silent = called.since(self.spoke_at).as_secs();
            whistle.blow(Rule::Silence, || format!("{silent} s"));
            self.spoke_at = called;
        }
    }

    /// Whether both sides offered the fast extension (BEP 6). Ours always does.
    fn is_fast(&self) -> bool {
        self.theirs.greeting.reserved().fast()
    }

    /// What both sides offered.
    fn agreed(&self, offers: impl Fn(Reserved) -> bool) -> bool {
        offers(self.ours.greeting.reserved()) && offers(self.theirs.greeting.reserved())
    }
}

/// A range of a piece, for people.
fn show([piece, begin, len]: [u32; 3]) -> String {
    format!("piece {piece}, from {begin}, {len} bytes")
}

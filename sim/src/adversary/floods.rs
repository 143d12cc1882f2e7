//! Those that say too much, or come too often.

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

use super::conduct::Conduct;
use super::line::Talk;

/// Between two bursts of requests.
const FLOOD_PAUSE: Duration = Duration::from_millis(100);
/// Requests in a burst.
const BURST: usize = 500;

/// Asks for everything, again and again.
#[derive(Default)]
pub(super) struct Flooder {
    flooding: bool,
}

impl Conduct for Flooder {
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        talk.claim_nothing();
        talk.say(Message::Interested);
        if !std::mem::replace(&mut self.flooding, true) {
            self.woken(talk);
        }
    }

    /// Asks whether it is choked or not; what the peer does not take waits.
    fn woken(&mut self, talk: &mut Talk<'_>) {
        if talk.is_idle() {
            for _ in 0..BURST {
                let range = talk.any_block();
                match talk.rng.below(8) {
                    0 => talk.say(Message::Cancel(range)),
                    1 => (0..4).for_each(|_| talk.say(Message::Request(range))),
                    _ => talk.say(Message::Request(range)),
                }
            }
        }
        talk.wake_after(FLOOD_PAUSE);
    }
}

/// Chokes and unchokes by turns, and drops what was asked.
pub(super) struct ChokeFlapper {
    pause: Duration,
    /// Does not speak the fast extension, so that it owes nobody an answer (BEP 6).
    plain: bool,
    /// Serves one request in so many, enough to be remembered as useful; none if zero.
    serves: u64,
    unchoking: bool,
    flapping: bool,
}

impl ChokeFlapper {
    pub(super) fn new(character: &Rng) -> Self {
        let mut rng = character.fork("flap");
        ChokeFlapper {
            pause: Duration::from_millis(20 + rng.below(200)),
            plain: rng.below(2) == 0,
            serves: rng.below(2) * 20,
            unchoking: false,
            flapping: false,
        }
    }
}

impl Conduct for ChokeFlapper {
    fn greet(&mut self, talk: &mut Talk<'_>) {
        if self.plain {
            talk.be_plain();
        }
        talk.shake_hands();
    }

    fn interested(&mut self, talk: &mut Talk<'_>) {
        if !std::mem::replace(&mut self.flapping, true) {
            self.woken(talk);
        }
    }

    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        let lucky = self.serves > 0 && talk.rng.below(self.serves) == 0;
        match self.unchoking && lucky {
            true => talk.serve(range),
            false => talk.reject(range),
        }
    }

    fn woken(&mut self, talk: &mut Talk<'_>) {
        self.unchoking = !self.unchoking;
        if self.unchoking {
            talk.say(Message::Unchoke);
        } else {
            let dropped = talk.withdraw();
            talk.say(Message::Choke);
            dropped.into_iter().for_each(|range| talk.reject(range));
        }
        talk.wake_after(self.pause);
    }
}

/// One of many faces of one host: has nothing, gives nothing, and asks for what it is let have.
pub(super) struct Sybil {
    /// What the peer has.
    theirs: Bitfield,
    unchoked: bool,
    asking: bool,
}

impl Sybil {
    /// Between two requests.
    const PAUSE: Duration = Duration::from_millis(250);

    pub(super) fn new() -> Self {
        Sybil {
            theirs: Bitfield::new(0),
            unchoked: false,
            asking: false,
        }
    }
}

impl Conduct for Sybil {
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        self.theirs = Bitfield::new(talk.layout().pieces() as usize);
        talk.claim_nothing();
        talk.say(Message::Interested);
    }

    fn hear(&mut self, talk: &mut Talk<'_>, message: Message<'_>) {
        let pieces = self.theirs.len();
        match message {
            Message::HaveAll => self.theirs = Bitfield::full(pieces),
            Message::Bitfield(bits) => {
                self.theirs = Bitfield::from_wire(bits, pieces).unwrap_or(Bitfield::new(pieces));
            }
            Message::Have(piece) if (piece as usize) < pieces => {
                self.theirs.insert(piece as usize);
            }
            Message::Choke => self.unchoked = false,
            Message::Unchoke => {
                self.unchoked = true;
                if !std::mem::replace(&mut self.asking, true) {
                    self.woken(talk);
                }
            }
            _ => {}
        }
    }

    fn woken(&mut self, talk: &mut Talk<'_>) {
        let range = talk.any_block();
        if self.unchoked && self.theirs.contains(range.piece as usize) {
            talk.say(Message::Request(range));
        }
        talk.wake_after(Self::PAUSE);
    }
}

//! Those that claim pieces and give none.

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

use super::conduct::Conduct;
use super::line::Talk;

/// Between two bursts of claims.
const CLAIM_PAUSE: Duration = Duration::from_millis(500);
/// Claims in a burst.
const CLAIMS: usize = 16;
/// One claim in so many is of a piece that does not exist, where it makes such.
const WILD: u64 = 64;

/// Claims one piece after the other and serves none.
pub(super) struct FalseHaves {
    /// Whether it claims pieces that do not exist too.
    wild: bool,
}

impl FalseHaves {
    pub(super) fn new(character: &Rng) -> Self {
        let wild = character.fork("wild").below(2) == 0;
        FalseHaves { wild }
    }
}

impl Conduct for FalseHaves {
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        talk.claim_nothing();
        self.woken(talk);
    }

    fn requested(&mut self, _talk: &mut Talk<'_>, _range: BlockRequest) {}

    /// Chance draws some pieces twice.
    fn woken(&mut self, talk: &mut Talk<'_>) {
        let pieces = talk.layout().pieces();
        for _ in 0..CLAIMS {
            let piece = talk.rng.below(pieces.into()) as u32;
            let is_wild = self.wild && talk.rng.below(WILD) == 0;
            let beyond = if is_wild { pieces } else { 0 };
            talk.say(Message::Have(piece + beyond));
        }
        talk.wake_after(CLAIM_PAUSE);
    }
}

/// Claims everything at once and serves nothing, or claims more than there is.
pub(super) enum BitfieldLiar {
    Rejects,
    Ignores,
    /// Bits behind the last piece are set.
    SpareBits,
}

impl BitfieldLiar {
    pub(super) fn new(character: &Rng) -> Self {
        match character.fork("bitfield").below(3) {
            0 => BitfieldLiar::Rejects,
            1 => BitfieldLiar::Ignores,
            _ => BitfieldLiar::SpareBits,
        }
    }
}

impl Conduct for BitfieldLiar {
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        let BitfieldLiar::SpareBits = self else {
            return talk.claim_all();
        };
        let mut bits = Vec::new();
        Bitfield::full(talk.layout().pieces() as usize).to_wire(&mut bits);
        match talk.layout().pieces() % 8 {
            // There are none to spare, so it sends a byte of them.
            0 => bits.push(0xff),
            _ => bits
                .iter_mut()
                .last()
                .into_iter()
                .for_each(|last| *last = 0xff),
        }
        talk.say(Message::Bitfield(&bits));
    }

    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        if let BitfieldLiar::Rejects = self {
            talk.reject(range);
        }
    }
}

/// Claims everything and unchokes nobody.
pub(super) struct NeverUnchoke;

impl Conduct for NeverUnchoke {
    fn interested(&mut self, _talk: &mut Talk<'_>) {}

    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        talk.reject(range);
    }
}

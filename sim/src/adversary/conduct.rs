//! How an adversary behaves on a connection: like a seed, but for what its kind does differently.

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

use super::Kind;
use super::claims::{BitfieldLiar, FalseHaves, NeverUnchoke};
use super::floods::{ChokeFlapper, Flooder, Sybil};
use super::leavers::{ResetHappy, Silent, SlowLoris, Vanisher};
use super::line::Talk;
use super::noise::{Illegal, Oversize};
use super::payload::{Poisoner, SlowDrip};

/// Behaviour on one connection. What is not overridden is what a seed does.
pub(super) trait Conduct {
    /// It is its turn to shake hands: it has connected, or heard the handshake of the peer that
    /// has.
    fn greet(&mut self, talk: &mut Talk<'_>) {
        talk.shake_hands();
    }

    /// The peer has shaken hands, and so has it.
    fn introduce(&mut self, talk: &mut Talk<'_>) {
        talk.claim_all();
    }

    /// The peer says something.
    fn hear(&mut self, talk: &mut Talk<'_>, message: Message<'_>) {
        match message {
            Message::Interested => self.interested(talk),
            Message::Request(range) => self.requested(talk, range),
            _ => {}
        }
    }

    /// The peer wants something.
    fn interested(&mut self, talk: &mut Talk<'_>) {
        talk.say(Message::Unchoke);
    }

    /// The peer asks for a block.
    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        talk.serve(range);
    }

    /// The time has come that it asked for.
    fn woken(&mut self, _talk: &mut Talk<'_>) {}

    /// How many bytes it takes from the connection.
    fn appetite(&mut self, _rng: &mut Rng) -> u64 {
        u64::MAX
    }

    /// So many bytes have come, and are read next.
    fn received(&mut self, _talk: &mut Talk<'_>, _bytes: u64) {}
}

/// The behaviour of an adversary of this kind on a connection. What `character` decides is the same
/// on all of its connections.
pub(super) fn conduct(kind: Kind, character: &Rng) -> Box<dyn Conduct> {
    match kind {
        Kind::Poisoner => Box::new(Poisoner::new(character)),
        Kind::FalseHaves => Box::new(FalseHaves::new(character)),
        Kind::BitfieldLiar => Box::new(BitfieldLiar::new(character)),
        Kind::Flooder => Box::new(Flooder::default()),
        Kind::ChokeFlapper => Box::new(ChokeFlapper::new(character)),
        Kind::NeverUnchoke => Box::new(NeverUnchoke),
        Kind::SlowDrip => Box::new(SlowDrip::new(character)),
        Kind::Vanisher => Box::new(Vanisher),
        Kind::Oversize => Box::new(Oversize),
        Kind::Illegal => Box::new(Illegal::default()),
        Kind::SlowLoris => Box::new(SlowLoris::default()),
        Kind::Sybil => Box::new(Sybil::new()),
        Kind::ResetHappy => Box::new(ResetHappy::default()),
        Kind::Silent => Box::new(Silent::new(character)),
    }
}

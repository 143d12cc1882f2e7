//! Those that serve, but not as they should.

use std::collections::VecDeque;

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::message::{BlockRequest, encode_piece_header};

use super::conduct::Conduct;
use super::line::Talk;

/// Serves corrupt blocks.
pub(super) struct Poisoner {
    which: Poison,
}

enum Poison {
    Every,
    /// One in so many.
    OneIn(u64),
    /// One of each piece, the same for everybody.
    OneOfEachPiece(Box<Rng>),
}

impl Poisoner {
    pub(super) fn new(character: &Rng) -> Self {
        let mut rng = character.fork("poison");
        let which = match rng.below(3) {
            0 => Poison::Every,
            1 => Poison::OneIn(2 + rng.below(6)),
            _ => Poison::OneOfEachPiece(Box::new(rng.fork("block"))),
        };
        Poisoner { which }
    }
}

impl Conduct for Poisoner {
    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        let poisoned = match &self.which {
            Poison::Every => true,
            Poison::OneIn(many) => talk.rng.below(*many) == 0,
            Poison::OneOfEachPiece(rng) => {
                let Some(piece) = talk.layout().piece(range.piece) else {
                    return;
                };
                let blocks = talk.layout().blocks_in(piece);
                let chosen = rng.fork(&piece.0.to_string()).below(blocks.into());
                u64::from(range.begin / BLOCK_LEN) == chosen
            }
        };
        match poisoned {
            true => talk.serve_spoilt(range),
            false => talk.serve(range),
        }
    }
}

/// Serves a few bytes a second.
pub(super) struct SlowDrip {
    each_second: u64,
    asked: VecDeque<BlockRequest>,
    /// What is left of the block that it is sending.
    rest: Vec<u8>,
    dripping: bool,
}

impl SlowDrip {
    pub(super) fn new(character: &Rng) -> Self {
        SlowDrip {
            each_second: 1 + character.fork("drip").below(64),
            asked: VecDeque::new(),
            rest: Vec::new(),
            dripping: false,
        }
    }
}

impl Conduct for SlowDrip {
    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        self.asked.push_back(range);
        if !std::mem::replace(&mut self.dripping, true) {
            self.woken(talk);
        }
    }

    fn woken(&mut self, talk: &mut Talk<'_>) {
        if self.rest.is_empty() {
            let Some(range) = self.asked.pop_front() else {
                self.dripping = false;
                return;
            };
            encode_piece_header(range, &mut self.rest);
            self.rest.extend(talk.right_bytes(range));
        }
        let now = self.rest.len().min(self.each_second as usize);
        let rest = self.rest.split_off(now);
        talk.say_bytes(std::mem::replace(&mut self.rest, rest));
        talk.wake_after(Duration::from_secs(1));
    }
}

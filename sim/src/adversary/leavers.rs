//! Those that leave too soon, or stay and say nothing.

use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::Duration;
use ripcurrent_proto::meta::layout::BLOCK_LEN;
use ripcurrent_proto::wire::message::{BlockRequest, Message};

use super::conduct::Conduct;
use super::line::Talk;

/// Leaves when it is asked for the last block of a piece.
pub(super) struct Vanisher;

impl Conduct for Vanisher {
    fn requested(&mut self, talk: &mut Talk<'_>, range: BlockRequest) {
        let Some(piece) = talk.layout().piece(range.piece) else {
            return;
        };
        match range.begin / BLOCK_LEN + 1 == talk.layout().blocks_in(piece) {
            true => talk.hang_up_when_idle(),
            false => talk.serve(range),
        }
    }
}

/// Serves until it has read so many bytes, then leaves what came after them unread: closing is a
/// reset then.
#[derive(Default)]
pub(super) struct ResetHappy {
    left: u64,
}

impl ResetHappy {
    /// The most bytes that it reads, well beyond a handshake.
    const MOST: u64 = 2_000;
    /// How long it waits for more to come that it does not read.
    const PAUSE: Duration = Duration::from_millis(300);
}

impl Conduct for ResetHappy {
    fn appetite(&mut self, rng: &mut Rng) -> u64 {
        self.left = 1 + rng.below(Self::MOST);
        self.left
    }

    fn received(&mut self, talk: &mut Talk<'_>, bytes: u64) {
        self.left = self.left.saturating_sub(bytes);
        if self.left == 0 {
            talk.wake_after(Self::PAUSE);
        }
    }

    fn woken(&mut self, talk: &mut Talk<'_>) {
        talk.hang_up();
    }
}

/// Says nothing, or nothing after its first words.
pub(super) struct Silent {
    greets: bool,
}

impl Silent {
    pub(super) fn new(character: &Rng) -> Self {
        let greets = character.fork("greets").below(2) == 0;
        Silent { greets }
    }
}

impl Conduct for Silent {
    fn greet(&mut self, talk: &mut Talk<'_>) {
        if self.greets {
            talk.shake_hands();
        }
    }

    fn introduce(&mut self, talk: &mut Talk<'_>) {
        if self.greets {
            talk.claim_all();
        }
    }

    fn hear(&mut self, _talk: &mut Talk<'_>, _message: Message<'_>) {}
}

/// Sends its handshake byte by byte, and nothing after it.
#[derive(Default)]
pub(super) struct SlowLoris {
    sent: usize,
}

impl SlowLoris {
    /// Between two bytes, in milliseconds, at most.
    const PAUSE_MS: u64 = 2_000;
}

impl Conduct for SlowLoris {
    fn greet(&mut self, talk: &mut Talk<'_>) {
        self.woken(talk);
    }

    fn introduce(&mut self, _talk: &mut Talk<'_>) {}

    fn hear(&mut self, _talk: &mut Talk<'_>, _message: Message<'_>) {}

    fn woken(&mut self, talk: &mut Talk<'_>) {
        if let Some(byte) = talk.handshake().encode().get(self.sent) {
            self.sent += 1;
            talk.say_bytes(vec![*byte]);
            let pause = talk.rng.below(Self::PAUSE_MS);
            talk.wake_after(Duration::from_millis(pause));
        }
    }
}

//! What a loss of power leaves of what was written and not synced.

use ripcurrent_proto::base::rng::Rng;

/// How much of a file's unsynced data lands: nothing, a quarter, half, three quarters, or all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tear {
    quarters: u64,
}

/// What becomes of one unit of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is as it was to be.
    Landed,
    /// It is as it was before.
    Lost,
    /// A part of it landed.
    Torn,
}

impl Tear {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        Tear {
            quarters: rng.below(5),
        }
    }

    /// Draws for one unit. What does not land or stay away as a whole is torn now and then.
    pub(super) fn fate(self, rng: &mut Rng) -> Fate {
        match self.quarters {
            0 => Fate::Lost,
            4 => Fate::Landed,
            _ if rng.below(8) == 0 => Fate::Torn,
            quarters if rng.below(4) < quarters => Fate::Landed,
            _ => Fate::Lost,
        }
    }
}

/// The length of a file that was `durable` long, or was never synced, and was to be `written`.
pub(super) fn len_left(durable: Option<u64>, written: u64, rng: &mut Rng) -> u64 {
    match rng.below(3) {
        0 => durable.unwrap_or(0),
        1 if durable.is_none() => rng.below(written + 1),
        _ => written,
    }
}

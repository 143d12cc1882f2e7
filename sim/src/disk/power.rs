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

/// The length of a file that was `durable` long, if it was there, and was to be `written`; `None`
/// if it is not there.
pub(super) fn len_left(durable: Option<u64>, written: u64, rng: &mut Rng) -> Option<u64> {
    let is_new = durable.is_none();
    match rng.below(4) {
        0 if is_new => None,
        1 => Some(durable.unwrap_or(0)),
        2 if is_new => Some(rng.below(written + 1)),
        _ => Some(written),
    }
}

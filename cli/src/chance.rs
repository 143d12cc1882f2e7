//! Chance from the operating system, asked once for each machine that needs a seed.

use ring::rand::{SecureRandom, SystemRandom};
use ripcurrent_proto::base::rng::Rng;

use crate::exit::{Exit, Failure};

/// A seed nobody can guess.
pub(crate) fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    match SystemRandom::new().fill(&mut seed) {
        Ok(()) => Ok(seed),
        Err(ring::error::Unspecified) => Err(Failure::new(
            Exit::Internal,
            "the system gives no random numbers",
        )),
    }
}

/// A stream of random numbers nobody can guess.
pub(crate) fn rng() -> Result<Rng, Failure> {
    seed().map(Rng::from_seed)
}

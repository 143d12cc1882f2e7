//! Chance from the operating system, asked once for each machine that needs a seed.

use ripcurrent_proto::base::rng::Rng;
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::exit::{Exit, Failure};

/// A seed nobody can guess.
pub(crate) fn seed() -> Result<[u8; 32], Failure> {
    let mut seed = [0; 32];
    let mut filled = 0;
    while filled < seed.len() {
        match getrandom(&mut seed[filled..], GetRandomFlags::empty()) {
            Ok(bytes) => filled += bytes,
            Err(Errno::INTR) => {}
            Err(error) => {
                let failure = Failure::new(Exit::Internal, "the system gives no random numbers");
                return Err(failure.because(error));
            }
        }
    }
    Ok(seed)
}

/// A stream of random numbers nobody can guess.
pub(crate) fn rng() -> Result<Rng, Failure> {
    seed().map(Rng::from_seed)
}

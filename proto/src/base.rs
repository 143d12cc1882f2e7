//! Floor 0: time, chance, identity, memory. Nothing here knows BitTorrent.

pub mod bits;
pub mod id;
pub mod io;
pub mod rate;
pub mod rng;
pub mod set;
pub mod slab;
pub mod time;
pub mod timer;

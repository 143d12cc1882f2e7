//! Engines among peers that misbehave and with trackers that fail, in every way that there is.

mod peers;
mod swarm;
mod trackers;

//! BitTorrent as a pure state machine.
//!
//! This crate never touches a socket, a file, a clock or a thread. It is told what happened
//! ([`engine::Input`]) and answers with what should be done ([`engine::Output`]); a *host* carries
//! that out. `ripcurrent-runtime-uring` does so on Linux, `ripcurrent-sim` in a simulated world.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod api;
pub mod base;
pub mod choke;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod drive;
pub mod engine;
pub mod meta;
pub mod peer;
pub mod picker;
pub mod store;
pub mod swarm;
mod torrent;
pub mod tracker;
pub mod wire;

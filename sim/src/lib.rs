//! Deterministic simulation of BitTorrent swarms: the shipped protocol, under the shipped loop, in
//! a world that this crate owns.
//!
//! # What is deterministic, and why
//!
//! The same machines and the same seed give the same inputs and outputs at the same virtual times,
//! in any process, in debug and release:
//!
//! - one thread, and every clock is virtual; nothing asks the system for time or chance;
//! - all chance comes from one seed, forked by label;
//! - operations complete in the order in which they were woken, which is the order of the events
//!   that woke them; nothing is picked at random among what is ready (`tokio::select!` is banned);
//! - whatever is iterated has an order of its own: no hash map is.
//!
//! # Rooms
//!
//! - [`scenario`]: what is to happen, as a file; [`run`]: a scenario and a seed become a world and
//!   go on to their end; [`report`]: what became of it, beside the [`bound`] of what is possible;
//!   [`meter`]: what its hosts took in; [`referee`]: which rules they broke; [`invariants`]: what did
//!   not hold.
//! - The world, shared by every backend: [`shaper`] (bandwidth and the bounds of buffers), [`disk`],
//!   [`names`], the [`content`], the [`tracker`] and how it fails, and [`adversary`]: peers that
//!   misbehave.
//! - The backends, behind one [`network`]: [`turmoil`], real asynchronous sockets for up to about 100
//!   hosts, and [`direct`], a plain queue of events for thousands.

pub mod adversary;
pub mod bound;
mod cast;
pub mod content;
pub mod direct;
pub mod disk;
pub mod draw;
pub mod invariants;
pub mod meter;
pub mod names;
pub mod network;
mod outages;
mod quantity;
pub mod referee;
pub mod replay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod score;
pub mod shaper;
pub mod trace;
pub mod tracker;
pub mod turmoil;
mod work;

//! Floor 2: bytes in memory between the network and the disk.
//!
//! Down: [`assembly`] gathers a piece in its slab until it is hashed and written; [`suspects`]
//! remembers who gave which bytes of a piece that failed, [`ledger`] what is durable. Up: [`cache`] holds what was read.

pub mod assembly;
pub mod cache;
pub mod ledger;
pub mod suspects;

//! Meetings with other people's programs, on loopback addresses alone.
//!
//! Every scene starts real processes, lets them exchange a torrent and compares bytes. A scene whose
//! programs are not installed is skipped and says so, unless `RIPCURRENT_INTEROP=required`.
//! `RIPCURRENT_INTEROP_MIB` is the size of what is exchanged, 16 by default;
//! `RIPCURRENT_MEMORY_MIB` of what is fetched while memory is measured, 256 by default.

mod clients;
mod harness;
mod scenes;

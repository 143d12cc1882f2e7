//! Trackers, from both sides: what a client says to them and when ([`schedule`]), and the small
//! tracker that the command line and the simulator run ([`registry`], [`service`]).
//!
//! HTTP only (BEP 3, 7, 12, 23, 24, 31 and 48).

pub mod announce;
mod error;
mod exchange;
mod percent;
pub mod registry;
pub mod schedule;
pub mod scrape;
pub mod scraper;
pub mod service;
pub mod url;

pub use error::AnnounceError;
pub(crate) use exchange::BODY_MAX;

//! Floor 1: the one vocabulary between the engine and the world, and between its rooms.
//!
//! [`intent`] is for the host: what happened ([`Input`]) and what should be done ([`Output`],
//! grouped by who carries it out: [`Net`], [`Disk`], hashes, names). [`command`] is for people: what
//! they want ([`Command`]), what they are told ([`Event`]) and what they may look at
//! ([`TorrentStats`], [`PeerStats`]). [`config`] is what the host decides before it starts.
//!
//! In which order all this may be said stands in the [documentation of the crate](crate).

pub mod command;
pub mod config;
pub mod intent;

pub use crate::base::io::{EndReason, IoError, IoErrorKind, TlsError};
pub use crate::meta::layout::{FileSpan, Spans};
pub use crate::meta::resume::Stamp;
pub use command::{
    Add, Check, Command, Data, Event, FileStats, Mode, PeerStats, Phase, Refusal, TorrentStats,
    Waste,
};
pub use config::{Config, ConfigError};
pub use intent::{
    Access, Disk, DiskDone, DiskError, Found, FoundFile, FoundName, Input, Net, Output, Part,
    StorageId, Transmission,
};

//! Floor 1: the one vocabulary between the engine and the world, and between its rooms.

pub mod command;
pub mod config;
pub mod intent;

pub use crate::base::io::{EndReason, IoError, IoErrorKind};
pub use crate::meta::layout::{FileSpan, Spans};
pub use command::{Add, Check, Command, Event, Mode, PeerStats, Phase, Refusal, TorrentStats};
pub use config::{Config, ConfigError};
pub use intent::{
    Access, Disk, DiskDone, DiskError, Input, Net, Output, Part, StorageId, Transmission,
};

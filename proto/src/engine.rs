//! Floor 4: the engine, all torrents and connections of one process behind one grammar.

pub mod api;
pub mod command;
pub mod config;

pub use api::{Disk, DiskDone, DiskError, EndReason, Input, IoError, IoErrorKind, Net, Output};
pub use config::{Config, ConfigError};

//! Floor 4: the engine, all torrents and connections of one process behind one grammar.

pub use crate::api::{
    self, Command, Config, ConfigError, Disk, DiskDone, DiskError, EndReason, Event, Input,
    IoError, IoErrorKind, Net, Output,
};

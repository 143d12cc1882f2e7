//! The most memory a transfer takes, as a sum that can be read.

use std::fmt;

use ripcurrent_proto::api::Config;
use ripcurrent_proto::engine::MemoryCeiling;
use ripcurrent_proto::meta::layout::Layout;

use crate::units::Size;

/// The buffer that one connection receives into, in bytes.
const RECEIVE: u64 = 128 << 10;
/// Buffers for receiving that rest between two uses: 32 of 128 KiB and 32 of 16 KiB.
const RESTING: u64 = 32 * (128 << 10) + 32 * (16 << 10);

/// The sum, its terms shown by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    engine: MemoryCeiling,
    receiving: u64,
}

impl Memory {
    /// Of an engine with these settings on our host, at work on these torrents.
    pub(crate) fn of(config: &Config, layouts: &[&Layout]) -> Self {
        Memory {
            engine: config.memory_ceiling(layouts),
            receiving: config.max_connections as u64 * RECEIVE + RESTING,
        }
    }

    /// The whole sum in bytes.
    pub(crate) fn total(self) -> u64 {
        self.engine.total() + self.receiving
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "memory: {} to receive into", Size(self.receiving))?;
        for (name, bytes) in self.engine.terms() {
            write!(f, " + {} of {name}", Size(bytes))?;
        }
        write!(f, " = {} at most", Size(self.total()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

    /// The line tells every term and their sum.
    #[test]
    fn the_sum_is_that_of_its_terms() {
        let file = FileEntry {
            path: vec!["file".into()],
            len: 1 << 30,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Layout::new(1 << 20, vec![file]).expect("a layout");
        let config = Config {
            max_connections: 82,
            ..Config::default()
        };
        let memory = Memory::of(&config, &[&layout]);
        let terms: u64 = memory.engine.terms().iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(memory.total(), terms + 82 * (128 << 10) + (4608 << 10));
        let line = memory.to_string();
        assert!(
            line.starts_with("memory: 14.8 MiB to receive into + 64 MiB of slabs + "),
            "{line}"
        );
        assert!(
            line.ends_with(&format!(" = {} at most", Size(memory.total()))),
            "{line}"
        );
    }
}

//! The most memory a transfer takes, as a sum that can be read.

use std::fmt;

use ripcurrent_proto::api::Config;

use crate::units::{Count, Size};

/// Bytes that one connection holds at most outside of slabs, its bitfield not counted: 128 KiB to
/// receive into, 64 KiB of messages to be sent and as much on their way, and 64 KiB of requests in
/// both directions and what else is known of the peer.
const PER_CONNECTION: u64 = 320 << 10;
/// Buffers for receiving that rest between two uses: 32 of 128 KiB and 32 of 16 KiB.
const RESTING: u64 = 32 * (128 << 10) + 32 * (16 << 10);

/// The sum, its terms shown by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    slabs: u64,
    connections: usize,
    per_connection: u64,
}

impl Memory {
    /// Of an engine with these settings on our host, at work on a torrent of `pieces` pieces.
    pub(crate) fn of(config: &Config, pieces: u32) -> Self {
        Memory {
            slabs: config.memory_budget as u64,
            connections: config.max_connections,
            per_connection: PER_CONNECTION + u64::from(pieces.div_ceil(8)),
        }
    }

    /// The whole sum in bytes.
    pub(crate) fn total(self) -> u64 {
        self.slabs + RESTING + self.per_connection * self.connections as u64
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = Count(self.connections as u64, "connection");
        let (slabs, resting, each) = (Size(self.slabs), Size(RESTING), Size(self.per_connection));
        let total = Size(self.total());
        write!(
            f,
            "memory: {slabs} of slabs + {resting} of buffers + {connections} x {each} = {total} at most"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The line adds up.
    #[test]
    fn the_sum_is_that_of_its_terms() {
        let config = Config {
            memory_budget: 64 << 20,
            max_connections: 82,
            ..Config::default()
        };
        let memory = Memory::of(&config, 8 << 10);
        assert_eq!(memory.total(), (64 << 20) + (4608 << 10) + 82 * (321 << 10));
        assert_eq!(
            memory.to_string(),
            "memory: 64 MiB of slabs + 4.50 MiB of buffers + 82 connections x 321 KiB = 94.2 MiB at most"
        );
    }
}

//! The most memory a transfer takes, as a sum that can be read.

use std::fmt;

use ripcurrent_proto::api::Config;

use crate::units::{Count, Size};

/// Bytes that one connection holds at most outside of slabs: 128 KiB to receive into, 64 KiB of
/// messages to be sent, and what is known of the peer.
const PER_CONNECTION: u64 = 256 << 10;
/// Buffers for receiving that rest between two uses: 32 of 128 KiB and 32 of 16 KiB.
const RESTING: u64 = 32 * (128 << 10) + 32 * (16 << 10);

/// The sum, its terms shown by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    slabs: u64,
    connections: usize,
}

impl Memory {
    /// Of an engine with these settings on our host.
    pub(crate) fn of(config: &Config) -> Self {
        Memory {
            slabs: config.memory_budget as u64,
            connections: config.max_connections,
        }
    }

    /// The whole sum in bytes.
    pub(crate) fn total(self) -> u64 {
        self.slabs + RESTING + PER_CONNECTION * self.connections as u64
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connections = Count(self.connections as u64, "connection");
        let (slabs, resting, each) = (Size(self.slabs), Size(RESTING), Size(PER_CONNECTION));
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
        let memory = Memory::of(&Config {
            memory_budget: 64 << 20,
            max_connections: 82,
            ..Config::default()
        });
        assert_eq!(memory.total(), (64 << 20) + (4608 << 10) + 82 * (256 << 10));
        assert_eq!(
            memory.to_string(),
            "memory: 64.0 MiB of slabs + 4.50 MiB of buffers + 82 connections x 256 KiB = 89.0 MiB at most"
        );
    }
}

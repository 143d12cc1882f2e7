//! What the host decides before the engine starts.

use core::num::NonZeroU64;

/// The settings of an engine. Every bound has its unit in its name or documentation.
#[derive(Clone, Debug)]
pub struct Config {
    /// The first eight bytes of the peer id, in the style of BEP 20; the rest is random.
    pub peer_id_prefix: [u8; 8],
    /// The name of this client in extended handshakes (BEP 10, `v`) and tracker requests.
    pub client_name: &'static str,
    /// The most bytes of slabs (pieces in flight and blocks read ahead), at least
    /// [`Config::LEAST_BUDGET`]. Pieces of more than a quarter of it are written as they come and
    /// verified from the disk, which costs a read of each. The largest term of
    /// [`Config::memory_ceiling`].
    pub memory_budget: usize,
    /// The most connected peers of one torrent.
    pub max_peers: usize,
    /// The most connections of one torrent with one IP address, and the most made to us from one that
    /// have not said for which torrent: else a single host could take the places of all others. At
    /// least 2, since two peers may dial each other at once; more where peers share an address behind
    /// a router. Addresses of this host itself are not counted.
    pub max_per_address: usize,
    /// The most outgoing connections that are not yet past their handshake, in all.
    pub max_half_open: usize,
    /// The most connections of every kind, in all.
    pub max_connections: usize,
    /// Peers unchoked at once for each torrent, the optimistic one included; more while seeding on a
    /// line that gives each of those 64 KiB/s. Zero to serve nobody.
    pub upload_slots: usize,
    /// The most bytes per second received from peers and trackers, in all; `None` for no limit.
    pub down_limit: Option<NonZeroU64>,
    /// The most bytes per second of blocks sent to peers, in all; `None` for no limit.
    pub up_limit: Option<NonZeroU64>,
    /// Only loopback addresses are dialled, resolved or accepted.
    pub loopback_only: bool,
}

/// The user's mistake in a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The budget would not hold a handful of small pieces.
    #[error("a memory budget of {got} bytes is below the least of {least}")]
    MemoryBudget {
        /// The budget asked for.
        got: usize,
        /// The least that works.
        least: usize,
    },
    /// A bound that must not be zero is zero.
    #[error("{field} must be at least 1")]
    Zero {
        /// The field's name.
        field: &'static str,
    },
}

impl Config {
    /// The least memory budget, in bytes.
    pub const LEAST_BUDGET: usize = 1 << 20;

    /// Checks every field.
    ///
    /// # Errors
    /// Names the first field that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.memory_budget < Self::LEAST_BUDGET {
            let (got, least) = (self.memory_budget, Self::LEAST_BUDGET);
            return Err(ConfigError::MemoryBudget { got, least });
        }
        let counts = [
            ("max_peers", self.max_peers),
            ("max_per_address", self.max_per_address),
            ("max_half_open", self.max_half_open),
            ("max_connections", self.max_connections),
        ];
        match counts.iter().find(|(_, value)| *value == 0) {
            Some((field, _)) => Err(ConfigError::Zero { field }),
            None => Ok(()),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            peer_id_prefix: *b"-RC0100-",
            client_name: concat!("Ripcurrent ", env!("CARGO_PKG_VERSION")),
            memory_budget: 64 << 20,
            max_peers: 50,
            max_per_address: 3,
            max_half_open: 16,
            max_connections: 500,
            upload_slots: 8,
            down_limit: None,
            up_limit: None,
            loopback_only: false,
        }
    }
}

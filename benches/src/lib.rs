//! What the benchmarks share: torrents and crowds of peers, the same on each run.

pub mod content;
pub mod scene;

use std::sync::Arc;

use ripcurrent_proto::api::Config;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::{ConnId, Id};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout};
use ripcurrent_proto::picker::Picker;

/// The pieces of the torrent that the benchmarks fetch.
pub const PIECES: u32 = 10_000;

/// The peers that are there.
pub const PEERS: u32 = 200;

/// The length of a piece in bytes: 16 blocks.
pub const PIECE_LEN: u32 = 256 << 10;

/// A budget in which memory holds nobody back, in bytes.
pub const PLENTY: usize = 1 << 30;

/// The budget of the default configuration, in bytes: with many fast peers it is always spent.
pub const USUAL: usize = 64 << 20;

/// The default settings, but for the memory budget in bytes.
#[must_use]
pub fn settings(memory_budget: usize) -> Config {
    Config {
        memory_budget,
        ..Config::default()
    }
}

/// The one seed of all chance in the benchmarks.
#[must_use]
pub fn rng(label: &str) -> Rng {
    Rng::from_seed([42; 32]).fork(label)
}

/// One file of [`PIECES`] pieces.
///
/// # Panics
/// Never: the lengths fit.
#[must_use]
pub fn layout() -> Arc<Layout> {
    let file = FileEntry {
        path: vec!["file".into()],
        len: u64::from(PIECES) * u64::from(PIECE_LEN),
        offset: 0,
        kind: FileKind::Regular { executable: false },
    };
    Arc::new(Layout::new(PIECE_LEN, vec![file]).expect("lengths that fit"))
}

/// The connection of peer `number`.
#[must_use]
pub fn peer(number: u32) -> ConnId {
    ConnId(Id::from_parts(number, 0))
}

/// A bitfield in which each piece is with a chance of `percent`.
#[must_use]
pub fn bitfield(rng: &mut Rng, percent: u64) -> Bitfield {
    let mut have = Bitfield::new(PIECES as usize);
    for piece in 0..PIECES as usize {
        if rng.below(100) < percent {
            have.insert(piece);
        }
    }
    have
}

/// A crowd of [`PEERS`] as one meets it: every tenth a seed, the others with all sorts of shares.
#[must_use]
pub fn crowd() -> Vec<Bitfield> {
    let mut rng = rng("crowd");
    let have = |number: u32| match number % 10 {
        0 => Bitfield::full(PIECES as usize),
        tenth => bitfield(&mut rng, u64::from(tenth) * 10),
    };
    (0..PEERS).map(have).collect()
}

/// A picker that has met a crowd.
#[must_use]
pub fn picker(crowd: &[Bitfield]) -> Picker {
    let mut picker = Picker::new(layout(), rng("picker"));
    for have in crowd {
        // Nobody leaves in the benchmarks, so nobody's count is ever undone.
        let _counted = picker.peer_joined(have);
    }
    picker
}

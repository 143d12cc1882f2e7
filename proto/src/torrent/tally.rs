//! What is under way for each torrent: operations and connections that the host has not ended.
//!
//! Invariant: whoever has nothing under way has no entry. So a torrent that leaves is told in
//! O(log torrents) whether it must wait, however much is under way for others.

use alloc::collections::BTreeMap;

use crate::base::id::TorrentId;

/// A kind of what is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An operation that concerns the data.
    Data,
    /// The lookup of a name.
    Lookup,
    /// A connection, from its making to its `Closed`.
    Conn,
}

/// How much of each kind is under way.
#[derive(Debug, Default)]
pub(crate) struct Tally(BTreeMap<TorrentId, [u32; 3]>);

impl Tally {
    /// Something begins.
    pub(crate) fn begin(&mut self, torrent: TorrentId, kind: Kind) {
        self.0.entry(torrent).or_default()[kind as usize] += 1;
    }

    /// Something that began is over.
    pub(crate) fn end(&mut self, torrent: TorrentId, kind: Kind) {
        let Some(counts) = self.0.get_mut(&torrent) else {
            debug_assert!(false, "{kind:?} of {torrent:?} did not begin");
            return;
        };
        counts[kind as usize] -= 1;
        if *counts == [0; 3] {
            self.0.remove(&torrent);
        }
    }

    /// Whether something of this kind is under way.
    pub(crate) fn has(&self, torrent: TorrentId, kind: Kind) -> bool {
        let counts = self.0.get(&torrent);
        counts.is_some_and(|counts| counts[kind as usize] > 0)
    }

    /// Whether anything is under way.
    pub(crate) fn is_busy(&self, torrent: TorrentId) -> bool {
        self.0.contains_key(&torrent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each torrent has its own, by kind, and is forgotten with the last of it.
    #[test]
    fn what_is_under_way_is_counted_by_torrent_and_kind() {
        let mut tally = Tally::default();
        let (one, two) = (TorrentId(1), TorrentId(2));
        tally.begin(one, Kind::Data);
        tally.begin(one, Kind::Data);
        tally.begin(one, Kind::Conn);
        assert!(tally.has(one, Kind::Data) && !tally.has(one, Kind::Lookup));
        assert!(!tally.is_busy(two));
        tally.end(one, Kind::Data);
        assert!(tally.has(one, Kind::Data));
        tally.end(one, Kind::Data);
        assert!(!tally.has(one, Kind::Data) && tally.is_busy(one));
        tally.end(one, Kind::Conn);
        assert!(!tally.is_busy(one) && tally.0.is_empty());
    }
}

//! What people ask of a torrent while it runs: to stand still, to go on, to look again.

use super::Torrent;
use super::shared::Shared;
use crate::api::{DiskError, Phase};
use crate::base::bits::Bitfield;
use crate::base::time::Instant;
use crate::meta::layout::PieceIndex;

impl Torrent {
    /// Leaves all peers and meets no new ones.
    pub(crate) fn pause(&mut self, now: Instant, shared: &mut Shared) {
        if self.paused || self.phase == Phase::Leaving {
            return;
        }
        self.paused = true;
        self.let_go_of_peers(now, shared);
        if let Some(announcer) = &mut self.announcer {
            announcer.stop(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Meets peers again.
    pub(crate) fn resume(&mut self, now: Instant, shared: &mut Shared) {
        self.paused = false;
        if self.is_live() {
            self.start_discovery(now, shared);
        }
    }

    /// Hashes everything that is there anew.
    pub(crate) fn recheck(&mut self, now: Instant, shared: &mut Shared) {
        if matches!(
            self.phase,
            Phase::Opening | Phase::Checking | Phase::Leaving
        ) || !self.storage_open
        {
            return;
        }
        self.let_go_of_peers(now, shared);
        for piece in self.have.iter().map(|piece| PieceIndex(piece as u32)) {
            self.picker.set_missing(piece);
        }
        self.have = Bitfield::new(self.layout.pieces() as usize);
        self.have_log.clear();
        self.completed = false;
        self.check_all(now, shared);
    }

    /// Asks the trackers for peers as soon as they allow.
    pub(crate) fn reannounce(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(announcer) = &mut self.announcer {
            announcer.hurry(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Without peers there is nobody to finish open pieces: their memory goes back.
    fn let_go_of_peers(&mut self, now: Instant, shared: &mut Shared) {
        self.drop_all_peers(now, shared);
        self.hungry.clear();
        let open: alloc::vec::Vec<PieceIndex> = self.picker.open_pieces().collect();
        for piece in open {
            if let Some(slab) = self.assembly.close(piece) {
                self.let_go(piece, slab, shared);
            }
        }
    }

    /// The files were deleted, or could not be.
    pub(crate) fn deleted(&mut self, result: Result<(), DiskError>, shared: &mut Shared) {
        if let Err(error) = result {
            self.tell_disk_failed("delete", error, shared);
        }
    }
}

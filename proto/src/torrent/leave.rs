//! The end of a torrent in good order: peers are left, trackers are told, everything written is
//! made durable, and the files are closed. In this order, each step when the one before is over.

use super::Torrent;
use super::shared::{Op, Shared};
use crate::api::{Data, Disk, Output, Phase};
use crate::base::time::Instant;

impl Torrent {
    /// Begins to leave.
    pub(crate) fn leave(&mut self, now: Instant, data: Data, shared: &mut Shared) {
        self.delete |= data == Data::Delete;
        if self.phase == Phase::Leaving {
            return;
        }
        self.phase = Phase::Leaving;
        self.stand_still(now, shared);
    }

    /// Lets go of all peers, trackers and memory; operations in flight still end.
    pub(super) fn stand_still(&mut self, now: Instant, shared: &mut Shared) {
        self.let_go_of_peers(now, shared);
        // Whoever waited behind this torrent need not any more.
        shared.freed = true;
        if let Some(announcer) = &mut self.announcer {
            announcer.stop(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Takes the next step of leaving if its time has come; true when all is over.
    pub(crate) fn leave_on(&mut self, shared: &mut Shared) -> bool {
        if self.phase != Phase::Leaving || shared.has_ops(self.id) {
            return false;
        }
        if self
            .announcer
            .as_ref()
            .is_some_and(|announcer| !announcer.is_stopped())
        {
            return false;
        }
        if self.unsynced && !self.delete {
            self.sync(shared);
            return false;
        }
        let storage = self.id;
        if core::mem::take(&mut self.delete) && self.storage_open {
            self.unsynced = false;
            let op = shared.begin(self.id, Op::Delete);
            shared.push(Output::Disk(Disk::Delete { op, storage }));
            return false;
        }
        if self.storage_open {
            self.storage_open = false;
            shared.cache.forget(self.id, &mut shared.pool);
            let op = shared.begin(self.id, Op::Close);
            shared.push(Output::Disk(Disk::Close { op, storage }));
            return false;
        }
        !shared.has_conns(self.id)
    }
}

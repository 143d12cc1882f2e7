//! The end of a torrent in good order: peers are left, trackers are told, what came is written and
//! made durable, and the files are closed. The disk does not wait for trackers: whoever has three
//! seconds to leave in spends them on what cannot be fetched again.

use alloc::vec::Vec;

use super::Torrent;
use super::download::blocks_of;
use super::shared::{Op, Shared};
use crate::api::{Data, Disk, DiskError, Mode, Output, Phase};
use crate::base::bits::Bitfield;
use crate::base::slab::Slab;
use crate::base::time::Instant;
use crate::meta::layout::{BLOCK_LEN, Block};

impl Torrent {
    /// Begins to leave.
    pub(crate) fn leave(&mut self, now: Instant, data: Data, shared: &mut Shared) {
        self.delete |= data == Data::Delete;
        if self.phase == Phase::Leaving {
            return;
        }
        let keeps = self.phase == Phase::Downloading && self.mode == Mode::Download && !self.delete;
        if keeps && !self.lacks_room() {
            self.park_open_pieces(now, shared);
        }
        if self.mode == Mode::Download {
            self.pass.leaves_clean = matches!(self.phase, Phase::Downloading | Phase::Seeding);
        }
        self.phase = Phase::Leaving;
        self.end_check(shared);
        self.stand_still(now, shared);
    }

    /// Lets go of all peers, trackers and memory; operations in flight still end.
    pub(super) fn stand_still(&mut self, now: Instant, shared: &mut Shared) {
        self.let_go_of_peers(now, shared);
        self.give_up_unwritten(shared);
        self.settle_sections();
        // Whoever waited behind this torrent need not any more.
        shared.freed = true;
        if let Some(announcer) = &mut self.announcer {
            announcer.stop(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Takes the next step of leaving if its time has come; true when all is over.
    pub(crate) fn leave_on(&mut self, now: Instant, shared: &mut Shared) -> bool {
        if self.phase != Phase::Leaving || shared.has_data_ops(self.id) {
            return false;
        }
        if self.storage_open {
            self.leave_storage(now, shared);
            return false;
        }
        let is_announced = match &self.announcer {
            Some(announcer) => announcer.is_stopped(),
            None => true,
        };
        is_announced && !shared.is_busy(self.id)
    }

    /// One step: a last pass, then the files are deleted if they are to be, then closed.
    fn leave_storage(&mut self, now: Instant, shared: &mut Shared) {
        let storage = self.id;
        let is_kept = !self.delete && self.pass.taken_up;
        if is_kept && !core::mem::replace(&mut self.pass.is_last_begun, true) {
            self.begin_pass(now, shared);
            if self.is_passing() {
                return;
            }
        }
        if core::mem::take(&mut self.delete) {
            self.pass.is_last_begun = true;
            let op = shared.begin(self.id, Op::Delete);
            return shared.push(Output::Disk(Disk::Delete { op, storage }));
        }
        self.storage_open = false;
        shared.cache.forget(self.id, &mut shared.pool);
        let op = shared.begin(self.id, Op::Close);
        shared.push(Output::Disk(Disk::Close { op, storage }));
    }

    /// Writes what came of incomplete pieces, unverified, for the next start.
    fn park_open_pieces(&mut self, now: Instant, shared: &mut Shared) {
        self.drop_all_peers(now, shared);
        let open: Vec<Block> = self.assembly.ranges().collect();
        for range in open {
            let had = self.picker.blocks_had(range.piece);
            if blocks_of(range).any(|at| had.contains(at as usize))
                && let Some(slab) = self.assembly.close(range.piece, range.begin)
            {
                self.park(range, slab, &had, shared);
            }
        }
    }

    fn park(&mut self, range: Block, mut slab: Slab, had: &Bitfield, shared: &mut Shared) {
        let blocks = slab.as_mut_slice().chunks_mut(BLOCK_LEN as usize);
        // What an earlier piece left in the slab is nobody's business.
        for (at, block) in blocks_of(range).zip(blocks) {
            if !had.contains(at as usize) {
                block.fill(0);
            }
        }
        if self.is_in_sections() {
            self.picker.begin_write(range);
        }
        self.write_out(Op::Park(range), range, slab, shared);
    }

    /// The blocks of an incomplete piece, or of a section of a long one, were written; where they could
    /// not be, they are fetched again.
    pub(crate) fn is_parked(
        &mut self,
        range: Block,
        slab: Slab,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        let piece = range.piece;
        match (self.is_in_sections(), result) {
            (true, Ok(())) => {
                shared.give(slab);
                self.picker.end_write(range);
            }
            (false, Ok(())) => {
                self.ledger.park(piece, self.picker.blocks_had(piece));
                self.let_go(range, slab, shared);
            }
            (_, Err(_)) => self.let_go(range, slab, shared),
        }
        self.settle_section(piece);
    }
}

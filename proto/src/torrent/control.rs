//! What people ask of a torrent while it runs: to stand still, to go on, to look again.

use alloc::vec::Vec;

use super::Torrent;
use super::shared::Shared;
use crate::api::{Check, DiskError, Mode, Phase};
use crate::base::bits::Bitfield;
use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::meta::layout::{FileIndex, PieceIndex, Priority};

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
        ) {
            return;
        }
        self.let_go_of_peers(now, shared);
        self.give_up_unwritten(shared);
        self.give_up_sections();
        for piece in self.have.iter().map(|piece| PieceIndex(piece as u32)) {
            self.picker.set_missing(piece);
        }
        self.have = Bitfield::new(self.layout.pieces() as usize);
        self.have_log.clear();
        self.completed = false;
        if self.storage_open {
            self.check_all(now, shared);
        } else {
            self.check_mode = Check::Full;
            self.open(shared);
        }
    }

    /// Asks the trackers for peers as soon as they allow.
    pub(crate) fn reannounce(&mut self, now: Instant, shared: &mut Shared) {
        if let Some(announcer) = &mut self.announcer {
            announcer.hurry(now);
        }
        self.drive_announcer(now, shared);
    }

    /// Changes how urgently the pieces of a file are to be fetched.
    pub(crate) fn set_file_priority(
        &mut self,
        now: Instant,
        file: FileIndex,
        priority: Priority,
        shared: &mut Shared,
    ) {
        let Some(place) = self.file_priorities.get_mut(file.at()) else {
            return;
        };
        *place = priority;
        if self.mode == Mode::Seed {
            return;
        }
        for piece in self.layout.pieces_of(file).map(PieceIndex) {
            let priority = self.priority_of(piece);
            self.picker.set_priority(piece, priority);
            if priority == Priority::Unwanted {
                self.wanted.remove(piece.at());
                self.stop_fetching(piece, shared);
            } else {
                self.wanted.insert(piece.at());
            }
        }
        self.wishes_changed(now, shared);
    }

    /// The greatest priority of the files with bytes in `piece`.
    fn priority_of(&self, piece: PieceIndex) -> Priority {
        let spans = self.layout.spans(self.layout.whole(piece));
        let files = spans.iter().filter_map(|span| span.file);
        let priorities = files.map(|file| self.file_priorities[file.at()]);
        // What is padding alone nobody asks for by name.
        priorities.max().unwrap_or(Priority::Unwanted)
    }

    /// Withdraws what was asked of a piece that is not wanted any more, and frees its memory.
    fn stop_fetching(&mut self, piece: PieceIndex, shared: &mut Shared) {
        let is_open = match self.is_in_sections() {
            true => self.picker.is_open(piece),
            false => self.assembly.is_open(piece),
        };
        if !is_open {
            return;
        }
        for index in 0..self.layout.blocks_in(piece) {
            let block = self.layout.nth_block(piece, index);
            let asked: Vec<ConnId> = self.picker.asked(block).collect();
            asked
                .into_iter()
                .for_each(|conn| self.cancel(conn, block, shared));
        }
        self.close_ranges(piece, shared);
        self.give_up_unless_busy(piece);
    }

    /// Other pieces are wanted than before: peers hear of it, and the torrent may be complete, or
    /// be so no more.
    fn wishes_changed(&mut self, now: Instant, shared: &mut Shared) {
        match (self.phase, self.picker.is_done()) {
            (Phase::Downloading, true) => self.all_written(now, shared),
            (Phase::Downloading, false) => self.consider_all(now, shared),
            (Phase::Seeding, false) => {
                self.phase = Phase::Downloading;
                self.rest_no_more(now, shared);
                self.completed = false;
                self.fetching = true;
                self.consider_all(now, shared);
                self.dial(shared);
            }
            _ => {}
        }
    }

    fn consider_all(&mut self, now: Instant, shared: &mut Shared) {
        let conns: Vec<ConnId> = self.peers.conns().collect();
        for conn in conns {
            self.with_session(conn, |torrent, session| {
                torrent.consider(now, conn, &mut session.peer, shared);
            });
        }
    }

    /// Without peers there is nobody to finish open pieces: their memory goes back. What was written of
    /// long ones stays.
    pub(super) fn let_go_of_peers(&mut self, now: Instant, shared: &mut Shared) {
        self.drop_all_peers(now, shared);
        self.hungry.clear();
        let open: Vec<PieceIndex> = self.picker.open_pieces().collect();
        for piece in open {
            self.close_ranges(piece, shared);
        }
    }

    /// Gives back the memory of what is open of `piece`.
    pub(super) fn close_ranges(&mut self, piece: PieceIndex, shared: &mut Shared) {
        while let Some(range) = self.assembly.next_of(piece)
            && let Some(slab) = self.assembly.close(piece, range.begin)
        {
            self.let_go(range, slab, shared);
        }
    }

    /// The files were deleted, or could not be.
    pub(crate) fn deleted(&mut self, result: Result<(), DiskError>, shared: &mut Shared) {
        if let Err(error) = result {
            self.tell_disk_failed("delete", error, shared);
        }
    }
}

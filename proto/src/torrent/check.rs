//! The start: which pieces are there already?
//!
//! Every piece that lies wholly in files that are there is read and hashed, a few at a time; then
//! the torrent comes to life.

use alloc::collections::VecDeque;

use super::Torrent;
use super::shared::{Op, Shared};
use crate::api::{Disk, DiskError, Event, Found, FoundFile, Output, Phase};
use crate::base::slab::Slab;
use crate::base::time::Instant;
use crate::meta::layout::PieceIndex;

/// The most pieces read and hashed at once.
const AT_ONCE: usize = 16;

/// How far the check has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Pieces to look at.
    todo: VecDeque<PieceIndex>,
    in_flight: usize,
    done: u32,
    right: u32,
}

impl Progress {
    /// Pieces looked at.
    pub(super) fn done(&self) -> u32 {
        self.done
    }
}

impl Torrent {
    /// The storage is open; `lengths` are those of the files that are there.
    pub(crate) fn opened(
        &mut self,
        now: Instant,
        result: Result<Found, DiskError>,
        shared: &mut Shared,
    ) {
        let lengths = match result {
            Ok(found) => found.files,
            Err(error) => {
                self.storage_open = false;
                return self.fail(now, "open", error, shared);
            }
        };
        if self.phase != Phase::Opening {
            return;
        }
        let pieces = (0..self.layout.pieces()).map(PieceIndex);
        if self.trust {
            pieces.for_each(|piece| self.found(piece));
            return self.come_to_life(now, shared);
        }
        self.check.todo = pieces
            .filter(|piece| self.is_there(*piece, &lengths))
            .collect();
        self.phase = Phase::Checking;
        self.check_more(now, shared);
    }

    /// Looks at every piece again.
    pub(super) fn check_all(&mut self, now: Instant, shared: &mut Shared) {
        let todo = (0..self.layout.pieces()).map(PieceIndex).collect();
        // A check that the disk broke off may still have pieces in flight.
        let in_flight = self.check.in_flight;
        self.check = Progress {
            todo,
            in_flight,
            ..Progress::default()
        };
        self.phase = Phase::Checking;
        self.check_more(now, shared);
    }

    /// Whether every byte of `piece` is in files of these lengths.
    fn is_there(&self, piece: PieceIndex, files: &[Option<FoundFile>]) -> bool {
        let spans = self.layout.spans(self.layout.whole(piece));
        let mut on_disk = spans
            .iter()
            .filter_map(|span| span.file.map(|file| (file, span)));
        on_disk.all(|(file, span)| {
            let there = files.get(file.at()).copied().flatten();
            there.is_some_and(|there| span.offset + u64::from(span.len) <= there.stamp.len)
        })
    }

    /// Reads further pieces as memory allows; ends the check when none are left.
    pub(super) fn check_more(&mut self, now: Instant, shared: &mut Shared) {
        if self.phase != Phase::Checking {
            return;
        }
        while self.check.in_flight < AT_ONCE
            && let Some(&piece) = self.check.todo.front()
        {
            let capacity = self.layout.piece_length() as usize;
            let Some(mut slab) = shared.take(self.id, capacity) else {
                break;
            };
            self.check.todo.pop_front();
            self.check.in_flight += 1;
            slab.set_len(self.layout.piece_len(piece) as usize);
            let op = shared.begin(self.id, Op::CheckRead(piece));
            let (storage, spans) = (self.id, self.layout.spans(self.layout.whole(piece)));
            shared.push(Output::Disk(Disk::Read {
                op,
                storage,
                slab,
                spans,
            }));
        }
        if self.check.in_flight == 0 && self.check.todo.is_empty() {
            self.come_to_life(now, shared);
        }
    }

    /// A piece was read, or could not be: then it counts as missing, and is fetched.
    pub(crate) fn check_read(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        slab: Slab,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        if let Err(error) = result {
            shared.tell(Event::DiskFailed {
                torrent: self.id,
                action: "read",
                error,
            });
            return self.checked(now, slab, shared);
        }
        if self.phase != Phase::Checking {
            return self.checked(now, slab, shared);
        }
        let op = shared.begin(self.id, Op::CheckHash(piece));
        shared.push(Output::Hash { op, slab });
    }

    /// A piece that was read was hashed.
    pub(crate) fn check_hashed(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        slab: Slab,
        digest: [u8; 20],
        shared: &mut Shared,
    ) {
        if self.meta.piece_hash_v1(piece) == Some(digest) {
            self.check.right += 1;
            // What was in flight when the check began may have failed its hash since and been opened
            // again, and what lies on the disk be right all the same.
            if let Some(unneeded) = self.assembly.close(piece) {
                shared.give(unneeded);
            }
            self.found(piece);
        }
        self.checked(now, slab, shared);
    }

    fn checked(&mut self, now: Instant, slab: Slab, shared: &mut Shared) {
        shared.give(slab);
        self.check.in_flight -= 1;
        self.check.done += 1;
        self.check_more(now, shared);
    }

    fn found(&mut self, piece: PieceIndex) {
        self.have.insert(piece.at());
        self.picker.set_had(piece);
    }

    /// The check is over: peers may come.
    fn come_to_life(&mut self, now: Instant, shared: &mut Shared) {
        let pieces = self.have.count() as u32;
        shared.tell(Event::Checked {
            torrent: self.id,
            pieces,
        });
        self.check = Progress {
            done: self.check.done,
            ..Progress::default()
        };
        self.phase = Phase::Downloading;
        if self.picker.is_done() && self.unsynced {
            // A piece was written while others were checked: it counts when it is durable.
            self.sync(shared);
        } else if self.picker.is_done() {
            // What was complete from the start is not announced as completed (BEP 3).
            self.phase = Phase::Seeding;
            self.completed = true;
            shared.tell(Event::Completed { torrent: self.id });
        }
        if self.is_live() {
            self.start_discovery(now, shared);
        }
    }
}

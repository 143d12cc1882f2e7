//! What was written becomes durable, and is remembered: in passes, at most one at a time.
//!
//! A pass syncs, gives finished files their names, and saves what a restart may believe. In this
//! order: a state names durable pieces alone, and a name is given to durable content alone. Passes
//! come every 5 s or 256 MiB, whatever is first; when all is written; and when the torrent is left.
//!
//! A kill between any two steps costs no verified byte: what was written and is not in the state is
//! hashed at the next start.
//!
//! A seed makes one pass, when all that is there was hashed: a sync, as whoever put the files there
//! may not have made one, and a state. It tells how the files looked when they were opened, before
//! they were hashed: what somebody changes meanwhile is not believed. Nothing of a seed depends on
//! its state, so it goes on without one.

use alloc::vec::Vec;

use super::Torrent;
use super::shared::{Alarm, Op, Shared, Timer};
use crate::api::{Disk, DiskError, Event, Mode, Output, Phase, Stamp};
use crate::base::slab::Slab;
use crate::base::time::{Duration, Instant};
use crate::meta::layout::{Block, FileIndex, PieceIndex};
use crate::meta::resume::DIGEST_LEN;

/// What was written is made durable at most this much later, and a sync's own time.
const PASS_EVERY: Duration = Duration::from_secs(5);
/// The same, in bytes.
const PASS_BYTES: u64 = 256 << 20;

/// Where the pass stands, and what it still waits for.
#[derive(Debug, Default)]
pub(super) struct Pass {
    stage: Stage,
    /// Operations under way.
    in_flight: usize,
    /// What was last saved; `None` if a state may be there that this process did not save.
    saved: Option<Saved>,
    /// It was told that the state cannot be saved.
    told: bool,
    /// When the next one begins.
    alarm: Alarm,
    /// What lay on the disk was looked at and taken up: only then is there a state to be saved.
    pub(super) taken_up: bool,
    /// The torrent was left while nothing was being checked: what is not known to be there is not
    /// there.
    pub(super) leaves_clean: bool,
    /// The last one, before leaving, has begun.
    pub(super) is_last_begun: bool,
    /// How the files look is not known as of before they were hashed.
    pub(super) knows_no_stamps: bool,
}

/// What there is of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saved {
    /// None.
    Nothing,
    /// The one of this digest.
    State([u8; DIGEST_LEN]),
}

/// What a pass does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing: no pass is under way.
    #[default]
    Idle,
    /// Data becomes durable.
    Sync,
    /// Files of which all is durable get their names.
    Finish,
    /// At the end, names become durable.
    SyncNames,
    /// The state is saved, or removed when the torrent is whole.
    Save,
    /// Nothing more: the pass is over.
    End,
}

impl Torrent {
    /// Writes what came of `range`, a piece or a section of one.
    pub(super) fn write_out(&mut self, op: Op, range: Block, slab: Slab, shared: &mut Shared) {
        let priorities = &self.file_priorities;
        let goes_aside = |file: FileIndex| !priorities[file.at()].is_wanted();
        self.ledger.touch(range, goes_aside);
        let mut spans = self.layout.spans(range);
        for span in &mut spans {
            span.aside = span.file.is_some_and(goes_aside);
        }
        let (op, storage) = (shared.begin(self.id, op), self.id);
        shared.push(Output::Disk(Disk::Write {
            op,
            storage,
            slab,
            spans,
        }));
    }

    /// Whether anything of `file` is to be fetched.
    pub(super) fn wants_file(&self, file: FileIndex) -> bool {
        self.file_priorities[file.at()].is_wanted()
    }

    /// A verified piece is on the disk: it becomes durable in time.
    pub(super) fn is_on_disk(&mut self, now: Instant, piece: PieceIndex, shared: &mut Shared) {
        self.ledger.wrote(piece);
        if self.ledger.unsynced_bytes() >= PASS_BYTES {
            self.begin_pass(now, shared);
        } else {
            self.pass_later(now, shared);
        }
    }

    fn pass_later(&mut self, now: Instant, shared: &mut Shared) {
        let timer = Timer::Pass(self.id);
        self.pass
            .alarm
            .set(&mut shared.timers, now + PASS_EVERY, timer);
    }

    /// The time of a pass has come.
    pub(crate) fn pass_due(&mut self, now: Instant, shared: &mut Shared) {
        if self.pass.alarm.fired(now) && self.ledger.is_unsynced() {
            self.begin_pass(now, shared);
        }
    }

    /// Begins a pass, unless one is under way or the disk refuses.
    pub(super) fn begin_pass(&mut self, now: Instant, shared: &mut Shared) {
        let refuses = self.phase == Phase::Failed || !self.storage_open;
        if self.pass.stage == Stage::Idle && !refuses {
            self.pass.stage = Stage::Sync;
            self.pass_on(now, shared);
        }
    }

    /// Whether a pass is under way.
    pub(super) fn is_passing(&self) -> bool {
        self.pass.stage != Stage::Idle
    }

    /// Takes the next steps of the pass, until one has to be waited for.
    fn pass_on(&mut self, now: Instant, shared: &mut Shared) {
        while self.pass.in_flight == 0 {
            match self.pass.stage {
                Stage::Idle => return,
                Stage::Sync => {
                    self.pass.stage = match self.mode {
                        Mode::Download => Stage::Finish,
                        Mode::Seed => Stage::Save,
                    };
                    self.sync_if(self.ledger.is_unsynced(), shared);
                }
                Stage::Finish => {
                    self.pass.stage = Stage::SyncNames;
                    self.finish_files(shared);
                }
                Stage::SyncNames => {
                    self.pass.stage = Stage::Save;
                    let is_due = self.is_last_pass() && self.ledger.is_unsynced();
                    self.sync_if(is_due, shared);
                }
                Stage::Save => {
                    self.pass.stage = Stage::End;
                    self.save(shared);
                }
                Stage::End => {
                    self.pass.stage = Stage::Idle;
                    return self.pass_over(now, shared);
                }
            }
        }
    }

    /// Whether nothing more will be written after this pass.
    fn is_last_pass(&self) -> bool {
        self.phase == Phase::Leaving || self.picker.is_done()
    }

    fn sync_if(&mut self, is_due: bool, shared: &mut Shared) {
        if is_due {
            self.ledger.sync_begins();
            self.pass.in_flight += 1;
            let (op, storage) = (shared.begin(self.id, Op::Sync), self.id);
            shared.push(Output::Disk(Disk::Sync { op, storage }));
        }
    }

    /// The wanted files that may be finished now.
    fn ripe_files(&self) -> Vec<FileIndex> {
        self.ledger.ripe(|file| self.wants_file(file))
    }

    fn finish_files(&mut self, shared: &mut Shared) {
        for file in self.ripe_files() {
            self.pass.in_flight += 1;
            let (op, storage) = (shared.begin(self.id, Op::Finish(file)), self.id);
            shared.push(Output::Disk(Disk::Finish { op, storage, file }));
        }
    }

    fn save(&mut self, shared: &mut Shared) {
        let state = self.is_worth_a_state().then(|| {
            self.ledger
                .to_resume(self.info_hash, self.pass.leaves_clean)
                .encode()
        });
        let digest = state.as_deref().and_then(<[u8]>::last_chunk);
        let saved = digest.map_or(Saved::Nothing, |digest| Saved::State(*digest));
        if self.pass.saved == Some(saved) {
            return;
        }
        self.pass.saved = Some(saved);
        self.pass.in_flight += 1;
        let (op, storage) = (shared.begin(self.id, Op::Save), self.id);
        shared.push(Output::Disk(Disk::Save { op, storage, state }));
    }

    /// Whether anything is to be remembered.
    fn is_worth_a_state(&self) -> bool {
        match self.mode {
            Mode::Download => !self.ledger.is_whole(|file| self.wants_file(file)),
            Mode::Seed => self.have.count() > 0 && !self.pass.knows_no_stamps,
        }
    }

    /// All that was written before is durable, or cannot be made so.
    pub(crate) fn synced(
        &mut self,
        now: Instant,
        result: Result<Vec<(FileIndex, Stamp)>, DiskError>,
        shared: &mut Shared,
    ) {
        self.pass.in_flight -= 1;
        match result {
            Ok(stamps) if self.mode == Mode::Download => self.ledger.synced(&stamps),
            Ok(_) => self.ledger.synced(&[]),
            Err(error) => {
                self.ledger.sync_failed();
                self.break_off(now, "sync", error, shared);
            }
        }
        self.pass_on(now, shared);
    }

    /// A file has its name, or something is in its way.
    pub(crate) fn finished(
        &mut self,
        now: Instant,
        file: FileIndex,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        self.pass.in_flight -= 1;
        match result {
            // It may have been written to again meanwhile: then it waits for the next pass.
            Ok(()) => self.ledger.finish(file),
            Err(error) => self.break_off(now, "finish", error, shared),
        }
        self.pass_on(now, shared);
    }

    /// The disk refused: the pass is over, but for what is durable already, which is remembered all
    /// the same when the torrent is left. A seed goes on.
    fn break_off(
        &mut self,
        now: Instant,
        action: &'static str,
        error: DiskError,
        shared: &mut Shared,
    ) {
        if self.mode == Mode::Seed {
            self.pass.stage = Stage::Idle;
            return self.tell_not_saved(error, shared);
        }
        self.pass.stage = match self.phase {
            Phase::Leaving => Stage::Save,
            _ => Stage::Idle,
        };
        self.fail(now, action, error, shared);
    }

    /// The state is saved, or could not be: then the next pass tries again.
    pub(crate) fn saved(
        &mut self,
        now: Instant,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        self.pass.in_flight -= 1;
        match result {
            Ok(()) => self.pass.told = false,
            Err(error) => {
                self.pass.saved = None;
                self.tell_not_saved(error, shared);
            }
        }
        self.pass_on(now, shared);
    }

    fn tell_not_saved(&mut self, error: DiskError, shared: &mut Shared) {
        if !core::mem::replace(&mut self.pass.told, true) {
            let torrent = self.id;
            shared.tell(Event::StateNotSaved { torrent, error });
        }
    }

    fn pass_over(&mut self, now: Instant, shared: &mut Shared) {
        if self.ledger.is_unsynced() {
            self.pass_later(now, shared);
        }
        if self.phase != Phase::Downloading || !self.picker.is_done() {
            return;
        }
        if self.ledger.is_unsynced() || !self.ripe_files().is_empty() {
            // The last piece was written, or made durable, too late for this pass.
            return self.begin_pass(now, shared);
        }
        self.phase = Phase::Seeding;
        if !core::mem::replace(&mut self.completed, true) {
            shared.tell(Event::Completed { torrent: self.id });
        }
        if core::mem::take(&mut self.fetching) {
            self.announce_completed(now, shared);
        }
        self.dismiss_useless(shared);
    }
}

//! The start: which pieces are there already?
//!
//! What the state tells of files that nobody has changed is believed; every other piece that lies
//! wholly in files that are there is read and hashed, a few at a time; blocks of incomplete pieces
//! that the run before left on the disk are read again. Then the torrent comes to life, unless a
//! file is in the way that is not ours.
//!
//! Few torrents do this at once. One that came without its pieces' hashes asks for them when it has
//! its turn, and only if there is something to be hashed or fetched.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Torrent;
use super::download::blocks_of;
use super::shared::{Op, Shared};
use crate::api::{
    Access, Check, Disk, DiskError, Event, Found, FoundName, IoError, IoErrorKind, Mode, Output,
    Phase,
};
use crate::base::bits::Bitfield;
use crate::base::id::{ConnId, Id};
use crate::base::slab::Slab;
use crate::base::time::Instant;
use crate::meta;
use crate::meta::layout::{BLOCK_LEN, Block, FileIndex, PieceIndex};
use crate::meta::resume::Resume;
use crate::store::ledger::{Claims, Ledger};

/// The most pieces read and hashed at once.
const AT_ONCE: usize = 16;
/// Stands for whoever gave the blocks that an earlier run left on the disk.
const EARLIER_RUN: ConnId = ConnId(Id::from_parts(u32::MAX, u32::MAX));

/// How far the check has come.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Pieces to look at.
    todo: Bitfield,
    /// The first of them is not before this one.
    next: u32,
    /// Incomplete pieces, and sections of long ones, to be read again, and which blocks of them are
    /// there.
    parked: BTreeMap<Block, Bitfield>,
    /// Long pieces of which whole sections are there, and which blocks.
    begun: Vec<(PieceIndex, Bitfield)>,
    /// Files that are in the way if no piece of them is right.
    doubtful: Vec<FileIndex>,
    in_flight: usize,
    done: u32,
    /// What the torrent came without was asked for.
    asked: bool,
    /// What could not be read may be there all the same.
    failed: bool,
}

impl Progress {
    /// Pieces looked at.
    pub(super) fn done(&self) -> u32 {
        self.done
    }

    /// The next piece to look at.
    fn first(&mut self) -> Option<PieceIndex> {
        while (self.next as usize) < self.todo.len() {
            if self.todo.contains(self.next as usize) {
                return Some(PieceIndex(self.next));
            }
            self.next += 1;
        }
        None
    }
}

impl Torrent {
    /// The storage is open, or could not be.
    pub(crate) fn opened(
        &mut self,
        now: Instant,
        result: Result<Found, DiskError>,
        shared: &mut Shared,
    ) {
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                self.storage_open = false;
                return self.fail(now, "open", error, shared);
            }
        };
        if self.phase != Phase::Opening {
            return;
        }
        self.ledger = Ledger::new(self.layout.clone(), &found);
        self.pass.knows_no_stamps = false;
        self.phase = Phase::Checking;
        if let Some(file) = self.contested(&found) {
            return self.fail(now, "finish", in_the_way(file), shared);
        }
        if self.check_mode == Check::Trust {
            for piece in (0..self.layout.pieces()).map(PieceIndex) {
                self.ledger.trust(piece);
                self.found(piece);
            }
        } else {
            self.plan_check(&found);
        }
        self.check_more(now, shared);
    }

    /// Sorts all pieces: believed, to be looked at, or missing.
    fn plan_check(&mut self, found: &Found) {
        let claims = self.claims(found);
        let mut todo = Bitfield::new(self.layout.pieces() as usize);
        for piece in (0..self.layout.pieces()).map(PieceIndex) {
            if !self.is_there(piece, found) {
                continue;
            }
            let known = claims.as_ref();
            match known.and_then(|claims| claims.of(piece, &self.layout)) {
                Some(true) => {
                    self.ledger.trust(piece);
                    self.found(piece);
                }
                Some(false) => {}
                None => {
                    todo.insert(piece.at());
                }
            }
        }
        self.check.doubtful = self.doubtful(found, claims.as_ref());
        if let Some(claims) = claims {
            self.plan_unpark(claims.parked(&self.layout), &mut todo);
        }
        // Most often there is nothing.
        if todo.count() > 0 {
            self.check.todo = todo;
        }
    }

    /// Sorts what lies on the disk of incomplete pieces: long ones that lack nothing are looked at.
    fn plan_unpark(&mut self, parked: Vec<(PieceIndex, Bitfield)>, todo: &mut Bitfield) {
        for (piece, blocks) in parked {
            if !self.is_in_sections() {
                self.check.parked.insert(self.layout.whole(piece), blocks);
            } else if blocks.is_full() {
                todo.insert(piece.at());
            } else {
                self.check.begun.push((piece, blocks));
            }
        }
    }

    /// What the saved state says, if it is to be believed.
    fn claims(&self, found: &Found) -> Option<Claims> {
        let bytes = found
            .state
            .as_deref()
            .filter(|_| self.check_mode == Check::Existing)?;
        let resume = Resume::decode(bytes, &self.layout, self.info_hash)?;
        Some(Claims::new(resume, found))
    }

    /// A wanted file whose name is taken by something that may not be replaced.
    fn contested(&self, found: &Found) -> Option<FileIndex> {
        let is_contested = |file: &FileIndex| {
            let there = found.files.get(file.at()).copied().flatten();
            there.is_some_and(|there| there.name == FoundName::Contested)
        };
        self.spared_files().find(is_contested)
    }

    /// The files that would be written under their own names, and that no state knows as they are.
    fn doubtful(&self, found: &Found, claims: Option<&Claims>) -> Vec<FileIndex> {
        let is_doubtful = |file: &FileIndex| {
            let there = found.files.get(file.at()).copied().flatten();
            let is_own = there.is_some_and(|there| there.name == FoundName::Own);
            let is_known = claims.is_some_and(|claims| claims.is_unchanged(*file));
            is_own && !is_known && self.layout.files()[file.at()].len > 0
        };
        self.spared_files().filter(is_doubtful).collect()
    }

    /// The wanted files of a download that may not overwrite.
    fn spared_files(&self) -> impl Iterator<Item = FileIndex> {
        let spares = matches!(
            self.opening.1,
            Access::Write {
                overwrite: false,
                ..
            }
        );
        let files = (0..self.layout.files().len() as u32).map(FileIndex);
        files.filter(move |file| spares && self.wants_file(*file))
    }

    /// Looks at every piece again.
    pub(super) fn check_all(&mut self, now: Instant, shared: &mut Shared) {
        self.ledger.forget_pieces();
        // Somebody may have changed files since they were opened, and only then are their looks told.
        self.pass.knows_no_stamps = true;
        // A check that the disk broke off may still have pieces in flight.
        self.check = Progress {
            todo: Bitfield::full(self.layout.pieces() as usize),
            in_flight: self.check.in_flight,
            ..Progress::default()
        };
        self.phase = Phase::Checking;
        self.check_more(now, shared);
    }

    /// Whether every byte of `piece` is in files that are there, or kept aside.
    fn is_there(&self, piece: PieceIndex, found: &Found) -> bool {
        let spans = self.layout.spans(self.layout.whole(piece));
        let mut on_disk = spans
            .iter()
            .filter_map(|span| span.file.map(|file| (file, span)));
        on_disk.all(
            |(file, span)| match found.files.get(file.at()).copied().flatten() {
                Some(there) => span.offset + u64::from(span.len) <= there.stamp.len,
                None => found.aside,
            },
        )
    }

    /// Reads further pieces as memory allows; ends the check when none are left.
    pub(crate) fn check_more(&mut self, now: Instant, shared: &mut Shared) {
        if self.phase != Phase::Checking || self.are_sections_busy() || !self.may_check(shared) {
            return;
        }
        while self.check.in_flight < AT_ONCE
            && let Some(piece) = self.check.first()
        {
            let whole = self.layout.whole(piece);
            let Some(slab) = self.take_slab(self.range_of(whole), shared) else {
                break;
            };
            self.check.todo.remove(piece.at());
            match self.is_in_sections() {
                true => {
                    self.check.in_flight += 1;
                    self.digest(Op::CheckDigest(piece), piece, slab, whole.len, shared);
                }
                false => self.read_range(whole, slab, Op::CheckRead(piece), shared),
            }
        }
        if self.check.in_flight == 0 && self.check.todo.count() == 0 {
            self.unpark(shared);
        }
        if self.check.in_flight == 0 && self.check.todo.count() == 0 {
            self.check_over(now, shared);
        }
    }

    /// Whether there is nothing to look at, or this torrent's turn has come and it knows its pieces'
    /// hashes. If it does not, it asks for them.
    fn may_check(&mut self, shared: &mut Shared) -> bool {
        let is_whole = self.whole.is_some();
        let must_be = self.check.todo.count() > 0 || self.mode == Mode::Download;
        if self.check.todo.count() == 0 && (is_whole || !must_be) {
            return true;
        }
        if !shared.turns.join(self.id) {
            return false;
        }
        if !is_whole && !core::mem::replace(&mut self.check.asked, true) {
            shared.want(self.id);
        }
        is_whole
    }

    /// What this torrent came without is here.
    pub(crate) fn supply(&mut self, now: Instant, whole: Arc<meta::Torrent>, shared: &mut Shared) {
        let fits = whole.hashes().v1 == Some(self.info_hash) && whole.has_pieces();
        let is_awaited = self.check.asked && self.phase == Phase::Checking;
        if fits && is_awaited {
            self.check.asked = false;
            self.whole = Some(whole);
            self.check_more(now, shared);
        }
    }

    /// Whether that is the hash of `piece`.
    pub(super) fn is_hash_of(&self, piece: PieceIndex, digest: [u8; 20]) -> bool {
        let whole = self.whole.as_ref();
        whole.is_some_and(|whole| whole.piece_hash_v1(piece) == Some(digest))
    }

    /// Gives up its turn, or its place among those who wait for one, and all that only a check takes.
    pub(super) fn end_check(&mut self, shared: &mut Shared) {
        shared.turns.leave(self.id);
        shared.want_no_more(self.id);
        self.check.asked = false;
        self.check.todo = Bitfield::default();
        if !self.came_whole && self.mode == Mode::Seed {
            self.whole = None;
        }
    }

    fn read_range(&mut self, range: Block, slab: Slab, op: Op, shared: &mut Shared) {
        self.check.in_flight += 1;
        let spans = self.layout.spans(range);
        let (op, storage) = (shared.begin(self.id, op), self.id);
        shared.push(Output::Disk(Disk::Read {
            op,
            storage,
            slab,
            spans,
        }));
    }

    /// Reads incomplete pieces again, as many as there is memory for; the others begin anew.
    fn unpark(&mut self, shared: &mut Shared) {
        self.take_up_sections();
        let parked: Vec<Block> = self.check.parked.keys().copied().collect();
        for range in parked {
            let capacity = self.slab_capacity();
            if self.may_take_up(range)
                && shared.may_take(self.id, capacity)
                && let Some(slab) = self.take_slab(range, shared)
            {
                self.read_range(range, slab, Op::Unpark(range), shared);
            } else {
                self.check.parked.remove(&range);
            }
        }
    }

    /// Whether what lies on the disk of a piece or a section that is not complete is of use.
    fn may_take_up(&self, range: Block) -> bool {
        match self.is_in_sections() {
            true => self.picker.is_open(range.piece),
            false => self.picker.is_closed(range.piece),
        }
    }

    /// Goes on with long pieces of which whole sections lie on the disk; other sections that have begun
    /// are read again.
    fn take_up_sections(&mut self) {
        for (piece, blocks) in core::mem::take(&mut self.check.begun) {
            if !self.picker.is_closed(piece) || !self.picker.has_place() {
                continue;
            }
            self.picker.restore_sections(piece, &blocks, EARLIER_RUN);
            let all = 0..self.layout.blocks_in(piece);
            let step = self.range_of(self.layout.whole(piece)).len / BLOCK_LEN;
            for first in all.step_by(step.max(1) as usize) {
                let range = self.range_of(self.layout.nth_block(piece, first));
                let mut had = Bitfield::new(blocks_of(range).len());
                for at in blocks_of(range).filter(|at| blocks.contains(*at as usize)) {
                    had.insert((at - first) as usize);
                }
                if had.count() > 0 && !had.is_full() {
                    self.check.parked.insert(range, had);
                }
            }
        }
    }

    /// An incomplete piece was read, or could not be: then it begins anew.
    pub(crate) fn unparked(
        &mut self,
        now: Instant,
        range: Block,
        slab: Slab,
        result: Result<(), DiskError>,
        shared: &mut Shared,
    ) {
        self.check.in_flight -= 1;
        let blocks = self.check.parked.remove(&range);
        let is_awaited = self.phase == Phase::Checking && self.may_take_up(range);
        match blocks.filter(|_| is_awaited && result.is_ok()) {
            Some(blocks) if self.is_in_sections() => {
                self.assembly.open(range, slab);
                self.picker.restore_section(range, &blocks, EARLIER_RUN);
            }
            Some(blocks) => {
                self.assembly.open(range, slab);
                if self.picker.restore(range.piece, &blocks, EARLIER_RUN) {
                    self.piece_complete(range.piece, shared);
                }
            }
            None => shared.give(slab),
        }
        self.check_more(now, shared);
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
            self.check_failed(error, shared);
            return self.checked(now, slab, shared);
        }
        if self.phase != Phase::Checking {
            return self.checked(now, slab, shared);
        }
        let op = shared.begin(self.id, Op::CheckHash(piece));
        shared.push(Output::Hash { op, slab });
    }

    /// The digest of a long piece is told, or it could not be read.
    pub(crate) fn check_digested(
        &mut self,
        now: Instant,
        piece: PieceIndex,
        slab: Slab,
        result: Result<Vec<[u8; 20]>, DiskError>,
        shared: &mut Shared,
    ) {
        match result {
            Ok(digests) if self.is_told_right(piece, &digests) => {
                self.ledger.found(piece);
                self.found(piece);
            }
            Ok(_) => {}
            Err(error) => self.check_failed(error, shared),
        }
        self.checked(now, slab, shared);
    }

    /// A piece could not be read. Who looks at everything again finds files that are not there, or end
    /// early.
    fn check_failed(&mut self, error: DiskError, shared: &mut Shared) {
        let is_absence = matches!(
            error.error.kind,
            IoErrorKind::NotFound | IoErrorKind::TooShort
        );
        if !is_absence {
            self.check.failed = true;
            self.tell_disk_failed("read", error, shared);
        }
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
        if self.is_hash_of(piece, digest) {
            // What was in flight when the check began may have failed its hash since and been opened
            // again, and what lies on the disk be right all the same.
            if let Some(unneeded) = self.assembly.close(piece, 0) {
                shared.give(unneeded);
            }
            self.ledger.found(piece);
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

    /// Everything was looked at: peers may come, unless a file is in the way that is not ours.
    fn check_over(&mut self, now: Instant, shared: &mut Shared) {
        let pieces = self.have.count() as u32;
        shared.tell(Event::Checked {
            torrent: self.id,
            pieces,
        });
        let doubtful = core::mem::take(&mut self.check.doubtful);
        self.check.parked.clear();
        self.check.begun.clear();
        self.end_check(shared);
        let mut strange = doubtful.into_iter().filter(|file| !self.has_any_of(*file));
        match strange.next() {
            Some(file) => self.fail(now, "overwrite", in_the_way(file), shared),
            None => self.come_to_life(now, shared),
        }
    }

    fn has_any_of(&self, file: FileIndex) -> bool {
        let mut pieces = self.layout.pieces_of(file);
        pieces.any(|piece| self.have.contains(piece as usize))
    }

    fn come_to_life(&mut self, now: Instant, shared: &mut Shared) {
        self.phase = Phase::Downloading;
        // What was complete from the start is not announced as completed (BEP 3).
        self.fetching = !self.picker.is_done();
        if self.mode == Mode::Seed {
            self.phase = Phase::Seeding;
            self.completed = true;
            shared.tell(Event::Completed { torrent: self.id });
            self.remember_seed(now, shared);
        } else {
            self.pass.taken_up = true;
            self.rest_no_more(now, shared);
            self.begin_pass(now, shared);
        }
        if self.is_live() {
            self.start_discovery(now, shared);
        }
    }

    /// What was hashed is remembered; what was believed is so already.
    fn remember_seed(&mut self, now: Instant, shared: &mut Shared) {
        self.pass.leaves_clean = !self.check.failed;
        if self.check.done > 0 {
            self.begin_pass(now, shared);
        }
    }
}

fn in_the_way(file: FileIndex) -> DiskError {
    DiskError {
        file: Some(file),
        error: IoError {
            kind: IoErrorKind::InTheWay,
            code: 0,
        },
    }
}

//! What our client holds on its disk, from what was hashed, written and read there: the truth behind
//! every claim of a piece.
//!
//! A piece is held once its bytes were hashed right and, where they came from peers, written without
//! an error; or read from the disk and hashed right, when the client looks what is there or was written
//! before it was hashed; or where a state that was found names it, and none of its files has changed
//! since.

use std::sync::Arc;

use ripcurrent_proto::api::{
    Check, Command, Disk, DiskDone, FileSpan, Found, Input, IoErrorKind, Mode, Output,
};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::OpId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::PieceIndex;
use ripcurrent_proto::meta::resume::Resume;

use super::rules::Rules;

/// A disk operation on a whole piece.
#[derive(Clone, Copy, Debug)]
enum Work {
    Read(u32),
    /// Whether its bytes had been hashed right.
    Write(u32, bool),
    Digest(u32),
}

/// What our client holds, and since when.
#[derive(Debug)]
pub(super) struct Holdings {
    rules: Rules,
    held: Bitfield,
    /// Our client is known to want every piece.
    wants_all: bool,
    /// It may believe a state that it finds.
    may_believe: bool,
    /// The pieces that it has relied on to be durable since somebody asked, if any.
    relied_on: Option<Bitfield>,
    /// In the order in which they came to be held; some are held no more.
    log: Vec<(u32, Instant)>,
    /// For each piece, how often our client had spoken when it came to be held.
    since: Vec<u32>,
    /// How often our client has spoken, to anybody.
    spoken: u32,
    /// Hashed right and not written yet.
    verified: Bitfield,
    /// Read whole from the disk, to be hashed.
    read: Bitfield,
    /// Held when our client was told to look again, and not looked at yet.
    doubted: Bitfield,
    /// Few at a time.
    under_way: Vec<(OpId, Work)>,
}

impl Holdings {
    pub(super) fn new(rules: Rules) -> Self {
        let pieces = rules.torrent().layout().pieces() as usize;
        let none = Bitfield::new(pieces);
        Holdings {
            held: none.clone(),
            wants_all: false,
            may_believe: false,
            relied_on: None,
            log: Vec::new(),
            since: vec![0; pieces],
            spoken: 0,
            verified: none.clone(),
            read: none.clone(),
            doubted: none,
            under_way: Vec::new(),
            rules,
        }
    }

    pub(super) fn torrent(&self) -> &Arc<Torrent> {
        self.rules.torrent()
    }

    pub(super) fn held(&self) -> &Bitfield {
        &self.held
    }

    /// Whether a peer with these pieces has some that our client wants, if that is known.
    pub(super) fn are_missed(&self, pieces: &Bitfield) -> Option<bool> {
        let is_missing = || pieces.beyond(&self.held).next().is_some();
        self.wants_all.then(is_missing)
    }

    pub(super) fn log(&self) -> &[(u32, Instant)] {
        &self.log
    }

    /// How often our client has spoken to anybody.
    pub(super) fn spoken(&self) -> u32 {
        self.spoken
    }

    /// Whether `piece` was held already when our client spoke for the `spoken`th time.
    pub(super) fn held_before(&self, piece: u32, spoken: u32) -> bool {
        self.held.contains(piece as usize) && self.since[piece as usize] < spoken
    }

    /// Our client speaks to a peer: it has looked at everything that was to be looked at.
    pub(super) fn speaks(&mut self) {
        self.spoken = self.spoken.wrapping_add(1);
        if self.read.count() + self.doubted.count() > 0 {
            let none = Bitfield::new(self.held.len());
            (self.read, self.doubted) = (none.clone(), none);
        }
    }

    /// Something happened to our client.
    pub(super) fn heard(&mut self, now: Instant, input: &Input<'_>) {
        match input {
            Input::Disk(DiskDone::Opened {
                result: Ok(found), ..
            }) => self.found(now, found),
            Input::Disk(DiskDone::Read { op, result, .. }) => {
                if let (Some(Work::Read(piece)), Ok(())) = (self.done(*op), result) {
                    self.read.insert(piece as usize);
                }
            }
            Input::Disk(DiskDone::Digested { op, result, .. }) => {
                if let (Some(Work::Digest(piece)), Ok(digests)) = (self.done(*op), result) {
                    self.digested(now, piece, digests);
                }
            }
            Input::Disk(DiskDone::Written { op, result, .. }) => match self.done(*op) {
                Some(Work::Write(piece, true)) if result.is_ok() => self.gained(now, piece),
                // What is on the disk now nobody knows.
                Some(Work::Write(piece, right)) => {
                    self.lost(piece);
                    // What a full disk does not take is kept, and written when there is room.
                    if right && result.is_err_and(|error| error.error.kind == IoErrorKind::NoSpace)
                    {
                        self.verified.insert(piece as usize);
                    }
                }
                _ => {}
            },
            Input::Hashed { digest, .. } => self.hashed(now, digest),
            Input::Command(Command::SetPriority { .. }) => self.wants_all = false,
            Input::Command(Command::Recheck { .. }) => self.doubted = self.held.clone(),
            // What is there is looked at from the beginning, or believed.
            Input::Command(Command::Add(add)) => {
                self.held = Bitfield::new(self.held.len());
                self.wants_all =
                    add.mode == Mode::Download && add.wanted.is_none() && add.files.is_none();
                self.may_believe = add.check == Check::Existing;
                if add.check == Check::Trust {
                    (0..self.held.len() as u32).for_each(|piece| self.gained(now, piece));
                }
            }
            _ => {}
        }
    }

    /// Our client wants something done.
    pub(super) fn wanted(&mut self, output: &Output) {
        match output {
            Output::Disk(Disk::Read { op, spans, .. }) => {
                let Some(piece) = self.whole_piece(spans) else {
                    return;
                };
                if self.doubted.remove(piece as usize) {
                    self.lost(piece);
                }
                // What is held is read to be sent.
                if !self.held.contains(piece as usize) {
                    self.under_way.push((*op, Work::Read(piece)));
                }
            }
            // Of parts of a piece nothing follows.
            Output::Disk(Disk::Digest {
                op, spans, every, ..
            }) => {
                let Some(piece) = self.whole_piece(spans) else {
                    return;
                };
                let len: u64 = spans.iter().map(|span| u64::from(span.len)).sum();
                if u64::from(*every) >= len {
                    if self.doubted.remove(piece as usize) {
                        self.lost(piece);
                    }
                    self.under_way.push((*op, Work::Digest(piece)));
                }
            }
            Output::Disk(Disk::Write { op, spans, .. }) => {
                if let Some(piece) = self.whole_piece(spans) {
                    let right = self.verified.remove(piece as usize);
                    self.under_way.push((*op, Work::Write(piece, right)));
                }
            }
            Output::Disk(Disk::Save { state, .. }) => {
                let state = state.as_deref().and_then(|state| self.read_state(state));
                if let Some(state) = state {
                    self.relies_on(state.have.iter());
                }
            }
            Output::Disk(Disk::Finish { file, .. }) => {
                let pieces = self.rules.torrent().layout().pieces_of(*file);
                self.relies_on(pieces.map(|piece| piece as usize));
            }
            _ => {}
        }
    }

    /// The pieces that our client has relied on to be durable since it was last asked, if any.
    pub(super) fn take_relied_on(&mut self) -> Option<Bitfield> {
        self.relied_on.take()
    }

    fn relies_on(&mut self, pieces: impl Iterator<Item = usize>) {
        let none = || Bitfield::new(self.held.len());
        let relied_on = self.relied_on.get_or_insert_with(none);
        for piece in pieces {
            relied_on.insert(piece);
        }
    }

    /// What a state names is held if its files are as they were when that was saved.
    fn found(&mut self, now: Instant, found: &Found) {
        let state = found.state.as_deref().filter(|_| self.may_believe);
        let Some(state) = state.and_then(|state| self.read_state(state)) else {
            return;
        };
        let layout = Arc::clone(self.rules.torrent().layout());
        for piece in state.have.iter().map(|piece| PieceIndex(piece as u32)) {
            let spans = layout.spans(layout.whole(piece));
            let mut files = spans.iter().filter_map(|span| span.file);
            let is_as_it_was = files.all(|file| {
                let there = found.files[file.at()].map(|file| file.stamp);
                there == state.stamps[file.at()] && (there.is_some() || found.aside)
            });
            if is_as_it_was {
                self.gained(now, piece.0);
            }
        }
    }

    fn read_state(&self, state: &[u8]) -> Option<Resume> {
        let torrent = self.rules.torrent();
        Resume::decode(state, torrent.layout(), torrent.hashes().v1?)
    }

    fn hashed(&mut self, now: Instant, digest: &[u8; 20]) {
        for at in self.rules.of_digest(digest) {
            let piece = self.rules.digests()[at].1;
            match self.read.remove(piece as usize) {
                true => self.gained(now, piece),
                false => {
                    self.verified.insert(piece as usize);
                }
            }
        }
    }

    /// What lies on the disk of a piece has this digest.
    fn digested(&mut self, now: Instant, piece: u32, digests: &[[u8; 20]]) {
        for digest in digests {
            let mut right = self.rules.of_digest(digest);
            if right.any(|at| self.rules.digests()[at].1 == piece) {
                return self.gained(now, piece);
            }
        }
    }

    fn gained(&mut self, now: Instant, piece: u32) {
        if self.held.insert(piece as usize) {
            self.log.push((piece, now));
            self.since[piece as usize] = self.spoken;
        }
    }

    fn lost(&mut self, piece: u32) {
        self.held.remove(piece as usize);
    }

    fn done(&mut self, op: OpId) -> Option<Work> {
        let at = self.under_way.iter().position(|(other, _)| *other == op)?;
        Some(self.under_way.swap_remove(at).1)
    }

    /// The piece that the spans cover exactly.
    fn whole_piece(&self, spans: &[FileSpan]) -> Option<u32> {
        let layout = self.rules.torrent().layout();
        // Padding does not say where it lies, but what lies behind it does.
        let mut before = 0;
        let start = spans.iter().find_map(|span| {
            let Some(file) = span.file else {
                before += u64::from(span.len);
                return None;
            };
            (layout.files()[file.at()].offset + span.offset).checked_sub(before)
        })?;
        let piece_length = u64::from(layout.piece_length());
        let len: u64 = spans.iter().map(|span| u64::from(span.len)).sum();
        let piece = u32::try_from(start / piece_length).ok()?;
        let whole = u64::from(layout.piece_len(PieceIndex(piece)));
        (start % piece_length == 0 && len == whole).then_some(piece)
    }
}

//! What of a torrent is durable, and which of its files are finished.
//!
//! A piece that is verified goes three steps: *fresh* (written, or found on the disk, since the last
//! sync began), *in sync* (covered by the sync under way), *durable*. A state may name durable
//! pieces alone, and a file is finished when all of its pieces are durable.
//!
//! Invariant: a piece is in at most one of `fresh`, `in_sync` and `durable`.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::api::{Found, FoundName, Stamp};
use crate::base::bits::Bitfield;
use crate::meta::layout::{Block, FileIndex, FileKind, Layout, PieceIndex};
use crate::meta::resume::Resume;

/// What is known of a torrent's data on the disk.
#[derive(Debug)]
pub struct Ledger {
    layout: Arc<Layout>,
    durable: Bitfield,
    fresh: Vec<PieceIndex>,
    in_sync: Vec<PieceIndex>,
    /// Bytes written since the last sync began.
    bytes: u64,
    /// Files got their names, or blocks were left on the disk, since the last sync began.
    changed: bool,
    /// Each file as it was last seen.
    stamps: Vec<Option<Stamp>>,
    finished: Bitfield,
    /// Pieces of which some blocks lie on the disk, unverified: which.
    parked: Vec<(PieceIndex, Bitfield)>,
}

impl Ledger {
    /// Nothing is known but what was found when the files were opened.
    #[must_use]
    pub fn new(layout: Arc<Layout>, found: &Found) -> Self {
        let count = layout.files().len();
        let mut finished = Bitfield::new(count);
        let mut stamps = Vec::with_capacity(count);
        for at in 0..count {
            let there = found.files.get(at).copied().flatten();
            stamps.push(there.map(|file| file.stamp));
            let is_own = there.is_some_and(|file| file.name == FoundName::Own);
            if is_own || layout.files()[at].is_pad() {
                finished.insert(at);
            }
        }
        Ledger {
            durable: Bitfield::new(layout.pieces() as usize),
            fresh: Vec::new(),
            in_sync: Vec::new(),
            bytes: 0,
            changed: false,
            stamps,
            finished,
            parked: Vec::new(),
            layout,
        }
    }

    /// Forgets all pieces: they are looked at again.
    pub fn forget_pieces(&mut self) {
        self.durable = Bitfield::new(self.layout.pieces() as usize);
        self.fresh.clear();
        self.in_sync.clear();
        self.parked.clear();
    }

    /// `piece` was durable when its state was saved, and nobody has changed its files since.
    pub fn trust(&mut self, piece: PieceIndex) {
        self.durable.insert(piece.at());
    }

    /// `piece` is on the disk and right, durable or not.
    pub fn found(&mut self, piece: PieceIndex) {
        if !self.durable.contains(piece.at()) {
            self.fresh.push(piece);
        }
    }

    /// A write to `range` begins: its files are finished no more.
    pub fn touch(&mut self, range: Block, goes_aside: impl Fn(FileIndex) -> bool) {
        self.bytes += u64::from(range.len);
        for span in self.layout.spans(range) {
            if let Some(file) = span.file.filter(|file| !goes_aside(*file)) {
                self.finished.remove(file.at());
            }
        }
    }

    /// `piece` was written.
    pub fn wrote(&mut self, piece: PieceIndex) {
        self.fresh.push(piece);
    }

    /// These blocks of `piece` were left on the disk, unverified.
    pub fn park(&mut self, piece: PieceIndex, blocks: Bitfield) {
        self.changed = true;
        let place = self.parked.partition_point(|(other, _)| *other < piece);
        self.parked.insert(place, (piece, blocks));
    }

    /// Bytes written since the last sync began.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether a sync would make anything durable.
    #[must_use]
    pub fn is_unsynced(&self) -> bool {
        self.changed || !self.fresh.is_empty()
    }

    /// A sync begins: it covers what was done before it.
    pub fn sync_begins(&mut self) {
        debug_assert!(self.in_sync.is_empty(), "one sync at a time");
        self.in_sync = core::mem::take(&mut self.fresh);
        self.bytes = 0;
        self.changed = false;
    }

    /// The sync is over; of what it made durable these are the files.
    pub fn synced(&mut self, stamps: &[(FileIndex, Stamp)]) {
        for piece in core::mem::take(&mut self.in_sync) {
            self.durable.insert(piece.at());
        }
        for (file, stamp) in stamps {
            if let Some(place) = self.stamps.get_mut(file.at()) {
                *place = Some(*stamp);
            }
        }
    }

    /// The sync failed: what it was to cover is as unsynced as before.
    pub fn sync_failed(&mut self) {
        self.fresh.append(&mut self.in_sync);
        self.changed = true;
    }

    /// The wanted files that may be finished now; links when all others are.
    #[must_use]
    pub fn ripe(&self, is_wanted: impl Fn(FileIndex) -> bool) -> Vec<FileIndex> {
        let all = (0..self.layout.files().len() as u32).map(FileIndex);
        let open = all.filter(|file| !self.finished.contains(file.at()) && is_wanted(*file));
        let (links, files): (Vec<_>, Vec<_>) = open.partition(|file| self.is_link(*file));
        if files.is_empty() {
            return links;
        }
        let is_ripe = |file: &FileIndex| {
            let mut pieces = self.layout.pieces_of(*file);
            pieces.all(|piece| self.durable.contains(piece as usize))
        };
        files.into_iter().filter(is_ripe).collect()
    }

    fn is_link(&self, file: FileIndex) -> bool {
        matches!(
            self.layout.files()[file.at()].kind,
            FileKind::Symlink { .. }
        )
    }

    /// `file` has its name. If its pieces were forgotten meanwhile, it is to be finished again.
    pub fn finish(&mut self, file: FileIndex) {
        self.changed = true;
        let mut pieces = self.layout.pieces_of(file);
        if pieces.all(|piece| self.durable.contains(piece as usize)) {
            self.finished.insert(file.at());
        }
    }

    /// Whether `file` has its name, or needs none; what is in it may be wrong still.
    #[must_use]
    pub fn is_finished(&self, file: FileIndex) -> bool {
        self.finished.contains(file.at())
    }

    /// Whether nothing is left to be remembered: every wanted file is finished, and nothing is kept
    /// aside for others.
    #[must_use]
    pub fn is_whole(&self, is_wanted: impl Fn(FileIndex) -> bool) -> bool {
        let mut files = (0..self.layout.files().len() as u32).map(FileIndex);
        files.all(|file| {
            let mut pieces = self.layout.pieces_of(file).map(|piece| piece as usize);
            match is_wanted(file) {
                true => self.is_finished(file) && pieces.all(|at| self.durable.contains(at)),
                false => self.is_finished(file) || !pieces.any(|at| self.durable.contains(at)),
            }
        })
    }

    /// What is to be remembered; `clean` if nothing is being written.
    #[must_use]
    pub fn to_resume(&self, info_hash: [u8; 20], clean: bool) -> Resume {
        Resume {
            info_hash,
            clean: clean && !self.is_unsynced(),
            have: self.durable.clone(),
            stamps: self.stamps.clone(),
            open: match clean {
                true => self.parked.clone(),
                false => Vec::new(),
            },
        }
    }
}

/// What a saved state says of what is there now.
#[derive(Debug)]
pub struct Claims {
    resume: Resume,
    unchanged: Bitfield,
}

impl Claims {
    /// Holds `resume` against what was found.
    #[must_use]
    pub fn new(resume: Resume, found: &Found) -> Self {
        let mut unchanged = Bitfield::new(resume.stamps.len());
        for (at, stamp) in resume.stamps.iter().enumerate() {
            let there = found.files.get(at).copied().flatten();
            if *stamp == there.map(|file| file.stamp) {
                unchanged.insert(at);
            }
        }
        Claims { resume, unchanged }
    }

    /// Whether `file` is as it was, there or not.
    #[must_use]
    pub fn is_unchanged(&self, file: FileIndex) -> bool {
        self.unchanged.contains(file.at())
    }

    /// What is known of `piece` without a look at it; `None` if only its hash can tell.
    #[must_use]
    pub fn of(&self, piece: PieceIndex, layout: &Layout) -> Option<bool> {
        let spans = layout.spans(layout.whole(piece));
        let mut files = spans.iter().filter_map(|span| span.file);
        if !files.all(|file| self.is_unchanged(file)) {
            return None;
        }
        let had = self.resume.have.contains(piece.at());
        (had || self.resume.clean).then_some(had)
    }

    /// The pieces of which these blocks lie on the disk, unverified.
    #[must_use]
    pub fn parked(self, layout: &Layout) -> Vec<(PieceIndex, Bitfield)> {
        let known = |(piece, _): &(PieceIndex, Bitfield)| self.of(*piece, layout).is_some();
        let open = self.resume.open.iter().filter(|open| known(open));
        open.cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::api::FoundFile;
    use crate::meta::layout::FileEntry;

    const STAMP: Stamp = Stamp {
        len: 10,
        modified: 5,
    };

    fn file(name: &str, len: u64, kind: FileKind) -> FileEntry {
        FileEntry {
            path: vec!["t".into(), name.into()],
            len,
            offset: 0,
            kind,
        }
    }

    /// Pieces of 10: `a` is the first, `b` the second and half of the third, the rest is `c`.
    fn layout() -> Arc<Layout> {
        let regular = || FileKind::Regular { executable: false };
        let link = FileKind::Symlink {
            target: vec!["a".into()],
        };
        let files = vec![
            file("a", 10, regular()),
            file("b", 15, regular()),
            file("link", 0, link),
            file("c", 5, regular()),
        ];
        Arc::new(Layout::new(10, files).unwrap())
    }

    fn found(name: Option<FoundName>) -> Found {
        let there = name.map(|name| FoundFile { stamp: STAMP, name });
        Found {
            files: vec![there, None, None, None],
            ..Found::default()
        }
    }

    fn ripe(ledger: &Ledger) -> Vec<u32> {
        ledger.ripe(|_| true).iter().map(|file| file.0).collect()
    }

    /// What was written while a sync was under way is not durable when it is over.
    #[test]
    fn a_sync_covers_what_was_before_it() {
        let mut ledger = Ledger::new(layout(), &found(None));
        ledger.touch(layout().whole(PieceIndex(0)), |_| false);
        ledger.wrote(PieceIndex(0));
        assert_eq!((ledger.unsynced_bytes(), ledger.is_unsynced()), (10, true));
        ledger.sync_begins();
        ledger.touch(layout().whole(PieceIndex(1)), |_| false);
        ledger.wrote(PieceIndex(1));
        ledger.synced(&[(FileIndex(0), STAMP)]);
        let resume = ledger.to_resume([0; 20], true);
        assert_eq!(resume.have.iter().collect::<Vec<_>>(), [0]);
        assert!(!resume.clean && ledger.is_unsynced());
        assert_eq!(resume.stamps[0], Some(STAMP));
        ledger.sync_begins();
        ledger.sync_failed();
        assert!(ledger.is_unsynced());
        assert_eq!(ledger.to_resume([0; 20], true).have.count(), 1);
        ledger.sync_begins();
        ledger.synced(&[]);
        assert_eq!(ledger.to_resume([0; 20], true).have.count(), 2);
    }

    /// A file is ripe when the last of its pieces is durable, a link when all files are finished.
    #[test]
    fn files_ripen_with_their_pieces() {
        let mut ledger = Ledger::new(layout(), &found(Some(FoundName::Own)));
        assert!(ledger.is_finished(FileIndex(0)) && ripe(&ledger).is_empty());
        ledger.trust(PieceIndex(2));
        assert_eq!(ripe(&ledger), [3]);
        ledger.finish(FileIndex(3));
        assert!(
            !ledger.is_whole(|file| file == FileIndex(3)),
            "half of a piece is aside"
        );
        ledger.trust(PieceIndex(1));
        assert_eq!(ripe(&ledger), [1]);
        ledger.finish(FileIndex(1));
        assert_eq!(ripe(&ledger), [2]);
        ledger.finish(FileIndex(2));
        let is_whole = |ledger: &Ledger| ledger.is_whole(|_| true);
        assert!(!is_whole(&ledger), "nobody has looked at the first file");
        assert!(ledger.is_whole(|file| file != FileIndex(0)));
        ledger.touch(layout().whole(PieceIndex(0)), |_| false);
        assert!(!ledger.is_finished(FileIndex(0)));
        ledger.trust(PieceIndex(0));
        ledger.finish(FileIndex(0));
        assert!(is_whole(&ledger));
    }

    /// A state is believed of files that nobody has changed, and only what it says.
    #[test]
    fn claims_hold_while_nothing_changes() {
        let layout = layout();
        let mut ledger = Ledger::new(layout.clone(), &found(Some(FoundName::Part)));
        ledger.trust(PieceIndex(0));
        let mut blocks = Bitfield::new(1);
        blocks.insert(0);
        ledger.park(PieceIndex(2), blocks);
        ledger.sync_begins();
        ledger.synced(&[]);
        let of = |resume: &Resume, found: &Found| {
            let claims = Claims::new(resume.clone(), found);
            let known = [0, 1, 2].map(|piece| claims.of(PieceIndex(piece), &layout));
            (known, claims.parked(&layout).len())
        };
        let clean = ledger.to_resume([0; 20], true);
        let same = found(Some(FoundName::Part));
        assert_eq!(
            of(&clean, &same),
            ([Some(true), Some(false), Some(false)], 1)
        );
        let crashed = ledger.to_resume([0; 20], false);
        assert_eq!(of(&crashed, &same), ([Some(true), None, None], 0));
        let mut changed = same.clone();
        changed.files[0] = Some(FoundFile {
            stamp: Stamp {
                modified: 6,
                ..STAMP
            },
            name: FoundName::Part,
        });
        assert_eq!(of(&clean, &changed).0[0], None);
        assert_eq!(of(&clean, &found(None)).0[0], None);
    }
}

//! Each form, and each fault, by itself; [`power`] and [`faults`] have engines meet them.

mod faults;
mod names;
mod power;
mod seeds;
mod swarm;

use std::sync::Arc;

use ripcurrent_proto::api::{Access, Spans};
use ripcurrent_proto::base::id::{Id, OpId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::meta::layout::{FileIndex, Layout, PieceIndex};

use super::*;
use crate::content::{Content, Form, spoil};
use crate::scenario::{ContentForm, Size, TorrentPlan};

const FORMS: [Form; 2] = [Form::Bytes, Form::Compact];
const ROOT: &str = "data";
const STORAGE: StorageId = TorrentId(0);
const OP: OpId = OpId(Id::from_parts(0, 0));
const ALLOCATED: Access = Access::Write {
    preallocate: true,
    overwrite: false,
};
const SPARSE: Access = Access::Write {
    preallocate: false,
    overwrite: false,
};
const PIECE: u64 = 64 << 10;

/// A torrent of several files, none of which ends where a block does, and a process that has opened
/// it on an empty disk.
struct Scene {
    content: Content,
    files: Files,
    disk: Disk,
    rng: Rng,
}

type Told<T> = Result<T, (Option<u32>, IoErrorKind)>;
type Done = Told<()>;

fn scene(form: Form) -> Scene {
    scene_with(form, SPARSE)
}

fn scene_with(form: Form, access: Access) -> Scene {
    let plan = TorrentPlan {
        files: [100_000, 0, 7, 300_000, 10_000].map(Size).to_vec(),
        piece_length: Size(PIECE),
        private: false,
        content: ContentForm::Auto,
    };
    let rng = Rng::from_seed([9; 32]);
    let content = Content::new(&plan, form, &["http://tracker.test/announce"], &rng).unwrap();
    let files = content.blank_disk();
    let mut scene = Scene {
        disk: Disk::new(files.clone()),
        content,
        files,
        rng,
    };
    scene.open(access).unwrap();
    scene
}

impl Scene {
    fn layout(&self) -> Arc<Layout> {
        Arc::clone(self.content.torrent.layout())
    }

    fn pieces(&self) -> impl Iterator<Item = PieceIndex> + use<> {
        (0..self.layout().pieces()).map(PieceIndex)
    }

    fn spans(&self, piece: PieceIndex) -> Spans {
        self.layout().spans(self.layout().whole(piece))
    }

    fn slab(&self, piece: PieceIndex) -> Slab {
        let mut slab = Slab::new(PIECE as usize);
        slab.set_len(self.layout().piece_len(piece) as usize);
        slab
    }

    fn right(&self, piece: PieceIndex) -> Slab {
        let mut slab = self.slab(piece);
        self.content.block(piece.0, 0, slab.as_mut_slice());
        slab
    }

    fn open(&mut self, access: Access) -> Result<api::Found, DiskError> {
        let done = self.disk.perform(api::Disk::Open {
            op: OP,
            storage: STORAGE,
            root: ROOT.into(),
            info_hash: [0; 20],
            layout: self.layout(),
            access,
        });
        match done {
            DiskDone::Opened { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn write(&mut self, piece: PieceIndex) -> Done {
        let done = self.disk.perform(api::Disk::Write {
            op: OP,
            storage: STORAGE,
            slab: self.right(piece),
            spans: self.spans(piece),
        });
        match done {
            DiskDone::Written { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }

    fn write_all(&mut self) {
        for piece in self.pieces() {
            self.write(piece).unwrap();
        }
    }

    /// What is read, and how that ended.
    fn read(&mut self, piece: PieceIndex) -> (Vec<u8>, Done) {
        let done = self.disk.perform(api::Disk::Read {
            op: OP,
            storage: STORAGE,
            slab: self.slab(piece),
            spans: self.spans(piece),
        });
        match done {
            DiskDone::Read { slab, result, .. } => (slab.as_slice().to_vec(), told(result)),
            other => panic!("{other:?}"),
        }
    }

    fn reads_right(&mut self, piece: PieceIndex) -> bool {
        let (bytes, done) = self.read(piece);
        done.unwrap();
        bytes == self.right(piece).as_slice()
    }

    fn sync(&mut self) -> Done {
        self.try_sync().map(drop)
    }

    fn try_sync(&mut self) -> Told<Vec<(FileIndex, Stamp)>> {
        let (op, storage) = (OP, STORAGE);
        match self.disk.perform(api::Disk::Sync { op, storage }) {
            DiskDone::Synced { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }

    /// What a sync tells of the files.
    fn sync_all(&mut self) -> Vec<(FileIndex, Stamp)> {
        self.try_sync().unwrap()
    }

    fn finish(&mut self, file: u32) -> Done {
        let (op, storage, file) = (OP, STORAGE, FileIndex(file));
        let finish = api::Disk::Finish { op, storage, file };
        match self.disk.perform(finish) {
            DiskDone::Finished { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }

    fn finish_all(&mut self) {
        (0..5).for_each(|file| self.finish(file).unwrap());
    }

    fn save(&mut self, state: Option<&[u8]>) -> Done {
        let (op, storage) = (OP, STORAGE);
        let state = state.map(<[u8]>::to_vec);
        match self.disk.perform(api::Disk::Save { op, storage, state }) {
            DiskDone::Saved { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }

    fn close(&mut self) {
        let (op, storage) = (OP, STORAGE);
        self.disk.perform(api::Disk::Close { op, storage });
    }

    fn delete(&mut self) -> Done {
        let (op, storage) = (OP, STORAGE);
        match self.disk.perform(api::Disk::Delete { op, storage }) {
            DiskDone::Deleted { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }

    /// The process dies with the power, and another one opens what is left.
    fn lose_power(&mut self) -> api::Found {
        self.files.lose_power(&mut self.rng);
        self.disk = Disk::new(self.files.clone());
        self.open(SPARSE).unwrap()
    }

    fn is_finished(&self) -> bool {
        self.content.is_finished(&self.files, ROOT)
    }

    fn set_faults(&mut self, faults: Faults) {
        self.files.set_faults(faults, self.rng.fork("faults"));
    }

    fn has(&self, piece: PieceIndex, layer: Layer) -> bool {
        self.content.has_piece(&self.files, ROOT, piece, layer)
    }

    fn is_whole(&self) -> bool {
        self.content.is_whole(&self.files, ROOT)
    }

    fn is_durable(&self) -> bool {
        self.content.is_durable(&self.files, ROOT)
    }
}

fn told<T>(result: Result<T, DiskError>) -> Told<T> {
    result.map_err(|error| (error.file.map(|file| file.0), error.error.kind))
}

/// What is written reads back in both forms, and counts for what it is at every step.
#[test]
fn pieces_are_kept() {
    for form in FORMS {
        let mut scene = scene(form);
        for piece in scene.pieces().collect::<Vec<_>>().into_iter().rev() {
            assert!(!scene.has(piece, Layer::Written) && !scene.is_whole());
            scene.write(piece).unwrap();
            assert!(scene.has(piece, Layer::Written) && !scene.has(piece, Layer::Durable));
            assert!(scene.reads_right(piece), "{form:?} {piece:?}");
        }
        let stamps = scene.sync_all().len();
        assert_eq!(stamps, 4, "all but the empty one");
        scene.finish_all();
        assert!(scene.is_whole() && !scene.is_finished());
        scene.sync().unwrap();
        assert!(scene.is_durable() && scene.is_finished());
        scene.content.put(&scene.files, "other");
        assert!(scene.content.is_durable(&scene.files, "other"));
    }
}

/// The tags of a right piece spare its hash, and those of any other do not.
#[test]
fn only_right_pieces_are_recognised() {
    let mut scene = scene(Form::Compact);
    for piece in scene.pieces() {
        let mut slab = scene.right(piece);
        let hash = scene.disk.recognise(slab.as_slice());
        assert_eq!(hash, scene.content.torrent.piece_hash_v1(piece));
        spoil(slab.as_mut_slice(), &mut scene.rng);
        assert_eq!(scene.disk.recognise(slab.as_slice()), None);
    }
}

/// What was synced outlives a loss of power; what was not is lost in part, never mixed up with what
/// was, and is sometimes torn inside a piece.
#[test]
fn power_takes_what_was_not_synced() {
    for form in FORMS {
        let (mut kept, mut lost, mut torn, mut gone) = (0, 0, 0, 0);
        for seed in 0..60 {
            let mut scene = scene(form);
            scene.rng = Rng::from_seed([seed; 32]);
            let pieces: Vec<_> = scene.pieces().collect();
            let (early, late) = pieces.split_at(3);
            early.iter().for_each(|piece| scene.write(*piece).unwrap());
            scene.sync().unwrap();
            late.iter().for_each(|piece| scene.write(*piece).unwrap());
            scene.lose_power();
            for piece in early {
                assert!(scene.reads_right(*piece), "{form:?} {seed} {piece:?}");
            }
            for piece in late {
                let durable = scene.has(*piece, Layer::Durable);
                assert_eq!(durable, scene.has(*piece, Layer::Written));
                let (bytes, done) = scene.read(*piece);
                let is_blank = bytes.iter().all(|byte| *byte == 0);
                kept += u32::from(durable);
                lost += u32::from(done.is_ok() && is_blank);
                torn += u32::from(done.is_ok() && !durable && !is_blank);
            }
            gone += u32::from(scene.files.read("data/swarm/5.bin.part").is_none());
        }
        let seen = [kept, lost, torn, gone];
        assert!(seen.iter().all(|count| *count > 5), "{form:?} {seen:?}");
    }
}

/// A process that dies leaves all that it has written, and the next one can make it durable.
#[test]
fn a_dead_process_leaves_its_writes() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.write_all();
        scene.finish_all();
        scene.disk = Disk::new(scene.files.clone());
        assert!(scene.is_whole() && !scene.is_durable());
        scene.open(SPARSE).unwrap();
        scene.sync().unwrap();
        assert!(scene.is_durable());
    }
}

/// Files that were deleted may be back after a loss of power, unless that was synced.
#[test]
fn deleting_is_durable_when_synced() {
    for form in FORMS {
        let mut back = 0;
        for seed in 0..20 {
            let mut scene = scene(form);
            scene.rng = Rng::from_seed([seed; 32]);
            scene.write_all();
            scene.sync().unwrap();
            scene.delete().unwrap();
            assert!(scene.files.read("data/swarm/4.bin.part").is_none());
            if seed % 2 == 0 {
                scene.sync().unwrap();
            }
            scene.lose_power();
            let is_back = scene.files.read("data/swarm/4.bin.part").is_some();
            assert!(!is_back || seed % 2 == 1, "{form:?} {seed}");
            back += u32::from(is_back);
        }
        assert!(back > 0, "{form:?}");
    }
}

/// After its last operation with power a process can do nothing, and nothing comes of trying.
#[test]
fn power_fails_at_an_operation() {
    for form in FORMS {
        let mut scene = scene(form);
        assert_eq!(scene.files.operations(), 1);
        scene.files.cut_power_after(2);
        scene.write(PieceIndex(0)).unwrap();
        assert!(scene.files.has_power());
        scene.sync().unwrap();
        assert!(!scene.files.has_power());
        let broken = |file| Err((file, IoErrorKind::Other));
        assert_eq!(scene.write(PieceIndex(1)), broken(None));
        assert_eq!(scene.read(PieceIndex(0)).1, broken(None));
        assert_eq!(scene.sync(), broken(None));
        assert_eq!(scene.delete(), broken(None));
        assert!(scene.open(SPARSE).is_err());
        assert_eq!(scene.files.operations(), 3);
        scene.lose_power();
        assert!(scene.files.has_power() && scene.reads_right(PieceIndex(0)));
        assert!(!scene.has(PieceIndex(1), Layer::Written));
    }
}

/// Each kind of operation fails exactly when it is to, and leaves everything as it was.
#[test]
fn operations_fail_at_their_number() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.set_faults(Faults {
            open: Odds::Nth(1),
            read: Odds::Nth(2),
            write: Odds::Nth(3),
            sync: Odds::Nth(1),
            ..Faults::default()
        });
        let broken = |file| Err((file, IoErrorKind::Other));
        scene.write(PieceIndex(0)).unwrap();
        scene.write(PieceIndex(1)).unwrap();
        assert_eq!(scene.write(PieceIndex(2)), broken(Some(3)));
        assert!(!scene.has(PieceIndex(2), Layer::Written));
        assert_eq!(scene.sync(), broken(None));
        assert!(!scene.has(PieceIndex(0), Layer::Durable));
        assert!(scene.reads_right(PieceIndex(0)));
        assert_eq!(scene.read(PieceIndex(0)).1, broken(Some(0)));
        scene.close();
        assert!(scene.open(SPARSE).is_err());
        // None of it happens again.
        scene.open(SPARSE).unwrap();
        scene.write(PieceIndex(2)).unwrap();
        scene.sync().unwrap();
        assert!(scene.reads_right(PieceIndex(2)) && scene.has(PieceIndex(2), Layer::Durable));
    }
}

/// A write that fails may leave its beginning, or units here and there, and what it leaves is of the
/// piece or of before.
#[test]
fn failed_writes_leave_parts() {
    let piece = PieceIndex(2);
    let short = Faults {
        short_write: Odds::Nth(1),
        ..Faults::default()
    };
    let torn = Faults {
        torn_write: Odds::Nth(1),
        ..Faults::default()
    };
    for form in FORMS {
        for seed in 0..20 {
            let mut scene = scene(form);
            scene.rng = Rng::from_seed([seed; 32]);
            let right = scene.right(piece);
            let unit = match form {
                Form::Bytes => SECTOR,
                Form::Compact => CLUSTER as usize,
            };
            for (is_short, faults) in [(true, &short), (false, &torn)] {
                scene.delete().unwrap();
                scene.write(PieceIndex(1)).unwrap();
                scene.set_faults(faults.clone());
                assert_eq!(scene.write(piece), Err((Some(3), IoErrorKind::Other)));
                let (left, done) = scene.read(piece);
                done.unwrap();
                let units = left.chunks(unit).zip(right.as_slice().chunks(unit));
                let landed: Vec<bool> = units.map(|(left, right)| left == right).collect();
                let ends = landed.windows(2).filter(|pair| pair[0] != pair[1]);
                assert!(!is_short || ends.count() <= 1, "{form:?} {landed:?}");
                if form == Form::Bytes && !is_short {
                    assert!(landed.contains(&true) && landed.contains(&false));
                }
                scene.write(piece).unwrap();
                assert!(scene.reads_right(piece));
            }
        }
    }
}

/// A read that goes astray brings other bytes of the same file and does not tell.
#[test]
fn reads_go_astray() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.write_all();
        scene.finish(1).unwrap();
        scene.set_faults(Faults {
            misdirected_read: Odds::PerThousand(500),
            ..Faults::default()
        });
        let file = scene.files.read("data/swarm/4.bin.part").unwrap();
        let mut wrong = 0;
        for _ in 0..50 {
            let piece = PieceIndex(3);
            let (bytes, done) = scene.read(piece);
            done.unwrap();
            assert!(file.windows(bytes.len()).any(|window| window == bytes));
            wrong += u32::from(bytes != scene.right(piece).as_slice());
        }
        assert!((10..40).contains(&wrong), "{form:?} {wrong}");
        assert!(scene.is_whole());
    }
}

/// A disk takes what fits and no more, sparse files count for what was written, and room comes of
/// deleting and of a larger disk.
#[test]
fn a_disk_is_full() {
    for form in FORMS {
        let mut scene = scene(form);
        let capacity = |capacity| Faults {
            capacity: Some(capacity),
            ..Faults::default()
        };
        scene.set_faults(capacity(200_000));
        let full = |file| Err((Some(file), IoErrorKind::NoSpace));
        scene.write(PieceIndex(2)).unwrap();
        scene.write(PieceIndex(4)).unwrap();
        let taken = scene.files.taken();
        assert!((2 * PIECE..=2 * PIECE + 3 * CLUSTER).contains(&taken));
        assert_eq!(scene.write(PieceIndex(0)), full(0));
        assert!(scene.files.taken() <= 200_000);
        // What is there is written over at no cost.
        scene.write(PieceIndex(2)).unwrap();
        scene.set_faults(capacity(1 << 20));
        scene.write(PieceIndex(0)).unwrap();
        scene.set_faults(capacity(200_000));
        assert_eq!(scene.write(PieceIndex(5)), full(3));
        scene.delete().unwrap();
        assert_eq!(scene.files.taken(), 0);
        scene.write(PieceIndex(5)).unwrap();
    }
}

/// Files that are allocated when they are made fail then.
#[test]
fn allocation_needs_room() {
    for form in FORMS {
        let mut scene = scene_with(form, ALLOCATED);
        scene.set_faults(Faults {
            capacity: Some(200_000),
            ..Faults::default()
        });
        scene.write(PieceIndex(0)).unwrap();
        assert!(scene.files.taken() > 100_000);
        let full = Err((Some(3), IoErrorKind::NoSpace));
        assert_eq!(scene.write(PieceIndex(2)), full);
    }
}

/// A flipped bit makes a piece wrong, for readers and on the platter, and it is written over.
#[test]
fn bits_flip_at_rest() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.content.put(&scene.files, ROOT);
        let mut rng = scene.rng.fork("flips");
        scene.files.flip(3, &mut rng);
        assert!(!scene.is_whole() && !scene.is_durable());
        let pieces: Vec<_> = scene.pieces().collect();
        let wrong = |scene: &mut Scene| {
            let wrong = pieces.iter().filter(|piece| !scene.reads_right(**piece));
            wrong.copied().collect::<Vec<_>>()
        };
        let found = wrong(&mut scene);
        assert!((1..=3).contains(&found.len()), "{form:?} {found:?}");
        found.iter().for_each(|piece| scene.write(*piece).unwrap());
        assert_eq!(wrong(&mut scene), []);
    }
}

/// Nothing closes before what is under way, however long that takes.
#[test]
fn a_storage_closes_last() {
    let mut scene = scene(Form::Bytes);
    let at = |millis: u64| Instant::from_micros(millis * 1000);
    scene.set_faults(Faults {
        pace: Pace {
            hangs_until: at(500),
            ..Pace::default()
        },
        ..Faults::default()
    });
    let (op, storage) = (OP, STORAGE);
    let read = api::Disk::Read {
        op,
        storage,
        slab: scene.slab(PieceIndex(0)),
        spans: scene.spans(PieceIndex(0)),
    };
    assert_eq!(scene.disk.end(at(3), &read), at(500));
    scene.set_faults(Faults::default());
    assert_eq!(scene.disk.end(at(4), &read), at(5));
    assert_eq!(
        scene.disk.end(at(5), &api::Disk::Close { op, storage }),
        at(500)
    );
}

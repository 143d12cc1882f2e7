//! What files are called, what is kept beside them, and what a loss of power makes of both.

use std::collections::BTreeSet;

use ripcurrent_proto::api::{FileSpan, Found, FoundFile, FoundName};
use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

use super::*;

/// A file in the middle of the torrent: 100,007 to 400,007, in pieces 1 to 6.
const MIDDLE: u32 = 3;
const OWN: &str = "data/swarm/4.bin";
const PART: &str = "data/swarm/4.bin.part";
const STATE: &str = "data/.swarm.ripcurrent";
const ASIDE: &str = "data/.swarm.ripcurrent-aside";
const OVERWRITE: Access = Access::Write {
    preallocate: false,
    overwrite: true,
};

impl Scene {
    /// Another process opens what is there.
    fn reopen(&mut self, access: Access) -> Found {
        self.disk = Disk::new(self.files.clone());
        self.open(access).unwrap()
    }

    fn middle(&self, found: &Found) -> FoundFile {
        found.files[MIDDLE as usize].unwrap()
    }

    /// Writes a piece, of which the files but the middle one are not wanted.
    fn write_wanting_middle(&mut self, piece: PieceIndex) -> Done {
        let done = self.disk.perform(api::Disk::Write {
            op: OP,
            storage: STORAGE,
            slab: self.right(piece),
            spans: self.spans(piece).into_iter().map(aside).collect(),
        });
        match done {
            DiskDone::Written { result, .. } => told(result),
            other => panic!("{other:?}"),
        }
    }
}

fn aside(span: FileSpan) -> FileSpan {
    let aside = span.file != Some(FileIndex(MIDDLE));
    FileSpan { aside, ..span }
}

/// A file is a part until it is finished, has its own name then, and is a part again as soon as it
/// is written to; it is found under either name, by whoever reads.
#[test]
fn files_are_parts_until_they_are_finished() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.write_all();
        assert!(scene.files.has(PART) && !scene.files.has(OWN));
        assert!(!scene.files.has("data/swarm/2.bin"), "the empty one");
        for access in [SPARSE, Access::Read] {
            let found = scene.reopen(access);
            assert_eq!(scene.middle(&found).name, FoundName::Part);
            assert_eq!(scene.middle(&found).stamp.len, 300_000);
            assert!(scene.reads_right(PieceIndex(2)));
        }
        let found = scene.reopen(SPARSE);
        scene.finish_all();
        scene.finish_all();
        assert!(!scene.files.has(PART) && scene.files.has(OWN) && scene.is_whole());
        let finished = scene.reopen(SPARSE);
        assert_eq!(scene.middle(&finished).name, FoundName::Own);
        assert_eq!(scene.middle(&finished).stamp, scene.middle(&found).stamp);
        scene.write(PieceIndex(2)).unwrap();
        assert!(scene.files.has(PART) && !scene.files.has(OWN) && scene.is_whole());
        assert!(!scene.is_finished());
    }
}

/// What has a file's name when it is finished is only replaced by who may, and a folder by nobody.
#[test]
fn what_is_in_the_way_is_left() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.write_all();
        scene.files.put(OWN, vec![1; 10]).unwrap();
        scene.files.link("data/swarm/3.bin").unwrap();
        scene.files.make_folder("data/swarm/5.bin").unwrap();
        let found = scene.reopen(SPARSE);
        assert_eq!(scene.middle(&found).name, FoundName::Contested);
        let in_the_way = |file| Err((Some(file), IoErrorKind::InTheWay));
        for file in [2, MIDDLE, 4] {
            assert_eq!(scene.finish(file), in_the_way(file));
        }
        assert_eq!(scene.files.read(OWN), Some(vec![1; 10]));
        scene.reopen(OVERWRITE);
        scene.finish(2).unwrap();
        scene.finish(MIDDLE).unwrap();
        assert_eq!(scene.finish(4), in_the_way(4));
        scene.finish(1).unwrap();
        assert!(scene.is_whole() && !scene.is_finished());
        assert_eq!(
            scene.files.taken(),
            7 * CLUSTER + 19 * CLUSTER + 2 * CLUSTER
        );
    }
}

/// A part that is too long is cut when it is finished; an empty file and a link are made.
#[test]
fn finished_files_are_as_long_as_they_should_be() {
    let mut scene = scene(Form::Bytes);
    scene
        .files
        .put("data/swarm/3.bin.part", vec![5; 20])
        .unwrap();
    scene.finish(2).unwrap();
    assert_eq!(scene.files.read("data/swarm/3.bin"), Some(vec![5; 7]));
    scene.finish(1).unwrap();
    assert_eq!(scene.files.read("data/swarm/2.bin"), Some(Vec::new()));
    let link = FileEntry {
        path: vec!["link".into()],
        len: 0,
        offset: 0,
        kind: FileKind::Symlink {
            target: vec!["file".into()],
        },
    };
    let file = FileEntry {
        path: vec!["file".into()],
        len: 1,
        kind: FileKind::Regular { executable: false },
        ..link
    };
    let layout = Arc::new(Layout::new(PIECE as u32, vec![link, file]).unwrap());
    let (op, storage) = (OP, TorrentId(1));
    scene.disk.perform(api::Disk::Open {
        op,
        storage,
        root: ROOT.into(),
        info_hash: [0; 20],
        layout,
        access: SPARSE,
    });
    let file = FileIndex(0);
    for _ in 0..2 {
        let finish = api::Disk::Finish { op, storage, file };
        let done = scene.disk.perform(finish);
        assert!(matches!(done, DiskDone::Finished { result: Ok(()), .. }));
    }
    assert!(scene.files.has("data/link"));
    let done = scene.disk.perform(api::Disk::Delete { op, storage });
    assert!(matches!(done, DiskDone::Deleted { result: Ok(()), .. }));
    assert!(!scene.files.has("data/link"));
}

/// Two that write do not share a torrent's files; one that only reads disturbs nobody, and the dead
/// hold nothing.
#[test]
fn a_state_is_held_against_others() {
    let mut scene = scene(Form::Bytes);
    let mut other = Disk::new(scene.files.clone());
    std::mem::swap(&mut scene.disk, &mut other);
    let in_use = |result: Result<Found, DiskError>| told(result).map(drop);
    let refused = Err((None, IoErrorKind::InUse));
    assert_eq!(in_use(scene.open(SPARSE)), refused);
    scene.open(Access::Read).unwrap();
    scene.close();
    drop(other);
    scene.open(SPARSE).unwrap();
    let mut other = Disk::new(scene.files.clone());
    std::mem::swap(&mut scene.disk, &mut other);
    assert_eq!(in_use(scene.open(SPARSE)), refused);
    scene.files.lose_power(&mut scene.rng);
    scene.open(SPARSE).unwrap();
    scene.close();
    scene.open(SPARSE).unwrap();
}

/// Bytes of files that nobody wants are kept aside and read from there, until the file is made for
/// another piece: then they are in it. No file appears, and all is gone with the state.
#[test]
fn unwanted_bytes_are_kept_aside() {
    for form in FORMS {
        let mut scene = scene(form);
        let [first, last] = [1, 6].map(PieceIndex);
        assert!(scene.read(first).1.is_err());
        scene.write_wanting_middle(first).unwrap();
        scene.write_wanting_middle(last).unwrap();
        assert!(scene.reads_right(first) && scene.reads_right(last));
        assert!(scene.has(first, Layer::Written) && !scene.has(first, Layer::Durable));
        scene.save(Some(b"state")).unwrap();
        let found = scene.reopen(SPARSE);
        let there = found.files.iter().map(Option::is_some);
        assert!(there.eq([false, false, false, true, false]) && found.aside);
        scene.sync().unwrap();
        assert!(scene.has(first, Layer::Durable) && scene.has(last, Layer::Durable));
        scene.lose_power();
        assert!(scene.reads_right(first) && scene.reads_right(last));
        // The file before the middle one is made, and one behind it.
        scene.write(PieceIndex(0)).unwrap();
        scene.finish(2).unwrap();
        scene.finish(4).unwrap();
        assert!(scene.reads_right(first) && scene.reads_right(last));
        assert!(scene.has(first, Layer::Durable) && scene.has(last, Layer::Durable));
        scene.save(None).unwrap();
        assert!(!scene.files.has(STATE) && !scene.files.has(ASIDE));
        assert!(scene.reads_right(first) && scene.reads_right(last));
        scene.write_wanting_middle(last).unwrap();
        assert!(!scene.files.has(ASIDE), "the files are there");
    }
}

/// What a sync tells of a file is what is found until it is written to, by whomever.
#[test]
fn stamps_tell_of_every_change() {
    for form in FORMS {
        let mut scene = scene(form);
        scene.write(PieceIndex(3)).unwrap();
        let synced = scene.sync_all();
        let found = scene.reopen(SPARSE);
        assert_eq!(synced, [(FileIndex(MIDDLE), scene.middle(&found).stamp)]);
        scene.finish(MIDDLE).unwrap();
        assert_eq!(scene.sync_all(), synced);
        scene.write(PieceIndex(3)).unwrap();
        let found = scene.reopen(SPARSE);
        assert_ne!(synced[0].1, scene.middle(&found).stamp);
        scene.files.put(OWN, vec![0; 300_000]).unwrap();
        let stamp = scene.middle(&found).stamp;
        let found = scene.reopen(SPARSE);
        assert_eq!(scene.middle(&found).stamp, stamp, "that of the part");
        scene.files.put(PART, vec![0; 300_000]).unwrap();
        let found = scene.reopen(SPARSE);
        assert_ne!(scene.middle(&found).stamp, stamp);
    }
}

/// A state is there as soon as it is saved, whatever happens then, and the one before is there where
/// that fails. One that is too long is none.
#[test]
fn states_are_saved_whole() {
    let mut scene = scene(Form::Compact);
    assert_eq!(scene.reopen(SPARSE).state, None);
    for state in [&b"one"[..], b"another"] {
        scene.save(Some(state)).unwrap();
        assert_eq!(scene.lose_power().state.as_deref(), Some(state));
    }
    let mut kept = BTreeSet::new();
    for state in 0..20 {
        let fails = Faults {
            save: Odds::Nth(1),
            ..Faults::default()
        };
        let chance = Rng::from_seed([state; 32]);
        scene.files.set_faults(fails, chance);
        assert_eq!(scene.save(Some(&[state])), Err((None, IoErrorKind::Other)));
        kept.insert(scene.lose_power().state == Some(vec![state]));
    }
    assert_eq!(kept.len(), 2, "sometimes it is there, sometimes it is not");
    scene.save(Some(b"small")).unwrap();
    scene.set_faults(Faults {
        capacity: Some(CLUSTER),
        ..Faults::default()
    });
    let full = Err((None, IoErrorKind::NoSpace));
    assert_eq!(scene.save(Some(b"another")), full);
    assert_eq!(scene.reopen(SPARSE).state.as_deref(), Some(&b"small"[..]));
    scene.save(None).unwrap();
    assert_eq!(scene.lose_power().state, None);
    scene.files.put(STATE, vec![0; 1 << 20]).unwrap();
    assert_eq!(scene.reopen(SPARSE).state, None);
}

/// A file that was finished may be a part again, and one that was made may be gone, until that is
/// synced; what was in the way is back with the part. A file's time may be old where its data is
/// new, and the other way round.
#[test]
fn names_and_times_are_durable_when_synced() {
    for form in FORMS {
        let mut names = BTreeSet::new();
        let mut times = BTreeSet::new();
        for seed in 0..60 {
            let mut scene = scene_with(form, OVERWRITE);
            scene.rng = Rng::from_seed([seed; 32]);
            scene.files.put(OWN, vec![7]).unwrap();
            scene.open_part();
            scene.write_all();
            let old = scene.sync_all()[2].1;
            scene.write(PieceIndex(3)).unwrap();
            scene.finish(MIDDLE).unwrap();
            scene.finish(2).unwrap();
            scene.finish(1).unwrap();
            if seed % 2 == 1 {
                scene.sync().unwrap();
                let found = scene.lose_power();
                assert_eq!(scene.middle(&found).name, FoundName::Own);
                assert!(scene.files.has("data/swarm/2.bin") && !scene.files.has(PART));
                continue;
            }
            let found = scene.lose_power();
            let name = scene.middle(&found).name;
            assert_ne!(name, FoundName::Part, "what it replaced is back");
            let foreign = Some(vec![7]);
            assert_eq!(
                scene.files.read(OWN) == foreign,
                name == FoundName::Contested
            );
            names.insert((name == FoundName::Own, scene.files.has("data/swarm/2.bin")));
            times.insert(scene.middle(&found).stamp == old);
        }
        assert_eq!((names.len(), times.len()), (4, 2), "{form:?}");
    }
}

impl Scene {
    /// Makes the part of the middle file beside what has its own name.
    fn open_part(&mut self) {
        self.disk = Disk::new(self.files.clone());
        let foreign = self.files.read(OWN).unwrap();
        self.files.put(PART, vec![0; 300_000]).unwrap();
        self.open(OVERWRITE).unwrap();
        assert_eq!(self.files.read(OWN), Some(foreign));
    }
}

//! Torrents of many small files: what is done for all of them at once is what would be done for each.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::PathBuf;

use ripcurrent_proto::api::{Access, FileSpan, IoErrorKind, Stamp};
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};
use tempfile::TempDir;

use super::super::cache::OpenFiles;
use super::super::storage::{Plan, Storage};
use super::super::system::MANY;
use super::*;

/// The most files that stay open: far less than there are.
const OPEN: usize = 4;

/// A storage that is open to write, with files of different lengths in three folders.
struct Many {
    storage: Storage,
    files: OpenFiles,
    layout: Arc<Layout>,
    folder: TempDir,
}

impl Many {
    fn new(count: u32) -> Self {
        Many::within(tempfile::tempdir().unwrap(), count)
    }

    fn within(folder: TempDir, count: u32) -> Self {
        let entry = |number: u32| FileEntry {
            path: path(number),
            len: u64::from(number % 7 * 1000),
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Arc::new(Layout::new(PIECE, (0..count).map(entry).collect()).unwrap());
        let storage = Storage::new(Plan {
            number: 1,
            root: folder.path().join("root"),
            state_home: None,
            info_hash: [3; 20],
            layout: Arc::clone(&layout),
            access: Access::Write {
                preallocate: true,
                overwrite: false,
            },
            direct: true,
        });
        let files = OpenFiles::new(OPEN);
        storage.open(&files).unwrap();
        Many {
            storage,
            files,
            layout,
            folder,
        }
    }

    fn indexes(&self) -> impl Iterator<Item = u32> + use<> {
        0..self.layout.files().len() as u32
    }

    /// Writes files that lie side by side, as a piece does.
    fn write(&self, numbers: impl IntoIterator<Item = u32>) -> Result<(), DiskError> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for number in numbers {
            let len = self.len(number);
            bytes.extend(content(number, len));
            spans.push(FileSpan {
                file: Some(FileIndex(number)),
                offset: 0,
                len: len as u32,
                aside: false,
            });
        }
        spans.retain(|span| span.len > 0);
        self.storage.write(&self.files, &bytes, &spans)
    }

    fn write_all(&self) {
        let all: Vec<u32> = self.indexes().collect();
        all.chunks(5)
            .for_each(|some| self.write(some.iter().copied()).unwrap());
    }

    fn len(&self, number: u32) -> usize {
        self.layout.files()[number as usize].len as usize
    }

    fn sync(&self) -> Vec<(FileIndex, Stamp)> {
        self.storage.sync(&self.files).unwrap()
    }

    fn finish(&self, numbers: impl IntoIterator<Item = u32>) -> Vec<Result<(), DiskError>> {
        let indexes = numbers.into_iter().map(FileIndex);
        self.storage.finish(&self.files, indexes)
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn at(&self, number: u32) -> PathBuf {
        self.root().join(path(number).join("/"))
    }

    fn part(&self, number: u32) -> PathBuf {
        self.at(number).with_extension("dat.part")
    }
}

fn path(number: u32) -> Vec<String> {
    let folder = number / 30;
    vec!["t".into(), folder.to_string(), format!("{number}.dat")]
}

fn content(number: u32, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at as u32 * 31 + number) as u8).collect()
}

/// However few files may be open, all of them are synced, and told of as they look; then all of them
/// get their names, and that alone leaves no file to be synced.
#[test]
fn all_are_written_synced_and_finished() {
    for count in [MANY as u32 / 4, MANY as u32 * 3] {
        let many = Many::new(count);
        many.write_all();
        let stamps = many.sync();
        // Empty files are made when they are finished.
        let written = many.indexes().filter(|number| many.len(*number) > 0);
        assert!(stamps.iter().map(|(file, _)| file.0).eq(written));
        for (file, stamp) in stamps {
            let there = fs::metadata(many.part(file.0)).unwrap();
            let modified = there.mtime() * 1_000_000_000 + there.mtime_nsec();
            assert_eq!(stamp.len, there.len());
            assert_eq!(stamp.modified, modified as u64);
        }
        assert!(many.finish(many.indexes()).iter().all(Result::is_ok));
        for number in many.indexes() {
            let there = fs::read(many.at(number)).unwrap();
            assert!(there == content(number, many.len(number)), "{number}");
            assert!(!many.part(number).exists(), "{number}");
        }
        let empty = many.indexes().filter(|number| many.len(*number) == 0);
        let stamps = many.sync();
        assert!(stamps.iter().map(|(file, _)| file.0).eq(empty));
        assert_eq!(many.sync(), []);
    }
}

/// What cannot be finished is told of, each file by itself, and holds up no other.
#[test]
fn one_in_the_way_holds_up_no_other() {
    let many = Many::new(10);
    many.write_all();
    fs::write(many.at(3), "somebody's").unwrap();
    fs::create_dir(many.at(5)).unwrap();
    let finished = many.finish(many.indexes());
    for (number, finished) in many.indexes().zip(finished) {
        match finished {
            Err(error) => {
                assert!(matches!(number, 3 | 5), "{number}");
                assert_eq!(error.file, Some(FileIndex(number)));
                assert_eq!(error.error.kind, IoErrorKind::InTheWay);
                assert!(many.part(number).exists());
            }
            Ok(()) => assert!(many.at(number).is_file(), "{number}"),
        }
    }
    assert_eq!(fs::read(many.at(3)).unwrap(), b"somebody's");
    // Again, as the engine does when it is told to go on.
    fs::remove_file(many.at(3)).unwrap();
    assert!(many.finish([3, 4]).iter().all(Result::is_ok));
    assert_eq!(fs::read(many.at(3)).unwrap(), content(3, many.len(3)));
}

/// A file that was there before, finished or not, longer or shorter, ends up as it should be, whether
/// it comes whole or in two writes.
#[test]
fn what_was_there_before_is_written_over() {
    for whole in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let before = folder.path().join("root/t/0");
        fs::create_dir_all(&before).unwrap();
        fs::write(before.join("2.dat.part"), [9; 9000]).unwrap();
        fs::write(before.join("3.dat"), [9; 9000]).unwrap();
        fs::write(before.join("4.dat.part"), [9; 90]).unwrap();
        let many = Many::within(folder, 7);
        match whole {
            true => many.write(2..7).unwrap(),
            false => (2..7).for_each(|number| write_in_halves(&many, number)),
        }
        assert!(
            !many.at(3).exists(),
            "it is written to, so it is unfinished"
        );
        assert!(many.finish(2..7).iter().all(Result::is_ok));
        for number in 2..7 {
            let there = fs::read(many.at(number)).unwrap();
            assert!(there == content(number, many.len(number)), "{number}");
        }
    }
}

/// The second half first: then the file has its full length at once.
fn write_in_halves(many: &Many, number: u32) {
    let len = many.len(number);
    let bytes = content(number, len);
    for range in [len / 2..len, 0..len / 2] {
        let span = FileSpan {
            file: Some(FileIndex(number)),
            offset: range.start as u64,
            len: range.len() as u32,
            aside: false,
        };
        let bytes = &bytes[range];
        many.storage.write(&many.files, bytes, &[span]).unwrap();
        assert!(fs::metadata(many.part(number)).unwrap().len() >= len as u64);
    }
}

/// A folder that somebody takes away meanwhile, with a link in its place, is not followed out of the
/// root: neither to make a file nor to finish one.
#[test]
fn a_folder_swapped_for_a_link_leads_nowhere() {
    for swapped in ["t/0", "t"] {
        let many = Many::new(40);
        many.write([1, 2]).unwrap();
        let (inside, outside) = (
            many.root().join(swapped),
            many.folder.path().join("outside"),
        );
        fs::rename(&inside, &outside).unwrap();
        symlink(&outside, &inside).unwrap();
        let before = names(&outside);
        let refused = many.write([3, 4]).unwrap_err();
        assert_eq!(refused.file, Some(FileIndex(3)));
        assert!(many.finish([1, 2, 5]).iter().all(Result::is_err));
        assert_eq!(names(&outside), before);
        // In its own place it is found again.
        fs::remove_file(&inside).unwrap();
        fs::rename(&outside, &inside).unwrap();
        many.write([3, 4]).unwrap();
        assert!(many.finish([1, 2, 3, 4]).iter().all(Result::is_ok));
    }
}

/// Everything below a folder.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names.extend(self::names(&path));
        }
        names.insert(path);
    }
    names
}

/// A root that is removed meanwhile is made again, though the old one is still held.
#[test]
fn a_root_that_is_removed_is_made_again() {
    let many = Many::new(40);
    many.write([1]).unwrap();
    fs::remove_dir_all(many.root()).unwrap();
    many.write([33]).unwrap();
    assert!(many.part(33).exists());
}

/// Files that are finished while none is being finished go together, and each is answered once; so
/// are those of a storage that nobody has opened.
#[test]
fn files_are_finished_together() {
    let mut scene = Scene::with(Options::default());
    scene.touch();
    for file in (0..LENGTHS.len() as u32).map(FileIndex) {
        let finish = |storage| Disk::Finish {
            op: op(),
            storage,
            file,
        };
        assert!(matches!(
            scene.desk.carry(finish(STORAGE), true),
            Route::Thread
        ));
        let unknown = scene.desk.carry(finish(TorrentId(2)), true);
        let Route::Done(DiskDone::Finished { result, .. }) = unknown else {
            panic!("nobody knows the storage");
        };
        assert_eq!(result, Err(UNKNOWN));
    }
    for (file, len) in (0..).zip(LENGTHS) {
        let done = scene.wait();
        assert!(matches!(done, DiskDone::Finished { result: Ok(()), .. }));
        let own: u32 = file;
        let there = |scene: &Scene| fs::metadata(scene.folder.path().join(format!("t/{own}")));
        while there(&scene).is_err() {
            std::thread::yield_now();
        }
        assert_eq!(there(&scene).unwrap().len(), len);
    }
}

//! Operations whose system calls somebody else makes: here, a test in place of a ring.

mod many;

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::*;
use crate::bell::Waker;
use ripcurrent_proto::api::{Access, FileSpan};
use ripcurrent_proto::base::id::{Slots, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::PAGE;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout, PieceIndex};
use rustix::fs::OFlags;
use tempfile::TempDir;

const STORAGE: StorageId = TorrentId(1);
const PIECE: u32 = 1 << 20;
/// The edges of files lie everywhere in pages, and one file has no room for a direct write.
const LENGTHS: [u64; 4] = [
    3 * PIECE as u64 + 5,
    2 * PIECE as u64 + 70_000,
    90_001,
    1 << 21,
];

/// A desk with a storage that is open to write, in a folder of its own.
struct Scene {
    desk: Desk,
    basket: Basket,
    layout: Arc<Layout>,
    folder: TempDir,
}

impl Scene {
    /// `None`, said aloud, where the file system of the folder has no direct writes.
    fn new(name: &str) -> Option<Self> {
        let mut scene = Scene::with(Options::default());
        scene.touch();
        match scene.first_direct() {
            true => Some(scene),
            false => {
                eprintln!("SKIPPED {name}: this file system has no direct writes");
                None
            }
        }
    }

    fn with(options: Options) -> Self {
        Scene::within(tempfile::tempdir().unwrap(), options)
    }

    fn within(folder: TempDir, options: Options) -> Self {
        let entry = |(len, at): (&u64, u32)| FileEntry {
            path: vec!["t".into(), at.to_string()],
            len: *len,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let files = LENGTHS.iter().zip(0..).map(entry).collect();
        let layout = Arc::new(Layout::new(PIECE, files).unwrap());
        let basket = Basket::new(Waker::new().unwrap());
        let desk = Desk::new(&options, &basket).unwrap();
        let mut scene = Scene {
            desk,
            basket,
            layout: Arc::clone(&layout),
            folder,
        };
        let root = scene.folder.path().to_str().unwrap().into();
        let opened = scene.perform(Disk::Open {
            op: op(),
            storage: STORAGE,
            root,
            info_hash: [7; 20],
            layout,
            access: Access::Write {
                preallocate: false,
                overwrite: false,
            },
        });
        assert!(matches!(opened, DiskDone::Opened { result: Ok(_), .. }));
        scene
    }

    /// Opens every file by writing to it: on a thread, as the first write to a file always is.
    fn touch(&mut self) {
        for (file, len) in (0..).zip(LENGTHS) {
            let spans = Spans::from_iter([FileSpan {
                file: Some(FileIndex(file)),
                offset: len - 1,
                len: 1,
                aside: false,
            }]);
            let done = self.perform(write(filled(1, 0), spans));
            assert!(matches!(done, DiskDone::Written { result: Ok(()), .. }));
        }
    }

    fn first_direct(&mut self) -> bool {
        match self.desk.carry(self.piece(0), true) {
            Route::Ring(transfer) => {
                self.land(transfer, Err(errno(libc::EIO)));
                true
            }
            Route::Thread => {
                self.wait();
                false
            }
            Route::Done(done) => panic!("{done:?}"),
        }
    }

    /// Writes a piece of the pattern.
    fn piece(&self, piece: u32) -> Disk {
        let (slab, spans) = self.slab(piece);
        write(slab, spans)
    }

    fn slab(&self, piece: u32) -> (Slab, Spans) {
        let piece = PieceIndex(piece);
        let mut slab = filled(self.layout.piece_len(piece) as usize, u64::from(piece.0));
        let bytes = slab.as_slice().to_vec();
        slab.shift(self.layout.shift_of(self.layout.whole(piece)));
        slab.as_mut_slice().copy_from_slice(&bytes);
        (slab, self.layout.spans(self.layout.whole(piece)))
    }

    /// Carries an operation out without a ring.
    fn perform(&mut self, disk: Disk) -> DiskDone {
        match self.desk.carry(disk, false) {
            Route::Done(done) => done,
            Route::Thread => self.wait(),
            Route::Ring(_) => panic!("there is no ring"),
        }
    }

    /// The next answer of a thread.
    fn wait(&mut self) -> DiskDone {
        loop {
            if let Some(Finished { input, storage }) = self.basket.take() {
                storage.into_iter().for_each(|id| self.desk.finished(id));
                let Input::Disk(done) = input else {
                    panic!("{input:?}")
                };
                return done;
            }
            std::thread::yield_now();
        }
    }

    /// The transfer of an operation that goes by the ring.
    fn by_ring(&mut self, disk: Disk) -> Box<Transfer> {
        match self.desk.carry(disk, true) {
            Route::Ring(transfer) => transfer,
            Route::Done(done) => panic!("{done:?}"),
            Route::Thread => panic!("it went to a thread"),
        }
    }

    fn land(&mut self, transfer: Box<Transfer>, result: io::Result<usize>) -> DiskDone {
        self.follow(transfer, |_| result.as_ref().map_or_else(again, |n| Ok(*n)))
    }

    /// Follows a transfer to its end; `kernel` makes its system calls.
    fn follow(
        &mut self,
        mut transfer: Box<Transfer>,
        mut kernel: impl FnMut(Call) -> io::Result<usize>,
    ) -> DiskDone {
        loop {
            let call = transfer.call();
            match self.desk.landed(transfer, kernel(call)) {
                Route::Ring(next) => transfer = next,
                Route::Done(done) => return done,
                Route::Thread => return self.wait(),
            }
        }
    }

    fn sync(&mut self) -> BTreeSet<u32> {
        let synced = self.perform(Disk::Sync {
            op: op(),
            storage: STORAGE,
        });
        match synced {
            DiskDone::Synced { result, .. } => {
                result.unwrap().iter().map(|(file, _)| file.0).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Every file holds the pattern of the pieces.
    fn assert_written(&self) {
        let pieces = (0..self.layout.pieces()).map(|piece| self.slab(piece).0);
        let whole: Vec<u8> = pieces.flat_map(|slab| slab.as_slice().to_vec()).collect();
        for (entry, file) in self.layout.files().iter().zip(0..) {
            let there = fs::read(self.path(file)).unwrap();
            let start = entry.offset as usize;
            assert!(there == whole[start..start + entry.len as usize], "{file}");
        }
    }

    fn path(&self, file: u32) -> impl AsRef<Path> {
        self.folder.path().join(format!("t/{file}.part"))
    }
}

fn op() -> OpId {
    OpId(Slots::default().insert(()))
}

fn write(slab: Slab, spans: Spans) -> Disk {
    Disk::Write {
        op: op(),
        storage: STORAGE,
        slab,
        spans,
    }
}

/// A slab of bytes that tell where they are.
fn filled(len: usize, seed: u64) -> Slab {
    let mut slab = Slab::new(len);
    slab.set_len(len);
    for (bytes, at) in slab.as_mut_slice().chunks_mut(64).zip(1u64..) {
        let word = (at + (seed << 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bytes.fill((word >> 56) as u8);
        bytes[0] = word as u8;
    }
    slab
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

fn again(error: &io::Error) -> io::Result<usize> {
    Err(errno(error.raw_os_error().unwrap()))
}

/// Makes the call, of at most `most` bytes.
fn make(call: Call, most: usize) -> io::Result<usize> {
    let len = most.min(call.len as usize);
    // SAFETY: the transfer keeps the descriptor open while it waits for the result.
    let file = unsafe { BorrowedFd::borrow_raw(call.descriptor) };
    match call.buffer {
        Buffer::Write(bytes) => {
            // SAFETY: the transfer keeps so many bytes there while it waits for the result.
            let bytes = unsafe { std::slice::from_raw_parts(bytes, len) };
            Ok(rustix::io::pwrite(file, bytes, call.offset)?)
        }
        Buffer::Read(bytes) => {
            // SAFETY: as above, and nobody else touches them.
            let bytes = unsafe { std::slice::from_raw_parts_mut(bytes, len) };
            Ok(rustix::io::pread(file, bytes, call.offset)?)
        }
    }
}

fn is_direct(call: Call) -> bool {
    // SAFETY: the transfer keeps the descriptor open while it waits for the result.
    let file = unsafe { BorrowedFd::borrow_raw(call.descriptor) };
    rustix::fs::fcntl_getfl(file)
        .unwrap()
        .contains(OFlags::DIRECT)
}

fn whole(call: Call) -> io::Result<usize> {
    make(call, usize::MAX)
}

fn error_of(done: &DiskDone) -> (Option<FileIndex>, IoErrorKind) {
    let (DiskDone::Written { result, .. } | DiskDone::Read { result, .. }) = done else {
        panic!("{done:?}")
    };
    let error = result.unwrap_err();
    (error.file, error.error.kind)
}

fn slab_of(done: DiskDone) -> Slab {
    match done {
        DiskDone::Read {
            slab,
            result: Ok(()),
            ..
        }
        | DiskDone::Written {
            slab,
            result: Ok(()),
            ..
        } => slab,
        other => panic!("{other:?}"),
    }
}

/// However the pieces lie over the edges of files, all of them arrive; whole pages go directly, each
/// of them of one piece alone, and never the last part of a page of a file.
#[test]
fn pieces_go_directly_and_their_edges_do_not() {
    let Some(mut scene) = Scene::new("pieces_go_directly") else {
        return;
    };
    let (mut direct, mut cached) = (0, 0);
    for piece in (0..scene.layout.pieces()).rev() {
        let transfer = scene.by_ring(scene.piece(piece));
        let done = scene.follow(transfer, |call| {
            match is_direct(call) {
                true => {
                    assert!(call.offset.is_multiple_of(PAGE as u64));
                    assert!(call.len.is_multiple_of(PAGE as u32));
                    direct += call.len;
                }
                false => cached += call.len,
            }
            whole(call)
        });
        assert_eq!(slab_of(done).as_slice(), scene.slab(piece).0.as_slice());
    }
    assert_eq!(u64::from(direct + cached), scene.layout.total_len());
    assert!(
        cached < 600_000,
        "{cached} bytes went through the page cache"
    );
    scene.assert_written();
}

/// The kernel may do less than it was asked for, anywhere, and break off: nothing is lost, nothing
/// is answered twice.
#[test]
fn whatever_the_kernel_does_at_once() {
    let Some(mut scene) = Scene::new("whatever_the_kernel_does_at_once") else {
        return;
    };
    let mut rng = Rng::from_seed([1; 32]);
    for _ in 0..3 {
        for piece in 0..scene.layout.pieces() {
            // A file system that goes on where it is told to.
            let unit: usize = [1, 512, PAGE][rng.index(3)];
            let mut kernel = |call: Call| match rng.below(6) {
                0 => Err(errno(libc::EINTR)),
                1 => whole(call),
                2 if rng.below(8) == 0 => Err(errno(libc::EAGAIN)),
                _ => {
                    // The call itself must be aligned; its answer need not be.
                    let most = (1 + rng.below(300_000) as usize).next_multiple_of(unit);
                    make(call, most.next_multiple_of(PAGE)).map(|done| done.min(most))
                }
            };
            let transfer = scene.by_ring(scene.piece(piece));
            slab_of(scene.follow(transfer, &mut kernel));
        }
        scene.assert_written();
        for piece in 0..scene.layout.pieces() {
            let (mut slab, spans) = scene.slab(piece);
            slab.as_mut_slice().fill(0);
            let read = Disk::Read {
                op: op(),
                storage: STORAGE,
                slab,
                spans,
            };
            let mut kernel = |call: Call| match rng.below(5) {
                0 => Err(errno(libc::EINTR)),
                1 if rng.below(8) == 0 => Err(errno(libc::EAGAIN)),
                _ => make(call, 1 + rng.below(700_000) as usize),
            };
            let done = match scene.desk.carry(read, true) {
                Route::Ring(transfer) => scene.follow(transfer, &mut kernel),
                Route::Done(done) => done,
                Route::Thread => panic!("it went to a thread"),
            };
            let slab = slab_of(done);
            assert!(slab.as_slice() == scene.slab(piece).0.as_slice(), "{piece}");
        }
    }
}

/// A file system that refuses a direct write after all is not asked again, and the piece arrives.
#[test]
fn a_refusal_is_for_good() {
    for refusal in [libc::EINVAL, libc::EOPNOTSUPP] {
        let Some(mut scene) = Scene::new("a_refusal_is_for_good") else {
            return;
        };
        let transfer = scene.by_ring(scene.piece(0));
        slab_of(scene.follow(transfer, |_| Err(errno(refusal))));
        for piece in 1..scene.layout.pieces() {
            assert!(matches!(
                scene.desk.carry(scene.piece(piece), true),
                Route::Thread
            ));
            slab_of(scene.wait());
        }
        scene.assert_written();
    }
}

/// Whatever else the system says is told, with the file, and the slab comes home.
#[test]
fn errors_are_told() {
    let Some(mut scene) = Scene::new("errors_are_told") else {
        return;
    };
    for (code, kind) in [
        (libc::ENOSPC, IoErrorKind::NoSpace),
        (libc::EDQUOT, IoErrorKind::NoSpace),
        (libc::EIO, IoErrorKind::Other),
        (libc::EROFS, IoErrorKind::ReadOnly),
    ] {
        let transfer = scene.by_ring(scene.piece(1));
        let done = scene.land(transfer, Err(errno(code)));
        assert_eq!(error_of(&done), (Some(FileIndex(0)), kind));
    }
    // What was written before counts as changed, though the piece is not there.
    let transfer = scene.by_ring(scene.piece(5));
    scene.sync();
    let mut calls = 0;
    let done = scene.follow(transfer, |call| {
        calls += 1;
        match calls {
            1 => make(call, PAGE),
            _ => Err(errno(libc::ENOSPC)),
        }
    });
    assert_eq!(error_of(&done).1, IoErrorKind::NoSpace);
    assert!(!scene.sync().is_empty());
    // A ring that ends gives its work back to the threads.
    let transfer = scene.by_ring(scene.piece(0));
    slab_of(scene.land(transfer, Err(errno(libc::ECANCELED))));
}

/// A file that ends early is told as such.
#[test]
fn a_read_beyond_the_end_is_told() {
    let Some(mut scene) = Scene::new("a_read_beyond_the_end_is_told") else {
        return;
    };
    let (slab, spans) = scene.slab(2);
    let file = fs::OpenOptions::new().write(true).open(scene.path(0));
    file.unwrap().set_len(2 * u64::from(PIECE) + 100).unwrap();
    let read = Disk::Read {
        op: op(),
        storage: STORAGE,
        slab,
        spans,
    };
    let transfer = scene.by_ring(read);
    let done = scene.follow(transfer, whole);
    assert_eq!(error_of(&done), (Some(FileIndex(0)), IoErrorKind::TooShort));
}

/// A sync counts for what has ended when it begins, not for what is under way.
#[test]
fn a_sync_covers_what_has_ended() {
    let Some(mut scene) = Scene::new("a_sync_covers_what_has_ended") else {
        return;
    };
    scene.sync();
    let transfer = scene.by_ring(scene.piece(1));
    assert_eq!(scene.sync(), BTreeSet::new());
    slab_of(scene.follow(transfer, whole));
    assert_eq!(scene.sync(), BTreeSet::from([0]));
    assert_eq!(scene.sync(), BTreeSet::new());
}

/// A storage is closed after what the ring does for it.
#[test]
fn closing_waits_for_the_ring() {
    let Some(mut scene) = Scene::new("closing_waits_for_the_ring") else {
        return;
    };
    let transfers = [0, 1].map(|piece| scene.by_ring(scene.piece(piece)));
    let close = Disk::Close {
        op: op(),
        storage: STORAGE,
    };
    assert!(matches!(scene.desk.carry(close, true), Route::Thread));
    for transfer in transfers {
        assert!(scene.basket.take().is_none(), "it is closed already");
        slab_of(scene.follow(transfer, whole));
    }
    assert!(matches!(scene.wait(), DiskDone::Closed { .. }));
}

/// Without leave nothing is written directly, by whatever road, and reads use the ring all the same.
#[test]
fn direct_writes_can_be_forbidden() {
    let mut scene = Scene::with(Options {
        direct_writes: false,
        ..Options::default()
    });
    scene.touch();
    assert!(!scene.first_direct());
    for piece in 0..scene.layout.pieces() {
        slab_of(scene.perform(scene.piece(piece)));
    }
    scene.assert_written();
    let (slab, spans) = scene.slab(3);
    let read = Disk::Read {
        op: op(),
        storage: STORAGE,
        slab,
        spans,
    };
    match scene.desk.carry(read, true) {
        Route::Ring(transfer) => slab_of(scene.follow(transfer, whole)),
        Route::Done(done) => slab_of(done),
        Route::Thread => panic!("it went to a thread"),
    };
}

/// Threads write directly too, where there is no ring.
#[test]
fn threads_write_what_the_ring_would() {
    let mut scene = Scene::with(Options::default());
    for piece in (0..scene.layout.pieces()).rev() {
        slab_of(scene.perform(scene.piece(piece)));
    }
    scene.assert_written();
}

/// A file that lies in memory is read at once: a ring would give it to a thread of the kernel.
#[test]
fn what_is_in_memory_is_copied_at_once() {
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        return eprintln!("SKIPPED what_is_in_memory_is_copied_at_once: no /dev/shm");
    };
    let mut scene = Scene::within(folder, Options::default());
    for piece in 0..scene.layout.pieces() {
        slab_of(scene.perform(scene.piece(piece)));
    }
    for piece in 0..scene.layout.pieces() {
        let (mut slab, spans) = scene.slab(piece);
        slab.as_mut_slice().fill(0);
        let read = Disk::Read {
            op: op(),
            storage: STORAGE,
            slab,
            spans,
        };
        let Route::Done(done) = scene.desk.carry(read, true) else {
            panic!("piece {piece} waits")
        };
        assert!(slab_of(done).as_slice() == scene.slab(piece).0.as_slice());
    }
}

/// What would keep the loop busy for long is a thread's.
#[test]
fn large_reads_are_for_threads() {
    let mut scene = Scene::with(Options::default());
    scene.touch();
    let len = LENGTHS.iter().sum::<u64>() as usize;
    let span = |(file, len): (u32, &u64)| FileSpan {
        file: Some(FileIndex(file)),
        offset: 0,
        len: *len as u32,
        aside: false,
    };
    let read = Disk::Read {
        op: op(),
        storage: STORAGE,
        slab: filled(len, 0),
        spans: (0..).zip(&LENGTHS).map(span).collect(),
    };
    assert!(matches!(scene.desk.carry(read, true), Route::Thread));
    slab_of(scene.wait());
}

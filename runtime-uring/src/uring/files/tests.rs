//! Files over a kernel that does what a test tells it to.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::Arc;

use ripcurrent_proto::api::{Access, IoErrorKind, Output, StorageId};
use ripcurrent_proto::base::id::{Id, OpId, TorrentId};
use ripcurrent_proto::base::slab::{PAGE, Slab};
use ripcurrent_proto::drive::{self, Turn};
use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout, PieceIndex};
use rustix::fs::OFlags;
use tempfile::TempDir;

use super::super::buffers::Shape;
use super::super::ring::Ring;
use super::super::scripted::{Scripted, Sqe};
use super::super::tests::Probe;
use super::*;
use crate::bell::Waker;
use crate::clock::Clock;
use crate::options::Options;
use crate::work::Work;

const STORAGE: StorageId = TorrentId(1);
const PIECE: usize = 1 << 20;
const PIECES: u32 = 6;

/// A backend over a scripted kernel, with one file of whole pieces that is open to write.
struct Scene {
    script: Scripted,
    uring: Uring<Scripted>,
    probe: Probe,
    layout: Arc<Layout>,
    folder: TempDir,
}

impl Scene {
    /// `None`, said aloud, where the file system of the folder has no direct writes.
    fn new(name: &str) -> Option<Self> {
        let file = FileEntry {
            path: vec!["file".into()],
            len: PIECE as u64 * u64::from(PIECES),
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Arc::new(Layout::new(PIECE as u32, vec![file]).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let (script, options) = (Scripted::default(), Options::default());
        let waker = Waker::new().unwrap();
        let work = Work::new(&options, &waker).unwrap();
        let shape = Shape {
            count: 1,
            size: 4096,
        };
        let ring = Ring::new(script.clone(), shape).unwrap();
        let mut scene = Scene {
            script,
            uring: Uring::new(ring, &options, (Clock::new(), waker, work)),
            probe: Probe::default(),
            layout: Arc::clone(&layout),
            folder,
        };
        let open = Disk::Open {
            op: op(100),
            storage: STORAGE,
            root: scene.folder.path().to_str().unwrap().into(),
            info_hash: [7; 20],
            layout,
            access: Access::Write {
                preallocate: false,
                overwrite: false,
            },
        };
        scene.ask(open);
        scene.one_answer();
        // The first write opens the file, on a thread.
        scene.ask(scene.write(0));
        let done = scene.one_answer();
        assert!(matches!(done, DiskDone::Written { result: Ok(()), .. }));
        scene.ask(scene.write(0));
        scene.turn();
        match scene.script.find(opcode::Write::CODE) {
            Some(sqe) => {
                scene.script.complete(&sqe, PIECE as i32, 0);
                scene.one_answer();
                Some(scene)
            }
            None => {
                eprintln!("SKIPPED {name}: this file system has no direct writes");
                None
            }
        }
    }

    fn ask(&mut self, disk: Disk) {
        self.probe.outputs.push_back(Output::Disk(disk));
    }

    /// Turns until nothing more happens, and lets the kernel work.
    fn turn(&mut self) {
        while drive::turn(&mut self.probe, &mut self.uring) == Turn::Busy {}
        self.uring.enter(true, None).unwrap();
    }

    /// The next answer; threads may be at it.
    fn one_answer(&mut self) -> DiskDone {
        while self.probe.answers.is_empty() {
            self.turn();
            std::thread::yield_now();
        }
        assert_eq!(self.probe.answers.len(), 1);
        self.probe.answers.remove(0)
    }

    fn write(&self, piece: u32) -> Disk {
        Disk::Write {
            op: op(piece),
            storage: STORAGE,
            slab: filled(piece),
            spans: self.layout.spans(self.layout.whole(PieceIndex(piece))),
        }
    }

    fn read(&self, piece: u32) -> Disk {
        let mut slab = filled(piece);
        slab.as_mut_slice().fill(0xaa);
        Disk::Read {
            op: op(piece),
            storage: STORAGE,
            slab,
            spans: self.layout.spans(self.layout.whole(PieceIndex(piece))),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("file.part")
    }

    fn assert_written(&self, pieces: impl Iterator<Item = u32>) {
        let there = fs::read(self.path()).unwrap();
        for piece in pieces {
            let at = piece as usize * PIECE;
            assert!(
                there[at..at + PIECE] == *filled(piece).as_slice(),
                "{piece}"
            );
        }
    }
}

fn op(number: u32) -> OpId {
    OpId(Id::from_parts(number, 0))
}

fn filled(piece: u32) -> Slab {
    let mut slab = Slab::new(PIECE);
    slab.set_len(PIECE);
    for (bytes, at) in slab.as_mut_slice().chunks_mut(512).zip(0u32..) {
        bytes.fill((at ^ (at >> 8)) as u8);
        bytes[0] = piece as u8 + 1;
    }
    slab
}

/// Does what the entry asks for, but no more than `most` bytes of it; what the kernel says then.
fn perform(sqe: &Sqe, most: usize) -> i32 {
    let len = most.min(sqe.len as usize);
    // SAFETY: the ring was promised that the descriptor stays open until the entry has landed.
    let file = unsafe { BorrowedFd::borrow_raw(sqe.fd) };
    let done = match sqe.opcode {
        opcode::Write::CODE => {
            // SAFETY: the ring was promised that so many bytes stay there as long.
            let bytes = unsafe { std::slice::from_raw_parts(sqe.addr as *const u8, len) };
            rustix::io::pwrite(file, bytes, sqe.off)
        }
        opcode::Read::CODE => {
            // SAFETY: as above, and that nobody touches them.
            let bytes = unsafe { std::slice::from_raw_parts_mut(sqe.addr as *mut u8, len) };
            rustix::io::pread(file, bytes, sqe.off)
        }
        other => panic!("entry {other}"),
    };
    done.map_or_else(|error| -error.raw_os_error(), |count| count as i32)
}

fn number_of(done: &DiskDone) -> (u32, bool) {
    match done {
        DiskDone::Written { op, result, slab } | DiskDone::Read { op, result, slab } => {
            assert_eq!(slab.len(), PIECE);
            (op.0.slot(), result.is_ok())
        }
        other => panic!("{other:?}"),
    }
}

/// A piece is one write past the page cache; what comes short goes on where it stopped, and the
/// answer comes once.
#[test]
fn a_write_goes_on_where_it_stopped() {
    let Some(mut scene) = Scene::new("a_write_goes_on_where_it_stopped") else {
        return;
    };
    scene.ask(scene.write(3));
    scene.turn();
    let (mut done, mut last) = (0, None);
    while done < PIECE {
        assert!(scene.probe.answers.is_empty());
        let sqe = scene.script.take(opcode::Write::CODE);
        assert_eq!(sqe.off as usize, 3 * PIECE + done);
        assert_eq!(sqe.len as usize, PIECE - done);
        // SAFETY: the ring was promised that the descriptor stays open.
        let file = unsafe { BorrowedFd::borrow_raw(sqe.fd) };
        let flags = rustix::fs::fcntl_getfl(file).unwrap();
        assert!(flags.contains(OFlags::DIRECT));
        let count = perform(&sqe, 77 * PAGE);
        scene.script.complete(&sqe, count, 0);
        done += count as usize;
        last = Some(sqe);
        scene.turn();
    }
    assert_eq!(number_of(&scene.one_answer()), (3, true));
    scene.script.complete(&last.unwrap(), 4096, 0);
    scene.turn();
    assert!(scene.probe.answers.is_empty(), "an answer came twice");
    assert!(scene.script.find(opcode::Write::CODE).is_none());
    scene.assert_written([3].into_iter());
}

/// Many at once, completed in any order and with any luck: each answer is its own.
#[test]
fn completions_come_in_any_order() {
    let Some(mut scene) = Scene::new("completions_come_in_any_order") else {
        return;
    };
    for round in 0..8usize {
        let reads = round % 2 == 1;
        for piece in 0..PIECES {
            let disk = match reads {
                true => scene.read(piece),
                false => scene.write(piece),
            };
            scene.ask(disk);
        }
        scene.turn();
        let code = match reads {
            true => opcode::Read::CODE,
            false => opcode::Write::CODE,
        };
        let mut calls: Vec<Sqe> = std::iter::from_fn(|| scene.script.find(code)).collect();
        assert_eq!(calls.len(), PIECES as usize);
        calls.rotate_left(round % PIECES as usize);
        calls.reverse();
        for (at, sqe) in calls.into_iter().enumerate() {
            let luck = if round == 0 { 4 } else { (at + round) % 5 };
            let result = match luck {
                0 => -libc::EIO,
                1 => -libc::EAGAIN,
                2 => -libc::ECANCELED,
                _ => perform(&sqe, PIECE),
            };
            scene.script.complete(&sqe, result, 0);
            let done = scene.one_answer();
            let piece = (sqe.off as usize / PIECE) as u32;
            assert_eq!(number_of(&done), (piece, result != -libc::EIO));
            if let (DiskDone::Read { slab, .. }, true) = (&done, result != -libc::EIO) {
                assert!(slab.as_slice() == filled(piece).as_slice(), "{piece}");
            }
        }
        scene.assert_written(0..PIECES);
    }
}

/// A full disk is told as such, with the file; there may be room later.
#[test]
fn a_full_disk_is_told() {
    let Some(mut scene) = Scene::new("a_full_disk_is_told") else {
        return;
    };
    scene.ask(scene.write(2));
    scene.turn();
    let sqe = scene.script.take(opcode::Write::CODE);
    scene.script.complete(&sqe, 8192, 0);
    scene.turn();
    let sqe = scene.script.take(opcode::Write::CODE);
    scene.script.complete(&sqe, -libc::ENOSPC, 0);
    let DiskDone::Written { result, slab, .. } = scene.one_answer() else {
        panic!("no answer to a write")
    };
    let error = result.unwrap_err();
    assert_eq!(error.error.kind, IoErrorKind::NoSpace);
    assert_eq!(error.file.map(|file| file.0), Some(0));
    assert!(slab.as_slice() == filled(2).as_slice());
    scene.ask(scene.write(2));
    scene.turn();
    let sqe = scene.script.take(opcode::Write::CODE);
    let all = perform(&sqe, PIECE);
    scene.script.complete(&sqe, all, 0);
    assert_eq!(number_of(&scene.one_answer()), (2, true));
    scene.assert_written([2].into_iter());
}

/// A backend that leaves brings to an end what it has begun to write, also what a thread must do.
#[test]
fn leaving_finishes_writes() {
    let Some(mut scene) = Scene::new("leaving_finishes_writes") else {
        return;
    };
    for piece in 0..PIECES {
        scene.ask(scene.write(piece));
    }
    while drive::turn(&mut scene.probe, &mut scene.uring) == Turn::Busy {}
    scene.script.always(|script| {
        for code in [opcode::AsyncCancel::CODE, opcode::AsyncCancel2::CODE] {
            while script.find(code).is_some() {}
        }
        while let Some(bell) = script.find(opcode::PollAdd::CODE) {
            script.complete(&bell, -libc::ECANCELED, 0);
        }
        while let Some(sqe) = script.find(opcode::Write::CODE) {
            let rest = sqe.len as usize;
            let result = match sqe.off as usize / PIECE {
                0 => perform(&sqe, 3 * PAGE),
                1 => -libc::EAGAIN,
                2 => -libc::EINVAL,
                3 if rest == PIECE => perform(&sqe, PIECE / 2),
                4 => perform(&sqe, PAGE).min(512),
                _ => perform(&sqe, PIECE),
            };
            script.complete(&sqe, result, 0);
        }
    });
    // What the scene began with has emptied the file of nothing: zeros would be seen.
    fs::write(scene.path(), vec![0; PIECE * PIECES as usize]).unwrap();
    scene.uring.leave().unwrap();
    let Scene {
        uring,
        layout,
        folder,
        script,
        probe,
    } = scene;
    // Its threads are waited for.
    drop(uring);
    let there = fs::read(folder.path().join("file.part")).unwrap();
    for piece in 0..layout.pieces() {
        let at = piece as usize * PIECE;
        assert!(
            there[at..at + PIECE] == *filled(piece).as_slice(),
            "{piece}"
        );
    }
    assert!(probe.answers.is_empty() && script.find(opcode::Write::CODE).is_none());
}

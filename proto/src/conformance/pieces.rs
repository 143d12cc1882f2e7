//! Pieces as large as they mostly are, many at once: hosts may move them past their caches, in parts,
//! and in whatever order.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::disk::{STORAGE, granted};
use super::ledger::Answer;
use super::stage::{Stage, ensure, slab_of, unfit};
use super::{Case, Env, Failure, Verdict, patterned};
use crate::api::{Access, Disk, DiskDone, DiskError, Output};
use crate::base::id::OpId;
use crate::base::slab::Slab;
use crate::meta::layout::{FileEntry, FileKind, Layout, PieceIndex};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "large_pieces_at_once",
        proves: "Pieces of 1 MiB over the edges of files, all written and then all read at once, come back as they were.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(large_pieces_at_once(env, stage, false)),
    },
    Case {
        name: "large_pieces_at_once_preallocated",
        proves: "The same with every block allocated at once.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(large_pieces_at_once(env, stage, true)),
    },
    Case {
        name: "large_pieces_are_finished",
        proves: "Files are finished and synced between the pieces of others, and a file that is finished can be written again.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(large_pieces_are_finished(env, stage)),
    },
    Case {
        name: "pieces_are_digested",
        proves: "Pieces over the edges of files are digested where they lie, in whatever memory there is.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(pieces_are_digested(env, stage)),
    },
];

const PIECE: u32 = 1 << 20;

/// Files whose edges lie anywhere, a small one among them.
fn layout() -> Result<Arc<Layout>, Failure> {
    let mib = u64::from(PIECE);
    let lens = [3 * mib + 5, 2 * mib + 70_000, 90_001, 2 * mib];
    let entry = |(len, at): (u64, usize)| FileEntry {
        path: vec![String::from("t"), at.to_string()],
        len,
        offset: 0,
        kind: FileKind::Regular { executable: false },
    };
    let files = lens.into_iter().zip(0..).map(entry).collect();
    let layout = Layout::new(PIECE, files);
    layout.map(Arc::new).map_err(|bad| Failure(bad.to_string()))
}

/// What a piece holds, in a slab as the engine has it.
fn piece_of(layout: &Layout, piece: PieceIndex, round: u64) -> (Slab, Vec<u8>) {
    let seed = round * 100 + u64::from(piece.0);
    let bytes = patterned(seed, 0, layout.piece_len(piece) as usize);
    let mut slab = slab_of(&bytes);
    slab.shift(layout.shift_of(layout.whole(piece)));
    slab.as_mut_slice().copy_from_slice(&bytes);
    (slab, bytes)
}

fn start_write(stage: &Stage, layout: &Layout, piece: PieceIndex, round: u64) -> OpId {
    let (slab, _) = piece_of(layout, piece, round);
    let spans = layout.spans(layout.whole(piece));
    stage.start(|op| {
        Output::Disk(Disk::Write {
            op,
            storage: STORAGE,
            slab,
            spans,
        })
    })
}

async fn written(stage: &Stage, op: OpId) -> Verdict {
    match stage.answer(op).await {
        Answer::Disk(DiskDone::Written { result, .. }) => granted(result),
        other => Err(unfit(&other)),
    }
}

/// Reads every piece, all at once, and compares.
async fn all_read_back(stage: &Stage, layout: &Layout, round: u64) -> Verdict {
    let pieces = || (0..layout.pieces()).map(PieceIndex);
    let reads: Vec<OpId> = pieces()
        .map(|piece| {
            let (mut slab, _) = piece_of(layout, piece, round);
            slab.as_mut_slice().fill(0xaa);
            let spans = layout.spans(layout.whole(piece));
            stage.start(|op| {
                Output::Disk(Disk::Read {
                    op,
                    storage: STORAGE,
                    slab,
                    spans,
                })
            })
        })
        .collect();
    for (piece, op) in pieces().zip(reads) {
        let slab = match stage.answer(op).await {
            Answer::Disk(DiskDone::Read { slab, result, .. }) => granted(result).map(|()| slab)?,
            other => return Err(unfit(&other)),
        };
        let (_, due) = piece_of(layout, piece, round);
        ensure(slab.as_slice() == due, || {
            alloc::format!("{piece:?} of round {round} is not as written")
        })?;
    }
    Ok(())
}

async fn large_pieces_at_once(env: Env, stage: Stage, preallocate: bool) -> Verdict {
    let layout = layout()?;
    let access = Access::Write {
        preallocate,
        overwrite: false,
    };
    granted(stage.open(STORAGE, &env.root, &layout, access).await?)?;
    // The first round finds no file, the others find all of them open.
    for round in 0..3 {
        let pieces = (0..layout.pieces()).rev().map(PieceIndex);
        let writes: Vec<OpId> = pieces
            .map(|piece| start_write(&stage, &layout, piece, round))
            .collect();
        // Whatever it covers, it is in nobody's way.
        granted(stage.sync(STORAGE).await?)?;
        for op in writes {
            written(&stage, op).await?;
        }
        all_read_back(&stage, &layout, round).await?;
    }
    // Of a write that ended before it began, a sync covers all; the last one may have covered others.
    let op = start_write(&stage, &layout, PieceIndex(0), 2);
    written(&stage, op).await?;
    let synced = granted(stage.sync(STORAGE).await?)?;
    ensure(!synced.is_empty(), || "nothing was due".into())?;
    granted(stage.reopen(STORAGE, &env, &layout, Access::Read).await?)?;
    all_read_back(&stage, &layout, 2).await
}

async fn large_pieces_are_finished(env: Env, stage: Stage) -> Verdict {
    let layout = layout()?;
    let access = Access::Write {
        preallocate: false,
        overwrite: false,
    };
    granted(stage.open(STORAGE, &env.root, &layout, access).await?)?;
    for round in 0..2 {
        for piece in (0..layout.pieces()).map(PieceIndex) {
            let op = start_write(&stage, &layout, piece, round);
            written(&stage, op).await?;
            granted(stage.sync(STORAGE).await?)?;
        }
        for file in 0..layout.files().len() as u32 {
            granted(stage.finish(STORAGE, file).await?)?;
        }
        granted(stage.sync(STORAGE).await?)?;
        all_read_back(&stage, &layout, round).await?;
    }
    Ok(())
}

/// Pieces that lie in several files are digested in little memory, as a whole and in parts, before and
/// after they are synced and finished; what is not there has no digest.
async fn pieces_are_digested(env: Env, stage: Stage) -> Verdict {
    let layout = layout()?;
    let access = Access::Write {
        preallocate: false,
        overwrite: false,
    };
    granted(stage.open(STORAGE, &env.root, &layout, access).await?)?;
    let (whole, block) = (PIECE, 16 << 10);
    let absent = digested(&stage, &layout, PieceIndex(0), block, whole).await?;
    ensure(absent.is_err(), || "what is not there has a digest".into())?;
    let pieces = || (0..layout.pieces()).map(PieceIndex);
    for piece in pieces() {
        let op = start_write(&stage, &layout, piece, 0);
        written(&stage, op).await?;
    }
    for memory in [block, 100_000, 2 * PIECE] {
        for piece in pieces() {
            for every in [whole, block, 1000] {
                let told = digested(&stage, &layout, piece, memory, every).await?;
                let (_, bytes) = piece_of(&layout, piece, 0);
                let due = bytes.chunks(every as usize);
                let due: Vec<[u8; 20]> = due.map(|bytes| Sha1::digest(bytes).into()).collect();
                ensure(told == Ok(due), || {
                    alloc::format!("{piece:?} by {memory} B, each {every} B, has other digests")
                })?;
            }
        }
    }
    granted(stage.sync(STORAGE).await?)?;
    granted(stage.finish(STORAGE, 0).await?)?;
    let told = digested(&stage, &layout, PieceIndex(0), block, whole).await?;
    let (_, bytes) = piece_of(&layout, PieceIndex(0), 0);
    ensure(told == Ok(vec![Sha1::digest(&bytes).into()]), || {
        "a finished file has another digest".into()
    })?;
    stage.close_storage(STORAGE).await
}

/// The digests of each `every` bytes of a piece, read into so much memory.
async fn digested(
    stage: &Stage,
    layout: &Layout,
    piece: PieceIndex,
    memory: u32,
    every: u32,
) -> Result<Result<Vec<[u8; 20]>, DiskError>, Failure> {
    let mut slab = Slab::new(memory as usize);
    slab.set_len(memory as usize);
    let spans = layout.spans(layout.whole(piece));
    let op = stage.start(|op| {
        Output::Disk(Disk::Digest {
            op,
            storage: STORAGE,
            slab,
            spans,
            every,
        })
    });
    match stage.answer(op).await {
        Answer::Disk(DiskDone::Digested { slab, result, .. }) => {
            ensure(slab.capacity() == memory as usize, || "another slab".into())?;
            Ok(result)
        }
        other => Err(unfit(&other)),
    }
}

//! Storages: what is found, made, written, read, refused, and left alone.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::ledger::Answer;
use super::stage::{Stage, ensure, slab_of, unfit};
use super::{Case, Env, Failure, Files, Need, Verdict, patterned};
use crate::api::{Access, Spans, StorageId};
use crate::api::{Disk, DiskDone, DiskError, Found, FoundFile, IoErrorKind, Output};
use crate::base::id::TorrentId;
use crate::meta::layout::{FileEntry, FileIndex, FileKind, FileSpan, Layout, PieceIndex};

/// The name all scenes use.
pub(super) const STORAGE: StorageId = TorrentId(7);

pub(super) const SPARSE: Access = Access::Write {
    preallocate: false,
    overwrite: false,
};
const ALLOCATED: Access = Access::Write {
    preallocate: true,
    overwrite: false,
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "open_reports_what_is_there",
        proves: "Open tells the length of each file that is there, whatever the layout says.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(open_reports_what_is_there(env, stage)),
    },
    Case {
        name: "write_and_read_back",
        proves: "Pieces over several files, empty ones and padding read back as written, padding as zeros.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(write_and_read_back(env, stage, SPARSE)),
    },
    Case {
        name: "write_and_read_back_preallocated",
        proves: "The same with every block allocated at once.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(write_and_read_back(env, stage, ALLOCATED)),
    },
    Case {
        name: "files_have_their_full_length_at_once",
        proves: "The first write to a file sets its length; sync reports success.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(full_length_at_once(env, stage)),
    },
    Case {
        name: "opening_makes_no_files",
        proves: "Open to write makes no file of the torrent, not even an empty one; Finish does.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(opening_makes_no_files(env, stage)),
    },
    Case {
        name: "reading_creates_nothing",
        proves: "Access to read makes nothing and refuses writes.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(reading_creates_nothing(env, stage)),
    },
    Case {
        name: "deleting_spares_what_is_others",
        proves: "Delete removes the files and the folders left empty, nothing else, and may find nothing.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(deleting_spares_what_is_others(env, stage)),
    },
    Case {
        name: "what_is_missing_is_named",
        proves: "Reading a file that is not there, or ends early, is an error that names it.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(what_is_missing_is_named(env, stage)),
    },
    Case {
        name: "something_in_the_way",
        proves: "A folder where a file should be, or a file where a folder should be, is told apart.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(something_in_the_way(env, stage)),
    },
    Case {
        name: "links_do_not_lead_out",
        proves: "Neither a linked folder nor a linked file is followed out of the storage.",
        needs: &[Need::Files, Need::Links],
        listener: None,
        dialler: |env, stage| Box::pin(links_do_not_lead_out(env, stage)),
    },
    Case {
        name: "a_protected_folder",
        proves: "Where the system forbids writing the error says so and names the file.",
        needs: &[Need::LockedRoot],
        listener: None,
        dialler: |env, stage| Box::pin(a_protected_folder(env, stage)),
    },
    Case {
        name: "close_with_operations_in_flight",
        proves: "A storage closes after its operations, all of which complete; its name is then free.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(close_with_operations_in_flight(env, stage)),
    },
    Case {
        name: "more_files_than_may_be_open",
        proves: "Five hundred files are written and read in turn, however few may be open.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(many_files(env, stage)),
    },
];

pub(super) const PIECE: u32 = 65_536;

pub(super) fn layout(files: &[(&str, u64)]) -> Result<Arc<Layout>, Failure> {
    let entry = |(path, len): &(&str, u64)| FileEntry {
        path: path.split('/').map(String::from).collect(),
        len: *len,
        offset: 0,
        kind: match path.starts_with("pad") {
            true => FileKind::Pad,
            false => FileKind::Regular { executable: false },
        },
    };
    let layout = Layout::new(PIECE, files.iter().map(entry).collect());
    layout.map(Arc::new).map_err(|bad| Failure(bad.to_string()))
}

pub(super) fn span(file: u32, offset: u64, len: u32) -> Spans {
    let file = Some(FileIndex(file));
    Spans::from_iter([FileSpan {
        file,
        offset,
        len,
        aside: false,
    }])
}

pub(super) fn files(env: &Env) -> Result<Arc<dyn Files + Send + Sync>, Failure> {
    let missing = || Failure("this host shows no files".into());
    env.files.clone().ok_or_else(missing)
}

pub(super) fn under(env: &Env, path: &str) -> String {
    format!("{}/{path}", env.root)
}

/// Fails unless the disk refused in one of these ways, naming `file`.
pub(super) fn refused<T: core::fmt::Debug>(
    result: Result<T, DiskError>,
    file: u32,
    kinds: &[IoErrorKind],
) -> Verdict {
    let fits = |error: &DiskError| {
        error.file == Some(FileIndex(file)) && kinds.contains(&error.error.kind)
    };
    ensure(result.as_ref().is_err_and(fits), || {
        format!("{result:?}, where file {file} should be refused as {kinds:?}")
    })
}

/// The length of each file that is there.
pub(super) fn lengths(found: &Found) -> Vec<Option<u64>> {
    let len = |file: &Option<FoundFile>| file.map(|file| file.stamp.len);
    found.files.iter().map(len).collect()
}

pub(super) fn granted<T>(result: Result<T, DiskError>) -> Result<T, Failure> {
    result.map_err(|error| Failure(format!("the disk refused: {error:?}")))
}

async fn open_reports_what_is_there(env: Env, stage: Stage) -> Verdict {
    let outside = files(&env)?;
    outside.put(&under(&env, "t/short"), &[1; 100]);
    outside.put(&under(&env, "t/deep/er/long"), &[2; 3000]);
    outside.put(&under(&env, "t/empty"), &[]);
    outside.make_folder(&under(&env, "t/folder"));
    let layout = layout(&[
        ("t/short", 1000),
        ("t/missing", 10),
        ("t/deep/er/long", 2000),
        ("t/empty", 0),
        ("pad/5", 5),
        ("t/no/where", 1),
        ("t/folder", 9),
    ])?;
    let due = [Some(100), None, Some(3000), Some(0), None, None, None];
    for access in [Access::Read, SPARSE] {
        let lengths = lengths(&granted(
            stage.open(STORAGE, &env.root, &layout, access).await?,
        )?);
        ensure(lengths == due, || format!("{lengths:?} is not {due:?}"))?;
        stage.close_storage(STORAGE).await?;
    }
    Ok(())
}

async fn write_and_read_back(env: Env, stage: Stage, access: Access) -> Verdict {
    let layout = layout(&[
        ("t/a", 1000),
        ("t/empty", 0),
        ("t/sub/b", 300_000),
        ("pad/500", 500),
        ("t/sub/deeper/c", 70_000),
        ("t/one", 1),
    ])?;
    granted(stage.open(STORAGE, &env.root, &layout, access).await?)?;
    // Backwards, as pieces come in any order.
    for piece in (0..layout.pieces()).rev().map(PieceIndex) {
        let bytes = patterned(u64::from(piece.0), 0, layout.piece_len(piece) as usize);
        let spans = layout.spans(layout.whole(piece));
        granted(stage.write(STORAGE, &bytes, spans).await?)?;
    }
    granted(stage.sync(STORAGE).await?)?;
    for piece in (0..layout.pieces()).map(PieceIndex) {
        let spans = layout.spans(layout.whole(piece));
        let mut due = patterned(u64::from(piece.0), 0, layout.piece_len(piece) as usize);
        blank_padding(&mut due, &spans);
        let bytes = granted(stage.read(STORAGE, spans).await?)?;
        ensure(bytes == due, || format!("{piece:?} is not as written"))?;
    }
    stage.close_storage(STORAGE).await?;
    let lengths = lengths(&granted(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
    )?);
    let due = [Some(1000), None, Some(300_000), None, Some(70_000), Some(1)];
    ensure(lengths == due, || format!("{lengths:?} is not {due:?}"))?;
    stage.close_storage(STORAGE).await
}

fn blank_padding(bytes: &mut [u8], spans: &Spans) {
    let mut at = 0;
    for span in spans {
        let end = at + span.len as usize;
        if span.file.is_none() {
            bytes[at..end].fill(0);
        }
        at = end;
    }
}

async fn full_length_at_once(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 100_000), ("t/b", 5)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    granted(stage.write(STORAGE, b"middle", span(0, 50_000, 6)).await?)?;
    granted(stage.sync(STORAGE).await?)?;
    let mut due = vec![0; 100_000];
    due[50_000..50_006].copy_from_slice(b"middle");
    let outside = files(&env)?;
    ensure(outside.read(&under(&env, "t/a.part")) == Some(due), || {
        "t/a.part is not 100,000 bytes with six in the middle".into()
    })?;
    let other = outside.read(&under(&env, "t/b.part"));
    ensure(other.is_none(), || {
        "t/b.part was made before its first write".into()
    })
}

async fn opening_makes_no_files(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/x/y/empty", 0), ("t/full", 10), ("t/void", 0)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    let outside = files(&env)?;
    for made in [0, 1] {
        for (file, path) in [(0, "t/x/y/empty"), (1, "t/full"), (2, "t/void")] {
            let found = outside.read(&under(&env, path));
            let due = (made == 1 && file != 1).then(Vec::new);
            ensure(found == due, || format!("{path} is {found:?}, not {due:?}"))?;
            if file != 1 {
                granted(stage.finish(STORAGE, file).await?)?;
            }
        }
    }
    let found = lengths(&granted(
        stage.reopen(STORAGE, &env, &layout, SPARSE).await?,
    )?);
    ensure(found == [Some(0), None, Some(0)], || format!("{found:?}"))
}

async fn deleting_spares_what_is_others(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[
        ("t/a", 4),
        ("t/sub/b", 4),
        ("t/shared/c", 4),
        ("t/never/d", 4),
        ("t/unwanted/e", 4),
    ])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    for file in 0..3 {
        granted(stage.write(STORAGE, b"ours", span(file, 0, 4)).await?)?;
    }
    let mut unwanted = span(4, 0, 4);
    unwanted[0].aside = true;
    granted(stage.write(STORAGE, b"ours", unwanted).await?)?;
    granted(stage.save(STORAGE, Some(b"ours")).await?)?;
    granted(stage.finish(STORAGE, 0).await?)?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/shared/theirs"), b"theirs");
    granted(stage.delete(STORAGE).await?)?;
    for path in ["t/a", "t/a.part", "t/sub/b.part", "t/shared/c.part"] {
        let found = outside.read(&under(&env, path));
        ensure(found.is_none(), || format!("{path} is still there"))?;
    }
    let theirs = outside.read(&under(&env, "t/shared/theirs"));
    ensure(theirs.as_deref() == Some(b"theirs"), || {
        format!("{theirs:?}")
    })?;
    // A file may be where an empty folder was only if the folder is gone.
    outside.put(&under(&env, "t/sub"), b"free");
    let free = outside.read(&under(&env, "t/sub"));
    ensure(free.as_deref() == Some(b"free"), || {
        "an empty folder is left".into()
    })?;
    granted(stage.delete(STORAGE).await?)?;
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    ensure(found.state.is_none() && !found.aside, || {
        format!("{found:?} is left")
    })
}

async fn reading_creates_nothing(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 10), ("t/empty", 0), ("t/there", 4)])?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/there"), b"same");
    granted(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
    )?;
    refused(
        stage.read(STORAGE, span(0, 0, 10)).await?,
        0,
        &[IoErrorKind::NotFound],
    )?;
    let forbidden = &[IoErrorKind::Forbidden];
    refused(
        stage.write(STORAGE, b"new", span(0, 0, 3)).await?,
        0,
        forbidden,
    )?;
    refused(
        stage.write(STORAGE, b"new", span(2, 0, 3)).await?,
        2,
        forbidden,
    )?;
    for path in ["t/a", "t/empty"] {
        let found = outside.read(&under(&env, path));
        ensure(found.is_none(), || format!("{path} was made"))?;
    }
    let there = outside.read(&under(&env, "t/there"));
    ensure(there.as_deref() == Some(b"same"), || format!("{there:?}"))
}

async fn what_is_missing_is_named(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/whole", 50), ("t/missing", 50), ("t/short", 50)])?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/whole"), &[1; 50]);
    outside.put(&under(&env, "t/short"), &[3; 20]);
    granted(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
    )?;
    let both = |second| Spans::from_iter(span(0, 0, 50).into_iter().chain(span(second, 0, 50)));
    let missing = stage.read(STORAGE, both(1)).await?;
    refused(missing, 1, &[IoErrorKind::NotFound])?;
    let short = stage.read(STORAGE, both(2)).await?;
    refused(short, 2, &[IoErrorKind::TooShort])?;
    let bytes = granted(stage.read(STORAGE, span(2, 5, 15)).await?)?;
    ensure(bytes == [3; 15], || format!("{bytes:?}"))
}

async fn something_in_the_way(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/folder", 3), ("t/file/inside", 50), ("t/fine", 3)])?;
    let outside = files(&env)?;
    outside.make_folder(&under(&env, "t/folder"));
    outside.put(&under(&env, "t/file"), b"a file");
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    let in_the_way = &[IoErrorKind::InTheWay];
    let inside = stage.write(STORAGE, b"new", span(1, 0, 3)).await?;
    refused(inside, 1, in_the_way)?;
    for file in [0, 2] {
        granted(stage.write(STORAGE, b"new", span(file, 0, 3)).await?)?;
    }
    for file in [0, 1] {
        refused(stage.finish(STORAGE, file).await?, file, in_the_way)?;
    }
    granted(stage.finish(STORAGE, 2).await?)?;
    let kept = outside.read(&under(&env, "t/file"));
    ensure(kept.as_deref() == Some(b"a file"), || format!("{kept:?}"))
}

async fn links_do_not_lead_out(env: Env, stage: Stage) -> Verdict {
    let root: Arc<str> = under(&env, "storage").into();
    let inside = |path: &str| format!("{root}/{path}");
    let outside = files(&env)?;
    outside.make_folder(&under(&env, "elsewhere"));
    outside.put(&under(&env, "elsewhere/secret"), b"secret");
    outside.make_folder(&inside("t"));
    outside.link(&inside("t/folder"), &under(&env, "elsewhere"));
    for link in ["t/file", "t/part.part"] {
        outside.link(&inside(link), &under(&env, "elsewhere/secret"));
    }
    let layout = layout(&[
        ("t/folder/new", 3),
        ("t/folder/secret", 6),
        ("t/part", 6),
        ("t/file", 6),
    ])?;
    let lengths = lengths(&granted(
        stage.open(STORAGE, &root, &layout, SPARSE).await?,
    )?);
    ensure(lengths == [None; 4], || {
        format!("saw {lengths:?} elsewhere")
    })?;
    let kinds = &[IoErrorKind::InTheWay, IoErrorKind::Forbidden];
    for file in 0..3 {
        let written = stage.write(STORAGE, b"new", span(file, 0, 3)).await?;
        refused(written, file, kinds)?;
    }
    for file in [0, 1] {
        refused(stage.finish(STORAGE, file).await?, file, kinds)?;
    }
    for file in [0, 1, 3] {
        let read = stage.read(STORAGE, span(file, 0, 3)).await?;
        refused(read, file, kinds)?;
    }
    // A link that has the name of a finished file is beside the unfinished one.
    granted(stage.write(STORAGE, b"new", span(3, 0, 3)).await?)?;
    refused(stage.finish(STORAGE, 3).await?, 3, kinds)?;
    let secret = outside.read(&under(&env, "elsewhere/secret"));
    ensure(secret.as_deref() == Some(b"secret"), || {
        format!("{secret:?}")
    })?;
    let new = outside.read(&under(&env, "elsewhere/new"));
    ensure(new.is_none(), || "a file was made elsewhere".into())
}

async fn a_protected_folder(env: Env, stage: Stage) -> Verdict {
    let Some(root) = &env.locked_root else {
        return Ok(());
    };
    let layout = layout(&[("t/a", 10)])?;
    let kinds = [IoErrorKind::Forbidden, IoErrorKind::ReadOnly];
    if let Err(error) = stage.open(STORAGE, root, &layout, SPARSE).await? {
        // The state could not be kept elsewhere either.
        let fits = error.file.is_none() && kinds.contains(&error.error.kind);
        return ensure(fits, || format!("{error:?} is not one of {kinds:?}"));
    }
    let written = stage.write(STORAGE, b"new", span(0, 0, 3)).await?;
    refused(written, 0, &kinds)
}

async fn close_with_operations_in_flight(env: Env, stage: Stage) -> Verdict {
    const LEN: u32 = 100_000;
    let layout = layout(&[("t/a", 8 * u64::from(LEN))])?;
    let storage = STORAGE;
    for round in 0..3 {
        granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
        let bytes = patterned(round, 0, LEN as usize);
        let writes: Vec<_> = (0..8)
            .map(|at| {
                let (slab, spans) = (slab_of(&bytes), span(0, at * u64::from(LEN), LEN));
                stage.start(|op| {
                    Output::Disk(Disk::Write {
                        op,
                        storage,
                        slab,
                        spans,
                    })
                })
            })
            .collect();
        let close = stage.start(|op| Output::Disk(Disk::Close { op, storage }));
        match stage.answer(close).await {
            Answer::Disk(DiskDone::Closed { .. }) => {}
            other => return Err(unfit(&other)),
        }
        for op in writes {
            let done = stage.answer_at_once(op)?;
            match done {
                Answer::Disk(DiskDone::Written { result, .. }) => granted(result)?,
                other => return Err(unfit(&other)),
            }
        }
    }
    granted(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
    )?;
    let bytes = granted(stage.read(STORAGE, span(0, 0, LEN)).await?)?;
    ensure(bytes == patterned(2, 0, LEN as usize), || {
        "the last round is not what is there".into()
    })
}

async fn many_files(env: Env, stage: Stage) -> Verdict {
    const FILES: u32 = 500;
    let names: Vec<_> = (0..FILES).map(|at| format!("t/{}/{at}", at % 10)).collect();
    let list: Vec<_> = names.iter().map(|name| (name.as_str(), 4)).collect();
    let layout = layout(&list)?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    for file in 0..FILES {
        let bytes = file.to_be_bytes();
        granted(stage.write(STORAGE, &bytes, span(file, 0, 4)).await?)?;
    }
    granted(stage.sync(STORAGE).await?)?;
    for file in 0..FILES {
        let bytes = granted(stage.read(STORAGE, span(file, 0, 4)).await?)?;
        ensure(bytes == file.to_be_bytes(), || {
            format!("file {file}: {bytes:?}")
        })?;
    }
    Ok(())
}

//! Storages of downloads that are not finished: names, states, and what is kept aside.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::disk::{PIECE, SPARSE, STORAGE, files, granted, layout, refused, span, under};
use super::stage::{Stage, ensure};
use super::{Case, Env, Failure, Need, Verdict, patterned};
use crate::api::{Access, DiskError, Found, FoundFile, FoundName, IoErrorKind, Spans, StorageId};
use crate::base::id::TorrentId;
use crate::meta::layout::{FileEntry, FileIndex, FileKind, FileSpan, Layout};
use crate::meta::resume::{Stamp, most_len};

const OVERWRITE: Access = Access::Write {
    preallocate: false,
    overwrite: true,
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "unfinished_files_have_another_name",
        proves: "A file that is written to is a part until it is finished, and again when it is written to once more.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(unfinished_files_have_another_name(env, stage)),
    },
    Case {
        name: "parts_are_kept_apart",
        proves: "A part never has the name of another file of the torrent.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(parts_are_kept_apart(env, stage)),
    },
    Case {
        name: "parts_that_are_too_long_are_cut",
        proves: "Finish cuts a part to its length, and leaves a file alone that has its name.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(parts_that_are_too_long_are_cut(env, stage)),
    },
    Case {
        name: "nothing_in_the_way_is_replaced",
        proves: "What has a file's name is told when the storage is opened, and stays when the file is finished.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(nothing_in_the_way_is_replaced(env, stage)),
    },
    Case {
        name: "what_may_be_replaced_is",
        proves: "Who may overwrite replaces files, and never a folder.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(what_may_be_replaced_is(env, stage)),
    },
    Case {
        name: "unwanted_bytes_are_kept_aside",
        proves: "Bytes of unwanted files read back, also from the file once it is made, and no file appears before.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(unwanted_bytes_are_kept_aside(env, stage)),
    },
    Case {
        name: "unwanted_bytes_go_where_the_file_is",
        proves: "Bytes of an unwanted file that is there are written to it.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(unwanted_bytes_go_where_the_file_is(env, stage)),
    },
    Case {
        name: "states_come_back",
        proves: "The last state is found, until it is removed, and not if it is too long.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(states_come_back(env, stage)),
    },
    Case {
        name: "a_state_is_held_by_one",
        proves: "Of two storages that write the second is refused, and leaves nothing to be closed.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(a_state_is_held_by_one(env, stage)),
    },
    Case {
        name: "sync_tells_what_is_durable",
        proves: "Sync tells the stamps of what was found, written or finished since the last one.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(sync_tells_what_is_durable(env, stage)),
    },
    Case {
        name: "links_are_made_when_finished",
        proves: "A link is made once, not over what is in the way unless that may be replaced.",
        needs: &[Need::Files, Need::Links],
        listener: None,
        dialler: |env, stage| Box::pin(links_are_made_when_finished(env, stage)),
    },
];

fn aside(file: u32, offset: u64, len: u32) -> Spans {
    Spans::from_iter([FileSpan {
        file: Some(FileIndex(file)),
        offset,
        len,
        aside: true,
    }])
}

/// Fails unless there is a file of these bytes, or none.
fn there(env: &Env, path: &str, due: Option<&[u8]>) -> Verdict {
    let found = files(env)?.read(&under(env, path));
    ensure(found.as_deref() == due, || {
        let len = |bytes: Option<&[u8]>| bytes.map(<[u8]>::len);
        let (found, due) = (len(found.as_deref()), len(due));
        format!("{path} is not as it should be: {found:?} bytes, where {due:?} are due")
    })
}

/// Fails unless these bytes are read.
async fn reads(stage: &Stage, spans: Spans, due: &[u8]) -> Verdict {
    let bytes = granted(stage.read(STORAGE, spans.clone()).await?)?;
    ensure(bytes == due, || format!("{spans:?} does not read as due"))
}

/// Under which names files were found.
fn names(found: &Found) -> Vec<Option<FoundName>> {
    let name = |file: &Option<FoundFile>| file.map(|file| file.name);
    found.files.iter().map(name).collect()
}

fn named(found: &Found, due: &[Option<FoundName>]) -> Verdict {
    let names = names(found);
    ensure(names == due, || format!("{names:?} is not {due:?}"))
}

fn stamp(found: &Found, file: usize) -> Option<Stamp> {
    found.files[file].map(|file| file.stamp)
}

async fn unfinished_files_have_another_name(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/sub/a", 5), ("t/b", 5)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    granted(stage.write(STORAGE, b"begun", span(0, 0, 5)).await?)?;
    there(&env, "t/sub/a", None)?;
    there(&env, "t/sub/a.part", Some(b"begun"))?;
    for access in [Access::Read, SPARSE] {
        let found = granted(stage.reopen(STORAGE, &env, &layout, access).await?)?;
        named(&found, &[Some(FoundName::Part), None])?;
        reads(&stage, span(0, 1, 3), b"egu").await?;
    }
    for _ in 0..2 {
        granted(stage.finish(STORAGE, 0).await?)?;
        there(&env, "t/sub/a", Some(b"begun"))?;
        there(&env, "t/sub/a.part", None)?;
        reads(&stage, span(0, 1, 3), b"egu").await?;
    }
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    named(&found, &[Some(FoundName::Own), None])?;
    granted(stage.write(STORAGE, b"a", span(0, 4, 1)).await?)?;
    there(&env, "t/sub/a", None)?;
    there(&env, "t/sub/a.part", Some(b"begua"))?;
    granted(stage.finish(STORAGE, 0).await?)?;
    there(&env, "t/sub/a", Some(b"begua"))?;
    // Nobody may finish what he only reads.
    granted(stage.reopen(STORAGE, &env, &layout, Access::Read).await?)?;
    let finished = stage.finish(STORAGE, 1).await?;
    refused(finished, 1, &[IoErrorKind::Forbidden])
}

async fn parts_are_kept_apart(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 1), ("t/a.part", 1)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    granted(stage.write(STORAGE, b"0", span(0, 0, 1)).await?)?;
    granted(stage.write(STORAGE, b"1", span(1, 0, 1)).await?)?;
    there(&env, "t/a.1.part", Some(b"0"))?;
    there(&env, "t/a.part.part", Some(b"1"))?;
    for file in [1, 0] {
        granted(stage.finish(STORAGE, file).await?)?;
    }
    there(&env, "t/a", Some(b"0"))?;
    there(&env, "t/a.part", Some(b"1"))
}

async fn parts_that_are_too_long_are_cut(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 3), ("t/b", 3)])?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/a.part"), b"long");
    outside.put(&under(&env, "t/b"), b"long");
    let found = granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    named(&found, &[Some(FoundName::Part), Some(FoundName::Own)])?;
    let lengths = [0, 1].map(|file| stamp(&found, file).map(|stamp| stamp.len));
    ensure(lengths == [Some(4); 2], || format!("{lengths:?}"))?;
    granted(stage.finish(STORAGE, 0).await?)?;
    granted(stage.finish(STORAGE, 1).await?)?;
    there(&env, "t/a", Some(b"lon"))?;
    there(&env, "t/b", Some(b"long"))
}

async fn nothing_in_the_way_is_replaced(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/file", 4), ("t/folder", 4), ("t/empty", 0)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    for file in [0, 1] {
        granted(stage.write(STORAGE, b"ours", span(file, 0, 4)).await?)?;
    }
    let outside = files(&env)?;
    outside.put(&under(&env, "t/file"), b"theirs");
    outside.make_folder(&under(&env, "t/folder"));
    outside.make_folder(&under(&env, "t/empty"));
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    let contested = Some(FoundName::Contested);
    named(&found, &[contested, contested, None])?;
    let len = stamp(&found, 0).map(|stamp| stamp.len);
    ensure(len == Some(4), || format!("{len:?} is not the part's"))?;
    for file in 0..3 {
        let finished = stage.finish(STORAGE, file).await?;
        refused(finished, file, &[IoErrorKind::InTheWay])?;
    }
    reads(&stage, span(0, 0, 4), b"ours").await?;
    there(&env, "t/file", Some(b"theirs"))?;
    there(&env, "t/file.part", Some(b"ours"))
}

async fn what_may_be_replaced_is(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/file", 4), ("t/folder", 4)])?;
    granted(stage.open(STORAGE, &env.root, &layout, OVERWRITE).await?)?;
    for file in [0, 1] {
        granted(stage.write(STORAGE, b"ours", span(file, 0, 4)).await?)?;
    }
    let outside = files(&env)?;
    outside.put(&under(&env, "t/file"), b"theirs");
    outside.put(&under(&env, "t/folder/file"), b"theirs");
    granted(stage.finish(STORAGE, 0).await?)?;
    let finished = stage.finish(STORAGE, 1).await?;
    refused(finished, 1, &[IoErrorKind::InTheWay])?;
    there(&env, "t/file", Some(b"ours"))?;
    there(&env, "t/file.part", None)?;
    there(&env, "t/folder.part", Some(b"ours"))?;
    there(&env, "t/folder/file", Some(b"theirs"))
}

/// Three files: a piece lies over each edge of the second, and one inside it.
fn edges() -> Result<Arc<Layout>, Failure> {
    let piece = u64::from(PIECE);
    layout(&[
        ("t/before", piece / 2),
        ("t/unwanted", 2 * piece),
        ("t/behind", piece / 2),
    ])
}

async fn unwanted_bytes_are_kept_aside(env: Env, stage: Stage) -> Verdict {
    const HALF: u32 = PIECE / 2;
    let (layout, tail) = (edges()?, u64::from(2 * PIECE - HALF));
    let (head_bytes, tail_bytes) = (patterned(1, 0, HALF as usize), patterned(2, 0, 100));
    let found = granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    ensure(!found.aside, || "something is aside already".into())?;
    let missing = stage.read(STORAGE, span(1, 0, HALF)).await?;
    refused(missing, 1, &[IoErrorKind::NotFound])?;
    // Both pieces as they come: one with bytes of the file before.
    let mut piece = patterned(0, 0, HALF as usize);
    piece.extend_from_slice(&head_bytes);
    let spans: Spans = span(0, 0, HALF)
        .into_iter()
        .chain(aside(1, 0, HALF))
        .collect();
    granted(stage.write(STORAGE, &piece, spans).await?)?;
    let last = aside(1, tail, 100);
    granted(stage.write(STORAGE, &tail_bytes, last).await?)?;
    granted(stage.sync(STORAGE).await?)?;
    for access in [SPARSE, Access::Read, SPARSE] {
        there(&env, "t/unwanted", None)?;
        there(&env, "t/unwanted.part", None)?;
        reads(&stage, span(1, 0, HALF), &head_bytes).await?;
        reads(&stage, aside(1, tail, 100), &tail_bytes).await?;
        let found = granted(stage.reopen(STORAGE, &env, &layout, access).await?)?;
        named(&found, &[Some(FoundName::Part), None, None])?;
        ensure(found.aside, || "nothing is aside".into())?;
    }
    // Now it is wanted: a piece inside it comes.
    let middle = u64::from(HALF);
    granted(stage.write(STORAGE, b"middle", span(1, middle, 6)).await?)?;
    let mut due = head_bytes;
    due.extend_from_slice(b"middle");
    due.resize(tail as usize, 0);
    due.extend_from_slice(&tail_bytes);
    due.resize(2 * PIECE as usize, 0);
    there(&env, "t/unwanted.part", Some(&due))?;
    granted(stage.save(STORAGE, None).await?)?;
    reads(&stage, span(1, 0, 2 * PIECE), &due).await?;
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    ensure(!found.aside, || "something is aside still".into())?;
    granted(stage.finish(STORAGE, 1).await?)?;
    there(&env, "t/unwanted", Some(&due))
}

async fn unwanted_bytes_go_where_the_file_is(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/part", 6), ("t/own", 6), ("t/aside", 6)])?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/part.part"), b"before");
    outside.put(&under(&env, "t/own"), b"before");
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    for file in [0, 1] {
        granted(stage.write(STORAGE, b"new", aside(file, 3, 3)).await?)?;
        reads(&stage, span(file, 0, 6), b"befnew").await?;
    }
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    ensure(!found.aside, || "something is aside".into())?;
    // All of a small file may lie aside: it is finished from there.
    granted(stage.write(STORAGE, b"behind", aside(2, 0, 6)).await?)?;
    granted(stage.finish(STORAGE, 2).await?)?;
    there(&env, "t/aside", Some(b"behind"))
}

async fn states_come_back(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 100)])?;
    let found = granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    ensure(found == none(&layout), || format!("{found:?}"))?;
    let most = patterned(1, 0, most_len(&layout));
    for state in [&b"one"[..], b"another", &most, b"short"] {
        granted(stage.save(STORAGE, Some(state)).await?)?;
        let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
        ensure(found.state.as_deref() == Some(state), || {
            format!("{:?} is not what was saved", found.state)
        })?;
    }
    let too_long = vec![b'x'; most.len() + 1];
    for state in [None, Some(&too_long[..]), None, Some(b"last"), None] {
        granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
        granted(stage.save(STORAGE, state).await?)?;
    }
    // Removed, and saved again in one life.
    granted(stage.save(STORAGE, Some(b"anew")).await?)?;
    granted(stage.save(STORAGE, None).await?)?;
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    ensure(found == none(&layout), || format!("{found:?}"))?;
    granted(stage.save(STORAGE, Some(&too_long)).await?)?;
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    ensure(found == none(&layout), || "too long a state".into())
}

/// What is found where there is nothing.
fn none(layout: &Layout) -> Found {
    Found {
        files: vec![None; layout.files().len()],
        ..Found::default()
    }
}

/// Fails unless the disk refused in this way, naming no file.
fn of_folder<T: core::fmt::Debug>(result: Result<T, DiskError>, kind: IoErrorKind) -> Verdict {
    let fits = |error: &DiskError| error.file.is_none() && error.error.kind == kind;
    ensure(result.as_ref().is_err_and(fits), || {
        format!("{result:?}, where it should be refused as {kind:?}")
    })
}

async fn a_state_is_held_by_one(env: Env, stage: Stage) -> Verdict {
    const OTHER: StorageId = TorrentId(8);
    let layout = layout(&[("t/a", 100)])?;
    granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    for state in [None, Some(&b"one"[..]), Some(b"two")] {
        if state.is_some() {
            granted(stage.save(STORAGE, state).await?)?;
        }
        let second = stage.open(OTHER, &env.root, &layout, SPARSE).await?;
        of_folder(second, IoErrorKind::InUse)?;
        // To read does not disturb.
        let found = granted(stage.open(OTHER, &env.root, &layout, Access::Read).await?)?;
        ensure(found.state.is_none(), || "a state is seen to read".into())?;
        stage.close_storage(OTHER).await?;
    }
    stage.close_storage(STORAGE).await?;
    let found = granted(stage.open(OTHER, &env.root, &layout, SPARSE).await?)?;
    ensure(found.state.as_deref() == Some(b"two"), || {
        format!("{:?}", found.state)
    })
}

async fn sync_tells_what_is_durable(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/found", 5), ("t/b", 10), ("t/c", 7), ("t/empty", 0)])?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/found"), b"found");
    let found = granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    granted(stage.write(STORAGE, b"new", span(1, 0, 3)).await?)?;
    let synced = granted(stage.sync(STORAGE).await?)?;
    let files = |synced: &[(FileIndex, Stamp)]| -> Vec<u32> {
        let mut files: Vec<_> = synced.iter().map(|(file, _)| file.0).collect();
        files.sort_unstable();
        files
    };
    ensure(files(&synced) == [0, 1], || format!("{synced:?}"))?;
    ensure(
        synced.iter().any(|synced| Some(*synced) == of(&found, 0)),
        || format!("{synced:?}: the one found is not as it was"),
    )?;
    let nothing = granted(stage.sync(STORAGE).await?)?;
    ensure(nothing.is_empty(), || format!("{nothing:?} is not new"))?;
    granted(stage.write(STORAGE, b"new", span(2, 0, 3)).await?)?;
    granted(stage.finish(STORAGE, 3).await?)?;
    let later = granted(stage.sync(STORAGE).await?)?;
    ensure(files(&later) == [2, 3], || format!("{later:?}"))?;
    let found = granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    for told in synced.into_iter().chain(later) {
        let there = of(&found, told.0.at());
        ensure(there == Some(told), || {
            format!("{told:?} was told, {there:?} is there")
        })?;
    }
    Ok(())
}

fn of(found: &Found, file: usize) -> Option<(FileIndex, Stamp)> {
    let stamp = stamp(found, file)?;
    Some((FileIndex(file as u32), stamp))
}

/// A file and a link to it, in a folder.
fn linked() -> Result<Arc<Layout>, Failure> {
    let entry = |path: &[&str], len, kind| FileEntry {
        path: path.iter().map(|name| String::from(*name)).collect(),
        len,
        offset: 0,
        kind,
    };
    let target = vec!["file".into()];
    let files = vec![
        entry(&["t", "file"], 4, FileKind::Regular { executable: false }),
        entry(&["t", "sub", "link"], 0, FileKind::Symlink { target }),
    ];
    let layout = Layout::new(PIECE, files);
    layout
        .map(Arc::new)
        .map_err(|bad| Failure(format!("{bad}")))
}

async fn links_are_made_when_finished(env: Env, stage: Stage) -> Verdict {
    let layout = linked()?;
    let outside = files(&env)?;
    outside.put(&under(&env, "t/sub/link"), b"theirs");
    let found = granted(stage.open(STORAGE, &env.root, &layout, SPARSE).await?)?;
    ensure(found == none(&layout), || format!("{found:?}"))?;
    let finished = stage.finish(STORAGE, 1).await?;
    refused(finished, 1, &[IoErrorKind::InTheWay])?;
    there(&env, "t/sub/link", Some(b"theirs"))?;
    granted(stage.reopen(STORAGE, &env, &layout, OVERWRITE).await?)?;
    granted(stage.finish(STORAGE, 1).await?)?;
    // The same link is no reason to refuse.
    granted(stage.reopen(STORAGE, &env, &layout, SPARSE).await?)?;
    granted(stage.finish(STORAGE, 1).await?)?;
    granted(stage.delete(STORAGE).await?)?;
    outside.put(&under(&env, "t/sub"), b"free");
    there(&env, "t/sub", Some(b"free"))
}

//! Storages to read: they change nothing below their root, and remember all the same.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::disk::{SPARSE, STORAGE, files, granted, layout, span, under};
use super::ledger::Answer;
use super::stage::{Stage, ensure, unfit};
use super::{Case, Env, Failure, Need, Verdict, patterned};
use crate::api::{
    Access, Disk, DiskDone, DiskError, Found, Output, Spans, StorageId, Transmission,
};
use crate::base::id::TorrentId;
use crate::base::slab::Slab;
use crate::meta::layout::FileIndex;
use crate::meta::parts::{ASIDE, STATE, beside};
use crate::meta::resume::most_len;

const OTHER: StorageId = TorrentId(8);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "states_to_read_come_back",
        proves: "What who reads has saved last is found by who reads, until it is removed, and not if it is too long.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(states_to_read_come_back(env, stage)),
    },
    Case {
        name: "states_to_read_are_apart",
        proves: "Who reads and who writes share no state, nor do other torrents and other roots, and below the root there is none.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(states_to_read_are_apart(env, stage)),
    },
    Case {
        name: "a_state_to_read_is_held_by_nobody",
        proves: "Any number of storages read, beside one that writes, and the last that saves counts.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(a_state_to_read_is_held_by_nobody(env, stage)),
    },
    Case {
        name: "a_protected_folder_can_be_seeded",
        proves: "Where nothing can be created a state to read is kept as anywhere.",
        needs: &[Need::LockedRoot],
        listener: None,
        dialler: |env, stage| Box::pin(a_protected_folder_can_be_seeded(env, stage)),
    },
    Case {
        name: "deleted_files_leave_no_state",
        proves: "Delete removes both states, whether the storage is to read or to write.",
        needs: &[],
        listener: None,
        dialler: |env, stage| Box::pin(deleted_files_leave_no_state(env, stage)),
    },
    Case {
        name: "who_reads_may_sync",
        proves: "Sync of a storage to read makes what was found durable, once, and leaves files as they are.",
        needs: &[Need::Files],
        listener: None,
        dialler: |env, stage| Box::pin(who_reads_may_sync(env, stage)),
    },
    Case {
        name: "what_is_read_to_be_sent_arrives",
        proves: "Slabs that accept a loan are sent as what their spans hold, wherever that lies, as often as they are sent.",
        needs: &[Need::Files],
        listener: Some(|_, stage| Box::pin(hears_what_was_read(stage))),
        dialler: |env, stage| Box::pin(sends_what_was_read(env, stage)),
    },
    Case {
        name: "a_file_is_cut_short_before_it_is_sent",
        proves: "It is sent as it was, or the connection fails; the buffers come home, and others are served.",
        needs: &[Need::Files],
        listener: Some(|_, stage| Box::pin(hears_something(stage))),
        dialler: |env, stage| Box::pin(sends_of_a_file_cut_short(env, stage)),
    },
];

/// The lengths of the files that are read to be sent.
const LENGTHS: [usize; 2] = [300_000, 70_001];

/// What of them: the file, where and how much. Next to each other, over each other, whole, of a single
/// byte, and as they lie in no page.
const RANGES: [(u32, u64, u32); 8] = [
    (0, 0, 65_536),
    (0, 65_536, 65_536),
    (0, 4095, 2),
    (0, 8191, 40_000),
    (0, 299_999, 1),
    (1, 0, 70_001),
    (1, 70_000, 1),
    (0, 0, 300_000),
];

/// Once no file is open, and then all of them are.
const ROUNDS: usize = 3;

fn content(file: u32) -> Vec<u8> {
    patterned(20 + u64::from(file), 0, LENGTHS[file as usize])
}

/// A torrent of these files, which are there, open to be read.
async fn open_to_send(env: &Env, stage: &Stage) -> Result<(), Failure> {
    let lengths = LENGTHS.map(|len| len as u64);
    let layout = layout(&[("t/a", lengths[0]), ("t/b", lengths[1])])?;
    for (file, path) in [(0, "t/a"), (1, "t/b")] {
        files(env)?.put(&under(env, path), &content(file));
    }
    let opened = stage
        .open(STORAGE, &env.root, &layout, Access::Read)
        .await?;
    granted(opened).map(drop)
}

/// Reads a range to be sent.
async fn read_to_send(stage: &Stage, spans: Spans) -> Result<Arc<Slab>, Failure> {
    let len = spans.iter().map(|span| span.len as usize).sum();
    let mut slab = Slab::new(len);
    slab.set_len(len);
    slab.accept_loan();
    let op = stage.start(|op| {
        Output::Disk(Disk::Read {
            op,
            storage: STORAGE,
            slab,
            spans,
        })
    });
    match stage.answer(op).await {
        Answer::Disk(DiskDone::Read { slab, result, .. }) => {
            granted(result).map(|()| Arc::new(slab))
        }
        other => Err(unfit(&other)),
    }
}

async fn sends_what_was_read(env: Env, stage: Stage) -> Verdict {
    open_to_send(&env, &stage).await?;
    let conn = stage.connect(env.listener).await?;
    for _ in 0..ROUNDS {
        let mut transmission = Transmission::default();
        for (number, (file, offset, len)) in (0u32..).zip(RANGES) {
            let slab = read_to_send(&stage, span(file, offset, len)).await?;
            transmission.push_head(|out| out.extend_from_slice(&number.to_be_bytes()));
            transmission.push_slab(Arc::clone(&slab), 0, len);
            // The end of it once more, and nothing of it.
            transmission.push_slab(Arc::clone(&slab), len / 2, len);
            transmission.push_slab(slab, len, len);
        }
        let over_the_edge = [span(0, 299_000, 1000), span(1, 0, 50)];
        let slab = read_to_send(&stage, over_the_edge.into_iter().flatten().collect()).await?;
        transmission.push_slab(slab, 0, 1050);
        stage.transmit(conn, transmission);
        stage.sent(conn).await?;
        stage.returned(conn).await?;
    }
    stage.credit(conn, 1);
    stage.ended(conn).await?;
    Ok(())
}

async fn hears_what_was_read(stage: Stage) -> Verdict {
    let contents = [content(0), content(1)];
    let mut due = Vec::new();
    for (number, (file, offset, len)) in (0u32..).zip(RANGES) {
        let (from, len) = (offset as usize, len as usize);
        let range = &contents[file as usize][from..from + len];
        due.extend_from_slice(&number.to_be_bytes());
        due.extend_from_slice(range);
        due.extend_from_slice(&range[len / 2..]);
    }
    due.extend_from_slice(&contents[0][299_000..]);
    due.extend_from_slice(&contents[1][..50]);
    let due = due.repeat(ROUNDS);
    let conn = stage.accepted().await;
    stage.credit(conn, due.len() as u64);
    let mut got = Vec::new();
    while got.len() < due.len() {
        got.extend(stage.take_some(conn).await?);
    }
    let wrong = got.iter().zip(&due).position(|(got, due)| got != due);
    ensure(wrong.is_none(), || {
        format!("the first wrong byte is {wrong:?}")
    })
}

async fn sends_of_a_file_cut_short(env: Env, stage: Stage) -> Verdict {
    open_to_send(&env, &stage).await?;
    // The file is open from the second time on.
    for _ in 0..2 {
        let conn = stage.connect(env.listener).await?;
        files(&env)?.put(&under(&env, "t/a"), &content(0));
        read_to_send(&stage, span(0, 0, 1)).await?;
        let slab = read_to_send(&stage, span(0, 100_000, 150_000)).await?;
        files(&env)?.put(&under(&env, "t/a"), b"short");
        let mut transmission = Transmission::default();
        transmission.push_head(|out| out.extend_from_slice(b"head"));
        transmission.push_slab(Arc::clone(&slab), 0, 150_000);
        stage.transmit(conn, transmission);
        stage.returned(conn).await?;
        let shares = Arc::strong_count(&slab);
        ensure(shares == 1, || format!("{shares} shares after its return"))?;
        stage.closed(conn).await;
    }
    let read = stage.read(STORAGE, span(1, 0, 70_001)).await?;
    ensure(granted(read)? == content(1), || {
        "the other file is not served as it is".into()
    })
}

async fn hears_something(stage: Stage) -> Verdict {
    for _ in 0..2 {
        let conn = stage.accepted().await;
        stage.credit(conn, 1 << 20);
        stage.ended_whatever_comes(conn).await?;
    }
    Ok(())
}

/// Fails unless that state was found.
fn finds(opened: Result<Found, DiskError>, due: Option<&[u8]>) -> Verdict {
    let state = granted(opened)?.state;
    ensure(state.as_deref() == due, || {
        let text =
            |state: Option<&[u8]>| state.map(|state| String::from_utf8_lossy(state).into_owned());
        format!("{:?} is found, not {:?}", text(state.as_deref()), text(due))
    })
}

async fn states_to_read_come_back(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 100)])?;
    finds(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
        None,
    )?;
    let most = patterned(1, 0, most_len(&layout));
    for state in [&b"one"[..], b"another", &most, b"short"] {
        granted(stage.save(STORAGE, Some(state)).await?)?;
        let found = stage.reopen(STORAGE, &env, &layout, Access::Read).await?;
        finds(found, Some(state))?;
    }
    let too_long = vec![b'x'; most.len() + 1];
    for state in [None, Some(&too_long[..]), None, None] {
        granted(stage.save(STORAGE, state).await?)?;
        finds(
            stage.reopen(STORAGE, &env, &layout, Access::Read).await?,
            None,
        )?;
    }
    Ok(())
}

async fn states_to_read_are_apart(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 100)])?;
    let root = under(&env, "elsewhere");
    files(&env)?.make_folder(&root);
    finds(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
        None,
    )?;
    granted(stage.save(STORAGE, Some(b"read")).await?)?;
    let names = [STATE, ASIDE].map(|ending| beside(&layout, ending));
    for name in names {
        let there = files(&env)?.read(&under(&env, &name));
        ensure(there.is_none(), || format!("{name} is there"))?;
    }
    let root = Arc::from(root);
    finds(stage.open(OTHER, &root, &layout, Access::Read).await?, None)?;
    stage.close_storage(OTHER).await?;
    let found = stage.open_as(OTHER, &env.root, [8; 20], &layout, Access::Read);
    finds(found.await?, None)?;
    granted(stage.save(OTHER, Some(b"other")).await?)?;
    stage.close_storage(OTHER).await?;
    finds(stage.open(OTHER, &env.root, &layout, SPARSE).await?, None)?;
    granted(stage.save(OTHER, Some(b"write")).await?)?;
    let found = stage.reopen(STORAGE, &env, &layout, Access::Read).await?;
    finds(found, Some(b"read"))?;
    granted(stage.save(STORAGE, None).await?)?;
    let found = stage.reopen(OTHER, &env, &layout, SPARSE).await?;
    finds(found, Some(b"write"))?;
    granted(stage.save(OTHER, None).await?)?;
    stage.close_storage(OTHER).await?;
    let found = stage.open_as(OTHER, &env.root, [8; 20], &layout, Access::Read);
    finds(found.await?, Some(b"other"))
}

async fn a_state_to_read_is_held_by_nobody(env: Env, stage: Stage) -> Verdict {
    const WRITES: StorageId = TorrentId(9);
    let layout = layout(&[("t/a", 100)])?;
    finds(stage.open(WRITES, &env.root, &layout, SPARSE).await?, None)?;
    for storage in [STORAGE, OTHER] {
        finds(
            stage
                .open(storage, &env.root, &layout, Access::Read)
                .await?,
            None,
        )?;
    }
    for (storage, state) in [(STORAGE, &b"one"[..]), (OTHER, b"two"), (STORAGE, b"three")] {
        granted(stage.save(storage, Some(state)).await?)?;
    }
    let found = stage.reopen(OTHER, &env, &layout, Access::Read).await?;
    finds(found, Some(b"three"))
}

async fn a_protected_folder_can_be_seeded(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("ripcurrent-t/a", 100)])?;
    let root = env.locked_root.unwrap_or_default();
    finds(
        stage.open(STORAGE, &root, &layout, Access::Read).await?,
        None,
    )?;
    granted(stage.save(STORAGE, Some(b"kept")).await?)?;
    stage.close_storage(STORAGE).await?;
    let found = stage.open(STORAGE, &root, &layout, Access::Read).await?;
    finds(found, Some(b"kept"))
}

async fn deleted_files_leave_no_state(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/a", 100)])?;
    for deletes in [Access::Read, SPARSE] {
        for access in [Access::Read, SPARSE] {
            finds(stage.open(STORAGE, &env.root, &layout, access).await?, None)?;
            granted(stage.save(STORAGE, Some(b"kept")).await?)?;
            stage.close_storage(STORAGE).await?;
        }
        let found = stage.open(STORAGE, &env.root, &layout, deletes).await?;
        finds(found, Some(b"kept"))?;
        granted(stage.delete(STORAGE).await?)?;
        stage.close_storage(STORAGE).await?;
    }
    for access in [Access::Read, SPARSE] {
        finds(stage.open(STORAGE, &env.root, &layout, access).await?, None)?;
        stage.close_storage(STORAGE).await?;
    }
    Ok(())
}

async fn who_reads_may_sync(env: Env, stage: Stage) -> Verdict {
    let layout = layout(&[("t/found", 5), ("t/missing", 5)])?;
    files(&env)?.put(&under(&env, "t/found"), b"found");
    let found = granted(
        stage
            .open(STORAGE, &env.root, &layout, Access::Read)
            .await?,
    )?;
    let synced = granted(stage.sync(STORAGE).await?)?;
    let due: Vec<_> = found.files[0]
        .map(|file| (FileIndex(0), file.stamp))
        .into_iter()
        .collect();
    ensure(synced == due && due.len() == 1, || {
        format!("{synced:?} is not {due:?}")
    })?;
    let nothing = granted(stage.sync(STORAGE).await?)?;
    ensure(nothing.is_empty(), || format!("{nothing:?} is not new"))?;
    let again = granted(stage.reopen(STORAGE, &env, &layout, Access::Read).await?)?;
    ensure(again == found, || format!("{again:?} is not {found:?}"))
}

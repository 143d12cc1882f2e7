//! Storages to read: they change nothing below their root, and remember all the same.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;

use super::disk::{SPARSE, STORAGE, files, granted, layout, under};
use super::stage::{Stage, ensure};
use super::{Case, Env, Need, Verdict, patterned};
use crate::api::{Access, DiskError, Found, StorageId};
use crate::base::id::TorrentId;
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
];

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

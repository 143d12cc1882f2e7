//! Hashes and names.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use sha1::{Digest, Sha1};

use super::ledger::Answer;
use super::stage::{Stage, ensure, slab_of, unfit};
use super::{Case, Env, Need, Verdict, patterned};
use crate::api::{IoErrorKind, Output};
use crate::base::id::OpId;

pub(super) const CASES: &[Case] = &[
    Case {
        name: "hashes_of_known_answers",
        proves: "SHA-1 gives the answers of FIPS 180-4.",
        needs: &[],
        listener: None,
        dialler: |_, stage| Box::pin(hashes_of_known_answers(stage)),
    },
    Case {
        name: "many_hashes_at_once",
        proves: "Sixty-four slabs of many lengths are hashed, in any order, each under its own name.",
        needs: &[],
        listener: None,
        dialler: |_, stage| Box::pin(many_hashes_at_once(stage)),
    },
    Case {
        name: "a_name_resolves",
        proves: "A name that is known gives at least one address.",
        needs: &[Need::KnownName],
        listener: None,
        dialler: |env, stage| Box::pin(a_name_resolves(env, stage)),
    },
    Case {
        name: "a_name_does_not_resolve",
        proves: "A name that does not exist is an error.",
        needs: &[Need::UnknownName],
        listener: None,
        dialler: |env, stage| Box::pin(a_name_does_not_resolve(env, stage)),
    },
];

fn start_hash(stage: &Stage, bytes: &[u8]) -> OpId {
    let slab = slab_of(bytes);
    stage.start(|op| Output::Hash { op, slab })
}

async fn hashed_right(stage: &Stage, op: OpId, bytes: &[u8], due: [u8; 20]) -> Verdict {
    match stage.answer(op).await {
        Answer::Hashed(slab, digest) => {
            ensure(slab.as_slice() == bytes, || "the slab was changed".into())?;
            ensure(digest == due, || format!("{digest:02x?} is not {due:02x?}"))
        }
        other => Err(unfit(&other)),
    }
}

async fn hashes_of_known_answers(stage: Stage) -> Verdict {
    let abc = [
        0xa9, 0x99, 0x3e, 0x36, 0x47, 0x06, 0x81, 0x6a, 0xba, 0x3e, 0x25, 0x71, 0x78, 0x50, 0xc2,
        0x6c, 0x9c, 0xd0, 0xd8, 0x9d,
    ];
    let million = [
        0x34, 0xaa, 0x97, 0x3c, 0xd4, 0xc4, 0xda, 0xa4, 0xf6, 0x1e, 0xeb, 0x2b, 0xdb, 0xad, 0x27,
        0x31, 0x65, 0x34, 0x01, 0x6f,
    ];
    for (bytes, due) in [(b"abc".to_vec(), abc), (vec![b'a'; 1_000_000], million)] {
        let op = start_hash(&stage, &bytes);
        hashed_right(&stage, op, &bytes, due).await?;
    }
    Ok(())
}

async fn many_hashes_at_once(stage: Stage) -> Verdict {
    let slabs: Vec<_> = (0..64)
        .map(|at| patterned(at, 0, 1 + 977 * (63 - at) as usize))
        .collect();
    let ops: Vec<_> = slabs
        .iter()
        .map(|bytes| start_hash(&stage, bytes))
        .collect();
    for (op, bytes) in ops.into_iter().zip(&slabs) {
        hashed_right(&stage, op, bytes, Sha1::digest(bytes).into()).await?;
    }
    Ok(())
}

async fn a_name_resolves(env: Env, stage: Stage) -> Verdict {
    let name = env.known_name.unwrap_or_default();
    match stage.resolve(&name).await? {
        Ok(addresses) => {
            let loopback = !addresses.is_empty() && addresses.iter().all(|ip| ip.is_loopback());
            ensure(loopback, || format!("{name} is {addresses:?}"))
        }
        Err(error) => ensure(false, || format!("{name}: {error:?}")),
    }
}

async fn a_name_does_not_resolve(env: Env, stage: Stage) -> Verdict {
    let name = env.unknown_name.unwrap_or_default();
    let result = stage.resolve(&name).await?;
    let not_found = |error: &crate::api::IoError| error.kind == IoErrorKind::NotFound;
    ensure(result.as_ref().is_err_and(not_found), || {
        format!("{name} gave {result:?}")
    })
}

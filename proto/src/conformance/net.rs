//! Data: early, large, tiny, gathered, held back by credit, held up by a slow reader.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::stage::{Stage, all, ensure, join, slab_of};
use super::{Case, Env, Failure, Verdict, patterned};
use crate::api::{Part, Transmission};
use crate::base::id::ConnId;
use crate::base::time::Duration;

pub(super) const KIB: usize = 1 << 10;
pub(super) const MIB: u64 = 1 << 20;

/// Long enough for what must not come to come.
const MOMENT: Duration = Duration::from_millis(100);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "early_data",
        proves: "What arrives before anything is asked is kept until there is credit.",
        needs: &[],
        listener: Some(|env, stage| Box::pin(early_data_reader(env, stage))),
        dialler: |env, stage| Box::pin(early_data_writer(env, stage)),
    },
    Case {
        name: "echo_in_large_transmissions",
        proves: "10 MiB come back right when sent 1 MiB at a time.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(echo(stage))),
        dialler: |env, stage| Box::pin(hear_echo(env, stage, 10 * MIB, 1024 * KIB, 10 * MIB)),
    },
    Case {
        name: "echo_in_tiny_transmissions",
        proves: "1 MiB comes back right when sent 700 bytes at a time, with little credit.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(echo(stage))),
        dialler: |env, stage| Box::pin(hear_echo(env, stage, MIB, 700, 5000)),
    },
    Case {
        name: "both_directions_at_once",
        proves: "10 MiB each way cross without waiting for each other.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                exchange(&stage, conn, (2, 1), 0, 10 * MIB, 300 * KIB).await
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                exchange(&stage, conn, (1, 2), 0, 10 * MIB, 200 * KIB).await
            })
        },
    },
    Case {
        name: "credit_is_absolute",
        proves: "Credit stops the stream; repeated or lowered it changes nothing; raised it goes on.",
        needs: &[],
        listener: Some(|env, stage| Box::pin(give_credit(env, stage))),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.send_stream(conn, 5, 300_000, 300_000).await?;
                stage.flag(&env, 0).await;
                Ok(())
            })
        },
    },
    Case {
        name: "parts_in_order",
        proves: "2,500 parts of shared slabs and small bytes arrive in order, and every share comes home.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(read_parts(stage))),
        dialler: |env, stage| Box::pin(send_parts(env, stage)),
    },
    Case {
        name: "nothing_to_send",
        proves: "A transmission without bytes is sent and comes home like any other.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.receive(conn, 1, 10, 10).await
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.transmit(conn, Transmission::default());
                stage.sent(conn).await?;
                stage.returned(conn).await?;
                stage.send(conn, &patterned(1, 0, 10)).await
            })
        },
    },
    Case {
        name: "slow_reader",
        proves: "A transmission larger than what lies between is sent only once it is read.",
        needs: &[],
        listener: Some(|env, stage| Box::pin(slow_reader(env, stage))),
        dialler: |env, stage| Box::pin(patient_writer(env, stage)),
    },
    Case {
        name: "fifty_connections",
        proves: "50 connections at once keep their streams apart.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(fifty_at_the_door(stage))),
        dialler: |env, stage| Box::pin(fifty_callers(env, stage)),
    },
];

async fn early_data_reader(env: Env, stage: Stage) -> Verdict {
    let conn = stage.accepted().await;
    stage.flag(&env, 0).await;
    stage.pause(MOMENT).await;
    let received = stage.received(conn);
    ensure(received <= env.receive_slack, || {
        format!("{received} bytes without credit")
    })?;
    stage.receive(conn, 3, 1000, 1000).await
}

async fn early_data_writer(env: Env, stage: Stage) -> Verdict {
    let conn = stage.connect(env.listener).await?;
    stage.send_stream(conn, 3, 1000, 1000).await?;
    env.flags.raise(0);
    // The reader's end is the sign that it has read.
    stage.credit(conn, 1);
    stage.ended(conn).await?;
    Ok(())
}

/// Sends back whatever comes until the far end closes.
pub(super) async fn echo(stage: Stage) -> Verdict {
    let conn = stage.accepted().await;
    loop {
        let at = stage.received(conn);
        stage.credit(conn, at + 64 * KIB as u64);
        match stage.take_some(conn).await {
            Ok(bytes) => stage.send(conn, &bytes).await?,
            Err(_ended) => return Ok(()),
        }
    }
}

pub(super) async fn hear_echo(
    env: Env,
    stage: Stage,
    len: u64,
    size: usize,
    window: u64,
) -> Verdict {
    let conn = stage.connect(env.listener).await?;
    join(
        stage.send_stream(conn, 1, len, size),
        stage.receive(conn, 1, len, window),
    )
    .await
}

/// Sends one stream and receives another at the same time, and tells the other when all is read, so
/// that nobody closes over unread data. `before` bytes have been received already.
pub(super) async fn exchange(
    stage: &Stage,
    conn: ConnId,
    (out, back): (u64, u64),
    before: u64,
    len: u64,
    size: usize,
) -> Verdict {
    join(
        stage.send_stream(conn, out, len, size),
        stage.receive_after(conn, before, back, len, len),
    )
    .await?;
    stage.send(conn, &[0]).await?;
    stage.credit(conn, before + len + 1);
    stage.take_some(conn).await?;
    Ok(())
}

async fn give_credit(env: Env, stage: Stage) -> Verdict {
    let (first, second, all) = (10_000, 10_001, 300_000);
    let conn = stage.accepted().await;
    stage.receive(conn, 5, first, first).await?;
    for until in [first, first, 1, 0] {
        stage.credit(conn, until);
        stage.pause(MOMENT).await;
        let received = stage.received(conn);
        ensure(received <= first + env.receive_slack, || {
            format!("{received} bytes with credit for {first}")
        })?;
    }
    if stage.received(conn) == first {
        stage.receive(conn, 5, second, 1).await?;
        stage.receive(conn, 5, all, all).await?;
    } else {
        stage.credit(conn, all);
        while stage.received(conn) < all {
            stage.take_some(conn).await?;
        }
    }
    env.flags.raise(0);
    Ok(())
}

/// How the parts of [`send_parts`] are made: small bytes and ranges of two slabs in turn.
const PARTS: u32 = 2500;

/// The bytes of two slabs, and the transmission over them in one row.
fn parts_in_one_row() -> ([Vec<u8>; 2], Vec<u8>) {
    let slabs = [patterned(11, 0, 64 * KIB), patterned(12, 0, 100_000)];
    let mut row = Vec::new();
    for at in 0..PARTS {
        match part(at) {
            None => row.extend_from_slice(&at.to_be_bytes()),
            Some((slab, from, to)) => row.extend_from_slice(&slabs[slab][from..to]),
        }
    }
    (slabs, row)
}

/// Part `at`: small bytes, or a slab with a range of it, sometimes an empty one.
fn part(at: u32) -> Option<(usize, usize, usize)> {
    let slab = at as usize % 3;
    (slab < 2).then(|| {
        let from = at as usize * 7;
        (slab, from, from + at as usize % 400)
    })
}

pub(super) async fn send_parts(env: Env, stage: Stage) -> Verdict {
    let (slabs, _) = parts_in_one_row();
    let slabs = slabs.map(|bytes| Arc::new(slab_of(&bytes)));
    let conn = stage.connect(env.listener).await?;
    let mut transmission = Transmission::default();
    for at in 0..PARTS {
        match part(at) {
            None => transmission.push_head(|out| out.extend_from_slice(&at.to_be_bytes())),
            Some((slab, from, to)) => {
                transmission.push_slab(Arc::clone(&slabs[slab]), from as u32, to as u32);
            }
        }
    }
    let slabs_sent = |part: &Part| matches!(part, Part::Slab { .. });
    let count = transmission
        .parts
        .iter()
        .filter(|part| slabs_sent(part))
        .count();
    ensure(count > 1024, || format!("only {count} parts are of slabs"))?;
    stage.transmit(conn, transmission);
    stage.sent(conn).await?;
    stage.returned(conn).await?;
    for slab in slabs {
        let shares = Arc::strong_count(&slab);
        ensure(shares == 1, || {
            format!("{shares} shares of a slab after its return")
        })?;
    }
    stage.credit(conn, 1);
    stage.ended(conn).await?;
    Ok(())
}

pub(super) async fn read_parts(stage: Stage) -> Verdict {
    let (_, row) = parts_in_one_row();
    let conn = stage.accepted().await;
    stage.credit(conn, row.len() as u64);
    let mut got = Vec::new();
    while got.len() < row.len() {
        got.extend(stage.take_some(conn).await?);
    }
    let wrong = got.iter().zip(&row).position(|(got, due)| got != due);
    ensure(wrong.is_none(), || {
        format!("the first wrong byte is {wrong:?}")
    })
}

/// More than any host keeps between a sender and a reader who does not read.
const FLOOD: u64 = 32 * MIB;

pub(super) async fn patient_writer(env: Env, stage: Stage) -> Verdict {
    let conn = stage.connect(env.listener).await?;
    let slab = Arc::new(slab_of(&patterned(9, 0, MIB as usize)));
    let mut transmission = Transmission::default();
    for _ in 0..FLOOD / MIB {
        transmission.push_slab(Arc::clone(&slab), 0, MIB as u32);
    }
    stage.transmit(conn, transmission);
    stage.pause(3 * MOMENT).await;
    ensure(!stage.is_sent(conn), || "sent, with nobody reading".into())?;
    env.flags.raise(0);
    stage.sent(conn).await?;
    stage.flag(&env, 1).await;
    Ok(())
}

pub(super) async fn slow_reader(env: Env, stage: Stage) -> Verdict {
    let conn = stage.accepted().await;
    stage.flag(&env, 0).await;
    stage.credit(conn, FLOOD);
    let due = patterned(9, 0, MIB as usize);
    let mut at = 0;
    while at < FLOOD as usize {
        for byte in stage.take_some(conn).await? {
            if byte != due[at % due.len()] {
                return Err(Failure(format!("byte {at} is wrong")));
            }
            at += 1;
        }
    }
    env.flags.raise(1);
    Ok(())
}

const CALLERS: u64 = 50;
const EACH: u64 = 20_000;

/// Each caller first says its number; then both send a stream that the number chooses.
async fn fifty_callers(env: Env, stage: Stage) -> Verdict {
    let calls: Vec<_> = (0..CALLERS).map(|_| stage.dial(env.listener)).collect();
    let call = |(conn, number): (ConnId, u64)| {
        let stage = stage.clone();
        async move {
            stage.connected(conn).await?;
            stage.send(conn, &[number as u8]).await?;
            exchange(&stage, conn, (number, number + 100), 0, EACH, 3000).await
        }
    };
    all(calls.into_iter().zip(0..).map(call)).await
}

async fn fifty_at_the_door(stage: Stage) -> Verdict {
    let mut visitors = Vec::new();
    for _ in 0..CALLERS {
        visitors.push(stage.accepted().await);
    }
    let greet = |conn: ConnId| {
        let stage = stage.clone();
        async move {
            stage.credit(conn, 1);
            let said = stage.take_some(conn).await?;
            ensure(said.len() == 1, || {
                format!("{} bytes with credit for 1", said.len())
            })?;
            let number = u64::from(said[0]);
            exchange(&stage, conn, (number + 100, number), 1, EACH, 7000).await
        }
    };
    all(visitors.into_iter().map(greet)).await
}

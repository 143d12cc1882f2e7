//! Connections that are protected by TLS: the same as others for whoever uses them.
//!
//! The far end of TLS is the host's own ([`Protected`]); the listening role is behind it and
//! speaks in the open. Who is believed and who is not is for each host to test, since a simulated
//! world believes everybody.

use alloc::boxed::Box;
use alloc::format;

use super::closing::{MOMENT, flood, hear_to_the_end};
use super::net::{
    KIB, MIB, echo, exchange, hear_echo, patient_writer, read_parts, send_parts, slow_reader,
};
use super::stage::{Stage, ensure};
use super::{Case, Env, Need, Protected, Verdict, patterned};
use crate::api::{EndReason, IoErrorKind};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "protected_echo_in_large_transmissions",
        proves: "Under TLS 2 MiB come back right when sent 1 MiB at a time.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| Box::pin(echo(stage))),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(hear_echo(env, stage, 2 * MIB, 1024 * KIB, 2 * MIB))
        },
    },
    Case {
        name: "protected_echo_in_tiny_transmissions",
        proves: "Under TLS 128 KiB come back right when sent 700 bytes at a time, with little credit.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| Box::pin(echo(stage))),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(hear_echo(env, stage, 128 * KIB as u64, 700, 5000))
        },
    },
    Case {
        name: "protected_both_directions_at_once",
        proves: "Under TLS 2 MiB each way cross without waiting for each other.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                exchange(&stage, conn, (2, 1), 0, 2 * MIB, 300 * KIB).await
            })
        }),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                exchange(&stage, conn, (1, 2), 0, 2 * MIB, 200 * KIB).await
            })
        },
    },
    Case {
        name: "protected_credit",
        proves: "Under TLS not a byte comes beyond the credit, and what waits comes with more of it.",
        needs: &[Need::Protected],
        listener: Some(|env, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.send_stream(conn, 5, 100_000, 100_000).await?;
                stage.flag(&env, 0).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(take_bit_by_bit(env, stage))
        },
    },
    Case {
        name: "protected_parts_in_order",
        proves: "Under TLS 2,500 parts arrive in order, and every share of a slab comes home.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| Box::pin(read_parts(stage))),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(send_parts(env, stage))
        },
    },
    Case {
        name: "protected_nothing_to_send",
        proves: "Under TLS a transmission without bytes is sent and comes home like any other.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.receive(conn, 1, 10, 10).await
            })
        }),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.send(conn, &[]).await?;
                stage.returned(conn).await?;
                stage.send(conn, &patterned(1, 0, 10)).await
            })
        },
    },
    Case {
        name: "protected_slow_reader",
        proves: "Under TLS a large transmission is sent only once it is read.",
        needs: &[Need::Protected],
        listener: Some(|env, stage| Box::pin(slow_reader(env, stage))),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(patient_writer(env, stage))
        },
    },
    Case {
        name: "protected_orderly_end",
        proves: "What was sent under TLS before a close arrives, then the end of the stream.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| Box::pin(hear_to_the_end(stage))),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.send_stream(conn, 4, 500_000, 100_000).await?;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "protected_end_of_the_far_end",
        proves: "Under TLS an orderly end comes after the last byte, however little credit there is.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.send_stream(conn, 6, 50_000, 50_000).await?;
                stage.closed(conn).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.receive(conn, 6, 50_000, 999).await?;
                stage.credit(conn, 50_001);
                let reason = stage.ended(conn).await?;
                ensure(reason == EndReason::Eof, || format!("ended by {reason:?}"))?;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "protected_close_in_flight",
        proves: "A close under TLS with a transmission in flight brings it home before the last word.",
        needs: &[Need::Protected],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.send(conn, &patterned(1, 0, 1)).await?;
                stage.credit(conn, 1);
                stage.ended_whatever_comes(conn).await
            })
        }),
        dialler: |env, stage| {
            let (env, stage) = protect(env, stage);
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.receive(conn, 1, 1, 1).await?;
                stage.transmit(conn, flood(8));
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "protected_nobody_there",
        proves: "Where nobody listens a connection for TLS ends as refused, and can be closed.",
        needs: &[],
        listener: None,
        dialler: |env, stage| {
            let stage = stage.protected("nobody.test");
            Box::pin(async move {
                let conn = stage.dial(env.refusing);
                let reason = stage.ended(conn).await?;
                let refused = matches!(reason, EndReason::Failed(error) if error.kind == IoErrorKind::Refused);
                ensure(refused, || format!("ended by {reason:?}"))?;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "protected_close_while_in_the_making",
        proves: "A connection whose far end never speaks TLS can be closed at any time.",
        needs: &[],
        listener: Some(|env, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                env.flags.raise(0);
                stage.credit(conn, 1);
                stage.ended_whatever_comes(conn).await
            })
        }),
        dialler: |env, stage| {
            let stage = stage.protected("mute.test");
            Box::pin(async move {
                let conn = stage.dial(env.listener);
                stage.flag(&env, 0).await;
                stage.pause(MOMENT).await;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
];

/// The same role, but under TLS: it dials the far end of that instead of the listening role.
fn protect(env: Env, stage: Stage) -> (Env, Stage) {
    let Some(Protected { addr, name }) = env.protected.clone() else {
        unreachable!("what a case needs is there");
    };
    let env = Env {
        listener: addr,
        ..env
    };
    (env, stage.protected(&name))
}

async fn take_bit_by_bit(env: Env, stage: Stage) -> Verdict {
    let conn = stage.connect(env.listener).await?;
    for until in [1, 10, 1_000, 20_000] {
        stage.credit(conn, until);
        while stage.received(conn) < until {
            stage.take_some(conn).await?;
        }
    }
    stage.pause(MOMENT).await;
    let received = stage.received(conn);
    ensure(received == 20_000, || {
        format!("{received} bytes with credit for 20,000")
    })?;
    stage.credit(conn, 100_000);
    while stage.received(conn) < 100_000 {
        stage.take_some(conn).await?;
    }
    env.flags.raise(0);
    Ok(())
}

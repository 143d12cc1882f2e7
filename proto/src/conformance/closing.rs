//! Beginnings and ends: orderly, refused, abrupt, with operations in flight.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;

use super::stage::{Stage, all, ensure, slab_of};
use super::{Case, Need, Verdict, patterned};
use crate::api::intent::Transmission;
use crate::api::{EndReason, IoErrorKind};
use crate::base::id::ConnId;
use crate::base::time::Duration;

const MIB: usize = 1 << 20;

/// Long enough for an operation to be in flight.
pub(super) const MOMENT: Duration = Duration::from_millis(50);

pub(super) const CASES: &[Case] = &[
    Case {
        name: "orderly_end",
        proves: "What was sent before a close arrives, then the end of the stream, and only that.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(hear_to_the_end(stage))),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.send_stream(conn, 4, 500_000, 100_000).await?;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "send_after_the_far_end_closed",
        proves: "A transmission to somebody who has gone comes home, sent or not.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.credit(conn, 1);
                stage.ended(conn).await?;
                for _ in 0..3 {
                    stage.transmit(conn, flood(1));
                    stage.returned(conn).await?;
                    stage.pause(MOMENT).await;
                    if !stage.is_sent(conn) {
                        break;
                    }
                }
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "reset",
        proves: "A close over unread data ends the far end too, while it is receiving.",
        needs: &[],
        listener: Some(|env, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.flag(&env, 0).await;
                stage.pause(MOMENT).await;
                stage.closed(conn).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.send_stream(conn, 1, 50_000, 50_000).await?;
                stage.credit(conn, 1);
                env.flags.raise(0);
                let reason = stage.ended(conn).await?;
                ensure(is_eof_or(reason, IoErrorKind::Reset), || {
                    format!("ended by {reason:?}")
                })
            })
        },
    },
    Case {
        name: "connection_refused",
        proves: "Where nobody listens the connection ends as refused, and can be closed.",
        needs: &[],
        listener: None,
        dialler: |env, stage| {
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
        name: "accept_refused",
        proves: "Whom the machine refuses sees an end, and nothing else.",
        needs: &[],
        listener: Some(|env, stage| {
            Box::pin(async move {
                stage.refuse_all();
                env.flags.raise(0);
                stage.refused_somebody().await;
                stage.flag(&env, 1).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                stage.flag(&env, 0).await;
                let conn = stage.dial(env.listener);
                // To some systems the connection is made before it is refused, to others not.
                stage.connected_or_ended(conn).await?;
                stage.credit(conn, 1);
                stage.ended(conn).await?;
                env.flags.raise(1);
                ensure(stage.received(conn) == 0, || "bytes from nobody".into())
            })
        },
    },
    Case {
        name: "close_while_receiving",
        proves: "A close cancels a receive in flight.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(wait_for_the_end(stage))),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.credit(conn, 1000);
                stage.pause(MOMENT).await;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "close_while_sending",
        proves: "A close brings a transmission home that nobody reads.",
        needs: &[],
        listener: Some(|env, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.flag(&env, 0).await;
                stage.closed(conn).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.transmit(conn, flood(32));
                stage.pause(MOMENT).await;
                ensure(!stage.is_sent(conn), || "sent, with nobody reading".into())?;
                stage.closed(conn).await;
                env.flags.raise(0);
                Ok(())
            })
        },
    },
    Case {
        name: "close_while_doing_both",
        proves: "A close cancels a receive and a transmission that were started in the same turn.",
        needs: &[],
        listener: Some(|_, stage| Box::pin(wait_for_the_end(stage))),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.connect(env.listener).await?;
                stage.credit(conn, 1000);
                stage.transmit(conn, flood(32));
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "close_while_connecting",
        proves: "A close cancels a connection in the making.",
        needs: &[Need::Silence],
        listener: None,
        dialler: |env, stage| {
            Box::pin(async move {
                let Some(silent) = env.silent else {
                    return Ok(());
                };
                let conn = stage.dial(silent);
                stage.pause(MOMENT).await;
                stage.closed(conn).await;
                Ok(())
            })
        },
    },
    Case {
        name: "close_in_the_turn_of_the_connect",
        proves: "A close right behind a connect leaves nothing open.",
        needs: &[],
        listener: Some(|env, stage| {
            Box::pin(async move {
                stage.flag(&env, 0).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.dial(env.listener);
                stage.closed(conn).await;
                env.flags.raise(0);
                Ok(())
            })
        },
    },
    Case {
        name: "close_as_soon_as_accepted",
        proves: "A close in the turn of the accept ends the connection for the far end.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                let conn = stage.accepted().await;
                stage.closed(conn).await;
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let conn = stage.dial(env.listener);
                stage.connected_or_ended(conn).await?;
                stage.credit(conn, 1);
                stage.ended(conn).await?;
                Ok(())
            })
        },
    },
    Case {
        name: "slots_are_reused",
        proves: "A slot serves twenty connections in a row, each under its own generation.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                for round in 0..ROUNDS {
                    let conn = stage.accepted().await;
                    stage.receive(conn, round, 100, 100).await?;
                    stage.send_stream(conn, round + 1, 100, 100).await?;
                    stage.credit(conn, 101);
                    stage.ended(conn).await?;
                    stage.closed(conn).await;
                }
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let mut slot = None;
                for round in 0..ROUNDS {
                    let conn = stage.connect(env.listener).await?;
                    let id = (conn.0.slot(), u64::from(conn.0.generation()));
                    ensure(id == (*slot.get_or_insert(id.0), round), || {
                        format!("round {round} is {conn:?}")
                    })?;
                    stage.send_stream(conn, round, 100, 100).await?;
                    stage.receive(conn, round + 1, 100, 100).await?;
                    stage.closed(conn).await;
                }
                Ok(())
            })
        },
    },
    Case {
        name: "close_everything_at_once",
        proves: "Thirty connections with both directions in flight close in one turn.",
        needs: &[],
        listener: Some(|_, stage| {
            Box::pin(async move {
                for _ in 0..CROWD {
                    let conn = stage.accepted().await;
                    stage.credit(conn, MIB as u64);
                }
                Ok(())
            })
        }),
        dialler: |env, stage| {
            Box::pin(async move {
                let crowd = (0..CROWD).map(|_| {
                    let (stage, to) = (stage.clone(), env.listener);
                    async move {
                        let conn = stage.connect(to).await?;
                        stage.credit(conn, 1);
                        stage.transmit(conn, flood(32));
                        Ok(())
                    }
                });
                // The end of the scene closes all.
                all(crowd).await
            })
        },
    },
];

const ROUNDS: u64 = 20;
const CROWD: usize = 30;

fn is_eof_or(reason: EndReason, kind: IoErrorKind) -> bool {
    match reason {
        EndReason::Eof => true,
        EndReason::Failed(error) => error.kind == kind,
        EndReason::Tls(_) => false,
    }
}

/// So many MiB, gathered from one slab.
pub(super) fn flood(mib: usize) -> Transmission {
    let slab = Arc::new(slab_of(&patterned(0, 0, MIB)));
    let mut transmission = Transmission::default();
    for _ in 0..mib {
        transmission.push_slab(Arc::clone(&slab), 0, MIB as u32);
    }
    transmission
}

async fn wait_for_the_end(stage: Stage) -> Verdict {
    let conn: ConnId = stage.accepted().await;
    stage.credit(conn, 1);
    stage.ended_whatever_comes(conn).await
}

pub(super) async fn hear_to_the_end(stage: Stage) -> Verdict {
    let conn = stage.accepted().await;
    stage.receive(conn, 4, 500_000, 30_000).await?;
    stage.credit(conn, 500_001);
    let reason = stage.ended(conn).await?;
    ensure(reason == EndReason::Eof, || format!("ended by {reason:?}"))?;
    stage.closed(conn).await;
    Ok(())
}

//! The life of a host: processes come and go, the host stays. Turmoil's own crashes would not do:
//! they close every socket in good order, and what arrives while the host is down reaches the next
//! process.

use std::error::Error;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};

use ::turmoil::net::TcpListener;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Turn;

use super::Turmoil;
use super::clock::Clock;
use super::net::{Inlet, Lanes, Outlet};
use super::seat::{Order, Process, Seat};
use super::wires::Wires;
use crate::disk::Files;
use crate::names::Names;
use crate::network::Stop;

/// What a host keeps, whichever process runs on it.
pub(super) struct Site {
    pub(super) addr: SocketAddr,
    pub(super) files: Files,
    pub(super) lanes: Rc<Lanes>,
    pub(super) wires: Rc<Wires>,
    pub(super) names: Rc<Names>,
    pub(super) seat: Seat,
}

/// Carries out the orders to a host and runs its processes.
pub(super) async fn live(site: Rc<Site>) -> Result<(), Box<dyn Error>> {
    let mut running: Option<(Process, Turmoil)> = None;
    let mut dark = Dark::default();
    loop {
        while let Some(order) = site.seat.take() {
            match order {
                Order::Start(process) => {
                    let hands = Turmoil::start(&site, dark.light_up()).await?;
                    running = Some((process, hands));
                }
                // Whoever waited waits no more.
                Order::Wake => {}
                Order::Stop(how) => {
                    if let Some((process, hands)) = running.take() {
                        drop(process);
                        dark.take_in(hands, how);
                    }
                }
            }
        }
        let turned = running.as_mut().map(|(process, hands)| process(hands));
        match turned {
            Some(Turn::Busy) => tokio::task::yield_now().await,
            Some(Turn::Wait(deadline)) => {
                let hands = running.as_mut().map(|(_, hands)| hands);
                wait(&site.seat, &mut dark, hands, deadline).await;
            }
            None => wait(&site.seat, &mut dark, None, None).await,
        }
    }
}

/// Waits for the next order or the next thing to happen, at most until `deadline`.
async fn wait(
    seat: &Seat,
    dark: &mut Dark,
    mut hands: Option<&mut Turmoil>,
    deadline: Option<Instant>,
) {
    let clock = Clock::of_this_host();
    let alarm = hands.as_ref().and_then(|hands| hands.next_job());
    let alarm = alarm.into_iter().chain(deadline).min();
    let mut alarm = std::pin::pin!(async move {
        match alarm {
            Some(at) => clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    });
    std::future::poll_fn(|context| {
        dark.answer(context);
        if seat.poll(context).is_ready() {
            return Poll::Ready(());
        }
        if let Some(hands) = &mut hands
            && hands.poll_done(context).is_ready()
        {
            return Poll::Ready(());
        }
        alarm.as_mut().poll(context)
    })
    .await;
}

/// What a power cut leaves of a process: sockets that nobody reads, and that nobody has closed.
#[derive(Default)]
struct Dark {
    /// While the power is off: what arrives waits there.
    frozen: Option<Turmoil>,
    /// Since it is on again. Whatever arrives for one of them is answered by a reset.
    lost: Vec<(Inlet, Outlet)>,
}

impl Dark {
    fn take_in(&mut self, hands: Turmoil, how: Stop) {
        let hands = hands.without_jobs();
        match how {
            Stop::Kill => drop(hands.into_wires()),
            Stop::PowerCut => self.frozen = Some(hands),
        }
    }

    /// The power is on again; whoever has called meanwhile waits at the listener.
    fn light_up(&mut self) -> Option<Rc<TcpListener>> {
        let hands = self.frozen.take()?;
        let listener = hands.listener();
        self.lost.extend(hands.into_wires());
        Some(listener)
    }

    fn answer(&mut self, context: &mut Context<'_>) {
        self.lost.retain_mut(|(inlet, _)| {
            // What is left unread when a socket is dropped makes the answer a reset.
            inlet.poll_arrival(context).is_pending()
        });
    }
}

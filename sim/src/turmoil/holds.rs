//! Ways on which nothing arrives, on top of turmoil's links, which it can hold in both directions
//! or not at all. A link with one direction blocked is held, and what goes the other way is
//! delivered from here when its time has come.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use ::turmoil::{Protocol, Segment, Sim};
use ripcurrent_proto::base::time::{Duration, Instant};

use crate::network::TICK;
use crate::outages::Way;

/// The links that are held, by pair: the lower address first.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<Way, Hold>);

#[derive(Debug, Default)]
struct Hold {
    /// From the lower address to the higher, and back.
    blocked: [bool; 2],
    /// When what goes the open way arrives, in its order; counts no calls.
    due: VecDeque<Instant>,
}

impl Holds {
    pub(super) fn block(&mut self, simulation: &Sim<'_>, from: IpAddr, to: IpAddr) {
        simulation.hold(from, to);
        let hold = self.0.entry(pair(from, to)).or_default();
        hold.blocked[usize::from(from > to)] = true;
        hold.due.clear();
    }

    pub(super) fn unblock(&mut self, simulation: &Sim<'_>, from: IpAddr, to: IpAddr) {
        let Some(hold) = self.0.get_mut(&pair(from, to)) else {
            return;
        };
        hold.blocked[usize::from(from > to)] = false;
        if hold.blocked == [false; 2] {
            simulation.release(from, to);
            self.0.remove(&pair(from, to));
        }
    }

    /// Delivers what goes an open way of a held link. To be called before each step; `latency` is
    /// that of a link, and what was sent during the last step has a tick of it behind itself.
    pub(super) fn deliver(
        &mut self,
        simulation: &Sim<'_>,
        now: Instant,
        latency: impl Fn(Way) -> Duration,
    ) {
        if self.0.is_empty() {
            return;
        }
        simulation.links(|links| {
            for link in links {
                let pair = link.pair();
                let Some((hold, from)) = self.0.get_mut(&pair).and_then(|hold| {
                    let from = hold.open_from(pair)?;
                    Some((hold, from))
                }) else {
                    continue;
                };
                let arrival = now + latency(pair).saturating_sub(TICK);
                // A call that went through would be answered against the block: turmoil's answer
                // takes no time and no link.
                let open = link.filter(|sent| {
                    let is_call = matches!(sent.protocol(), Protocol::Tcp(Segment::Syn(_)));
                    sent.pair().0.ip() == from && !is_call
                });
                let mut delivered = 0;
                for (place, sent) in open.enumerate() {
                    if place == hold.due.len() {
                        let last = hold.due.back().copied();
                        hold.due
                            .push_back(last.map_or(arrival, |last| last.max(arrival)));
                    }
                    if hold.due[place] <= now {
                        sent.deliver();
                        delivered += 1;
                    }
                }
                hold.due.drain(..delivered);
            }
        });
    }
}

impl Hold {
    /// Whose packets get through.
    fn open_from(&self, (low, high): Way) -> Option<IpAddr> {
        match self.blocked {
            [false, true] => Some(low),
            [true, false] => Some(high),
            _ => None,
        }
    }
}

fn pair(one: IpAddr, other: IpAddr) -> Way {
    (one.min(other), one.max(other))
}

//! What carries a connection here: a stream of a crate's, and the futures that work on it.

use std::rc::Rc;

use futures_util::future::AbortHandle;
use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::Machine;

use super::{Carrier, Done, Sockets, shut_down};
use crate::conns::{self, Conns};
use crate::protected::Protected;

/// What carries one connection.
pub(super) struct Link<S: Sockets> {
    pub(super) stream: Option<Rc<S::Stream>>,
    /// Cancels a connect in flight; `None` when there is none.
    pub(super) connecting: Option<AbortHandle>,
    pub(super) receiving: bool,
    /// The last receive filled its buffer: the next gets a large one.
    pub(super) busy: bool,
}

impl<S: Sockets> Link<S> {
    /// There is a stream, one is in the making, or neither.
    pub(super) fn new(stream: Option<S::Stream>, connecting: Option<AbortHandle>) -> Self {
        Link {
            stream: stream.map(Rc::new),
            connecting,
            receiving: false,
            busy: false,
        }
    }

    /// Makes every operation in flight end by itself.
    pub(super) fn cancel(&self) {
        shut_down::<S>(self.stream.as_deref());
        if let Some(connecting) = &self.connecting {
            connecting.abort();
        }
    }
}

impl<S: Sockets> conns::Link for Link<S> {
    fn is_there(&self) -> bool {
        self.stream.is_some()
    }

    fn is_under_way(&self) -> bool {
        self.receiving || self.connecting.is_some()
    }

    fn shut_down(&self) {
        shut_down::<S>(self.stream.as_deref());
    }

    fn send_last(&self, words: &[u8]) {
        if let Some(stream) = &self.stream {
            S::send_last(stream, words);
        }
    }
}

impl<S: Sockets> Protected for Carrier<S> {
    type Link = Link<S>;

    fn conns(&mut self) -> &mut Conns<Link<S>> {
        &mut self.conns
    }

    fn start_writing(&mut self, conn: ConnId, sealed: Transmission) {
        let entry = self.conns.get_mut(conn);
        let Some(stream) = entry.and_then(|entry| entry.stream.clone()) else {
            return;
        };
        self.start(async move {
            let (sealed, result) = S::send(&stream, sealed).await;
            Done::Written {
                conn,
                sealed,
                result,
            }
        });
    }

    fn transmitted_soon(&mut self, conn: ConnId, transmission: Transmission) {
        self.ready.push_back(Done::Transmitted {
            conn,
            transmission,
            result: Ok(()),
        });
    }

    fn news_soon(&mut self, conn: ConnId) {
        self.start(async move { Done::News { conn } });
    }

    fn answer_soon(&mut self, input: Input<'static>) {
        self.ready.push_back(Done::Answer(input));
    }

    fn receive_more(&mut self, conn: ConnId) {
        self.receive(conn);
    }

    fn end<M: Machine>(&mut self, machine: &mut M, conn: ConnId, reason: EndReason) {
        self.end(machine, conn, reason);
    }

    fn settle(&mut self, conn: ConnId) {
        self.settle(conn);
    }
}

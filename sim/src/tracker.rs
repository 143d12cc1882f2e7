//! The tracker of a simulated world: the shipped service as a machine that any backend can carry.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ripcurrent_proto::api::{Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::tracker::registry::{Registry, Settings};
use ripcurrent_proto::tracker::service::{respond, respond_to_noise};
use ripcurrent_proto::wire::http::{HEAD_MAX, RequestReader};

/// Answers announcements over HTTP: one request and one answer for each connection.
pub(crate) struct Tracker {
    registry: Registry,
    visitors: Slots<Visitor>,
    outputs: VecDeque<Output>,
}

/// Somebody who is asking.
struct Visitor {
    from: SocketAddr,
    /// Taken once it is whole.
    request: Option<RequestReader>,
    closing: bool,
}

impl Tracker {
    /// A tracker that nobody has announced to; peers are to come back each `interval`.
    pub(crate) fn new(interval: Duration, rng: Rng) -> Self {
        let settings = Settings {
            interval,
            min_interval: interval.min(Duration::from_secs(60)),
            expiry: 2 * interval + Duration::from_secs(60),
            ..Settings::default()
        };
        Tracker {
            registry: Registry::new(settings, rng),
            visitors: Slots::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Reads on, and answers once the request is whole.
    fn read(&mut self, now: Instant, conn: ConnId, mut data: &[u8]) {
        let Some(visitor) = self.visitors.get_mut(conn.0) else {
            return;
        };
        let Some(mut reader) = visitor.request.take() else {
            return;
        };
        let response = match reader.push(&mut data) {
            Ok(None) => {
                visitor.request = Some(reader);
                return;
            }
            Ok(Some(head)) => respond(&mut self.registry, now, visitor.from.ip(), &head),
            Err(_) => respond_to_noise(),
        };
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend_from_slice(&response));
        self.ask(Net::Transmit { conn, transmission });
    }

    fn close(&mut self, conn: ConnId) {
        let visitor = self.visitors.get_mut(conn.0);
        if visitor.is_some_and(|visitor| !std::mem::replace(&mut visitor.closing, true)) {
            self.ask(Net::Close { conn });
        }
    }

    fn ask(&mut self, net: Net) {
        self.outputs.push_back(Output::Net(net));
    }
}

impl Machine for Tracker {
    fn accept(&mut self, _now: Instant, from: SocketAddr) -> Option<ConnId> {
        let visitor = Visitor {
            from,
            request: Some(RequestReader::new()),
            closing: false,
        };
        let conn = ConnId(self.visitors.insert(visitor));
        let until = HEAD_MAX as u64;
        self.ask(Net::Recv { conn, until });
        Some(conn)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Received { conn, data } => self.read(now, conn, data),
            // Answered, or gone: there is nothing more to say.
            Input::Sent { conn } | Input::Ended { conn, .. } => self.close(conn),
            Input::Closed { conn } => {
                self.visitors.remove(conn.0);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

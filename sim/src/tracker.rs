//! The tracker of a simulated world: the shipped service as a machine that any backend can carry,
//! and every way in which a tracker can fail.
//!
//! It behaves as its [`Behaviour`] says, which may change at any time: whoever asks from then on
//! sees the change. It remembers which addresses it gave to whom, so that a world can tell whether
//! a peer of a private torrent (BEP 27) knows an address that no tracker gave it.

mod answer;
mod behaviour;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};

use ripcurrent_proto::api::{Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::base::timer::Timers;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::tracker::registry::{Registry, Settings};
use ripcurrent_proto::tracker::service::respond_to_noise;
use ripcurrent_proto::wire::http::{HEAD_MAX, RequestReader};

use answer::Answer;

pub use behaviour::{Behaviour, Lie};

/// Answers announcements over HTTP: one request and one answer for each connection.
pub struct Tracker {
    registry: Registry,
    rng: Rng,
    behaviour: Behaviour,
    /// Where it listens; known once it does.
    addr: Option<SocketAddr>,
    told: BTreeMap<IpAddr, BTreeSet<SocketAddr>>,
    visitors: Slots<Visitor>,
    timers: Timers<ConnId>,
    outputs: VecDeque<Output>,
}

/// Somebody who is asking.
struct Visitor {
    from: SocketAddr,
    /// Taken once it is whole.
    request: Option<RequestReader>,
    answer: Option<Answer>,
    closing: bool,
}

impl Tracker {
    /// A tracker that behaves, and that nobody has announced to; peers are to come back each
    /// `interval`.
    #[must_use]
    pub fn new(interval: Duration, rng: Rng) -> Self {
        let settings = Settings {
            interval,
            min_interval: interval.min(Duration::from_secs(60)),
            expiry: 2 * interval + Duration::from_secs(60),
            ..Settings::default()
        };
        Tracker {
            registry: Registry::new(settings, rng.fork("registry")),
            rng,
            behaviour: Behaviour::Ok,
            addr: None,
            told: BTreeMap::new(),
            visitors: Slots::new(),
            timers: Timers::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Behaves so towards everybody who connects or has not been answered yet.
    pub fn set_behaviour(&mut self, behaviour: Behaviour) {
        self.behaviour = behaviour;
    }

    /// The addresses that it gave to the host at `ip`, right or wrong, as a client reads them.
    pub fn told(&self, ip: IpAddr) -> impl Iterator<Item = SocketAddr> {
        self.told.get(&ip).into_iter().flatten().copied()
    }

    /// Reads on, and answers once the request is whole.
    fn read(&mut self, now: Instant, conn: ConnId, mut data: &[u8]) {
        let Some(visitor) = self.visitors.get_mut(conn.0) else {
            return;
        };
        let Some(mut reader) = visitor.request.take() else {
            return;
        };
        let from = visitor.from;
        let answer = match reader.push(&mut data) {
            Ok(None) => {
                visitor.request = Some(reader);
                return;
            }
            Ok(Some(head)) => self.answer(now, from, &head),
            Err(_) => Some(Answer::new(respond_to_noise())),
        };
        if let Some(visitor) = self.visitors.get_mut(conn.0) {
            visitor.answer = answer;
            self.go_on(now, conn);
        }
    }

    /// Sends what is next of an answer, or closes after its end. Whom it does not answer it leaves
    /// waiting.
    fn go_on(&mut self, now: Instant, conn: ConnId) {
        let Some(visitor) = self.visitors.get_mut(conn.0) else {
            return;
        };
        let Some(answer) = &mut visitor.answer else {
            return;
        };
        let pause = std::mem::take(&mut answer.pause);
        if !pause.is_zero() {
            return self.timers.set(now + pause, conn);
        }
        let bytes = answer.next_part();
        if bytes.is_empty() {
            return self.close(conn);
        }
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend(bytes));
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
        if self.behaviour == Behaviour::Closes {
            return None;
        }
        let visitor = Visitor {
            from,
            request: Some(RequestReader::new()),
            answer: None,
            closing: false,
        };
        let conn = ConnId(self.visitors.insert(visitor));
        let until = HEAD_MAX as u64;
        self.ask(Net::Recv { conn, until });
        Some(conn)
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bound { addr } => self.addr = Some(addr),
            Input::Received { conn, data } => self.read(now, conn, data),
            Input::Sent { conn } => self.go_on(now, conn),
            Input::Ended { conn, .. } => self.close(conn),
            Input::Closed { conn } => {
                self.visitors.remove(conn.0);
            }
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        while let Some(conn) = self.timers.pop_due(now) {
            self.go_on(now, conn);
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }
}

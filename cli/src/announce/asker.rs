//! A machine that does one thing: ask trackers for peers until one answers, then take leave.
//!
//! It runs on the same host as the engine and speaks through the same announcer, so that names,
//! redirects, tiers and limits behave here as they do in a download.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ripcurrent_proto::api::{Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, OpId, Slots};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::tracker::schedule::{Action, AnnounceError, Announcer, Progress, Reply};

/// The most bytes received from one tracker: what the announcer takes of a body, with its head.
const CREDIT: u64 = 2 << 20;

/// What one tracker said.
pub(super) struct Report {
    /// The tracker.
    pub(super) url: String,
    /// Its answer.
    pub(super) result: Result<Reply, AnnounceError>,
}

/// See the documentation of the module.
pub(super) struct Asker {
    announcer: Announcer,
    progress: Progress,
    conns: Slots<()>,
    ops: Slots<()>,
    conn: Option<Conn>,
    outputs: VecDeque<Output>,
    reports: VecDeque<Report>,
}

struct Conn {
    id: ConnId,
    /// Whether it was told to close.
    closing: bool,
}

impl Asker {
    /// Begins to ask at once.
    pub(super) fn new(now: Instant, mut announcer: Announcer, progress: Progress) -> Self {
        announcer.start(now);
        Asker {
            announcer,
            progress,
            conns: Slots::new(),
            ops: Slots::new(),
            conn: None,
            outputs: VecDeque::new(),
            reports: VecDeque::new(),
        }
    }

    /// The next answer.
    pub(super) fn next_report(&mut self) -> Option<Report> {
        self.reports.pop_front()
    }

    /// Tells the tracker that answered, if any, that we are gone.
    pub(super) fn leave(&mut self, now: Instant) {
        self.announcer.stop(now);
    }

    /// Whether everything is over after [`Asker::leave`].
    pub(super) fn is_over(&self) -> bool {
        self.announcer.is_stopped() && self.conn.is_none()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Resolve { host } => {
                let op = OpId(self.ops.insert(()));
                self.outputs.push_back(Output::Resolve { op, host });
            }
            Action::Connect { to, tls } => {
                let id = ConnId(self.conns.insert(()));
                self.conn = Some(Conn { id, closing: false });
                let connect = Net::Connect { conn: id, to, tls };
                self.outputs.push_back(Output::Net(connect));
            }
            Action::Send { bytes } => self.send(&bytes),
            Action::Disconnect => self.close(),
            Action::Report { url, result } => self.reports.push_back(Report { url, result }),
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let Some(Conn { id: conn, .. }) = self.conn else {
            return;
        };
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend_from_slice(bytes));
        let nets = [
            Net::Transmit { conn, transmission },
            Net::Recv {
                conn,
                until: CREDIT,
            },
        ];
        self.outputs.extend(nets.map(Output::Net));
    }

    fn close(&mut self) {
        if let Some(Conn { id, closing }) = &mut self.conn
            && !*closing
        {
            *closing = true;
            self.outputs
                .push_back(Output::Net(Net::Close { conn: *id }));
        }
    }

    fn is_current(&self, conn: ConnId) -> bool {
        self.conn.as_ref().is_some_and(|current| current.id == conn)
    }
}

impl Machine for Asker {
    fn accept(&mut self, _: Instant, _: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } if self.is_current(conn) => self.announcer.connected(now),
            Input::Received { conn, data } if self.is_current(conn) => {
                self.announcer.received(now, data)
            }
            Input::Ended { conn, reason } if self.is_current(conn) => {
                self.announcer.ended(now, reason);
                self.close();
            }
            Input::Closed { conn } => {
                self.conns.remove(conn.0);
                if self.is_current(conn) {
                    self.conn = None;
                    self.announcer.closed(now);
                }
            }
            Input::Resolved { op, result } => {
                self.ops.remove(op.0);
                self.announcer
                    .resolved(now, result.as_deref().map_err(|error| *error));
            }
            // Nothing else is asked of the host, and what is sent needs no second look.
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.announcer.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        while self.outputs.is_empty()
            && let Some(action) = self.announcer.poll(now, &self.progress)
        {
            self.act(action);
        }
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.announcer.poll_timeout()
    }
}

//! A machine that asks several trackers at once, each by its own scraper, on one host.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ripcurrent_proto::api::{Input, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, OpId, Slots};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::tracker::scrape::Counts;
use ripcurrent_proto::tracker::scraper::{Action, ScrapeError, Scraper};

/// The most bytes received from one tracker: what a scraper takes of a body, with its head.
const CREDIT: u64 = 2 << 20;

/// What one tracker said.
pub(super) type Answer = Result<Counts, ScrapeError>;

/// See the documentation of the module.
pub(super) struct Asker {
    lines: Vec<Line>,
    conns: Slots<usize>,
    ops: Slots<usize>,
    outputs: VecDeque<Output>,
}

/// One tracker, from the question to the end of its connection.
struct Line {
    /// `None` where it cannot be asked.
    scraper: Option<Scraper>,
    conn: Option<Conn>,
    answer: Option<Answer>,
}

struct Conn {
    id: ConnId,
    /// Whether it was told to close.
    closing: bool,
}

impl Asker {
    /// Begins to ask all at once.
    pub(super) fn new(scrapers: impl IntoIterator<Item = Result<Scraper, ScrapeError>>) -> Self {
        let line = |scraper| {
            let (scraper, answer) = match scraper {
                Ok(scraper) => (Some(scraper), None),
                Err(error) => (None, Some(Err(error))),
            };
            Line {
                scraper,
                conn: None,
                answer,
            }
        };
        Asker {
            lines: scrapers.into_iter().map(line).collect(),
            conns: Slots::new(),
            ops: Slots::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether every tracker answered or failed.
    pub(super) fn has_all(&self) -> bool {
        self.lines.iter().all(|line| line.answer.is_some())
    }

    /// Waits for nobody any more.
    pub(super) fn leave(&mut self) {
        let scrapers = self
            .lines
            .iter_mut()
            .filter_map(|line| line.scraper.as_mut());
        scrapers.for_each(Scraper::abandon);
    }

    /// Whether no connection is open.
    pub(super) fn is_over(&self) -> bool {
        self.outputs.is_empty() && self.lines.iter().all(|line| line.conn.is_none())
    }

    /// The answers, in the order of the trackers; `None` of those that did not come in time.
    pub(super) fn into_answers(self) -> Vec<Option<Answer>> {
        self.lines.into_iter().map(|line| line.answer).collect()
    }

    fn act(&mut self, at: usize, action: Action) {
        let line = &mut self.lines[at];
        match action {
            Action::Resolve { host } => {
                let op = OpId(self.ops.insert(at));
                self.outputs.push_back(Output::Resolve { op, host });
            }
            Action::Connect { to, tls } => {
                let id = ConnId(self.conns.insert(at));
                line.conn = Some(Conn { id, closing: false });
                let connect = Net::Connect { conn: id, to, tls };
                self.outputs.push_back(Output::Net(connect));
            }
            Action::Send { bytes } => self.send(at, &bytes),
            Action::Disconnect => self.close(at),
            Action::Report(answer) => line.answer = Some(answer),
        }
    }

    fn send(&mut self, at: usize, bytes: &[u8]) {
        let Some(Conn { id: conn, .. }) = self.lines[at].conn else {
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

    fn close(&mut self, at: usize) {
        if let Some(Conn { id, closing }) = &mut self.lines[at].conn
            && !*closing
        {
            *closing = true;
            self.outputs
                .push_back(Output::Net(Net::Close { conn: *id }));
        }
    }

    /// Whose connection it is.
    fn on(&mut self, conn: ConnId) -> Option<(usize, &mut Scraper)> {
        let at = *self.conns.get(conn.0)?;
        Some((at, self.lines[at].scraper.as_mut()?))
    }
}

impl Machine for Asker {
    fn accept(&mut self, _: Instant, _: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } => {
                if let Some((_, scraper)) = self.on(conn) {
                    scraper.connected();
                }
            }
            Input::Received { conn, data } => {
                if let Some((_, scraper)) = self.on(conn) {
                    scraper.received(data);
                }
            }
            Input::Ended { conn, reason } => {
                if let Some((at, scraper)) = self.on(conn) {
                    scraper.ended(reason);
                    self.close(at);
                }
            }
            Input::Closed { conn } => {
                if let Some(at) = self.conns.remove(conn.0) {
                    let line = &mut self.lines[at];
                    line.conn = None;
                    if let Some(scraper) = &mut line.scraper {
                        scraper.closed(now);
                    }
                }
            }
            Input::Resolved { op, result } => {
                let at = self.ops.remove(op.0);
                let scraper = at.and_then(|at| self.lines[at].scraper.as_mut());
                if let Some(scraper) = scraper {
                    scraper.resolved(now, result.as_deref().map_err(|error| *error));
                }
            }
            // Nothing else is asked of the host, and what is sent needs no second look.
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        let scrapers = self
            .lines
            .iter_mut()
            .filter_map(|line| line.scraper.as_mut());
        scrapers.for_each(|scraper| scraper.handle_timeout(now));
    }

    fn poll_output(&mut self, _: Instant) -> Option<Output> {
        for at in 0..self.lines.len() {
            while let Some(action) = self.lines[at].scraper.as_mut().and_then(Scraper::poll) {
                self.act(at, action);
            }
        }
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let scrapers = self.lines.iter().filter_map(|line| line.scraper.as_ref());
        scrapers.filter_map(Scraper::poll_timeout).min()
    }
}

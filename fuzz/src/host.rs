//! A host that carries intents out as an input says: late, never in the order asked, with failures;
//! its network is full of enemies. What it checks is the engine's side of the contract.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ripcurrent_proto::api::{
    Disk, DiskDone, DiskError, EndReason, Found, FoundFile, FoundName, Input, IoError, IoErrorKind,
    Net, Output, Spans, Stamp, Transmission,
};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Backend, Machine, digest};
use ripcurrent_proto::meta::layout::FileIndex;
use sha1::{Digest, Sha1};

/// The host. Files are all zeros, whatever was written; states are kept.
pub struct Host {
    now: Instant,
    conns: BTreeMap<ConnId, Conn>,
    ops: Vec<Output>,
    due: VecDeque<Due>,
    /// What would be found now.
    found: Found,
    /// The length of each file.
    lens: Vec<u64>,
}

/// A connection that is not closed.
#[derive(Default)]
struct Conn {
    is_connected: bool,
    is_closing: bool,
    received: u64,
    until: u64,
    in_flight: Option<Transmission>,
}

/// What will be told at the next turn.
enum Due {
    Input(Input<'static>),
    Received(ConnId, Vec<u8>),
    Accept(SocketAddr),
}

impl Host {
    /// A host at the beginning of time, for a torrent whose files have these lengths.
    pub fn new(lens: &[u64]) -> Host {
        Host {
            now: Instant::ZERO,
            conns: BTreeMap::new(),
            ops: Vec::new(),
            due: VecDeque::new(),
            found: Found {
                files: vec![None; lens.len()],
                ..Found::default()
            },
            lens: lens.to_vec(),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Somebody else makes, changes or removes a file, or the state.
    pub fn meddle(&mut self, number: u8) {
        let at = usize::from(number >> 2) % self.lens.len();
        match number % 4 {
            0 => self.found.files[at] = None,
            1 => self.touch(at, FoundName::Own),
            2 => self.touch(at, FoundName::Contested),
            _ => {
                let state = self.found.state.as_mut();
                if let Some(byte) = state.and_then(|state| state.get_mut(usize::from(number))) {
                    *byte ^= 1;
                }
            }
        }
    }

    fn touch(&mut self, at: usize, name: FoundName) {
        let before = self.found.files[at].map_or(0, |file| file.stamp.modified);
        let (len, modified) = (self.lens[at], before + 1);
        let stamp = Stamp { len, modified };
        self.found.files[at] = Some(FoundFile { stamp, name });
    }

    /// What a write does to the files that are found later.
    fn wrote(&mut self, spans: &Spans) {
        for span in spans {
            match span.file {
                Some(_) if span.aside => self.found.aside = true,
                Some(file) => self.touch(file.at(), FoundName::Part),
                None => {}
            }
        }
    }

    fn stamps(&self) -> Vec<(FileIndex, Stamp)> {
        let files = (0..).map(FileIndex).zip(&self.found.files);
        files
            .filter_map(|(index, file)| Some((index, file.as_ref()?.stamp)))
            .collect()
    }

    /// Lets a stranger connect.
    pub fn accept(&mut self, stranger: u8) {
        self.due.push_back(Due::Accept(address(stranger)));
    }

    /// Tells the engine at the next turn.
    pub fn tell(&mut self, input: Input<'static>) {
        self.due.push_back(Due::Input(input));
    }

    /// Whether nothing is under way.
    pub fn is_idle(&self) -> bool {
        self.conns.is_empty() && self.ops.is_empty() && self.due.is_empty()
    }

    /// One of the connections, counted from any number.
    pub fn pick(&self, number: u8) -> Option<ConnId> {
        let count = self.conns.len().max(1);
        self.conns.keys().nth(usize::from(number) % count).copied()
    }

    /// Lets bytes arrive, if there is a connection and credit for them.
    pub fn receive(&mut self, id: ConnId, bytes: Vec<u8>) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        let is_open = conn.is_connected && !conn.is_closing && conn.received < conn.until;
        if is_open && !bytes.is_empty() {
            conn.received += bytes.len() as u64;
            self.due.push_back(Due::Received(id, bytes));
        }
    }

    /// Lets a dialled connection be made.
    pub fn connect(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if !conn.is_connected && !conn.is_closing {
            conn.is_connected = true;
            self.tell(Input::Connected { conn: id });
        }
    }

    /// Lets the far end leave.
    pub fn end(&mut self, id: ConnId, failed: bool) {
        let reason = match failed {
            true => EndReason::Failed(failure(IoErrorKind::Reset)),
            false => EndReason::Eof,
        };
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if !conn.is_closing {
            // Nothing is received any more.
            conn.received = u64::MAX;
            self.tell(Input::Ended { conn: id, reason });
        }
    }

    /// Lets what is being sent be sent.
    pub fn sent(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(&id) else {
            return;
        };
        if let Some(transmission) = conn.in_flight.take() {
            self.tell(Input::Sent { conn: id });
            self.tell(Input::Returned {
                conn: id,
                transmission,
            });
        }
    }

    /// Completes one of the operations under way, counted from any number.
    pub fn complete(&mut self, number: u8, fails: bool) {
        if self.ops.is_empty() {
            return;
        }
        let op = self.ops.remove(usize::from(number) % self.ops.len());
        let kind = match number & 0x80 {
            0 => IoErrorKind::NoSpace,
            _ => IoErrorKind::Other,
        };
        let done = self.done(op, fails.then_some(kind));
        self.tell(done);
    }

    /// Completes everything as it should be.
    pub fn complete_all(&mut self) {
        while !self.ops.is_empty() {
            self.complete(0, false);
        }
        for id in self.conns.keys().copied().collect::<Vec<_>>() {
            self.sent(id);
        }
    }

    fn done(&mut self, op: Output, fails: Option<IoErrorKind>) -> Input<'static> {
        let error = DiskError {
            file: None,
            error: failure(fails.unwrap_or(IoErrorKind::Other)),
        };
        let fails = fails.is_some();
        let result = if fails { Err(error) } else { Ok(()) };
        match op {
            Output::Disk(Disk::Open { op, .. }) => {
                let result = result.map(|()| self.found.clone());
                Input::Disk(DiskDone::Opened { op, result })
            }
            Output::Disk(Disk::Read { op, mut slab, .. }) => {
                slab.as_mut_slice().fill(0);
                Input::Disk(DiskDone::Read { op, slab, result })
            }
            Output::Disk(Disk::Digest {
                op,
                mut slab,
                spans,
                every,
                ..
            }) => {
                slab.as_mut_slice().fill(0);
                let digests = digest(slab.as_mut_slice(), &spans, every, |_, _| Ok(()));
                let result = result.and_then(|()| digests);
                Input::Disk(DiskDone::Digested { op, slab, result })
            }
            Output::Disk(Disk::Write {
                op, slab, spans, ..
            }) => {
                self.wrote(&spans);
                Input::Disk(DiskDone::Written { op, slab, result })
            }
            Output::Disk(Disk::Sync { op, .. }) => {
                let result = result.map(|()| self.stamps());
                Input::Disk(DiskDone::Synced { op, result })
            }
            Output::Disk(Disk::Finish { op, file, .. }) => {
                if let Some(file) = &mut self.found.files[file.at()] {
                    file.name = FoundName::Own;
                }
                Input::Disk(DiskDone::Finished { op, result })
            }
            Output::Disk(Disk::Save { op, state, .. }) => {
                if !fails {
                    self.found.aside &= state.is_some();
                    self.found.state = state;
                }
                Input::Disk(DiskDone::Saved { op, result })
            }
            Output::Disk(Disk::Delete { op, .. }) => {
                Input::Disk(DiskDone::Deleted { op, result: Ok(()) })
            }
            Output::Disk(Disk::Close { op, .. }) => Input::Disk(DiskDone::Closed { op }),
            Output::Hash { op, slab } => {
                let digest = Sha1::digest(slab.as_slice()).into();
                Input::Hashed { op, slab, digest }
            }
            Output::Resolve { op, .. } => {
                let result = match fails {
                    true => Err(failure(IoErrorKind::NotFound)),
                    false => Ok(vec![address(200).ip()]),
                };
                Input::Resolved { op, result }
            }
            Output::Net(_) => unreachable!("connections are kept apart"),
        }
    }

    fn carry_net(&mut self, net: Net) {
        match net {
            Net::Connect { conn, .. } => {
                assert!(
                    self.conns.insert(conn, Conn::default()).is_none(),
                    "an id in use"
                );
            }
            Net::Recv { conn, until } => {
                let conn = self.conns.get_mut(&conn).expect("an open connection");
                assert!(
                    !conn.is_closing && until >= conn.until,
                    "credit never shrinks"
                );
                conn.until = until;
            }
            Net::Transmit { conn, transmission } => {
                let conn = self.conns.get_mut(&conn).expect("an open connection");
                assert!(conn.is_connected && !conn.is_closing);
                assert!(conn.in_flight.is_none(), "one transmission at a time");
                conn.in_flight = Some(transmission);
            }
            Net::Close { conn: id } => {
                let conn = self.conns.get_mut(&id).expect("an open connection");
                assert!(!conn.is_closing, "closed once");
                conn.is_closing = true;
                // Buffers come home before the last word.
                if let Some(transmission) = conn.in_flight.take() {
                    self.tell(Input::Returned {
                        conn: id,
                        transmission,
                    });
                }
                self.tell(Input::Closed { conn: id });
            }
        }
    }
}

impl Backend for Host {
    fn now(&self) -> Instant {
        self.now
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Net(net) => self.carry_net(net),
            op => self.ops.push(op),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        let count = self.due.len().min(bound);
        for due in self.due.drain(..count).collect::<Vec<_>>() {
            match due {
                Due::Accept(from) => {
                    if let Some(id) = machine.accept(self.now, from) {
                        let conn = Conn {
                            is_connected: true,
                            ..Conn::default()
                        };
                        assert!(self.conns.insert(id, conn).is_none(), "an id in use");
                    }
                }
                Due::Received(conn, mut data) => {
                    // It may have been closed meanwhile; then nothing is told of it any more.
                    if self.conns.get(&conn).is_some_and(|conn| !conn.is_closing) {
                        let data = &mut data;
                        machine.handle(self.now, Input::Received { conn, data });
                    }
                }
                Due::Input(input) => {
                    if let Input::Closed { conn } = input {
                        self.conns.remove(&conn);
                    }
                    machine.handle(self.now, input);
                }
            }
        }
        count > 0
    }
}

/// The address of a stranger.
pub fn address(stranger: u8) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, stranger)), 6881)
}

fn failure(kind: IoErrorKind) -> IoError {
    IoError { kind, code: 0 }
}

//! A host that carries intents out as an input says: late, never in the order asked, with failures;
//! its network is full of enemies. What it checks is the engine's side of the contract.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ripcurrent_proto::api::{
    Disk, DiskDone, DiskError, EndReason, Found, Input, IoError, IoErrorKind, Net, Output, Transmission,
};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{Backend, Machine};
use sha1::{Digest, Sha1};

/// The host. Files are all zeros, whatever was written.
pub struct Host {
    now: Instant,
    conns: BTreeMap<ConnId, Conn>,
    ops: Vec<Output>,
    due: VecDeque<Due>,
    files: usize,
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
    /// A host at the beginning of time, for a torrent of so many files.
    pub fn new(files: usize) -> Host {
        Host {
            now: Instant::ZERO,
            conns: BTreeMap::new(),
            ops: Vec::new(),
            due: VecDeque::new(),
            files,
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
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
        let done = self.done(op, fails);
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

    fn done(&self, op: Output, fails: bool) -> Input<'static> {
        let error = DiskError {
            file: None,
            error: failure(IoErrorKind::NoSpace),
        };
        let result = if fails { Err(error) } else { Ok(()) };
        match op {
            Output::Disk(Disk::Open { op, .. }) => {
                let result = result.map(|()| Found {
                    files: vec![None; self.files],
                    ..Found::default()
                });
                Input::Disk(DiskDone::Opened { op, result })
            }
            Output::Disk(Disk::Read { op, mut slab, .. }) => {
                slab.as_mut_slice().fill(0);
                Input::Disk(DiskDone::Read { op, slab, result })
            }
            Output::Disk(Disk::Write { op, slab, .. }) => {
                Input::Disk(DiskDone::Written { op, slab, result })
            }
            Output::Disk(Disk::Sync { op, .. }) => {
                let result = result.map(|()| Vec::new());
                Input::Disk(DiskDone::Synced { op, result })
            }
            Output::Disk(Disk::Finish { op, .. }) => Input::Disk(DiskDone::Finished { op, result }),
            Output::Disk(Disk::Save { op, .. }) => Input::Disk(DiskDone::Saved { op, result }),
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

//! What a script has asked for and what came back.
//!
//! Invariant: every connection and operation that is out is listed here exactly once; an answer
//! that fits nothing listed is a breach of the contract, and the first breach is kept.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::Failure;
use crate::api::intent::Transmission;
use crate::api::{Disk, DiskDone, EndReason, Input, IoError, Net, Output};
use crate::base::id::{ConnId, OpId, Slots};
use crate::base::slab::Slab;
use crate::base::time::Instant;

/// A connection as the contract sees it.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) connected: bool,
    pub(super) inbox: Vec<u8>,
    pub(super) received: u64,
    pub(super) until: u64,
    pub(super) ended: Option<EndReason>,
    /// A transmission is out and its `Sent` has not come.
    pub(super) sending: bool,
    /// How many bytes and parts each transmission has that has not come home.
    pub(super) out: VecDeque<(usize, usize)>,
    /// The scene wants it closed.
    pub(super) closing: bool,
    /// The backend was told so: nothing but the last words may come.
    told_to_close: bool,
}

/// An operation: what it is, and its answer until somebody takes it.
#[derive(Debug)]
pub(super) struct Operation {
    kind: Kind,
    capacity: Option<usize>,
    answer: Option<Answer>,
}

/// What an operation came to.
#[derive(Debug)]
pub(super) enum Answer {
    Disk(DiskDone),
    Hashed(Slab, [u8; 20]),
    Resolved(Result<Vec<IpAddr>, IoError>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Open,
    Read,
    Write,
    Digest,
    Sync,
    Finish,
    Save,
    Delete,
    Close,
    Hash,
    Resolve,
}

/// Everything a script knows.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) now: Instant,
    pub(super) outputs: VecDeque<Output>,
    pub(super) conns: Slots<Conn>,
    pub(super) operations: Slots<Operation>,
    pub(super) accepted: VecDeque<ConnId>,
    pub(super) refusing: bool,
    pub(super) refused: u32,
    /// The earliest instant a pause ends; found anew by each advance of the scene.
    pub(super) wake: Option<Instant>,
    /// What the scene waits for, for the report when it does so in vain.
    pub(super) awaiting: String,
    pub(super) breach: Option<Failure>,
    /// Counts every change that a scene may be waiting for.
    pub(super) changes: u64,
    pub(super) receive_slack: u64,
}

impl Ledger {
    /// Files an output and starts to expect its answer.
    pub(super) fn ask(&mut self, output: Output) {
        self.changes += 1;
        self.outputs.push_back(output);
    }

    /// The next output for the backend.
    pub(super) fn next_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let Output::Net(Net::Close { conn }) = &output
            && let Some(entry) = self.conns.get_mut(conn.0)
        {
            entry.told_to_close = true;
        }
        Some(output)
    }

    /// Opens a connection.
    pub(super) fn connect(&mut self, to: SocketAddr, tls: Option<Arc<str>>) -> ConnId {
        let conn = ConnId(self.conns.insert(Conn::default()));
        self.ask(Output::Net(Net::Connect { conn, to, tls }));
        conn
    }

    /// Somebody has connected.
    pub(super) fn accept(&mut self) -> Option<ConnId> {
        self.changes += 1;
        if self.refusing {
            self.refused += 1;
            return None;
        }
        let connected = Conn {
            connected: true,
            ..Conn::default()
        };
        let conn = ConnId(self.conns.insert(connected));
        self.accepted.push_back(conn);
        Some(conn)
    }

    /// Starts an operation that `make` describes.
    pub(super) fn operate(&mut self, make: impl FnOnce(OpId) -> Output) -> OpId {
        let blank = Operation {
            kind: Kind::Sync,
            capacity: None,
            answer: None,
        };
        let op = OpId(self.operations.insert(blank));
        let output = make(op);
        let (kind, capacity) = describe(&output);
        if let Some(operation) = self.operations.get_mut(op.0) {
            operation.kind = kind;
            operation.capacity = capacity;
        }
        self.ask(output);
        op
    }

    /// Takes the answer of an operation, once it is there.
    pub(super) fn take_answer(&mut self, op: OpId) -> Option<Answer> {
        let answer = self.operations.get_mut(op.0)?.answer.take()?;
        self.operations.remove(op.0);
        self.changes += 1;
        Some(answer)
    }

    /// Whether nothing is out any more.
    pub(super) fn all_home(&self) -> bool {
        self.conns.is_empty() && self.operations.iter().all(|(_, op)| op.answer.is_some())
    }

    /// What is still out, for people.
    pub(super) fn still_out(&self) -> String {
        let conns: Vec<_> = self.conns.iter().map(|(id, _)| id).collect();
        let waiting = |op: &Operation| op.answer.is_none();
        let operations: Vec<_> = self
            .operations
            .iter()
            .filter(|(_, op)| waiting(op))
            .map(|(id, op)| (id, op.kind))
            .collect();
        format!("connections {conns:?} and operations {operations:?}")
    }

    /// Checks an input against what was asked and files it.
    pub(super) fn observe(&mut self, input: Input<'_>) {
        self.changes += 1;
        let slack = self.receive_slack;
        let result = match input {
            Input::Connected { conn } => self.with(conn, "Connected", Conn::on_connected),
            Input::Received { conn, data } => {
                self.with(conn, "Received", |entry| entry.on_received(data, slack))
            }
            Input::Sent { conn } => self.with(conn, "Sent", Conn::on_sent),
            Input::Returned { conn, transmission } => {
                self.with(conn, "Returned", |entry| entry.on_returned(&transmission))
            }
            Input::Ended { conn, reason } => {
                self.with(conn, "Ended", |entry| entry.on_ended(reason))
            }
            Input::Closed { conn } => {
                let checked = self.with(conn, "Closed", |entry| entry.on_closed());
                self.conns.remove(conn.0);
                checked
            }
            Input::Disk(done) => self.on_disk(done),
            Input::Hashed { op, slab, digest } => {
                let capacity = Some(slab.capacity());
                self.answered(op, Kind::Hash, capacity, Answer::Hashed(slab, digest))
            }
            Input::Resolved { op, result } => {
                self.answered(op, Kind::Resolve, None, Answer::Resolved(result))
            }
            Input::Bound { addr } if addr.port() == 0 => Err("Bound names port 0".into()),
            Input::Bound { .. } => Ok(()),
            Input::Command(_) => Err("a backend makes no commands".into()),
        };
        if let Err(breach) = result {
            self.breach(breach);
        }
    }

    /// Keeps the first breach.
    pub(super) fn breach(&mut self, breach: String) {
        self.breach.get_or_insert(Failure(breach));
    }

    fn with(
        &mut self,
        conn: ConnId,
        what: &str,
        check: impl FnOnce(&mut Conn) -> Result<(), String>,
    ) -> Result<(), String> {
        let entry = self
            .conns
            .get_mut(conn.0)
            .ok_or_else(|| format!("{what} for {conn:?}, which is closed already or never was"))?;
        check(entry).map_err(|breach| format!("{what} for {conn:?}: {breach}"))
    }

    fn on_disk(&mut self, done: DiskDone) -> Result<(), String> {
        let (op, kind, capacity) = match &done {
            DiskDone::Opened { op, .. } => (*op, Kind::Open, None),
            DiskDone::Read { op, slab, .. } => (*op, Kind::Read, Some(slab.capacity())),
            DiskDone::Written { op, slab, .. } => (*op, Kind::Write, Some(slab.capacity())),
            DiskDone::Digested { op, slab, .. } => (*op, Kind::Digest, Some(slab.capacity())),
            DiskDone::Synced { op, .. } => (*op, Kind::Sync, None),
            DiskDone::Finished { op, .. } => (*op, Kind::Finish, None),
            DiskDone::Saved { op, .. } => (*op, Kind::Save, None),
            DiskDone::Deleted { op, .. } => (*op, Kind::Delete, None),
            DiskDone::Closed { op } => (*op, Kind::Close, None),
        };
        self.answered(op, kind, capacity, Answer::Disk(done))
    }

    fn answered(
        &mut self,
        op: OpId,
        kind: Kind,
        capacity: Option<usize>,
        answer: Answer,
    ) -> Result<(), String> {
        let Some(operation) = self.operations.get_mut(op.0) else {
            return Err(format!(
                "{kind:?} answers {op:?}, which is over or never was"
            ));
        };
        if operation.answer.is_some() {
            return Err(format!("{op:?} completes twice"));
        }
        if (operation.kind, operation.capacity) != (kind, capacity) {
            let asked = (operation.kind, operation.capacity);
            return Err(format!(
                "{op:?} was {asked:?}, its answer is {kind:?} {capacity:?}"
            ));
        }
        operation.answer = Some(answer);
        Ok(())
    }
}

impl Conn {
    fn on_connected(&mut self) -> Result<(), String> {
        if self.connected || self.ended.is_some() || self.told_to_close {
            return Err("it was connected, ended or closing before".into());
        }
        self.connected = true;
        Ok(())
    }

    fn on_received(&mut self, data: &mut [u8], slack: u64) -> Result<(), String> {
        if !self.connected || self.ended.is_some() || self.told_to_close {
            return Err("it is not connected, has ended or is closing".into());
        }
        if data.is_empty() {
            return Err("no bytes".into());
        }
        self.received += data.len() as u64;
        self.inbox.extend_from_slice(data);
        // The buffer is lent to be changed; a backend must not mind.
        data.fill(0xee);
        if self.received > self.until + slack {
            let (received, until) = (self.received, self.until);
            return Err(format!("{received} bytes with credit until {until}"));
        }
        Ok(())
    }

    fn on_sent(&mut self) -> Result<(), String> {
        if !self.sending {
            return Err("nothing is being sent".into());
        }
        self.sending = false;
        Ok(())
    }

    fn on_returned(&mut self, transmission: &Transmission) -> Result<(), String> {
        let shape = (transmission.len(), transmission.parts.len());
        match self.out.pop_front() {
            Some(out) if out == shape => Ok(()),
            Some(out) => Err(format!("{out:?} bytes and parts went, {shape:?} came home")),
            None => Err("no transmission is out".into()),
        }
    }

    fn on_ended(&mut self, reason: EndReason) -> Result<(), String> {
        if self.ended.is_some() || self.told_to_close {
            return Err("it has ended before or is closing".into());
        }
        self.ended = Some(reason);
        Ok(())
    }

    fn on_closed(&mut self) -> Result<(), String> {
        if !self.told_to_close {
            return Err("nobody asked for it".into());
        }
        if !self.out.is_empty() {
            return Err(format!("{} transmissions are not home", self.out.len()));
        }
        Ok(())
    }
}

/// The kind of an operation, and the capacity of the slab it takes along.
fn describe(output: &Output) -> (Kind, Option<usize>) {
    match output {
        Output::Disk(Disk::Open { .. }) => (Kind::Open, None),
        Output::Disk(Disk::Read { slab, .. }) => (Kind::Read, Some(slab.capacity())),
        Output::Disk(Disk::Write { slab, .. }) => (Kind::Write, Some(slab.capacity())),
        Output::Disk(Disk::Digest { slab, .. }) => (Kind::Digest, Some(slab.capacity())),
        Output::Disk(Disk::Finish { .. }) => (Kind::Finish, None),
        Output::Disk(Disk::Save { .. }) => (Kind::Save, None),
        Output::Disk(Disk::Delete { .. }) => (Kind::Delete, None),
        Output::Disk(Disk::Close { .. }) => (Kind::Close, None),
        Output::Hash { slab, .. } => (Kind::Hash, Some(slab.capacity())),
        Output::Resolve { .. } => (Kind::Resolve, None),
        Output::Disk(Disk::Sync { .. }) | Output::Net(_) => (Kind::Sync, None),
    }
}

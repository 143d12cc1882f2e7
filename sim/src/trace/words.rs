//! Inputs and outputs in words, on one line each.

use std::fmt;

use ripcurrent_proto::api::{
    Command, Disk, DiskDone, DiskError, EndReason, FileSpan, Input, Net, Output,
};
use ripcurrent_proto::base::id::{ConnId, Id, OpId};

/// Displays what it holds.
pub(super) struct Words<'a, T>(pub(super) &'a T);

/// Displays a connection's id.
pub(super) fn conn(conn: ConnId) -> impl fmt::Display {
    Name('c', conn.0)
}

fn op(op: OpId) -> impl fmt::Display {
    Name('o', op.0)
}

struct Name(char, Id);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}.{}", self.0, self.1.slot(), self.1.generation())
    }
}

impl fmt::Display for Words<'_, Input<'_>> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Connected { conn: id } => write!(f, "connected {}", conn(*id)),
            Input::Received { conn: id, data } => {
                write!(f, "received {} {} B", conn(*id), data.len())
            }
            Input::Sent { conn: id } => write!(f, "sent {}", conn(*id)),
            Input::Returned { conn: id, .. } => write!(f, "returned {}", conn(*id)),
            Input::Ended { conn: id, reason } => match reason {
                EndReason::Eof => write!(f, "ended {}", conn(*id)),
                EndReason::Failed(error) => write!(f, "failed {}: {}", conn(*id), error.kind),
                EndReason::Tls(error) => write!(f, "failed {}: {error}", conn(*id)),
            },
            Input::Closed { conn: id } => write!(f, "closed {}", conn(*id)),
            Input::Disk(done) => Words(done).fmt(f),
            Input::Hashed { op: id, .. } => write!(f, "hashed {}", op(*id)),
            Input::Resolved { op: id, result } => match result {
                Ok(addresses) => write!(f, "resolved {} as {addresses:?}", op(*id)),
                Err(error) => write!(f, "resolved {} not: {}", op(*id), error.kind),
            },
            Input::Bound { addr } => write!(f, "bound to {addr}"),
            Input::Command(command) => Words(command).fmt(f),
        }
    }
}

impl fmt::Display for Words<'_, Command> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // A torrent is too much for a line.
            Command::Add(add) => write!(f, "command add to {:?}", add.root),
            command => write!(f, "command {command:?}"),
        }
    }
}

impl fmt::Display for Words<'_, DiskDone> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut done = |what: &str, id: &OpId, result: Result<(), DiskError>| match result {
            Ok(()) => write!(f, "{what} {}", op(*id)),
            Err(error) => write!(f, "{what} {} not: {}", op(*id), error.error.kind),
        };
        match self.0 {
            DiskDone::Opened { op, result } => done("opened", op, plain(result)),
            DiskDone::Read { op, result, .. } => done("read", op, *result),
            DiskDone::Written { op, result, .. } => done("written", op, *result),
            DiskDone::Digested { op, result, .. } => done("digested", op, plain(result)),
            DiskDone::Synced { op, result } => done("synced", op, plain(result)),
            DiskDone::Finished { op, result } => done("finished", op, *result),
            DiskDone::Saved { op, result } => done("saved", op, *result),
            DiskDone::Deleted { op, result } => done("deleted", op, *result),
            DiskDone::Closed { op } => done("closed", op, Ok(())),
        }
    }
}

impl fmt::Display for Words<'_, Output> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Output::Net(Net::Connect { conn: id, to, tls }) => {
                write!(f, "connect {} to {to}", conn(*id))?;
                match tls {
                    Some(name) => write!(f, " with TLS as {name}"),
                    None => Ok(()),
                }
            }
            Output::Net(Net::Recv { conn: id, until }) => {
                write!(f, "receive {} until {until}", conn(*id))
            }
            Output::Net(Net::Transmit {
                conn: id,
                transmission,
            }) => write!(f, "transmit {} {} B", conn(*id), transmission.len()),
            Output::Net(Net::Close { conn: id }) => write!(f, "close {}", conn(*id)),
            Output::Disk(disk) => Words(disk).fmt(f),
            Output::Hash { op: id, slab } => write!(f, "hash {} {} B", op(*id), slab.len()),
            Output::Resolve { op: id, host } => write!(f, "resolve {} {host:?}", op(*id)),
        }
    }
}

impl fmt::Display for Words<'_, Disk> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Disk::Open { op: id, root, .. } => write!(f, "open {} {root:?}", op(*id)),
            Disk::Read { op: id, spans, .. } => write!(f, "read {}{}", op(*id), Places(spans)),
            Disk::Write { op: id, spans, .. } => write!(f, "write {}{}", op(*id), Places(spans)),
            Disk::Digest { op: id, spans, .. } => write!(f, "digest {}{}", op(*id), Places(spans)),
            Disk::Sync { op: id, .. } => write!(f, "sync {}", op(*id)),
            Disk::Finish { op: id, file, .. } => write!(f, "finish {} {}", op(*id), file.0),
            Disk::Save { op: id, state, .. } => match state {
                Some(state) => write!(f, "save {} {} B", op(*id), state.len()),
                None => write!(f, "save {} nothing", op(*id)),
            },
            Disk::Delete { op: id, .. } => write!(f, "delete {}", op(*id)),
            Disk::Close { op: id, .. } => write!(f, "close files {}", op(*id)),
        }
    }
}

/// Whether it went well, without what came of it.
fn plain<T>(result: &Result<T, DiskError>) -> Result<(), DiskError> {
    result.as_ref().map(drop).map_err(|error| *error)
}

/// Ranges of files, as `FILE+OFFSET+LENGTH`; padding, which is in no file, as `padding+LENGTH`.
struct Places<'a>(&'a [FileSpan]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|span| match span.file {
            Some(file) => write!(f, " {}+{}+{}", file.0, span.offset, span.len),
            None => write!(f, " padding+{}", span.len),
        })
    }
}

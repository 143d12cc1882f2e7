//! The one seam that every call of a machine passes, in a stable encoding: there a run is digested.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use sha1::{Digest, Sha1};

use super::Machine;
use crate::base::id::{ConnId, Id, OpId};
use crate::base::time::Instant;
use crate::engine::api::{Access, FileSpan, Part, Transmission};
use crate::engine::{Disk, DiskDone, DiskError, EndReason, Input, IoError, Net, Output};

/// A machine whose every call and answer is digested in order.
///
/// Inputs are digested whole; of outputs, which are a function of the inputs, slabs count by their
/// length and range only.
#[derive(Debug)]
pub struct Tap<M> {
    machine: M,
    trace: Trace,
}

impl<M: Machine> Tap<M> {
    /// Begins a trace of `machine`.
    pub fn new(machine: M) -> Self {
        Tap {
            machine,
            trace: Trace::default(),
        }
    }

    /// The machine, to look at or to poll for events; calls made so are not in the trace.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The digest of all calls so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 20] {
        self.trace.hash.clone().finalize().into()
    }
}

impl<M: Machine> Machine for Tap<M> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        let answer = self.machine.accept(now, from);
        self.trace.call(1, now);
        self.trace.addr(from);
        self.trace
            .number(answer.map_or(u64::MAX, |conn| encode_id(conn.0)));
        self.trace.flush();
        answer
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.trace.call(2, now);
        self.trace.input(&input);
        self.trace.flush();
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.trace.call(3, now);
        self.trace.flush();
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.machine.poll_output(now)?;
        self.trace.call(4, now);
        self.trace.output(&output);
        self.trace.flush();
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

fn encode_id(id: Id) -> u64 {
    u64::from(id.slot()) << 32 | u64::from(id.generation())
}

/// The encoding: little-endian numbers of 64 bits, byte strings behind their length, each value
/// behind a tag of its own. Small values gather in `pending` before they are hashed.
#[derive(Debug, Default)]
struct Trace {
    hash: Sha1,
    pending: Vec<u8>,
}

impl Trace {
    fn call(&mut self, tag: u8, now: Instant) {
        self.pending.push(tag);
        self.number(now.as_micros());
    }

    fn flush(&mut self) {
        self.hash.update(&self.pending);
        self.pending.clear();
    }

    fn tag(&mut self, tag: u8) {
        self.pending.push(tag);
    }

    fn number(&mut self, number: u64) {
        self.pending.extend_from_slice(&number.to_le_bytes());
    }

    fn conn(&mut self, tag: u8, conn: ConnId) {
        self.tag(tag);
        self.number(encode_id(conn.0));
    }

    fn op(&mut self, tag: u8, op: OpId) {
        self.tag(tag);
        self.number(encode_id(op.0));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.flush();
        self.hash.update(bytes);
    }

    fn addr(&mut self, addr: SocketAddr) {
        self.ip(addr.ip());
        self.number(u64::from(addr.port()));
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => self.bytes(&ip.octets()),
            IpAddr::V6(ip) => self.bytes(&ip.octets()),
        }
    }

    fn error(&mut self, error: IoError) {
        self.tag(error.kind as u8);
        self.number(error.code as u64);
    }

    fn disk_result(&mut self, result: Result<(), DiskError>) {
        match result {
            Ok(()) => self.tag(0),
            Err(error) => {
                self.tag(1);
                self.number(error.file.map_or(u64::MAX, |file| u64::from(file.0)));
                self.error(error.error);
            }
        }
    }

    fn input(&mut self, input: &Input<'_>) {
        match input {
            Input::Connected { conn } => self.conn(1, *conn),
            Input::Received { conn, data } => {
                self.conn(2, *conn);
                self.bytes(data);
            }
            Input::Sent { conn } => self.conn(3, *conn),
            Input::Returned { conn, transmission } => {
                self.conn(4, *conn);
                self.number(transmission.parts.len() as u64);
            }
            Input::Ended { conn, reason } => {
                self.conn(5, *conn);
                match reason {
                    EndReason::Eof => self.tag(0),
                    EndReason::Failed(error) => {
                        self.tag(1);
                        self.error(*error);
                    }
                }
            }
            Input::Closed { conn } => self.conn(6, *conn),
            Input::Disk(done) => self.disk_done(done),
            Input::Hashed { op, digest, .. } => {
                self.op(8, *op);
                self.bytes(digest);
            }
            Input::Resolved { op, result } => {
                self.op(9, *op);
                match result {
                    Ok(addresses) => addresses.iter().for_each(|ip| self.ip(*ip)),
                    Err(error) => self.error(*error),
                }
            }
            Input::Bound { addr } => {
                self.tag(10);
                self.addr(*addr);
            }
            Input::Command(command) => {
                self.tag(11);
                command.encode(&mut self.pending);
            }
        }
    }

    fn disk_done(&mut self, done: &DiskDone) {
        match done {
            DiskDone::Opened { op, result } => {
                self.op(20, *op);
                match result {
                    Ok(lengths) => {
                        for length in lengths {
                            self.number(length.map_or(u64::MAX, |length| length));
                        }
                    }
                    Err(error) => self.disk_result(Err(*error)),
                }
            }
            DiskDone::Read { op, slab, result } => {
                self.op(21, *op);
                self.disk_result(*result);
                if result.is_ok() {
                    self.bytes(slab.as_slice());
                }
            }
            DiskDone::Written { op, result, .. } => {
                self.op(22, *op);
                self.disk_result(*result);
            }
            DiskDone::Synced { op, result } => {
                self.op(23, *op);
                self.disk_result(*result);
            }
            DiskDone::Closed { op } => self.op(24, *op),
            DiskDone::Deleted { op, result } => {
                self.op(25, *op);
                self.disk_result(*result);
            }
        }
    }

    fn output(&mut self, output: &Output) {
        match output {
            Output::Net(net) => self.net(net),
            Output::Disk(disk) => self.disk(disk),
            Output::Hash { op, slab } => {
                self.op(40, *op);
                self.number(slab.len() as u64);
            }
            Output::Resolve { op, host } => {
                self.op(41, *op);
                self.bytes(host.as_bytes());
            }
        }
    }

    fn net(&mut self, net: &Net) {
        match net {
            Net::Connect { conn, to } => {
                self.conn(50, *conn);
                self.addr(*to);
            }
            Net::Recv { conn, until } => {
                self.conn(51, *conn);
                self.number(*until);
            }
            Net::Transmit { conn, transmission } => {
                self.conn(52, *conn);
                self.transmission(transmission);
            }
            Net::Close { conn } => self.conn(53, *conn),
        }
    }

    fn transmission(&mut self, transmission: &Transmission) {
        for part in &transmission.parts {
            match part {
                Part::Head { .. } => self.bytes(transmission.bytes(part)),
                Part::Slab { from, to, .. } => {
                    self.number(u64::from(*from));
                    self.number(u64::from(*to));
                }
            }
        }
    }

    fn disk(&mut self, disk: &Disk) {
        match disk {
            Disk::Open {
                op,
                storage,
                root,
                access,
                ..
            } => {
                self.op(60, *op);
                self.number(u64::from(storage.0));
                self.bytes(root.as_bytes());
                self.tag(match access {
                    Access::Read => 0,
                    Access::Write { preallocate: false } => 1,
                    Access::Write { preallocate: true } => 2,
                });
            }
            Disk::Read {
                op, storage, spans, ..
            } => {
                self.op(61, *op);
                self.number(u64::from(storage.0));
                self.spans(spans);
            }
            Disk::Write {
                op, storage, spans, ..
            } => {
                self.op(62, *op);
                self.number(u64::from(storage.0));
                self.spans(spans);
            }
            Disk::Sync { op, storage } => {
                self.op(63, *op);
                self.number(u64::from(storage.0));
            }
            Disk::Delete { op, storage } => {
                self.op(65, *op);
                self.number(u64::from(storage.0));
            }
            Disk::Close { op, storage } => {
                self.op(64, *op);
                self.number(u64::from(storage.0));
            }
        }
    }

    fn spans(&mut self, spans: &[FileSpan]) {
        for span in spans {
            self.number(span.file.map_or(u64::MAX, |file| u64::from(file.0)));
            self.number(span.offset);
            self.number(u64::from(span.len));
        }
    }
}

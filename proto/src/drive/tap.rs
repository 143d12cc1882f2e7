//! The one seam that every call of a machine passes, in a stable encoding: there a run is digested.
//!
//! What counts: every call with its instant; of inputs all that they say, of outputs all but the
//! contents of slabs, of which they say the length or the range. Payload counts by its identity: of
//! a received or read string of bytes longer than [`WHOLE`] the length, the beginning and the end
//! ([`HEAD`] and [`TAIL`]). So a digest costs next to nothing beside the run, and the middle of a
//! long string is all that can change unseen. What that changes is seen: the hash of a piece is an
//! input as well.
//!
//! The hash is XXH3 of 128 bits: runs are to be told apart, nobody wants to forge one.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use twox_hash::XxHash3_128;

use super::Machine;
use crate::base::id::{ConnId, Id, OpId};
use crate::base::time::Instant;
use crate::engine::api::{Access, FileSpan, Part, Transmission};
use crate::engine::{
    Disk, DiskDone, DiskError, EndReason, Found, Input, IoError, Net, Output, Stamp,
};

/// The longest string of bytes that counts whole.
pub const WHOLE: usize = HEAD + TAIL;
/// How many bytes at the beginning of a longer one count: small messages, the header of a block and
/// what its payload begins with.
pub const HEAD: usize = 256;
/// How many bytes at the end of a longer one count.
pub const TAIL: usize = 64;

/// How many bytes gather before they are hashed.
const GATHERED: usize = 2048;

/// A machine whose every call and answer is digested in order; the module says what counts.
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
            trace: Trace::new(),
        }
    }

    /// The machine, to look at or to poll for events; calls made so are not in the trace.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// The digest of all calls so far.
    #[must_use]
    pub fn digest(&self) -> [u8; 16] {
        let mut hash = self.trace.hash.clone();
        hash.write(&self.trace.pending);
        hash.finish_128().to_be_bytes()
    }
}

impl<M: Machine> Machine for Tap<M> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        let answer = self.machine.accept(now, from);
        self.trace.call(1, now);
        self.trace.addr(from);
        self.trace
            .number(answer.map_or(u64::MAX, |conn| encode_id(conn.0)));
        answer
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        self.trace.call(2, now);
        self.trace.input(&input);
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.trace.call(3, now);
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.machine.poll_output(now)?;
        self.trace.call(4, now);
        self.trace.output(&output);
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

/// Eight bytes that stand for an output.
pub(super) fn fingerprint(output: &Output) -> [u8; 8] {
    let mut trace = Trace::new();
    trace.output(output);
    trace.hash.write(&trace.pending);
    (trace.hash.finish_128() as u64).to_be_bytes()
}

fn encode_id(id: Id) -> u64 {
    u64::from(id.slot()) << 32 | u64::from(id.generation())
}

/// The encoding: little-endian numbers of 64 bits, byte strings behind their length, each value
/// behind a tag of its own. Values gather in `pending` before they are hashed.
struct Trace {
    hash: XxHash3_128,
    pending: Vec<u8>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").finish_non_exhaustive()
    }
}

impl Trace {
    fn new() -> Self {
        Trace {
            hash: XxHash3_128::new(),
            pending: Vec::new(),
        }
    }

    fn call(&mut self, tag: u8, now: Instant) {
        if self.pending.len() >= GATHERED {
            self.hash.write(&self.pending);
            self.pending.clear();
        }
        self.tag(tag);
        self.number(now.as_micros());
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

    /// A string that was made here, or that always is short.
    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.pending.extend_from_slice(bytes);
    }

    /// A string that may be payload.
    fn payload(&mut self, bytes: &[u8]) {
        if bytes.len() <= WHOLE {
            return self.bytes(bytes);
        }
        self.number(bytes.len() as u64);
        self.pending.extend_from_slice(&bytes[..HEAD]);
        let tail = bytes.len() - TAIL;
        self.pending.extend_from_slice(&bytes[tail..]);
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
                self.payload(data);
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
                    EndReason::Tls(error) => {
                        self.tag(2);
                        self.number(error.number());
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

    fn found(&mut self, found: &Found) {
        self.tag(u8::from(found.aside));
        for file in &found.files {
            match file {
                None => self.tag(0),
                Some(file) => {
                    self.tag(1 + file.name as u8);
                    self.stamp(file.stamp);
                }
            }
        }
        self.bytes(found.state.as_deref().unwrap_or_default());
    }

    fn stamp(&mut self, stamp: Stamp) {
        self.number(stamp.len);
        self.number(stamp.modified);
    }

    fn disk_done(&mut self, done: &DiskDone) {
        match done {
            DiskDone::Opened { op, result } => {
                self.op(20, *op);
                match result {
                    Ok(found) => {
                        self.found(found);
                    }
                    Err(error) => self.disk_result(Err(*error)),
                }
            }
            DiskDone::Read { op, slab, result } => {
                self.op(21, *op);
                self.disk_result(*result);
                // What is lent is only sent: nothing depends on it.
                if result.is_ok() && slab.loan().is_none() {
                    self.payload(slab.as_slice());
                }
            }
            DiskDone::Written { op, result, .. } => {
                self.op(22, *op);
                self.disk_result(*result);
            }
            DiskDone::Digested { op, result, .. } => {
                self.op(28, *op);
                self.disk_result(result.as_ref().map(drop).map_err(|error| *error));
                result
                    .iter()
                    .flatten()
                    .for_each(|digest| self.bytes(digest));
            }
            DiskDone::Synced { op, result } => {
                self.op(23, *op);
                self.disk_result(result.as_ref().map(drop).map_err(|error| *error));
                for (file, stamp) in result.iter().flatten() {
                    self.number(u64::from(file.0));
                    self.stamp(*stamp);
                }
            }
            DiskDone::Finished { op, result } => {
                self.op(26, *op);
                self.disk_result(*result);
            }
            DiskDone::Saved { op, result } => {
                self.op(27, *op);
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
            Net::Connect { conn, to, tls } => {
                self.conn(if tls.is_none() { 50 } else { 54 }, *conn);
                self.addr(*to);
                if let Some(name) = tls {
                    self.bytes(name.as_bytes());
                }
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
                    Access::Write {
                        preallocate,
                        overwrite,
                    } => 1 + u8::from(*preallocate) + 2 * u8::from(*overwrite),
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
            Disk::Digest {
                op,
                storage,
                slab,
                spans,
                every,
            } => {
                self.op(68, *op);
                self.number(u64::from(storage.0));
                self.number(slab.len() as u64);
                self.spans(spans);
                self.number(u64::from(*every));
            }
            Disk::Sync { op, storage } => {
                self.op(63, *op);
                self.number(u64::from(storage.0));
            }
            Disk::Finish { op, storage, file } => {
                self.op(66, *op);
                self.number(u64::from(storage.0));
                self.number(u64::from(file.0));
            }
            Disk::Save { op, storage, state } => {
                self.op(67, *op);
                self.number(u64::from(storage.0));
                self.bytes(state.as_deref().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::slab::Slab;

    /// Takes everything and does nothing.
    struct Idle;

    impl Machine for Idle {
        fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
            None
        }

        fn handle(&mut self, _now: Instant, _input: Input<'_>) {}

        fn handle_timeout(&mut self, _now: Instant) {}

        fn poll_output(&mut self, _now: Instant) -> Option<Output> {
            None
        }

        fn poll_timeout(&self) -> Option<Instant> {
            None
        }
    }

    const NOW: Instant = Instant::from_micros(5);

    fn conn() -> ConnId {
        ConnId(Id::from_parts(3, 1))
    }

    /// The digest of a run that receives these strings.
    fn digest(strings: &[&[u8]]) -> [u8; 16] {
        let mut tap = Tap::new(Idle);
        for bytes in strings {
            let data = &mut bytes.to_vec();
            tap.handle(NOW, Input::Received { conn: conn(), data });
        }
        tap.digest()
    }

    /// Every bit of a short string counts, and so does how long it is and where it is cut.
    #[test]
    fn short_strings_count_whole() {
        let string: Vec<u8> = (0..WHOLE).map(|at| at as u8).collect();
        let (start, end) = string.split_at(100);
        let whole = digest(&[&string]);
        for bit in 0..WHOLE * 8 {
            let mut other = string.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(digest(&[&other]), whole, "bit {bit}");
        }
        assert_ne!(digest(&[&string[1..]]), whole);
        assert_ne!(digest(&[start, end]), whole);
        assert_ne!(digest(&[start, end]), digest(&[end, start]));
    }

    /// Of a long string each bit of the beginning and the end counts, and the length; its middle
    /// does not.
    #[test]
    fn long_strings_count_by_their_ends() {
        let mut string = alloc::vec![7; 16 << 10];
        let whole = digest(&[&string]);
        let end = string.len() - TAIL;
        for at in (0..HEAD).chain(end..string.len()) {
            string[at] ^= 0x10;
            assert_ne!(digest(&[&string]), whole, "byte {at}");
            string[at] ^= 0x10;
        }
        assert_ne!(digest(&[&string[1..]]), whole);
        string[HEAD] ^= 1;
        assert_eq!(digest(&[&string]), whole);
    }

    /// What a disk gave counts as what a peer sent does, and a refused read is another.
    #[test]
    fn slabs_that_were_read_count() {
        let read = |byte: u8, is_right: bool| {
            let mut slab = Slab::new(1000);
            slab.set_len(1000);
            slab.as_mut_slice()[16] = byte;
            let error = IoError {
                kind: crate::base::io::IoErrorKind::Other,
                code: 0,
            };
            let refused = DiskError { file: None, error };
            let result = if is_right { Ok(()) } else { Err(refused) };
            let op = OpId(Id::from_parts(0, 0));
            let mut tap = Tap::new(Idle);
            let done = DiskDone::Read { op, slab, result };
            tap.handle(NOW, Input::Disk(done));
            tap.digest()
        };
        assert_eq!(read(1, true), read(1, true));
        assert_ne!(read(1, true), read(2, true));
        assert_ne!(read(1, true), read(1, false));
    }

    /// Whether a connection is to be protected counts, and for which name.
    #[test]
    fn protection_counts() {
        let connect = |tls: Option<&str>| {
            fingerprint(&Output::Net(Net::Connect {
                conn: conn(),
                to: SocketAddr::from(([127, 0, 0, 1], 443)),
                tls: tls.map(Into::into),
            }))
        };
        let marks = [None, Some(""), Some("a"), Some("b")].map(connect);
        for (at, mark) in marks.iter().enumerate() {
            assert!(!marks[..at].contains(mark), "{at}");
        }
    }

    /// However many calls gather before they are hashed, the digest is that of all, in their order
    /// and with their times.
    #[test]
    fn calls_count_with_their_order_and_time() {
        let run = |times: &[u64]| {
            let mut tap = Tap::new(Idle);
            let digests = times.iter().map(|at| {
                tap.handle_timeout(Instant::from_micros(*at));
                tap.digest()
            });
            digests.collect::<Vec<_>>()
        };
        let times: Vec<u64> = (0..1000).collect();
        let digests = run(&times);
        let mut apart = digests.clone();
        apart.sort_unstable();
        apart.dedup();
        assert_eq!(apart.len(), digests.len());
        let mut swapped = times.clone();
        swapped.swap(500, 501);
        assert_ne!(run(&swapped)[999], digests[999]);
    }
}

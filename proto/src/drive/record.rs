//! The one seam that every call of a machine passes, written down: a run that happened can be played
//! again through the same engine, anywhere, and comes to the same outputs.
//!
//! A [`Recorder`] around an engine writes a record as the calls pass; [`Record::read`] reads it back,
//! and whoever plays it calls an engine made from [`Record::config`] and [`Record::seed`] as the
//! record says.
//!
//! # What a record holds
//!
//! - the settings, the seed and the torrent file (and so the URLs of its trackers);
//! - every call with its time, without buffers: of an output eight bytes of a digest, to compare;
//! - what came in on each connection, after decryption: messages as they are, the payload of each
//!   block as its SHA-1 and its length.
//!
//! Neither data nor, unless it is asked for, addresses or folders: addresses of others are hidden
//! behind private ones, in calls, in answers of trackers and in extended handshakes (see
//! [`Recorder::new`]).
//!
//! In a replay, payload is made from its digest. An engine cannot tell, since it looks at payload
//! only to ask whether two blocks are the same; a block that several peers were sending at once
//! when a piece failed its hash is the one case in which it may be mistaken.

mod answer;
mod blind;
mod call;
mod pen;
mod read;
mod streams;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;

use super::Machine;
use crate::api::{Config, Input, Output};
use crate::base::id::ConnId;
use crate::base::time::Instant;
use crate::meta::Torrent;
use crate::tracker::url::{Host, Url};

use blind::Blind;
use pen::Pen;
use streams::{Segment, Stream};

pub use call::{Added, Call, Kind, Limits, Order, Told};
pub use read::{Incoming, Record};

/// What a record begins with.
const MAGIC: &[u8] = b"ripcurrent record 2\n";
/// How much is gathered before it is handed over.
const GATHER: usize = 64 << 10;

/// The tags of what is no call.
mod tag {
    pub(super) const RAW: u8 = 100;
    pub(super) const PAYLOAD: u8 = 101;
    pub(super) const END: u8 = 102;
}

/// The fault of whoever made the record, or of what carried it here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    /// It begins otherwise.
    #[error("it is no record of this version of the format")]
    NoRecord,
    /// Another client made it.
    #[error("it was recorded by another version of the client")]
    OtherClient,
    /// It ends before what it must hold.
    #[error("it is cut off")]
    CutOff,
    /// A value that cannot be.
    #[error("it holds a value that cannot be")]
    Value,
}

/// What a run began with.
#[derive(Clone, Copy, Debug)]
pub struct Beginning<'a> {
    /// The settings of the engine.
    pub config: &'a Config,
    /// Its seed.
    pub seed: [u8; 32],
    /// When it was made.
    pub at: Instant,
    /// The torrent file of each torrent that will be added.
    pub torrents: &'a [(&'a Torrent, &'a [u8])],
}

/// What stands for an output in a replay; compare it with that of [`Call::Polled`].
#[must_use]
pub fn mark(output: &Output) -> [u8; 8] {
    Blind::default().mark(output)
}

/// A machine of which every call is written down.
///
/// `sink` is handed the record in order, part by part; [`Recorder::finish`] gives it the rest.
#[derive(Debug)]
pub struct Recorder<M, S> {
    machine: M,
    sink: S,
    pen: Pen,
    blind: Blind,
    streams: BTreeMap<ConnId, Stream>,
    /// The time of the last call.
    last: Instant,
}

impl<M: Machine, S: FnMut(&[u8])> Recorder<M, S> {
    /// Begins a record of `machine`. With `hide_addresses`, addresses of others are replaced by
    /// private ones, the same one by the same one; those that stand in the torrent's own URLs, and
    /// loopback addresses, stay.
    pub fn new(machine: M, begins: Beginning<'_>, hide_addresses: bool, sink: S) -> Self {
        let blind = match hide_addresses {
            true => Blind::on(named_addresses(begins.torrents)),
            false => Blind::default(),
        };
        let mut pen = Pen::default();
        read::write_beginning(&begins, &mut pen);
        Recorder {
            machine,
            sink,
            pen,
            blind,
            streams: BTreeMap::new(),
            last: begins.at,
        }
    }

    /// The machine, to look at or to poll for events; calls made so are not in the record.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }

    /// Writes what is left, and gives the machine back.
    pub fn finish(mut self) -> M {
        for conn in self.streams.keys().copied().collect::<Vec<_>>() {
            self.end_stream(conn);
        }
        self.pen.tag(tag::END);
        (self.sink)(&self.pen.0);
        self.machine
    }

    fn call(&mut self, now: Instant, call: &Call) {
        call.encode(&mut self.pen);
        self.pen.number(now.since(self.last).as_micros() as u64);
        self.last = self.last.max(now);
        if self.pen.0.len() >= GATHER {
            (self.sink)(&self.pen.0);
            self.pen.0.clear();
        }
    }

    fn segments(&mut self, conn: ConnId, segments: &[Segment]) {
        for segment in segments {
            match segment {
                Segment::Raw(bytes) => {
                    self.pen.tag(tag::RAW);
                    self.pen.conn(conn);
                    self.pen.bytes(bytes);
                }
                Segment::Payload(digest, len) => {
                    self.pen.tag(tag::PAYLOAD);
                    self.pen.conn(conn);
                    self.pen.0.extend_from_slice(digest);
                    self.pen.number(*len as u64);
                }
            }
        }
    }

    fn received(&mut self, conn: ConnId, data: &[u8]) {
        let mut segments = Vec::new();
        let stream = self.streams.entry(conn).or_default();
        stream.push(data, &mut self.blind, &mut segments);
        self.segments(conn, &segments);
    }

    fn end_stream(&mut self, conn: ConnId) {
        if let Some(stream) = self.streams.remove(&conn) {
            let mut segments = Vec::new();
            stream.finish(&mut self.blind, &mut segments);
            self.segments(conn, &segments);
        }
    }
}

impl<M: Machine, S: FnMut(&[u8])> Machine for Recorder<M, S> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        let answer = self.machine.accept(now, from);
        let from = self.blind.hide_addr(from);
        self.call(now, &Call::Accept(from, answer));
        answer
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match &input {
            Input::Received { conn, data } => self.received(*conn, data),
            // Nothing more comes: what was held back is complete, and is known before it is needed.
            Input::Ended { conn, .. } | Input::Closed { conn } => self.end_stream(*conn),
            _ => {}
        }
        let told = Told::of(&input, &mut self.blind);
        self.call(now, &Call::Told(told));
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.call(now, &Call::Timeout);
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.machine.poll_output(now);
        let mark = output.as_ref().map(|output| self.blind.mark(output));
        self.call(now, &Call::Polled(mark));
        output
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

/// The addresses that stand in the URLs of trackers.
fn named_addresses(torrents: &[(&Torrent, &[u8])]) -> BTreeSet<core::net::IpAddr> {
    let urls = torrents
        .iter()
        .flat_map(|(torrent, _)| torrent.trackers().iter().flatten());
    let hosts = urls.filter_map(|url| match Url::parse(url).ok()?.host() {
        Host::Address(ip) => Some(ip.to_canonical()),
        Host::Name(_) => None,
    });
    hosts.collect()
}

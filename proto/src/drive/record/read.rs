//! A record, read back.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::num::NonZeroU64;

use bytes::Bytes;

use super::pen::{Eye, Pen};
use super::streams::Segment;
use super::{BadRecord, Beginning, Call, MAGIC, Told, tag};
use crate::api::Config;
use crate::base::id::ConnId;
use crate::base::time::{Duration, Instant};

/// A run that was recorded.
#[derive(Debug)]
pub struct Record {
    /// The settings of the engine.
    pub config: Config,
    /// Its seed.
    pub seed: [u8; 32],
    /// When it was made.
    pub begun: Instant,
    /// The torrent files.
    pub torrents: Vec<Bytes>,
    /// All calls, in order, with their times.
    pub calls: Vec<(Instant, Call)>,
    /// What came in on each connection.
    pub incoming: BTreeMap<ConnId, Incoming>,
}

/// What came in on one connection.
#[derive(Debug, Default)]
pub struct Incoming {
    segments: VecDeque<Segment>,
    /// How much of the first segment was taken.
    taken: usize,
    /// Calls that take from it.
    calls: usize,
    /// All of it is there: the record was not broken off before its end.
    whole: bool,
}

impl Record {
    /// Reads a record. One that ends in the middle, because its run was killed, is read as far as
    /// it goes.
    ///
    /// # Errors
    /// If it is none, or another version's, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, BadRecord> {
        let mut eye = Eye(bytes.strip_prefix(MAGIC).ok_or(BadRecord::NoRecord)?);
        let mut record = read_beginning(&mut eye)?;
        let mut now = record.begun;
        while !eye.is_done() {
            match record.read_entry(&mut eye, &mut now) {
                Ok(()) => {}
                Err(BadRecord::CutOff) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(record)
    }

    fn read_entry(&mut self, eye: &mut Eye<'_>, now: &mut Instant) -> Result<(), BadRecord> {
        let segment = match eye.tag()? {
            tag::RAW => (eye.conn()?, Segment::Raw(eye.bytes()?.to_vec())),
            tag::PAYLOAD => {
                let (conn, digest, len) = (eye.conn()?, eye.array()?, eye.small()?);
                (conn, Segment::Payload(digest, len))
            }
            tag::END => {
                self.incoming
                    .values_mut()
                    .for_each(|came| came.whole = true);
                return Ok(());
            }
            tag => {
                let call = Call::decode(tag, eye)?;
                *now += Duration::from_micros(eye.number()?);
                match call {
                    Call::Told(Told::Received(conn, _)) => {
                        self.incoming.entry(conn).or_default().calls += 1;
                    }
                    Call::Told(Told::Ended(conn, _) | Told::Closed(conn)) => {
                        self.incoming.entry(conn).or_default().whole = true;
                    }
                    _ => {}
                }
                self.calls.push((*now, call));
                return Ok(());
            }
        };
        let (conn, segment) = segment;
        self.incoming
            .entry(conn)
            .or_default()
            .segments
            .push_back(segment);
        Ok(())
    }
}

impl Incoming {
    /// The next `len` bytes; the last call takes what is left. `None` if the record does not hold
    /// so many: the run was killed before they were written.
    pub fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        self.calls = self.calls.checked_sub(1)?;
        let is_last = self.calls == 0 && self.whole;
        let len = if is_last { self.left() } else { len };
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let segment = self.segments.front()?;
            let (from, end) = (self.taken, segment.len());
            let to = end.min(from + len - bytes.len());
            segment.copy(from, to, &mut bytes);
            self.taken = to;
            if to == end {
                self.segments.pop_front();
                self.taken = 0;
            }
        }
        (!bytes.is_empty()).then_some(bytes)
    }

    fn left(&self) -> usize {
        self.segments.iter().map(Segment::len).sum::<usize>() - self.taken
    }
}

impl Segment {
    fn len(&self) -> usize {
        match self {
            Segment::Raw(bytes) => bytes.len(),
            Segment::Payload(_, len) => *len,
        }
    }

    /// Appends a part of it. Payload is its digest over and over: the same for the same bytes.
    fn copy(&self, from: usize, to: usize, out: &mut Vec<u8>) {
        match self {
            Segment::Raw(bytes) => out.extend_from_slice(&bytes[from..to]),
            Segment::Payload(digest, _) => {
                out.extend(
                    digest
                        .iter()
                        .cycle()
                        .skip(from % digest.len())
                        .take(to - from),
                );
            }
        }
    }
}

/// Writes what a run began with.
pub(super) fn write_beginning(begins: &Beginning<'_>, pen: &mut Pen) {
    let Config {
        peer_id_prefix,
        client_name,
        memory_budget,
        max_peers,
        max_per_address,
        max_half_open,
        max_connections,
        upload_slots,
        down_limit,
        up_limit,
        loopback_only,
    } = begins.config;
    pen.0.extend_from_slice(MAGIC);
    pen.0.extend_from_slice(peer_id_prefix);
    pen.bytes(client_name.as_bytes());
    for number in [
        memory_budget,
        max_peers,
        max_per_address,
        max_half_open,
        max_connections,
        upload_slots,
    ] {
        pen.number(*number as u64);
    }
    for limit in [down_limit, up_limit] {
        pen.number(limit.map_or(0, NonZeroU64::get));
    }
    pen.tag((*loopback_only).into());
    pen.0.extend_from_slice(&begins.seed);
    pen.number(begins.at.as_micros());
    pen.number(begins.torrents.len() as u64);
    begins.torrents.iter().for_each(|(_, file)| pen.bytes(file));
}

fn read_beginning(eye: &mut Eye<'_>) -> Result<Record, BadRecord> {
    let peer_id_prefix = eye.array()?;
    let client_name = Config::default().client_name;
    if eye.bytes()? != client_name.as_bytes() {
        return Err(BadRecord::OtherClient);
    }
    let config = Config {
        peer_id_prefix,
        client_name,
        memory_budget: eye.small()?,
        max_peers: eye.small()?,
        max_per_address: eye.small()?,
        max_half_open: eye.small()?,
        max_connections: eye.small()?,
        upload_slots: eye.small()?,
        down_limit: NonZeroU64::new(eye.number()?),
        up_limit: NonZeroU64::new(eye.number()?),
        loopback_only: eye.flag()?,
    };
    let (seed, begun) = (eye.array()?, Instant::from_micros(eye.number()?));
    let count = eye.number()?;
    let files = (0..count).map(|_| eye.bytes().map(Bytes::copy_from_slice));
    Ok(Record {
        config,
        seed,
        begun,
        torrents: files.collect::<Result<_, _>>()?,
        calls: Vec::new(),
        incoming: BTreeMap::new(),
    })
}

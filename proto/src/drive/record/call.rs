//! The calls of a machine as they stand in a record: without the buffers that travel with them.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::num::NonZeroU64;

use super::BadRecord;
use super::blind::Blind;
use super::pen::{Eye, Pen};
use crate::api::{
    Check, Command, Data, DiskDone, DiskError, EndReason, Found, FoundFile, FoundName, Input,
    IoError, Mode, Stamp,
};
use crate::base::bits::Bitfield;
use crate::base::id::{ConnId, OpId, TorrentId};
use crate::meta::layout::{FileIndex, Priority};

/// A call of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// `accept`, and what it answered.
    Accept(SocketAddr, Option<ConnId>),
    /// `handle_timeout`.
    Timeout,
    /// `poll_output`; what stands for the output, or that there was none.
    Polled(Option<[u8; 8]>),
    /// `handle`.
    Told(Told),
}

/// An input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// [`Input::Connected`].
    Connected(ConnId),
    /// [`Input::Received`]: so many bytes of the stream.
    Received(ConnId, usize),
    /// [`Input::Sent`].
    Sent(ConnId),
    /// [`Input::Returned`].
    Returned(ConnId),
    /// [`Input::Ended`].
    Ended(ConnId, EndReason),
    /// [`Input::Closed`].
    Closed(ConnId),
    /// [`DiskDone::Opened`].
    Opened(OpId, Result<Found, DiskError>),
    /// [`DiskDone::Synced`].
    Synced(OpId, Result<Vec<(FileIndex, Stamp)>, DiskError>),
    /// [`DiskDone::Digested`].
    Digested(OpId, Result<Vec<[u8; 20]>, DiskError>),
    /// [`DiskDone::Closed`].
    StorageClosed(OpId),
    /// Any other disk operation that completed; which, its operation tells.
    Disk(OpId, Kind, Result<(), DiskError>),
    /// [`Input::Hashed`].
    Hashed(OpId, [u8; 20]),
    /// [`Input::Resolved`].
    Resolved(OpId, Result<Vec<IpAddr>, IoError>),
    /// [`Input::Bound`].
    Bound(SocketAddr),
    /// [`Input::Command`].
    Order(Order),
}

/// What kind of disk operation completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`DiskDone::Read`].
    Read,
    /// [`DiskDone::Written`].
    Written,
    /// [`DiskDone::Finished`].
    Finished,
    /// [`DiskDone::Saved`].
    Saved,
    /// [`DiskDone::Deleted`].
    Deleted,
}

const KINDS: [Kind; 5] = [
    Kind::Read,
    Kind::Written,
    Kind::Finished,
    Kind::Saved,
    Kind::Deleted,
];
const CHECKS: [Check; 3] = [Check::Existing, Check::Full, Check::Trust];
const NAMES: [FoundName; 3] = [FoundName::Own, FoundName::Part, FoundName::Contested];
const PRIORITIES: [Priority; 4] = [
    Priority::Unwanted,
    Priority::Low,
    Priority::Normal,
    Priority::High,
];

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// [`Command::Add`].
    Add(Added),
    /// [`Command::AddPeer`].
    AddPeer(TorrentId, SocketAddr),
    /// [`Command::Remove`].
    Remove(TorrentId, Data),
    /// [`Command::Pause`].
    Pause(TorrentId),
    /// [`Command::Resume`].
    Resume(TorrentId),
    /// [`Command::Recheck`].
    Recheck(TorrentId),
    /// [`Command::Reannounce`].
    Reannounce(TorrentId),
    /// [`Command::SetPriority`].
    SetPriority(TorrentId, FileIndex, Priority),
    /// [`Command::SetLimits`].
    SetLimits(Limits),
    /// [`Command::SetTorrentLimits`].
    SetTorrentLimits(TorrentId, Limits),
    /// [`Command::Supply`], by the info-hash.
    Supply(TorrentId, [u8; 20]),
    /// [`Command::ShutDown`].
    ShutDown,
}

/// Limits on receiving and on sending.
pub type Limits = [Option<NonZeroU64>; 2];

/// A torrent that was added; its folder is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The host's name for it.
    pub id: TorrentId,
    /// Its info-hash: that of a torrent file of the record.
    pub info_hash: [u8; 20],
    /// The pieces that are wanted, in the wire form of a bitfield; `None` for all.
    pub wanted: Option<Vec<u8>>,
    /// The files that are wanted, in the same form; `None` for all.
    pub files: Option<Vec<u8>>,
    /// Pieces in their order.
    pub sequential: bool,
    /// To download rather than only to seed.
    pub downloads: bool,
    /// The torrent came with its pieces.
    pub has_pieces: bool,
    /// What is done about data that is there.
    pub check: Check,
    /// Trackers are announced to.
    pub announces: bool,
    /// Files are allocated when they are made.
    pub preallocates: bool,
    /// Files in the way are replaced.
    pub overwrites: bool,
    /// The limits on it.
    pub limits: Limits,
}

impl Call {
    pub(super) fn encode(&self, pen: &mut Pen) {
        match self {
            Call::Accept(from, None) => {
                pen.tag(1);
                pen.addr(*from);
            }
            Call::Accept(from, Some(conn)) => {
                pen.tag(2);
                pen.addr(*from);
                pen.conn(*conn);
            }
            Call::Timeout => pen.tag(3),
            Call::Polled(None) => pen.tag(4),
            Call::Polled(Some(mark)) => {
                pen.tag(5);
                pen.0.extend_from_slice(mark);
            }
            Call::Told(told) => told.encode(pen),
        }
    }

    pub(super) fn decode(tag: u8, eye: &mut Eye<'_>) -> Result<Self, BadRecord> {
        Ok(match tag {
            1 => Call::Accept(eye.addr()?, None),
            2 => Call::Accept(eye.addr()?, Some(eye.conn()?)),
            3 => Call::Timeout,
            4 => Call::Polled(None),
            5 => Call::Polled(Some(eye.array()?)),
            _ => Call::Told(Told::decode(tag, eye)?),
        })
    }
}

impl Told {
    /// What an input says, with addresses as `blind` has them.
    pub(super) fn of(input: &Input<'_>, blind: &mut Blind) -> Self {
        match input {
            Input::Connected { conn } => Told::Connected(*conn),
            Input::Received { conn, data } => Told::Received(*conn, data.len()),
            Input::Sent { conn } => Told::Sent(*conn),
            Input::Returned { conn, .. } => Told::Returned(*conn),
            Input::Ended { conn, reason } => Told::Ended(*conn, *reason),
            Input::Closed { conn } => Told::Closed(*conn),
            Input::Disk(done) => Told::of_disk(done),
            Input::Hashed { op, digest, .. } => Told::Hashed(*op, *digest),
            Input::Resolved { op, result } => {
                let hide = |ips: &Vec<IpAddr>| ips.iter().map(|ip| blind.hide(*ip)).collect();
                Told::Resolved(*op, result.as_ref().map(hide).map_err(|error| *error))
            }
            Input::Bound { addr } => Told::Bound(blind.hide_addr(*addr)),
            Input::Command(command) => Told::Order(Order::of(command, blind)),
        }
    }

    fn of_disk(done: &DiskDone) -> Self {
        match done {
            DiskDone::Opened { op, result } => Told::Opened(*op, result.clone()),
            DiskDone::Read { op, result, .. } => Told::Disk(*op, Kind::Read, *result),
            DiskDone::Written { op, result, .. } => Told::Disk(*op, Kind::Written, *result),
            DiskDone::Digested { op, result, .. } => Told::Digested(*op, result.clone()),
            DiskDone::Synced { op, result } => Told::Synced(*op, result.clone()),
            DiskDone::Finished { op, result } => Told::Disk(*op, Kind::Finished, *result),
            DiskDone::Saved { op, result } => Told::Disk(*op, Kind::Saved, *result),
            DiskDone::Deleted { op, result } => Told::Disk(*op, Kind::Deleted, *result),
            DiskDone::Closed { op } => Told::StorageClosed(*op),
        }
    }

    fn encode(&self, pen: &mut Pen) {
        let mut conn = |tag, conn| {
            pen.tag(tag);
            pen.conn(conn);
        };
        match self {
            Told::Connected(id) => conn(10, *id),
            Told::Received(id, len) => {
                conn(11, *id);
                pen.number(*len as u64);
            }
            Told::Sent(id) => conn(12, *id),
            Told::Returned(id) => conn(13, *id),
            Told::Ended(id, reason) => {
                conn(14, *id);
                pen.reason(*reason);
            }
            Told::Closed(id) => conn(15, *id),
            Told::Bound(addr) => {
                pen.tag(16);
                pen.addr(*addr);
            }
            Told::Order(order) => {
                pen.tag(17);
                order.encode(pen);
            }
            done => done.encode_done(pen),
        }
    }

    /// What an operation came to.
    fn encode_done(&self, pen: &mut Pen) {
        let mut op = |tag, op| {
            pen.tag(tag);
            pen.op(op);
        };
        match self {
            Told::Opened(id, Ok(found)) => {
                op(20, *id);
                encode_found(found, pen);
            }
            Told::Synced(id, Ok(stamps)) => {
                op(27, *id);
                pen.number(stamps.len() as u64);
                for (file, stamp) in stamps {
                    pen.number(file.0.into());
                    encode_stamp(*stamp, pen);
                }
            }
            Told::Synced(id, Err(error)) => {
                op(28, *id);
                pen.disk_error(*error);
            }
            Told::Digested(id, Ok(digests)) => {
                op(29, *id);
                pen.number(digests.len() as u64);
                let digests = digests.iter();
                digests.for_each(|digest| pen.0.extend_from_slice(digest));
            }
            Told::Digested(id, Err(error)) => {
                op(30, *id);
                pen.disk_error(*error);
            }
            Told::Opened(id, Err(error)) => {
                op(21, *id);
                pen.disk_error(*error);
            }
            Told::StorageClosed(id) => op(22, *id),
            Told::Disk(id, kind, result) => {
                op(23, *id);
                pen.tag(*kind as u8);
                pen.disk_result(*result);
            }
            Told::Hashed(id, digest) => {
                op(24, *id);
                pen.0.extend_from_slice(digest);
            }
            Told::Resolved(id, Ok(ips)) => {
                op(25, *id);
                pen.number(ips.len() as u64);
                ips.iter().for_each(|ip| pen.ip(*ip));
            }
            Told::Resolved(id, Err(error)) => {
                op(26, *id);
                pen.io_error(*error);
            }
            _ => unreachable!("everything else is no operation"),
        }
    }

    fn decode(tag: u8, eye: &mut Eye<'_>) -> Result<Self, BadRecord> {
        Ok(match tag {
            10 => Told::Connected(eye.conn()?),
            11 => Told::Received(eye.conn()?, eye.small()?),
            12 => Told::Sent(eye.conn()?),
            13 => Told::Returned(eye.conn()?),
            14 => Told::Ended(eye.conn()?, eye.reason()?),
            15 => Told::Closed(eye.conn()?),
            16 => Told::Bound(eye.addr()?),
            17 => Told::Order(Order::decode(eye)?),
            20 => Told::Opened(eye.op()?, Ok(decode_found(eye)?)),
            21 => Told::Opened(eye.op()?, Err(eye.disk_error()?)),
            22 => Told::StorageClosed(eye.op()?),
            23 => {
                let (op, kind) = (eye.op()?, pick(&KINDS, eye.tag()?)?);
                Told::Disk(op, kind, eye.disk_result()?)
            }
            24 => Told::Hashed(eye.op()?, eye.array()?),
            25 => {
                let (op, count) = (eye.op()?, eye.number()?);
                let ips = (0..count).map(|_| eye.ip());
                Told::Resolved(op, Ok(ips.collect::<Result<_, _>>()?))
            }
            26 => Told::Resolved(eye.op()?, Err(eye.io_error()?)),
            27 => {
                let (op, count) = (eye.op()?, eye.number()?);
                let stamps = (0..count).map(|_| Ok((FileIndex(eye.small()?), decode_stamp(eye)?)));
                Told::Synced(op, Ok(stamps.collect::<Result<_, _>>()?))
            }
            28 => Told::Synced(eye.op()?, Err(eye.disk_error()?)),
            29 => {
                let (op, count) = (eye.op()?, eye.number()?);
                let digests = (0..count).map(|_| eye.array());
                Told::Digested(op, Ok(digests.collect::<Result<_, _>>()?))
            }
            30 => Told::Digested(eye.op()?, Err(eye.disk_error()?)),
            _ => return Err(BadRecord::Value),
        })
    }
}

impl Order {
    fn of(command: &Command, blind: &mut Blind) -> Self {
        match command {
            Command::Add(add) => Order::Add(Added {
                id: add.id,
                info_hash: add.torrent.hashes().v1.unwrap_or_default(),
                wanted: add.wanted.as_ref().map(wire),
                files: add.files.as_ref().map(wire),
                sequential: add.sequential,
                downloads: add.mode == Mode::Download,
                has_pieces: add.torrent.has_pieces(),
                check: add.check,
                announces: add.announce,
                preallocates: add.preallocate,
                overwrites: add.overwrite,
                limits: [add.down_limit, add.up_limit],
            }),
            Command::AddPeer { torrent, addr } => Order::AddPeer(*torrent, blind.hide_addr(*addr)),
            Command::Remove { torrent, data } => Order::Remove(*torrent, *data),
            Command::Pause { torrent } => Order::Pause(*torrent),
            Command::Resume { torrent } => Order::Resume(*torrent),
            Command::Recheck { torrent } => Order::Recheck(*torrent),
            Command::Reannounce { torrent } => Order::Reannounce(*torrent),
            Command::SetPriority {
                torrent,
                file,
                priority,
            } => Order::SetPriority(*torrent, *file, *priority),
            Command::SetLimits { down, up } => Order::SetLimits([*down, *up]),
            Command::SetTorrentLimits { torrent, down, up } => {
                Order::SetTorrentLimits(*torrent, [*down, *up])
            }
            Command::Supply { torrent, whole } => {
                Order::Supply(*torrent, whole.hashes().v1.unwrap_or_default())
            }
            Command::ShutDown => Order::ShutDown,
        }
    }

    fn encode(&self, pen: &mut Pen) {
        let mut torrent = |tag, torrent: TorrentId| {
            pen.tag(tag);
            pen.number(torrent.0.into());
        };
        match self {
            Order::Add(added) => {
                torrent(1, added.id);
                added.encode(pen);
            }
            Order::AddPeer(id, addr) => {
                torrent(2, *id);
                pen.addr(*addr);
            }
            Order::Remove(id, data) => torrent(3 + u8::from(*data == Data::Delete), *id),
            Order::Pause(id) => torrent(5, *id),
            Order::Resume(id) => torrent(6, *id),
            Order::Recheck(id) => torrent(7, *id),
            Order::Reannounce(id) => torrent(8, *id),
            Order::SetPriority(id, file, priority) => {
                torrent(9, *id);
                pen.number(file.0.into());
                let at = PRIORITIES.iter().position(|known| known == priority);
                pen.tag(at.expect("every priority is in the list") as u8);
            }
            Order::SetLimits(limits) => {
                pen.tag(10);
                encode_limits(*limits, pen);
            }
            Order::SetTorrentLimits(id, limits) => {
                torrent(12, *id);
                encode_limits(*limits, pen);
            }
            Order::Supply(id, info_hash) => {
                torrent(13, *id);
                pen.0.extend_from_slice(info_hash);
            }
            Order::ShutDown => pen.tag(11),
        }
    }

    fn decode(eye: &mut Eye<'_>) -> Result<Self, BadRecord> {
        let tag = eye.tag()?;
        if tag == 10 {
            return Ok(Order::SetLimits(decode_limits(eye)?));
        }
        if tag == 11 {
            return Ok(Order::ShutDown);
        }
        let id = TorrentId(eye.small()?);
        Ok(match tag {
            1 => Order::Add(Added::decode(id, eye)?),
            2 => Order::AddPeer(id, eye.addr()?),
            3 => Order::Remove(id, Data::Keep),
            4 => Order::Remove(id, Data::Delete),
            5 => Order::Pause(id),
            6 => Order::Resume(id),
            7 => Order::Recheck(id),
            8 => Order::Reannounce(id),
            9 => {
                let file = FileIndex(eye.small()?);
                Order::SetPriority(id, file, pick(&PRIORITIES, eye.tag()?)?)
            }
            12 => Order::SetTorrentLimits(id, decode_limits(eye)?),
            13 => Order::Supply(id, eye.array()?),
            _ => return Err(BadRecord::Value),
        })
    }
}

impl Added {
    fn encode(&self, pen: &mut Pen) {
        pen.0.extend_from_slice(&self.info_hash);
        let flags = [
            self.sequential,
            self.downloads,
            self.has_pieces,
            self.announces,
            self.preallocates,
            self.overwrites,
        ];
        flags.into_iter().for_each(|flag| pen.tag(flag.into()));
        pen.tag(self.check as u8);
        for bits in [&self.wanted, &self.files] {
            pen.tag(bits.is_some().into());
            if let Some(bits) = bits {
                pen.bytes(bits);
            }
        }
        encode_limits(self.limits, pen);
    }

    fn decode(id: TorrentId, eye: &mut Eye<'_>) -> Result<Self, BadRecord> {
        let mut added = Added {
            id,
            info_hash: eye.array()?,
            sequential: eye.flag()?,
            downloads: eye.flag()?,
            has_pieces: eye.flag()?,
            announces: eye.flag()?,
            preallocates: eye.flag()?,
            overwrites: eye.flag()?,
            check: pick(&CHECKS, eye.tag()?)?,
            wanted: None,
            files: None,
            limits: [None; 2],
        };
        for bits in [&mut added.wanted, &mut added.files] {
            if eye.flag()? {
                *bits = Some(eye.bytes()?.to_vec());
            }
        }
        added.limits = decode_limits(eye)?;
        Ok(added)
    }
}

fn encode_limits(limits: Limits, pen: &mut Pen) {
    for limit in limits {
        pen.number(limit.map_or(0, NonZeroU64::get));
    }
}

fn decode_limits(eye: &mut Eye<'_>) -> Result<Limits, BadRecord> {
    Ok([eye.number()?, eye.number()?].map(NonZeroU64::new))
}

fn encode_found(found: &Found, pen: &mut Pen) {
    pen.number(found.files.len() as u64);
    for file in &found.files {
        pen.tag(file.map_or(0, |file| 1 + file.name as u8));
        if let Some(file) = file {
            encode_stamp(file.stamp, pen);
        }
    }
    pen.tag(found.aside.into());
    pen.tag(found.state.is_some().into());
    if let Some(state) = &found.state {
        pen.bytes(state);
    }
}

fn decode_found(eye: &mut Eye<'_>) -> Result<Found, BadRecord> {
    let mut found = Found::default();
    for _ in 0..eye.number()? {
        found.files.push(match eye.tag()?.checked_sub(1) {
            None => None,
            Some(name) => Some(FoundFile {
                name: pick(&NAMES, name)?,
                stamp: decode_stamp(eye)?,
            }),
        });
    }
    found.aside = eye.flag()?;
    if eye.flag()? {
        found.state = Some(eye.bytes()?.to_vec());
    }
    Ok(found)
}

fn encode_stamp(stamp: Stamp, pen: &mut Pen) {
    pen.number(stamp.len);
    pen.number(stamp.modified);
}

fn decode_stamp(eye: &mut Eye<'_>) -> Result<Stamp, BadRecord> {
    let (len, modified) = (eye.number()?, eye.number()?);
    Ok(Stamp { len, modified })
}

fn wire(bits: &Bitfield) -> Vec<u8> {
    let mut bytes = Vec::new();
    bits.to_wire(&mut bytes);
    bytes
}

fn pick<T: Copy>(list: &[T], at: u8) -> Result<T, BadRecord> {
    list.get(usize::from(at)).copied().ok_or(BadRecord::Value)
}

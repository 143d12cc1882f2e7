//! What happened, and what should be done.
//!
//! Buffers travel by ownership: an output takes its buffer with it, the completion brings it back,
//! and nothing can touch it in between. Every operation completes exactly once.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

use super::command::Command;
use crate::base::id::{ConnId, OpId, TorrentId};
use crate::base::slab::Slab;
use crate::meta::layout::{FileIndex, Layout, Spans};
use crate::meta::resume::Stamp;

use crate::base::io::{EndReason, IoError};

/// What happened in the world.
#[derive(Debug)]
pub enum Input<'a> {
    /// A `Connect` succeeded; where it asked for TLS, the far end is who it should be.
    Connected {
        /// The connection.
        conn: ConnId,
    },
    /// Bytes arrived, in order and without a gap. The engine may change them in place; the buffer
    /// is the host's again when `handle` returns.
    Received {
        /// The connection.
        conn: ConnId,
        /// The bytes, at least one.
        data: &'a mut [u8],
    },
    /// The whole transmission in flight was handed to the network: the next one may go.
    Sent {
        /// The connection.
        conn: ConnId,
    },
    /// The buffers of a transmission are back, sent or not. Comes once for each `Transmit`, before
    /// or after its `Sent`, and always before `Closed`.
    Returned {
        /// The connection.
        conn: ConnId,
        /// What the `Transmit` took along.
        transmission: Transmission,
    },
    /// The far end closed or the connection failed; a `Connect` that fails ends so too. Nothing
    /// more will be received. Only the engine closes.
    Ended {
        /// The connection.
        conn: ConnId,
        /// Why.
        reason: EndReason,
    },
    /// The last word on a connection, after its `Close`: every buffer is home.
    Closed {
        /// The connection.
        conn: ConnId,
    },
    /// A disk operation completed.
    Disk(DiskDone),
    /// A slab was hashed.
    Hashed {
        /// The operation.
        op: OpId,
        /// The slab, unchanged.
        slab: Slab,
        /// SHA-1 of the slab's bytes.
        digest: [u8; 20],
    },
    /// A host name was looked up.
    Resolved {
        /// The operation.
        op: OpId,
        /// The addresses in the resolver's order, at least one.
        result: Result<Vec<IpAddr>, IoError>,
    },
    /// The host listens for peers here.
    Bound {
        /// The address, its port not zero.
        addr: SocketAddr,
    },
    /// Somebody wants something.
    Command(Command),
}

/// What should be done in the world.
#[derive(Debug)]
pub enum Output {
    /// For the network.
    Net(Net),
    /// For the disk.
    Disk(Disk),
    /// SHA-1 of the slab's bytes, please; answered by [`Input::Hashed`].
    Hash {
        /// The operation.
        op: OpId,
        /// What to hash, at least one byte.
        slab: Slab,
    },
    /// The addresses of a host name; answered by [`Input::Resolved`].
    Resolve {
        /// The operation.
        op: OpId,
        /// The name, never a literal address.
        host: String,
    },
}

/// What should be done with a connection.
#[derive(Debug)]
pub enum Net {
    /// Open a TCP connection; answered by `Connected` or `Ended`.
    Connect {
        /// Its id.
        conn: ConnId,
        /// Where to.
        to: SocketAddr,
        /// Protect it by TLS: the name (RFC 6066) or the literal address that the certificate must
        /// be valid for; the name is told to the far end as well. All offsets and bytes of the
        /// connection are then those of what is protected.
        tls: Option<Arc<str>>,
    },
    /// Receive up to this absolute offset of the stream: monotone and idempotent. A host may
    /// deliver somewhat more (what one receive brought), never withhold what it has.
    Recv {
        /// The connection.
        conn: ConnId,
        /// The credit, in bytes since the connection began.
        until: u64,
    },
    /// Send all parts, in order. At most one is in flight for each connection.
    Transmit {
        /// The connection.
        conn: ConnId,
        /// What to send.
        transmission: Transmission,
    },
    /// Cancel what is in flight, bring the buffers home and say `Closed`.
    Close {
        /// The connection.
        conn: ConnId,
    },
}

/// One part of a gathered send.
#[derive(Clone, Debug)]
pub enum Part {
    /// A range of the transmission's own small bytes.
    Head {
        /// The first byte.
        from: u32,
        /// The byte after the last.
        to: u32,
    },
    /// A range of a slab that other transmissions may share.
    Slab {
        /// The slab.
        slab: Arc<Slab>,
        /// The first byte.
        from: u32,
        /// The byte after the last.
        to: u32,
    },
}

impl Part {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Part::Head { from, to } | Part::Slab { from, to, .. } => (to - from) as usize,
        }
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A gathered send: small encoded bytes and ranges of slabs, in order.
#[derive(Debug, Default)]
pub struct Transmission {
    /// Encoded messages and headers.
    pub head: Vec<u8>,
    /// What to send, in order.
    pub parts: Vec<Part>,
}

impl Transmission {
    /// The bytes of one part. A host that fills slabs with [loans](Slab::lend) looks for them first.
    #[must_use]
    pub fn bytes<'a>(&'a self, part: &'a Part) -> &'a [u8] {
        match part {
            Part::Head { from, to } => &self.head[*from as usize..*to as usize],
            Part::Slab { slab, from, to } => &slab.as_slice()[*from as usize..*to as usize],
        }
    }

    /// How many bytes are to be sent in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(Part::len).sum()
    }

    /// Whether there is nothing to send.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Appends what `encode` writes to the small bytes, joined to the part before where that is
    /// small bytes too.
    pub fn push_head(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let from = self.head.len() as u32;
        encode(&mut self.head);
        let end = self.head.len() as u32;
        match self.parts.last_mut() {
            Some(Part::Head { to, .. }) => *to = end,
            _ => self.push_head_from(from),
        }
    }

    /// Makes the small bytes that are there already, and belong to no part, the first part.
    pub fn wrap_head(&mut self) {
        debug_assert!(self.parts.is_empty(), "only at the beginning");
        self.push_head_from(0);
    }

    fn push_head_from(&mut self, from: u32) {
        let to = self.head.len() as u32;
        if to > from {
            self.parts.push(Part::Head { from, to });
        }
    }

    /// Appends a range of a slab.
    pub fn push_slab(&mut self, slab: Arc<Slab>, from: u32, to: u32) {
        self.parts.push(Part::Slab { slab, from, to });
    }

    /// Empties it, keeping the memory of its vectors.
    pub fn clear(&mut self) {
        self.head.clear();
        self.parts.clear();
    }
}

/// Names an open storage at the disk backend: the torrent whose data it holds.
pub type StorageId = TorrentId;

/// How a storage is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To seed: nothing below the root is created or changed, missing files are an error when read.
    /// Any number of storages and processes may, whoever else reads or writes. The state of a storage
    /// to read is not that of one to write; it is kept outside of the root, by root and info-hash.
    Read,
    /// To download. Nobody else may: the state is held against other processes until `Close`.
    ///
    /// Folders and files are made when first written. A file that is written to is called
    /// [`part_names`](crate::meta::parts::part_names) from then on, whatever it was called before,
    /// until it is finished.
    Write {
        /// Whether the blocks of each file are allocated when it is made, instead of left sparse.
        /// Those of a file that comes in a few writes may be left to them.
        preallocate: bool,
        /// Whether `Finish` may replace what is in the way.
        overwrite: bool,
    },
}

/// What is there when a storage is opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Each file by its index; `None` where there is none.
    pub files: Vec<Option<FoundFile>>,
    /// Whether bytes of files that were not wanted are kept aside.
    pub aside: bool,
    /// What the last `Save` that was carried out wrote, to read or to write as this is; of what
    /// another program wrote, anything. `None` if there is none, or more than
    /// [`most_len`](crate::meta::resume::most_len).
    pub state: Option<Vec<u8>>,
}

/// A file that is there when a storage is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundFile {
    /// What it looks like.
    pub stamp: Stamp,
    /// Where it is.
    pub name: FoundName,
}

/// Under which of its names a file was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundName {
    /// Its own: finished, or not ours.
    Own,
    /// That of a file which is not finished.
    Part,
    /// That of a file which is not finished, while something else has its own name.
    Contested,
}

/// What should be done on the disk.
#[derive(Debug)]
pub enum Disk {
    /// Make the files of a torrent known under `storage`; nothing is kept open because of it.
    Open {
        /// The operation.
        op: OpId,
        /// The name all later operations use.
        storage: StorageId,
        /// The folder below which all files lie.
        root: Arc<str>,
        /// The torrent's v1 info-hash, which tells the states of torrents of one name apart.
        info_hash: [u8; 20],
        /// The files: relative paths that were checked and repaired.
        layout: Arc<Layout>,
        /// How they will be used.
        access: Access,
    },
    /// Fill the slab (to its length, which is set) from the spans. Where the slab
    /// [accepts](Slab::accepts_loan) a loan, a host that can may lend the bytes instead.
    Read {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
        /// Where to.
        slab: Slab,
        /// Where from.
        spans: Spans,
    },
    /// Write the slab's bytes to the spans.
    Write {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
        /// Where from.
        slab: Slab,
        /// Where to.
        spans: Spans,
    },
    /// Read the spans, in steps of the slab's length, and tell the SHA-1 of each `every` bytes of them,
    /// the last ones being fewer: of a piece that does not fit the memory budget. What the slab holds
    /// does not matter, before or afterwards.
    Digest {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
        /// Memory to read into, at least one byte long.
        slab: Slab,
        /// Where from; their lengths add up to at least one byte.
        spans: Spans,
        /// How many bytes have a digest of their own, at least one.
        every: u32,
    },
    /// Make everything durable that was found or written so far: data, names and folders; of a
    /// storage to read the data of the files that were found.
    Sync {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
    },
    /// Give a file, or a symbolic link (BEP 47), its own name. It is made if it is not there, cut to
    /// its length if it is longer, and not touched if it has its name already. What is in the way is
    /// replaced only with [`Access::Write`]'s `overwrite`; otherwise it is an error of the kind
    /// [`InTheWay`](crate::base::io::IoErrorKind::InTheWay). No write to the file is in flight.
    Finish {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
        /// The file; never padding.
        file: FileIndex,
    },
    /// Replace the saved state in one durable step: whatever happens, either the one before or this
    /// one is found afterwards. Of a storage to read a loss of power may leave none: it costs nothing
    /// but a look at the files.
    Save {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
        /// The new state; `None` removes it and, of a storage to write, what is kept aside.
        state: Option<Vec<u8>>,
    },
    /// Remove the files of the storage, finished or not, its states, to read and to write, and folders
    /// that this leaves empty. What is not there counts as removed. No other operation of the storage
    /// is in flight.
    Delete {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
    },
    /// Forget the storage, after its operations in flight; its name is then free.
    Close {
        /// The operation.
        op: OpId,
        /// The storage.
        storage: StorageId,
    },
}

/// What became of a disk operation.
#[derive(Debug)]
pub enum DiskDone {
    /// An `Open` completed.
    Opened {
        /// The operation.
        op: OpId,
        /// What is there. A storage that was not opened needs no `Close`.
        result: Result<Found, DiskError>,
    },
    /// A `Read` completed. A file that is missing or too short is an error.
    Read {
        /// The operation.
        op: OpId,
        /// The slab.
        slab: Slab,
        /// Whether it holds what was asked for.
        result: Result<(), DiskError>,
    },
    /// A `Write` completed, whole or not at all as far as the engine is concerned.
    Written {
        /// The operation.
        op: OpId,
        /// The slab.
        slab: Slab,
        /// Whether all of it was written.
        result: Result<(), DiskError>,
    },
    /// A `Digest` completed. A file that is missing or too short is an error.
    Digested {
        /// The operation.
        op: OpId,
        /// The slab.
        slab: Slab,
        /// The digests, in order.
        result: Result<Vec<[u8; 20]>, DiskError>,
    },
    /// A `Sync` completed.
    Synced {
        /// The operation.
        op: OpId,
        /// The files that were made durable, as they looked afterwards.
        result: Result<Vec<(FileIndex, Stamp)>, DiskError>,
    },
    /// A `Finish` completed.
    Finished {
        /// The operation.
        op: OpId,
        /// Whether the file has its name.
        result: Result<(), DiskError>,
    },
    /// A `Save` completed.
    Saved {
        /// The operation.
        op: OpId,
        /// Whether the new state will be found.
        result: Result<(), DiskError>,
    },
    /// A `Delete` completed.
    Deleted {
        /// The operation.
        op: OpId,
        /// Whether nothing is left; otherwise the first file that could not be removed.
        result: Result<(), DiskError>,
    },
    /// A `Close` completed: no file of the storage is open any more.
    Closed {
        /// The operation.
        op: OpId,
    },
}

/// The disk's refusal, with the file it concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskError {
    /// The file; `None` where the folder itself is meant.
    pub file: Option<FileIndex>,
    /// Why.
    pub error: IoError,
}

//! Completions of operations: each finds the torrent and the purpose it was begun for.

use alloc::vec::Vec;
use core::net::IpAddr;

use tracing::span::EnteredSpan;

use super::{Engine, span};
use crate::api::{DiskDone, DiskError};
use crate::base::id::OpId;
use crate::base::io::IoError;
use crate::base::slab::Slab;
use crate::base::time::Instant;
use crate::torrent::Torrent;
use crate::torrent::shared::{Op, Shared};

/// A completion for an operation that is not under way is a fault of the host.
const ONCE: &str = "every operation completes exactly once";

impl Engine {
    fn end(&mut self, op: OpId) -> (Op, &mut Torrent, &mut Shared, EnteredSpan) {
        let (id, op) = self.shared.end(op).expect(ONCE);
        self.stir(id);
        let torrent = self
            .torrents
            .get_mut(&id)
            .expect("a torrent outlives its operations");
        (op, torrent, &mut self.shared, span(id).entered())
    }

    pub(super) fn disk_done(&mut self, now: Instant, done: DiskDone) {
        match done {
            DiskDone::Opened { op, result } => {
                let (_, torrent, shared, _span) = self.end(op);
                torrent.opened(now, result, shared);
            }
            DiskDone::Read { op, slab, result } => self.read(now, op, slab, result),
            DiskDone::Written { op, slab, result } => {
                let (op, torrent, shared, _span) = self.end(op);
                match op {
                    Op::Write(range) => torrent.written(now, range, slab, result, shared),
                    Op::Park(range) => torrent.is_parked(range, slab, result, shared),
                    _ => unreachable!("{op:?} does not write"),
                }
            }
            DiskDone::Digested { op, slab, result } => self.digested(now, op, slab, result),
            DiskDone::Synced { op, result } => {
                let (_, torrent, shared, _span) = self.end(op);
                torrent.synced(now, result, shared);
            }
            DiskDone::Finished { op, result } => {
                let (op, torrent, shared, _span) = self.end(op);
                let Op::Finish(file) = op else {
                    unreachable!("{op:?} finishes no file")
                };
                torrent.finished(now, file, result, shared);
            }
            DiskDone::Saved { op, result } => {
                let (_, torrent, shared, _span) = self.end(op);
                torrent.saved(now, result, shared);
            }
            DiskDone::Deleted { op, result } => {
                let (_, torrent, shared, _span) = self.end(op);
                torrent.deleted(result, shared);
            }
            DiskDone::Closed { op } => {
                let _ended = self.end(op);
            }
        }
    }

    fn read(&mut self, now: Instant, op: OpId, slab: Slab, result: Result<(), DiskError>) {
        let (op, torrent, shared, _span) = self.end(op);
        match op {
            Op::CheckRead(piece) => torrent.check_read(now, piece, slab, result, shared),
            Op::Unpark(range) => torrent.unparked(now, range, slab, result, shared),
            Op::Chunk(key) => torrent.chunk_read(now, key, slab, result, shared),
            _ => unreachable!("{op:?} does not read"),
        }
    }

    fn digested(
        &mut self,
        now: Instant,
        op: OpId,
        slab: Slab,
        result: Result<Vec<[u8; 20]>, DiskError>,
    ) {
        let (op, torrent, shared, _span) = self.end(op);
        match op {
            Op::CheckDigest(piece) => torrent.check_digested(now, piece, slab, result, shared),
            Op::Digest(_) | Op::DigestAgain(_) => torrent.digested(now, op, slab, result, shared),
            Op::Blame(piece) => torrent.failed_digested(now, piece, slab, result, shared),
            Op::Acquit(piece) => torrent.passed_digested(piece, slab, result, shared),
            _ => unreachable!("{op:?} does not digest"),
        }
    }

    pub(super) fn hashed(&mut self, now: Instant, op: OpId, slab: Slab, digest: [u8; 20]) {
        let (op, torrent, shared, _span) = self.end(op);
        match op {
            Op::CheckHash(piece) => torrent.check_hashed(now, piece, slab, digest, shared),
            Op::Hash(piece) => torrent.piece_hashed(piece, slab, digest, shared),
            _ => unreachable!("{op:?} does not hash"),
        }
    }

    pub(super) fn resolved(
        &mut self,
        now: Instant,
        op: OpId,
        result: Result<Vec<IpAddr>, IoError>,
    ) {
        let (_, torrent, shared, _span) = self.end(op);
        torrent.resolved(now, result.as_deref().map_err(|error| *error), shared);
    }
}

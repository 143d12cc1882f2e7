//! A full disk: what cannot be written waits in memory, nothing more is asked for, and one write at
//! a time finds out whether there is room again.

use alloc::collections::VecDeque;

use super::Torrent;
use super::shared::{Alarm, Op, Shared, Timer};
use crate::api::{DiskError, Event};
use crate::base::slab::Slab;
use crate::base::time::{Duration, Instant};
use crate::meta::layout::Block;

/// How often a full disk is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What waits for room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Verified pieces and sections of long ones, the longest waiting first.
    waiting: VecDeque<(Block, Slab)>,
    /// The disk was full when it was last tried, and that was told.
    told: bool,
    /// When it is tried again.
    alarm: Alarm,
}

impl Torrent {
    /// Whether the disk was full when it was last tried.
    pub(super) fn lacks_room(&self) -> bool {
        self.room.told
    }

    /// Writes a verified piece or a section of a long one, or has it wait for room.
    pub(super) fn write(&mut self, range: Block, slab: Slab, shared: &mut Shared) {
        if self.lacks_room() {
            self.room.waiting.push_back((range, slab));
        } else {
            self.write_now(range, slab, shared);
        }
    }

    fn write_now(&mut self, range: Block, slab: Slab, shared: &mut Shared) {
        self.sections.writes += 1;
        self.write_out(Op::Write(range), range, slab, shared);
    }

    /// There is no room for `range`.
    pub(super) fn is_full(
        &mut self,
        now: Instant,
        range: Block,
        slab: Slab,
        error: DiskError,
        shared: &mut Shared,
    ) {
        let is_news = !core::mem::replace(&mut self.room.told, true);
        self.room.waiting.push_back((range, slab));
        self.room
            .alarm
            .set(&mut shared.timers, now + RETRY_EVERY, Timer::Room(self.id));
        if is_news {
            let stats = self.stats(now);
            shared.tell(Event::DiskFull {
                torrent: self.id,
                error,
                need: stats.bytes_wanted - stats.bytes_had,
            });
        }
    }

    /// The time has come to try again.
    pub(crate) fn retry_due(&mut self, now: Instant, shared: &mut Shared) {
        if self.room.alarm.fired(now)
            && let Some((range, slab)) = self.room.waiting.pop_front()
        {
            self.write_now(range, slab, shared);
        }
    }

    /// A piece was written: if the disk was full, it is no more.
    pub(super) fn has_room(&mut self, shared: &mut Shared) {
        if !core::mem::take(&mut self.room.told) {
            return;
        }
        shared.tell(Event::DiskRoom { torrent: self.id });
        for (range, slab) in core::mem::take(&mut self.room.waiting) {
            self.write_now(range, slab, shared);
        }
        for conn in self.peers.conns() {
            self.hungry.insert(conn);
        }
        shared.waiting.insert(self.id);
        shared.freed = true;
    }

    /// Gives up what waits for room.
    pub(super) fn give_up_unwritten(&mut self, shared: &mut Shared) {
        self.room.told = false;
        for (range, slab) in core::mem::take(&mut self.room.waiting) {
            self.let_go(range, slab, shared);
        }
    }
}

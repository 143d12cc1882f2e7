//! A rate limit and the turns of those who wait for it.

use alloc::collections::VecDeque;

use crate::base::id::ConnId;
use crate::base::rate::Bucket;
use crate::base::time::Instant;

/// Credit given to a connection at once under a limit, in bytes: a block and its header.
pub(super) const CREDIT_LIMITED: u64 = 17 * 1024;

/// A rate limit and those who wait for it.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) bucket: Bucket,
    /// In the order of their coming, so that each has its turn.
    waiting: VecDeque<ConnId>,
    /// Those who had some this time and want more: their turn comes after that of all others.
    served: VecDeque<ConnId>,
    pub(super) armed: bool,
}

impl Gate {
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        // A burst of a quarter of a second, but always enough for one block.
        let burst = (rate / 4).max(2 * CREDIT_LIMITED);
        Gate {
            bucket: Bucket::new(rate, burst, now),
            waiting: VecDeque::new(),
            served: VecDeque::new(),
            armed: false,
        }
    }

    pub(super) fn has(&self, conn: ConnId) -> bool {
        self.waiting.contains(&conn) || self.served.contains(&conn)
    }

    pub(super) fn wait(&mut self, conn: ConnId, served: bool) {
        match served {
            _ if self.has(conn) => {}
            true => self.served.push_back(conn),
            false => self.waiting.push_back(conn),
        }
    }

    /// All who wait, in the order of their turns.
    pub(super) fn open(&mut self) -> VecDeque<ConnId> {
        self.armed = false;
        let mut all = core::mem::take(&mut self.waiting);
        all.append(&mut self.served);
        all
    }

    /// All who wait, when there is no limit any more.
    pub(super) fn into_waiting(mut self) -> VecDeque<ConnId> {
        self.open()
    }

    pub(super) fn forget(&mut self, conn: ConnId) {
        self.waiting.retain(|waiting| *waiting != conn);
        self.served.retain(|waiting| *waiting != conn);
    }
}

//! What a peer asked of us. Blocks are bound to a transmission late, so a cancel or a choke still
//! withdraws what is queued.

use alloc::collections::VecDeque;

use crate::meta::layout::Block;

/// The most requests of one peer that we keep; told to it as `reqq` (BEP 10).
pub const UPLOAD_QUEUE_MAX: usize = 500;

/// The requests of one peer, in their order.
#[derive(Debug, Default)]
pub struct UploadQueue {
    queue: VecDeque<Block>,
}

impl UploadQueue {
    /// Queues a request; false if the queue is full, or the block is in it: one answer is enough.
    pub fn push(&mut self, block: Block) -> bool {
        let fits = self.queue.len() < UPLOAD_QUEUE_MAX && !self.queue.contains(&block);
        if fits {
            self.queue.push_back(block);
        }
        fits
    }

    /// Withdraws a request; whether it was still queued.
    pub fn cancel(&mut self, block: Block) -> bool {
        let at = self.queue.iter().position(|queued| *queued == block);
        at.and_then(|at| self.queue.remove(at)).is_some()
    }

    /// The request that is served next.
    #[must_use]
    pub fn front(&self) -> Option<Block> {
        self.queue.front().copied()
    }

    /// The requests that are served next.
    pub fn iter(&self) -> impl Iterator<Item = Block> {
        self.queue.iter().copied()
    }

    /// The first request was served.
    pub fn pop(&mut self) {
        self.queue.pop_front();
    }

    /// Withdraws all requests.
    pub fn drain(&mut self) -> impl Iterator<Item = Block> {
        self.queue.drain(..)
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::layout::PieceIndex;

    fn block(index: u32) -> Block {
        Block {
            piece: PieceIndex(index),
            begin: 0,
            len: 1,
        }
    }

    #[test]
    fn a_flood_fills_the_queue_and_no_more() {
        let mut queue = UploadQueue::default();
        assert!((0..UPLOAD_QUEUE_MAX as u32).all(|index| queue.push(block(index))));
        assert!(!queue.push(block(9999)));
        assert!(!queue.push(block(3)), "there already");
        assert!(queue.cancel(block(3)) && !queue.cancel(block(3)));
        assert_eq!(queue.front(), Some(block(0)));
        assert_eq!(queue.drain().count(), UPLOAD_QUEUE_MAX - 1);
    }
}

//! What a peer asked of us. Blocks are bound to a transmission late, so a cancel or a choke still
//! withdraws what is queued.

use alloc::collections::VecDeque;

use crate::meta::layout::Block;

/// The most requests of one peer that we keep; told to it as `reqq` (BEP 10).
pub const UPLOAD_QUEUE_MAX: usize = 500;

/// The requests of one peer, in their order.
///
/// Invariant: `count` is what the runs hold together, no run is empty, and no block is in two.
#[derive(Debug, Default)]
pub struct UploadQueue {
    runs: VecDeque<Run>,
    count: usize,
}

/// Requests for blocks of one length that follow one another in a piece: peers ask piece by piece, so
/// a long queue is a few of these.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    first: Block,
    /// At least one.
    blocks: u32,
}

impl UploadQueue {
    /// Queues a request; false if the queue is full, or the block is in it: one answer is enough.
    pub fn push(&mut self, block: Block) -> bool {
        let fits = self.count < UPLOAD_QUEUE_MAX && self.position(block).is_none();
        if fits {
            self.count += 1;
            match self.runs.back_mut().filter(|run| run.is_followed_by(block)) {
                Some(run) => run.blocks += 1,
                None => self.runs.push_back(Run {
                    first: block,
                    blocks: 1,
                }),
            }
        }
        fits
    }

    /// Withdraws a request; whether it was still queued.
    pub fn cancel(&mut self, block: Block) -> bool {
        let Some((at, before)) = self.position(block) else {
            return false;
        };
        let run = self.runs[at];
        let after = Run {
            first: run.nth(before + 1),
            blocks: run.blocks - before - 1,
        };
        self.runs[at].blocks = before;
        if after.blocks > 0 {
            self.runs.insert(at + 1, after);
        }
        if before == 0 {
            self.runs.remove(at);
        }
        self.count -= 1;
        true
    }

    /// The request that is served next.
    #[must_use]
    pub fn front(&self) -> Option<Block> {
        self.runs.front().map(|run| run.first)
    }

    /// The requests that are served next.
    pub fn iter(&self) -> impl Iterator<Item = Block> {
        self.runs.iter().flat_map(|run| run.iter())
    }

    /// The first request was served.
    pub fn pop(&mut self) {
        let Some(run) = self.runs.front_mut() else {
            return;
        };
        self.count -= 1;
        run.first = run.nth(1);
        run.blocks -= 1;
        if run.blocks == 0 {
            self.runs.pop_front();
        }
    }

    /// Withdraws all requests.
    pub fn drain(&mut self) -> impl Iterator<Item = Block> {
        self.count = 0;
        self.runs.drain(..).flat_map(Run::iter)
    }

    /// Whether nothing is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The run that holds a block, and how many of its blocks come before it.
    fn position(&self, block: Block) -> Option<(usize, u32)> {
        let mut runs = self.runs.iter().enumerate();
        runs.find_map(|(at, run)| run.position(block).map(|before| (at, before)))
    }
}

impl Run {
    /// The block after `count` of its blocks; past the last one where there is none.
    fn nth(self, count: u32) -> Block {
        Block {
            begin: self.first.begin + count * self.first.len,
            ..self.first
        }
    }

    fn iter(self) -> impl Iterator<Item = Block> {
        (0..self.blocks).map(move |count| self.nth(count))
    }

    fn is_followed_by(self, block: Block) -> bool {
        self.nth(self.blocks) == block
    }

    /// How many of its blocks come before `block`, if that is one of them.
    fn position(self, block: Block) -> Option<u32> {
        let Block { piece, begin, len } = self.first;
        if block.piece != piece || block.len != len {
            return None;
        }
        let behind = block.begin.checked_sub(begin)?;
        let count = behind / len;
        (behind % len == 0 && count < self.blocks).then_some(count)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

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
        assert!(
            queue.is_empty() && queue.push(block(0)),
            "there is room again"
        );
    }

    /// Whatever is asked for, withdrawn and served, in whatever order and lengths, the queue does as
    /// a plain list would.
    #[test]
    fn runs_do_as_a_list_does() {
        let mut rng = crate::base::rng::Rng::from_seed([7; 32]);
        let mut queue = UploadQueue::default();
        let mut list: Vec<Block> = Vec::new();
        for _ in 0..20_000 {
            let len = [1, 2, 16][rng.below(3) as usize];
            let some = Block {
                piece: PieceIndex(rng.below(3) as u32),
                begin: len * rng.below(8) as u32,
                len,
            };
            // Mostly the next one, as peers ask.
            let next = list.last().map(|last| Block {
                begin: last.begin + last.len,
                ..*last
            });
            let block = next.filter(|_| rng.below(4) > 0).unwrap_or(some);
            match rng.below(8) {
                0..4 => {
                    let fits = !list.contains(&block);
                    assert_eq!(queue.push(block), fits);
                    list.extend(fits.then_some(block));
                }
                4 => {
                    let at = list.iter().position(|queued| *queued == some);
                    assert_eq!(queue.cancel(some), at.is_some());
                    at.map(|at| list.remove(at));
                }
                _ if list.is_empty() => queue.pop(),
                _ => {
                    queue.pop();
                    list.remove(0);
                }
            }
            assert_eq!(queue.front(), list.first().copied());
            assert_eq!(queue.iter().collect::<Vec<_>>(), list);
            assert_eq!(queue.count, list.len());
            assert!(queue.runs.iter().all(|run| run.blocks > 0));
        }
    }
}

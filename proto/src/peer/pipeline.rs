//! What we asked of a peer and has not come: enough to fill the bandwidth-delay product, not so
//! much that blocks wait in line at a slow peer.

use alloc::collections::VecDeque;

use crate::base::time::{Duration, Instant};
use crate::meta::layout::{BLOCK_LEN, Block};
use crate::wire::message::BlockRequest;

/// The least number of requests kept out, in blocks.
const DEPTH_MIN: usize = 8;
/// The number of requests to begin with, in blocks.
const DEPTH_START: usize = 16;
/// The most requests kept out, in blocks, whatever the peer allows.
pub const DEPTH_MAX: usize = 500;
/// What a peer accepts that does not say (`reqq`, BEP 10), in blocks.
const REQQ_DEFAULT: usize = 250;
/// How much time's worth of blocks is kept asked for, in milliseconds.
const QUEUE_MILLIS: u64 = 1500;
/// How often the depth is fitted to the rate.
const WINDOW: Duration = Duration::from_secs(1);

/// A request that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The block.
    pub block: Block,
    /// Whether its answer still counts.
    pub standing: Standing,
}

/// How a request that is out stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The peer owes the block.
    Awaited,
    /// It took too long, and others may have been asked since; it is still taken if it comes.
    GivenUp,
    /// It was withdrawn; the block comes all the same, or a rejection (BEP 6).
    Cancelled,
}

/// The requests that are out to one peer, oldest first.
#[derive(Debug)]
pub struct Pipeline {
    asked: VecDeque<Asked>,
    depth: usize,
    ceiling: usize,
    /// While the rate still grows, every block that comes allows one more.
    growing: bool,
    window_start: Instant,
    window_bytes: u64,
    last_rate: u64,
}

impl Default for Pipeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipeline {
    /// An empty pipeline.
    #[must_use]
    pub fn new() -> Self {
        Pipeline {
            asked: VecDeque::new(),
            depth: DEPTH_START,
            ceiling: REQQ_DEFAULT,
            growing: true,
            window_start: Instant::ZERO,
            window_bytes: 0,
            last_rate: 0,
        }
    }

    /// The peer says how many requests it accepts (`reqq`, BEP 10).
    pub fn set_ceiling(&mut self, reqq: usize) {
        self.ceiling = reqq.clamp(1, DEPTH_MAX);
    }

    /// How many more requests should go out now. Waits until a quarter is due, so that requests
    /// travel in company.
    #[must_use]
    pub fn room(&self) -> usize {
        let depth = self.depth.min(self.ceiling);
        let room = depth.saturating_sub(self.asked.len());
        if room * 4 >= depth { room } else { 0 }
    }

    /// A request went out.
    pub fn push(&mut self, block: Block) {
        self.asked.push_back(Asked {
            block,
            standing: Standing::Awaited,
        });
    }

    /// Whether a request for `block` was given up: it is awaited again, for asking twice would
    /// leave one of the two without an answer.
    pub fn reclaim(&mut self, block: Block) -> bool {
        let given_up =
            |asked: &&mut Asked| asked.block == block && asked.standing == Standing::GivenUp;
        match self.asked.iter_mut().find(given_up) {
            Some(asked) => {
                asked.standing = Standing::Awaited;
                true
            }
            None => false,
        }
    }

    /// Whether the peer owes us a block.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.asked
            .iter()
            .any(|asked| asked.standing == Standing::Awaited)
    }

    /// The request that `range` answers, taken out; usually the oldest.
    pub fn take(&mut self, range: BlockRequest) -> Option<Asked> {
        let at = self
            .asked
            .iter()
            .position(|asked| answers(asked.block, range))?;
        if at == 0 {
            self.asked.pop_front()
        } else {
            self.asked.remove(at)
        }
    }

    /// Whether `block` is out.
    #[must_use]
    pub fn contains(&self, block: Block) -> bool {
        self.asked.iter().any(|asked| asked.block == block)
    }

    /// All requests, taken out.
    pub fn drain(&mut self) -> impl Iterator<Item = Asked> {
        self.asked.drain(..)
    }

    /// Gives every request up that is awaited but remembers it: what comes late is still taken.
    pub fn give_up(&mut self) -> impl Iterator<Item = Block> {
        self.depth = 1;
        self.growing = true;
        self.asked
            .iter_mut()
            .filter(|asked| asked.standing == Standing::Awaited)
            .map(|asked| {
                asked.standing = Standing::GivenUp;
                asked.block
            })
    }

    /// One request was withdrawn, and its answer is still to come.
    pub fn cancel(&mut self, block: Block) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.block == block) {
            asked.standing = Standing::Cancelled;
        }
    }

    /// Whether nothing is out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// How many requests are out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// A block of `len` bytes came: fits the depth to the rate.
    pub fn block_came(&mut self, now: Instant, len: u32) {
        self.window_bytes += u64::from(len);
        if self.growing {
            self.depth = (self.depth + 1).min(DEPTH_MAX);
        }
        let elapsed = now.since(self.window_start);
        if elapsed < WINDOW {
            return;
        }
        let micros = elapsed.as_micros().max(1) as u64;
        let rate = self.window_bytes.saturating_mul(1_000_000) / micros;
        let fitted = rate * QUEUE_MILLIS / 1000 / u64::from(BLOCK_LEN) + 4;
        // The first window began before the first block did: it tells nothing about growth.
        if self.last_rate > 0 && rate < self.last_rate + self.last_rate / 10 {
            self.growing = false;
        }
        if !self.growing {
            self.depth = (fitted as usize).clamp(DEPTH_MIN, DEPTH_MAX);
        }
        self.last_rate = rate;
        self.window_start = now;
        self.window_bytes = 0;
    }
}

fn answers(block: Block, range: BlockRequest) -> bool {
    (block.piece.0, block.begin, block.len) == (range.piece, range.begin, range.len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::layout::PieceIndex;

    fn block(index: u32) -> Block {
        Block {
            piece: PieceIndex(0),
            begin: index * BLOCK_LEN,
            len: BLOCK_LEN,
        }
    }

    fn range(index: u32) -> BlockRequest {
        BlockRequest {
            piece: 0,
            begin: index * BLOCK_LEN,
            len: BLOCK_LEN,
        }
    }

    /// Blocks at a steady rate settle the depth at the time's worth the constant asks for.
    #[test]
    fn the_depth_follows_the_rate() {
        let mut pipeline = Pipeline::new();
        for tick in 0..1000 {
            pipeline.block_came(Instant::from_micros(tick * 10_000), BLOCK_LEN);
        }
        let depth = 100 * QUEUE_MILLIS / 1000 + 4;
        assert!(
            pipeline.room().abs_diff(depth as usize) <= 3,
            "{}",
            pipeline.room()
        );
        pipeline.set_ceiling(20);
        assert_eq!(pipeline.room(), 20);
    }

    #[test]
    fn requests_are_answered_in_any_order_and_once() {
        let mut pipeline = Pipeline::new();
        (0..3).for_each(|index| pipeline.push(block(index)));
        assert_eq!(pipeline.take(range(1)).unwrap().block, block(1));
        assert_eq!(pipeline.take(range(1)), None);
        assert_eq!(pipeline.give_up().count(), 2);
        assert!(!pipeline.owes());
        assert_eq!(pipeline.give_up().count(), 0, "given up once");
        assert!(pipeline.reclaim(block(2)) && !pipeline.reclaim(block(2)));
        assert!(pipeline.owes());
        let given_up = pipeline.take(range(0)).unwrap();
        assert_eq!(given_up.standing, Standing::GivenUp);
        assert_eq!(pipeline.drain().count(), 1);
    }

    /// Small gaps are not filled one by one.
    #[test]
    fn requests_travel_in_company() {
        let mut pipeline = Pipeline::new();
        (0..DEPTH_START as u32).for_each(|index| pipeline.push(block(index)));
        pipeline.take(range(0));
        assert_eq!(pipeline.room(), 0);
        assert!((1..4).all(|index| pipeline.take(range(index)).is_some()));
        assert_eq!(pipeline.room(), 4);
    }
}

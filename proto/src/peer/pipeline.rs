//! What we asked of a peer and has not come: bandwidth times delay, and a little more.
//!
//! Nobody tells us either. What tells is how long a block takes from its request: as long as that
//! is near the least ever seen, the requests wait nowhere, and more may go out; when it grows
//! beyond, they stand in line at the far end, and fewer are kept out. So the line there settles
//! near half a second, at any rate and any distance, and a slow peer holds few blocks that others
//! could give sooner.

use alloc::collections::VecDeque;

use crate::base::time::{Duration, Instant};
use crate::meta::layout::Block;
use crate::wire::message::BlockRequest;

/// The least number of requests kept out, in blocks.
const DEPTH_MIN: usize = 4;
/// The number of requests to begin with, in blocks.
const DEPTH_START: usize = 8;
/// The most requests kept out, in blocks, whatever the peer allows.
pub const DEPTH_MAX: usize = 500;
/// What a peer accepts that does not say (`reqq`, BEP 10), in blocks.
const REQQ_DEFAULT: usize = 250;
/// How long a request may stand in line at the far end: enough to outlast what delays a sender now
/// and then.
const LINE: Duration = Duration::from_millis(500);

/// A request that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The block.
    pub block: Block,
    /// When it was asked for.
    pub at: Instant,
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
///
/// Invariant: `awaited` and `given_up` count the requests that stand so.
#[derive(Debug)]
pub struct Pipeline {
    asked: VecDeque<Asked>,
    awaited: usize,
    given_up: usize,
    depth: usize,
    ceiling: usize,
    /// The least time from a request to its block.
    least: Option<Duration>,
    /// No line has formed yet: every block that comes allows one more.
    growing: bool,
    /// Blocks to come before a change of depth shows in how long they take.
    settling: usize,
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
            awaited: 0,
            given_up: 0,
            depth: DEPTH_START,
            ceiling: REQQ_DEFAULT,
            least: None,
            growing: true,
            settling: 0,
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
    pub fn push(&mut self, block: Block, at: Instant) {
        self.awaited += 1;
        self.asked.push_back(Asked {
            block,
            at,
            standing: Standing::Awaited,
        });
    }

    /// Whether a request for `block` was given up: it is awaited again, for asking twice would
    /// leave one of the two without an answer.
    pub fn reclaim(&mut self, block: Block) -> bool {
        if self.given_up == 0 {
            return false;
        }
        let given_up =
            |asked: &&mut Asked| asked.block == block && asked.standing == Standing::GivenUp;
        match self.asked.iter_mut().find(given_up) {
            Some(asked) => {
                asked.standing = Standing::Awaited;
                self.given_up -= 1;
                self.awaited += 1;
                true
            }
            None => false,
        }
    }

    /// Whether the peer owes us a block.
    #[must_use]
    pub fn owes(&self) -> bool {
        self.awaited > 0
    }

    /// The request that `range` answers, taken out; usually the oldest.
    pub fn take(&mut self, range: BlockRequest) -> Option<Asked> {
        let answers = |asked: &Asked| answers(asked.block, range);
        let asked = if self.asked.front().is_some_and(answers) {
            self.asked.pop_front()
        } else {
            let at = self.asked.iter().position(answers)?;
            self.asked.remove(at)
        }?;
        self.stands_no_more(asked.standing);
        Some(asked)
    }

    /// Whether `block` is out.
    #[must_use]
    pub fn contains(&self, block: Block) -> bool {
        self.asked.iter().any(|asked| asked.block == block)
    }

    /// The requests that are out, from number `first` on.
    pub fn since(&self, first: usize) -> impl Iterator<Item = Block> {
        self.asked.range(first..).map(|asked| asked.block)
    }

    /// All requests, taken out.
    pub fn drain(&mut self) -> impl Iterator<Item = Asked> {
        (self.awaited, self.given_up) = (0, 0);
        self.asked.drain(..)
    }

    /// Gives every request up that is awaited but remembers it: what comes late is still taken.
    pub fn give_up(&mut self) -> impl Iterator<Item = Block> {
        self.depth = 1;
        let (awaited, given_up) = (&mut self.awaited, &mut self.given_up);
        self.asked
            .iter_mut()
            .filter(|asked| asked.standing == Standing::Awaited)
            .map(move |asked| {
                asked.standing = Standing::GivenUp;
                *awaited -= 1;
                *given_up += 1;
                asked.block
            })
    }

    /// One request was withdrawn, and its answer is still to come.
    pub fn cancel(&mut self, block: Block) {
        if let Some(asked) = self.asked.iter_mut().find(|asked| asked.block == block) {
            let stood = core::mem::replace(&mut asked.standing, Standing::Cancelled);
            self.stands_no_more(stood);
        }
    }

    /// Takes a request off the counts.
    fn stands_no_more(&mut self, standing: Standing) {
        match standing {
            Standing::Awaited => self.awaited -= 1,
            Standing::GivenUp => self.given_up -= 1,
            Standing::Cancelled => {}
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

    /// A block came that was asked for at `asked_at`: fits the depth to the delay.
    pub fn block_came(&mut self, now: Instant, asked_at: Instant) {
        let took = now.since(asked_at);
        let least = self.least.map_or(took, |least| least.min(took));
        self.least = Some(least);
        let in_line = took > least + LINE;
        if self.growing && !in_line {
            self.depth = (self.depth + 1).min(DEPTH_MAX);
            return;
        }
        self.growing = false;
        self.settling = self.settling.saturating_sub(1);
        if self.settling == 0 {
            let step = self.depth / 8 + 1;
            self.depth = match in_line {
                true => self.depth.saturating_sub(step).max(DEPTH_MIN),
                false => (self.depth + step).min(DEPTH_MAX),
            };
            self.settling = self.depth;
        }
    }
}

fn answers(block: Block, range: BlockRequest) -> bool {
    (block.piece.0, block.begin, block.len) == (range.piece, range.begin, range.len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meta::layout::{BLOCK_LEN, PieceIndex};

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

    /// A far end that sends a block each `each`, after `delay`: what is out when all has settled.
    fn settled(each: Duration, delay: Duration) -> u64 {
        let mut pipeline = Pipeline::new();
        pipeline.set_ceiling(DEPTH_MAX);
        let (mut now, mut index) = (Instant::ZERO, 0);
        // When each request's block has come through the line.
        let mut line = VecDeque::new();
        let mut free_at = Instant::ZERO;
        for _ in 0..30_000 {
            for _ in 0..pipeline.room() {
                pipeline.push(block(index), now);
                free_at = free_at.max(now) + each;
                line.push_back((index, free_at + delay));
                index += 1;
            }
            let (index, came) = line.pop_front().unwrap();
            now = came;
            let asked = pipeline.take(range(index)).unwrap();
            pipeline.block_came(now, asked.at);
        }
        pipeline.depth as u64
    }

    /// The depth settles at the line's worth and the delay's, whatever the rate and the distance.
    #[test]
    fn the_depth_follows_bandwidth_and_delay() {
        let millis = Duration::from_millis;
        for (each, delay) in [(10, 40), (10, 400), (50, 100), (2, 20)] {
            let fair = (500 + delay) / each;
            let depth = settled(millis(each), millis(delay));
            assert!(
                (fair * 3 / 4..=fair * 3 / 2).contains(&depth),
                "{depth} where {fair} are fair"
            );
        }
        assert!(
            settled(millis(2000), millis(50)) <= 2 * DEPTH_MIN as u64,
            "a slow peer"
        );
        assert_eq!(
            settled(Duration::from_micros(5), millis(1)),
            DEPTH_MAX as u64,
            "a fast one"
        );
    }

    /// The peer's own limit holds.
    #[test]
    fn the_ceiling_is_kept() {
        let mut pipeline = Pipeline::new();
        (0..1000).for_each(|_| pipeline.block_came(Instant::ZERO, Instant::ZERO));
        assert_eq!(pipeline.room(), REQQ_DEFAULT);
        pipeline.set_ceiling(20);
        assert_eq!(pipeline.room(), 20);
    }

    #[test]
    fn requests_are_answered_in_any_order_and_once() {
        let mut pipeline = Pipeline::new();
        (0..3).for_each(|index| pipeline.push(block(index), Instant::ZERO));
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
        (0..DEPTH_START as u32).for_each(|index| pipeline.push(block(index), Instant::ZERO));
        pipeline.take(range(0));
        assert_eq!(pipeline.room(), 0);
        assert!((1..4).all(|index| pipeline.take(range(index)).is_some()));
        assert_eq!(pipeline.room(), 4);
    }
}

//! Which message is hashed where: a kernel brings several messages forward by the same number of
//! blocks, each in a lane of its own, and a lane whose message ends takes the next one.
//!
//! A wide kernel takes as long for one message as for all its lanes. So kernels form a ladder, the
//! widest first, and where too few messages are left for a kernel to be worth its time, the next one
//! goes on with them: states of messages are the same for all.

use super::padding::{Block, Padding};

/// The most lanes of any kernel.
pub(super) const MOST_LANES: usize = 16;

/// One kernel of a ladder. `W`: the words of a state.
pub(super) struct Rung<const W: usize> {
    /// The most messages it brings forward at once.
    pub(super) lanes: usize,
    /// The fewest messages for which it is faster than those below it.
    pub(super) least: usize,
    /// Brings the states forward, each over its blocks: 1 to `lanes` of them, as many blocks for
    /// each. To call it, the machine must have the instructions it is made of.
    pub(super) compress: unsafe fn(&mut [[u32; W]], &[&[Block]]),
}

/// The rungs of one kernel and what is below it, the widest first; the last one takes a single
/// message.
pub(super) type Ladder<const W: usize> = &'static [Rung<W>];

/// A message, or as much of it as is to be hashed now.
pub(super) struct Message<'a, const W: usize> {
    /// The state before it.
    pub(super) state: [u32; W],
    pub(super) body: &'a [Block],
    pub(super) end: Padding,
}

/// Hashes all messages; tells `done` the state after each, by its place, in any order.
///
/// # Safety
/// The machine must have the instructions that the rungs are made of.
pub(super) unsafe fn run<'a, const W: usize>(
    ladder: Ladder<W>,
    messages: impl Iterator<Item = Message<'a, W>>,
    mut done: impl FnMut(usize, [u32; W]),
) {
    let mut messages = messages.enumerate();
    let mut lanes = Lanes::new();
    loop {
        while lanes.count < ladder[0].lanes
            && let Some((place, message)) = messages.next()
        {
            let state = message.state;
            let lane = Lane::new(place, message);
            match lane.ahead() {
                [] => done(place, state),
                _ => lanes.push(state, lane),
            }
        }
        if lanes.count == 0 {
            return;
        }
        // SAFETY: as the caller promised.
        unsafe { lanes.step(rung(ladder, lanes.count)) };
        lanes.leave(&mut done);
    }
}

/// The fastest rung for so many messages.
fn rung<const W: usize>(ladder: Ladder<W>, count: usize) -> &'static Rung<W> {
    let fits = ladder.iter().find(|rung| count >= rung.least);
    fits.expect("the last rung takes a single message")
}

/// The messages that are being hashed. The first `count` are in use.
struct Lanes<'a, const W: usize> {
    count: usize,
    states: [[u32; W]; MOST_LANES],
    lanes: [Lane<'a>; MOST_LANES],
}

struct Lane<'a> {
    place: usize,
    /// What is left of the message, first its whole blocks, then its end.
    body: &'a [Block],
    end: Padding,
    /// How many blocks of the end are done.
    ended: usize,
}

impl<'a> Lane<'a> {
    const EMPTY: Self = Lane {
        place: 0,
        body: &[],
        end: Padding::NONE,
        ended: 0,
    };

    fn new<const W: usize>(place: usize, message: Message<'a, W>) -> Self {
        let Message { body, end, .. } = message;
        let ended = 0;
        Lane {
            place,
            body,
            end,
            ended,
        }
    }

    /// The blocks that come next, those that lie in one row.
    fn ahead(&self) -> &[Block] {
        match self.body {
            [] => &self.end.blocks()[self.ended..],
            body => body,
        }
    }

    fn advance(&mut self, count: usize) {
        match self.body {
            [] => self.ended += count,
            body => self.body = &body[count..],
        }
    }
}

impl<'a, const W: usize> Lanes<'a, W> {
    fn new() -> Self {
        Lanes {
            count: 0,
            states: [[0; W]; MOST_LANES],
            lanes: [const { Lane::EMPTY }; MOST_LANES],
        }
    }

    fn push(&mut self, state: [u32; W], lane: Lane<'a>) {
        self.states[self.count] = state;
        self.lanes[self.count] = lane;
        self.count += 1;
    }

    /// Brings as many messages forward as the rung takes, until one of them comes to an end.
    ///
    /// # Safety
    /// The machine must have the instructions that the rung is made of.
    unsafe fn step(&mut self, rung: &Rung<W>) {
        let count = self.count.min(rung.lanes);
        let mut ahead: [&[Block]; MOST_LANES] = [&[]; MOST_LANES];
        let mut blocks = usize::MAX;
        for (ahead, lane) in ahead.iter_mut().zip(&self.lanes[..count]) {
            *ahead = lane.ahead();
            blocks = blocks.min(ahead.len());
        }
        for ahead in &mut ahead[..count] {
            *ahead = &ahead[..blocks];
        }
        // SAFETY: as the caller promised.
        unsafe { (rung.compress)(&mut self.states[..count], &ahead[..count]) };
        for lane in &mut self.lanes[..count] {
            lane.advance(blocks);
        }
    }

    /// Lets those go that are at their end.
    fn leave(&mut self, done: &mut impl FnMut(usize, [u32; W])) {
        let mut at = 0;
        while at < self.count {
            if self.lanes[at].ahead().is_empty() {
                done(self.lanes[at].place, self.states[at]);
                self.count -= 1;
                self.lanes.swap(at, self.count);
                self.states.swap(at, self.count);
            } else {
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The messages and the blocks of each call of a kernel.
        static CALLS: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
    }

    /// In place of a kernel: a state counts its blocks and sums them up by their place.
    fn count(states: &mut [[u32; 2]], blocks: &[&[Block]]) {
        CALLS.with_borrow_mut(|calls| calls.push((states.len(), blocks[0].len())));
        for (state, blocks) in states.iter_mut().zip(blocks) {
            for block in *blocks {
                state[0] += 1;
                state[1] += state[0] * u32::from(block[0]);
            }
        }
    }

    const LADDER: Ladder<2> = &[
        Rung {
            lanes: 4,
            least: 3,
            compress: count,
        },
        Rung {
            lanes: 1,
            least: 1,
            compress: count,
        },
    ];

    /// Runs messages of so many blocks and, where told so, an end; what the kernels were called for.
    fn run_all(lens: &[(usize, bool)]) -> Vec<(usize, usize)> {
        let bodies: Vec<Vec<Block>> = (1..)
            .zip(lens)
            .map(|(byte, (len, _))| vec![[byte; 64]; *len])
            .collect();
        let messages = bodies.iter().zip(lens).map(|(body, (_, ends))| Message {
            state: [0; 2],
            body,
            end: match ends {
                true => Padding::new(&[], 64 * body.len() as u64),
                false => Padding::NONE,
            },
        });
        let mut states = vec![None; lens.len()];
        CALLS.take();
        let done = |place: usize, state| {
            assert!(states[place].replace(state).is_none(), "{place} ends once");
        };
        // SAFETY: the rungs need no instructions of their own.
        unsafe { run(LADDER, messages, done) };
        for ((byte, state), (len, ends)) in (1..).zip(states).zip(lens) {
            let (len, end) = (*len as u32, u32::from(*ends));
            let sum = byte * len * (len + 1) / 2 + end * (len + 1) * 0x80;
            assert_eq!(state, Some([len + end, sum]), "message {byte} of {lens:?}");
        }
        CALLS.take()
    }

    /// Equal messages go side by side to their end; of those left over, too few for the wide
    /// kernel, each goes alone.
    #[test]
    fn few_messages_leave_the_wide_kernel() {
        assert_eq!(run_all(&[(9, true); 4]), [(4, 9), (4, 1)]);
        assert_eq!(run_all(&[(9, true); 3]), [(3, 9), (3, 1)]);
        assert_eq!(run_all(&[(9, true)]), [(1, 9), (1, 1)]);
        let six = run_all(&[(9, true); 6]);
        assert_eq!(six, [(4, 9), (4, 1), (1, 9), (1, 1), (1, 9), (1, 1)]);
    }

    /// A lane whose message ends takes the next one while the others go on; the last ones go on
    /// alone from where they are.
    #[test]
    fn a_lane_that_ends_takes_the_next_message() {
        let calls = run_all(&[(2, false), (9, false), (9, false), (9, false), (7, false)]);
        assert_eq!(calls, [(4, 2), (4, 7)]);
        let calls = run_all(&[(2, false), (5, false), (9, false)]);
        assert_eq!(calls, [(3, 2), (1, 7), (1, 3)]);
    }

    /// Messages without a block are over before they begin, and take no lane.
    #[test]
    fn nothing_takes_no_lane() {
        assert_eq!(run_all(&[]), []);
        assert_eq!(run_all(&[(0, false); 9]), []);
        assert_eq!(run_all(&[(0, false), (3, false), (0, false)]), [(1, 3)]);
    }
}

//! The picker against a naive one: a model that keeps every request in plain maps and decides by
//! looking at everything. Peers come, gain pieces and go, blocks arrive or do not, pieces turn out
//! right or wrong, and after each step both must tell the same story.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::{ConnId, Id};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::{
    BLOCK_LEN, Block, FileEntry, FileKind, Layout, PieceIndex, Priority,
};
use ripcurrent_proto::picker::{Arrival, Counted, DUPLICATES_MAX, ENDGAME_PIECES, Pick, Picker};

const ASKERS_MAX: usize = 3;

/// What happens next; numbers choose among what there is, modulo how much there is.
#[derive(Clone, Debug)]
enum Step {
    Join(Crowd),
    Leave(usize),
    Gain(usize, usize),
    Pick { peer: usize, may_open: bool },
    PickAmong { peer: usize, pieces: [usize; 3] },
    Arrive(usize, usize),
    ArriveUnasked(usize, usize),
    Release(usize, usize),
    Hash { right: bool, exclusive: bool },
    Prioritise(usize, Priority),
    Lose(usize),
    Close(usize),
    Sequential(bool),
}

/// How much of the torrent a newcomer has.
#[derive(Clone, Debug)]
enum Crowd {
    Nothing,
    Some(Vec<usize>),
    AllBut(usize),
    Everything,
}

struct Peer {
    conn: ConnId,
    have: Bitfield,
    counted: Option<Counted>,
    requests: Vec<Block>,
}

/// What the model knows of an open piece.
#[derive(Default)]
struct Open {
    asked: BTreeMap<Begin, BTreeSet<ConnId>>,
    given: BTreeMap<Begin, ConnId>,
    exclusive: bool,
    holder: Option<ConnId>,
}

/// The start of a block in its piece, in bytes.
type Begin = u32;

struct World {
    layout: Arc<Layout>,
    picker: Picker,
    peers: Vec<Peer>,
    next_conn: u32,
    priorities: Vec<Priority>,
    had: BTreeSet<PieceIndex>,
    open: BTreeMap<PieceIndex, Open>,
    suspects: BTreeSet<PieceIndex>,
    sequential: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, the picker and the model agree; and when a seed comes in the end and
    /// everything is wanted, everything is delivered.
    #[test]
    fn the_picker_agrees_with_a_naive_one(
        pieces in prop_oneof![Just(1u32), Just(3), Just(12), Just(200)],
        seed: u8,
        pattern in prop::collection::vec(priority(), 1..6),
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut world = World::new(pieces, seed, &pattern);
        for step in steps {
            world.step(step);
            world.compare();
        }
        world.finish();
    }

    /// The same seed and the same story give the same picks.
    #[test]
    fn picks_depend_on_the_seed_alone(
        seed: u8,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let run = || {
            let mut world = World::new(12, seed, &[Priority::Normal, Priority::High]);
            steps.iter().for_each(|step| world.step(step.clone()));
            let requests = world.peers.iter().flat_map(|peer| peer.requests.clone());
            requests.collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..1000usize;
    let crowd = prop_oneof![
        Just(Crowd::Nothing),
        prop::collection::vec(n(), 1..8).prop_map(Crowd::Some),
        n().prop_map(Crowd::AllBut),
        Just(Crowd::Everything),
    ];
    prop_oneof![
        4 => crowd.prop_map(Step::Join),
        1 => n().prop_map(Step::Leave),
        4 => (n(), n()).prop_map(|(peer, piece)| Step::Gain(peer, piece)),
        20 => (n(), any::<bool>()).prop_map(|(peer, may_open)| Step::Pick { peer, may_open }),
        2 => (n(), [n(), n(), n()]).prop_map(|(peer, pieces)| Step::PickAmong { peer, pieces }),
        14 => (n(), n()).prop_map(|(peer, request)| Step::Arrive(peer, request)),
        1 => (n(), n()).prop_map(|(peer, piece)| Step::ArriveUnasked(peer, piece)),
        3 => (n(), n()).prop_map(|(peer, request)| Step::Release(peer, request)),
        4 => any::<[bool; 2]>().prop_map(|[right, exclusive]| Step::Hash { right, exclusive }),
        2 => (n(), priority()).prop_map(|(piece, priority)| Step::Prioritise(piece, priority)),
        1 => n().prop_map(Step::Lose),
        1 => n().prop_map(Step::Close),
        1 => any::<bool>().prop_map(Step::Sequential),
    ]
}

fn priority() -> impl Strategy<Value = Priority> {
    prop_oneof![
        1 => Just(Priority::Unwanted),
        1 => Just(Priority::Low),
        2 => Just(Priority::Normal),
        1 => Just(Priority::High),
    ]
}

impl World {
    /// A torrent of three blocks to a piece, the last one short; the pieces have the priorities of
    /// the pattern, over and over.
    fn new(pieces: u32, seed: u8, pattern: &[Priority]) -> Self {
        let piece_len = 3 * BLOCK_LEN;
        let file = FileEntry {
            path: vec!["file".into()],
            len: u64::from(pieces) * u64::from(piece_len) - 20_000,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Arc::new(Layout::new(piece_len, vec![file]).expect("a layout"));
        let mut world = World {
            picker: Picker::new(Arc::clone(&layout), Rng::from_seed([seed; 32])),
            peers: Vec::new(),
            next_conn: 0,
            priorities: vec![Priority::default(); pieces as usize],
            had: BTreeSet::new(),
            open: BTreeMap::new(),
            suspects: BTreeSet::new(),
            sequential: false,
            layout,
        };
        for (piece, priority) in (0..pieces).zip(pattern.iter().cycle()) {
            world.prioritise(PieceIndex(piece), *priority);
        }
        world
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(crowd) => self.join(&crowd),
            Step::Prioritise(piece, priority) => self.prioritise(self.piece(piece), priority),
            Step::Lose(piece) => {
                let piece = self.piece(piece);
                self.picker.set_missing(piece);
                self.had.remove(&piece);
            }
            Step::Close(piece) => {
                let piece = self.piece(piece);
                self.picker.close_piece(piece);
                self.close(piece);
            }
            Step::Sequential(on) => {
                self.picker.set_sequential(on);
                self.sequential = on;
            }
            Step::Hash { right, exclusive } => self.hash(right, exclusive),
            _ if self.peers.is_empty() => {}
            Step::Leave(peer) => self.leave(peer % self.peers.len()),
            Step::Gain(peer, piece) => self.gain(peer % self.peers.len(), self.piece(piece)),
            Step::Pick { peer, may_open } => self.pick(peer % self.peers.len(), None, may_open),
            Step::PickAmong { peer, pieces } => {
                let only = pieces.map(|piece| self.piece(piece));
                self.pick(peer % self.peers.len(), Some(&only), true);
            }
            Step::ArriveUnasked(peer, piece) => {
                let block = self.layout.nth_block(self.piece(piece), 0);
                self.arrive(peer % self.peers.len(), block);
            }
            Step::Arrive(peer, request) => {
                if let Some((peer, block)) = self.take_request(peer, request) {
                    self.arrive(peer, block);
                }
            }
            Step::Release(peer, request) => {
                if let Some((peer, block)) = self.take_request(peer, request) {
                    self.release(self.peers[peer].conn, block);
                }
            }
        }
    }

    fn piece(&self, number: usize) -> PieceIndex {
        PieceIndex(number as u32 % self.layout.pieces())
    }

    fn take_request(&mut self, peer: usize, request: usize) -> Option<(usize, Block)> {
        let peer = peer % self.peers.len();
        let requests = &mut self.peers[peer].requests;
        let at = request.checked_rem(requests.len())?;
        Some((peer, requests.remove(at)))
    }

    fn join(&mut self, crowd: &Crowd) {
        let len = self.layout.pieces() as usize;
        let mut have = Bitfield::new(len);
        match crowd {
            Crowd::Nothing => {}
            Crowd::Some(pieces) => {
                for piece in pieces {
                    have.insert(piece % len);
                }
            }
            Crowd::AllBut(piece) => {
                have = Bitfield::full(len);
                have.remove(piece % len);
            }
            Crowd::Everything => have = Bitfield::full(len),
        }
        let counted = Some(self.picker.peer_joined(&have));
        // Slots of connections are used again, as they are in an engine.
        let conn = ConnId(Id::from_parts(self.next_conn % 5, self.next_conn / 5));
        self.next_conn += 1;
        self.peers.push(Peer {
            conn,
            have,
            counted,
            requests: Vec::new(),
        });
    }

    fn leave(&mut self, peer: usize) {
        let mut peer = self.peers.remove(peer);
        for block in &peer.requests {
            self.release(peer.conn, *block);
        }
        let counted = peer.counted.take().expect("counted since it joined");
        self.picker.peer_left(counted, &peer.have);
    }

    fn gain(&mut self, peer: usize, piece: PieceIndex) {
        let peer = &mut self.peers[peer];
        if peer.have.insert(piece.at()) {
            let counted = peer.counted.as_ref().expect("counted since it joined");
            self.picker.peer_gained(counted, piece);
        }
    }

    fn prioritise(&mut self, piece: PieceIndex, priority: Priority) {
        self.picker.set_priority(piece, priority);
        self.priorities[piece.at()] = priority;
    }

    /// The lowest complete piece is hashed.
    fn hash(&mut self, right: bool, exclusive: bool) {
        let mut complete = self.open.iter();
        let complete = complete.find(|(piece, open)| self.is_complete(**piece, open));
        let Some(piece) = complete.map(|(piece, _)| *piece) else {
            return;
        };
        if right {
            self.picker.verified(piece);
            self.close(piece);
            self.had.insert(piece);
            self.suspects.remove(&piece);
            return;
        }
        self.picker.failed(piece, exclusive);
        self.forget_requests(piece);
        if exclusive {
            self.suspects.insert(piece);
        }
        let open = self.open.get_mut(&piece).expect("an open piece");
        *open = Open {
            exclusive: open.exclusive || exclusive,
            ..Open::default()
        };
    }

    fn close(&mut self, piece: PieceIndex) {
        self.open.remove(&piece);
        self.forget_requests(piece);
    }

    fn forget_requests(&mut self, piece: PieceIndex) {
        for peer in &mut self.peers {
            peer.requests.retain(|block| block.piece != piece);
        }
    }

    fn release(&mut self, who: ConnId, block: Block) {
        self.picker.release(who, block);
        let complete = self.complete_len(block.piece);
        let Some(open) = self.open.get_mut(&block.piece) else {
            return;
        };
        open.asked.entry(block.begin).or_default().remove(&who);
        let busy = open.asked.values().any(|askers| !askers.is_empty());
        if open.exclusive && open.holder == Some(who) && !busy && open.given.len() < complete {
            open.given.clear();
            open.holder = None;
        }
    }

    fn arrive(&mut self, peer: usize, block: Block) {
        let who = self.peers[peer].conn;
        self.peers[peer]
            .requests
            .retain(|request| *request != block);
        let arrival = self.picker.arrived(who, block);
        let complete = self.complete_len(block.piece);
        let mut expected = Arrival::Unwanted;
        if let Some(open) = self.open.get_mut(&block.piece) {
            open.asked.entry(block.begin).or_default().remove(&who);
            let stranger = open.exclusive && open.holder != Some(who);
            if !stranger && !open.given.contains_key(&block.begin) {
                open.given.insert(block.begin, who);
                let piece_complete = open.given.len() == complete;
                expected = Arrival::New { piece_complete };
            }
        }
        assert_eq!(arrival, expected);
    }

    fn pick(&mut self, peer: usize, only: Option<&[PieceIndex]>, may_open: bool) {
        let Peer { conn, have, .. } = &self.peers[peer];
        let pick = match only {
            None => self.picker.pick(*conn, have, may_open),
            Some(only) => self.picker.pick_among(*conn, have, only, may_open),
        };
        let choices = self.choices(peer, only, may_open);
        match pick {
            None => choices.assert_none(),
            Some(pick) => {
                choices.assert_fit(pick, self.sequential, self.had.is_empty());
                self.note(peer, pick);
            }
        }
    }

    /// Enters a pick into the books.
    fn note(&mut self, peer: usize, pick: Pick) {
        let who = self.peers[peer].conn;
        let Block { piece, begin, .. } = pick.block;
        let index = begin / BLOCK_LEN;
        assert_eq!(pick.block, self.layout.nth_block(piece, index));
        let exclusive = self.suspects.contains(&piece);
        let open = self.open.entry(piece).or_insert_with(|| Open {
            exclusive,
            ..Open::default()
        });
        if open.exclusive && open.holder != Some(who) {
            open.given.clear();
            open.holder = Some(who);
        }
        assert!(!open.given.contains_key(&begin));
        assert!(open.asked.entry(begin).or_default().insert(who));
        self.peers[peer].requests.push(pick.block);
    }

    fn complete_len(&self, piece: PieceIndex) -> usize {
        self.layout.blocks_in(piece) as usize
    }

    fn is_complete(&self, piece: PieceIndex, open: &Open) -> bool {
        open.given.len() == self.complete_len(piece)
    }

    fn needed(&self) -> impl Iterator<Item = PieceIndex> {
        let pieces = (0..self.layout.pieces()).map(PieceIndex);
        let wanted = pieces.filter(|piece| self.priorities[piece.at()] != Priority::Unwanted);
        wanted.filter(|piece| !self.had.contains(piece))
    }

    fn availability(&self, piece: PieceIndex) -> u32 {
        let having = self.peers.iter();
        having.filter(|peer| peer.have.contains(piece.at())).count() as u32
    }

    fn is_free(open: &Open, begin: u32) -> bool {
        let asked = open.asked.get(&begin);
        !open.given.contains_key(&begin) && asked.is_none_or(BTreeSet::is_empty)
    }

    fn free(&self, piece: PieceIndex, open: &Open) -> usize {
        let blocks = (0..self.layout.blocks_in(piece)).map(|index| index * BLOCK_LEN);
        blocks.filter(|begin| Self::is_free(open, *begin)).count()
    }

    /// Everything the peer could be given, by looking at everything.
    fn choices(&self, peer: usize, only: Option<&[PieceIndex]>, may_open: bool) -> Choices {
        let Peer {
            conn: who, have, ..
        } = &self.peers[peer];
        let mut choices = Choices::default();
        let mut left = 0;
        for piece in self.needed() {
            let covered =
                have.contains(piece.at()) && only.is_none_or(|only| only.contains(&piece));
            let Some(open) = self.open.get(&piece) else {
                left += usize::from(self.availability(piece) > 0);
                if covered && may_open {
                    let rank = (
                        Reverse(self.priorities[piece.at()]),
                        self.availability(piece),
                    );
                    choices.closed.insert(piece, rank);
                }
                continue;
            };
            let free = self.free(piece, open);
            left += usize::from(free > 0);
            if !covered {
                continue;
            }
            let busy = open.asked.values().any(|askers| !askers.is_empty());
            let own = open.given.values().any(|giver| giver == who)
                || open.asked.values().any(|askers| askers.contains(who));
            if free > 0 && open.exclusive && open.holder.is_some_and(|holder| holder != *who) {
                if !busy {
                    choices.abandoned.insert(piece);
                }
            } else if free > 0 {
                let claim = if own {
                    Claim::Own
                } else if !busy || self.had.is_empty() {
                    Claim::Left
                } else {
                    Claim::Shared(self.availability(piece))
                };
                let priority = Reverse(self.priorities[piece.at()]);
                choices.open.insert(piece, (priority, claim));
            }
            if !open.exclusive {
                let asked = open.asked.iter().filter(|(begin, askers)| {
                    !open.given.contains_key(*begin)
                        && (1..ASKERS_MAX).contains(&askers.len())
                        && !askers.contains(who)
                });
                let asked = asked.map(|(begin, askers)| ((piece, *begin), askers.len()));
                choices.shared.extend(asked);
            }
        }
        if left > ENDGAME_PIECES || self.duplicates(*who) >= DUPLICATES_MAX {
            choices.shared.clear();
        }
        choices
    }

    /// For how many missing blocks both `who` and others are asked.
    fn duplicates(&self, who: ConnId) -> usize {
        let asked = self.open.values().flat_map(|open| {
            let missing = |begin: &&Begin| !open.given.contains_key(*begin);
            let asked = open.asked.iter().filter(move |(begin, _)| missing(begin));
            asked.map(|(_, askers)| askers)
        });
        let shared = asked.filter(|askers| askers.len() > 1 && askers.contains(&who));
        shared.count()
    }

    /// Both tell the same story.
    fn compare(&self) {
        self.picker.check_invariant();
        let open: Vec<_> = self.open.keys().copied().collect();
        assert_eq!(self.picker.open_pieces().collect::<Vec<_>>(), open);
        assert_eq!(self.picker.missing_wanted() as usize, self.needed().count());
        assert_eq!(self.picker.is_done(), self.needed().next().is_none());
        for peer in &self.peers {
            let any = self.needed().any(|piece| peer.have.contains(piece.at()));
            assert_eq!(self.picker.wants_from(&peer.have), any);
            let mut closed = self.needed().filter(|piece| !self.open.contains_key(piece));
            let any = closed.any(|piece| peer.have.contains(piece.at()));
            assert_eq!(self.picker.has_closed(&peer.have), any);
        }
        for piece in (0..self.layout.pieces()).map(PieceIndex) {
            assert_eq!(self.picker.availability(piece), self.availability(piece));
            assert_eq!(self.picker.priority(piece), self.priorities[piece.at()]);
        }
        for (piece, open) in &self.open {
            let given: Vec<_> = open.given.values().copied().collect();
            assert_eq!(self.picker.contributors(*piece).collect::<Vec<_>>(), given);
            for (begin, askers) in &open.asked {
                let block = self.layout.nth_block(*piece, begin / BLOCK_LEN);
                let asked: BTreeSet<_> = self.picker.asked(block).collect();
                assert_eq!(asked, *askers);
            }
        }
    }

    /// All are replaced by one seed, which delivers all that is missing.
    fn finish(&mut self) {
        while !self.peers.is_empty() {
            self.leave(0);
        }
        for piece in (0..self.layout.pieces()).map(PieceIndex) {
            let priority = self.priorities[piece.at()];
            self.prioritise(piece, priority.max(Priority::Low));
        }
        self.join(&Crowd::Everything);
        let blocks: usize = self.needed().map(|piece| self.complete_len(piece)).sum();
        let mut arrived = 0;
        while !self.picker.is_done() {
            self.pick(0, None, true);
            if let Some((peer, block)) = self.take_request(0, 0) {
                self.arrive(peer, block);
                arrived += 1;
            }
            self.hash(true, false);
            assert!(arrived <= blocks, "blocks are asked for again and again");
        }
        self.compare();
        assert_eq!(self.had.len(), self.layout.pieces() as usize);
    }
}

/// How much an open piece needs a peer, most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// The peer works on it.
    Own,
    /// Nobody works on it, or nothing is had yet.
    Left,
    /// Others work on it, and so many have it.
    Shared(u32),
}

/// What a peer could be given, one kind before the next.
#[derive(Debug, Default)]
struct Choices {
    /// Open pieces with a free block for this peer, with their priority and its claim.
    open: BTreeMap<PieceIndex, (Reverse<Priority>, Claim)>,
    /// Closed pieces it could open, with their priority and availability.
    closed: BTreeMap<PieceIndex, (Reverse<Priority>, u32)>,
    /// Pieces that another was to fetch alone and left.
    abandoned: BTreeSet<PieceIndex>,
    /// In the endgame: blocks asked of others, with how many those are.
    shared: BTreeMap<(PieceIndex, u32), usize>,
}

impl Choices {
    fn assert_none(&self) {
        assert!(self.open.is_empty(), "{self:?}");
        assert!(self.closed.is_empty(), "{self:?}");
        assert!(self.abandoned.is_empty(), "{self:?}");
        assert!(self.shared.is_empty(), "{self:?}");
    }

    fn assert_fit(&self, pick: Pick, sequential: bool, nothing_had: bool) {
        let piece = pick.block.piece;
        assert_eq!(
            pick.opens,
            self.closed.contains_key(&piece),
            "{pick:?} {self:?}"
        );
        if pick.duplicate {
            assert!(self.open.is_empty() && self.closed.is_empty() && self.abandoned.is_empty());
            let askers = self.shared.get(&(piece, pick.block.begin));
            assert_eq!(askers, self.shared.values().min(), "{pick:?} {self:?}");
            assert!(askers.is_some(), "{pick:?} {self:?}");
        } else if self.abandoned.contains(&piece) {
            assert!(self.open.is_empty() && self.closed.is_empty(), "{self:?}");
        } else if sequential {
            let open = self.open.iter();
            let open = open.map(|(piece, (priority, _))| (*priority, *piece));
            let closed = self.closed.iter();
            let closed = closed.map(|(piece, (priority, _))| (*priority, *piece));
            let first = open.chain(closed).min();
            assert_eq!(first.map(|(_, piece)| piece), Some(piece), "{self:?}");
        } else if pick.opens {
            let (priority, availability) = self.closed[&piece];
            let rarest = self.closed.values().min();
            let (highest, rarest) = rarest.expect("the piece that was picked");
            assert_eq!(priority, *highest, "{pick:?} {self:?}");
            assert!(nothing_had || availability == *rarest, "{pick:?} {self:?}");
            // A piece that others work on waits for rarer ones.
            let open = self.open.values().min();
            let bar = (priority, Claim::Shared(availability));
            assert!(open.is_none_or(|open| *open > bar), "{pick:?} {self:?}");
        } else {
            let mine = self.open.get(&piece).expect("an open piece");
            assert_eq!(Some(mine), self.open.values().min(), "{pick:?} {self:?}");
            let rarest = self.closed.values().min();
            let bar = rarest.map(|(priority, rarest)| (*priority, Claim::Shared(*rarest)));
            assert!(bar.is_none_or(|bar| *mine <= bar), "{pick:?} {self:?}");
        }
    }
}

//! Scenes of the picker.

use super::*;
use crate::base::id::Id;
use crate::meta::layout::{FileEntry, FileKind};
use alloc::vec;

const BLOCKS: u32 = 4;

fn picker(pieces: u32) -> Picker {
    let file = FileEntry {
        path: vec!["file".into()],
        len: u64::from(pieces * BLOCKS * BLOCK_LEN),
        offset: 0,
        kind: FileKind::Regular { executable: false },
    };
    let layout = Layout::new(BLOCKS * BLOCK_LEN, vec![file]).unwrap();
    Picker::new(Arc::new(layout), Rng::from_seed([9; 32]))
}

fn peer(number: u32) -> ConnId {
    ConnId(Id::from_parts(number, 0))
}

fn only(pieces: &[usize], len: usize) -> Bitfield {
    let mut have = Bitfield::new(len);
    for piece in pieces {
        have.insert(*piece);
    }
    have
}

/// Picks until nothing more is given.
fn drain(picker: &mut Picker, who: ConnId, have: &Bitfield) -> Vec<Pick> {
    core::iter::from_fn(|| picker.pick(who, have, true)).collect()
}

fn pieces_of(picks: &[Pick]) -> Vec<u32> {
    let opened = picks.iter().filter(|pick| pick.opens);
    opened.map(|pick| pick.block.piece.0).collect()
}

fn fetch(picker: &mut Picker, who: ConnId, piece: u32) {
    let have = only(&[piece as usize], picker.counts.len());
    for _ in 0..BLOCKS {
        let block = picker.pick(who, &have, true).unwrap().block;
        picker.arrived(who, block);
    }
    picker.verified(PieceIndex(piece));
}

fn prioritise(picker: &mut Picker, pieces: &[u32], priority: Priority) {
    for piece in pieces {
        picker.set_priority(PieceIndex(*piece), priority);
    }
}

/// Once something is had, pieces are opened by how few peers have them, and seeds change nothing
/// about the order.
#[test]
fn the_rarest_piece_is_opened_first() {
    let mut picker = picker(10);
    let seed = Bitfield::full(10);
    fetch(&mut picker, peer(0), 9);
    let _seed = picker.peer_joined(&seed);
    for crowd in [&[1, 2, 3][..], &[2, 3], &[3]] {
        let _counted = picker.peer_joined(&only(crowd, 10));
    }
    let order = pieces_of(&drain(&mut picker, peer(0), &seed));
    assert_eq!(order.len(), 9);
    assert_eq!(order[6..], [1, 2, 3]);
    assert_eq!(picker.availability(PieceIndex(3)), 4);
    assert_eq!(picker.distributed_copies(), 1300);
}

/// The rarest is found even where a peer has only what hundreds of rarer pieces stand before.
#[test]
fn the_rarest_piece_is_found_far_down_the_order() {
    let mut picker = picker(300);
    fetch(&mut picker, peer(0), 0);
    let most: Vec<usize> = (0..298).collect();
    for crowd in [&most[..], &[298], &[298], &[298, 299], &[299]] {
        let _counted = picker.peer_joined(&only(crowd, 300));
    }
    let order = pieces_of(&drain(&mut picker, peer(0), &only(&[298, 299], 300)));
    assert_eq!(order, [299, 298]);
}

/// Urgent pieces are opened first however common they are, unwanted ones never; within a priority
/// the rarest goes first.
#[test]
fn pieces_are_opened_by_priority_and_then_by_rarity() {
    let mut picker = picker(8);
    fetch(&mut picker, peer(0), 7);
    for crowd in [&[0, 1, 2, 3, 4, 5][..], &[0, 1, 2, 4], &[0, 2]] {
        let _counted = picker.peer_joined(&only(crowd, 8));
    }
    prioritise(&mut picker, &[0, 1], Priority::High);
    prioritise(&mut picker, &[4, 5], Priority::Low);
    prioritise(&mut picker, &[6], Priority::Unwanted);
    picker.check_invariant();
    let order = pieces_of(&drain(&mut picker, peer(0), &Bitfield::full(8)));
    assert_eq!(order, [1, 0, 3, 2, 5, 4]);
    assert_eq!(picker.priority(PieceIndex(6)), Priority::Unwanted);
}

/// The rarest urgent piece is found where a peer has none but that among hundreds of urgent ones.
#[test]
fn an_urgent_piece_is_found_far_down_the_order() {
    let mut picker = picker(400);
    fetch(&mut picker, peer(0), 0);
    let urgent: Vec<u32> = (100..400).collect();
    prioritise(&mut picker, &urgent, Priority::High);
    for _ in 0..3 {
        let _counted = picker.peer_joined(&only(&[1, 2, 398, 399], 400));
    }
    let _counted = picker.peer_joined(&only(&[398], 400));
    let rare: Vec<usize> = (3..398).collect();
    let _counted = picker.peer_joined(&only(&rare, 400));
    let order = pieces_of(&drain(&mut picker, peer(0), &only(&[1, 398, 399], 400)));
    assert_eq!(order, [399, 398, 1]);
}

/// Until one piece is had a random one is opened, but one of the most urgent.
#[test]
fn the_first_piece_is_one_of_the_most_urgent() {
    let first = |seed: u8| {
        let layout = picker(200).layout;
        let mut picker = Picker::new(layout, Rng::from_seed([seed; 32]));
        prioritise(&mut picker, &[3, 70, 150], Priority::High);
        let pick = picker.pick(peer(0), &Bitfield::full(200), true);
        pick.unwrap().block.piece.0
    };
    let chosen: BTreeSet<_> = (0..30).map(first).collect();
    assert_eq!(chosen, [3, 70, 150].into());
}

/// A started piece does not hold back a more urgent one; where no piece may be opened it goes on.
#[test]
fn an_urgent_piece_is_opened_before_others_are_gone_on_with() {
    let mut picker = picker(10);
    let have = Bitfield::full(10);
    let usual = picker.pick(peer(0), &have, true).unwrap().block.piece;
    let urgent = PieceIndex((usual.0 + 1) % 10);
    picker.set_priority(urgent, Priority::High);
    let kept = picker.pick(peer(0), &have, false).unwrap();
    assert_eq!(kept.block.piece, usual);
    let opened = picker.pick(peer(0), &have, true).unwrap();
    assert!(opened.opens && opened.block.piece == urgent);
    let lacking = only(&[usual.at()], 10);
    assert!(!picker.pick(peer(1), &lacking, true).unwrap().opens);
    let joined = picker.pick(peer(1), &have, true).unwrap();
    assert_eq!(joined.block.piece, urgent, "though it works on the other");
}

/// The blocks of open pieces follow a new priority at once; an unwanted piece gives none, keeps what
/// arrives, and can be taken apart or taken up again.
#[test]
fn open_pieces_follow_their_priority() {
    let mut picker = picker(2);
    let (older, newer) = (PieceIndex(0), PieceIndex(1));
    let asked = picker.pick(peer(0), &only(&[0], 2), true).unwrap().block;
    picker.pick(peer(0), &only(&[1], 2), true);
    let have = Bitfield::full(2);
    let next = |picker: &mut Picker, who| {
        picker.check_invariant();
        let block = picker.pick(peer(who), &have, true)?.block;
        picker.release(peer(who), block);
        Some(block.piece)
    };
    assert_eq!(next(&mut picker, 1), Some(older));
    picker.set_priority(newer, Priority::High);
    assert_eq!(next(&mut picker, 1), Some(newer));
    picker.set_priority(newer, Priority::Low);
    assert_eq!(next(&mut picker, 1), Some(older));
    picker.set_priority(older, Priority::Unwanted);
    assert_eq!(next(&mut picker, 1), Some(newer));
    assert!(picker.needs(peer(0), asked) && picker.missing_wanted() == 1);
    picker.set_priority(older, Priority::High);
    assert_eq!(next(&mut picker, 1), Some(older));

    picker.set_priority(older, Priority::Unwanted);
    let asked_of: Vec<ConnId> = picker.asked(asked).collect();
    assert_eq!(asked_of, [peer(0)]);
    picker.release(peer(0), asked);
    picker.close_piece(older);
    picker.set_had(newer);
    picker.check_invariant();
    assert!(picker.is_done() && next(&mut picker, 1).is_none());
    picker.set_priority(older, Priority::Low);
    assert!(!picker.is_done() && next(&mut picker, 1) == Some(older));
}

/// A piece that goes missing has the priority that it was given while it was had.
#[test]
fn had_pieces_keep_their_priority() {
    let mut picker = picker(3);
    (0..3).for_each(|piece| picker.set_had(PieceIndex(piece)));
    picker.set_priority(PieceIndex(2), Priority::High);
    picker.set_priority(PieceIndex(1), Priority::Unwanted);
    assert!(picker.is_done());
    (0..3).for_each(|piece| picker.set_missing(PieceIndex(piece)));
    picker.check_invariant();
    let order = pieces_of(&drain(&mut picker, peer(0), &Bitfield::full(3)));
    assert_eq!(order, [2, 0]);
}

/// Until one piece is had a random one is opened, and another seed chooses another.
#[test]
fn the_first_piece_is_random() {
    let have = Bitfield::full(200);
    let first = |seed: u8| {
        let layout = picker(200).layout;
        let mut picker = Picker::new(layout, Rng::from_seed([seed; 32]));
        let _rare = picker.peer_joined(&only(&(1..200).collect::<Vec<_>>(), 200));
        picker.pick(peer(0), &have, true).unwrap().block.piece
    };
    let chosen: BTreeSet<_> = (0..20).map(first).collect();
    assert!(chosen.len() > 15, "{chosen:?}");
    assert_eq!(first(3), first(3));
}

/// What two peers both have is fetched by both, piece by piece; each goes on with its own first.
#[test]
fn open_pieces_go_first_and_own_ones_before_those() {
    let mut picker = picker(50);
    let have = Bitfield::full(50);
    let first = picker.pick(peer(0), &have, true).unwrap();
    assert!(first.opens);
    let joined = picker.pick(peer(1), &have, true).unwrap();
    assert_eq!(joined.block.piece, first.block.piece);
    let mut without = have.clone();
    without.remove(first.block.piece.at());
    let second = picker.pick(peer(2), &without, true).unwrap();
    assert!(second.opens);
    let own = picker.pick(peer(2), &have, true).unwrap();
    assert_eq!(own.block.piece, second.block.piece);
}

/// A seed fetches what it alone has rather than help with what another gives; but what others left
/// is finished first, and what is equally rare they fetch together.
#[test]
fn no_peer_helps_with_a_piece_while_it_has_a_rarer_one() {
    let mut picker = picker(10);
    let (have, all) = (only(&[4], 10), Bitfield::full(10));
    fetch(&mut picker, peer(0), 9);
    let _counted = picker.peer_joined(&have);
    let common = picker.pick(peer(1), &have, true).unwrap();
    let rare = picker.pick(peer(2), &all, true).unwrap();
    assert!(rare.opens && rare.block.piece != common.block.piece);
    let joined = picker.pick(peer(3), &all, true).unwrap();
    assert_eq!(joined.block.piece, rare.block.piece);
    picker.release(peer(1), common.block);
    let finished = picker.pick(peer(4), &all, true).unwrap();
    assert_eq!(finished.block, common.block);
    picker.check_invariant();
}

/// Without leave to open, a peer works on open pieces alone.
#[test]
fn no_piece_is_opened_without_leave() {
    let mut picker = picker(50);
    let have = Bitfield::full(50);
    assert_eq!(picker.pick(peer(0), &have, false), None);
    for _ in 0..BLOCKS {
        picker.pick(peer(0), &have, true);
    }
    assert_eq!(picker.pick(peer(0), &have, false), None);
    picker.check_invariant();
}

/// A released block is given to the next who asks, and only once.
#[test]
fn a_void_request_frees_its_block() {
    let mut picker = picker(50);
    let have = Bitfield::full(50);
    let picks: Vec<_> = (0..BLOCKS)
        .filter_map(|_| picker.pick(peer(0), &have, true))
        .collect();
    picker.release(peer(0), picks[1].block);
    picker.release(peer(0), picks[1].block);
    picker.check_invariant();
    let again = picker.pick(peer(1), &have, true).unwrap();
    assert_eq!(again.block, picks[1].block);
    assert_eq!(
        picker.arrived(peer(1), again.block),
        Arrival::New {
            piece_complete: false
        }
    );
    picker.release(peer(1), again.block);
    assert!(picker.pick(peer(1), &have, true).unwrap().opens);
}

/// In the endgame a block goes to three peers at most, the least asked first; the one who brings
/// it is known and so are those to cancel.
#[test]
fn the_endgame_asks_a_few_and_knows_whom_to_cancel() {
    let mut picker = picker(1);
    let have = Bitfield::full(1);
    let first = drain(&mut picker, peer(0), &have);
    assert_eq!(first.len(), 4);
    let second = drain(&mut picker, peer(1), &have);
    assert!(second.len() == 4 && second.iter().all(|pick| pick.duplicate));
    let block = second[0].block;
    picker.release(peer(0), block);
    assert_eq!(picker.pick(peer(2), &have, true).unwrap().block, block);
    drain(&mut picker, peer(2), &have);
    assert_eq!(drain(&mut picker, peer(3), &have).len(), 1);
    assert_eq!(drain(&mut picker, peer(4), &have), []);
    picker.arrived(peer(2), block);
    assert_eq!(picker.asked(block).collect::<Vec<_>>(), [peer(1), peer(3)]);
    assert_eq!(picker.arrived(peer(1), block), Arrival::Unwanted);
    picker.release(peer(3), block);
    assert_eq!(picker.asked(block).count(), 0);
    assert_eq!(picker.contributors(PieceIndex(0)).next(), Some(peer(2)));
    picker.check_invariant();
}

/// With many pieces left to ask for, no block is asked for twice, even if a peer has nothing else.
#[test]
fn no_duplicates_before_the_endgame() {
    let mut picker = picker(50);
    let _seed = picker.peer_joined(&Bitfield::full(50));
    let have = only(&[7], 50);
    assert_eq!(drain(&mut picker, peer(0), &have).len(), 4);
    assert_eq!(picker.pick(peer(1), &have, true), None);
}

/// One peer does not ask again for all that others were asked for: a few blocks, and with each
/// that comes another.
#[test]
fn duplicates_are_few_at_a_time() {
    let mut picker = picker(4);
    let have = Bitfield::full(4);
    assert_eq!(drain(&mut picker, peer(0), &have).len(), 16);
    let again = drain(&mut picker, peer(1), &have);
    assert_eq!(again.len(), DUPLICATES_MAX);
    picker.arrived(peer(1), again[0].block);
    assert_eq!(drain(&mut picker, peer(1), &have).len(), 1);
}

/// Pieces that nobody has do not keep the endgame from the others.
#[test]
fn the_endgame_does_not_wait_for_what_nobody_has() {
    let mut picker = picker(50);
    let have = only(&[7], 50);
    let _counted = picker.peer_joined(&have);
    drain(&mut picker, peer(0), &have);
    assert!(picker.pick(peer(1), &have, true).unwrap().duplicate);
}

/// After a failure one peer alone fetches the piece; when it gives up, what it gave is void and
/// the next one begins anew, so that the blame is never divided.
#[test]
fn a_suspect_piece_has_one_contributor() {
    let mut picker = picker(1);
    let (have, piece) = (Bitfield::full(1), PieceIndex(0));
    for who in [peer(0), peer(1), peer(0), peer(1)] {
        let block = picker.pick(who, &have, true).unwrap().block;
        picker.arrived(who, block);
    }
    assert_eq!(picker.contributors(piece).count(), 4);
    picker.failed(piece, true);
    let kept = picker.pick(peer(2), &have, false).unwrap().block;
    let left = picker.pick(peer(2), &have, false).unwrap().block;
    assert_eq!(picker.pick(peer(3), &have, true), None);
    assert_eq!(picker.arrived(peer(3), left), Arrival::Unwanted);
    picker.arrived(peer(2), kept);
    picker.release(peer(2), left);
    picker.check_invariant();
    for _ in 0..BLOCKS {
        let block = picker.pick(peer(3), &have, false).unwrap().block;
        picker.arrived(peer(3), block);
    }
    assert!(picker.contributors(piece).all(|giver| giver == peer(3)));
}

/// A peer that fell silent after its last block came does not keep a suspect piece for ever.
#[test]
fn an_abandoned_suspect_piece_is_taken_over() {
    let mut picker = picker(1);
    let have = Bitfield::full(1);
    let block = picker.pick(peer(0), &have, true).unwrap().block;
    picker.failed(block.piece, true);
    let block = picker.pick(peer(0), &have, true).unwrap().block;
    picker.arrived(peer(0), block);
    assert_eq!(picker.pick(peer(1), &have, false).unwrap().block, block);
    assert_eq!(picker.contributors(block.piece).count(), 0);
    picker.check_invariant();
}

/// Sequential mode keeps to the priorities: the lowest urgent piece, then the lowest of the others.
#[test]
fn sequential_mode_keeps_to_the_priorities() {
    let mut picker = picker(6);
    let have = Bitfield::full(6);
    picker.set_sequential(true);
    let low = picker.pick(peer(0), &only(&[1], 6), true).unwrap().block;
    picker.release(peer(0), low);
    prioritise(&mut picker, &[1, 2], Priority::Low);
    prioritise(&mut picker, &[3, 5], Priority::High);
    let allowed = [4, 2, 3, 5].map(PieceIndex);
    let among = picker.pick_among(peer(0), &have, &allowed, true).unwrap();
    assert_eq!(among.block.piece, PieceIndex(3));
    picker.close_piece(PieceIndex(3));
    let picks = drain(&mut picker, peer(0), &have);
    let firsts = picks.iter().filter(|pick| pick.block.begin == 0);
    let order: Vec<u32> = firsts.map(|pick| pick.block.piece.0).collect();
    assert_eq!(order, [3, 5, 0, 4, 1, 2]);
}

/// Sequential mode takes the lowest piece, open or not, and skips what is not wanted.
#[test]
fn sequential_mode_goes_from_the_front() {
    let mut picker = picker(6);
    let have = Bitfield::full(6);
    picker.set_sequential(true);
    picker.set_had(PieceIndex(0));
    picker.set_priority(PieceIndex(2), Priority::Unwanted);
    let late = only(&[4], 6);
    picker.pick(peer(0), &late, true);
    let order = pieces_of(&drain(&mut picker, peer(0), &have));
    assert_eq!(order, [1, 3, 5]);
    assert!(picker.wants_from(&late) && !picker.wants_from(&only(&[0, 2], 6)));
}

/// Among the pieces allowed, too, the most urgent goes first and then the rarest.
#[test]
fn picks_among_a_few_pieces_keep_to_the_priorities() {
    let mut picker = picker(20);
    let have = Bitfield::full(20);
    for crowd in [&[2, 5, 9][..], &[2, 9], &[9]] {
        let _counted = picker.peer_joined(&only(crowd, 20));
    }
    prioritise(&mut picker, &[9, 11], Priority::High);
    prioritise(&mut picker, &[5], Priority::Low);
    let allowed = [5, 2, 9, 11].map(PieceIndex);
    let picks = core::iter::from_fn(|| picker.pick_among(peer(1), &have, &allowed, true));
    assert_eq!(pieces_of(&picks.collect::<Vec<_>>()), [11, 9, 2, 5]);
}

/// While choked only the pieces allowed are picked.
#[test]
fn picks_among_a_few_pieces_stay_among_them() {
    let mut picker = picker(20);
    let have = only(&[1, 2, 3], 20);
    picker.pick(peer(0), &only(&[5], 20), true);
    let allowed = [2, 5, 9].map(PieceIndex);
    for _ in 0..BLOCKS {
        let pick = picker.pick_among(peer(1), &have, &allowed, true).unwrap();
        assert_eq!(pick.block.piece, PieceIndex(2));
    }
    assert_eq!(picker.pick_among(peer(1), &have, &allowed, true), None);
}

/// What is lost, unwanted or closed changes sides at once, and a finished torrent keeps little.
#[test]
fn pieces_change_sides() {
    let mut picker = picker(2);
    let have = Bitfield::full(2);
    let pick = picker.pick(peer(0), &have, true).unwrap();
    let (open, other) = (pick.block.piece, PieceIndex(1 - pick.block.piece.0));
    picker.set_priority(open, Priority::Unwanted);
    picker.check_invariant();
    assert_ne!(picker.pick(peer(0), &have, true).unwrap().block.piece, open);
    picker.close_piece(open);
    picker.set_had(other);
    picker.check_invariant();
    assert!(picker.is_done() && picker.open_pieces().next().is_none());
    assert_eq!(picker.arrived(peer(0), pick.block), Arrival::Unwanted);
    picker.set_missing(other);
    assert_eq!(picker.missing_wanted(), 1);
    assert!(picker.pick(peer(0), &have, true).unwrap().opens);
    picker.check_invariant();
}

/// A peer that comes to have everything leaves no count behind when it goes.
#[test]
fn leaving_undoes_what_joining_and_gaining_did() {
    let mut picker = picker(3);
    let mut have = only(&[1], 3);
    let counted = picker.peer_joined(&have);
    for piece in [0, 2] {
        have.insert(piece);
        picker.peer_gained(&counted, PieceIndex(piece as u32));
    }
    assert_eq!(picker.distributed_copies(), 1000);
    picker.peer_left(counted, &have);
    let seed = picker.peer_joined(&have);
    picker.peer_left(seed, &have);
    assert_eq!(
        (picker.seeds, picker.counts.iter().collect()),
        (0, vec![0; 3])
    );
    picker.check_invariant();
}

/// A range that is no whole block of an open piece is nothing we asked for.
#[test]
fn odd_ranges_are_unwanted() {
    let mut picker = picker(1);
    let whole = picker
        .pick(peer(0), &Bitfield::full(1), true)
        .unwrap()
        .block;
    for (begin, len) in [(1, BLOCK_LEN), (0, 5), (0, 2 * BLOCK_LEN)] {
        let odd = Block {
            begin,
            len,
            ..whole
        };
        assert_eq!(picker.arrived(peer(0), odd), Arrival::Unwanted);
        picker.release(peer(0), odd);
    }
    assert_eq!(picker.asked(whole).count(), 1);
}

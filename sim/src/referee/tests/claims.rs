//! What is told to be had, and what is on the disk.

use super::*;

/// A piece counts once it was hashed right and written, and not before.
#[test]
fn a_piece_is_claimed_once_it_is_written() {
    let mut scene = Scene::leeching(MODERN);
    scene.hold(1);
    scene.say(&have(1));
    scene.assert_fair();

    let mut scene = Scene::leeching(MODERN);
    scene.hash(1);
    scene.say(&have(1));
    scene.assert_broken(Rule::FalseHave);

    let mut scene = Scene::leeching(MODERN);
    scene.hash_as([0xee; 20]);
    scene.write(1, Ok(()));
    scene.say(&have(1));
    scene.assert_broken(Rule::FalseHave);

    let mut scene = Scene::leeching(MODERN);
    scene.hash(1);
    scene.write(1, Err(no_space()));
    scene.say(&have(1));
    scene.assert_broken(Rule::FalseHave);

    let mut scene = Scene::leeching(MODERN);
    scene.say(&have(PIECES));
    scene.assert_broken(Rule::FalseHave);
}

/// What is found on the disk counts once it was hashed right, without being written; a wrong piece
/// that was found has to be written first.
#[test]
fn a_piece_that_was_found_counts_too() {
    let mut scene = Scene::silent(false);
    [2, 3].into_iter().for_each(|piece| scene.find(piece));
    scene.hash(2);
    scene.hash_as([0xee; 20]);
    scene.say(&scene.handshake(MODERN));
    scene.read(&scene.handshake(MODERN));
    scene.say(&bitfield(&[0b0010_0000]));
    scene.assert_fair();
    scene.hash(3);
    scene.say(&have(3));
    scene.assert_broken(Rule::FalseHave);
}

/// A bitfield and have-all are claims too.
#[test]
fn every_bit_is_a_claim() {
    let mut scene = Scene::greeted(MODERN);
    scene.say(&bitfield(&[0b1000_0000]));
    scene.assert_broken(Rule::FalseHave);
    let mut scene = Scene::greeted(MODERN);
    scene.say(HAVE_ALL);
    assert_eq!(scene.broken(), [Rule::FalseHave; PIECES as usize]);
}

#[test]
fn a_bitfield_fits_the_torrent() {
    for wrong in [&[0b0000_0100][..], &[], &[0, 0]] {
        let mut scene = Scene::greeted(MODERN);
        scene.say(&bitfield(wrong));
        scene.assert_broken(Rule::Bitfield);
    }
}

#[test]
fn a_piece_is_told_once() {
    let mut scene = Scene::leeching(MODERN);
    scene.hold(1);
    scene.say(&have(1));
    scene.say(&have(1));
    scene.assert_broken(Rule::RepeatedHave);
}

/// A piece must not be kept back, but for a few seconds or behind others.
#[test]
fn a_piece_is_told_soon() {
    let mut scene = Scene::leeching(MODERN);
    scene.hold(1);
    scene.hold(2);
    scene.wait(9);
    scene.say(KEEP_ALIVE);
    scene.wait(9);
    scene.say(&have(1));
    scene.assert_fair();
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::UntoldPiece);
}

/// Whoever looks again, or is given the torrent anew, has what it finds then.
#[test]
fn what_was_had_is_looked_at_again() {
    let again = |scene: &Scene| {
        let torrent = TorrentId(0);
        let add = Add::new(torrent, Arc::clone(&scene.torrent), "data");
        [Command::Recheck { torrent }, Command::Add(add)]
    };
    for at in 0..2 {
        let mut scene = Scene::silent(false);
        (0..PIECES).for_each(|piece| scene.hold(piece));
        let [recheck, add] = again(&scene);
        scene.input(Input::Command(if at == 0 { recheck } else { add }));
        (0..PIECES).for_each(|piece| scene.find(piece));
        [0, 1, 4].into_iter().for_each(|piece| scene.hash(piece));
        scene.say(&scene.handshake(MODERN));
        scene.read(&scene.handshake(MODERN));
        scene.say(&bitfield(&[0b1100_1000]));
        scene.read(&[HAVE_ALL, UNCHOKE].concat());
        scene.say(&[INTERESTED, &request(2, 0)].concat());
        scene.assert_fair();
        scene.say(&have(3));
        scene.assert_broken(Rule::FalseHave);
    }
}

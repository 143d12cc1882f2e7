//! What is told to be had, and what is on the disk.

use ripcurrent_proto::api::{Check, Found, FoundFile, FoundName, Stamp};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::resume::Resume;

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

/// What a full disk did not take counts once it is written: it is not hashed again.
#[test]
fn a_piece_may_wait_for_room() {
    let mut scene = Scene::leeching(MODERN);
    scene.hash(1);
    scene.write(1, Err(no_space()));
    scene.write(1, Ok(()));
    scene.say(&have(1));
    scene.assert_fair();
}

/// A piece that a state names is held where its file is as it was, and nowhere else; that our client
/// relies on what it saves is told once.
#[test]
fn states_are_believed_of_files_that_did_not_change() {
    let stamp = |modified| Stamp { len: 1, modified };
    for (seen, check, is_held) in [
        (Some(stamp(5)), Check::Existing, true),
        (Some(stamp(6)), Check::Existing, false),
        (None, Check::Existing, false),
        (Some(stamp(5)), Check::Full, false),
    ] {
        let mut scene = Scene::silent(false);
        let mut have = Bitfield::new(PIECES as usize);
        have.insert(2);
        let state = Resume {
            info_hash: scene.torrent.hashes().v1.unwrap(),
            clean: true,
            have: have.clone(),
            stamps: vec![Some(stamp(5))],
            open: Vec::new(),
        };
        let (op, storage) = (scene.op(), TorrentId(0));
        let state = Some(state.encode());
        scene.output(Output::Disk(Disk::Save {
            op,
            storage,
            state: state.clone(),
        }));
        assert_eq!(scene.referee.take_relied_on(), Some(have));
        assert_eq!(scene.referee.take_relied_on(), None);
        let add = Add {
            check,
            ..Add::new(TorrentId(0), Arc::clone(&scene.torrent), "data")
        };
        scene.input(Input::Command(Command::Add(add)));
        let name = FoundName::Part;
        let result = Ok(Found {
            files: vec![seen.map(|stamp| FoundFile { stamp, name })],
            aside: false,
            state,
        });
        let op = scene.op();
        scene.input(Input::Disk(DiskDone::Opened { op, result }));
        assert_eq!(
            scene.referee.held().contains(2),
            is_held,
            "{seen:?} {check:?}"
        );
        assert_eq!(scene.referee.held().count(), usize::from(is_held));
    }
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

//! What our client asks for.

use super::*;

/// The far end has everything, does not choke, and our client is interested.
fn asking(reserved: [u8; 8]) -> Scene {
    let mut scene = Scene::leeching(reserved);
    scene.read(UNCHOKE);
    scene
}

#[test]
fn nothing_is_asked_while_choked() {
    for reserved in [MODERN, PLAIN] {
        let mut scene = Scene::leeching(reserved);
        scene.say(&request(0, 0));
        scene.assert_broken(Rule::ChokedRequest);
    }
    let mut scene = asking(MODERN);
    scene.read(CHOKE);
    scene.say(KEEP_ALIVE);
    scene.say(&request(0, 0));
    scene.assert_broken(Rule::ChokedRequest);
}

/// A request may have been meant before the choke was read that came since the last words.
#[test]
fn a_request_may_cross_a_choke() {
    for reserved in [MODERN, PLAIN] {
        let mut scene = asking(reserved);
        scene.say(KEEP_ALIVE);
        scene.read(CHOKE);
        scene.say(&request(0, 0));
        scene.assert_fair();
    }
    // One that voids is as if it had not been said: the same is asked again in the same breath.
    let mut scene = asking(PLAIN);
    scene.say(&request(0, 1));
    scene.read(&[CHOKE, UNCHOKE].concat());
    scene.say(&[request(0, 0), request(0, 0), cancel(0, 1)].concat());
    scene.say(&request(0, 1));
    scene.assert_fair();
}

#[test]
fn what_is_allowed_fast_is_asked_while_choked() {
    let mut scene = Scene::leeching(MODERN);
    scene.read(&numbers(17, &[3]));
    scene.say(&request(3, 0));
    scene.assert_fair();
    scene.say(&request(2, 0));
    scene.assert_broken(Rule::ChokedRequest);
}

#[test]
fn nothing_is_asked_without_interest() {
    let mut scene = asking(MODERN);
    scene.say(&[NOT_INTERESTED, &request(0, 0)].concat());
    scene.assert_broken(Rule::UninterestedRequest);
}

/// Interest goes with what is missing: it may lag for some seconds, and for answers that are due.
#[test]
fn interest_follows_what_is_missing() {
    let downloading = || {
        let mut scene = Scene::silent(false);
        let add = Add::new(TorrentId(0), Arc::clone(&scene.torrent), "data");
        scene.input(Input::Command(Command::Add(add)));
        scene.say(&scene.handshake(MODERN));
        scene.read(&[&scene.handshake(MODERN)[..], HAVE_NONE].concat());
        scene.say(HAVE_NONE);
        scene
    };
    let mut scene = downloading();
    scene.wait(60);
    scene.read(&[&have(1), UNCHOKE].concat());
    scene.say(KEEP_ALIVE);
    scene.wait(30);
    scene.say(&[INTERESTED, &request(1, 0)].concat());
    scene.hold(1);
    scene.say(&have(1));
    scene.wait(60);
    scene.say(KEEP_ALIVE);
    scene.read(&piece(1, 0));
    scene.say(KEEP_ALIVE);
    scene.wait(20);
    scene.read(&have(2));
    scene.hold(2);
    scene.wait(20);
    scene.say(&have(2));
    scene.assert_fair();
    scene.wait(31);
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::StaleInterest);

    let mut scene = downloading();
    scene.read(&have(1));
    scene.say(KEEP_ALIVE);
    scene.wait(31);
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::StaleInterest);
}

/// What is allowed fast need not be there (BEP 6).
#[test]
fn only_what_the_far_end_has_is_asked() {
    let mut scene = Scene::greeted(MODERN);
    scene.say(&[HAVE_NONE, INTERESTED].concat());
    scene.read(&[bitfield(&[0b0100_0000]), have(4), numbers(17, &[3])].concat());
    scene.read(UNCHOKE);
    scene.say(&[request(1, 0), request(4, 0)].concat());
    scene.assert_fair();
    scene.say(&request(3, 0));
    scene.assert_broken(Rule::AbsentRequest);
}

/// Nobody asks for what is held, but the last block may come while a request is on its way out.
#[test]
fn what_is_held_is_not_asked() {
    let mut scene = asking(MODERN);
    scene.hold(0);
    scene.say(&[have(0), request(0, 0)].concat());
    scene.assert_fair();
    scene.say(&request(0, 1));
    scene.assert_broken(Rule::NeedlessRequest);
}

#[test]
fn whole_blocks_are_asked() {
    let mut scene = asking(MODERN);
    scene.say(&numbers(6, &[4, BLOCK, 100]));
    scene.assert_fair();
    for wrong in [
        [0, 0, 2 * BLOCK],
        [0, 2 * BLOCK, BLOCK],
        [PIECES, 0, BLOCK],
        [4, BLOCK, BLOCK],
        [0, 8, BLOCK],
        [0, 0, BLOCK / 2],
        [0, 0, 0],
    ] {
        let mut scene = asking(MODERN);
        scene.say(&numbers(6, &wrong));
        scene.assert_broken(Rule::BadRange);
    }
}

/// Once its answer is in, or it is withdrawn, a block may be asked for again.
#[test]
fn a_block_is_asked_once_at_a_time() {
    let mut scene = asking(MODERN);
    scene.say(&request(0, 0));
    scene.read(&reject(0, 0));
    scene.say(&request(0, 0));
    scene.read(&piece(0, 0));
    scene.say(&[request(0, 0), cancel(0, 0), request(0, 0)].concat());
    scene.assert_fair();
    scene.say(&request(0, 0));
    scene.assert_broken(Rule::DoubleRequest);
}

/// As many as the far end lets wait; with the fast extension what was withdrawn counts until its
/// answer.
#[test]
fn no_more_is_asked_than_the_far_end_lets_wait() {
    let mut scene = asking(MODERN);
    scene.read(&message(20, b"\0d4:reqqi3ee"));
    scene.say(KEEP_ALIVE);
    scene.say(&[request(0, 0), request(0, 1), request(1, 0), cancel(1, 0)].concat());
    scene.read(&piece(0, 1));
    scene.say(&request(1, 1));
    scene.assert_fair();
    scene.say(&request(2, 0));
    scene.assert_broken(Rule::TooManyRequests);

    let mut scene = asking(PLAIN);
    scene.say(&[request(0, 0), request(0, 1), cancel(0, 0)].concat());
    scene.assert_fair();
}

/// A limit that is read while requests are on their way out holds from the next words on.
#[test]
fn a_lower_limit_does_not_reach_back() {
    let mut scene = asking(MODERN);
    scene.say(KEEP_ALIVE);
    scene.read(&message(20, b"\0d4:reqqi1ee"));
    scene.say(&[request(0, 0), request(0, 1)].concat());
    scene.assert_fair();
    scene.say(&request(1, 0));
    scene.assert_broken(Rule::TooManyRequests);
}

/// A cancel may cross the answer; later it is one of nothing.
#[test]
fn what_is_out_is_withdrawn_once() {
    let mut scene = asking(MODERN);
    scene.say(&[request(0, 0), request(0, 1)].concat());
    scene.read(&piece(0, 0));
    scene.say(&[cancel(0, 0), cancel(0, 1)].concat());
    scene.assert_fair();
    scene.say(&cancel(0, 1));
    scene.say(&cancel(0, 0));
    scene.say(&cancel(3, 0));
    assert_eq!(scene.broken(), [Rule::IdleCancel; 3]);
}

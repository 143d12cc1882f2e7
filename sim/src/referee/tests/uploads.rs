//! What our client gives.

use super::*;

#[test]
fn blocks_are_asked_for_and_given_once() {
    for reserved in [MODERN, PLAIN] {
        let mut scene = Scene::seeding(reserved);
        scene.read(&[request(0, 0), request(0, 1)].concat());
        scene.say(&[piece(0, 1), piece(0, 0)].concat());
        scene.assert_fair();
        scene.say(&piece(0, 1));
        scene.assert_broken(Rule::UnaskedPiece);
    }
}

/// A withdrawn request has one answer with the fast extension, and none without.
#[test]
fn a_withdrawn_request_is_void_without_the_fast_extension() {
    let mut scene = Scene::seeding(PLAIN);
    scene.read(&[request(0, 0), cancel(0, 0)].concat());
    scene.say(&piece(0, 0));
    scene.assert_broken(Rule::UnaskedPiece);

    let mut scene = Scene::seeding(MODERN);
    scene.read(&[request(0, 0), cancel(0, 0), request(0, 1), cancel(0, 1)].concat());
    scene.say(&[piece(0, 0), reject(0, 1)].concat());
    scene.assert_fair();
    scene.say(&reject(0, 1));
    scene.assert_broken(Rule::IdleReject);
}

/// Without the fast extension a choke voids what was read before; requests that come behind an
/// unchoke in the same breath may stand.
#[test]
fn a_choke_voids_without_the_fast_extension() {
    let mut scene = Scene::seeding(PLAIN);
    scene.read(&request(0, 0));
    scene.say(CHOKE);
    scene.say(&[UNCHOKE, &piece(0, 0)].concat());
    scene.assert_broken(Rule::UnaskedPiece);

    let mut scene = Scene::seeding(PLAIN);
    scene.read(&request(0, 0));
    scene.say(KEEP_ALIVE);
    scene.read(&request(0, 1));
    scene.say(&[CHOKE, UNCHOKE, &piece(0, 1)].concat());
    scene.assert_fair();
    scene.say(&piece(0, 0));
    scene.assert_broken(Rule::UnaskedPiece);
}

#[test]
fn nothing_is_given_while_choking() {
    for reserved in [MODERN, PLAIN] {
        let mut scene = Scene::seeding(reserved);
        scene.say(CHOKE);
        scene.read(&request(0, 0));
        scene.say(&piece(0, 0));
        scene.assert_broken(Rule::ChokingPiece);
    }
    let mut scene = Scene::seeding(MODERN);
    scene.say(&[&numbers(17, &[1]), CHOKE].concat());
    scene.read(&request(1, 0));
    scene.say(&piece(1, 0));
    scene.assert_fair();
}

#[test]
fn blocks_have_the_length_that_was_asked_for() {
    let mut scene = Scene::seeding(MODERN);
    scene.read(&numbers(6, &[0, 0, 1000]));
    scene.say(&piece_of(0, 0, 1001));
    scene.assert_broken(Rule::PieceLength);
}

#[test]
fn blocks_are_of_pieces_that_are_held() {
    let mut scene = Scene::leeching(MODERN);
    scene.read(&[INTERESTED, &request(0, 0)].concat());
    scene.say(&[UNCHOKE, &piece(0, 0)].concat());
    scene.assert_broken(Rule::UnheldPiece);
}

/// With the fast extension a choke has every request rejected, at once or in the next words.
#[test]
fn a_choke_rejects_what_is_open() {
    let mut scene = Scene::seeding(MODERN);
    scene.read(&[request(0, 0), request(0, 1)].concat());
    scene.say(&[CHOKE, &reject(0, 0)].concat());
    scene.say(&reject(0, 1));
    scene.say(KEEP_ALIVE);
    scene.assert_fair();

    let mut scene = Scene::seeding(MODERN);
    scene.read(&[request(0, 0), request(0, 1)].concat());
    scene.say(&[CHOKE, &reject(0, 0)].concat());
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::Unanswered);
}

/// Behind a choke and an unchoke in one breath only those have to be rejected that were read before
/// the words before.
#[test]
fn a_choke_that_is_taken_back_rejects_what_was_open_before() {
    let mut scene = Scene::seeding(MODERN);
    scene.read(&request(0, 0));
    scene.say(KEEP_ALIVE);
    scene.read(&request(0, 1));
    scene.say(&[CHOKE, &reject(0, 0), UNCHOKE].concat());
    (0..5).for_each(|_| scene.say(KEEP_ALIVE));
    scene.say(&piece(0, 1));
    scene.assert_fair();

    let mut scene = Scene::seeding(MODERN);
    scene.read(&request(0, 0));
    scene.say(KEEP_ALIVE);
    scene.say(&[CHOKE, UNCHOKE].concat());
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::Unanswered);
}

#[test]
fn a_withdrawn_request_is_answered_with_the_fast_extension() {
    let mut scene = Scene::seeding(MODERN);
    scene.read(&[request(0, 0), cancel(0, 0)].concat());
    scene.say(KEEP_ALIVE);
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::Unanswered);
}

/// A request that more blocks pass by than can wait has been forgotten.
#[test]
fn no_request_is_passed_by_for_ever() {
    let mut scene = Scene::seeding(MODERN);
    scene.read(&request(1, 1));
    for _ in 0..500 {
        scene.read(&request(0, 0));
        scene.say(&piece(0, 0));
    }
    scene.assert_fair();
    scene.read(&request(0, 0));
    scene.say(&piece(0, 0));
    scene.assert_broken(Rule::Unanswered);
}

/// Without the fast extension requests may be ignored, any number of them, and one that was kept
/// among them may be served.
#[test]
fn a_flood_may_be_ignored() {
    let mut scene = Scene::seeding(PLAIN);
    for begin in 0..3000 {
        scene.read(&numbers(6, &[0, begin, 16]));
    }
    scene.say(&[piece_of(0, 0, 16), piece_of(0, 2999, 16)].concat());
    scene.assert_fair();
}

/// Only requests are rejected, and only where both sides know rejections.
#[test]
fn rejections_answer_requests() {
    let mut scene = Scene::seeding(MODERN);
    scene.say(&reject(0, 0));
    scene.assert_broken(Rule::IdleReject);
    let mut scene = Scene::seeding(PLAIN);
    scene.read(&request(0, 0));
    scene.say(&reject(0, 0));
    scene.assert_broken(Rule::NotFast);
}

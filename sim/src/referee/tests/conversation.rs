//! Handshakes, frames, what was offered, silence, and who is spoken to.

use super::*;

#[test]
fn a_fair_conversation_breaks_no_rule() {
    let mut scene = Scene::leeching(MODERN);
    scene.read(UNCHOKE);
    scene.say(&[request(0, 0), request(0, 1), request(4, 0)].concat());
    scene.read(&[piece(0, 0), reject(0, 1)].concat());
    scene.say(&cancel(4, 0));
    scene.wait(100);
    scene.say(KEEP_ALIVE);
    scene.read(&piece(4, 0));
    scene.hold(4);
    scene.say(&have(4));
    scene.read(&[INTERESTED, &request(4, 0), &request(4, 0)].concat());
    scene.say(&[UNCHOKE, &piece(4, 0), &reject(4, 0)].concat());
    scene.say(&[NOT_INTERESTED, CHOKE].concat());
    scene.assert_fair();
    let traffic = scene.referee.traffic()[&far().ip()];
    assert_eq!((traffic.down, traffic.up), (2 * 16_384, 16_384));
}

#[test]
fn another_protocol_is_no_handshake() {
    let mut scene = Scene::silent(false);
    scene.say(b"\x13Bittorrent");
    scene.assert_broken(Rule::Handshake);
}

#[test]
fn the_handshake_offers_what_the_client_has() {
    let mut scene = Scene::silent(false);
    scene.say(&scene.handshake([0, 0, 0, 0, 0, 0x10, 0, 0x05]));
    scene.assert_broken(Rule::Handshake);
}

#[test]
fn the_handshake_names_the_torrent() {
    let mut scene = Scene::silent(false);
    let mut handshake = scene.handshake(MODERN);
    handshake[30] ^= 1;
    scene.say(&handshake);
    scene.assert_broken(Rule::Handshake);
}

/// One client has one peer id.
#[test]
fn the_peer_id_stays() {
    let mut scene = Scene::greeted(MODERN);
    scene.input(Input::Closed { conn: CONN });
    scene.referee.accept(scene.now, far());
    scene.read(&scene.handshake(MODERN));
    let mut handshake = scene.handshake(MODERN);
    handshake[67] ^= 1;
    scene.say(&handshake);
    scene.assert_broken(Rule::PeerId);
}

#[test]
fn another_torrent_is_severed() {
    let mut scene = Scene::silent(false);
    scene.say(&scene.handshake(MODERN));
    let mut handshake = scene.handshake(MODERN);
    handshake[30] ^= 1;
    scene.read(&handshake);
    scene.assert_fair();
    scene.say(HAVE_NONE);
    scene.assert_broken(Rule::Severed);
}

#[test]
fn nothing_is_said_before_the_far_end_has_offered() {
    let mut scene = Scene::silent(false);
    scene.say(&scene.handshake(MODERN));
    scene.say(KEEP_ALIVE);
    scene.assert_broken(Rule::EarlyMessage);
}

#[test]
fn ids_and_lengths_are_known_ones() {
    for wrong in [message(99, b"x"), message(2, b"x"), message(6, &[0; 11])] {
        let mut scene = Scene::leeching(MODERN);
        scene.say(&wrong);
        scene.assert_broken(Rule::Frame);
    }
}

#[test]
fn what_is_had_comes_first_and_once() {
    let mut scene = Scene::leeching(MODERN);
    scene.say(HAVE_NONE);
    scene.assert_broken(Rule::FirstMessage);
    let mut scene = Scene::greeted(MODERN);
    scene.say(INTERESTED);
    scene.assert_broken(Rule::FirstMessage);
    let mut scene = Scene::leeching(PLAIN);
    scene.say(&bitfield(&[0]));
    scene.assert_broken(Rule::FirstMessage);
}

/// Without the fast extension a bitfield may be left out, but by those who have something.
#[test]
fn a_bitfield_is_left_out_by_who_has_nothing() {
    let mut scene = Scene::greeted(PLAIN);
    scene.say(INTERESTED);
    scene.assert_fair();
    let mut scene = Scene::silent(false);
    scene.hold(0);
    scene.say(&scene.handshake(MODERN));
    scene.read(&scene.handshake(PLAIN));
    scene.say(UNCHOKE);
    scene.assert_broken(Rule::FirstMessage);
}

#[test]
fn messages_of_extensions_need_both_sides() {
    for wrong in [HAVE_NONE.to_vec(), numbers(13, &[0]), numbers(17, &[0])] {
        let mut scene = Scene::greeted(PLAIN);
        scene.say(&[INTERESTED, &wrong].concat()[if wrong == HAVE_NONE { 5 } else { 0 }..]);
        scene.assert_broken(Rule::NotFast);
    }
    let mut scene = Scene::leeching(MODERN);
    scene.say(&message(9, &[0x1a, 0xe1]));
    scene.say(&message(21, &[0; 48]));
    assert_eq!(scene.broken(), [Rule::NotOffered, Rule::NotOffered]);
    let mut scene = Scene::leeching(PLAIN);
    scene.say(&message(20, b"\0de"));
    scene.assert_broken(Rule::NotExtended);
}

/// Extended messages go out behind the handshake, under the ids that the far end gave.
#[test]
fn extended_messages_have_the_far_ends_ids() {
    let mut scene = Scene::leeching(MODERN);
    scene.say(&message(20, b"\0de"));
    scene.read(&message(20, b"\0d1:md6:ut_pexi7eee"));
    scene.say(&message(20, b"\x07de"));
    scene.assert_fair();
    scene.say(&message(20, b"\x08de"));
    scene.assert_broken(Rule::NotExtended);
    let mut scene = Scene::leeching(MODERN);
    scene.read(&message(20, b"\0d1:md6:ut_pexi7eee"));
    scene.say(&message(20, b"\x07de"));
    scene.assert_broken(Rule::NotExtended);
}

#[test]
fn states_are_said_when_they_change() {
    for (before, repeated) in [
        (None, CHOKE),
        (Some(UNCHOKE), UNCHOKE),
        (None, INTERESTED),
        (Some(NOT_INTERESTED), NOT_INTERESTED),
    ] {
        let mut scene = Scene::leeching(MODERN);
        before.into_iter().for_each(|before| scene.say(before));
        scene.say(repeated);
        scene.assert_broken(Rule::RepeatedState);
    }
}

/// Two minutes of silence are too much, unless what was said last is still on its way, the far end
/// has gone, or the client was not called in that time at all.
#[test]
fn something_is_said_every_two_minutes() {
    let mut scene = Scene::leeching(MODERN);
    scene.wait(120);
    scene.say(KEEP_ALIVE);
    scene.wait(500);
    scene.say(KEEP_ALIVE);
    scene.assert_fair();
    scene.wait(121);
    scene.wait(1);
    scene.read(KEEP_ALIVE);
    scene.assert_broken(Rule::Silence);

    let mut scene = Scene::leeching(MODERN);
    scene.wait(121);
    scene.wait(1);
    scene.referee.end(scene.now);
    scene.assert_broken(Rule::Silence);

    let mut scene = Scene::leeching(MODERN);
    scene.begin_to_say(KEEP_ALIVE);
    scene.wait(121);
    scene.wait(1);
    scene.read(KEEP_ALIVE);
    scene.assert_fair();
}

/// In a private swarm peers are dialled where a tracker says, in whichever form, or people.
#[test]
fn private_swarms_are_joined_by_the_tracker() {
    let lists = [
        &b"d5:peers6:\x0a\x01\x00\x09\x1a\xe1e"[..],
        b"d5:peersld2:ip8:10.1.0.94:porti6881eeee",
    ];
    for list in lists {
        let mut scene = Scene::silent(true);
        let conn = ConnId(Id::from_parts(0, 0));
        let to = "10.0.0.1:80".parse().unwrap();
        scene.output(Output::Net(Net::Connect {
            conn,
            to,
            tls: None,
        }));
        let mut transmission = Transmission::default();
        transmission.push_head(|head| head.extend_from_slice(b"GET /announce HTTP/1.1\r\n\r\n"));
        scene.output(Output::Net(Net::Transmit { conn, transmission }));
        for part in [b"HTTP/1.1 200 OK\r\n\r\n", list] {
            let data = &mut part.to_vec()[..];
            scene.input(Input::Received { conn, data });
        }
        scene.say(&scene.handshake(MODERN));
        scene.assert_fair();
    }
    let mut scene = Scene::silent(true);
    scene.say(&scene.handshake(MODERN));
    scene.assert_broken(Rule::StrangeAddress);
}

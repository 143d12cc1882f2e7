//! Sessions against a server in memory, their bytes cut and changed at will.

use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use ripcurrent_proto::api::TlsError;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use super::roots::config;
use super::session::SEALED_MAX;
use super::{BadRoots, End, Roots, Session};

#[path = "../../tests/common/tls.rs"]
mod far_end;

use far_end::{Authority, Valid};

const NAME: &str = "tracker.test";

/// A session and the server that it speaks to, `cut` bytes at a time.
struct Scene {
    session: Session,
    server: ServerConnection,
    cut: usize,
    /// What the server has received.
    heard: Vec<u8>,
    /// What the session has received.
    got: Vec<u8>,
}

impl Scene {
    /// A server that is `names`, asked to be [`NAME`].
    fn new(names: &[&str], valid: Valid, cut: usize) -> Self {
        let authority = Authority::new();
        let mut server = ServerConfig::clone(&authority.server(names, valid));
        server.send_tls13_tickets = 4;
        Scene::of(&authority, server, cut)
    }

    fn of(trusted: &Authority, server: ServerConfig, cut: usize) -> Self {
        let Roots(extra) = Roots::from_pem(trusted.pem().as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(extra);
        Scene {
            session: Session::new(config(roots).unwrap(), NAME).unwrap(),
            server: ServerConnection::new(Arc::new(server)).unwrap(),
            cut,
            heard: Vec::new(),
            got: Vec::new(),
        }
    }

    fn good(cut: usize) -> Self {
        let mut scene = Scene::new(&[NAME], Valid::Now, cut);
        scene.run();
        assert!(scene.session.is_made() && !scene.server.is_handshaking());
        scene
    }

    /// Lets all bytes pass that either side has for the other.
    fn run(&mut self) {
        loop {
            let mut there = Vec::new();
            self.session.take_sealed(&mut there);
            there.chunks(self.cut).for_each(|part| self.hear(part));
            let back = self.spoken();
            if there.is_empty() && back.is_empty() {
                return;
            }
            back.chunks(self.cut).for_each(|part| self.tell(part));
        }
    }

    /// Lets the server hear this; what the session does wrong is seen there.
    fn hear(&mut self, mut part: &[u8]) {
        while !part.is_empty() && self.server.process_new_packets().is_ok() {
            self.server.read_tls(&mut part).unwrap();
            let _ = self.server.process_new_packets();
            let _ = self.server.reader().read_to_end(&mut self.heard);
        }
    }

    /// What the server says now.
    fn spoken(&mut self) -> Vec<u8> {
        let mut back = Vec::new();
        while self.server.wants_write() {
            self.server.write_tls(&mut back).unwrap();
        }
        back
    }

    fn tell(&mut self, bytes: &[u8]) {
        self.session.unseal(bytes);
        self.got
            .extend_from_slice(self.session.take_plain(u64::MAX));
    }

    /// Has the session send all of `bytes`.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let len = self.session.seal(&[IoSlice::new(bytes)]);
            assert!(len > 0, "there is room after all was taken");
            bytes = &bytes[len..];
            self.run();
        }
    }
}

fn made(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 / 3) as u8).collect()
}

/// However its bytes are cut, a conversation comes to the same, also when the server speaks on its
/// own account in the midst of it: tickets after the handshake, new keys that must be answered.
#[test]
fn a_conversation_however_it_is_cut() {
    for cut in [1, 2, 5, 1000, 1 << 20] {
        let mut scene = Scene::good(cut);
        let (question, answer) = (made(40_000), made(50_000));
        scene.send(&question);
        scene.server.refresh_traffic_keys().unwrap();
        for part in answer.chunks(9_000) {
            scene.server.writer().write_all(part).unwrap();
            scene.run();
        }
        scene.send(b"more");
        assert!(scene.got == answer, "cut {cut}");
        assert!(
            scene.heard == [&question[..], b"more"].concat(),
            "cut {cut}"
        );
        assert_eq!(scene.session.end(), None);
    }
}

/// Nothing of ours is sealed for somebody who has proven nothing, and little ahead of the socket.
#[test]
fn nothing_is_sealed_too_early_or_too_much() {
    let mut scene = Scene::new(&[NAME], Valid::Now, 100);
    assert_eq!(scene.session.seal(&[IoSlice::new(b"secret")]), 0);
    scene.run();
    let much = made(10 * SEALED_MAX);
    let mut sealed = 0;
    while let len @ 1.. = scene.session.seal(&[IoSlice::new(&much[sealed..])]) {
        sealed += len;
    }
    assert!(sealed <= SEALED_MAX, "{sealed}");
    scene.run();
    assert!(scene.heard == much[..sealed]);
}

/// What is unsealed waits for credit, and comes in order.
#[test]
fn what_is_unsealed_waits_to_be_taken() {
    let mut scene = Scene::good(1 << 20);
    scene.server.writer().write_all(&made(5_000)).unwrap();
    let spoken = scene.spoken();
    scene.session.unseal(&spoken);
    let mut got = Vec::new();
    for most in [0, 1, 999, 0, 2_000, 9_000] {
        assert!(scene.session.has_plain());
        got.extend_from_slice(scene.session.take_plain(most));
    }
    assert!(!scene.session.has_plain() && got == made(5_000));
}

/// Only a goodbye is an orderly end; what came before it can be taken all the same.
#[test]
fn an_end_without_goodbye_is_none() {
    let mut scene = Scene::good(10);
    scene.server.writer().write_all(b"half").unwrap();
    scene.run();
    scene.session.cut_off();
    assert_eq!(scene.got, b"half");
    assert_eq!(scene.session.end(), Some(End::Broken(TlsError::CutOff)));

    let mut scene = Scene::good(10);
    scene.server.writer().write_all(b"whole").unwrap();
    scene.server.send_close_notify();
    scene.run();
    scene.session.cut_off();
    assert_eq!(scene.got, b"whole");
    assert_eq!(scene.session.end(), Some(End::Goodbye));
    // The other direction is open still, until we say goodbye too.
    scene.send(b"thanks");
    scene.session.say_goodbye();
    scene.run();
    assert_eq!(scene.heard, b"thanks");
}

/// Whoever cannot prove to be the one that was asked for is never spoken to, and hears why.
#[test]
fn who_proves_nothing_is_not_believed() {
    for (names, valid, error) in [
        ("other.test", Valid::Now, TlsError::WrongName),
        (NAME, Valid::Before, TlsError::Expired),
        (NAME, Valid::Later, TlsError::NotYetValid),
    ] {
        let mut scene = Scene::new(&[names], valid, 100);
        scene.run();
        assert_eq!(scene.session.end(), Some(End::Broken(error)));
        assert_eq!(scene.session.seal(&[IoSlice::new(b"secret")]), 0);
        assert!(
            scene.server.process_new_packets().is_err(),
            "it got an alert"
        );
    }
    let server = Authority::new().server(&[NAME], Valid::Now);
    let mut scene = Scene::of(&Authority::new(), ServerConfig::clone(&server), 100);
    scene.run();
    let unknown = End::Broken(TlsError::UnknownIssuer);
    assert_eq!(scene.session.end(), Some(unknown));
}

/// What is not TLS, breaks its rules or never ends is an error, at once or soon.
#[test]
fn noise_ends_a_session() {
    let broken = |error| Some(End::Broken(error));
    let alert = [21, 3, 3, 0, 2, 2, 40];
    let oversized = [22, 3, 3, 0xff, 0xff];
    for (noise, error) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], TlsError::NotTls),
        (&oversized, TlsError::NotTls),
        (&alert, TlsError::Alert(40)),
    ] {
        let mut scene = Scene::new(&[NAME], Valid::Now, 1);
        noise.chunks(1).for_each(|byte| scene.tell(byte));
        assert_eq!(scene.session.end(), broken(error));
    }

    // A message of 16 MiB, announced in good form.
    let mut scene = Scene::new(&[NAME], Valid::Now, 1);
    scene.tell(&[22, 3, 3, 0x40, 0, 2, 0xff, 0xff, 0xff]);
    scene.tell(&[0; 0x4000 - 4]);
    let mut told = 0x4000;
    while scene.session.end().is_none() {
        scene.tell(&[22, 3, 3, 0x40, 0]);
        scene.tell(&[0; 0x4000]);
        told += 0x4000;
        assert!(told <= 128 << 10, "it goes on for ever");
    }
}

/// Whoever changes a byte between the two ends is found out, and nothing of it is believed.
#[test]
fn a_changed_byte_is_found_out() {
    let mut scene = Scene::good(1000);
    scene.server.writer().write_all(&made(100)).unwrap();
    let mut spoken = scene.spoken();
    *spoken.last_mut().unwrap() ^= 1;
    scene.tell(&spoken);
    let violation = End::Broken(TlsError::Violation);
    assert_eq!(scene.session.end(), Some(violation));
    assert!(scene.got.is_empty());
    // Whatever comes after it is nobody's concern.
    scene.tell(&spoken);
    assert!(scene.got.is_empty());
}

/// Without anybody to believe, or with a name that cannot be proven, nothing is begun.
#[test]
fn what_cannot_be_verified_is_not_begun() {
    let none = config(RootCertStore::empty());
    assert_eq!(none.err(), Some(TlsError::NoRoots));
    let Roots(extra) = Roots::from_pem(Authority::new().pem().as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(extra);
    let config = config(roots).unwrap();
    for name in ["", "a b", "a..b", "-"] {
        let begun = Session::new(Arc::clone(&config), name);
        assert_eq!(begun.err(), Some(TlsError::BadName), "{name}");
    }
}

/// A file may hold several certificates among other things; what holds none is refused.
#[test]
fn roots_are_read_from_pem() {
    let [one, other] = [(); 2].map(|()| Authority::new().pem());
    let Roots(both) = Roots::from_pem(format!("# one\n{one}\nother\n{other}").as_bytes()).unwrap();
    assert_eq!(both.len(), 2);
    assert!(matches!(Roots::from_pem(b"nothing"), Err(BadRoots::None)));
    let cut = &one.as_bytes()[..one.len() / 2];
    assert!(matches!(Roots::from_pem(cut), Err(BadRoots::Pem(_))));
}

//! Connections in and out.

use std::io::Read;
use std::os::fd::AsRawFd;

use super::*;
use crate::doors::REST;
use crate::uring::scripted::MORE;

impl Scene {
    /// A backend that listens, and the entry that lets people in.
    pub(super) fn listening() -> (Self, Sqe) {
        let mut scene = Scene::new();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let fd = listener.as_raw_fd();
        scene.uring.listen(listener).unwrap();
        assert_eq!(scene.turn(), [Heard::Bound]);
        let accept = scene.script.take(opcode::Accept::CODE);
        assert_eq!(accept.fd, fd);
        (scene, accept)
    }

    /// The only one who has come in.
    fn newcomer(&mut self) -> ConnId {
        match self.turn()[..] {
            [Heard::Accepted(conn)] => conn,
            ref other => panic!("{other:?}"),
        }
    }
}

/// One entry lets everybody in, each under an id of their own; whoever has gone again is passed over.
#[test]
fn one_entry_lets_everybody_in() {
    let (mut scene, accept) = Scene::listening();
    let mut near = Vec::new();
    for _ in 0..3 {
        let (stream, fd) = connection();
        near.push(stream);
        scene.script.complete(&accept, fd, MORE);
    }
    scene.script.complete(&accept, orphan(), MORE);
    let heard = scene.turn();
    assert_eq!(heard.len(), 3);
    assert!(heard.iter().all(|one| matches!(one, Heard::Accepted(_))));
    assert!(scene.is_idle(opcode::Accept::CODE), "it goes on");
    let (_stream, fd) = connection();
    scene.script.complete(&accept, fd, 0);
    scene.newcomer();
    assert_eq!(scene.script.take(opcode::Accept::CODE).fd, accept.fd);
}

/// Whom the machine refuses sees an end, and nothing else.
#[test]
fn who_is_refused_sees_an_end() {
    let (mut scene, accept) = Scene::listening();
    scene.probe.refuses = true;
    let (mut near, fd) = connection();
    scene.script.complete(&accept, fd, MORE);
    assert_eq!(scene.turn(), []);
    assert_eq!(near.read(&mut [0; 10]).unwrap(), 0);
}

/// Who comes in can be heard, and goes like any other.
#[test]
fn who_comes_in_is_heard() {
    let (mut scene, accept) = Scene::listening();
    let (mut near, fd) = connection();
    scene.script.complete(&accept, fd, MORE);
    let conn = scene.newcomer();
    scene.credit(conn, 10);
    scene.turn();
    let receive = scene.script.take(opcode::Recv::CODE);
    assert_eq!(receive.fd, fd);
    scene.script.receive(&receive, &[1], 0);
    assert_eq!(scene.turn(), [Heard::Received(conn, vec![1])]);
    let receive = scene.script.take(opcode::Recv::CODE);
    scene.close(conn);
    scene.turn();
    assert_eq!(
        near.read(&mut [0; 10]).unwrap(),
        0,
        "it is shut down before it has landed"
    );
    scene.script.complete(&receive, 0, 0);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
}

/// A door at which somebody could not be let in is opened again: at once where that was theirs, after
/// a rest where it was the system's, never where nobody listens there.
#[test]
fn a_door_rests_after_every_error() {
    for errno in 1..=133 {
        let (mut scene, accept) = Scene::listening();
        scene.script.complete(&accept, -errno, 0);
        assert_eq!(scene.turn(), []);
        let at_once = scene.script.find(opcode::Accept::CODE).is_some();
        let passing = [libc::ECONNABORTED, libc::EINTR, libc::EAGAIN].contains(&errno);
        assert_eq!(at_once, passing, "{errno}");
        let now = scene.uring.now;
        scene.uring.now = now + REST;
        assert_eq!(scene.turn(), []);
        let rested = scene.script.find(opcode::Accept::CODE).is_some();
        assert_eq!(rested, !at_once && errno != libc::EINVAL, "{errno}");
    }
}

/// While a door rests the loop wakes up to open it, and not before.
#[test]
fn the_loop_wakes_up_to_open_a_door() {
    use crate::uring::kernel::Wait;

    let (mut scene, accept) = Scene::listening();
    scene.script.complete(&accept, -libc::EMFILE, 0);
    scene.turn();
    scene.script.entered();
    scene.uring.enter(false, None).unwrap();
    match scene.script.entered()[..] {
        [(true, Wait::For(Some(rest)))] => assert!(rest <= REST),
        ref other => panic!("{other:?}"),
    }
}

/// Every error of a connect ends the connection, is told once and with its number.
#[test]
fn every_error_of_a_connect_is_told() {
    for errno in 1..=133 {
        let mut scene = Scene::new();
        let (conn, connect) = scene.dial();
        scene.script.complete(&connect, -errno, 0);
        assert_eq!(scene.turn(), [Heard::Ended(conn, failed(errno))]);
        scene.close(conn);
        assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    }
}

/// Credit that is given before a connection is made counts when it is.
#[test]
fn credit_may_come_before_the_connection() {
    let mut scene = Scene::new();
    let (conn, connect) = scene.dial();
    scene.credit(conn, 10);
    assert_eq!(scene.turn(), []);
    assert!(scene.is_idle(opcode::Recv::CODE));
    scene.script.complete(&connect, 0, 0);
    assert_eq!(scene.turn(), [Heard::Connected(conn)]);
    assert_eq!(scene.script.take(opcode::Recv::CODE).len, 10);
}

/// A close cancels a connect; whatever that comes to, only the last word is said.
#[test]
fn a_close_cancels_a_connect() {
    for result in [0, -libc::ECANCELED, -libc::ECONNREFUSED] {
        let mut scene = Scene::new();
        let (conn, connect) = scene.dial();
        scene.close(conn);
        assert_eq!(scene.turn(), []);
        assert_eq!(scene.take_cancel_on_fd().fd, connect.fd);
        scene.script.complete(&connect, result, 0);
        assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    }
}

/// A connection that cannot even be tried ends, and can be closed.
#[test]
fn what_is_forbidden_ends() {
    let mut scene = Scene::new();
    let conn = ConnId(scene.probe.conns.insert(()));
    // A documentation address (RFC 5737): nobody's, and not loopback.
    let to = SocketAddr::from(([192, 0, 2, 1], 80));
    let tls = None;
    scene.ask(Net::Connect { conn, to, tls });
    assert_eq!(scene.turn(), [Heard::Ended(conn, failed(libc::EACCES))]);
    scene.close(conn);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    assert!(scene.is_idle(opcode::Connect::CODE));
}

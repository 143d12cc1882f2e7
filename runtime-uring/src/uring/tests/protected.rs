//! Protected connections, as far as the kernel may disturb them; what they say is tested elsewhere.

use ripcurrent_proto::api::TlsError;

use super::*;
use crate::uring::tests::sending::bytes;

/// A certificate to believe, so that somebody can be.
fn roots() -> Roots {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Roots::from_pem(pem.as_bytes()).unwrap()
}

/// A protected connection in the making: its id, the entry of its connect.
fn dial() -> (Scene, ConnId, Sqe) {
    let mut scene = Scene::on(Scripted::default(), roots());
    let conn = ConnId(scene.probe.conns.insert(()));
    let to = SocketAddr::from(([127, 0, 0, 1], 9));
    let tls = Some("nobody.test".into());
    scene.ask(Net::Connect { conn, to, tls });
    // The roots are read on a thread, which rings when it has.
    loop {
        assert_eq!(scene.turn(), []);
        if let Some(connect) = scene.script.find(opcode::Connect::CODE) {
            return (scene, conn, connect);
        }
        std::thread::yield_now();
    }
}

/// One that has begun to speak: the entry of its first send as well.
fn speaking() -> (Scene, ConnId, Sqe) {
    let (mut scene, conn, connect) = dial();
    scene.script.complete(&connect, 0, 0);
    assert_eq!(scene.turn(), [], "nobody has proven anything");
    let send = scene.script.take(opcode::Send::CODE);
    (scene, conn, send)
}

/// What TLS has to say goes out whole, however short the sends are; it is read for without credit.
#[test]
fn short_sends_are_taken_up_where_they_broke_off() {
    let (mut scene, _, mut send) = speaking();
    let receive = scene.script.take(opcode::Recv::CODE);
    assert_eq!((receive.len, receive.ioprio), (16 << 10, 0));
    let due = bytes(&send);
    let mut sent = Vec::new();
    while sent.len() < due.len() {
        let rest = bytes(&send);
        let now = rest.len().min(100);
        sent.extend_from_slice(&rest[..now]);
        scene.script.complete(&send, now as i32, 0);
        assert_eq!(scene.turn(), []);
        if sent.len() < due.len() {
            send = scene.script.take(opcode::Send::CODE);
        }
    }
    assert_eq!(sent, due);
    assert!(scene.is_idle(opcode::Send::CODE));
}

/// A send or a receive that fails ends the connection once, with its number.
#[test]
fn errors_of_the_stream_are_told() {
    let (mut scene, conn, send) = speaking();
    scene.script.complete(&send, -libc::EPIPE, 0);
    assert_eq!(scene.turn(), [Heard::Ended(conn, failed(libc::EPIPE))]);
    let receive = scene.script.take(opcode::Recv::CODE);
    scene.script.complete(&receive, -libc::ECONNRESET, 0);
    assert_eq!(scene.turn(), []);
    scene.close(conn);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);

    let (mut scene, conn, send) = speaking();
    let receive = scene.script.take(opcode::Recv::CODE);
    scene.script.complete(&receive, -libc::ECONNRESET, 0);
    assert_eq!(scene.turn(), [Heard::Ended(conn, failed(libc::ECONNRESET))]);
    scene.close(conn);
    assert_eq!(scene.turn(), []);
    scene.script.complete(&send, -libc::ECANCELED, 0);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
}

/// A stream that ends or says something else than TLS is told as what it is.
#[test]
fn what_is_not_tls_is_told() {
    for (said, error) in [
        (&b""[..], TlsError::CutOff),
        (b"HTTP/1.1 400\r\n", TlsError::NotTls),
    ] {
        let (mut scene, conn, _send) = speaking();
        let receive = scene.script.take(opcode::Recv::CODE);
        match said {
            [] => scene.script.complete(&receive, 0, 0),
            said => assert_eq!(scene.script.receive(&receive, said, 0), said.len()),
        }
        assert_eq!(scene.turn(), [Heard::Ended(conn, EndReason::Tls(error))]);
        assert_eq!(scene.script.buffers_left(), 4);
        assert!(scene.is_idle(opcode::Recv::CODE));
    }
}

/// A close waits for what is being written, and one before it is known whom to believe for nothing.
#[test]
fn a_close_waits_for_what_is_under_way() {
    let (mut scene, conn, send) = speaking();
    let receive = scene.script.take(opcode::Recv::CODE);
    scene.close(conn);
    assert_eq!(scene.turn(), []);
    scene.script.complete(&receive, 0, 0);
    assert_eq!(scene.turn(), []);
    scene.script.complete(&send, 10, 0);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    assert!(scene.is_idle(opcode::Send::CODE));

    let mut scene = Scene::on(Scripted::default(), roots());
    let conn = ConnId(scene.probe.conns.insert(()));
    let to = SocketAddr::from(([127, 0, 0, 1], 9));
    let tls = Some("nobody.test".into());
    scene.ask(Net::Connect { conn, to, tls });
    scene.close(conn);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    while !scene.uring.unproven.is_empty() {
        assert_eq!(scene.turn(), []);
        std::thread::yield_now();
    }
    assert!(scene.is_idle(opcode::Connect::CODE));
}

//! Sending.

use std::sync::Arc;

use ripcurrent_proto::api::Part;
use ripcurrent_proto::base::slab::Slab;

use super::*;
use crate::uring::scripted::MORE;

/// Bytes that are sent in parts: small ones and those of a slab, some of them empty.
fn parts() -> (Transmission, Vec<u8>) {
    let mut slab = Slab::new(64);
    slab.set_len(64);
    for (byte, at) in slab.as_mut_slice().iter_mut().zip(100..) {
        *byte = at;
    }
    let slab = Arc::new(slab);
    let mut transmission = Transmission::default();
    transmission.push_head(|out| out.extend(0..5));
    transmission.push_slab(Arc::clone(&slab), 10, 20);
    transmission.push_slab(Arc::clone(&slab), 7, 7);
    transmission.push_head(|out| out.extend(5..6));
    transmission.push_slab(slab, 0, 64);
    let bytes = transmission.parts.iter();
    let bytes = bytes.flat_map(|part: &Part| transmission.bytes(part).to_vec());
    let bytes = bytes.collect();
    (transmission, bytes)
}

fn small(bytes: &[u8]) -> Transmission {
    let mut transmission = Transmission::default();
    transmission.push_head(|out| out.extend_from_slice(bytes));
    transmission
}

impl Scene {
    fn transmit(&mut self, conn: ConnId, transmission: Transmission) {
        self.ask(Net::Transmit { conn, transmission });
    }

    /// The entry that sends.
    fn take_send(&self) -> Sqe {
        let found = self.script.find(opcode::SendMsg::CODE);
        found.unwrap_or_else(|| self.script.take(opcode::Send::CODE))
    }

    fn is_sending(&self) -> bool {
        !self.is_idle(opcode::SendMsg::CODE) || !self.is_idle(opcode::Send::CODE)
    }
}

/// The bytes that an entry wants to be sent.
pub(super) fn bytes(sqe: &Sqe) -> Vec<u8> {
    let flags = libc::MSG_WAITALL | libc::MSG_NOSIGNAL;
    assert_eq!(sqe.op_flags, flags as u32);
    if sqe.opcode == opcode::Send::CODE {
        // SAFETY: what an entry points at stays until it has landed.
        return unsafe { std::slice::from_raw_parts(sqe.addr as *const u8, sqe.len as usize) }
            .to_vec();
    }
    // SAFETY: as above.
    let header = unsafe { &*(sqe.addr as *const libc::msghdr) };
    // SAFETY: as above.
    let parts = unsafe { std::slice::from_raw_parts(header.msg_iov, header.msg_iovlen) };
    let part = |part: &libc::iovec| {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len) }.to_vec()
    };
    parts.iter().flat_map(part).collect()
}

/// Wherever sends break off, and however often they are disturbed, every byte goes once and in
/// order; then the buffers are home and the next may go.
#[test]
fn short_sends_are_taken_up_where_they_broke_off() {
    let (_, due) = parts();
    for step in 1..=due.len() {
        let mut scene = Scene::new();
        let conn = scene.connect();
        scene.transmit(conn, parts().0);
        assert_eq!(scene.turn(), []);
        let mut sent = Vec::new();
        while sent.len() < due.len() {
            let sqe = scene.take_send();
            scene
                .script
                .complete(&sqe, -[libc::EINTR, libc::EAGAIN][sent.len() % 2], 0);
            assert_eq!(scene.turn(), []);
            let sqe = scene.take_send();
            let rest = bytes(&sqe);
            let now = step.min(rest.len());
            sent.extend_from_slice(&rest[..now]);
            scene.script.complete(&sqe, now as i32, 0);
            let heard = scene.turn();
            let over = [Heard::Returned(conn), Heard::Sent(conn)];
            assert_eq!(heard, over[..if sent.len() < due.len() { 0 } else { 2 }]);
        }
        assert_eq!(sent, due, "{step} at a time");
        assert!(!scene.is_sending());
        assert_eq!(scene.probe.returned[0].len(), due.len());
        scene.transmit(conn, small(&[1]));
        scene.turn();
        assert_eq!(bytes(&scene.take_send()), [1]);
    }
}

/// More parts than one entry takes go with the next.
#[test]
fn more_parts_than_an_entry_takes() {
    let mut scene = Scene::new();
    let conn = scene.connect();
    let head: Vec<u8> = (0..2500u32).map(|at| at as u8).collect();
    let part = |at| Part::Head {
        from: at,
        to: at + 1,
    };
    let parts = (0..2500).map(part).collect();
    let due = head.clone();
    scene.transmit(conn, Transmission { head, parts });
    let mut sent = Vec::new();
    for count in [1024, 1024, 452] {
        assert_eq!(scene.turn(), []);
        let sqe = scene.take_send();
        let some = bytes(&sqe);
        assert_eq!(some.len(), count);
        scene.script.complete(&sqe, count as i32, 0);
        sent.extend(some);
    }
    assert_eq!(scene.turn(), [Heard::Returned(conn), Heard::Sent(conn)]);
    assert_eq!(sent, due);
}

/// A transmission without bytes is sent without the kernel; one to nobody comes home unsent.
#[test]
fn nothing_to_send_and_nobody_to_send_to() {
    let mut scene = Scene::new();
    let (conn, _) = scene.dial();
    scene.transmit(conn, small(&[1]));
    assert_eq!(scene.turn(), [Heard::Returned(conn)]);
    let conn = scene.connect();
    scene.transmit(conn, Transmission::default());
    assert_eq!(scene.turn(), [Heard::Returned(conn), Heard::Sent(conn)]);
    assert!(!scene.is_sending());
}

/// Every error of a send brings the buffers home unsent and ends the connection once; so does a
/// send that sends nothing.
#[test]
fn every_error_of_a_send_ends_the_connection() {
    let errors = (1..=133).filter(|errno| ![libc::EINTR, libc::EAGAIN].contains(errno));
    for errno in errors {
        let mut scene = Scene::new();
        let conn = scene.connect();
        scene.transmit(conn, small(&[1]));
        scene.turn();
        let sqe = scene.take_send();
        scene.script.complete(&sqe, -errno, 0);
        let due = [Heard::Returned(conn), Heard::Ended(conn, failed(errno))];
        assert_eq!(scene.turn(), due);
        scene.credit(conn, 100);
        assert_eq!(scene.turn(), []);
        assert!(scene.is_idle(opcode::Recv::CODE));
        scene.close(conn);
        assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    }
    let mut scene = Scene::new();
    let conn = scene.connect();
    scene.transmit(conn, small(&[1]));
    scene.turn();
    let sqe = scene.take_send();
    scene.script.complete(&sqe, 0, 0);
    let heard = scene.turn();
    assert_eq!(heard[0], Heard::Returned(conn));
    assert!(matches!(
        heard[1..],
        [Heard::Ended(_, EndReason::Failed(_))]
    ));
}

/// A send that fails while a receive is under way: what that has brought is told first, and the
/// reason is that of the send.
#[test]
fn what_was_received_comes_before_the_end() {
    for until in [100, 10 * ALL] {
        let mut scene = Scene::new();
        let (conn, receive) = scene.receiver(until);
        scene.transmit(conn, small(&[1]));
        scene.turn();
        let send = scene.take_send();
        scene.script.complete(&send, -libc::EPIPE, 0);
        assert_eq!(scene.turn(), [Heard::Returned(conn)]);
        let more = if until > ALL { MORE } else { 0 };
        scene.script.receive(&receive, &[8, 9], more);
        let due = [Heard::Received(conn, vec![8, 9])];
        assert_eq!(scene.turn(), due);
        // Nobody sends any more; the far end's own error is not the first.
        let receive = scene.script.find(opcode::Recv::CODE).unwrap_or(receive);
        scene.script.complete(&receive, -libc::ECONNRESET, 0);
        let due = [Heard::Ended(conn, failed(libc::EPIPE))];
        assert_eq!(scene.turn(), due);
    }
}

/// After a failed send nothing is waited for that there is no credit for.
#[test]
fn without_credit_the_end_comes_at_once() {
    let mut scene = Scene::new();
    let (conn, receive) = scene.receiver(2);
    scene.transmit(conn, small(&[1]));
    scene.turn();
    scene
        .script
        .complete(&scene.take_send(), -libc::ECONNRESET, 0);
    scene.script.receive(&receive, &[8, 9], 0);
    let due = [
        Heard::Returned(conn),
        Heard::Received(conn, vec![8, 9]),
        Heard::Ended(conn, failed(libc::ECONNRESET)),
    ];
    assert_eq!(scene.turn(), due);
}

/// A close in the middle of a send: what is left is not sent, and the last word comes when the
/// buffers are home. A send that had done all says so.
#[test]
fn a_close_brings_the_buffers_home() {
    for (result, sent) in [
        (3, false),
        (-libc::ECANCELED, false),
        (-libc::EPIPE, false),
        (4, true),
    ] {
        let mut scene = Scene::new();
        let conn = scene.connect();
        scene.transmit(conn, small(&[1, 2, 3, 4]));
        scene.turn();
        let sqe = scene.take_send();
        scene.close(conn);
        assert_eq!(scene.turn(), []);
        assert_eq!(scene.take_cancel_on_fd().fd, sqe.fd);
        scene.script.complete(&sqe, result, 0);
        let mut due = vec![Heard::Returned(conn)];
        due.extend(sent.then_some(Heard::Sent(conn)));
        due.push(Heard::Closed(conn));
        assert_eq!(scene.turn(), due);
        assert!(!scene.is_sending());
    }
}

/// Completions of one connection and of several may come in any order between directions.
#[test]
fn directions_do_not_wait_for_each_other() {
    let mut scene = Scene::new();
    let (one, receive_one) = scene.receiver(100);
    let (other, receive_other) = scene.receiver(100);
    scene.transmit(one, small(&[1]));
    scene.transmit(other, small(&[2]));
    scene.turn();
    let (send_one, send_other) = (scene.take_send(), scene.take_send());
    scene.script.complete(&send_other, 1, 0);
    scene.script.receive(&receive_one, &[3], 0);
    scene.script.complete(&send_one, 1, 0);
    scene.script.receive(&receive_other, &[4], 0);
    let due = [
        Heard::Returned(other),
        Heard::Sent(other),
        Heard::Received(one, vec![3]),
        Heard::Returned(one),
        Heard::Sent(one),
        Heard::Received(other, vec![4]),
    ];
    assert_eq!(scene.turn(), due);
}

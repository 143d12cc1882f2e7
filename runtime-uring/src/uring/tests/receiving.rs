//! Receiving.

use super::*;
use crate::uring::scripted::MORE;

/// Received over and over (`IORING_RECV_MULTISHOT`).
const MULTISHOT: u16 = 1 << 1;

fn received(conn: ConnId, bytes: &[u8]) -> Heard {
    Heard::Received(conn, bytes.to_vec())
}

/// With little credit each entry receives once and not a byte more, and buffers come back at once.
#[test]
fn little_credit_is_kept_to_the_byte() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(5000);
    assert_eq!((sqe.len, sqe.ioprio), (5000, 0));
    // The far end has more than any buffer holds.
    let stream = [7; 10_000];
    assert_eq!(scene.script.receive(&sqe, &stream, 0), 4096);
    assert_eq!(scene.turn(), [received(conn, &stream[..4096])]);
    let sqe = scene.script.take(opcode::Recv::CODE);
    assert_eq!((sqe.len, sqe.ioprio), (904, 0));
    assert_eq!(scene.script.receive(&sqe, &stream, 0), 904);
    assert_eq!(scene.turn(), [received(conn, &stream[..904])]);
    assert!(scene.is_idle(opcode::Recv::CODE), "the credit is spent");
    assert_eq!(scene.script.buffers_left(), 4);
    // Repeated and lowered it changes nothing.
    for until in [5000, 0] {
        scene.credit(conn, until);
        scene.turn();
        assert!(scene.is_idle(opcode::Recv::CODE));
    }
    scene.credit(conn, 5001);
    scene.turn();
    assert_eq!(scene.script.take(opcode::Recv::CODE).len, 1);
}

/// With much credit one entry receives whatever comes, until there is less than it may bring: it is
/// told to stop, what it has brought is delivered, and the rest is received once and to the byte.
#[test]
fn much_credit_is_spent_by_one_entry() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(ALL + 4000);
    assert_eq!((sqe.len, sqe.ioprio), (0, MULTISHOT));
    for byte in 0..4 {
        scene.script.receive(&sqe, &[byte; 1000], MORE);
    }
    let due: Vec<_> = (0..4).map(|byte| received(conn, &[byte; 1000])).collect();
    assert_eq!(scene.turn(), due);
    assert!(
        scene.is_idle(opcode::AsyncCancel::CODE),
        "all that may come is granted"
    );
    scene.script.receive(&sqe, &[4], MORE);
    assert_eq!(scene.turn(), [received(conn, &[4])]);
    let cancel = scene.script.take(opcode::AsyncCancel::CODE);
    assert_eq!(cancel.addr, sqe.user_data);
    // It has not heard yet, and is told again.
    scene.script.receive(&sqe, &[5], MORE);
    assert_eq!(scene.turn(), [received(conn, &[5])]);
    let cancel = scene.script.take(opcode::AsyncCancel::CODE);
    assert_eq!(cancel.addr, sqe.user_data);
    assert!(scene.is_idle(opcode::Recv::CODE));
    scene.script.complete(&sqe, -libc::ECANCELED, 0);
    assert_eq!(scene.turn(), []);
    let sqe = scene.script.take(opcode::Recv::CODE);
    assert_eq!((u64::from(sqe.len), sqe.ioprio), (ALL - 2, 0));
    assert_eq!(scene.script.buffers_left(), 4);
}

/// Credit that comes while an entry is being stopped starts the next one when it has, once.
#[test]
fn credit_in_the_middle_of_a_stop_is_not_lost() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(ALL);
    scene.script.receive(&sqe, &[1], MORE);
    scene.turn();
    scene.script.take(opcode::AsyncCancel::CODE);
    scene.credit(conn, 10 * ALL);
    assert_eq!(scene.turn(), []);
    assert!(scene.is_idle(opcode::Recv::CODE));
    scene.script.complete(&sqe, -libc::ECANCELED, 0);
    scene.turn();
    assert_eq!(scene.script.take(opcode::Recv::CODE).ioprio, MULTISHOT);
    assert!(scene.is_idle(opcode::Recv::CODE));
}

/// An entry that was to receive for ever and ends with bytes has brought bytes; the next goes on.
#[test]
fn the_last_word_of_an_entry_may_be_bytes() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(10 * ALL);
    scene.script.receive(&sqe, &[1, 2], MORE);
    scene.script.receive(&sqe, &[3], 0);
    let due = [received(conn, &[1, 2]), received(conn, &[3])];
    assert_eq!(scene.turn(), due);
    assert_eq!(scene.script.take(opcode::Recv::CODE).ioprio, MULTISHOT);
}

/// Without a buffer, or when it is disturbed, an entry is started again and the machine hears
/// nothing; what came before is delivered.
#[test]
fn passing_troubles_of_a_receive_are_not_told() {
    for errno in [libc::ENOBUFS, libc::EINTR, libc::EAGAIN, libc::ECANCELED] {
        for until in [10, 10 * ALL] {
            let mut scene = Scene::new();
            let (conn, mut sqe) = scene.receiver(until);
            let kind = sqe.ioprio;
            for byte in 0..3 {
                if kind == MULTISHOT {
                    scene.script.receive(&sqe, &[byte], MORE);
                    scene.script.complete(&sqe, -errno, 0);
                    assert_eq!(scene.turn(), [received(conn, &[byte])]);
                } else {
                    scene.script.complete(&sqe, -errno, 0);
                    assert_eq!(scene.turn(), []);
                }
                sqe = scene.script.take(opcode::Recv::CODE);
                assert_eq!(sqe.ioprio, kind);
            }
        }
    }
}

/// A peer that empties all buffers holds nobody up for longer than a turn.
#[test]
fn one_peer_may_empty_all_buffers() {
    let mut scene = Scene::new();
    let (fast, greedy) = scene.receiver(10 * ALL);
    let (slow, modest) = scene.receiver(100);
    for _ in 0..4 {
        scene.script.receive(&greedy, &[1; 4096], MORE);
    }
    assert_eq!(
        scene.script.receive(&modest, &[2], 0),
        0,
        "no buffer is left"
    );
    assert_eq!(scene.script.receive(&greedy, &[1], MORE), 0);
    assert_eq!(scene.turn(), vec![received(fast, &[1; 4096]); 4]);
    let again = [(); 2].map(|()| scene.script.take(opcode::Recv::CODE));
    for sqe in again {
        assert_eq!(scene.script.receive(&sqe, &[3], 0), 1);
    }
    // Whoever found none is first now.
    assert_eq!(scene.turn(), [received(slow, &[3]), received(fast, &[3])]);
}

/// Whoever found no buffer is served before those who did, in turn: nobody has all buffers for ever.
#[test]
fn who_found_no_buffer_comes_first() {
    let mut scene = Scene::new();
    let peers: Vec<_> = (0..4).map(|_| scene.receiver(1 << 30)).collect();
    let mut waiting: VecDeque<Sqe> = peers.iter().map(|(_, sqe)| *sqe).collect();
    let mut served = Vec::new();
    for _ in 0..12 {
        // Each has more than all buffers hold: the first takes all, the others get nothing.
        for sqe in waiting.drain(..) {
            while scene.script.receive(&sqe, &[1; 4096], MORE) > 0 {}
        }
        let mut fed: Vec<ConnId> = scene
            .turn()
            .iter()
            .map(|heard| match heard {
                Heard::Received(conn, _) => *conn,
                other => panic!("{other:?}"),
            })
            .collect();
        fed.dedup();
        let [fed] = fed[..] else { panic!("{fed:?}") };
        served.push(fed.0.slot());
        while let Some(sqe) = scene.script.find(opcode::Recv::CODE) {
            waiting.push_back(sqe);
        }
    }
    assert_eq!(served, [0, 1, 2, 3].repeat(3));
}

/// Every other error ends the connection, is told once with its number, and after what came before.
#[test]
fn every_other_error_of_a_receive_ends_the_connection() {
    for errno in (1..=133).filter(|errno| {
        ![libc::ENOBUFS, libc::EINTR, libc::EAGAIN, libc::ECANCELED].contains(errno)
    }) {
        let mut scene = Scene::new();
        let (conn, sqe) = scene.receiver(10 * ALL);
        scene.script.receive(&sqe, &[1], MORE);
        scene.script.complete(&sqe, -errno, 0);
        let due = [received(conn, &[1]), Heard::Ended(conn, failed(errno))];
        assert_eq!(scene.turn(), due);
        scene.credit(conn, 20 * ALL);
        assert_eq!(scene.turn(), []);
        assert!(scene.is_idle(opcode::Recv::CODE));
        scene.close(conn);
        assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    }
}

/// The end of the stream is told after its last byte, and only with credit.
#[test]
fn the_end_comes_last() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(10 * ALL);
    scene.script.receive(&sqe, &[1], MORE);
    scene.script.complete(&sqe, 0, 0);
    let due = [received(conn, &[1]), Heard::Ended(conn, EndReason::Eof)];
    assert_eq!(scene.turn(), due);
    assert!(scene.is_idle(opcode::Recv::CODE));
}

/// Nothing is told of a connection that the machine has closed but the last word, once everything
/// has landed; its buffers come back.
#[test]
fn a_closed_connection_brings_its_buffers_home() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(10 * ALL);
    scene.close(conn);
    assert_eq!(scene.turn(), []);
    let cancel = scene.take_cancel_on_fd();
    assert_eq!(cancel.fd, sqe.fd);
    scene.script.receive(&sqe, &[1], MORE);
    assert_eq!(scene.turn(), []);
    scene.script.receive(&sqe, &[2], 0);
    assert_eq!(scene.turn(), [Heard::Closed(conn)]);
    assert_eq!(scene.script.buffers_left(), 4);
    // Its slot is somebody else's now; who was there before is not taken for that.
    let next = scene.connect();
    assert_eq!(next.0.slot(), conn.0.slot());
    scene.script.receive(&sqe, &[3], 0);
    assert_eq!(scene.turn(), []);
    assert_eq!(scene.script.buffers_left(), 4);
}

/// Bytes that came before the machine closed are nobody's any more when it has.
#[test]
fn bytes_behind_a_close_are_not_told() {
    let mut scene = Scene::new();
    let (conn, sqe) = scene.receiver(100);
    scene.close(conn);
    scene.script.receive(&sqe, &[1], 0);
    let heard = scene.turn();
    // The kernel was first: the machine asks only after it was told.
    assert_eq!(heard, [received(conn, &[1]), Heard::Closed(conn)]);
}

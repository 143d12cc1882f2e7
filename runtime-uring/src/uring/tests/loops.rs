//! The loop: how long it waits, what wakes it, and how it ends.

use std::time::Duration;

use super::*;
use crate::host::Control;
use crate::uring::kernel::Wait;
use crate::uring::scripted::MORE;

impl Scene {
    /// How the last call of the loop into the kernel waited.
    fn waits(&mut self, busy: bool, deadline: Option<Instant>) -> Wait {
        self.script.entered();
        self.uring.enter(busy, deadline).unwrap();
        let [(true, wait)] = self.script.entered()[..] else {
            panic!("the loop enters once");
        };
        wait
    }
}

/// The loop waits for as long as nothing is due; not at all when it is busy, late, or was rung for.
#[test]
fn the_loop_waits_as_long_as_it_may() {
    let mut scene = Scene::new();
    assert_eq!(scene.waits(false, None), Wait::For(None));
    assert_eq!(scene.waits(true, None), Wait::No);
    assert_eq!(scene.waits(false, Some(Instant::ZERO)), Wait::No);
    let hour = Duration::from_secs(3600);
    let at = scene.uring.clock.now() + hour;
    match scene.waits(false, Some(at)) {
        Wait::For(Some(wait)) => assert!(wait <= hour && wait > hour / 2),
        other => panic!("{other:?}"),
    }
    scene.waker.wake();
    assert_eq!(scene.waits(false, None), Wait::No, "it was rung for before");
    assert_eq!(scene.waits(false, None), Wait::For(None));
}

/// One entry hears every ring; should it end, there is another.
#[test]
fn the_bell_is_always_listened_for() {
    let mut scene = Scene::new();
    scene.turn();
    let mut bell = scene.script.take(opcode::PollAdd::CODE);
    for _ in 0..3 {
        scene.script.complete(&bell, 1, MORE);
        assert_eq!(scene.turn(), []);
        assert!(scene.is_idle(opcode::PollAdd::CODE));
    }
    for result in [1, -libc::ECANCELED, -libc::ENOMEM] {
        scene.script.complete(&bell, result, 0);
        scene.turn();
        let next = scene.script.take(opcode::PollAdd::CODE);
        assert_eq!(next.fd, bell.fd);
        bell = next;
    }
}

/// Leaving waits for everything that is under way, delivers nothing more, and lets nobody in who
/// came meanwhile.
#[test]
fn leaving_brings_everything_home() {
    let (mut scene, accept) = Scene::listening();
    let (_, receive) = scene.receiver(10 * ALL);
    let (_, connect) = scene.dial();
    let bell = scene.script.take(opcode::PollAdd::CODE);
    let (mut near, fd) = connection();
    scene.script.receive(&receive, &[1], MORE);
    scene.script.complete(&accept, fd, MORE);
    for sqe in [&accept, &receive, &connect, &bell] {
        scene.script.complete(sqe, -libc::ECANCELED, 0);
    }
    scene.script.entered();
    scene.uring.leave().unwrap();
    assert_eq!(scene.script.entered(), [(true, Wait::For(None))]);
    let cancelled: Vec<Sqe> = scene.script.submitted();
    let by_number = cancelled.iter().filter(|sqe| sqe.op_flags == 0);
    let numbers: Vec<u64> = by_number.map(|sqe| sqe.addr).collect();
    assert_eq!(numbers, [accept.user_data, bell.user_data]);
    let fds: Vec<i32> = cancelled.iter().map(|sqe| sqe.fd).collect();
    assert!(fds.contains(&receive.fd) && fds.contains(&connect.fd));
    assert_eq!(scene.probe.heard, []);
    assert_eq!(std::io::Read::read(&mut near, &mut [0; 10]).unwrap(), 0);
}

/// A ring that has failed ends the loop with its error, and so does one that fails while leaving.
#[test]
fn a_ring_that_has_failed_ends_the_loop() {
    let mut scene = Scene::new();
    scene.script.fail(libc::EBADR);
    let mut looks = 0;
    let control = |_: &mut Probe, _| {
        looks += 1;
        Control::Wait(None)
    };
    let error = scene.uring.run(&mut scene.probe, control).unwrap_err();
    assert_eq!((error.raw_os_error(), looks), (Some(libc::EBADR), 1));
    scene.script.fail(libc::ENXIO);
    let error = scene.uring.leave().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
}

/// What happens is told before the loop waits again, with one look of `control` for each turn.
#[test]
fn control_looks_before_every_turn() {
    let mut scene = Scene::new();
    let (conn, receive) = scene.receiver(10);
    scene.script.receive(&receive, &[1], 0);
    scene.script.entered();
    let mut looks = Vec::new();
    let control = |probe: &mut Probe, _| {
        looks.push(probe.heard.len());
        match looks.len() {
            3 => Control::Stop,
            _ => Control::Wait(None),
        }
    };
    scene.uring.run(&mut scene.probe, control).unwrap();
    assert_eq!(looks, [0, 1, 1]);
    assert_eq!(scene.probe.heard, [Heard::Received(conn, vec![1])]);
    assert_eq!(
        scene.script.entered(),
        [(true, Wait::For(None))],
        "once for all of it"
    );
}

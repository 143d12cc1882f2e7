//! A ring over a kernel that is late, forgetful, repetitive and short of room; and over the real one.

use std::os::fd::AsRawFd;
use std::rc::Rc;

use super::*;
use crate::uring::kernel::Linux;
use crate::uring::scripted::{MORE, Scripted, Sqe};

/// What the tests start; how many owners an operation has tells whether it was dropped.
type Op = Rc<u32>;

const SHAPE: Shape = Shape {
    count: 4,
    size: 4096,
};

fn ring(script: &Scripted) -> Ring<Scripted, Op> {
    Ring::new(script.clone(), SHAPE).unwrap()
}

fn start<K: Kernel>(ring: &mut Ring<K, Op>, number: u32) -> (Id, Op) {
    let op = Rc::new(number);
    // SAFETY: an empty operation points at nothing.
    let id = unsafe { ring.start(opcode::Nop::new().build(), Rc::clone(&op)) };
    (id, op)
}

/// What has landed: number, whether for the last time, result.
fn landed<K: Kernel>(ring: &mut Ring<K, Op>) -> Vec<(u32, bool, i32)> {
    let mut all = Vec::new();
    while let Some(landed) = ring.next() {
        let number = match landed.flight {
            Flight::Over(op) => *op,
            Flight::On(id) => **ring.get(id).unwrap(),
        };
        let result = landed.outcome.result();
        let result = result.map_or_else(|error| -error.raw_os_error().unwrap(), |ok| ok as i32);
        all.push((number, landed.outcome.is_last, result));
    }
    all
}

/// Whatever the order of the completions, each comes to the operation that it is of.
#[test]
fn completions_find_their_operation_in_any_order() {
    for seed in 0..50 {
        let script = Scripted::default();
        let mut ring = ring(&script);
        for number in 0..20 {
            start(&mut ring, number);
        }
        ring.enter(Wait::No).unwrap();
        let mut submitted: Vec<Sqe> = script.submitted();
        assert_eq!(submitted.len(), 20);
        let mut state: u64 = seed;
        for left in (1..=20).rev() {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let sqe = submitted.swap_remove((state >> 33) as usize % left);
            let number = sqe.user_data as u32;
            script.complete(&sqe, number as i32 + 100, 0);
            let due = [(number, true, number as i32 + 100)];
            assert_eq!(landed(&mut ring), due, "seed {seed}");
        }
        assert_eq!(ring.in_flight(), 0);
    }
}

/// An operation is there until it lands for the last time; what is said of it later finds nothing,
/// even when somebody else has its place.
#[test]
fn late_and_repeated_completions_find_nothing() {
    let script = Scripted::default();
    let mut ring = ring(&script);
    let (old, op) = start(&mut ring, 1);
    ring.enter(Wait::No).unwrap();
    let sqe = script.take(opcode::Nop::CODE);
    script.complete(&sqe, 5, MORE);
    script.complete(&sqe, 6, MORE);
    assert_eq!(landed(&mut ring), [(1, false, 5), (1, false, 6)]);
    assert_eq!(Rc::strong_count(&op), 2, "it is under way");
    script.complete(&sqe, -libc::ECANCELED, 0);
    assert_eq!(landed(&mut ring), [(1, true, -libc::ECANCELED)]);
    assert_eq!(Rc::strong_count(&op), 1);

    let (new, _op) = start(&mut ring, 2);
    assert_eq!(new.slot(), old.slot());
    for flags in [0, MORE] {
        script.complete(&sqe, 7, flags);
        script.post(NOBODY, 0, flags);
        script.post(u64::from(u32::MAX) << 32, 0, flags);
    }
    assert_eq!(landed(&mut ring), []);
    ring.cancel(old);
    ring.enter(Wait::No).unwrap();
    assert!(script.find(opcode::AsyncCancel::CODE).is_none());
    let sqe = script.take(opcode::Nop::CODE);
    script.complete(&sqe, 0, 0);
    assert_eq!(landed(&mut ring), [(2, true, 0)]);
}

/// A completion that nobody waits for brings its buffer back all the same.
#[test]
fn a_buffer_of_nobody_comes_back() {
    let script = Scripted::default();
    let mut ring = ring(&script);
    start(&mut ring, 1);
    ring.enter(Wait::No).unwrap();
    let sqe = script.take(opcode::Nop::CODE);
    for len in [3, 3, 3, 3] {
        assert_eq!(script.receive(&sqe, &[7; 3], 0), len);
    }
    assert_eq!(script.buffers_left(), 0);
    assert_eq!(script.receive(&sqe, &[7; 3], 0), 0, "no buffer is left");
    let first = ring.next().unwrap();
    let buffer = first.outcome.buffer.unwrap();
    assert_eq!(ring.buffers().filled(buffer, 3), [7; 3]);
    assert_eq!(landed(&mut ring), []);
    assert_eq!(script.buffers_left(), 3);
    ring.buffers().give(buffer);
    assert_eq!(script.buffers_left(), 4);
}

/// Buffers are taken round and round without one being given to two at once.
#[test]
fn buffers_go_round() {
    let script = Scripted::default();
    let mut ring = ring(&script);
    let mut addresses = Vec::new();
    // Past the place where the 16 bits of the tail begin anew.
    for _ in 0..70_000 {
        let (number, at, size) = script.take_buffer().unwrap();
        assert_eq!(size, 4096);
        assert_eq!(at as usize % 4096, 0);
        if !addresses.contains(&(number, at)) {
            addresses.push((number, at));
        }
        ring.buffers().give(number);
        assert_eq!(script.buffers_left(), 4);
    }
    assert_eq!(addresses.len(), 4);
}

/// What does not fit into the queue goes in order, without a wait until all is handed over.
#[test]
fn a_full_queue_loses_nothing() {
    let script = Scripted::with_room(3, 0);
    let mut ring = ring(&script);
    for number in 0..8 {
        start(&mut ring, number);
    }
    let wait = Wait::For(None);
    ring.enter(wait).unwrap();
    assert_eq!(
        script.entered(),
        [(true, Wait::No), (true, Wait::No), (true, wait)]
    );
    let slots: Vec<u32> = script
        .submitted()
        .iter()
        .map(|sqe| sqe.user_data as u32)
        .collect();
    assert_eq!(slots, [0, 1, 2, 3, 4, 5, 6, 7]);
    ring.enter(wait).unwrap();
    assert_eq!(script.entered(), [(true, wait)]);
}

/// What finds no room among the completions is there after the next call.
#[test]
fn an_overflow_of_completions_loses_nothing() {
    let script = Scripted::with_room(0, 2);
    let mut ring = ring(&script);
    for number in 0..7 {
        start(&mut ring, number);
    }
    ring.enter(Wait::No).unwrap();
    for sqe in script.submitted() {
        script.complete(&sqe, 0, 0);
    }
    for due in [&[0, 1][..], &[2, 3], &[4, 5], &[6]] {
        let numbers: Vec<u32> = landed(&mut ring)
            .iter()
            .map(|(number, ..)| *number)
            .collect();
        assert_eq!(numbers, due);
        ring.enter(Wait::For(None)).unwrap();
    }
}

/// A kernel that asks for patience gets it, and later what it could not take; a wait in vain is no
/// error; whatever else it says is final.
#[test]
fn errors_of_the_call_are_told_apart() {
    for errno in [libc::EAGAIN, libc::EBUSY] {
        let script = Scripted::default();
        let mut ring = ring(&script);
        start(&mut ring, 1);
        script.fail(errno);
        ring.enter(Wait::For(None)).unwrap();
        let patient = Wait::For(Some(SHORTAGE));
        assert_eq!(
            script.entered(),
            [(true, Wait::For(None)), (false, patient)]
        );
        script.fail(errno);
        ring.enter(Wait::No).unwrap();
        assert_eq!(script.entered(), [(true, Wait::No)]);
        script.fail(errno);
        script.fail(libc::ETIME);
        let short = Wait::For(Some(Duration::from_millis(1)));
        ring.enter(short).unwrap();
        assert_eq!(script.entered(), [(true, short), (false, short)]);
        ring.enter(Wait::No).unwrap();
        let sqe = script.take(opcode::Nop::CODE);
        script.complete(&sqe, 0, 0);
        assert_eq!(landed(&mut ring), [(1, true, 0)]);
    }
    for errno in [libc::ETIME, libc::EINTR] {
        let script = Scripted::default();
        let mut ring = ring(&script);
        script.fail(errno);
        ring.enter(Wait::For(None)).unwrap();
        assert_eq!(script.entered().len(), 1);
    }
    for errno in [
        libc::EBADR,
        libc::EBADF,
        libc::ENXIO,
        libc::EINVAL,
        libc::EFAULT,
    ] {
        let script = Scripted::default();
        let mut ring = ring(&script);
        script.fail(errno);
        let error = ring.enter(Wait::For(None)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(errno));
    }
    // With more than the queue holds as well.
    for (errno, is_final) in [(libc::EBUSY, false), (libc::EBADR, true)] {
        let script = Scripted::with_room(1, 0);
        let mut ring = ring(&script);
        for number in 0..3 {
            start(&mut ring, number);
        }
        ring.enter(Wait::No).unwrap();
        script.submitted();
        for number in 3..6 {
            start(&mut ring, number);
        }
        script.fail(errno);
        assert_eq!(ring.enter(Wait::No).is_err(), is_final);
        ring.enter(Wait::No).unwrap();
        assert_eq!(
            script.submitted().len(),
            3,
            "nothing is lost, nothing goes twice"
        );
        script.always(answer_cancels);
    }
}

/// Cancels whatever is asked for; all entries end by it.
fn answer_cancels(script: &Scripted) {
    let submitted = script.submitted();
    let cancels = submitted
        .iter()
        .any(|sqe| sqe.opcode == opcode::AsyncCancel::CODE);
    // The tests start few, in few generations.
    for slot in (0..16).filter(|_| cancels) {
        script.post(slot, -libc::ECANCELED, 0);
    }
}

/// A ring that is dropped keeps what is under way until the kernel has let go of it.
#[test]
fn nothing_is_freed_that_the_kernel_may_touch() {
    let script = Scripted::default();
    let mut ring = ring(&script);
    let (_, op) = start(&mut ring, 1);
    ring.enter(Wait::No).unwrap();
    // Handed over never, or only by the last call.
    let (_, late) = start(&mut ring, 2);
    script.always(answer_cancels);
    script.submitted();
    drop(ring);
    let waits = script.entered();
    assert_eq!(waits[1..], [(true, Wait::For(Some(FAREWELL)))]);
    assert_eq!((Rc::strong_count(&op), Rc::strong_count(&late)), (1, 1));
}

/// What the kernel never lets go of is never freed, however long the ring is gone.
#[test]
fn what_never_lands_is_never_freed() {
    for (errno, calls) in [(0, FAREWELLS), (libc::EBADF, 1)] {
        let script = Scripted::default();
        let mut ring = ring(&script);
        let (_, op) = start(&mut ring, 1);
        ring.enter(Wait::No).unwrap();
        script.entered();
        if errno != 0 {
            script.fail(errno);
        }
        drop(ring);
        assert_eq!(script.entered().len(), calls);
        assert_eq!(Rc::strong_count(&op), 2);
        let (_, at, _) = script.take_buffer().unwrap();
        // SAFETY: the kernel still may, so the buffer must be there.
        unsafe { at.write_volatile(1) };
    }
}

/// The real kernel, with queues of two and eight entries: all of a thousand operations land once.
#[test]
fn the_real_kernel_loses_nothing_in_small_queues() {
    let Some(kernel) = linux(2) else { return };
    let mut ring = Ring::new(kernel, SHAPE).unwrap();
    let ops: Vec<Op> = (0..1000).map(|number| start(&mut ring, number).1).collect();
    let mut numbers = Vec::new();
    while numbers.len() < 1000 {
        ring.enter(Wait::For(None)).unwrap();
        numbers.extend(landed(&mut ring).into_iter().map(|(number, ..)| number));
    }
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..1000));
    assert!(ops.iter().all(|op| Rc::strong_count(op) == 1));
    let time = Duration::from_millis(1);
    ring.enter(Wait::For(Some(time))).unwrap();
    assert_eq!(landed(&mut ring), []);
}

/// The real kernel lets go of a wait that nothing else would end, when it is cancelled and when the
/// ring is dropped.
#[test]
fn the_real_kernel_gives_back_what_waits() {
    let Some(kernel) = linux(8) else { return };
    let mut ring = Ring::new(kernel, SHAPE).unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    let fd = Fd(reader.as_raw_fd());
    let mut wait = |number| {
        let op = Rc::new(number);
        let poll = opcode::PollAdd::new(fd, libc::POLLIN as u32).build();
        // SAFETY: no memory; the descriptor outlives the ring.
        let id = unsafe { ring.start(poll, Rc::clone(&op)) };
        (id, op)
    };
    let ((one, _), _two, (_, three)) = (wait(1), wait(2), wait(3));
    ring.cancel(one);
    ring.enter(Wait::For(None)).unwrap();
    assert_eq!(landed(&mut ring), [(1, true, -libc::ECANCELED)]);
    ring.cancel_all_on(fd);
    let (_, four) = start(&mut ring, 4);
    while ring.in_flight() > 0 {
        ring.enter(Wait::For(None)).unwrap();
        landed(&mut ring);
    }
    assert_eq!((Rc::strong_count(&three), Rc::strong_count(&four)), (1, 1));
    let op = Rc::new(5);
    let poll = opcode::PollAdd::new(fd, libc::POLLIN as u32).build();
    // SAFETY: as above.
    unsafe { ring.start(poll, Rc::clone(&op)) };
    ring.enter(Wait::No).unwrap();
    drop(ring);
    assert_eq!(Rc::strong_count(&op), 1);
}

/// A ring of the real kernel, where it has them.
fn linux(entries: u32) -> Option<Linux> {
    match Linux::new(entries) {
        Ok(kernel) => Some(kernel),
        Err(error) => {
            eprintln!("SKIPPED: no ring to be had: {error}");
            None
        }
    }
}

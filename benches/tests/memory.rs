//! What the engine allocates: while a download goes on, and for a peer that is silent.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use ripcurrent_benches::scene::{BUFFER, Greeting, Scene, Shape};
use ripcurrent_benches::{USUAL, settings};
use ripcurrent_proto::api::Mode;
use ripcurrent_proto::choke;
use ripcurrent_proto::wire::message::Message;

/// The system's allocator, which counts.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);
static LIVE: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(u64::from(COUNTS.load(Relaxed)), Relaxed);
        LIVE.fetch_add(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as i64, Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `ptr` came from the system.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time: all of them count with the same numbers.
static ALONE: Mutex<()> = Mutex::new(());

/// The allocations of `work`.
fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.load(Relaxed);
    COUNTS.store(true, Relaxed);
    work();
    COUNTS.store(false, Relaxed);
    ALLOCATIONS.load(Relaxed) - before
}

/// A download that has run for a while takes in blocks, asks for more and has pieces hashed and
/// written without allocating for any block; the lists of pieces had grow now and then.
#[test]
fn a_download_in_its_course_allocates_nothing_for_a_block() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for peers in [1, 20] {
        let mut scene = Scene::new(
            Shape::LONG,
            Mode::Download,
            peers,
            &settings(USUAL),
            |out| {
                Message::HaveAll.encode(out);
                Message::Unchoke.encode(out);
            },
        );
        let mut buffer = Vec::with_capacity(BUFFER);
        let (mut received, mut completed) = (0, 0);
        for number in 0..2 * BUFFERS {
            let conn = scene.next_buffer(&mut buffer).expect("a block");
            let taken_in = allocations(|| scene.receive(conn, &mut buffer));
            let mut followed = 0;
            while scene.carry() {
                followed += allocations(|| scene.complete());
            }
            scene.settle();
            if number >= BUFFERS {
                received += taken_in;
                completed += followed;
            }
        }
        println!("{peers} peers, {BLOCKS} blocks: {received} receiving, {completed} completing");
        assert_eq!(received, 0, "receiving from {peers} peers");
        assert!(
            completed <= PER_PIECE_LISTS,
            "{completed} with {peers} peers"
        );
    }
}

/// Receives that are counted, after as many that are not: 320 pieces each.
const BUFFERS: u64 = 2560;
const BLOCKS: u64 = BUFFERS * 8;
/// How often lists with an entry for each piece had may double meanwhile.
const PER_PIECE_LISTS: u64 = 16;

/// What a silent peer holds, all of it: its session, its connection, its pieces, its timers.
#[test]
fn a_silent_peer_holds_little() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed: Greeting = |out| Message::HaveAll.encode(out);
    let leecher: Greeting = |out| {
        let mut bits = vec![0; 10_000 / 8];
        bits[7] = 0x55;
        Message::Bitfield(&bits).encode(out);
    };
    for (name, greeting, most) in [("seed", seed, SEED_MAX), ("leecher", leecher, LEECHER_MAX)] {
        let bytes = |peers: u32| {
            let before = LIVE.load(Relaxed);
            let mut scene = Scene::new(
                Shape::MANY,
                Mode::Download,
                peers,
                &settings(USUAL),
                greeting,
            );
            scene.hear_from_all();
            scene.pass(choke::ROUND);
            scene.wake();
            scene.settle();
            LIVE.load(Relaxed) - before - scene.own_bytes() as i64
        };
        let each = (bytes(1000) - bytes(0)) / 1000;
        println!("a silent {name}: {each} bytes");
        assert!(each <= most, "a {name} holds {each} bytes");
    }
}

/// The most bytes that a peer with everything holds: its pieces need none.
const SEED_MAX: i64 = 1024;
/// The most that any other does, of 10,000 pieces: 1,250 bytes are those.
const LEECHER_MAX: i64 = 2304;

//! Hashing of pieces in batches, in the loop or on a thread beside it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

use ripcurrent_runtime_uring::hash::{Kernel, sha1};
use rustix::time::{ClockId, clock_gettime};

use crate::memory::Slab;

/// A piece that is whole.
pub(crate) struct Whole {
    pub(crate) slab: Slab,
    pub(crate) piece: u32,
    pub(crate) len: usize,
    pub(crate) expected: [u8; 20],
}

/// Pieces whose hashes are right, and the seconds that it took to find out.
pub(crate) struct Hashed {
    pub(crate) pieces: Vec<Whole>,
    pub(crate) seconds: f64,
}

/// What hashes.
pub(crate) fn kernel_name() -> &'static str {
    Kernel::best().name()
}

/// How many pieces are hashed at once.
pub(crate) fn batch() -> usize {
    Kernel::best().lanes()
}

/// Hashes a batch on the calling thread.
pub(crate) fn hash(pieces: Vec<Whole>) -> io::Result<Hashed> {
    let before = thread_seconds();
    let bytes = pieces
        .iter()
        .map(|whole| &whole.slab.memory.bytes()[..whole.len]);
    let bytes: Vec<_> = bytes.collect();
    let mut digests = vec![[0; 20]; pieces.len()];
    sha1(Kernel::best(), &bytes, &mut digests);
    for (whole, digest) in pieces.iter().zip(&digests) {
        if *digest != whole.expected {
            let what = format!("piece {} is not what the torrent says", whole.piece);
            return Err(io::Error::other(what));
        }
    }
    let seconds = thread_seconds() - before;
    Ok(Hashed { pieces, seconds })
}

/// Processor seconds of the calling thread.
fn thread_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// A thread that hashes.
pub(crate) struct Beside {
    batches: Option<Sender<Vec<Whole>>>,
    pub(crate) hashed: Receiver<io::Result<Hashed>>,
    thread: Option<JoinHandle<()>>,
}

impl Beside {
    /// Starts it; it writes to `wake` (an eventfd) for each batch that is done.
    pub(crate) fn start(wake: OwnedFd) -> Beside {
        let (batches, receiver) = mpsc::channel::<Vec<Whole>>();
        let (sender, hashed) = mpsc::channel();
        let mut wake = File::from(wake);
        let thread = std::thread::spawn(move || {
            for batch in receiver {
                // Where nobody listens any more, nobody waits either.
                let _ = sender.send(hash(batch));
                let _ = wake.write_all(&1_u64.to_ne_bytes());
            }
        });
        Beside {
            batches: Some(batches),
            hashed,
            thread: Some(thread),
        }
    }

    /// Gives it a batch.
    pub(crate) fn give(&self, batch: Vec<Whole>) -> io::Result<()> {
        let batches = self.batches.as_ref();
        let given = batches.is_some_and(|batches| batches.send(batch).is_ok());
        given
            .then_some(())
            .ok_or_else(|| io::Error::other("the hash thread has ended"))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.batches.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, it said so itself.
            let _ = thread.join();
        }
    }
}

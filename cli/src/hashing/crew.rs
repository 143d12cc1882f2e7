//! Many hands for a numbered list of tasks.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::exit::Failure;
use crate::stop::Stop;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);

/// What those who work together know of each other.
pub(crate) struct Crew<'a> {
    stop: &'a Stop,
    broken: AtomicBool,
    bytes: AtomicU64,
}

impl Crew<'_> {
    /// Whether to leave off: somebody asked for it, or one has failed. What a task then returns is
    /// not looked at.
    pub(crate) fn is_over(&self) -> bool {
        self.stop.is_asked() || self.broken.load(Ordering::Relaxed)
    }

    /// So many bytes more were looked at.
    pub(crate) fn tell(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How many work together.
pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Does `task` for each number below `count` on all cores, the results in order; `None` if it was
/// stopped. Each thread has what `tools` makes; `progress` is told the bytes looked at.
pub(crate) fn in_parallel<T: Send, W>(
    count: usize,
    stop: &Stop,
    mut progress: impl FnMut(u64),
    tools: impl Fn() -> W + Sync,
    task: impl Fn(usize, &mut W, &Crew<'_>) -> Result<T, Failure> + Sync,
) -> Result<Option<Vec<T>>, Failure> {
    let results: Mutex<Vec<Option<T>>> = Mutex::new((0..count).map(|_| None).collect());
    let refused = Mutex::new(None);
    let next = AtomicUsize::new(0);
    let crew = Crew {
        stop,
        broken: AtomicBool::new(false),
        bytes: AtomicU64::new(0),
    };
    let (at_work, workers) = channel::<()>();
    let labour = |_at_work: std::sync::mpsc::Sender<()>| {
        let mut tools = tools();
        while !crew.is_over() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            match task(number, &mut tools, &crew) {
                Ok(result) => lock(&results)[number] = Some(result),
                Err(failure) => {
                    crew.broken.store(true, Ordering::Relaxed);
                    lock(&refused).get_or_insert(failure);
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..cores().min(count) {
            let at_work = at_work.clone();
            scope.spawn(|| labour(at_work));
        }
        drop(at_work);
        while let Err(RecvTimeoutError::Timeout) = workers.recv_timeout(TICK) {
            progress(crew.bytes.load(Ordering::Relaxed));
        }
    });
    progress(crew.bytes.load(Ordering::Relaxed));
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    match refused.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(failure) => Err(failure),
        None if stop.is_asked() => Ok(None),
        None => Ok(results.into_iter().collect()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    /// Every task is done once, the results are in order, and the last word of the progress is all
    /// of it.
    #[test]
    fn results_are_in_order() {
        let mut told = 0;
        let squares = in_parallel(
            100,
            &Stop::default(),
            |bytes| told = bytes,
            || (),
            |number, (), crew| {
                crew.tell(3);
                Ok(number * number)
            },
        );
        let expected: Vec<_> = (0..100).map(|number| number * number).collect();
        assert_eq!(squares.unwrap().unwrap(), expected);
        assert_eq!(told, 300);
    }

    /// The first failure ends the work of all; so does a wish to stop, which is no failure.
    #[test]
    fn a_failure_ends_it() {
        let task = |number, (): &mut (), _: &Crew<'_>| match number {
            7 => Err(Failure::new(Exit::Disk, "seven")),
            _ => Ok(()),
        };
        let stop = Stop::default();
        let failure = in_parallel(1_000_000, &stop, |_| {}, || (), task);
        assert_eq!(failure.unwrap_err().to_string(), "seven");
        stop.ask();
        assert_eq!(in_parallel(5, &stop, |_| {}, || (), task).unwrap(), None);
    }
}

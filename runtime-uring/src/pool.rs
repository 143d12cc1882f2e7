//! Threads for what must not hold up the loop, and the way home for what they did.

use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use ripcurrent_proto::api::{Input, StorageId};

use crate::bell::Waker;

/// What a thread has done.
pub(crate) struct Finished {
    /// The answer for the machine.
    pub(crate) input: Input<'static>,
    /// The storage it was done for.
    pub(crate) storage: Option<StorageId>,
}

/// Where threads put what they have done; each thing put there rings the bell.
#[derive(Clone)]
pub(crate) struct Basket {
    finished: Arc<Mutex<VecDeque<Result<Finished, Panic>>>>,
    waker: Waker,
}

type Panic = Box<dyn Any + Send>;
type Job = Box<dyn FnOnce(&mut Vec<Finished>) + Send>;

impl Basket {
    pub(crate) fn new(waker: Waker) -> Self {
        let finished = Arc::default();
        Basket { finished, waker }
    }

    /// Takes the oldest thing out. A panic of the thread that did it goes on here.
    pub(crate) fn take(&self) -> Option<Finished> {
        let oldest = lock(&self.finished).pop_front()?;
        Some(oldest.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Puts all of it there at once, and rings once.
    fn put(&self, finished: impl IntoIterator<Item = Result<Finished, Panic>>) {
        lock(&self.finished).extend(finished);
        self.waker.wake();
    }
}

/// A fixed number of threads with one queue of jobs. What the queue holds is bounded by whoever
/// gives the jobs: the engine, whose slabs are.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Pool {
    /// Starts `count` threads (at least one).
    pub(crate) fn new(name: &str, count: usize, basket: &Basket) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let mut pool = Pool {
            queue: Arc::clone(&queue),
            threads: Vec::new(),
        };
        for _ in 0..count.max(1) {
            let (queue, basket) = (Arc::clone(&queue), basket.clone());
            let thread = thread::Builder::new().name(name.into());
            let handle = thread.spawn(move || work(&queue, &basket))?;
            pool.threads.push(handle);
        }
        Ok(pool)
    }

    /// Queues a job.
    pub(crate) fn give(&self, job: impl FnOnce() -> Finished + Send + 'static) {
        self.give_many(|finished| finished.push(job()));
    }

    /// Queues a job that finishes several things, all told together.
    pub(crate) fn give_many(&self, job: impl FnOnce(&mut Vec<Finished>) + Send + 'static) {
        lock(&self.queue.state).jobs.push_back(Box::new(job));
        self.queue.wake.notify_one();
    }

    /// Forgets the jobs that nobody has begun and does not wait for those that somebody has: for
    /// jobs that change nothing and may take long.
    pub(crate) fn abandon(mut self) {
        lock(&self.queue.state).jobs.clear();
        self.threads.clear();
    }
}

impl Drop for Pool {
    /// Waits until all jobs are done.
    fn drop(&mut self) {
        lock(&self.queue.state).closed = true;
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            // The panics of jobs went into the basket.
            let _ = thread.join();
        }
    }
}

fn work(queue: &Queue, basket: &Basket) {
    let mut finished = Vec::new();
    while let Some(job) = queue.next() {
        let panic = catch_unwind(AssertUnwindSafe(|| job(&mut finished))).err();
        basket.put(finished.drain(..).map(Ok).chain(panic.map(Err)));
    }
}

impl Queue {
    fn next(&self) -> Option<Job> {
        let mut state = lock(&self.state);
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Locks what no panic can leave half-changed: every change under these locks is one call.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::api::Command;
    use ripcurrent_proto::base::id::TorrentId;

    fn nothing() -> Finished {
        Finished {
            input: Input::Command(Command::ShutDown),
            storage: None,
        }
    }

    /// Leaving the pool waits for its jobs, and every answer is in the basket.
    #[test]
    fn all_jobs_are_done_before_the_threads_leave() {
        let basket = Basket::new(Waker::new().unwrap());
        let pool = Pool::new("test", 2, &basket).unwrap();
        for _ in 0..100 {
            pool.give(nothing);
        }
        drop(pool);
        assert_eq!(std::iter::from_fn(|| basket.take()).count(), 100);
    }

    /// What a job finishes comes in its order, each thing once.
    #[test]
    fn a_job_may_finish_several_things() {
        let basket = Basket::new(Waker::new().unwrap());
        let pool = Pool::new("test", 1, &basket).unwrap();
        let storages = [1, 2, 3].map(|number| Some(TorrentId(number)));
        pool.give_many(move |finished| {
            finished.extend(storages.map(|storage| Finished {
                storage,
                ..nothing()
            }));
        });
        drop(pool);
        let found: Vec<_> = std::iter::from_fn(|| basket.take())
            .map(|finished| finished.storage)
            .collect();
        assert_eq!(found, storages);
    }

    /// A panic is not lost in a thread.
    #[test]
    #[should_panic(expected = "a bad job")]
    fn a_panic_goes_on_where_the_answer_is_taken() {
        let basket = Basket::new(Waker::new().unwrap());
        let pool = Pool::new("test", 1, &basket).unwrap();
        pool.give(|| panic!("a bad job"));
        drop(pool);
        basket.take();
    }
}

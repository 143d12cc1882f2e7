//! Edge-triggered epoll(7), and a queue of those that can go on: each gets its turn, and the kernel
//! is asked again when nobody is left.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

/// What is known of a connection's socket.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Readiness {
    /// A read may bring something.
    pub(crate) readable: bool,
    /// A write may take something.
    pub(crate) writable: bool,
}

pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    queue: VecDeque<usize>,
    queued: Vec<bool>,
}

impl Poller {
    pub(crate) fn new() -> io::Result<Poller> {
        Ok(Poller {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(256),
            queue: VecDeque::new(),
            queued: Vec::new(),
        })
    }

    /// Watches `fd` under `token`.
    pub(crate) fn add(&mut self, fd: impl AsFd, token: usize) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, fd, EventData::new_u64(token as u64), flags)?;
        Ok(())
    }

    /// Watches `fd` for input, told as long as there is some.
    pub(crate) fn add_input(&mut self, fd: impl AsFd, token: usize) -> io::Result<()> {
        let data = EventData::new_u64(token as u64);
        // A file is always readable and cannot be watched.
        match epoll::add(&self.epoll, fd, data, EventFlags::IN) {
            Err(rustix::io::Errno::PERM) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Gives `token` a turn.
    pub(crate) fn enqueue(&mut self, token: usize) {
        if self.queued.len() <= token {
            self.queued.resize(token + 1, false);
        }
        if !self.queued[token] {
            self.queued[token] = true;
            self.queue.push_back(token);
        }
    }

    /// Whose turn it is. `None`: ask the kernel.
    pub(crate) fn next(&mut self) -> Option<usize> {
        let token = self.queue.pop_front()?;
        self.queued[token] = false;
        Some(token)
    }

    /// What the kernel has to tell; waits for it if nobody is in the queue.
    pub(crate) fn poll(&mut self) -> io::Result<Vec<(usize, Readiness)>> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let timeout = (!self.queue.is_empty()).then_some(&now);
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let told = self.events.iter().map(|event| {
            let (data, flags) = (event.data, event.flags);
            let over = EventFlags::ERR | EventFlags::HUP | EventFlags::RDHUP;
            let readiness = Readiness {
                readable: flags.intersects(EventFlags::IN | over),
                writable: flags.intersects(EventFlags::OUT | over),
            };
            (data.u64() as usize, readiness)
        });
        Ok(told.collect())
    }
}

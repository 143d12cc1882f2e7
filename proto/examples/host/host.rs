// The host: a clock, the network, a thread for disk and hashes, and the loop that drives a machine.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{thread, time};

use ripcurrent_proto::api::{Input, IoError, IoErrorKind, Output};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, Turn};
use sha1::{Digest, Sha1};

use crate::disk::Storages;
use crate::net::Network;

pub(crate) struct Host {
    started: time::Instant,
    network: Network,
    /// To the thread, and back from it.
    jobs: Sender<Output>,
    done: Receiver<Input<'static>>,
}

impl Host {
    /// A host that listens at `addr`, and where that is.
    pub(crate) fn new(addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let (network, addr) = Network::new(addr)?;
        let (jobs, work) = mpsc::channel();
        let (answers, done) = mpsc::channel();
        // It ends with the host, whose end of the channel closes.
        thread::spawn(move || {
            let mut storages = Storages::default();
            for job in work {
                let Some(answer) = answer(&mut storages, job) else {
                    continue;
                };
                if answers.send(answer).is_err() {
                    return;
                }
            }
        });
        #[expect(clippy::disallowed_methods, reason = "a host's one clock")]
        let started = time::Instant::now();
        Ok((
            Host {
                started,
                network,
                jobs,
                done,
            },
            addr,
        ))
    }

    /// Waits for something to happen, in the simplest way: briefly. Others wait in epoll or a ring.
    pub(crate) fn wait(&self, next: Turn) {
        if let Turn::Wait(deadline) = next {
            let longest = Duration::from_millis(1);
            let rest = deadline.map_or(longest, |at| at.since(self.now()).min(longest));
            thread::park_timeout(rest);
        }
    }
}

impl Backend for Host {
    fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Net(net) => self.network.carry(net),
            // The thread lives as long as we do; if it panicked, nothing comes back any more.
            job => self.jobs.send(job).expect("the disk's thread is there"),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, bound: usize) -> bool {
        let now = self.now();
        let mut happened = self.network.reap(machine, now, bound);
        for answer in self.done.try_iter().take(bound) {
            machine.handle(now, answer);
            happened = true;
        }
        happened
    }
}

/// Does one of the things that take their time.
fn answer(storages: &mut Storages, job: Output) -> Option<Input<'static>> {
    Some(match job {
        Output::Disk(disk) => Input::Disk(storages.carry(disk)),
        Output::Hash { op, slab } => {
            let digest = Sha1::digest(slab.as_slice()).into();
            Input::Hashed { op, slab, digest }
        }
        // Names are not looked up here: whoever announces to trackers asks the system's resolver.
        Output::Resolve { op, .. } => {
            let error = IoError {
                kind: IoErrorKind::NotFound,
                code: 0,
            };
            Input::Resolved {
                op,
                result: Err(error),
            }
        }
        Output::Net(_) => return None,
    })
}

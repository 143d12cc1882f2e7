//! A host in a process that has no descriptor left. The limit is the whole process's, so this is a
//! program of its own, with one test.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use ripcurrent_proto::api::{Input, Net, Output};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::Machine;
use ripcurrent_runtime_uring::{Choice, Control, Descriptors, Host, Listen, Options};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

/// How many want to come in.
const VISITORS: usize = 8;

/// Long enough to turn thousands of times for who does not rest.
const MOMENT: Duration = Duration::from_millis(500);

/// Lets everybody in and sends them away at once.
#[derive(Default)]
struct Doorkeeper {
    outputs: VecDeque<Output>,
    conns: Slots<()>,
    served: usize,
}

impl Machine for Doorkeeper {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        let conn = ConnId(self.conns.insert(()));
        self.outputs.push_back(Output::Net(Net::Close { conn }));
        Some(conn)
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        if let Input::Closed { conn } = input {
            self.conns.remove(conn.0).unwrap();
            self.served += 1;
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// Without a descriptor for those who knock, a host rests instead of asking again and again, and
/// lets them in when there is one. The limit is raised as far as the system allows, and no further.
#[test]
fn a_host_without_descriptors_rests_and_recovers() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    for backend in [Choice::Uring, Choice::TokioUring, Choice::Epoll] {
        limit_open_files(Some(64));
        Descriptors::raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, maximum);

        let host = Host::new(Options {
            backend,
            bind: Ipv4Addr::LOCALHOST.into(),
            listen: Listen::Port(0),
            loopback_only: true,
            ..Options::default()
        })
        .unwrap();
        let door = host.listening_at().unwrap();
        let mut keeper = Doorkeeper::default();
        let visitors: Vec<_> = (0..VISITORS).map(|_| visitor()).collect();
        let mut looks = 0;
        let mut until = None;
        host.run(&mut keeper, |keeper, now| {
            looks += 1;
            let until = *until.get_or_insert_with(|| {
                // What is open stays open; what is new is refused.
                limit_open_files(Some(next_descriptor()));
                for visitor in &visitors {
                    visitor.connect(&door.into()).unwrap();
                }
                now + MOMENT
            });
            if now < until {
                return Control::Wait(Some(until));
            }
            if getrlimit(Resource::Nofile).current != maximum {
                assert_eq!(keeper.served, 0);
                assert!(looks < 100, "{looks} looks while nothing could be done");
                limit_open_files(maximum);
            }
            match keeper.served {
                VISITORS => Control::Stop,
                _ => Control::Wait(None),
            }
        })
        .unwrap();
        assert_eq!(keeper.served, VISITORS, "{backend:?}");
    }
}

fn visitor() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
}

/// The lowest descriptor that is free.
fn next_descriptor() -> u64 {
    let probe = std::fs::File::open("/dev/null").unwrap();
    u64::try_from(probe.as_raw_fd()).unwrap()
}

fn limit_open_files(current: Option<u64>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

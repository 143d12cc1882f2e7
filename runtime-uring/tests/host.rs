//! What a host promises beyond the suite: waking, leaving, local addresses, and large crowds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use ripcurrent_proto::api::{EndReason, Input, IoErrorKind, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_runtime_uring::{BackendName, Choice, Control, Host, HostError, Listen, Options};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use socket2::SockRef;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Makes tests of scenes, each on every backend.
macro_rules! on_every_backend {
    ($($scene:ident),* $(,)?) => {
        mod uring {
            $(
                #[test]
                fn $scene() {
                    super::$scene(super::Choice::Uring);
                }
            )*
        }

        mod tokio_uring {
            $(
                #[test]
                fn $scene() {
                    super::$scene(super::Choice::TokioUring);
                }
            )*
        }

        mod epoll {
            $(
                #[test]
                fn $scene() {
                    super::$scene(super::Choice::Epoll);
                }
            )*
        }
    };
}

on_every_backend! {
    every_wake_up_from_outside_is_heard,
    control_sees_what_a_timeout_changed,
    control_is_called_when_it_asked_for_it,
    the_bound_address_is_told,
    connections_leave_from_the_bound_address,
    a_reset_is_told_apart_from_an_end,
    nothing_but_loopback_is_reached,
    leaving_brings_everything_home,
    a_panic_ends_the_host,
    a_crowd_of_two_hundred,
}

fn options(backend: Choice, bind: IpAddr, listen: Listen) -> Options {
    Options {
        backend,
        bind,
        listen,
        loopback_only: true,
        ..Options::default()
    }
}

/// A machine that asks for what it is told to and remembers what it saw.
#[derive(Default)]
struct Probe {
    outputs: VecDeque<Output>,
    conns: Slots<()>,
    bound: Option<SocketAddr>,
    connected: usize,
    ended: Vec<EndReason>,
    timeouts: usize,
    timeout: Option<Instant>,
}

impl Probe {
    fn dial(&mut self, to: SocketAddr) -> ConnId {
        let conn = ConnId(self.conns.insert(()));
        self.ask(Net::Connect {
            conn,
            to,
            tls: None,
        });
        conn
    }

    fn ask(&mut self, net: Net) {
        self.outputs.push_back(Output::Net(net));
    }
}

impl Machine for Probe {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        Some(ConnId(self.conns.insert(())))
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Bound { addr } => self.bound = Some(addr),
            Input::Connected { conn } => {
                self.connected += 1;
                self.ask(Net::Recv { conn, until: 100 });
            }
            Input::Ended { reason, .. } => self.ended.push(reason),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.timeout.take_if(|at| *at <= now).is_some() {
            self.timeouts += 1;
        }
    }

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }
}

/// Runs a probe until `done`.
fn run_until(
    options: Options,
    mut probe: Probe,
    mut done: impl FnMut(&mut Probe) -> bool,
) -> Probe {
    let host = Host::new(options).unwrap();
    let control = |probe: &mut Probe, _| match done(probe) {
        true => Control::Stop,
        false => Control::Wait(None),
    };
    host.run(&mut probe, control).unwrap();
    probe
}

/// No wake-up is lost, however many threads wake a host that waits for nothing else.
fn every_wake_up_from_outside_is_heard(backend: Choice) {
    const THREADS: usize = 4;
    const EACH: usize = 1000;
    let host = Host::new(options(backend, LOOPBACK, Listen::No)).unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (waker, count) = (host.waker(), Arc::clone(&count));
            thread::spawn(move || {
                for _ in 0..EACH {
                    count.fetch_add(1, Ordering::SeqCst);
                    waker.wake();
                }
            })
        })
        .collect();
    let all_came = |_: &mut Probe, _| match count.load(Ordering::SeqCst) {
        all if all == THREADS * EACH => Control::Stop,
        _ => Control::Wait(None),
    };
    host.run(&mut Probe::default(), all_came).unwrap();
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Timeouts fire in their time, and `control` sees what they changed although nothing else happens.
fn control_sees_what_a_timeout_changed(backend: Choice) {
    let probe = Probe {
        timeout: Some(Instant::from_micros(20_000)),
        ..Probe::default()
    };
    let probe = run_until(options(backend, LOOPBACK, Listen::No), probe, |probe| {
        probe.timeouts == 1
    });
    assert_eq!(probe.timeouts, 1);
}

/// `control` is called again at the instant it named.
fn control_is_called_when_it_asked_for_it(backend: Choice) {
    let host = Host::new(options(backend, LOOPBACK, Listen::No)).unwrap();
    let at = Instant::from_micros(30_000);
    let mut last = Instant::ZERO;
    host.run(&mut Probe::default(), |_, now| {
        last = now;
        if now >= at {
            Control::Stop
        } else {
            Control::Wait(Some(at))
        }
    })
    .unwrap();
    assert!(last >= at);
}

/// The machine and the maker of the host learn the same address.
fn the_bound_address_is_told(backend: Choice) {
    let host = Host::new(options(backend, LOOPBACK, Listen::Port(0))).unwrap();
    let addr = host.listening_at().unwrap();
    assert_ne!(addr.port(), 0);
    let mut probe = Probe::default();
    let bound = |probe: &mut Probe, _| match probe.bound {
        Some(_) => Control::Stop,
        None => Control::Wait(None),
    };
    host.run(&mut probe, bound).unwrap();
    assert_eq!(probe.bound, Some(addr));
}

/// Outgoing connections come from the address the host is bound to.
fn connections_leave_from_the_bound_address(backend: Choice) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let local: IpAddr = "127.80.0.7".parse().unwrap();
    let mut probe = Probe::default();
    probe.dial(listener.local_addr().unwrap());
    run_until(options(backend, local, Listen::No), probe, |probe| {
        probe.connected == 1
    });
    assert_eq!(listener.accept().unwrap().1.ip(), local);
}

/// A far end that resets instead of closing is told apart, with the system's number.
fn a_reset_is_told_apart_from_an_end(backend: Choice) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let mut probe = Probe::default();
    probe.dial(listener.local_addr().unwrap());
    let mut reset = false;
    let probe = run_until(options(backend, LOOPBACK, Listen::No), probe, |probe| {
        if probe.connected == 1 && !reset {
            let stream = listener.accept().unwrap().0;
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
            reset = true;
        }
        !probe.ended.is_empty()
    });
    let EndReason::Failed(error) = probe.ended[0] else {
        panic!("ended by {:?}", probe.ended[0]);
    };
    assert_eq!(
        (error.kind, error.code),
        (IoErrorKind::Reset, libc::ECONNRESET)
    );
}

/// With loopback alone allowed, nothing else is dialled or listened at, whatever the machine asks.
fn nothing_but_loopback_is_reached(backend: Choice) {
    let mut probe = Probe::default();
    // Documentation addresses (RFC 5737, RFC 3849): nobody's.
    for foreign in ["192.0.2.1:80", "[2001:db8::1]:80", "[::ffff:192.0.2.1]:80"] {
        probe.dial(foreign.parse().unwrap());
    }
    let probe = run_until(options(backend, LOOPBACK, Listen::No), probe, |probe| {
        probe.ended.len() == 3
    });
    for reason in probe.ended {
        let forbidden =
            matches!(reason, EndReason::Failed(error) if error.kind == IoErrorKind::Forbidden);
        assert!(forbidden, "{reason:?}");
    }
    let everywhere = options(backend, Ipv4Addr::UNSPECIFIED.into(), Listen::Port(0));
    let refused = Host::new(everywhere).map(|_| ());
    assert!(
        matches!(refused, Err(HostError::NotLoopback { .. })),
        "{refused:?}"
    );
}

/// Leaving with a connect, a receive and a transmission in flight ends, and the far end sees it.
fn leaving_brings_everything_home(backend: Choice) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let mut probe = Probe::default();
    let conn = probe.dial(listener.local_addr().unwrap());
    let mut started = false;
    run_until(
        options(backend, LOOPBACK, Listen::Port(0)),
        probe,
        |probe| {
            if probe.connected == 1 && !started {
                started = true;
                let transmission = flood();
                probe.ask(Net::Transmit { conn, transmission });
                probe.dial(listener.local_addr().unwrap());
                return false;
            }
            probe.connected == 2
        },
    );
    let mut stream = listener.accept().unwrap().0;
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    assert!(received.len() < FLOOD, "it was cut off, in good order");
}

/// A panic of the machine ends the host instead of leaving it to wait for what is in flight.
fn a_panic_ends_the_host(backend: Choice) {
    let listener = TcpListener::bind((LOOPBACK, 0)).unwrap();
    let to = listener.local_addr().unwrap();
    let panicking = thread::spawn(move || {
        let mut probe = Probe {
            timeout: Some(Instant::from_micros(50_000)),
            ..Probe::default()
        };
        probe.dial(to);
        run_until(
            options(backend, LOOPBACK, Listen::Port(0)),
            probe,
            |probe| {
                let late = probe.timeouts == 1 && probe.connected == 1;
                assert!(!late, "with a receive and an accept in flight");
                false
            },
        );
    });
    let panic = panicking.join().unwrap_err();
    assert!(
        panic
            .downcast_ref::<&str>()
            .is_some_and(|text| text.contains("in flight"))
    );
}

const FLOOD: usize = 64 << 20;

fn flood() -> Transmission {
    let mut slab = Slab::new(1 << 20);
    slab.set_len(1 << 20);
    let slab = Arc::new(slab);
    let mut transmission = Transmission::default();
    for _ in 0..FLOOD >> 20 {
        transmission.push_slab(Arc::clone(&slab), 0, 1 << 20);
    }
    transmission
}

/// Where io_uring is not there or not allowed, who asked for it is told so with the remedy.
#[test]
fn a_ring_that_is_refused_is_explained() {
    for choice in [Choice::Uring, Choice::TokioUring] {
        for (errno, remedy) in REFUSALS {
            let refused = without_rings(errno, || {
                Host::new(options(choice, LOOPBACK, Listen::No)).map(|_| ())
            });
            let error = refused.unwrap_err();
            assert!(error.is_forbidden(), "{error}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
    }
}

/// Where io_uring is not there or not allowed, who leaves the choice open gets epoll, and is told
/// why.
#[test]
fn epoll_takes_the_place_of_a_ring_that_is_refused() {
    for (errno, remedy) in REFUSALS {
        let said = without_rings(errno, || {
            let host = Host::new(options(Choice::Auto, LOOPBACK, Listen::Port(0))).unwrap();
            let chosen = host.backend();
            assert_eq!(chosen.name, BackendName::Epoll);
            let refused: Vec<_> = chosen.refused.iter().map(|(name, _)| *name).collect();
            assert_eq!(refused, [BackendName::Uring, BackendName::TokioUring]);
            let said = chosen.to_string();
            let to = host.listening_at().unwrap();
            let mut probe = Probe::default();
            probe.dial(to);
            let connected = |probe: &mut Probe, _| match probe.connected {
                1 => Control::Stop,
                _ => Control::Wait(None),
            };
            host.run(&mut probe, connected).unwrap();
            said
        });
        assert!(
            said.starts_with("epoll; not uring or tokio-uring: "),
            "{said}"
        );
        assert!(said.contains(remedy), "{said}");
    }
}

/// What is wrong for another reason than that the system forbids it is not passed over in silence.
#[test]
fn a_ring_that_is_asked_for_wrongly_is_an_error() {
    let refused = Host::new(Options {
        ring_entries: u32::MAX / 8,
        ..options(Choice::Auto, LOOPBACK, Listen::No)
    });
    let refused = refused.map(|_| ());
    assert!(matches!(refused, Err(HostError::Ring(_))), "{refused:?}");
}

/// A ring that has no more than what older kernels offer is passed over for the next best.
#[test]
fn an_older_ring_comes_second() {
    let said = refusing(libc::SYS_io_uring_register, libc::EINVAL, || {
        let host = Host::new(options(Choice::Auto, LOOPBACK, Listen::No)).unwrap();
        host.backend().to_string()
    });
    assert!(said.starts_with("tokio-uring; not uring: "), "{said}");
    assert!(said.contains("Linux 6.1 or later"), "{said}");
}

/// Where io_uring is there, it is taken.
#[test]
fn a_ring_comes_first() {
    let host = Host::new(options(Choice::Auto, LOOPBACK, Listen::No)).unwrap();
    let chosen = host.backend();
    assert_eq!(chosen.name, BackendName::Uring);
    assert!(chosen.refused.is_empty(), "{chosen}");
    assert_eq!(chosen.to_string(), "uring");
}

/// The ways in which systems refuse io_uring, and a word of each remedy.
const REFUSALS: [(i32, &str); 3] = [
    (libc::EPERM, "kernel.io_uring_disabled"),
    (libc::ENOSYS, "seccomp"),
    (libc::ENOMEM, "ulimit -l"),
];

/// A listener to which the system refuses every connection rests between its attempts.
#[test]
fn a_listener_that_is_refused_rests() {
    let looks = refusing(libc::SYS_accept4, libc::EPERM, || {
        let host = Host::new(options(Choice::Epoll, LOOPBACK, Listen::Port(0))).unwrap();
        let _visitor = TcpStream::connect(host.listening_at().unwrap()).unwrap();
        let until = Instant::from_micros(500_000);
        let mut looks = 0;
        host.run(&mut Probe::default(), |_, now| {
            looks += 1;
            match now < until {
                true => Control::Wait(Some(until)),
                false => Control::Stop,
            }
        })
        .unwrap();
        looks
    });
    assert!(looks < 100, "{looks} looks while nothing could be done");
}

/// Does something on a thread to which the system refuses io_uring.
fn without_rings<T: Send>(errno: i32, work: impl FnOnce() -> T + Send) -> T {
    refusing(libc::SYS_io_uring_setup, errno, work)
}

/// Does something on a thread to which a system call is refused, as by a container's profile.
fn refusing<T: Send>(call: i64, errno: i32, work: impl FnOnce() -> T + Send) -> T {
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(errno as u32),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&program).unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

/// How many connections the crowd opens, and how much goes each way on each.
const CROWD: usize = 200;
const LOAD: u64 = 100_000;

/// One end of many connections: it sends [`LOAD`] bytes on each, a little at a time, and closes
/// when as many have come in and its own have gone out.
#[derive(Default)]
struct Crowd {
    outputs: VecDeque<Output>,
    conns: Slots<Member>,
    bad_bytes: usize,
    served: usize,
}

#[derive(Default)]
struct Member {
    /// Everybody's bytes differ: those of one connection are all its number.
    theirs: Option<u8>,
    received: u64,
    sent: u64,
    closing: bool,
}

impl Crowd {
    fn start(&mut self, conn: ConnId) {
        let net = Net::Recv { conn, until: LOAD };
        self.outputs.push_back(Output::Net(net));
        self.send(conn);
    }

    fn send(&mut self, conn: ConnId) {
        let number = conn.0.slot() as u8;
        let mut transmission = Transmission::default();
        transmission.push_head(|out| out.resize(out.len() + 5000, number));
        let net = Net::Transmit { conn, transmission };
        self.outputs.push_back(Output::Net(net));
    }

    fn close_if_done(&mut self, conn: ConnId) {
        if let Some(member) = self.conns.get_mut(conn.0)
            && (member.received, member.sent) == (LOAD, LOAD)
            && !member.closing
        {
            member.closing = true;
            self.outputs.push_back(Output::Net(Net::Close { conn }));
        }
    }
}

impl Machine for Crowd {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        let conn = ConnId(self.conns.insert(Member::default()));
        self.start(conn);
        Some(conn)
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } => self.start(conn),
            Input::Received { conn, data } => {
                let member = self.conns.get_mut(conn.0).unwrap();
                let theirs = *member.theirs.get_or_insert(data[0]);
                member.received += data.len() as u64;
                self.bad_bytes += data.iter().filter(|byte| **byte != theirs).count();
                self.close_if_done(conn);
            }
            Input::Sent { conn } => {
                let member = self.conns.get_mut(conn.0).unwrap();
                member.sent += 5000;
                if member.sent < LOAD {
                    self.send(conn);
                }
                self.close_if_done(conn);
            }
            Input::Closed { conn } => {
                self.conns.remove(conn.0).unwrap();
                self.served += 1;
            }
            Input::Ended { conn, reason } => panic!("{conn:?} ended early: {reason:?}"),
            _ => {}
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

fn serve(host: Host, mut crowd: Crowd) {
    let all_served = |crowd: &mut Crowd, _| match crowd.served {
        CROWD => Control::Stop,
        _ => Control::Wait(None),
    };
    host.run(&mut crowd, all_served).unwrap();
    assert_eq!((crowd.bad_bytes, crowd.conns.len()), (0, 0));
}

/// Two hundred connections at once keep their bytes apart and all come to their end.
fn a_crowd_of_two_hundred(backend: Choice) {
    a_crowd(move |listen| options(backend, LOOPBACK, listen));
}

/// So does a ring with room for two entries and eight completions: whatever else there is waits.
#[test]
fn a_crowd_of_two_hundred_in_a_small_ring() {
    a_crowd(|listen| Options {
        ring_entries: 2,
        ..options(Choice::Uring, LOOPBACK, listen)
    });
}

fn a_crowd(options: impl Fn(Listen) -> Options + Copy + Send + 'static) {
    let door = Host::new(options(Listen::Port(0))).unwrap();
    let to = door.listening_at().unwrap();
    let visitors = thread::spawn(move || {
        let mut crowd = Crowd::default();
        for _ in 0..CROWD {
            let conn = ConnId(crowd.conns.insert(Member::default()));
            let tls = None;
            let connect = Net::Connect { conn, to, tls };
            crowd.outputs.push_back(Output::Net(connect));
        }
        serve(Host::new(options(Listen::No)).unwrap(), crowd);
    });
    serve(door, Crowd::default());
    visitors.join().unwrap();
}

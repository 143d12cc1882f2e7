//! The backend over a scripted kernel: what the machine hears when the kernel is late, short, busy,
//! out of buffers, or says no.

mod chaos;
mod doors;
mod loops;
mod protected;
mod receiving;
mod sending;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};

use io_uring::opcode;
use ripcurrent_proto::api::{DiskDone, EndReason, Input, IoError, Net, Output, Transmission};
use ripcurrent_proto::base::id::{ConnId, Slots};
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::{self, Machine, Turn};
use socket2::{Domain, Socket, Type};

use super::buffers::Shape;
use super::scripted::{ON_FD, Scripted, Sqe};
use super::{Ring, Uring};
use crate::bell::Waker;
use crate::clock::Clock;
use crate::options::Options;
use crate::tls::Roots;
use crate::work::Work;

/// Small, so that their end is reached.
const SHAPE: Shape = Shape {
    count: 4,
    size: 4096,
};

/// The most that one entry receives of whatever comes: all that the buffers hold.
const ALL: u64 = 4 * 4096;

/// What a machine was told.
#[derive(Clone, Debug, PartialEq)]
enum Heard {
    Bound,
    Accepted(ConnId),
    Connected(ConnId),
    Received(ConnId, Vec<u8>),
    Sent(ConnId),
    Returned(ConnId),
    Ended(ConnId, EndReason),
    Closed(ConnId),
}

/// Remembers what it was told, and asks for what it is told to.
#[derive(Default)]
pub(super) struct Probe {
    pub(super) outputs: VecDeque<Output>,
    conns: Slots<()>,
    heard: Vec<Heard>,
    /// Of the disk.
    pub(super) answers: Vec<DiskDone>,
    returned: Vec<Transmission>,
    /// It lets nobody in.
    refuses: bool,
}

impl Machine for Probe {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        if self.refuses {
            return None;
        }
        let conn = ConnId(self.conns.insert(()));
        self.heard.push(Heard::Accepted(conn));
        Some(conn)
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        self.heard.push(match input {
            Input::Bound { .. } => Heard::Bound,
            Input::Connected { conn } => Heard::Connected(conn),
            Input::Received { conn, data } => {
                let bytes = data.to_vec();
                // It is lent to be changed.
                data.fill(0xee);
                Heard::Received(conn, bytes)
            }
            Input::Sent { conn } => Heard::Sent(conn),
            Input::Returned { conn, transmission } => {
                self.returned.push(transmission);
                Heard::Returned(conn)
            }
            Input::Ended { conn, reason } => Heard::Ended(conn, reason),
            Input::Closed { conn } => {
                self.conns.remove(conn.0).expect("it is closed once");
                Heard::Closed(conn)
            }
            Input::Disk(done) => return self.answers.push(done),
            other => panic!("{other:?}"),
        });
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// A backend, its machine and its kernel.
struct Scene {
    script: Scripted,
    uring: Uring<Scripted>,
    probe: Probe,
    waker: Waker,
}

impl Scene {
    fn new() -> Self {
        Scene::on(Scripted::default(), Roots::default())
    }

    fn on(script: Scripted, extra_roots: Roots) -> Self {
        let options = Options {
            loopback_only: true,
            extra_roots,
            ..Options::default()
        };
        let waker = Waker::new().unwrap();
        let work = Work::new(&options, &waker).unwrap();
        let ring = Ring::new(script.clone(), SHAPE).unwrap();
        script.lets_go();
        let beside = (Clock::new(), waker.clone(), work);
        Scene {
            script,
            uring: Uring::new(ring, &options, beside),
            probe: Probe::default(),
            waker,
        }
    }

    /// Turns until nothing more happens, and lets the kernel work; what the machine was told.
    fn turn(&mut self) -> Vec<Heard> {
        loop {
            while drive::turn(&mut self.probe, &mut self.uring) == Turn::Busy {}
            self.uring.enter(true, None).unwrap();
            if self.uring.ready.is_empty() {
                return std::mem::take(&mut self.probe.heard);
            }
        }
    }

    fn ask(&mut self, net: Net) {
        self.probe.outputs.push_back(Output::Net(net));
    }

    fn credit(&mut self, conn: ConnId, until: u64) {
        self.ask(Net::Recv { conn, until });
    }

    fn close(&mut self, conn: ConnId) {
        self.ask(Net::Close { conn });
    }

    /// A connection in the making, and its entry.
    fn dial(&mut self) -> (ConnId, Sqe) {
        let conn = ConnId(self.probe.conns.insert(()));
        let to = SocketAddr::from(([127, 0, 0, 1], 9));
        let tls = None;
        self.ask(Net::Connect { conn, to, tls });
        assert_eq!(self.turn(), []);
        (conn, self.script.take(opcode::Connect::CODE))
    }

    /// A connection that is made.
    fn connect(&mut self) -> ConnId {
        let (conn, sqe) = self.dial();
        self.script.complete(&sqe, 0, 0);
        assert_eq!(self.turn(), [Heard::Connected(conn)]);
        conn
    }

    /// A connection with credit, and the entry that receives.
    fn receiver(&mut self, until: u64) -> (ConnId, Sqe) {
        let conn = self.connect();
        self.credit(conn, until);
        assert_eq!(self.turn(), []);
        (conn, self.script.take(opcode::Recv::CODE))
    }

    /// The entry that cancels everything on a descriptor.
    fn take_cancel_on_fd(&self) -> Sqe {
        let cancel = self.script.take(opcode::AsyncCancel::CODE);
        assert_eq!(cancel.op_flags & ON_FD, ON_FD);
        cancel
    }

    /// Whether no entry of the opcode was handed over.
    fn is_idle(&self, opcode: u8) -> bool {
        self.script.find(opcode).is_none()
    }
}

/// How a connection ends that fails by `errno`.
fn failed(errno: i32) -> EndReason {
    let IoError { kind, code } = crate::errno::from_errno(errno);
    EndReason::Failed(IoError { kind, code })
}

/// Two ends of a real connection; the second as a kernel hands it over.
fn connection() -> (TcpStream, i32) {
    use std::os::fd::IntoRawFd;

    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let far = listener.accept().unwrap().0;
    (near, far.into_raw_fd())
}

/// A socket that has no far end, as a kernel hands it over.
fn orphan() -> i32 {
    use std::os::fd::IntoRawFd;

    Socket::new(Domain::IPV4, Type::STREAM, None)
        .unwrap()
        .into_raw_fd()
}

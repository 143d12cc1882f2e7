//! Everything at once: a kernel that completes whatever it likes in whatever order, in small pieces,
//! with errors that pass, in queues without room; and a machine that gives credit, sends and closes
//! as it likes. What must hold: every byte comes and goes once and in order, nothing comes beyond the
//! credit, every connection has its last word and every buffer comes home.

use std::collections::BTreeMap;

use super::sending::bytes;
use super::*;
use crate::uring::scripted::{MORE, ON_FD};

/// How many bytes the far end of each connection sends, and how many it is sent.
const STREAM: u64 = 60_000;

/// Connections at a time.
const CONNS: usize = 6;

/// Chance that repeats.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % below
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.roll(count) == 0
    }
}

/// Byte `at` of what one end of the connection on descriptor `fd` sends.
fn byte(fd: i32, out: bool, at: u64) -> u8 {
    let mixed = (at ^ (fd as u64) << 32 ^ u64::from(out) << 40).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 40) as u8
}

/// One connection as the machine sees it.
#[derive(Default)]
struct Near {
    fd: i32,
    connected: bool,
    received: u64,
    until: u64,
    sent: u64,
    /// Until it is sent, and until it is home.
    sending: bool,
    out: bool,
    ended: bool,
    closing: bool,
    /// The backend knows that it is to be closed.
    told: bool,
}

/// The machine.
struct Party {
    dice: Dice,
    outputs: VecDeque<Output>,
    conns: Slots<Near>,
    /// Descriptors of those that were made, as the kernel has seen them.
    closed: usize,
    dialled: usize,
    streams: usize,
}

impl Party {
    fn near(&mut self, conn: ConnId) -> &mut Near {
        self.conns
            .get_mut(conn.0)
            .expect("it was not closed before")
    }

    /// Does something at random with every connection.
    fn act(&mut self) {
        if self.conns.len() < CONNS && self.dialled < 20 {
            self.dialled += 1;
            let conn = ConnId(self.conns.insert(Near::default()));
            let to = SocketAddr::from(([127, 0, 0, 1], 9));
            let tls = None;
            self.outputs
                .push_back(Output::Net(Net::Connect { conn, to, tls }));
        }
        let dice = &mut self.dice;
        for (id, near) in self.conns.iter_mut() {
            let conn = ConnId(id);
            let mut ask = |net| self.outputs.push_back(Output::Net(net));
            if near.closing {
                continue;
            }
            if near.ended || dice.one_in(400) {
                near.closing = true;
                ask(Net::Close { conn });
                continue;
            }
            if dice.one_in(3) {
                let more = [1, 100, 5000, ALL, 3 * ALL][dice.roll(5) as usize];
                near.until = near.until.max(near.received + more);
                let until = near.until - u64::from(dice.one_in(5));
                ask(Net::Recv { conn, until });
                ask(Net::Recv {
                    conn,
                    until: near.until,
                });
            }
            if near.connected && !near.sending && near.sent < STREAM && dice.one_in(2) {
                near.sending = true;
                near.out = true;
                let len = (1 + dice.roll(9000)).min(STREAM - near.sent);
                let at = near.sent;
                near.sent += len;
                let transmission = cut(dice, near.fd, at, len);
                ask(Net::Transmit { conn, transmission });
            }
        }
    }
}

/// Bytes of a stream in some parts.
fn cut(dice: &mut Dice, fd: i32, at: u64, len: u64) -> Transmission {
    use ripcurrent_proto::api::Part;

    let head = (at..at + len).map(|at| byte(fd, true, at)).collect();
    let mut parts = Vec::new();
    let mut from = 0;
    while from < len as u32 {
        let to = (from + dice.roll(4000) as u32).min(len as u32);
        parts.push(Part::Head { from, to });
        from = to;
    }
    Transmission { head, parts }
}

impl Machine for Party {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } => {
                let near = self.near(conn);
                assert!(!near.connected && !near.told && !near.ended);
                near.connected = true;
            }
            Input::Received { conn, data } => {
                let near = self.near(conn);
                assert!(near.connected && !near.ended && !near.told);
                for got in data.iter() {
                    assert_eq!(*got, byte(near.fd, false, near.received));
                    near.received += 1;
                }
                assert!(near.received <= near.until, "beyond the credit");
                data.fill(0xee);
            }
            Input::Sent { conn } => {
                let near = self.near(conn);
                assert!(std::mem::replace(&mut near.sending, false) && !near.out);
            }
            Input::Returned { conn, transmission } => {
                assert!(std::mem::replace(&mut self.near(conn).out, false));
                assert_eq!(transmission.head.len(), transmission.len());
            }
            Input::Ended { conn, reason } => {
                let near = self.near(conn);
                assert!(!near.ended && !near.told);
                near.ended = true;
                if reason == EndReason::Eof {
                    assert_eq!(near.received, STREAM, "nothing was lost");
                    self.streams += 1;
                }
            }
            Input::Closed { conn } => {
                let near = self.conns.remove(conn.0).expect("it is closed once");
                assert!(near.told && !near.out);
                self.closed += 1;
            }
            other => panic!("{other:?}"),
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        if let Output::Net(Net::Close { conn }) = output {
            self.near(conn).told = true;
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

/// What the kernel knows of a connection.
#[derive(Default)]
struct Far {
    /// How much it has sent, and was sent.
    out: u64,
    back: u64,
}

/// The kernel at random.
struct World {
    dice: Dice,
    script: Scripted,
    pending: Vec<Sqe>,
    fars: BTreeMap<i32, Far>,
}

impl World {
    /// Hears what was handed over; what is cancelled ends before anything else happens to it.
    fn hear(&mut self) {
        for sqe in self.script.submitted() {
            match sqe.opcode {
                opcode::AsyncCancel::CODE if sqe.op_flags & ON_FD != 0 => {
                    self.cancel(|one| one.fd == sqe.fd);
                }
                opcode::AsyncCancel::CODE => self.cancel(|one| one.user_data == sqe.addr),
                _ => self.pending.push(sqe),
            }
        }
    }

    fn cancel(&mut self, which: impl Fn(&Sqe) -> bool) {
        let cancelled: Vec<Sqe> = self.pending.extract_if(.., |sqe| which(sqe)).collect();
        for sqe in cancelled {
            let result = match sqe.opcode {
                opcode::Connect::CODE if self.dice.one_in(3) => 0,
                _ => -libc::ECANCELED,
            };
            self.script.complete(&sqe, result, 0);
        }
    }

    /// Lets something happen to something.
    fn act(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let at = self.dice.roll(self.pending.len() as u64) as usize;
        let sqe = self.pending[at];
        let over = match sqe.opcode {
            opcode::Connect::CODE => self.connect(&sqe),
            opcode::Recv::CODE => self.receive(&sqe),
            opcode::Send::CODE | opcode::SendMsg::CODE => self.send(&sqe),
            _ => false,
        };
        if over {
            self.pending.swap_remove(at);
        }
    }

    fn connect(&mut self, sqe: &Sqe) -> bool {
        self.fars.insert(sqe.fd, Far::default());
        let refused = self.dice.one_in(10);
        self.script
            .complete(sqe, if refused { -libc::ECONNREFUSED } else { 0 }, 0);
        true
    }

    fn receive(&mut self, sqe: &Sqe) -> bool {
        const PASSING: [i32; 4] = [libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::ECANCELED];
        if self.dice.one_in(20) {
            let errno = PASSING[self.dice.roll(4) as usize];
            self.script.complete(sqe, -errno, 0);
            return true;
        }
        let far = self.fars.get_mut(&sqe.fd).expect("it is connected");
        let len = (1 + self.dice.roll(6000)).min(STREAM - far.out);
        if len == 0 {
            self.script.complete(sqe, 0, 0);
            return true;
        }
        let multishot = sqe.ioprio != 0;
        let more = multishot && !self.dice.one_in(8);
        let bytes: Vec<u8> = (far.out..far.out + len)
            .map(|at| byte(sqe.fd, false, at))
            .collect();
        let got = self
            .script
            .receive(sqe, &bytes, if more { MORE } else { 0 });
        far.out += got as u64;
        !more || got == 0
    }

    fn send(&mut self, sqe: &Sqe) -> bool {
        let errno = match self.dice.roll(400) {
            0 => libc::EPIPE,
            1..20 => libc::EINTR,
            20..40 => libc::EAGAIN,
            _ => 0,
        };
        if errno != 0 {
            self.script.complete(sqe, -errno, 0);
            return true;
        }
        let rest = bytes(sqe);
        let far = self.fars.get_mut(&sqe.fd).expect("it is connected");
        let len = match self.dice.one_in(2) {
            true => rest.len(),
            false => 1 + self.dice.roll(rest.len() as u64) as usize,
        };
        for sent in &rest[..len] {
            assert_eq!(*sent, byte(sqe.fd, true, far.back));
            far.back += 1;
        }
        self.script.complete(sqe, len as i32, 0);
        true
    }
}

/// See the documentation of the module.
#[test]
fn whatever_the_kernel_does_the_contract_holds() {
    let mut streams = 0;
    for seed in 0..60 {
        streams += play(seed);
    }
    assert!(streams > 100, "only {streams} streams came to their end");
}

/// One course of things; how many streams were received to their end.
fn play(seed: u64) -> usize {
    eprintln!("seed {seed}");
    let mut dice = Dice(seed);
    let (room, completions) = (dice.roll(5) as usize, dice.roll(5) as usize);
    let script = Scripted::with_room(room, completions);
    let Scene { mut uring, .. } = Scene::on(script.clone(), Roots::default());
    let mut party = Party {
        dice: Dice(seed + 1000),
        outputs: VecDeque::new(),
        conns: Slots::new(),
        closed: 0,
        dialled: 0,
        streams: 0,
    };
    let mut world = World {
        dice,
        script: script.clone(),
        pending: Vec::new(),
        fars: BTreeMap::new(),
    };
    for _ in 0..40_000 {
        party.act();
        while drive::turn(&mut party, &mut uring) == Turn::Busy {}
        uring.enter(true, None).unwrap();
        world.hear();
        for (id, near) in party.conns.iter_mut() {
            let entry = uring.conns.get_mut(ConnId(id));
            near.fd = entry.and_then(|entry| entry.fd()).map_or(-1, |fd| fd.0);
        }
        for _ in 0..world.dice.roll(12) {
            world.act();
        }
        if party.closed == 20 {
            break;
        }
    }
    assert_eq!((party.closed, party.conns.len()), (20, 0));
    assert_eq!(uring.ring.in_flight(), 1, "the bell alone is under way");
    assert_eq!(script.buffers_left(), 4);
    party.streams
}

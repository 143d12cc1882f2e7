//! What the backend alone costs: receive over loopback, hash, write, and nothing of a protocol.
//!
//! ```text
//! cargo run --release -p ripcurrent-runtime-uring --example throughput -- \
//!     FOLDER [MIB [HASHERS [DISKS]]] [uring|tokio-uring|epoll] [direct|cached] [sparse|full]
//! ```
//!
//! A second process sends so many MiB (1,024 unless told); this one cuts them into pieces of 1 MiB,
//! hashes each, writes it to a file in the folder, and prints the processor time it took itself. The
//! words choose the backend, whether writes pass the page cache by where they can, and whether the
//! file is allocated at the start.

use std::collections::VecDeque;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, fs, mem};

use ripcurrent_proto::api::{
    Access, Disk, DiskDone, EndReason, FileSpan, Input, Net, Output, Spans, Transmission,
};
use ripcurrent_proto::base::id::{ConnId, Id, OpId, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, Layout};
use ripcurrent_runtime_uring::{Choice, Control, Host, Listen, Options};

const PIECE: usize = 1 << 20;

/// Pieces in memory at once.
const SLABS: usize = 24;

const CONN: ConnId = ConnId(Id::from_parts(0, 0));
const STORAGE: TorrentId = TorrentId(0);

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("--send-to") => send(&arguments[1..]),
        Some(folder) => receive(folder, &arguments[1..]),
        None => Err("usage: throughput FOLDER [MIB [HASHERS [DISKS]]] [WORD..]".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

fn number(arguments: &[String], at: usize, otherwise: usize) -> Result<usize, Box<dyn Error>> {
    let parsed = arguments.get(at).map(|text| text.parse());
    Ok(parsed.transpose()?.unwrap_or(otherwise))
}

/// How it is to be done, in words.
struct Ways {
    backend: Choice,
    direct: bool,
    preallocate: bool,
}

impl Ways {
    /// Takes the words out of the arguments.
    fn take(arguments: &mut Vec<String>) -> Self {
        let mut ways = Ways {
            backend: Choice::Auto,
            direct: true,
            preallocate: false,
        };
        arguments.retain(|argument| {
            match argument.as_str() {
                "uring" => ways.backend = Choice::Uring,
                "tokio-uring" => ways.backend = Choice::TokioUring,
                "epoll" => ways.backend = Choice::Epoll,
                "direct" => ways.direct = true,
                "cached" => ways.direct = false,
                "sparse" => ways.preallocate = false,
                "full" => ways.preallocate = true,
                _ => return true,
            }
            false
        });
        ways
    }
}

fn receive(folder: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut arguments = arguments.to_vec();
    let ways = Ways::take(&mut arguments);
    let arguments = &arguments[..];
    let mib = number(arguments, 0, 1024)?;
    let host = Host::new(Options {
        backend: ways.backend,
        direct_writes: ways.direct,
        bind: Ipv4Addr::LOCALHOST.into(),
        listen: Listen::Port(0),
        loopback_only: true,
        hash_threads: number(arguments, 1, 1)?,
        disk_threads: number(arguments, 2, 2)?,
        ..Options::default()
    })?;
    let addr = host.listening_at().ok_or("nobody listens")?.to_string();
    let mut sink = Sink::new(folder, mib, ways.preallocate)?;
    let mut sender = Command::new(env::current_exe()?)
        .args(["--send-to", &addr, &mib.to_string()])
        .spawn()?;
    let begun = host.now();
    let mut end = begun;
    host.run(&mut sink, |sink, now| {
        end = now;
        match sink.finished {
            true => Control::Stop,
            false => Control::Wait(None),
        }
    })?;
    sender.wait()?;
    fs::remove_dir_all(format!("{folder}/{NAME}"))?;
    let (user, system) = processor_micros()?;
    let elapsed = end.since(begun).as_micros() as u64;
    let per_gib = |micros: u64| micros * 1024 / mib as u64 / 1000;
    println!(
        "{mib} MiB in {} ms, {} MiB/s; processor ms per GiB: {} (user {}, system {})",
        elapsed / 1000,
        mib as u64 * 1_000_000 / elapsed.max(1),
        per_gib(user + system),
        per_gib(user),
        per_gib(system),
    );
    Ok(())
}

/// User and system time of this process so far, in microseconds.
fn processor_micros() -> Result<(u64, u64), Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Fields are counted from behind the name in parentheses; 14 and 15 are in ticks of 10 ms.
    let after = stat.rsplit_once(')').ok_or("no name in stat")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .ok_or("stat is short")
            .map(|text| text.parse::<u64>())
    };
    Ok((ticks(11)?? * 10_000, ticks(12)?? * 10_000))
}

const NAME: &str = "ripcurrent-throughput";

/// Takes a stream in, piece by piece.
struct Sink {
    outputs: VecDeque<Output>,
    spare: Vec<Slab>,
    filling: Option<Slab>,
    received: u64,
    pieces: usize,
    written: usize,
    total: usize,
    next_op: u32,
    finished: bool,
}

impl Sink {
    fn new(folder: &str, mib: usize, preallocate: bool) -> Result<Self, Box<dyn Error>> {
        let file = FileEntry {
            path: vec![NAME.into(), "data".into()],
            len: (mib * PIECE) as u64,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let open = Disk::Open {
            op: OpId(Id::from_parts(u32::MAX, 0)),
            storage: STORAGE,
            root: folder.into(),
            layout: Arc::new(Layout::new(PIECE as u32, vec![file])?),
            info_hash: [0; 20],
            access: Access::Write {
                preallocate,
                overwrite: false,
            },
        };
        Ok(Sink {
            outputs: VecDeque::from([Output::Disk(open)]),
            spare: (0..SLABS).map(|_| Slab::new(PIECE)).collect(),
            filling: None,
            received: 0,
            pieces: 0,
            written: 0,
            total: mib,
            next_op: 0,
            finished: false,
        })
    }

    fn op(&mut self) -> OpId {
        self.next_op += 1;
        OpId(Id::from_parts(self.next_op, 0))
    }

    /// Credit for as much as there are slabs.
    fn credit(&mut self) {
        let room = self.spare.len() * PIECE;
        let rest = self.filling.as_ref().map_or(0, |slab| PIECE - slab.len());
        let until = self.received + (room + rest) as u64;
        self.outputs
            .push_back(Output::Net(Net::Recv { conn: CONN, until }));
    }

    fn take_in(&mut self, mut data: &[u8]) {
        self.received += data.len() as u64;
        while !data.is_empty() {
            let spare = &mut self.spare;
            let slab = self.filling.get_or_insert_with(|| {
                let mut slab = spare.pop().expect("credit is given for slabs alone");
                slab.set_len(0);
                slab
            });
            let at = slab.len();
            let (now, later) = data.split_at(data.len().min(PIECE - at));
            slab.set_len(at + now.len());
            slab.as_mut_slice()[at..].copy_from_slice(now);
            data = later;
            if slab.len() == PIECE
                && let Some(slab) = self.filling.take()
            {
                let op = self.op();
                self.outputs.push_back(Output::Hash { op, slab });
            }
        }
    }

    fn write(&mut self, slab: Slab) {
        let op = self.op();
        let span = FileSpan {
            file: Some(FileIndex(0)),
            offset: (self.pieces * PIECE) as u64,
            len: PIECE as u32,
            aside: false,
        };
        self.pieces += 1;
        self.outputs.push_back(Output::Disk(Disk::Write {
            op,
            storage: STORAGE,
            slab,
            spans: Spans::from_iter([span]),
        }));
    }
}

impl Machine for Sink {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        self.credit();
        Some(CONN)
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Received { data, .. } => self.take_in(data),
            Input::Hashed { slab, .. } => self.write(slab),
            Input::Disk(DiskDone::Written { slab, result, .. }) => {
                result.expect("the folder can be written to");
                self.spare.push(slab);
                self.written += 1;
                self.credit();
                self.finished = self.written == self.total;
            }
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

fn send(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let to = arguments.first().ok_or("no address")?.parse()?;
    let mut source = Source::new(to, number(arguments, 1, 1024)?);
    let host = Host::new(Options {
        bind: Ipv4Addr::LOCALHOST.into(),
        listen: Listen::No,
        loopback_only: true,
        ..Options::default()
    })?;
    host.run(&mut source, |source, _now| match source.ended {
        Some(_) => Control::Stop,
        None => Control::Wait(None),
    })?;
    Ok(())
}

/// Sends one slab again and again, in transmissions of a MiB, until the far end closes.
struct Source {
    outputs: VecDeque<Output>,
    slab: Arc<Slab>,
    spare: Transmission,
    left: usize,
    ended: Option<EndReason>,
}

impl Source {
    fn new(to: SocketAddr, mib: usize) -> Self {
        let mut slab = Slab::new(PIECE);
        slab.set_len(PIECE);
        for (byte, at) in slab.as_mut_slice().iter_mut().zip(0u32..) {
            *byte = (at.wrapping_mul(2_654_435_761) >> 24) as u8;
        }
        let connect = Net::Connect {
            conn: CONN,
            to,
            tls: None,
        };
        Source {
            outputs: VecDeque::from([Output::Net(connect)]),
            slab: Arc::new(slab),
            spare: Transmission::default(),
            left: mib,
            ended: None,
        }
    }

    fn send(&mut self) {
        if self.left > 0 {
            self.left -= 1;
            let mut transmission = mem::take(&mut self.spare);
            transmission.push_slab(Arc::clone(&self.slab), 0, PIECE as u32);
            let conn = CONN;
            let net = Net::Transmit { conn, transmission };
            self.outputs.push_back(Output::Net(net));
        }
    }
}

impl Machine for Source {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Connected { conn } => {
                self.outputs
                    .push_back(Output::Net(Net::Recv { conn, until: 1 }));
                self.send();
            }
            Input::Returned { transmission, .. } => {
                self.spare = transmission;
                self.spare.clear();
            }
            Input::Sent { .. } => self.send(),
            Input::Ended { reason, .. } => self.ended = Some(reason),
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

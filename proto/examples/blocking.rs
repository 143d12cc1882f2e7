//! The smallest real host: one thread, the standard library, and a poll of every socket.
//!
//! `cargo run -p ripcurrent-proto --example blocking -- FILE.torrent DIR PEER...` downloads a
//! torrent from the peers named (`IP:PORT`) into `DIR` and leaves. It is here to be read: what a
//! host has to do, and nothing else. It neither listens nor looks up names.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, Disk, DiskDone, DiskError, EndReason, Event, Input, IoError,
    IoErrorKind, Mode, Net, Output, Spans, Transmission,
};
use ripcurrent_proto::base::id::{ConnId, OpId, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::{Backend, Machine, Turn, turn};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileIndex, Layout};
use sha1::{Digest, Sha1};

const TORRENT: TorrentId = TorrentId(0);
const IDLE_PAUSE: time::Duration = time::Duration::from_millis(1);
const CONNECT_LIMIT: time::Duration = time::Duration::from_secs(5);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, dir, peers @ ..] = &arguments[..] else {
        eprintln!("usage: blocking FILE.torrent DIR PEER...");
        return ExitCode::from(2);
    };
    match download(file, dir, peers) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("blocking: {error}");
            ExitCode::FAILURE
        }
    }
}

fn download(file: &str, dir: &str, peers: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    let torrent = Arc::new(Torrent::parse(fs::read(file)?.into())?);
    // A seed that everybody may know: fine to read along, not to be told apart on the network.
    let mut engine = Engine::new(Config::default(), [7; 32], Instant::ZERO)?;
    let mut host = Blocking::new();
    let now = host.now();
    let add = Add {
        id: TORRENT,
        torrent,
        root: dir.into(),
        wanted: None,
        sequential: false,
        mode: Mode::Download,
        check: Check::Existing,
        announce: false,
        preallocate: false,
    };
    engine.handle(now, Input::Command(Command::Add(add)));
    for peer in peers {
        let addr: SocketAddr = peer.parse()?;
        engine.handle(
            now,
            Input::Command(Command::AddPeer {
                torrent: TORRENT,
                addr,
            }),
        );
    }
    run(&mut engine, &mut host)
}

/// The loop: turn, look at what there is to tell, and wait a little when there is nothing to do.
fn run(engine: &mut Engine, host: &mut Blocking) -> Result<(), Box<dyn std::error::Error>> {
    let mut failure = None;
    while !engine.is_shut_down() {
        let busy = turn(engine, host) == Turn::Busy;
        while let Some(event) = engine.poll_event() {
            println!("{event:?}");
            match event {
                Event::Completed { .. } => leave(engine, host),
                Event::Refused { reason, .. } => {
                    failure = Some(reason.to_string());
                    leave(engine, host);
                }
                Event::DiskFailed { action, error, .. } => {
                    failure = Some(format!("cannot {action}: {}", error.error.kind));
                    leave(engine, host);
                }
                _ => {}
            }
        }
        if !busy {
            std::thread::park_timeout(IDLE_PAUSE);
        }
    }
    failure.map_or(Ok(()), |failure| Err(failure.into()))
}

fn leave(engine: &mut Engine, host: &Blocking) {
    engine.handle(host.now(), Input::Command(Command::ShutDown));
}

/// One connection: its socket, what is being sent, and its credit.
struct Link {
    socket: TcpStream,
    sending: Option<(Transmission, usize)>,
    received: u64,
    until: u64,
    ended: bool,
}

/// Something that is over at once and waits to be told.
enum Done {
    Connected(ConnId),
    Ended(ConnId, EndReason),
    Closed(ConnId),
    Disk(DiskDone),
    Hashed(OpId, Slab, [u8; 20]),
}

/// The hands of the engine.
struct Blocking {
    started: time::Instant,
    links: BTreeMap<ConnId, Link>,
    done: Vec<Done>,
    storage: Option<(PathBuf, Arc<Layout>)>,
    buffer: Vec<u8>,
}

impl Blocking {
    #[expect(clippy::disallowed_methods, reason = "a host's one clock")]
    fn new() -> Self {
        Blocking {
            started: time::Instant::now(),
            links: BTreeMap::new(),
            done: Vec::new(),
            storage: None,
            buffer: vec![0; 128 * 1024],
        }
    }

    fn connect(&mut self, conn: ConnId, to: SocketAddr) {
        let made = TcpStream::connect_timeout(&to, CONNECT_LIMIT)
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        match made {
            Ok(socket) => {
                let link = Link {
                    socket,
                    sending: None,
                    received: 0,
                    until: 0,
                    ended: false,
                };
                self.links.insert(conn, link);
                self.done.push(Done::Connected(conn));
            }
            Err(error) => self
                .done
                .push(Done::Ended(conn, EndReason::Failed(word(&error)))),
        }
    }

    fn disk(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op, root, layout, ..
            } => {
                let root = PathBuf::from(&*root);
                let lengths = layout.files().iter().map(|file| {
                    let path = root.join(file.path.join("/"));
                    fs::metadata(path).ok().map(|metadata| metadata.len())
                });
                let result = Ok(lengths.collect());
                self.storage = Some((root, layout));
                DiskDone::Opened { op, result }
            }
            Disk::Read {
                op,
                mut slab,
                spans,
                ..
            } => {
                let bytes = slab.as_mut_slice();
                let result = self.each_span(&spans, |file, range, offset| match file {
                    Some(file) => file.read_exact_at(&mut bytes[range], offset),
                    None => {
                        bytes[range].fill(0);
                        Ok(())
                    }
                });
                DiskDone::Read { op, slab, result }
            }
            Disk::Write {
                op, slab, spans, ..
            } => {
                let bytes = slab.as_slice();
                let result = self.each_span(&spans, |file, range, offset| {
                    file.map_or(Ok(()), |file| file.write_all_at(&bytes[range], offset))
                });
                DiskDone::Written { op, slab, result }
            }
            // A real host keeps files open and syncs them; see `ripcurrent-runtime-uring`.
            Disk::Sync { op, .. } => DiskDone::Synced { op, result: Ok(()) },
            Disk::Delete { op, .. } => DiskDone::Deleted { op, result: Ok(()) },
            Disk::Close { op, .. } => DiskDone::Closed { op },
        }
    }

    /// Does `act` for each span with its open file (none for padding), its range in the slab and
    /// its offset in the file.
    fn each_span(
        &self,
        spans: &Spans,
        mut act: impl FnMut(Option<&File>, std::ops::Range<usize>, u64) -> io::Result<()>,
    ) -> Result<(), DiskError> {
        let mut at = 0;
        for span in spans {
            let range = at..at + span.len as usize;
            at = range.end;
            let file = span.file.map(|file| self.open(file)).transpose();
            let done = file.and_then(|file| act(file.as_ref(), range, span.offset));
            done.map_err(|error| DiskError {
                file: span.file,
                error: word(&error),
            })?;
        }
        Ok(())
    }

    fn open(&self, file: FileIndex) -> io::Result<File> {
        let (root, layout) = self.storage.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let path = root.join(layout.files()[file.at()].path.join("/"));
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
    }

    /// Receives as far as credit allows; whether anything came.
    fn receive<M: Machine>(&mut self, machine: &mut M, conn: ConnId) -> bool {
        let now = self.now();
        let Some(link) = self.links.get_mut(&conn) else {
            return false;
        };
        let credit = link
            .until
            .saturating_sub(link.received)
            .min(self.buffer.len() as u64);
        if credit == 0 || link.ended {
            return false;
        }
        let reason = match link.socket.read(&mut self.buffer[..credit as usize]) {
            Ok(0) => EndReason::Eof,
            Ok(len) => {
                link.received += len as u64;
                machine.handle(
                    now,
                    Input::Received {
                        conn,
                        data: &mut self.buffer[..len],
                    },
                );
                return true;
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => EndReason::Failed(word(&error)),
        };
        link.ended = true;
        machine.handle(now, Input::Ended { conn, reason });
        true
    }

    /// Sends as much as the socket takes; whether anything went.
    fn send<M: Machine>(&mut self, machine: &mut M, conn: ConnId) -> bool {
        let now = self.now();
        let Some(link) = self.links.get_mut(&conn) else {
            return false;
        };
        let Some((transmission, sent)) = &mut link.sending else {
            return false;
        };
        let bytes: Vec<u8> = transmission
            .parts
            .iter()
            .flat_map(|part| transmission.bytes(part))
            .copied()
            .collect();
        match link.socket.write(&bytes[*sent..]) {
            Ok(len) if *sent + len < bytes.len() => *sent += len,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // A failure shows itself to the next receive; the buffers go home either way.
            Ok(_) | Err(_) => {
                if let Some((transmission, _)) = link.sending.take() {
                    machine.handle(now, Input::Returned { conn, transmission });
                    machine.handle(now, Input::Sent { conn });
                }
            }
        }
        true
    }
}

impl Backend for Blocking {
    fn now(&self) -> Instant {
        Instant::ZERO + Duration::from_micros(self.started.elapsed().as_micros() as u64)
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Net(Net::Connect { conn, to }) => self.connect(conn, to),
            Output::Net(Net::Recv { conn, until }) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.until = until;
                }
            }
            Output::Net(Net::Transmit { conn, transmission }) => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.sending = Some((transmission, 0));
                }
            }
            Output::Net(Net::Close { conn }) => self.done.push(Done::Closed(conn)),
            Output::Disk(disk) => {
                let done = self.disk(disk);
                self.done.push(Done::Disk(done));
            }
            Output::Hash { op, slab } => {
                let digest = Sha1::digest(slab.as_slice()).into();
                self.done.push(Done::Hashed(op, slab, digest));
            }
            Output::Resolve { .. } => unreachable!("no tracker is announced to"),
        }
    }

    fn reap<M: Machine>(&mut self, machine: &mut M, _bound: usize) -> bool {
        let now = self.now();
        let done = std::mem::take(&mut self.done);
        let mut any = !done.is_empty();
        for done in done {
            let input = match done {
                Done::Connected(conn) => Input::Connected { conn },
                Done::Ended(conn, reason) => Input::Ended { conn, reason },
                Done::Disk(done) => Input::Disk(done),
                Done::Hashed(op, slab, digest) => Input::Hashed { op, slab, digest },
                Done::Closed(conn) => {
                    // Every buffer comes home before the last word.
                    let link = self.links.remove(&conn);
                    if let Some((transmission, _)) = link.and_then(|link| link.sending) {
                        machine.handle(now, Input::Returned { conn, transmission });
                    }
                    Input::Closed { conn }
                }
            };
            machine.handle(now, input);
        }
        let conns: Vec<ConnId> = self.links.keys().copied().collect();
        for conn in conns {
            any |= self.receive(machine, conn);
            any |= self.send(machine, conn);
        }
        any
    }
}

fn word(error: &io::Error) -> IoError {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => IoErrorKind::NotFound,
        io::ErrorKind::PermissionDenied => IoErrorKind::Forbidden,
        io::ErrorKind::UnexpectedEof => IoErrorKind::TooShort,
        io::ErrorKind::ConnectionRefused => IoErrorKind::Refused,
        io::ErrorKind::ConnectionReset => IoErrorKind::Reset,
        io::ErrorKind::TimedOut => IoErrorKind::TimedOut,
        io::ErrorKind::StorageFull => IoErrorKind::NoSpace,
        _ => IoErrorKind::Other,
    };
    IoError {
        kind,
        code: error.raw_os_error().unwrap_or(0),
    }
}

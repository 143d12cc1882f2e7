//! A whole downloader on `std::net` and `std::fs`, to be read: how little a host has to do.
//!
//! `cargo run -p ripcurrent-proto --example blocking -- FILE.torrent DIR PEER...` downloads into `DIR`
//! from the peers named (`IP:PORT`) and leaves. One thread waits for connections, disk and hashes,
//! and looks at its sockets in turn. Hosts that cannot wait implement `drive::Backend` instead.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::{env, error::Error, ops::Range, sync::Arc, thread, time};

use ripcurrent_proto::api::{
    Add, Command, Config, Disk, DiskDone, DiskError, EndReason, Event, Found, FoundFile, FoundName,
    Input, IoError, IoErrorKind, Net, Output, Stamp, TlsError,
};
use ripcurrent_proto::base::id::{ConnId, TorrentId};
use ripcurrent_proto::base::time::{Duration, Instant};
use ripcurrent_proto::drive::digest;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileSpan, Layout};
use ripcurrent_proto::meta::parts::part_names;
use sha1::{Digest, Sha1};

fn main() -> Result<(), Box<dyn Error>> {
    download(&env::args().skip(1).collect::<Vec<_>>())
}

pub(crate) fn download(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [file, dir, peers @ ..] = arguments else {
        return Err("usage: blocking FILE.torrent DIR PEER...".into());
    };
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let (id, now) = (TorrentId(0), Instant::ZERO);
    let mut engine = Engine::new(Config::default(), seed, now)?;
    let torrent = Arc::new(Torrent::parse(fs::read(file)?.into())?);
    let add = Command::Add(Add::new(id, torrent, dir));
    engine.handle(now, Input::Command(add));
    for peer in peers {
        let addr = peer.parse()?;
        engine.handle(now, Input::Command(Command::AddPeer { torrent: id, addr }));
    }
    let mut host = Host::default();
    let mut buffer = vec![0; 128 * 1024];
    #[expect(clippy::disallowed_methods, reason = "a host's one clock")]
    let started = time::Instant::now();
    while !engine.is_shut_down() {
        let now = Instant::ZERO + Duration::from_micros(started.elapsed().as_micros() as u64);
        let mut pause = time::Duration::from_millis(1);
        engine.handle_timeout(now);
        for (&conn, link) in &mut host.links {
            if let Some(input) = link.poll(conn, &mut buffer) {
                pause = time::Duration::ZERO;
                engine.handle(now, input);
            }
        }
        while let Some(output) = engine.poll_output(now) {
            if let Some(answer) = host.carry(output) {
                engine.handle(now, answer);
            }
        }
        while let Some(event) = engine.poll_event() {
            println!("{event:?}");
            match event {
                Event::Completed { .. } => engine.handle(now, Input::Command(Command::ShutDown)),
                Event::Refused { .. } | Event::DiskFailed { .. } => return Err("refused".into()),
                _ => {}
            }
        }
        thread::park_timeout(pause);
    }
    Ok(())
}

#[derive(Default)]
struct Host {
    /// From `Connected` to `Close`; of no others is anything to be received or sent.
    links: BTreeMap<ConnId, Link>,
    files: Vec<Place>,
}

impl Host {
    /// Does what the engine wants; the answer, where there is one.
    fn carry(&mut self, output: Output) -> Option<Input<'static>> {
        Some(match output {
            // Peers are never asked for TLS, and no tracker is announced to; nothing is ever sent
            // without the protection that was asked for.
            Output::Net(Net::Connect {
                conn, tls: Some(_), ..
            }) => ended(conn, EndReason::Tls(TlsError::Unsupported)),
            Output::Net(Net::Connect { conn, to, .. }) => match Link::connect(to) {
                Ok(link) => {
                    self.links.insert(conn, link);
                    Input::Connected { conn }
                }
                Err(error) => ended(conn, EndReason::Failed(word(error))),
            },
            Output::Net(Net::Recv { conn, until }) => {
                self.links.get_mut(&conn)?.until = until;
                return None;
            }
            Output::Net(Net::Transmit { conn, transmission }) => {
                let link = self.links.get_mut(&conn)?;
                for part in &transmission.parts {
                    link.unsent.extend(transmission.bytes(part));
                }
                Input::Returned { conn, transmission }
            }
            Output::Net(Net::Close { conn }) => {
                self.links.remove(&conn);
                Input::Closed { conn }
            }
            Output::Disk(disk) => Input::Disk(self.disk(disk)),
            Output::Hash { op, slab } => {
                let digest = Sha1::digest(slab.as_slice()).into();
                Input::Hashed { op, slab, digest }
            }
            Output::Resolve { .. } => unreachable!("no tracker is announced to"),
        })
    }

    fn disk(&mut self, disk: Disk) -> DiskDone {
        match disk {
            Disk::Open {
                op, root, layout, ..
            } => {
                let result = self.open(Path::new(&*root), &layout).map_err(refusal);
                DiskDone::Opened { op, result }
            }
            Disk::Read {
                op,
                mut slab,
                spans,
                ..
            } => {
                let result = self.read(slab.as_mut_slice(), &spans).map_err(refusal);
                DiskDone::Read { op, slab, result }
            }
            Disk::Digest {
                op,
                mut slab,
                spans,
                every,
                ..
            } => {
                let read = |into: &mut [u8], spans: &[FileSpan]| self.read(into, spans);
                let result = digest(slab.as_mut_slice(), &spans, every, read).map_err(refusal);
                DiskDone::Digested { op, slab, result }
            }
            Disk::Write {
                op, slab, spans, ..
            } => {
                let result = self
                    .parts(&spans)
                    .try_for_each(|(place, at, range)| place.write(&slab.as_slice()[range], at))
                    .map_err(refusal);
                DiskDone::Written { op, slab, result }
            }
            Disk::Sync { op, .. } => {
                let paths = self.files.iter().map(Place::path);
                let mut there = paths.flat_map(File::open);
                let result = there.try_for_each(|file| file.sync_all()).map_err(refusal);
                let result = result.map(|()| Vec::new());
                DiskDone::Synced { op, result }
            }
            Disk::Finish { op, file, .. } => {
                let result = self.files[file.at()].finish().map_err(refusal);
                DiskDone::Finished { op, result }
            }
            Disk::Save { op, .. } => DiskDone::Saved { op, result: Ok(()) },
            Disk::Delete { .. } => unreachable!("no torrent is removed with its data"),
            Disk::Close { op, .. } => DiskDone::Closed { op },
        }
    }

    /// Remembers where files go, and tells which are there: of no earlier state anything is known.
    fn open(&mut self, root: &Path, layout: &Layout) -> io::Result<Found> {
        let mut found = Found::default();
        for (file, part) in layout.files().iter().zip(part_names(layout)) {
            let own = root.join(file.path_string());
            let part = own.with_file_name(part);
            let len = file.len;
            let place = Place { own, part, len };
            found.files.push(place.found());
            self.files.push(place);
        }
        Ok(found)
    }

    fn read(&self, into: &mut [u8], spans: &[FileSpan]) -> io::Result<()> {
        // Padding is in no file, and reads as zeros.
        into.fill(0);
        self.parts(spans).try_for_each(|(place, at, range)| {
            let file = File::open(place.path())?;
            file.read_exact_at(&mut into[range], at)
        })
    }

    /// The place and the offset of each span but padding, and its range of the slab.
    fn parts(&self, spans: &[FileSpan]) -> impl Iterator<Item = (&Place, u64, Range<usize>)> {
        let mut start = 0;
        spans.iter().filter_map(move |span| {
            let range = start..start + span.len as usize;
            start = range.end;
            Some((&self.files[span.file?.at()], span.offset, range))
        })
    }
}

/// Where a file is when it is finished, and until then.
struct Place {
    own: PathBuf,
    part: PathBuf,
    len: u64,
}

impl Place {
    fn path(&self) -> &Path {
        match self.part.exists() {
            true => &self.part,
            false => &self.own,
        }
    }

    fn found(&self) -> Option<FoundFile> {
        let stamp = Stamp {
            len: self.path().metadata().ok()?.len(),
            modified: 0,
        };
        let name = match (self.part.exists(), self.own.exists()) {
            (false, _) => FoundName::Own,
            (true, false) => FoundName::Part,
            (true, true) => FoundName::Contested,
        };
        Some(FoundFile { stamp, name })
    }

    /// Writes, and makes the file and the folders above it if need be.
    fn write(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        fs::create_dir_all(self.own.parent().unwrap_or(&self.own))?;
        if self.own.is_file() && !self.part.exists() {
            fs::rename(&self.own, &self.part)?;
        }
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        options.open(&self.part)?.write_all_at(bytes, offset)
    }

    /// Gives the file its own name; what this host does not know, links, become files.
    fn finish(&self) -> io::Result<()> {
        match (self.part.exists(), self.own.exists()) {
            (false, true) => return Ok(()),
            (true, true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (_, false) => self.write(&[], 0)?,
        }
        let part = File::options().write(true).open(&self.part)?;
        part.set_len(self.len)?;
        fs::rename(&self.part, &self.own)
    }
}

/// A connection.
struct Link {
    socket: TcpStream,
    /// What is left to send of the transmission in flight, which itself went home at once.
    unsent: Vec<u8>,
    received: u64,
    /// The credit: how far `received` may go.
    until: u64,
}

impl Link {
    fn connect(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect_timeout(&to, time::Duration::from_secs(3))?;
        socket.set_nonblocking(true)?;
        Ok(Link {
            socket,
            unsent: Vec::new(),
            received: 0,
            until: 0,
        })
    }

    /// Sends what the socket takes and receives what credit allows; what to tell of it.
    fn poll<'a>(&mut self, conn: ConnId, buffer: &'a mut [u8]) -> Option<Input<'a>> {
        // Where sending fails receiving does too, and tells.
        let sent = self.socket.write(&self.unsent).unwrap_or(0);
        self.unsent.drain(..sent);
        if sent > 0 && self.unsent.is_empty() {
            return Some(Input::Sent { conn });
        }
        // An end is told once: the engine answers it with `Close`.
        let most = (buffer.len() as u64).min(self.until - self.received) as usize;
        match self.socket.read(&mut buffer[..most]) {
            Ok(_) if most == 0 => None,
            Ok(0) => Some(ended(conn, EndReason::Eof)),
            Ok(len) => {
                self.received += len as u64;
                let data = &mut buffer[..len];
                Some(Input::Received { conn, data })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(ended(conn, EndReason::Failed(word(error)))),
        }
    }
}

fn ended(conn: ConnId, reason: EndReason) -> Input<'static> {
    Input::Ended { conn, reason }
}

fn refusal(error: io::Error) -> DiskError {
    let (file, error) = (None, word(error));
    DiskError { file, error }
}

fn word(error: io::Error) -> IoError {
    let (kind, code) = (IoErrorKind::Other, error.raw_os_error().unwrap_or(0));
    IoError { kind, code }
}

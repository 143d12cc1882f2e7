//! The seed: listens at many addresses, serves whoever asks.
//!
//! One port understands three openings: BitTorrent's handshake; an announce over HTTP, answered with
//! all addresses; and `pour`, the floor program's: no requests, just every piece in turn.

mod conn;

use std::error::Error;
use std::io::{self, BufRead as _};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};

use ripcurrent_benches::content::Facts;
use socket2::{Domain, Socket, Type};

use crate::poller::{Poller, Readiness};
use crate::report::{Meter, raise_open_files};
use crate::{SeedArgs, nth};
use conn::{Conn, Step};

/// What all connections share.
pub(crate) struct Shared {
    facts: Facts,
    /// What the torrent holds. Copied out by each send: on loopback, sendfile(2) costs the sender
    /// half as much again, in calls, and zero-copy sends are copied by the kernel.
    bytes: Vec<u8>,
    /// Where others find this seed.
    addresses: Vec<SocketAddrV4>,
    /// What a read goes into.
    buffer: Vec<u8>,
    /// Of the blocks that were sent since the last report.
    meter: Meter,
}

impl Shared {
    /// So many more bytes of blocks were sent.
    fn count(&mut self, sent: u64) {
        self.meter.count(sent);
    }
}

/// The token of stdin; listeners come next, then connections.
const STDIN: usize = 0;

struct Seed {
    poller: Poller,
    listeners: Vec<TcpListener>,
    conns: Vec<Option<Conn>>,
    free: Vec<usize>,
    /// Connections so far.
    admitted: u64,
    shared: Shared,
}

/// Serves until stdin ends.
pub(crate) fn run(args: &SeedArgs) -> Result<(), Box<dyn Error>> {
    raise_open_files();
    let mut seed = Seed::open(args)?;
    println!("ready");
    loop {
        for (token, readiness) in seed.poller.poll()? {
            if token == STDIN {
                if !seed.obey()? {
                    return Ok(());
                }
            } else if let Some(listener) = seed.listeners.get(token - 1) {
                let accepted = accept_all(listener)?;
                for stream in accepted {
                    seed.admit(stream, false)?;
                }
            } else {
                seed.note(token, readiness);
            }
        }
        seed.serve();
    }
}

impl Seed {
    fn open(args: &SeedArgs) -> Result<Seed, Box<dyn Error>> {
        let facts = Facts::read(&args.torrent)?;
        let bytes = facts.load(&args.data)?;
        let mut poller = Poller::new()?;
        poller.add_input(io::stdin(), STDIN)?;
        let ip = |number| nth(*args.listen.ip(), number);
        let addresses: Vec<_> = (0..args.addresses)
            .map(|number| SocketAddrV4::new(ip(number), args.listen.port()))
            .collect();
        let mut listeners = Vec::new();
        for address in &addresses {
            let listener = TcpListener::bind(address);
            let listener = listener.map_err(|error| format!("{address}: {error}"))?;
            listener.set_nonblocking(true)?;
            poller.add_input(&listener, 1 + listeners.len())?;
            listeners.push(listener);
        }
        let shared = Shared {
            facts,
            bytes,
            addresses,
            buffer: vec![0; 64 << 10],
            meter: Meter::start(),
        };
        Ok(Seed {
            poller,
            listeners,
            conns: Vec::new(),
            free: Vec::new(),
            admitted: 0,
            shared,
        })
    }

    /// Does what a line of stdin says; whether to go on.
    fn obey(&mut self) -> Result<bool, Box<dyn Error>> {
        let mut line = String::new();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(false);
        }
        match line.trim().split_once(' ') {
            Some(("dial", address)) => self.dial(address.parse()?)?,
            _ if line.trim() == "report" => {
                self.shared.meter.report();
                self.shared.meter = Meter::start();
            }
            _ => return Err(format!("no such command: {line}").into()),
        }
        Ok(true)
    }

    /// Connects to `peer` from each address.
    fn dial(&mut self, peer: SocketAddr) -> io::Result<()> {
        for address in self.shared.addresses.clone() {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.bind(&SocketAddr::new((*address.ip()).into(), 0).into())?;
            socket.connect(&peer.into())?;
            self.admit(socket.into(), true)?;
        }
        Ok(())
    }

    fn admit(&mut self, stream: TcpStream, dialled: bool) -> io::Result<()> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.conns.push(None);
            self.conns.len() - 1
        });
        let token = 1 + self.listeners.len() + slot;
        self.poller.add(&stream, token)?;
        self.admitted += 1;
        let conn = Conn::new(stream, &self.shared.facts, self.admitted, dialled);
        self.conns[slot] = Some(conn);
        Ok(())
    }

    fn note(&mut self, token: usize, readiness: Readiness) {
        let slot = token - 1 - self.listeners.len();
        if let Some(Some(conn)) = self.conns.get_mut(slot) {
            conn.note(readiness);
            self.poller.enqueue(slot);
        }
    }

    /// Gives each that can go on a few turns, then looks who else can.
    fn serve(&mut self) {
        for _ in 0..64 {
            let Some(slot) = self.poller.next() else {
                return;
            };
            let Some(conn) = &mut self.conns[slot] else {
                continue;
            };
            match conn.step(&mut self.shared) {
                Ok(Step::More) => self.poller.enqueue(slot),
                Ok(Step::Wait) => {}
                Ok(Step::Over) | Err(_) => {
                    self.conns[slot] = None;
                    self.free.push(slot);
                }
            }
        }
    }
}

fn accept_all(listener: &TcpListener) -> io::Result<Vec<TcpStream>> {
    let mut accepted = Vec::new();
    loop {
        match listener.accept() {
            Ok((stream, _)) => accepted.push(stream),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(accepted),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

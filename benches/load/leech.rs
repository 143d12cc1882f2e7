//! The leecher: asks, and throws away what comes before it is copied out of the kernel.
//!
//! Each connection fetches everything, in an order of its own, as leechers do.

mod conn;

use std::error::Error;
use std::io::{self, BufRead as _};
use std::net::{SocketAddr, TcpStream};

use ripcurrent_benches::content::Facts;
use socket2::{Domain, Socket, Type};

use crate::poller::Poller;
use crate::report::{Meter, raise_open_files};
use crate::{LeechArgs, nth};
use conn::{Conn, Step};

/// Fetches, or is there until stdin ends.
pub(crate) fn run(args: &LeechArgs) -> Result<(), Box<dyn Error>> {
    raise_open_files();
    let facts = Facts::read(&args.torrent)?;
    let mut crowd = Crowd::connect(args, facts)?;
    crowd.wait_until_ready()?;
    println!("ready");
    if args.idle {
        return crowd.stay();
    }
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        return Ok(());
    }
    let mut meter = Meter::start();
    meter.count(crowd.fetch(&meter, f64::from(args.seconds))?);
    meter.report();
    Ok(())
}

struct Crowd {
    poller: Poller,
    conns: Vec<Conn>,
    facts: Facts,
    idle: bool,
    /// What reads go into, or do not: payload is thrown away.
    buffer: Vec<u8>,
}

impl Crowd {
    fn connect(args: &LeechArgs, facts: Facts) -> Result<Crowd, Box<dyn Error>> {
        let mut poller = Poller::new()?;
        let mut conns = Vec::new();
        for number in 0..args.connections {
            let from = SocketAddr::new(nth(args.from, number).into(), 0);
            let stream = dial(from, args.connect)
                .map_err(|error| format!("{from} to {}: {error}", args.connect))?;
            poller.add(&stream, conns.len())?;
            conns.push(Conn::new(stream, &facts, number, args));
        }
        Ok(Crowd {
            poller,
            conns,
            facts,
            idle: args.idle,
            buffer: vec![0; 1 << 20],
        })
    }

    /// Until all are greeted and, unless idle, at least one may ask: not every client unchokes
    /// everybody at once.
    fn wait_until_ready(&mut self) -> Result<(), Box<dyn Error>> {
        let idle = self.idle;
        self.drive(|conns| {
            let unchoked = idle || conns.iter().any(Conn::may_ask);
            unchoked && conns.iter().all(Conn::is_greeted)
        })
    }

    /// Until everybody has everything, or the time is over; the bytes of all blocks.
    fn fetch(&mut self, meter: &Meter, most_seconds: f64) -> Result<u64, Box<dyn Error>> {
        for (number, conn) in self.conns.iter_mut().enumerate() {
            conn.begin(&self.facts);
            self.poller.enqueue(number);
        }
        self.drive(|conns| conns.iter().all(Conn::is_done) || meter.seconds() > most_seconds)?;
        Ok(self.conns.iter().map(Conn::arrived).sum())
    }

    /// Until stdin ends.
    fn stay(mut self) -> Result<(), Box<dyn Error>> {
        let stdin = self.conns.len();
        self.poller.add_input(io::stdin(), stdin)?;
        loop {
            for (token, readiness) in self.poller.poll()? {
                match self.conns.get_mut(token) {
                    Some(conn) => {
                        conn.note(readiness);
                        self.poller.enqueue(token);
                    }
                    None => return Ok(()),
                }
            }
            self.step()?;
        }
    }

    fn drive(&mut self, is_over: impl Fn(&[Conn]) -> bool) -> Result<(), Box<dyn Error>> {
        while !is_over(&self.conns) {
            for (token, readiness) in self.poller.poll()? {
                self.conns[token].note(readiness);
                self.poller.enqueue(token);
            }
            self.step()?;
        }
        Ok(())
    }

    /// Gives each that can go on a few turns.
    fn step(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..64 {
            let Some(token) = self.poller.next() else {
                return Ok(());
            };
            let step = self.conns[token].step(&mut self.buffer, &self.facts);
            match step.map_err(|error| format!("connection {token}: {error}"))? {
                Step::More => self.poller.enqueue(token),
                Step::Wait => {}
            }
        }
        Ok(())
    }
}

fn dial(from: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect(&to.into())?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}

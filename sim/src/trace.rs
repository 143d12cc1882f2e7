//! A run, readable: one line for every call of every host.
//!
//! ```text
//!   12.345000  leecher-2  in   received c3.1 34 B: unchoke, request 7+0+16384
//! ```
//!
//! In front stands the virtual time in seconds; `in` is what the machine is told, `out` what it asks
//! for. Connections are called `c`, operations `o`, each with its slot and generation. Bytes of a
//! connection with a peer are told as the messages that end in them; blocks as
//! `PIECE+BEGIN+LENGTH`. The lines of one host are in its own order; turmoil lets one host after the
//! other live through a tick, so between hosts they may be out of order by that much. The trace changes nothing: with and without it a run has one digest.

mod stream;
mod words;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use ripcurrent_proto::api::{Input, Net, Output};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

use stream::Stream;
use words::Words;

/// Where the lines of a run go. Clones write to the same place.
#[derive(Clone)]
pub struct Trace {
    log: Rc<RefCell<Log>>,
}

struct Log {
    out: Box<dyn Write>,
    from: Instant,
    failed: Option<io::Error>,
}

impl Trace {
    /// Writes to `out` what happens from `from` on.
    pub fn new(out: impl Write + 'static, from: Instant) -> Self {
        let log = Log {
            out: Box::new(out),
            from,
            failed: None,
        };
        Trace {
            log: Rc::new(RefCell::new(log)),
        }
    }

    /// Writes out what is left.
    ///
    /// # Errors
    /// The first error of all that was written.
    pub fn finish(&self) -> io::Result<()> {
        let mut log = self.log.borrow_mut();
        match log.failed.take() {
            Some(error) => Err(error),
            None => log.out.flush(),
        }
    }

    /// A listener at a host; `pieces` are those of the torrent.
    #[must_use]
    pub fn at(&self, host: &str, pieces: u32) -> Listener {
        Listener {
            trace: self.clone(),
            host: host.to_owned(),
            pieces,
            heard: BTreeMap::new(),
            said: BTreeMap::new(),
        }
    }

    fn line(&self, now: Instant, host: &str, line: fmt::Arguments<'_>) {
        let mut log = self.log.borrow_mut();
        if now < log.from || log.failed.is_some() {
            return;
        }
        let seconds = now.since(Instant::ZERO).as_secs_f64();
        if let Err(error) = writeln!(log.out, "{seconds:>12.6}  {host}  {line}") {
            log.failed = Some(error);
        }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let log = self.log.borrow();
        f.debug_struct("Trace")
            .field("from", &log.from)
            .finish_non_exhaustive()
    }
}

/// What hears the calls of one host.
#[derive(Debug)]
pub struct Listener {
    trace: Trace,
    host: String,
    pieces: u32,
    /// What comes in from the far ends.
    heard: BTreeMap<ConnId, Stream>,
    /// What goes out to them.
    said: BTreeMap<ConnId, Stream>,
}

impl Listener {
    fn line(&self, now: Instant, line: fmt::Arguments<'_>) {
        self.trace.line(now, &self.host, line);
    }

    fn input(&mut self, now: Instant, input: &Input<'_>) {
        match input {
            Input::Received { conn, data } => {
                let stream = self.heard.entry(*conn);
                let stream = stream.or_insert_with(|| Stream::new(self.pieces));
                let told = stream.tell(data);
                self.line(now, format_args!("in   {}{told}", Words(input)));
            }
            Input::Closed { conn } => {
                self.heard.remove(conn);
                self.said.remove(conn);
                self.line(now, format_args!("in   {}", Words(input)));
            }
            _ => self.line(now, format_args!("in   {}", Words(input))),
        }
    }

    fn output(&mut self, now: Instant, output: &Output) {
        if let Output::Net(Net::Transmit { conn, transmission }) = output {
            let stream = self.said.entry(*conn);
            let stream = stream.or_insert_with(|| Stream::new(self.pieces));
            let parts = transmission.parts.iter();
            let told = parts.map(|part| stream.tell(transmission.bytes(part)));
            let told = told.fold(stream::Told::default(), stream::Told::and);
            self.line(now, format_args!("out  {}{told}", Words(output)));
        } else {
            self.line(now, format_args!("out  {}", Words(output)));
        }
    }
}

/// A machine whose calls are written down if somebody listens; it is not changed by that.
#[derive(Debug)]
pub struct Traced<M> {
    machine: M,
    listener: Option<Listener>,
}

impl<M> Traced<M> {
    /// Without a listener the machine is passed through.
    pub fn new(machine: M, listener: Option<Listener>) -> Self {
        Traced { machine, listener }
    }

    /// The machine inside.
    pub fn machine(&mut self) -> &mut M {
        &mut self.machine
    }
}

impl<M: Machine> Machine for Traced<M> {
    fn accept(&mut self, now: Instant, from: SocketAddr) -> Option<ConnId> {
        let answer = self.machine.accept(now, from);
        if let Some(listener) = &self.listener {
            match answer {
                Some(conn) => {
                    let conn = words::conn(conn);
                    listener.line(now, format_args!("in   accepted {conn} from {from}"));
                }
                None => listener.line(now, format_args!("in   refused a connection from {from}")),
            }
        }
        answer
    }

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        if let Some(listener) = &mut self.listener {
            listener.input(now, &input);
        }
        self.machine.handle(now, input);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some(listener) = &self.listener {
            listener.line(now, format_args!("in   timeout"));
        }
        self.machine.handle_timeout(now);
    }

    fn poll_output(&mut self, now: Instant) -> Option<Output> {
        let output = self.machine.poll_output(now)?;
        if let Some(listener) = &mut self.listener {
            listener.output(now, &output);
        }
        Some(output)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }
}

// The network: one listener, and of each connection its socket, its credit and what is being sent.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::{thread, time};

use ripcurrent_proto::api::{EndReason, Input, IoError, IoErrorKind, Net, TlsError, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

pub(crate) struct Network {
    listener: TcpListener,
    /// From `Connect` or `accept` to `Close`.
    links: BTreeMap<ConnId, Link>,
    /// One buffer for all: what is received is only lent to the machine.
    buffer: Vec<u8>,
    /// What is known already and waits to be told.
    answers: VecDeque<Input<'static>>,
    /// What became of those who were dialled.
    dialled: (mpsc::Sender<Dialled>, mpsc::Receiver<Dialled>),
}

type Dialled = (ConnId, io::Result<TcpStream>);

#[derive(Default)]
struct Link {
    /// `None` while it is being dialled.
    socket: Option<TcpStream>,
    received: u64,
    /// The credit: how far `received` may go.
    until: u64,
    /// What is being sent, and how many bytes of it are.
    sending: Option<(Transmission, usize)>,
    /// `Ended` was told: there is nothing more to receive.
    ended: bool,
}

impl Network {
    /// A network that listens at `addr`, and where that is.
    pub(crate) fn new(addr: SocketAddr) -> io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(addr)?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let network = Network {
            listener,
            links: BTreeMap::new(),
            buffer: vec![0; 64 * 1024],
            answers: VecDeque::from([Input::Bound { addr }]),
            dialled: mpsc::channel(),
        };
        Ok((network, addr))
    }

    /// Begins what the machine wants. What is over at once is told by the next `reap`.
    pub(crate) fn carry(&mut self, output: Net) {
        match output {
            // Nothing is ever sent without the protection that was asked for.
            Net::Connect {
                conn, tls: Some(_), ..
            } => {
                self.links.insert(conn, Link::default());
                let reason = EndReason::Tls(TlsError::Unsupported);
                self.answers.push_back(Input::Ended { conn, reason });
            }
            Net::Connect {
                conn,
                to,
                tls: None,
            } => {
                self.links.insert(conn, Link::default());
                let dialled = self.dialled.0.clone();
                thread::spawn(move || {
                    let patience = time::Duration::from_secs(10);
                    let result = TcpStream::connect_timeout(&to, patience);
                    // At the end nobody may be waiting any more.
                    let _ = dialled.send((conn, result));
                });
            }
            Net::Recv { conn, until } => {
                if let Some(link) = self.links.get_mut(&conn) {
                    link.until = link.until.max(until);
                }
            }
            Net::Transmit { conn, transmission } => match self.links.get_mut(&conn) {
                Some(link) if link.socket.is_some() => link.sending = Some((transmission, 0)),
                _ => self
                    .answers
                    .push_back(Input::Returned { conn, transmission }),
            },
            Net::Close { conn } => {
                let link = self.links.remove(&conn);
                // The buffers first, then the last word.
                if let Some((transmission, _)) = link.and_then(|link| link.sending) {
                    self.answers
                        .push_back(Input::Returned { conn, transmission });
                }
                self.answers.push_back(Input::Closed { conn });
            }
        }
    }

    /// Tells up to `bound` of the things that happened; whether there was one.
    pub(crate) fn reap<M: Machine>(&mut self, machine: &mut M, now: Instant, bound: usize) -> bool {
        let mut left = bound;
        while left > 0
            && let Some(answer) = self.answers.pop_front()
        {
            machine.handle(now, answer);
            left -= 1;
        }
        while left > 0
            && let Ok((stream, from)) = self.listener.accept()
        {
            // Whom the machine refuses is closed without a word.
            if stream.set_nonblocking(true).is_ok()
                && let Some(conn) = machine.accept(now, from)
            {
                let socket = Some(stream);
                self.links.insert(
                    conn,
                    Link {
                        socket,
                        ..Link::default()
                    },
                );
            }
            left -= 1;
        }
        while left > 0
            && let Ok((conn, result)) = self.dialled.1.try_recv()
        {
            // Closed meanwhile, it is in nobody's table; ids never come again.
            if let Some(link) = self.links.get_mut(&conn) {
                machine.handle(now, link.dialled(conn, result));
                left -= 1;
            }
        }
        for (&conn, link) in &mut self.links {
            if left > 0 && link.exchange(conn, machine, now, &mut self.buffer) {
                left -= 1;
            }
        }
        left < bound
    }
}

impl Link {
    fn dialled(&mut self, conn: ConnId, result: io::Result<TcpStream>) -> Input<'static> {
        let made = result.and_then(|stream| stream.set_nonblocking(true).map(|()| stream));
        match made {
            Ok(stream) => {
                self.socket = Some(stream);
                Input::Connected { conn }
            }
            Err(error) => self.end(conn, failure(&error)),
        }
    }

    /// Sends and receives what goes without waiting; whether anything did.
    fn exchange<M: Machine>(
        &mut self,
        conn: ConnId,
        machine: &mut M,
        now: Instant,
        buffer: &mut [u8],
    ) -> bool {
        let mut moved = false;
        if let (Some(socket), Some((transmission, sent))) = (&mut self.socket, &mut self.sending) {
            match send(socket, transmission, sent) {
                Ok(false) => {}
                result => {
                    // Sent or not, the buffers go home.
                    if let Some((transmission, _)) = self.sending.take() {
                        machine.handle(now, Input::Returned { conn, transmission });
                    }
                    match result {
                        Ok(_) => machine.handle(now, Input::Sent { conn }),
                        Err(_) if self.ended => {}
                        Err(error) => machine.handle(now, self.end(conn, failure(&error))),
                    }
                    moved = true;
                }
            }
        }
        // Without credit nothing is read: TCP then holds the far end back.
        let credit = usize::try_from(self.until - self.received).unwrap_or(usize::MAX);
        let most = credit.min(buffer.len());
        let Some(socket) = &mut self.socket else {
            return moved;
        };
        if most == 0 || self.ended {
            return moved;
        }
        match socket.read(&mut buffer[..most]) {
            Ok(0) => machine.handle(now, self.end(conn, EndReason::Eof)),
            Ok(len) => {
                self.received += len as u64;
                let data = &mut buffer[..len];
                machine.handle(now, Input::Received { conn, data });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return moved,
            Err(error) => machine.handle(now, self.end(conn, failure(&error))),
        }
        true
    }

    /// Nothing more will be received. This closes nothing.
    fn end(&mut self, conn: ConnId, reason: EndReason) -> Input<'static> {
        self.ended = true;
        Input::Ended { conn, reason }
    }
}

/// Sends on; whether all of it is sent.
fn send(socket: &mut TcpStream, what: &Transmission, sent: &mut usize) -> io::Result<bool> {
    let mut skip = *sent;
    for part in &what.parts {
        let bytes = what.bytes(part);
        let rest = &bytes[skip.min(bytes.len())..];
        skip -= bytes.len() - rest.len();
        if rest.is_empty() {
            continue;
        }
        match socket.write(rest) {
            Ok(len) => {
                *sent += len;
                if len < rest.len() {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn failure(error: &io::Error) -> EndReason {
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused => IoErrorKind::Refused,
        ErrorKind::ConnectionReset => IoErrorKind::Reset,
        ErrorKind::TimedOut => IoErrorKind::TimedOut,
        _ => IoErrorKind::Other,
    };
    let code = error.raw_os_error().unwrap_or(0);
    EndReason::Failed(IoError { kind, code })
}

//! Sending: gathered writes of the parts of a transmission, continued until all is sent.

use std::io;
use std::rc::Rc;

use ripcurrent_proto::api::{EndReason, Input, Transmission};
use ripcurrent_proto::base::id::ConnId;
use ripcurrent_proto::drive::{Backend, Machine};
use tokio_uring::buf::IoBuf;
use tokio_uring::net::TcpStream;

use super::{Done, TokioUring, shut_down};
use crate::errno;

/// The most parts of one write; the kernel takes 1,024.
const GATHER: usize = 1024;

/// What is left of one part of a transmission.
struct Rest {
    transmission: Rc<Transmission>,
    part: usize,
    from: usize,
}

impl Rest {
    fn bytes(&self) -> &[u8] {
        let part = &self.transmission.parts[self.part];
        &self.transmission.bytes(part)[self.from..]
    }
}

// SAFETY: the bytes lie in a vector or a slab that the transmission owns or shares; it is behind an
// `Rc` that this value holds, nobody changes it meanwhile, and moving this value does not move them.
unsafe impl IoBuf for Rest {
    fn stable_ptr(&self) -> *const u8 {
        self.bytes().as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.bytes().len()
    }

    fn bytes_total(&self) -> usize {
        self.bytes().len()
    }
}

impl TokioUring {
    /// Starts to send.
    pub(super) fn transmit(&mut self, conn: ConnId, transmission: Transmission) {
        let entry = self.conns.get_mut(conn);
        let stream = entry.and_then(|entry| {
            assert!(!entry.transmitting, "one transmission is in flight at most");
            let stream = entry
                .stream
                .clone()
                .filter(|_| entry.connecting.is_none())?;
            entry.transmitting = true;
            Some(stream)
        });
        match stream {
            Some(stream) => self.start(async move {
                let (transmission, result) = send(&stream, transmission).await;
                Done::Transmitted {
                    conn,
                    transmission,
                    result,
                }
            }),
            // Never connected: it comes home as it went.
            None => {
                let home = Input::Returned { conn, transmission };
                self.ready.push_back(Done::Answer(home));
            }
        }
    }

    pub(super) fn on_transmitted<M: Machine>(
        &mut self,
        machine: &mut M,
        conn: ConnId,
        transmission: Transmission,
        result: io::Result<()>,
    ) {
        let now = self.now();
        let Some(entry) = self.conns.get_mut(conn) else {
            return;
        };
        entry.transmitting = false;
        let live = entry.is_live();
        if result.is_err() && live {
            // A receive in flight ends by this; what it says is no news then.
            shut_down(entry.stream.as_deref());
        }
        machine.handle(now, Input::Returned { conn, transmission });
        match result {
            Ok(()) => machine.handle(now, Input::Sent { conn }),
            Err(error) if live => {
                let reason = EndReason::Failed(errno::io_error(&error));
                self.end(machine, conn, reason);
            }
            Err(_) => {}
        }
        self.settle(conn);
    }
}

/// Sends all parts, and gives the transmission back.
async fn send(stream: &TcpStream, transmission: Transmission) -> (Transmission, io::Result<()>) {
    let shared = Rc::new(transmission);
    let result = send_all(stream, &shared).await;
    let home = Rc::into_inner(shared).expect("the writes are done and have dropped their shares");
    (home, result)
}

async fn send_all(stream: &TcpStream, transmission: &Rc<Transmission>) -> io::Result<()> {
    let (mut part, mut from) = (0, 0);
    loop {
        let gathered = gather(transmission, part, from);
        if gathered.is_empty() {
            return Ok(());
        }
        let (result, gathered) = stream.writev(gathered).await;
        let mut sent = result?;
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        for rest in &gathered {
            let len = rest.bytes().len();
            if sent < len {
                (part, from) = (rest.part, rest.from + sent);
                break;
            }
            sent -= len;
            (part, from) = (rest.part + 1, 0);
        }
    }
}

/// What is left from byte `from` of part `part` on, as much as one write takes.
fn gather(transmission: &Rc<Transmission>, part: usize, from: usize) -> Vec<Rest> {
    let rest = |at: usize| Rest {
        transmission: Rc::clone(transmission),
        part: at,
        from: if at == part { from } else { 0 },
    };
    (part..transmission.parts.len())
        .map(rest)
        .filter(|rest| !rest.bytes().is_empty())
        .take(GATHER)
        .collect()
}

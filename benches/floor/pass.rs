//! One pass: receive and copy, and perhaps hash and write.
//!
//! A slab holds a piece and is in one place: free, filled by a connection, waiting to be hashed,
//! being hashed, or being written. There is one for each connection, a batch or two, and a few to be
//! written, so that one becomes free in any case.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd as _, OwnedFd};

use ripcurrent_benches::content::Facts;
use rustix::event::{EventfdFlags, eventfd};

use crate::Cli;
use crate::assemble::{Part, Stream};
use crate::hash::{Beside, Hashed, Whole, batch, hash};
use crate::memory::Slab;
use crate::ring::{Done, Ring};

/// Direct writes are of whole pages.
const PAGE: usize = 4096;

/// How far a pass goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    Received,
    Written,
}

pub(crate) struct Pass<'a> {
    facts: &'a Facts,
    until: Until,
    ring: Ring,
    free: Vec<Slab>,
    conns: Vec<Conn>,
    /// What came and could not be taken in yet for want of a slab.
    backlog: VecDeque<Done>,
    /// Connections that are to be armed when there are buffers again.
    starved: Vec<usize>,
    waiting: Vec<Whole>,
    beside: Option<(Beside, OwnedFd)>,
    hash_seconds: f64,
    /// Batches with the hash thread, and writes under way.
    hashing: usize,
    writing: usize,
    open: usize,
    registered: usize,
}

#[derive(Default)]
struct Conn {
    stream: Stream,
    /// The piece that is being filled, and how much of it is there.
    filling: Option<(Whole, usize)>,
    /// How much of the first buffer of the backlog was taken in.
    taken: usize,
}

impl<'a> Pass<'a> {
    pub(crate) fn new(
        cli: &Cli,
        facts: &'a Facts,
        until: Until,
        file: &File,
        streams: &[TcpStream],
    ) -> Result<Pass<'a>, Box<dyn Error>> {
        let len = (facts.piece_len as usize).next_multiple_of(PAGE);
        let mut free = Slab::all(streams.len() + cli.slabs, len)?;
        let mut ring = Ring::new(streams, file, (cli.buffers, cli.buffer_kib << 10))?;
        let wanted = cli.registered.min(free.len());
        // SAFETY: every slab is either with the ring, or with this pass, whose first field is the
        // ring: fields are dropped in their order.
        let registered = unsafe { ring.register(&mut free[..wanted]) };
        // Registered ones are taken first.
        free.reverse();
        let beside = match cli.hash_thread && until == Until::Written {
            true => {
                let woken = eventfd(0, EventfdFlags::CLOEXEC)?;
                ring.await_wake(woken.as_raw_fd())?;
                Some((Beside::start(woken.try_clone()?), woken))
            }
            false => None,
        };
        Ok(Pass {
            ring,
            facts,
            until,
            free,
            conns: streams.iter().map(|_| Conn::default()).collect(),
            backlog: VecDeque::new(),
            starved: (0..streams.len()).collect(),
            waiting: Vec::new(),
            beside,
            hash_seconds: 0.0,
            hashing: 0,
            writing: 0,
            open: streams.len(),
            registered,
        })
    }

    /// How many slabs are registered with the ring.
    pub(crate) fn registered(&self) -> usize {
        self.registered
    }

    /// Runs to the end; the processor seconds that hashing took.
    pub(crate) fn run(&mut self) -> Result<f64, Box<dyn Error>> {
        let mut done = Vec::new();
        while self.open > 0 || self.hashing > 0 || self.writing > 0 {
            for conn in std::mem::take(&mut self.starved) {
                self.ring.arm(conn)?;
            }
            self.ring.wait(1, &mut done)?;
            for event in done.drain(..) {
                self.take_in(event)?;
            }
            self.work_off()?;
            if self.open == 0 && !self.waiting.is_empty() {
                self.hash_waiting()?;
            }
        }
        Ok(self.hash_seconds)
    }

    fn take_in(&mut self, event: Done) -> Result<(), Box<dyn Error>> {
        match event {
            Done::Received { .. } | Done::Starved { .. } | Done::Ended => {
                self.backlog.push_back(event);
            }
            Done::Written { slab, len } => self.written(slab, len)?,
            Done::Woken => {
                let Some((beside, woken)) = &self.beside else {
                    return Ok(());
                };
                self.ring.await_wake(woken.as_raw_fd())?;
                let hashed: io::Result<Vec<_>> = beside.hashed.try_iter().collect();
                for batch in hashed? {
                    self.hashing -= 1;
                    self.write(batch)?;
                }
            }
        }
        Ok(())
    }

    /// Takes in what came, as long as there are slabs.
    fn work_off(&mut self) -> Result<(), Box<dyn Error>> {
        while let Some(event) = self.backlog.front().copied() {
            match event {
                Done::Received {
                    conn,
                    buffer,
                    len,
                    armed,
                } => {
                    if !self.assemble(conn, buffer, len)? {
                        return Ok(());
                    }
                    self.ring.recycle(buffer);
                    if !armed {
                        self.starved.push(conn);
                    }
                }
                Done::Starved { conn } => self.starved.push(conn),
                Done::Ended => self.open -= 1,
                Done::Written { .. } | Done::Woken => {}
            }
            self.backlog.pop_front();
        }
        Ok(())
    }

    /// Copies a buffer into pieces; whether all of it was, or a slab is missing.
    fn assemble(&mut self, conn: usize, buffer: u16, len: usize) -> Result<bool, Box<dyn Error>> {
        let Conn {
            stream,
            filling,
            taken,
        } = &mut self.conns[conn];
        let mut whole = Vec::new();
        let bytes = self.ring.bytes(buffer, len);
        let mut data = &bytes[*taken..];
        let mut is_all = true;
        loop {
            // Without a slab, the stream must not go on.
            if filling.is_none() {
                let Some(slab) = self.free.pop() else {
                    is_all = data.is_empty();
                    break;
                };
                *filling = Some((empty(slab), 0));
            }
            let Some(Part {
                piece,
                offset,
                bytes,
            }) = stream.next(&mut data)?
            else {
                break;
            };
            let Some((this, filled)) = filling else {
                break;
            };
            if *filled == 0 {
                this.piece = piece;
                this.len = self.facts.len_of(piece) as usize;
                this.expected = self.facts.hash_of(piece).ok_or("there is no such piece")?;
            }
            if piece != this.piece {
                return Err(format!("piece {piece} came into piece {}", this.piece).into());
            }
            if offset + bytes.len() > this.len {
                return Err(format!("a block lies outside of piece {piece}").into());
            }
            this.slab.memory.put(offset, bytes);
            *filled += bytes.len();
            if *filled == this.len {
                whole.extend(filling.take().map(|(piece, _)| piece));
            }
        }
        *taken = if is_all { 0 } else { len - data.len() };
        for piece in whole {
            self.arrived(piece)?;
        }
        Ok(is_all)
    }

    /// A piece is whole.
    fn arrived(&mut self, piece: Whole) -> Result<(), Box<dyn Error>> {
        if self.until == Until::Received {
            self.free.push(piece.slab);
            return Ok(());
        }
        self.waiting.push(piece);
        if self.waiting.len() >= batch() {
            self.hash_waiting()?;
        }
        Ok(())
    }

    fn hash_waiting(&mut self) -> Result<(), Box<dyn Error>> {
        let batch = std::mem::take(&mut self.waiting);
        match &self.beside {
            Some((beside, _)) => {
                beside.give(batch)?;
                self.hashing += 1;
                Ok(())
            }
            None => self.write(hash(batch)?),
        }
    }

    fn write(&mut self, hashed: Hashed) -> Result<(), Box<dyn Error>> {
        self.hash_seconds += hashed.seconds;
        for Whole {
            slab, piece, len, ..
        } in hashed.pieces
        {
            let offset = u64::from(piece) * u64::from(self.facts.piece_len);
            self.ring.write(slab, len.next_multiple_of(PAGE), offset)?;
            self.writing += 1;
        }
        Ok(())
    }

    fn written(&mut self, number: usize, len: usize) -> Result<(), Box<dyn Error>> {
        self.writing -= 1;
        let slab = self.ring.written(number, len)?;
        // Registered ones are taken first.
        if number < self.registered {
            self.free.push(slab);
        } else {
            self.free.insert(0, slab);
        }
        Ok(())
    }
}

/// A piece of which nothing is known yet.
fn empty(slab: Slab) -> Whole {
    Whole {
        slab,
        piece: 0,
        len: 0,
        expected: [0; 20],
    }
}

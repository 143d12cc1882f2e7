//! The ring: receives into buffers that the kernel chooses, direct writes of pieces.

use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsRawFd as _;
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fixed};
use io_uring::{IoUring, cqueue, opcode, squeue};

use ripcurrent_proto::base::slab::Memory;

use crate::memory::{self, Slab};

const GROUP: u16 = 0;

/// Bits of an operation's number: what it is.
const KIND: u64 = 0xff << 56;
const RECEIVE: u64 = 1 << 56;
const WRITE: u64 = 2 << 56;
const WAKE: u64 = 3 << 56;

/// What the kernel says has happened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Done {
    /// So many bytes came on this connection, into this buffer; whether more come unasked.
    Received {
        conn: usize,
        buffer: u16,
        len: usize,
        armed: bool,
    },
    /// There was no buffer for this connection: it has to be armed again.
    Starved { conn: usize },
    /// The far end of a connection has sent everything.
    Ended,
    /// The write of the slab of this number took so many bytes.
    Written { slab: usize, len: usize },
    /// The hash thread is done with something.
    Woken,
}

/// Invariant: what the kernel may touch is the ring's own, and is freed after `ring`, the first
/// field. Nothing is under way then, unless a pass has failed, which ends the process.
pub(crate) struct Ring {
    ring: IoUring,
    buffers: Buffers,
    connections: usize,
    /// So many slabs are registered, the first ones.
    registered: usize,
    /// The slabs that are being written, by their number, and how many bytes of each.
    writing: Vec<Option<(Slab, usize)>>,
    /// What the eventfd's read goes into.
    wakes: Box<u64>,
}

/// A ring of buffers, which the kernel takes from as bytes come.
struct Buffers {
    entries: Box<dyn Memory>,
    /// What the kernel writes to, and where that begins.
    _data: Box<dyn Memory>,
    start: *mut u8,
    count: u16,
    size: u32,
    tail: u16,
}

impl Ring {
    /// A ring for these connections and this file, with so many buffers of so many bytes.
    pub(crate) fn new(
        streams: &[TcpStream],
        file: &File,
        (count, size): (u16, u32),
    ) -> io::Result<Ring> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_cqsize(4096)
            .build(512)?;
        let files: Vec<_> = streams.iter().map(|stream| stream.as_raw_fd()).collect();
        let files = [files.as_slice(), &[file.as_raw_fd()]].concat();
        ring.submitter().register_files(&files)?;
        Ok(Ring {
            buffers: Buffers::new(&ring, count, size)?,
            ring,
            connections: streams.len(),
            registered: 0,
            writing: Vec::new(),
            wakes: Box::new(0),
        })
    }

    /// Registers as many of these slabs as the limit of locked memory allows; how many that are.
    ///
    /// # Safety
    /// Their memory outlives the ring.
    pub(crate) unsafe fn register(&mut self, slabs: &mut [Slab]) -> usize {
        for count in (1..=slabs.len()).rev() {
            let parts = slabs[..count].iter_mut().map(|slab| {
                let bytes = slab.memory.bytes_mut();
                libc::iovec {
                    iov_base: bytes.as_mut_ptr().cast(),
                    iov_len: bytes.len(),
                }
            });
            let parts: Vec<_> = parts.collect();
            // SAFETY: the caller keeps the memory; it is written to by who has the slab, and not
            // while the kernel reads it.
            if unsafe { self.ring.submitter().register_buffers(&parts) }.is_ok() {
                self.registered = count;
                return count;
            }
        }
        0
    }

    /// Receives on a connection until it is starved or ended.
    pub(crate) fn arm(&mut self, conn: usize) -> io::Result<()> {
        let socket = Fixed(conn as u32);
        let entry = opcode::RecvMulti::new(socket, GROUP).build();
        self.push(&entry.user_data(RECEIVE | conn as u64))
    }

    /// Writes the first `len` bytes of a slab, whole pages.
    pub(crate) fn write(&mut self, slab: Slab, len: usize, offset: u64) -> io::Result<()> {
        let (file, number) = (Fixed(self.connections as u32), slab.number);
        let bytes = &slab.memory.bytes()[..len];
        let (start, len) = (bytes.as_ptr(), len as u32);
        let entry = if number < self.registered {
            let entry = opcode::WriteFixed::new(file, start, len, number as u16);
            entry.offset(offset).build()
        } else {
            opcode::Write::new(file, start, len).offset(offset).build()
        };
        if self.writing.len() <= number {
            self.writing.resize_with(number + 1, || None);
        }
        self.writing[number] = Some((slab, len as usize));
        self.push(&entry.user_data(WRITE | number as u64))
    }

    /// Takes back a slab whose write took `len` bytes, which has to be all.
    pub(crate) fn written(&mut self, slab: usize, len: usize) -> io::Result<Slab> {
        let written = self.writing.get_mut(slab).and_then(Option::take);
        let (slab, wanted) = written.ok_or_else(|| io::Error::other("a write ended twice"))?;
        if len != wanted {
            let what = format!("a write ended after {len} of {wanted} bytes");
            return Err(io::Error::other(what));
        }
        Ok(slab)
    }

    /// Has an eventfd wake the loop, once.
    pub(crate) fn await_wake(&mut self, eventfd: i32) -> io::Result<()> {
        let into: *mut u64 = &mut *self.wakes;
        let entry = opcode::Read::new(io_uring::types::Fd(eventfd), into.cast(), 8).build();
        self.push(&entry.user_data(WAKE))
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: receives go into the buffers of the ring, which live as long as it does, and so do
        // the wake's eight bytes; a slab that is being written belongs to the ring.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Hands over what is queued and waits until so many things have happened.
    pub(crate) fn wait(&mut self, least: usize, done: &mut Vec<Done>) -> io::Result<()> {
        match self.ring.submit_and_wait(least) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => drop(other?),
        }
        for entry in self.ring.completion() {
            done.push(understand(&entry)?);
        }
        Ok(())
    }

    /// What came into a buffer.
    pub(crate) fn bytes(&mut self, buffer: u16, len: usize) -> &[u8] {
        let from = usize::from(buffer) * self.buffers.size as usize;
        assert!(
            len <= self.buffers.size as usize,
            "no buffer holds {len} bytes"
        );
        let start = self.buffers.start.wrapping_add(from);
        // SAFETY: the buffer lies in the memory of all buffers, which began as zeros, and the kernel
        // does not touch it until it is given back, which takes `&mut`.
        unsafe { slice::from_raw_parts(start, len) }
    }

    /// Gives a buffer back to the kernel.
    pub(crate) fn recycle(&mut self, buffer: u16) {
        self.buffers.give(buffer);
        self.buffers.publish();
    }
}

fn understand(entry: &cqueue::Entry) -> io::Result<Done> {
    let number = (entry.user_data() & !KIND) as usize;
    let result = entry.result();
    match (entry.user_data() & KIND, usize::try_from(result)) {
        (RECEIVE, Ok(0)) => Ok(Done::Ended),
        (RECEIVE, Ok(len)) => Ok(Done::Received {
            conn: number,
            buffer: cqueue::buffer_select(entry.flags())
                .ok_or_else(|| io::Error::other("bytes came into no buffer"))?,
            len,
            armed: cqueue::more(entry.flags()),
        }),
        (RECEIVE, Err(_)) if result == -libc::ENOBUFS => Ok(Done::Starved { conn: number }),
        (WRITE, Ok(len)) => Ok(Done::Written { slab: number, len }),
        (WAKE, Ok(_)) => Ok(Done::Woken),
        (kind, _) => {
            let error = io::Error::from_raw_os_error(-result);
            let what = match kind {
                RECEIVE => format!("receiving on connection {number}: {error}"),
                WRITE => format!("writing slab {number}: {error}"),
                _ => format!("waiting for the hash thread: {error}"),
            };
            Err(io::Error::new(error.kind(), what))
        }
    }
}

impl Buffers {
    fn new(ring: &IoUring, count: u16, size: u32) -> io::Result<Buffers> {
        let entries = memory::one(usize::from(count) * size_of::<BufRingEntry>())?;
        let mut data = memory::one(usize::from(count) * size as usize)?;
        let mut buffers = Buffers {
            start: data.bytes_mut().as_mut_ptr(),
            _data: data,
            entries,
            count,
            size,
            tail: 0,
        };
        for number in 0..count {
            buffers.give(number);
        }
        buffers.publish();
        let start = buffers.entries.bytes().as_ptr() as u64;
        let submitter = ring.submitter();
        // SAFETY: the entries lie at the start of a page, there are `count`, and both they and the
        // buffers live as long as the ring.
        unsafe { submitter.register_buf_ring_with_flags(start, count, GROUP, 0) }?;
        Ok(buffers)
    }

    fn give(&mut self, number: u16) {
        let place = usize::from(self.tail & (self.count - 1));
        let ring = self.entries.bytes_mut().as_mut_ptr().cast::<BufRingEntry>();
        let from = usize::from(number) * self.size as usize;
        let data = self.start.wrapping_add(from) as u64;
        // SAFETY: there are `count` entries, and the kernel reads none of those beyond the tail.
        let entry = unsafe { &mut *ring.add(place) };
        entry.set_addr(data);
        entry.set_len(self.size);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        let ring = self.entries.bytes_mut().as_mut_ptr().cast::<BufRingEntry>();
        // SAFETY: the tail lies in the first entry, which is there, aligned as a `u16`; the kernel
        // reads it while we write, so both do so as a whole.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

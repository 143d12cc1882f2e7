//! What reading costs when data that is there is looked at: the pieces of a file are read, a few at
//! a time, and hashed, and nothing of a protocol.
//!
//! ```text
//! cargo run --release -p ripcurrent-runtime-uring --example recheck -- \
//!     FOLDER [MIB [KIB [AT_ONCE [HASHERS [DISKS]]]]] [uring|tokio-uring|epoll] [cold]
//! ```
//!
//! A file of so many MiB (1,024 unless told) is made in the folder and read in pieces of so many KiB
//! (1,024), so many at once (16); the processor time of that is printed. It is in the page cache
//! unless it is to be read `cold`.

use std::collections::VecDeque;
use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, fs};

use ripcurrent_proto::api::{Access, Disk, DiskDone, Input, Output};
use ripcurrent_proto::base::id::{ConnId, Id, OpId, TorrentId};
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout};
use ripcurrent_runtime_uring::{Choice, Control, Host, Listen, Options};
use rustix::time::{ClockId, clock_gettime};

const STORAGE: TorrentId = TorrentId(0);
const NAME: &str = "ripcurrent-recheck";

fn main() -> ExitCode {
    match recheck(env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("recheck: {error}");
            ExitCode::FAILURE
        }
    }
}

fn recheck(mut arguments: Vec<String>) -> Result<(), Box<dyn Error>> {
    let (mut backend, mut cold) = (Choice::Auto, false);
    arguments.retain(|argument| {
        match argument.as_str() {
            "tokio-uring" => backend = Choice::TokioUring,
            "epoll" => backend = Choice::Epoll,
            "uring" => backend = Choice::Uring,
            "cold" => cold = true,
            _ => return true,
        }
        false
    });
    let folder = arguments.first().ok_or("no folder")?;
    let number = |at: usize, otherwise: usize| -> Result<usize, Box<dyn Error>> {
        let parsed = arguments.get(at).map(|text| text.parse());
        Ok(parsed.transpose()?.unwrap_or(otherwise))
    };
    let (mib, piece) = (number(1, 1024)?, number(2, 1024)? << 10);
    let path = Path::new(folder).join(NAME);
    make(&path, mib, cold)?;
    let host = Host::new(Options {
        backend,
        bind: Ipv4Addr::LOCALHOST.into(),
        listen: Listen::No,
        loopback_only: true,
        hash_threads: number(4, 1)?,
        disk_threads: number(5, 2)?,
        ..Options::default()
    })?;
    let mut reader = Reader::new(folder, mib, piece, number(3, 16)?)?;
    let (begun, before) = (host.now(), processor_micros());
    let mut end = begun;
    host.run(&mut reader, |reader, now| {
        end = now;
        match reader.left {
            0 => Control::Stop,
            _ => Control::Wait(None),
        }
    })?;
    let spent = processor_micros() - before;
    fs::remove_file(&path)?;
    let elapsed = end.since(begun).as_micros() as u64;
    println!(
        "{mib} MiB in {} ms, {} MiB/s; processor ms per GiB: {}",
        elapsed / 1000,
        mib as u64 * 1_000_000 / elapsed.max(1),
        spent * 1024 / mib as i64 / 1000,
    );
    Ok(())
}

fn make(path: &Path, mib: usize, cold: bool) -> Result<(), Box<dyn Error>> {
    let mut file = File::create(path)?;
    let bytes: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    for _ in 0..mib {
        file.write_all(&bytes)?;
    }
    file.sync_all()?;
    if cold {
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    }
    Ok(())
}

/// The time that processors have given to all threads of this process, in microseconds.
fn processor_micros() -> i64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec * 1_000_000 + time.tv_nsec / 1_000
}

/// Reads and hashes the pieces in order.
struct Reader {
    outputs: VecDeque<Output>,
    layout: Arc<Layout>,
    spare: Vec<Slab>,
    next: u32,
    left: u32,
}

impl Reader {
    fn new(folder: &str, mib: usize, piece: usize, at_once: usize) -> Result<Self, Box<dyn Error>> {
        let file = FileEntry {
            path: vec![NAME.into()],
            len: (mib as u64) << 20,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let layout = Arc::new(Layout::new(piece as u32, vec![file])?);
        let open = Disk::Open {
            op: op(u32::MAX),
            storage: STORAGE,
            root: folder.into(),
            info_hash: [0; 20],
            layout: Arc::clone(&layout),
            access: Access::Read,
        };
        Ok(Reader {
            outputs: VecDeque::from([Output::Disk(open)]),
            spare: (0..at_once.max(1)).map(|_| Slab::new(piece)).collect(),
            next: 0,
            left: layout.pieces(),
            layout,
        })
    }

    fn read_more(&mut self) {
        while let Some(piece) = self.layout.piece(self.next)
            && let Some(mut slab) = self.spare.pop()
        {
            self.next += 1;
            slab.set_len(self.layout.piece_len(piece) as usize);
            self.outputs.push_back(Output::Disk(Disk::Read {
                op: op(piece.0),
                storage: STORAGE,
                slab,
                spans: self.layout.spans(self.layout.whole(piece)),
            }));
        }
    }
}

fn op(number: u32) -> OpId {
    OpId(Id::from_parts(number, 0))
}

impl Machine for Reader {
    fn accept(&mut self, _now: Instant, _from: SocketAddr) -> Option<ConnId> {
        None
    }

    fn handle(&mut self, _now: Instant, input: Input<'_>) {
        match input {
            Input::Disk(DiskDone::Opened { result, .. }) => {
                result.expect("the file was made a moment ago");
            }
            Input::Disk(DiskDone::Read { op, slab, result }) => {
                result.expect("the file was made a moment ago");
                self.outputs.push_back(Output::Hash { op, slab });
            }
            Input::Hashed { slab, .. } => {
                self.spare.push(slab);
                self.left -= 1;
            }
            _ => {}
        }
        self.read_more();
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn poll_output(&mut self, _now: Instant) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}

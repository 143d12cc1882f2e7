//! The floor: what a download costs without BitTorrent. Bytes come over TCP from the load peer, which
//! sends pieces unasked; they are copied into pieces, hashed in batches, and written with direct
//! I/O. No protocol, no choice, no state: what a client needs beyond this is its own.
//!
//! It runs twice: once it only receives and copies, once it does everything. The clock of each
//! thread tells what hashing took; what is left is writing.

mod assemble;
mod hash;
mod memory;
mod pass;
mod ring;

use std::error::Error;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::Parser;
use ripcurrent_benches::content::Facts;
use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::time::{ClockId, clock_gettime};

use pass::{Pass, Until};

/// What a download costs without BitTorrent, as one line of JSON.
#[derive(Debug, Parser)]
#[command(name = "ripcurrent-floor")]
struct Cli {
    /// The torrent file; its content is one file.
    #[arg(long)]
    torrent: PathBuf,
    /// A seed of `ripcurrent-load`; may be given several times.
    #[arg(long = "seed", value_name = "IP:PORT", required = true)]
    seeds: Vec<SocketAddr>,
    /// How many connections [default: one to each seed].
    #[arg(long, value_name = "N")]
    connections: Option<usize>,
    /// The file to write.
    #[arg(long, value_name = "FILE")]
    into: PathBuf,
    /// Hash on a thread beside the loop.
    #[arg(long)]
    hash_thread: bool,
    /// Receive buffers, and the size of each in KiB.
    #[arg(long, value_name = "N", default_value_t = 64)]
    buffers: u16,
    #[arg(long, value_name = "KIB", default_value_t = 128)]
    buffer_kib: u32,
    /// Pieces in memory beyond one for each connection.
    #[arg(long, value_name = "N", default_value_t = 28)]
    slabs: usize,
    /// How many of them to register with the ring at most; the limit of locked memory counts too.
    #[arg(long, value_name = "N", default_value_t = 64)]
    registered: usize,
}

/// What a pass took.
struct Taken {
    cpu: f64,
    wall: f64,
    hash: f64,
    registered: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let cli = Cli::parse();
    let facts = Facts::read(&cli.torrent)?;
    let gib = facts.total_len as f64 / f64::from(1 << 30);
    let received = take(&cli, &facts, Until::Received)?;
    let whole = take(&cli, &facts, Until::Written)?;
    let (all, receive, hash) = (whole.cpu / gib, received.cpu / gib, whole.hash / gib);
    let write = all - receive - hash;
    println!(
        "{{\"cpu_s_per_gib\":{all:.4},\"receive\":{receive:.4},\"hash\":{hash:.4},\
         \"write\":{write:.4},\"mib_per_s\":{:.1},\"wall_s\":{:.4},\"memory_mib\":{:.1},\
         \"registered_mib\":{},\"hashed_by\":\"{}\"}}",
        gib * 1024.0 / whole.wall,
        whole.wall,
        memory::peak_bytes() as f64 / f64::from(1 << 20),
        (whole.registered * facts.piece_len as usize) >> 20,
        hash::kernel_name(),
    );
    Ok(())
}

/// One pass over all pieces, as far as `until` says.
fn take(cli: &Cli, facts: &Facts, until: Until) -> Result<Taken, Box<dyn Error>> {
    let count = cli.connections.unwrap_or(cli.seeds.len());
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(OFlags::DIRECT.bits().cast_signed())
        .open(&cli.into)
        .map_err(|error| format!("{}: {error}", cli.into.display()))?;
    if until == Until::Written {
        fallocate(&file, FallocateFlags::empty(), 0, facts.total_len)?;
    }
    let mut streams = Vec::new();
    for number in 0..count {
        let seed = cli.seeds[number % cli.seeds.len()];
        let stream = TcpStream::connect(seed).map_err(|error| format!("{seed}: {error}"))?;
        streams.push(stream);
    }
    let mut pass = Pass::new(cli, facts, until, &file, &streams)?;
    let (cpu, begun) = (
        seconds(ClockId::ProcessCPUTime),
        seconds(ClockId::Monotonic),
    );
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(format!("pour {number} {count}\n").as_bytes())?;
    }
    let hash = pass.run()?;
    let taken = Taken {
        cpu: seconds(ClockId::ProcessCPUTime) - cpu,
        wall: seconds(ClockId::Monotonic) - begun,
        hash,
        registered: pass.registered(),
    };
    drop(pass);
    file.set_len(facts.total_len)?;
    Ok(taken)
}

/// What a clock shows.
fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

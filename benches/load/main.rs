//! A peer that costs little, to measure others against: a seed that serves from memory, a leecher
//! that throws away what it asked for, and a crowd that is only there. Each is one process of one
//! thread that stands for many peers, and tells what it cost, so that one sees whether it was the
//! limit.

mod leech;
mod poller;
mod report;
mod seed;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// A peer that costs little, to measure others against.
#[derive(Debug, Parser)]
#[command(name = "ripcurrent-load")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Serves a torrent from memory at many addresses, and answers announces about them.
    ///
    /// Says `ready`. Lines on stdin: `dial IP:PORT` connects to that peer from each address, `report`
    /// tells what was sent since the last one and what that cost; the end of stdin ends it.
    Seed(SeedArgs),
    /// Fetches a torrent over many connections and throws it away.
    ///
    /// Says `ready` when it could begin, waits for a line on stdin, fetches, tells what that cost.
    Leech(LeechArgs),
}

/// See [`Role::Seed`].
#[derive(Debug, Args)]
struct SeedArgs {
    /// The torrent file.
    #[arg(long)]
    torrent: PathBuf,
    /// The folder that its files lie in.
    #[arg(long)]
    data: PathBuf,
    /// The first address to listen at.
    #[arg(long, value_name = "IP:PORT")]
    listen: SocketAddrV4,
    /// At how many addresses, one after the other.
    #[arg(long, value_name = "N", default_value_t = 1)]
    addresses: u32,
}

/// See [`Role::Leech`].
#[derive(Debug, Args)]
struct LeechArgs {
    /// The torrent file.
    #[arg(long)]
    torrent: PathBuf,
    /// The seed.
    #[arg(long, value_name = "IP:PORT")]
    connect: SocketAddr,
    /// The address of the first connection; each has one of its own, one after the other.
    #[arg(long, value_name = "IP")]
    from: Ipv4Addr,
    /// How many connections.
    #[arg(long, value_name = "N", default_value_t = 1)]
    connections: u32,
    /// Blocks asked for at once on each connection.
    #[arg(long, value_name = "N", default_value_t = 500)]
    depth: usize,
    /// The most seconds to fetch for; what came until then counts.
    #[arg(long, value_name = "N", default_value_t = 3600)]
    seconds: u32,
    /// Only be there: each connection has half of the pieces and never asks for one.
    #[arg(long)]
    idle: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    match Cli::parse().role {
        Role::Seed(args) => seed::run(&args),
        Role::Leech(args) => leech::run(&args),
    }
}

/// The address `number` places after `first`.
fn nth(first: Ipv4Addr, number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(first.to_bits() + number)
}

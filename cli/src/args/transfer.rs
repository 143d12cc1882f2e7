//! The command lines of `download` and `seed`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum, ValueHint};
use ripcurrent_proto::api::Config;

use crate::backend::BackendArgs;
use crate::ranges::Ranges;
use crate::session::UntilRatio;
use crate::trust::TrustArgs;
use crate::units::{parse_duration, parse_size};

const DOWNLOAD_EXAMPLES: &str = "\
Examples:
  ripcurrent download x.torrent -o ~/Downloads --no-seed
  ripcurrent download x.torrent y.torrent --down-limit 5MiB --torrent-down-limit 1MiB
  ripcurrent download x.torrent --files 1,3-5 --seed-ratio 2
  ripcurrent download x.torrent --bind 127.0.0.2 --peer 127.0.0.3:6881

A torrent that is complete is served until as much was sent as it is large (--seed-ratio 1), or until
Ctrl-C. Run again when everything is there, the command says so and ends; with --seed-ratio or
--seed-time it serves again, and `seed` always does.

Ctrl-C saves and leaves within 3 seconds, a second one at once. The same command then goes on from
there. One torrent that fails does not stop the others; the exit code is the highest.";

const SEED_EXAMPLES: &str = "\
Examples:
  ripcurrent seed x.torrent --data ~/Downloads
  ripcurrent seed torrents/ --data ~/Downloads --seed-time 8h

DIR is the folder that holds the torrent's file or folder, as `download -o DIR` leaves it. It is served
until Ctrl-C, unless --seed-ratio or --seed-time ends it.

What was hashed once is remembered in $XDG_STATE_HOME/ripcurrent (~/.local/state/ripcurrent), and hashed
again only where a file's length or time of change is another. Ten thousand torrents may be seeded at
once: their files are read when they are needed.";

/// How to meet peers.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetArgs {
    /// Speak to this peer as well, about every torrent; may be given several times.
    #[arg(long = "peer", value_name = "IP:PORT")]
    pub(crate) peers: Vec<SocketAddr>,
    /// Listen on this TCP port [default: 6881, else the next free one].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Listen on this address of the machine and dial from it [default: all]. Bound to a loopback
    /// address, nothing but loopback addresses is ever spoken to.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// The most peers of each torrent connected at once.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    pub(crate) max_peers: usize,
    /// The memory for pieces on their way, in bytes, such as 16M: of what -v adds up the part that
    /// grows with the traffic. Pieces that do not fit are written as they come and hashed from disk.
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = memory)]
    pub(crate) memory: u64,
    /// The most bytes sent per second in all, such as 500K or 2MiB; 0 for no limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) up_limit: u64,
    /// The most bytes of each torrent sent per second; 0 for no limit but --up-limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) torrent_up_limit: u64,
    /// Whom to believe.
    #[command(flatten)]
    pub(crate) trust: TrustArgs,
    /// What carries it out.
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

/// See [`Command::Download`](super::Command::Download).
#[derive(Debug, Args)]
#[command(after_help = DOWNLOAD_EXAMPLES)]
pub(crate) struct DownloadArgs {
    /// The torrent files, or folders that hold them.
    #[arg(required = true, value_name = "TORRENT", value_hint = ValueHint::AnyPath)]
    pub(crate) torrents: Vec<PathBuf>,
    /// The folder to put the data in.
    #[arg(short, long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Fetch only these files of the torrent: numbers and ranges as `inspect` shows them, or names
    /// of files or folders, such as `1,3-5` or `docs,readme.txt`. May be given several times; a name
    /// that holds a comma needs a `--files` of its own.
    #[arg(long, value_name = "LIST", conflicts_with = "pieces")]
    pub(crate) files: Vec<String>,
    /// Fetch only these pieces of the torrent, counted from 0, such as `17,20-25`.
    #[arg(long, value_name = "LIST")]
    pub(crate) pieces: Option<Ranges>,
    /// Fetch pieces in their order instead of the rarest first.
    #[arg(long)]
    pub(crate) sequential: bool,
    /// How to meet peers.
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// The most bytes received per second in all, such as 500K or 2MiB; 0 for no limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) down_limit: u64,
    /// The most bytes of each torrent received per second; 0 for no limit but --down-limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) torrent_down_limit: u64,
    /// Leave when everything is there instead of serving it.
    #[arg(long)]
    pub(crate) no_seed: bool,
    /// Serve what is complete until so many times its size was sent, or `none` for no such end
    /// [default: 1, without --seed-time].
    #[arg(long, value_name = "RATIO", conflicts_with = "no_seed")]
    pub(crate) seed_ratio: Option<UntilRatio>,
    /// Serve what is complete for this long, such as 90m or 8h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, conflicts_with = "no_seed")]
    pub(crate) seed_time: Option<Duration>,
    /// Hash all data that is there, whatever was saved about it, before fetching anything.
    #[arg(long)]
    pub(crate) check: bool,
    /// Replace files that are in the way and hold nothing of the torrent.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// How files take their room on the disk.
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Allocation::Full)]
    pub(crate) allocation: Allocation,
    /// Give a torrent up (exit code 4) after this long without a byte, such as 90 or 5m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) stop_timeout: Option<Duration>,
    /// Give a torrent up (exit code 5) when its disk has had no room for this long.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) disk_wait: Duration,
    /// Write down what the engine is told and does, without data and addresses, so that the run can
    /// be played again: `ripcurrent sim replay FILE`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,
    /// Leave the addresses of others in the record.
    #[arg(long, requires = "record")]
    pub(crate) record_addresses: bool,
    /// Tell what happens on stdout, one JSON object a line (cli/JSON.md).
    #[arg(long)]
    pub(crate) json: bool,
}

/// How files take their room on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allocation {
    /// As data comes, in more fragments.
    Sparse,
    /// All of it at the start, where the file system can do that.
    Full,
}

/// See [`Command::Seed`](super::Command::Seed).
#[derive(Debug, Args)]
#[command(after_help = SEED_EXAMPLES)]
pub(crate) struct SeedArgs {
    /// The torrent files, or folders that hold them.
    #[arg(required = true, value_name = "TORRENT", value_hint = ValueHint::AnyPath)]
    pub(crate) torrents: Vec<PathBuf>,
    /// The folder the data lies in; it is never changed.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) data: PathBuf,
    /// Hash all data, also what was hashed before and has not changed since.
    #[arg(long)]
    pub(crate) check: bool,
    /// Leave when so many times its size was sent [default: none].
    #[arg(long, value_name = "RATIO")]
    pub(crate) seed_ratio: Option<UntilRatio>,
    /// Leave after this long, such as 90m or 8h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) seed_time: Option<Duration>,
    /// How to meet peers.
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// Tell what happens on stdout, one JSON object a line (cli/JSON.md).
    #[arg(long)]
    pub(crate) json: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    const LEAST: u64 = Config::LEAST_BUDGET as u64;
    match parse_size(text).map_err(|bad| bad.to_string())? {
        0..LEAST => Err("must be at least 1 MiB".into()),
        size => Ok(size),
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a number".into()),
    }
}

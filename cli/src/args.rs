//! The command line.

#[cfg(feature = "sim")]
mod sim;

use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args, CommandFactory, Parser, Subcommand, ValueHint};

use crate::backend::BackendArgs;
use crate::exit::Exit;
use crate::ranges::Ranges;
use crate::units::{parse_duration, parse_size};

#[cfg(feature = "sim")]
pub(crate) use sim::{ReplayArgs, Seeds, SimArgs, SimCommand};

const DOWNLOAD_EXAMPLES: &str = "\
Examples:
  ripcurrent download x.torrent -o ~/Downloads --no-seed
  ripcurrent download x.torrent --files 1,3-5 --down-limit 2MiB
  ripcurrent download x.torrent --bind 127.0.0.2 --peer 127.0.0.3:6881

Interrupted, the same command goes on from there: data that is there is hashed and kept.";

const SEED_EXAMPLES: &str = "\
Example:
  ripcurrent seed x.torrent --data ~/Downloads

DIR is the folder that holds the torrent's file or folder, as `download -o DIR` leaves it.";

const CREATE_EXAMPLES: &str = "\
Examples:
  ripcurrent create photos -t http://tracker.example/announce
  ripcurrent create film.mkv -o film.torrent -l 1MiB --private

The info-hash and the path of the torrent go to stdout.";

/// Where options that every command has stand in its help: behind its own.
const LAST: usize = 900;

/// A high-throughput BitTorrent client for Linux.
#[derive(Debug, Parser)]
#[command(name = "ripcurrent", version, after_help = ending(), propagate_version = true)]
pub(crate) struct Cli {
    /// Say more: trackers, failed pieces, the memory bound; twice for every event.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = LAST)]
    pub(crate) verbose: u8,
    /// Say nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = LAST)]
    pub(crate) quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Fetch what a torrent names, then serve it to others
    Download(DownloadArgs),
    /// Serve data that is there
    Seed(SeedArgs),
    /// Make a torrent of a file or folder
    Create(CreateArgs),
    /// Show what a torrent file holds
    Inspect(InspectArgs),
    /// Ask a torrent's trackers for peers, once
    Announce(AnnounceArgs),
    /// Run a small HTTP tracker that keeps everything in memory
    Tracker(TrackerArgs),
    /// Run whole swarms in a simulated world, the same way each time
    #[cfg(feature = "sim")]
    Sim(SimArgs),
    /// Show everything at work on this machine: a tracker, seeds and a download over loopback
    Demo(DemoArgs),
}

/// How to meet peers.
#[derive(Clone, Debug, Args)]
pub(crate) struct NetArgs {
    /// Speak to this peer as well; may be given several times.
    #[arg(long = "peer", value_name = "IP:PORT")]
    pub(crate) peers: Vec<SocketAddr>,
    /// Listen on this TCP port [default: 6881, else the next free one].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Listen on this address of the machine and dial from it [default: all]. Bound to a loopback
    /// address, nothing but loopback addresses is ever spoken to.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// The most peers connected at once.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = at_least_one)]
    pub(crate) max_peers: usize,
    /// The most bytes sent per second, such as 500K or 2MiB; 0 for no limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) up_limit: u64,
    /// What carries it out.
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

/// See [`Command::Download`].
#[derive(Debug, Args)]
#[command(after_help = DOWNLOAD_EXAMPLES)]
pub(crate) struct DownloadArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// The folder to put the data in.
    #[arg(short, long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) output: PathBuf,
    /// Fetch only these files: numbers and ranges as `inspect` shows them, or names of files or
    /// folders, such as `1,3-5` or `docs,readme.txt`. May be given several times; a name that holds
    /// a comma needs a `--files` of its own.
    #[arg(long, value_name = "LIST", conflicts_with = "pieces")]
    pub(crate) files: Vec<String>,
    /// Fetch only these pieces, counted from 0, such as `17,20-25`.
    #[arg(long, value_name = "LIST")]
    pub(crate) pieces: Option<Ranges>,
    /// Fetch pieces in their order instead of the rarest first.
    #[arg(long)]
    pub(crate) sequential: bool,
    /// How to meet peers.
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// The most bytes received per second, such as 500K or 2MiB; 0 for no limit.
    #[arg(long, value_name = "RATE", default_value = "0", value_parser = parse_size)]
    pub(crate) down_limit: u64,
    /// Leave when everything is there instead of serving it until Ctrl-C.
    #[arg(long)]
    pub(crate) no_seed: bool,
    /// Hash all data that is there before fetching anything. Done at every start for now.
    #[arg(long)]
    pub(crate) check: bool,
    /// Give up (exit code 4) after this long without a byte, such as 90s or 5m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) stop_timeout: Option<Duration>,
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

/// See [`Command::Seed`].
#[derive(Debug, Args)]
#[command(after_help = SEED_EXAMPLES)]
pub(crate) struct SeedArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// The folder the data lies in; it is hashed first and never changed.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) data: PathBuf,
    /// How to meet peers.
    #[command(flatten)]
    pub(crate) net: NetArgs,
    /// Tell what happens on stdout, one JSON object a line (cli/JSON.md).
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Command::Create`].
#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateArgs {
    /// The file or folder. The torrent takes its name.
    #[arg(value_hint = ValueHint::AnyPath)]
    pub(crate) path: PathBuf,
    /// Where to write the torrent [default: NAME.torrent in the current folder].
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Replace the output if it is there.
    #[arg(long)]
    pub(crate) overwrite: bool,
    /// The address of a tracker. Each one given is a tier of its own (BEP 12); commas join several
    /// in one tier.
    #[arg(short, long = "tracker", value_name = "URL")]
    pub(crate) trackers: Vec<String>,
    /// Bytes of a piece, a power of two of at least 16K [default: chosen by the size].
    #[arg(short = 'l', long, value_name = "SIZE", value_parser = piece_length)]
    pub(crate) piece_length: Option<u32>,
    /// Peers may come from the trackers alone (BEP 27).
    #[arg(long)]
    pub(crate) private: bool,
    /// A remark for people.
    #[arg(long, value_name = "TEXT")]
    pub(crate) comment: Option<String>,
    /// Where it comes from; changes the info-hash.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// The address of a web server that has the data (BEP 19); may be given several times.
    #[arg(long = "web-seed", value_name = "URL")]
    pub(crate) web_seeds: Vec<String>,
    /// Leave the date of creation out, so that the same data makes the same file.
    #[arg(long)]
    pub(crate) no_date: bool,
    /// Take files and folders along whose names begin with a dot.
    #[arg(long)]
    pub(crate) hidden: bool,
    /// Take what symbolic links point to instead of skipping them.
    #[arg(long)]
    pub(crate) follow_links: bool,
}

/// See [`Command::Inspect`].
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// One JSON object instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Command::Announce`].
#[derive(Debug, Args)]
pub(crate) struct AnnounceArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// Ask this tracker instead of the torrent's own.
    #[arg(long, value_name = "URL")]
    pub(crate) tracker: Option<String>,
    /// The port to give as ours.
    #[arg(long, default_value_t = DEFAULT_PORT)]
    pub(crate) port: u16,
    /// Ask from this address of the machine; bound to a loopback address, nothing else is asked.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// How many peers to ask for.
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(crate) num_want: u32,
    /// How long to wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,
}

/// See [`Command::Tracker`].
#[derive(Debug, Args)]
pub(crate) struct TrackerArgs {
    /// The address to listen on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
    /// The TCP port to listen on; 0 for a free one.
    #[arg(long, default_value_t = 6969)]
    pub(crate) port: u16,
    /// How often peers are told to announce.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_duration)]
    pub(crate) interval: Duration,
}

/// See [`Command::Demo`].
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// How much data to make and fetch.
    #[arg(long, default_value = "1GiB", value_parser = parse_size)]
    pub(crate) size: u64,
    /// How many seeds to fetch it from.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) peers: u8,
    /// The folder to work in; twice the size is needed for a while.
    #[arg(long, default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// What carries it out.
    #[command(flatten)]
    pub(crate) backend: BackendArgs,
}

impl Command {
    /// Whether events go to stdout.
    pub(crate) fn tells_json(&self) -> bool {
        match self {
            Command::Download(args) => args.json,
            Command::Seed(args) => args.json,
            _ => false,
        }
    }
}

/// The port that is tried first.
pub(crate) const DEFAULT_PORT: u16 = 6881;

/// Reads the command line of the process; ends the process where it is wrong or asks for help.
pub(crate) fn parse() -> Cli {
    Cli::parse_from(with_default_command(std::env::args_os().collect()))
}

/// What the help ends with.
fn ending() -> String {
    let short = "`ripcurrent FILE.torrent` means `ripcurrent download FILE.torrent`.";
    format!("{short}\n\n{}", Exit::all_in_words())
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("must be a number".into()),
    }
}

fn piece_length(text: &str) -> Result<u32, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    u32::try_from(size).map_err(|_| "must be less than 4 GiB".into())
}

/// Puts `download` in front where no command is named but a torrent file is.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let is_count = |arg: &OsString| {
        arg.to_str().is_some_and(|arg| {
            ["--verbose", "--quiet"].contains(&arg)
                || arg.strip_prefix('-').is_some_and(|flags| {
                    !flags.is_empty() && flags.bytes().all(|flag| b"vq".contains(&flag))
                })
        })
    };
    let first = args.iter().skip(1).position(|arg| !is_count(arg));
    let Some(first) = first.map(|at| at + 1) else {
        return args;
    };
    if !is_command(&args[first]) && args[first..].iter().any(|arg| names_torrent(arg)) {
        args.insert(first, "download".into());
    }
    args
}

fn is_command(arg: &OsStr) -> bool {
    arg == "help" || Cli::command().find_subcommand(arg).is_some()
}

fn names_torrent(arg: &OsStr) -> bool {
    // A link is none, but `download` says what to do with it.
    let is_magnet = arg.as_encoded_bytes().starts_with(b"magnet:");
    let extension = Path::new(arg).extension();
    is_magnet || extension.is_some_and(|extension| extension.eq_ignore_ascii_case("torrent"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, clap::Error> {
        let args = ["ripcurrent"].into_iter().chain(line.split_whitespace());
        Cli::try_parse_from(with_default_command(args.map(OsString::from).collect()))
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// A torrent alone, and options before or after it, mean `download`.
    #[test]
    fn download_is_the_default() {
        for line in [
            "x.torrent",
            "-v x.torrent",
            "-o out x.TORRENT",
            "x.torrent --no-seed -q",
            "./d.d/x.torrent",
            "magnet:?xt=urn:btih:0",
        ] {
            let cli = read(line).unwrap();
            assert!(matches!(cli.command, Command::Download(_)), "{line}");
        }
        assert!(matches!(
            read("-v inspect x.torrent").unwrap().command,
            Command::Inspect(_)
        ));
        assert!(read("x.iso").is_err() && read("").is_err() && read("-v").is_err());
    }

    /// Sizes, lists and addresses arrive as numbers.
    #[test]
    fn values_are_read() {
        let line = "x.torrent --peer 127.0.0.9:1 --peer [::1]:2 --down-limit 500K --pieces 1,4-5 --stop-timeout 1m";
        let Command::Download(args) = read(line).unwrap().command else {
            panic!()
        };
        assert_eq!(args.net.peers.len(), 2);
        assert_eq!((args.down_limit, args.net.up_limit), (500 << 10, 0));
        assert_eq!(args.pieces, Some("1,4-5".parse().unwrap()));
        assert_eq!(args.stop_timeout, Some(Duration::from_secs(60)));
    }

    /// Mistakes end as usage errors, before anything is begun.
    #[test]
    fn mistakes_are_refused() {
        for line in [
            "x.torrent --max-peers 0",
            "x.torrent --down-limit fast",
            "x.torrent --pieces 5-1",
            "x.torrent --pieces 1 --files 2",
            "x.torrent --peer 127.0.0.1",
            "x.torrent -q -v",
            "demo --peers 0",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    /// A simulation needs a scenario, from a file or drawn, and not both; other commands need none.
    #[cfg(feature = "sim")]
    #[test]
    fn a_simulation_needs_one_scenario() {
        for line in [
            "sim x.toml --seeds 1..20 --jobs 2 --report out",
            "sim --draw 3 --print",
            "sim x.toml --trace calls --trace-from 9",
            "sim replay x.record",
        ] {
            assert!(
                matches!(read(line).unwrap().command, Command::Sim(_)),
                "{line}"
            );
        }
        for line in [
            "sim",
            "sim x.toml --draw 3",
            "sim x.toml --seed 1 --seeds 1..2",
            "sim x.toml --seeds 2..1",
            "sim x.toml --jobs 0",
            "sim x.toml --print",
            "sim x.toml --trace-from 9",
            "sim x.toml --backend tokio",
            "sim replay",
        ] {
            assert_eq!(read(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}

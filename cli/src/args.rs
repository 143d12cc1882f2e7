//! The command line.

mod create;
mod look;
mod manual;
#[cfg(feature = "sim")]
mod sim;
mod trackers;
mod transfer;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};

use crate::backend::BackendArgs;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::say;
use crate::settings::Settings;
use crate::units::parse_size;

pub(crate) use create::CreateArgs;
pub(crate) use look::{InspectArgs, VerifyArgs};
pub(crate) use manual::{CompletionsArgs, ManArgs};
#[cfg(feature = "sim")]
pub(crate) use sim::{ReplayArgs, Seeds, SimArgs, SimCommand};
pub(crate) use trackers::{AnnounceArgs, ScrapeArgs, TrackerArgs};
pub(crate) use transfer::{Allocation, DownloadArgs, NetArgs, SeedArgs};

/// What the configuration file is.
pub(crate) const SETTINGS: &str = "\
Settings are flags by their long names, such as `max-peers = 80`, in $XDG_CONFIG_HOME (or ~/.config) \
under ripcurrent/config.toml: at the top for all commands that have the flag, below `[download]` for \
that command. The command line wins.";

/// Where options that every command has stand in its help: behind its own.
const LAST: usize = 900;

/// A high-throughput BitTorrent client for Linux.
#[derive(Debug, Parser)]
#[command(name = "ripcurrent", version, after_help = ending(), propagate_version = true)]
pub(crate) struct Cli {
    /// Say more: trackers, failed pieces, the memory bound; twice for every event,
    /// three times for everything.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = LAST)]
    pub(crate) verbose: u8,
    /// Say nothing but errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = LAST)]
    pub(crate) quiet: bool,
    /// Append what happens to this file, in more detail than is shown. RUST_LOG, as in
    /// `ripcurrent=trace`, says for both what is told.
    #[arg(long, value_name = "FILE", global = true, display_order = LAST, value_hint = ValueHint::FilePath)]
    pub(crate) log: Option<PathBuf>,
    /// Read settings from this file [default: $XDG_CONFIG_HOME/ripcurrent/config.toml].
    #[arg(long, value_name = "FILE", global = true, display_order = LAST, value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Read no settings from any file.
    #[arg(long, global = true, conflicts_with = "config", display_order = LAST)]
    pub(crate) no_config: bool,
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
    /// Hash data that is there and tell what of it is right
    Verify(VerifyArgs),
    /// Ask a torrent's trackers for peers, once
    Announce(AnnounceArgs),
    /// Ask a torrent's trackers how many peers there are
    Scrape(ScrapeArgs),
    /// Run a small HTTP tracker that keeps everything in memory
    Tracker(TrackerArgs),
    /// Run whole swarms in a simulated world, the same way each time
    #[cfg(feature = "sim")]
    Sim(SimArgs),
    /// Show everything at work on this machine: a tracker, seeds and a download over loopback
    Demo(DemoArgs),
    /// Show what completes command lines in a shell
    Completions(CompletionsArgs),
    /// Show the manual, or write all of its pages into a folder
    Man(ManArgs),
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
            Command::Verify(args) => args.json,
            Command::Scrape(args) => args.json,
            _ => false,
        }
    }
}

/// The port that is tried first.
pub(crate) const DEFAULT_PORT: u16 = 6881;

/// Reads the command line of the process and the settings; else says what is wrong, or what was
/// asked for, and how to end.
pub(crate) fn parse() -> Result<Cli, ExitCode> {
    let line = with_default_command(std::env::args_os().collect());
    read(line, definition()).map_err(|mistake| match mistake {
        Mistake::Line(error) => {
            show(&error);
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8))
        }
        Mistake::Settings(failure) => {
            say::line(format_args!("error: {failure}"));
            failure.exit().into()
        }
    })
}

/// Shows what is wrong with the command line, or the help. Names of files that a shell put there may
/// hold anything.
fn show(error: &clap::Error) {
    let text = error.to_string();
    if Escaped::lines(&text) == text {
        // Nobody reads it any more: nobody is left to tell.
        let _ = error.print();
    } else {
        say::line(text.trim_end());
    }
}

/// The definition of the command line.
pub(crate) fn definition() -> clap::Command {
    Cli::command()
}

/// What can be wrong with what a command is told.
#[derive(Debug)]
enum Mistake {
    Line(clap::Error),
    Settings(Failure),
}

/// Reads the command line alone first: it says where the settings are and what needs none.
fn read(line: Vec<OsString>, definition: clap::Command) -> Result<Cli, Mistake> {
    let given = definition.clone().try_get_matches_from(&line);
    let given = given.map_err(Mistake::Line)?;
    let cli = Cli::from_arg_matches(&given).map_err(Mistake::Line)?;
    if cli.no_config {
        return Ok(cli);
    }
    let settings = Settings::load(cli.config.as_deref(), &definition);
    let settings = settings.map_err(Mistake::Settings)?;
    let preset = settings
        .apply(definition, &given)
        .map_err(Mistake::Settings)?;
    let whole = preset.try_get_matches_from(&line).map_err(Mistake::Line)?;
    Cli::from_arg_matches(&whole).map_err(Mistake::Line)
}

/// What the help ends with.
fn ending() -> String {
    let short = "`ripcurrent FILE.torrent` means `ripcurrent download FILE.torrent`.";
    format!("{short}\n\n{SETTINGS}\n\n{}", Exit::all_in_words())
}

/// Puts `download` in front where no command is named but a torrent file is.
fn with_default_command(mut args: Vec<OsString>) -> Vec<OsString> {
    let mut first = 1;
    while let Some(width) = args.get(first).and_then(|arg| global_width(arg)) {
        first += width;
    }
    if let Some(command) = args.get(first)
        && !is_command(command)
        && args[first..].iter().any(|arg| names_torrent(arg))
    {
        args.insert(first, "download".into());
    }
    args
}

/// How many arguments `arg` is with its value, if it is an option that every command has.
fn global_width(arg: &OsStr) -> Option<usize> {
    let arg = arg.to_str()?;
    let Some(long) = arg.strip_prefix("--") else {
        let flags = arg.strip_prefix('-')?;
        let are_counts = !flags.is_empty() && flags.bytes().all(|flag| b"vq".contains(&flag));
        return are_counts.then_some(1);
    };
    let (name, value) = match long.split_once('=') {
        Some((name, _)) => (name, true),
        None => (long, false),
    };
    let definition = definition();
    let option = definition
        .get_arguments()
        .find(|option| option.get_long() == Some(name))?;
    let takes_value = option.get_action().takes_values() && !value;
    Some(1 + usize::from(takes_value))
}

fn is_command(arg: &OsStr) -> bool {
    arg == "help" || definition().find_subcommand(arg).is_some()
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
    use std::time::Duration;

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
            "--log inspect x.torrent",
            "--log=l --no-config -vv x.torrent",
        ] {
            let cli = read(line).unwrap();
            assert!(matches!(cli.command, Command::Download(_)), "{line}");
        }
        assert!(matches!(
            read("-v --config c inspect x.torrent").unwrap().command,
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
            "x.torrent --memory 1000K",
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

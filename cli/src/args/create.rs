//! The command line of `create`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::units::parse_size;

const CREATE_EXAMPLES: &str = "\
Examples:
  ripcurrent create photos -t http://tracker.example/announce
  ripcurrent create film.mkv -o film.torrent -l 1MiB --private

The info-hash and the path of the torrent go to stdout.";

/// See [`Command::Create`](super::Command::Create).
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

fn piece_length(text: &str) -> Result<u32, String> {
    let size = parse_size(text).map_err(|error| error.to_string())?;
    u32::try_from(size).map_err(|_| "must be less than 4 GiB".into())
}

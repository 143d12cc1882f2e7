//! The command lines of `inspect` and `verify`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

const VERIFY_EXAMPLES: &str = "\
Example:
  ripcurrent verify x.torrent --data ~/Downloads

Shows each file and how much of it is right; exit code 6 unless all is. A file that is still being
downloaded is looked at under the name it has until then, NAME.part.";

/// See [`Command::Inspect`](super::Command::Inspect).
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// One JSON object instead of text for people.
    #[arg(long)]
    pub(crate) json: bool,
}

/// See [`Command::Verify`](super::Command::Verify).
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The torrent file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) torrent: PathBuf,
    /// The folder the data lies in, as `download -o DIR` leaves it; nothing in it is changed.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) data: PathBuf,
    /// One JSON object a line instead of text for people (cli/JSON.md).
    #[arg(long)]
    pub(crate) json: bool,
}

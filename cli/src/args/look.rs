//! The command line of `inspect`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

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

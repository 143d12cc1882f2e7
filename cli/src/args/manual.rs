//! The command lines of `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  ripcurrent completions bash > ~/.local/share/bash-completion/completions/ripcurrent
  ripcurrent completions zsh > ~/.zfunc/_ripcurrent
  ripcurrent completions fish > ~/.config/fish/completions/ripcurrent.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  ripcurrent man | man -l -
  ripcurrent man download | man -l -
  ripcurrent man --dir ~/.local/share/man/man1";

/// See [`Command::Completions`](super::Command::Completions).
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    pub(crate) shell: Shell,
}

/// See [`Command::Man`](super::Command::Man).
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub(crate) struct ManArgs {
    /// The command whose page is shown instead of the first one.
    #[arg(conflicts_with = "dir")]
    pub(crate) command: Vec<String>,
    /// Write all pages into this folder instead of one to stdout.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

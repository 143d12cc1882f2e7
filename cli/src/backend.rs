//! What carries transfers out: the choice on the command line, and what became of it.

use clap::{Args, ValueEnum};
use ripcurrent_runtime_uring::{Choice, Chosen};

use crate::say::{self, Level};

/// What carries transfers out.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct BackendArgs {
    /// What speaks to the network.
    #[arg(long = "backend", value_name = "NAME", value_enum, default_value_t = Name::Auto)]
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// The best that the system allows.
    Auto,
    /// io_uring, from Linux 6.1 on; ends with exit code 8 where it is forbidden.
    Uring,
    /// io_uring by way of a library, from Linux 5.11 on; exit code 8 where it is forbidden.
    TokioUring,
    /// epoll, which works everywhere.
    Epoll,
}

impl BackendArgs {
    /// What is asked for.
    pub(crate) fn choice(self) -> Choice {
        match self.name {
            Name::Auto => Choice::Auto,
            Name::Uring => Choice::Uring,
            Name::TokioUring => Choice::TokioUring,
            Name::Epoll => Choice::Epoll,
        }
    }
}

/// Says what was chosen if it is not the best there is; `-v` says it always.
pub(crate) fn tell(chosen: &Chosen, level: Level) {
    let worth = match chosen.refused.is_empty() {
        true => Level::Verbose,
        false => Level::Normal,
    };
    if level >= worth {
        say::line(format_args!("working over {chosen}"));
    }
}

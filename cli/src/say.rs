//! Words for people. Data goes to stdout, everything else to stderr; a closed pipe on either side
//! is never a reason to panic or to stop a transfer.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::exit::{Exit, Failure};

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Errors alone.
    Quiet,
    /// What happens, and progress.
    Normal,
    /// Details as well.
    Verbose,
}

/// The bars on the terminal; every line written to stderr passes around them.
static BARS: OnceLock<MultiProgress> = OnceLock::new();

/// The place where progress bars are drawn.
pub(crate) fn bars() -> &'static MultiProgress {
    BARS.get_or_init(MultiProgress::new)
}

/// Writes one line to stderr, above the progress bars if there are any.
pub(crate) fn line(text: impl fmt::Display) {
    let text = text.to_string();
    bars().suspend(|| {
        // Nobody reads stderr any more: nobody is left to tell.
        let _ = writeln!(io::stderr().lock(), "{text}");
    });
}

/// Writes data to stdout. A reader that went away ends the command in good order.
pub(crate) fn data(text: impl fmt::Display) -> Result<(), Failure> {
    let text = text.to_string();
    let write = || {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes()).and_then(|()| out.flush())
    };
    match bars().suspend(write) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Disk, "cannot write to stdout").because(error))
        }
        _ => Ok(()),
    }
}

/// Sends the program's traces to stderr: as many as `-v` says, or as `RUST_LOG` says if it is set.
pub(crate) fn init_tracing(verbose: u8) {
    let default = match verbose {
        0 => "warn",
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colour && io::IsTerminal::is_terminal(&io::stderr()))
        .with_writer(AroundBars)
        .init();
}

/// Hands each formatted trace to stderr whole, above the bars.
struct AroundBars;

impl Write for AroundBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        bars().suspend(|| {
            let _ = io::stderr().lock().write_all(bytes);
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for AroundBars {
    type Writer = AroundBars;

    fn make_writer(&self) -> AroundBars {
        AroundBars
    }
}

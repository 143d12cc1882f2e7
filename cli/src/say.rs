//! Words for people. Data goes to stdout, everything else to stderr; a closed pipe on either side
//! is never a reason to panic or to stop a transfer.

use std::fmt;
use std::io::{self, Write};
use std::sync::OnceLock;

use indicatif::MultiProgress;

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::log;

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

/// Writes one line, or several, to stderr, above the progress bars if there are any. Whatever in it
/// could steer the terminal is escaped, should it have come here as it is.
pub(crate) fn line(text: impl fmt::Display) {
    let text = Escaped::lines(&text.to_string());
    around_bars(|err| writeln!(err, "{text}"));
    log::said(&text);
}

/// Writes to stderr above the progress bars.
pub(crate) fn around_bars(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
    bars().suspend(|| {
        // Nobody reads stderr any more: nobody is left to tell.
        let _ = write(&mut io::stderr().lock());
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

//! How a command ends: one exit code for each kind of ending, and an error that says what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use crate::escape::Escaped;

/// The exit codes, a contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// A bug of ours, or a resource that should always be there is not.
    Internal = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The torrent file cannot be used.
    BadTorrent = 3,
    /// Nobody to get the data from.
    NoPeers = 4,
    /// The disk refused.
    Disk = 5,
    /// Data is not what the torrent says.
    CheckFailed = 6,
    /// Stopped before the end; the same command goes on from there.
    Interrupted = 7,
    /// The system does not allow something that is needed.
    Forbidden = 8,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub(crate) const ALL: [Exit; 9] = [
        Exit::Done,
        Exit::Internal,
        Exit::Usage,
        Exit::BadTorrent,
        Exit::NoPeers,
        Exit::Disk,
        Exit::CheckFailed,
        Exit::Interrupted,
        Exit::Forbidden,
    ];

    /// In a few words, for people.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Internal => "internal error",
            Exit::Usage => "usage",
            Exit::BadTorrent => "bad torrent",
            Exit::NoPeers => "no peers",
            Exit::Disk => "disk",
            Exit::CheckFailed => "check failed",
            Exit::Interrupted => "interrupted (the same command goes on from there)",
            Exit::Forbidden => "the system forbids it",
        }
    }

    /// All of them, a line each.
    pub(crate) fn all_in_words() -> String {
        let codes = Exit::ALL.map(|exit| format!("\n  {} {}", exit as u8, exit.meaning()));
        format!("Exit codes:{}", codes.concat())
    }

    /// In one word, for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Exit::Done => "done",
            Exit::Internal => "internal",
            Exit::Usage => "usage",
            Exit::BadTorrent => "bad_torrent",
            Exit::NoPeers => "no_peers",
            Exit::Disk => "disk",
            Exit::CheckFailed => "check_failed",
            Exit::Interrupted => "interrupted",
            Exit::Forbidden => "forbidden",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command did not do what was asked: what happened, to what, and what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    cause: Option<Box<dyn Error + Send + Sync>>,
    remedy: Option<String>,
}

/// How every command ends.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A failure with its exit code and what happened; the sentence has no full stop.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        let what = what.into();
        Failure {
            exit,
            what,
            cause: None,
            remedy: None,
        }
    }

    /// Adds the error underneath.
    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to do next, a sentence of its own.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The command line asks for something that cannot be.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Failure::new(Exit::Usage, what)
    }

    /// A file or folder refused `action`, such as "read" or "create".
    pub(crate) fn disk(action: &str, path: &Path, cause: io::Error) -> Self {
        let remedy = match cause.kind() {
            io::ErrorKind::NotFound => Some("Check the path."),
            io::ErrorKind::PermissionDenied => Some("Check who may use it: `ls -ld` shows that."),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("Make room, or choose another folder.")
            }
            io::ErrorKind::AlreadyExists => Some("Choose another name, or move it away."),
            _ => None,
        };
        let failure = Failure::new(
            Exit::Disk,
            format!("cannot {action} {}", Escaped::path(path)),
        );
        let failure = failure.because(cause);
        match remedy {
            Some(remedy) => failure.remedy(remedy),
            None => failure,
        }
    }

    /// Nothing may listen at `addr`.
    pub(crate) fn bind(addr: SocketAddr, cause: io::Error) -> Self {
        let (exit, remedy) = match cause.kind() {
            io::ErrorKind::PermissionDenied => (Exit::Forbidden, "Choose a port above 1023."),
            io::ErrorKind::AddrInUse => (Exit::Usage, "Choose another with --port."),
            io::ErrorKind::AddrNotAvailable => {
                (Exit::Usage, "--bind must be an address of this machine.")
            }
            _ => (
                Exit::Internal,
                "Choose another address with --bind and --port.",
            ),
        };
        let failure = Failure::new(exit, format!("cannot listen on {addr}"));
        failure.because(cause).remedy(remedy)
    }

    /// The code to end with.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }
}

/// One line: what happened, why, and what to do next.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let top = self.cause.as_deref().map(|cause| cause as &dyn Error);
        let mut said = String::new();
        for error in std::iter::successors(top, |&error| error.source()) {
            let text = error.to_string();
            let text = text.trim_end();
            // Many errors repeat what lies under them.
            if !said.contains(text) {
                write!(f, ": {}", Escaped(text))?;
            }
            said = text.to_owned();
        }
        match &self.remedy {
            Some(remedy) => write!(f, ". {remedy}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    enum Outer {
        #[error("outer")]
        Silent(#[source] io::Error),
        #[error("outer: {0}")]
        Telling(#[source] io::Error),
    }

    /// Every error underneath is told once, in one line, and the remedy follows.
    #[test]
    fn a_failure_tells_what_why_and_what_next() {
        let inner = || io::Error::other("inner\u{1b}\n");
        for cause in [Outer::Silent(inner()), Outer::Telling(inner())] {
            let failure = Failure::usage("--x").because(cause).remedy("Do y.");
            assert_eq!(failure.to_string(), "--x: outer: inner\\u{1b}. Do y.");
        }
        assert_eq!(Failure::usage("--x").to_string(), "--x");
    }

    /// The codes are a contract: changing one breaks other people's scripts.
    #[test]
    fn the_codes_stand() {
        assert!(Exit::ALL.map(|code| code as usize).into_iter().eq(0..9));
    }
}

//! Which programs are here, and what becomes of a scene without them.

use std::env;
use std::io::{self, Write as _};
use std::net::{Ipv6Addr, TcpListener};
use std::process::{Command, Stdio};

/// Somebody else's program that a scene needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Aria2,
    Libtorrent,
    Opentracker,
    Qbittorrent,
    Rtorrent,
    Transmission,
}

impl Program {
    /// Whether all of `programs` are here. Where one is not, says that the scene is skipped.
    ///
    /// # Panics
    /// Where one is not and `RIPCURRENT_INTEROP=required`.
    #[track_caller]
    pub(crate) fn all_here(programs: &[Program]) -> bool {
        let Some(missing) = programs.iter().find(|program| !program.is_here()) else {
            return true;
        };
        let required = env::var("RIPCURRENT_INTEROP").is_ok_and(|value| value == "required");
        assert!(!required, "{} is not installed", missing.name());
        skipped(&format!("{} is not installed", missing.name()));
        false
    }

    fn name(self) -> &'static str {
        match self {
            Program::Aria2 => "aria2c",
            Program::Libtorrent => "libtorrent for python3",
            Program::Opentracker => "opentracker",
            Program::Qbittorrent => "qbittorrent-nox",
            Program::Rtorrent => "rtorrent",
            Program::Transmission => "transmission-daemon",
        }
    }

    fn is_here(self) -> bool {
        let mut probe = match self {
            Program::Libtorrent => python(),
            _ => Command::new(self.name()),
        };
        match self {
            Program::Libtorrent => probe.args(["-c", "import libtorrent"]),
            Program::Opentracker | Program::Rtorrent => probe.arg("-h"),
            _ => probe.arg("--version"),
        };
        let quiet = probe
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        match self {
            // Its help ends with an error.
            Program::Opentracker => quiet.status().is_ok(),
            _ => quiet.status().is_ok_and(|status| status.success()),
        }
    }
}

/// Whether this machine has IPv6. Where it has not, says that the scene is skipped: that is no fault
/// of what is installed.
pub(crate) fn has_ipv6() -> bool {
    let has = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
    if !has {
        skipped("there is no IPv6");
    }
    has
}

/// Written around the capture of test output: a scene left out has to be seen.
fn skipped(why: &str) {
    let _ = writeln!(io::stderr(), "skipped: {why}");
}

/// The Python that has libtorrent: `RIPCURRENT_PYTHON`, else `python3`.
pub(crate) fn python() -> Command {
    Command::new(env::var_os("RIPCURRENT_PYTHON").unwrap_or_else(|| "python3".into()))
}

//! Which programs are here, and what becomes of a scene without them.

use std::env;
use std::io::{self, Write as _};
use std::process::{Command, Stdio};

/// Somebody else's program that a scene needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Transmission,
    Libtorrent,
    Opentracker,
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
        // Written around the capture of test output: a scene left out has to be seen.
        let _ = writeln!(io::stderr(), "skipped: {} is not installed", missing.name());
        false
    }

    fn name(self) -> &'static str {
        match self {
            Program::Transmission => "transmission-daemon",
            Program::Libtorrent => "libtorrent for python3",
            Program::Opentracker => "opentracker",
        }
    }

    fn is_here(self) -> bool {
        let mut probe = match self {
            Program::Transmission => Command::new("transmission-daemon"),
            Program::Opentracker => Command::new("opentracker"),
            Program::Libtorrent => python(),
        };
        match self {
            Program::Transmission => probe.arg("--version"),
            Program::Opentracker => probe.arg("-h"),
            Program::Libtorrent => probe.args(["-c", "import libtorrent"]),
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

/// The Python that has libtorrent: `RIPCURRENT_PYTHON`, else `python3`.
pub(crate) fn python() -> Command {
    Command::new(env::var_os("RIPCURRENT_PYTHON").unwrap_or_else(|| "python3".into()))
}

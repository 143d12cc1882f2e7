//! How a session meets others, and the memory that this takes.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::PathBuf;

use ripcurrent_proto::api::Config;
use ripcurrent_runtime_uring::{BackendName, Choice, Descriptors, Listen, Options, Roots};

use super::Job;
use crate::args::{DEFAULT_PORT, NetArgs};
use crate::exit::{Exit, Failure};
use crate::limits;
use crate::listen;
use crate::memory::Memory;
use crate::say::{self, Level};
use crate::trust;

/// Connections beside those of peers: handshakes that are not over, and those to trackers.
const CONNECTIONS_BESIDE: usize = 32;
/// The most peers of all torrents together, unless one alone may have more: each takes memory.
const PEERS_MOST: usize = 500;

/// Limits in bytes per second; 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    /// What is received.
    pub(crate) down: u64,
    /// Blocks that are sent.
    pub(crate) up: u64,
}

/// How to meet others.
pub(crate) struct Net {
    config: Config,
    addr: SocketAddr,
    listener: TcpListener,
    backend: Choice,
    open: Descriptors,
    roots: Roots,
    /// Another port was to be had than the usual one, and nobody asked for it.
    moved: bool,
}

impl Net {
    /// Listens as the command line says, for so many torrents.
    pub(crate) fn new(args: &NetArgs, down_limit: u64, torrents: usize) -> Result<Self, Failure> {
        let loopback_only = args.bind.is_some_and(|ip| ip.to_canonical().is_loopback());
        let outside = args
            .peers
            .iter()
            .find(|peer| !peer.ip().to_canonical().is_loopback());
        if let (true, Some(peer)) = (loopback_only, outside) {
            let what = format!("--peer {peer} cannot be reached from a loopback address");
            return Err(
                Failure::usage(what).remedy("Leave --bind out, or bind to another address.")
            );
        }
        let roots = trust::roots(&args.trust)?;
        let listener = listen::listen(args.bind, args.port)?;
        let peers = args.max_peers.saturating_mul(torrents);
        let peers = peers.min(args.max_peers.max(PEERS_MOST));
        let config = Config {
            max_peers: args.max_peers,
            max_connections: peers.saturating_add(CONNECTIONS_BESIDE),
            down_limit: NonZeroU64::new(down_limit),
            up_limit: NonZeroU64::new(args.up_limit),
            memory_budget: usize::try_from(args.memory).unwrap_or(usize::MAX),
            loopback_only,
            ..Config::default()
        };
        let net = Net::on(listener, config, args.backend.choice())?;
        let moved = args.port.is_none() && net.addr.port() != DEFAULT_PORT;
        Ok(Net {
            roots,
            moved,
            ..net
        })
    }

    /// Uses a socket that listens already, and trusts whom the system trusts.
    pub(crate) fn on(
        listener: TcpListener,
        config: Config,
        backend: Choice,
    ) -> Result<Self, Failure> {
        let addr = listener.local_addr().map_err(|error| {
            Failure::new(Exit::Internal, "a listening socket has no address").because(error)
        })?;
        let open = Descriptors::of_process();
        Ok(Net {
            config: limits::fit(config, open),
            addr,
            listener,
            backend,
            open,
            roots: Roots::default(),
            moved: false,
        })
    }

    /// Where others reach us.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where others reach us, in words.
    pub(crate) fn greeting(&self) -> String {
        let addr = self.addr;
        match self.moved {
            true => format!("listening on {addr} (port {DEFAULT_PORT} is in use)"),
            false => format!("listening on {addr}"),
        }
    }

    /// The settings of the engine and of the host.
    pub(super) fn settings(self) -> (Config, Options) {
        let options = Options {
            backend: self.backend,
            bind: self.addr.ip(),
            listen: Listen::On(self.listener),
            loopback_only: self.config.loopback_only,
            max_open_files: self.open.files,
            state_home: state_home(),
            extra_roots: self.roots,
            ..Options::default()
        };
        (self.config, options)
    }
}

/// Where the states of seeds go, and others that cannot lie beside their data.
pub(crate) fn state_home() -> Option<PathBuf> {
    state_home_in(["XDG_STATE_HOME", "HOME"].map(std::env::var_os))
}

/// By the XDG base directories; relative paths do not count there.
fn state_home_in([state, home]: [Option<OsString>; 2]) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let usual = || Some(home.and_then(absolute)?.join(".local/state"));
    let state = state.and_then(absolute).or_else(usual)?;
    Some(state.join("ripcurrent"))
}

/// Says the most memory that will be taken, and what few open files mean, if that is asked for.
pub(super) fn introduce(config: &Config, backend: BackendName, jobs: &[Job], level: Level) {
    if level > Level::Normal {
        say::line(Memory::of(config, backend, jobs));
        if let Some(scarcity) = limits::scarcity(config, Descriptors::of_process()) {
            say::line(scarcity);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    /// The folder for states follows the rules of XDG, and is not guessed where there is no home.
    #[test]
    fn states_have_a_home() {
        let home = |state: Option<&str>, home: Option<&str>| {
            let home = state_home_in([state, home].map(|path| path.map(OsString::from)));
            home.map(|path| path.to_str().unwrap().to_owned())
        };
        let usual = Some("/h/.local/state/ripcurrent".to_owned());
        assert_eq!(home(Some("/s"), Some("/h")), Some("/s/ripcurrent".into()));
        assert_eq!(home(Some("relative"), Some("/h")), usual);
        assert_eq!(home(Some(""), Some("/h")), usual);
        assert_eq!(home(None, Some("/h")), usual);
        assert_eq!(home(None, Some("")), None);
        assert_eq!(home(None, None), None);
    }
}

//! Our own program, as people run it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};

use crate::harness::{Process, Torrent, World, wait_until_listening};

/// A `download` or a `seed` that is about to be started.
pub(crate) struct Peer {
    command: Command,
    address: SocketAddr,
}

impl Peer {
    /// Fetches `torrent` into `folder` and leaves.
    pub(crate) fn download(torrent: &Torrent, folder: &Path) -> Peer {
        let mut command = ripcurrent();
        command
            .arg("download")
            .arg(&torrent.path)
            .arg("-o")
            .arg(folder)
            .arg("--no-seed");
        Peer::listening(command)
    }

    /// Fetches `torrent` into `folder` and then serves it.
    pub(crate) fn download_and_seed(torrent: &Torrent, folder: &Path) -> Peer {
        let mut command = ripcurrent();
        command
            .arg("download")
            .arg(&torrent.path)
            .arg("-o")
            .arg(folder);
        Peer::listening(command)
    }

    /// Serves `torrent` from where it was made.
    pub(crate) fn seed(torrent: &Torrent) -> Peer {
        let mut command = ripcurrent();
        command
            .arg("seed")
            .arg(&torrent.path)
            .arg("--data")
            .arg(torrent.seed_folder());
        Peer::listening(command)
    }

    fn listening(command: Command) -> Peer {
        let address = World::address();
        Peer { command, address }
    }

    /// Has it work on another torrent as well.
    pub(crate) fn and(mut self, torrent: &Torrent) -> Peer {
        self.command.arg(&torrent.path);
        self
    }

    /// Has it listen there instead of at an address of its own.
    pub(crate) fn at(self, address: SocketAddr) -> Peer {
        Peer { address, ..self }
    }

    /// Tells it of a peer.
    pub(crate) fn knowing(self, peer: SocketAddr) -> Peer {
        self.with("--peer", &peer.to_string())
    }

    /// Gives it an option.
    pub(crate) fn with(mut self, option: &str, value: &str) -> Peer {
        self.command.args([option, value]);
        self
    }

    /// Has it say more, the most memory it will take among that.
    pub(crate) fn talkative(mut self) -> Peer {
        self.command.arg("-v");
        self
    }

    /// Where it will listen.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn start(self, world: &World) -> Process {
        let mut command = self.command;
        listen(&mut command, self.address);
        world.start("ripcurrent", command)
    }

    /// Starts it and waits until peers can reach it.
    pub(crate) fn start_listening(self, world: &World) -> (Process, SocketAddr) {
        let address = self.address;
        let mut process = self.start(world);
        wait_until_listening(&mut process, address);
        (process, address)
    }
}

/// Starts our tracker; its announce URL.
pub(crate) fn tracker(world: &World) -> (Process, String) {
    tracker_at(world, World::address())
}

/// The same, at that address.
pub(crate) fn tracker_at(world: &World, address: SocketAddr) -> (Process, String) {
    let mut command = ripcurrent();
    command.arg("tracker");
    listen(&mut command, address);
    let mut process = world.start("tracker", command);
    wait_until_listening(&mut process, address);
    (process, format!("http://{address}/announce"))
}

/// Makes a torrent of `content`.
pub(crate) fn create(content: &Path, torrent: &Path, trackers: &[&str]) {
    let mut command = ripcurrent();
    command.arg("create").arg(content).arg("-o").arg(torrent);
    for url in trackers {
        command.args(["--tracker", url]);
    }
    run(command);
}

/// What our program says of a torrent file.
pub(crate) fn inspect(torrent: &Path) -> serde_json::Value {
    let mut command = ripcurrent();
    command.arg("inspect").arg("--json").arg(torrent);
    serde_json::from_slice(&run(command).stdout).expect("inspect prints JSON")
}

/// The most memory that a talkative process said at its start that it would take, in bytes.
#[track_caller]
pub(crate) fn budget(process: &Process) -> u64 {
    let said = process.said();
    let mib = said.lines().find_map(|line| {
        let (_, sum) = line.strip_prefix("memory: ")?.rsplit_once(" = ")?;
        sum.strip_suffix(" MiB at most")?.parse::<f64>().ok()
    });
    let mib = mib.unwrap_or_else(|| panic!("no budget was printed:\n{said}"));
    (mib * f64::from(1 << 20)) as u64
}

fn listen(command: &mut Command, address: SocketAddr) {
    command.args(["--bind", &address.ip().to_string()]);
    command.args(["--port", &address.port().to_string()]);
}

fn run(mut command: Command) -> Output {
    let output = command.output().expect("our program starts");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn ripcurrent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ripcurrent"));
    command.env_remove("RUST_LOG");
    command.env("XDG_STATE_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

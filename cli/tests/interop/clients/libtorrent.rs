//! libtorrent, through a few lines of Python beside this file.

use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{Process, Torrent, World, python};

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/interop/libtorrent_peer.py"
);

/// One or more libtorrent sessions in one process.
pub(crate) struct Libtorrent {
    pub(crate) process: Process,
    pub(crate) addresses: Vec<SocketAddr>,
}

impl Libtorrent {
    /// Serves and fetches `torrent` in `folder`.
    pub(crate) fn start(world: &World, torrent: &Torrent, folder: &Path) -> Libtorrent {
        Self::start_knowing(world, torrent, folder, &[])
    }

    /// The same, told of peers.
    pub(crate) fn start_knowing(
        world: &World,
        torrent: &Torrent,
        folder: &Path,
        peers: &[SocketAddr],
    ) -> Libtorrent {
        Self::start_sessions(world, torrent, folder, peers, vec![World::address()])
    }

    /// Serves and fetches `torrent` in `folder`, listening at `address`.
    pub(crate) fn start_at(
        world: &World,
        torrent: &Torrent,
        folder: &Path,
        address: SocketAddr,
    ) -> Libtorrent {
        Self::start_sessions(world, torrent, folder, &[], vec![address])
    }

    /// So many sessions over the same folder, all seeds. Waits until they have hashed it.
    pub(crate) fn start_seeds(world: &World, torrent: &Torrent, count: usize) -> Libtorrent {
        let addresses = (0..count).map(|_| World::address()).collect();
        let mut seeds = Self::start_sessions(world, torrent, torrent.seed_folder(), &[], addresses);
        for address in seeds.addresses.clone() {
            seeds
                .process
                .wait_until_said(&format!("complete {address}"));
        }
        seeds
    }

    fn start_sessions(
        world: &World,
        torrent: &Torrent,
        folder: &Path,
        peers: &[SocketAddr],
        addresses: Vec<SocketAddr>,
    ) -> Libtorrent {
        let mut command = python();
        command
            .arg(SCRIPT)
            .arg("--torrent")
            .arg(&torrent.path)
            .arg("--data")
            .arg(folder);
        for address in &addresses {
            command.args(["--listen", &address.to_string()]);
        }
        for peer in peers {
            command.args(["--peer", &peer.to_string()]);
        }
        let process = world.start("libtorrent", command);
        Libtorrent { process, addresses }
    }

    /// Where the first session listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Waits until the first session has everything.
    pub(crate) fn wait_until_complete(&mut self) {
        self.process.wait_until_said("complete ");
    }
}

//! aria2, with every way of finding peers but trackers off.
//!
//! It cannot be told of a peer: a tracker tells it, or the other side connects. Where it connects it
//! first tries to encrypt and, refused, connects once more in plain text.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{Process, Torrent, World, wait_until_listening};

pub(crate) struct Aria2 {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Aria2 {
    /// Hashes what `folder` has of `torrent`, then serves and fetches it there. Peers can reach it
    /// when this returns.
    pub(crate) fn start(world: &World, torrent: &Torrent, folder: &Path) -> Aria2 {
        let address = World::address();
        let mut command = Command::new("aria2c");
        command
            .env("HOME", world.folder(&format!("aria2-{}", address.ip())))
            .arg("--no-conf")
            .arg(format!("--interface={}", address.ip()))
            .arg(format!("--listen-port={}", address.port()))
            .arg(format!("--dir={}", folder.display()))
            .args(["--bt-enable-lpd=false", "--enable-peer-exchange=false"])
            .args(["--enable-dht=false", "--enable-dht6=false"])
            .args(["--bt-require-crypto=false", "--disable-ipv6=true"])
            .args(["--check-integrity=true", "--file-allocation=none"])
            // For ever.
            .arg("--seed-ratio=0")
            .args(["--summary-interval=0", "--show-console-readout=false"])
            .args(["--console-log-level=notice", "--enable-color=false"])
            .arg(&torrent.path);
        let mut process = world.start("aria2", command);
        wait_until_listening(&mut process, address);
        Aria2 {
            _process: process,
            address,
        }
    }
}

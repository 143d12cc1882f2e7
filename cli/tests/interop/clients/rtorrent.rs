//! rtorrent, with every way of finding peers but trackers off.
//!
//! Without the DHT it refuses a torrent that names no tracker. It listens before it has hashed what
//! is there, and takes peers when it has: who wants it as a seed waits until the tracker knows it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{Process, Torrent, World, wait_until_listening};

/// Hashes what `folder` has of `torrent`, announces itself, and serves and fetches it there.
pub(crate) fn start(world: &World, torrent: &Torrent, folder: &Path) -> Process {
    let address = World::address();
    let session = world.folder(&format!("rtorrent-{}", address.ip()));
    let settings = session.join("settings");
    fs::write(&settings, text(address, torrent, folder, &session)).expect("the folder is ours");
    let mut command = Command::new("rtorrent");
    command
        .env("HOME", &session)
        .arg("-n")
        .arg("-o")
        .arg(format!("import={}", settings.display()));
    let mut process = world.start("rtorrent", command);
    wait_until_listening(&mut process, address);
    process
}

fn text(address: SocketAddr, torrent: &Torrent, folder: &Path, session: &Path) -> String {
    let (ip, port) = (address.ip(), address.port());
    let (folder, session) = (folder.display(), session.display());
    format!(
        "system.daemon.set = true
log.open_file = \"log\", \"/dev/stdout\"
log.add_output = \"info\", \"log\"
network.bind_address.set = {ip}
network.port_range.set = {port}-{port}
network.port_random.set = no
dht.mode.set = disable
protocol.pex.set = no
trackers.use_udp.set = no
protocol.encryption.set = allow_incoming
directory.default.set = \"{folder}\"
session.path.set = \"{session}\"
load.start = \"{torrent}\"
",
        torrent = torrent.path.display()
    )
}

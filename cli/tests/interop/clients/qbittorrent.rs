//! qbittorrent-nox, with every way of finding peers but trackers off.
//!
//! It is told of its torrent on the command line. Its web interface cannot be switched off: it gets
//! a port that nobody asks for.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::harness::{Process, Torrent, World, wait_until_listening};

pub(crate) struct Qbittorrent {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Qbittorrent {
    /// Hashes what `folder` has of `torrent`, then serves and fetches it there. Peers can reach it
    /// when this returns.
    pub(crate) fn start(world: &World, torrent: &Torrent, folder: &Path) -> Qbittorrent {
        let address = World::address();
        let profile = world.folder(&format!("qbittorrent-{}", address.ip()));
        let config = profile.join("qBittorrent/config");
        fs::create_dir_all(&config).expect("the folder is ours");
        fs::write(config.join("qBittorrent.conf"), settings(address)).expect("the folder is ours");
        let mut command = Command::new("qbittorrent-nox");
        command
            .env("HOME", &profile)
            .arg(format!("--profile={}", profile.display()))
            .arg(format!("--save-path={}", folder.display()))
            .arg("--add-paused=false")
            .arg(&torrent.path);
        let mut process = world.start("qbittorrent", command);
        wait_until_listening(&mut process, address);
        Qbittorrent {
            _process: process,
            address,
        }
    }
}

fn settings(address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    format!(
        "[LegalNotice]
Accepted=true

[BitTorrent]
Session\\InterfaceAddress={ip}
Session\\Port={port}
Session\\BTProtocol=TCP
Session\\DHTEnabled=false
Session\\LSDEnabled=false
Session\\PeXEnabled=false
Session\\QueueingSystemEnabled=false
Session\\SSRFMitigation=false

[Network]
PortForwardingEnabled=false

[Preferences]
WebUI\\Address={ip}
WebUI\\Port=0
WebUI\\UseUPnP=false
"
    )
}

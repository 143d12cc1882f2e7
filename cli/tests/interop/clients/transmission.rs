//! transmission-daemon, in the foreground, with every way of finding peers but trackers off.
//!
//! It is told of its torrent by a watched folder, and its remote control stays off. Version 3.00
//! takes no loopback address from a tracker, so on loopback the other side has to connect; it takes
//! up to 10 s to unchoke a fresh peer; it makes no files without bytes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Process, Torrent, World, wait_until_listening};

pub(crate) struct Transmission {
    process: Process,
    pub(crate) address: SocketAddr,
}

impl Transmission {
    /// Serves and fetches `torrent` in `folder`; peers can reach it when this returns.
    pub(crate) fn start(world: &World, torrent: &Torrent, folder: &Path) -> Transmission {
        Self::start_at(world, torrent, folder, World::address())
    }

    /// The same, to be reached at the loopback address of IPv6.
    pub(crate) fn start6(world: &World, torrent: &Torrent, folder: &Path) -> Transmission {
        let address = World::address6();
        let four = SocketAddr::new(World::address().ip(), address.port());
        let mut transmission = Self::start_at(world, torrent, folder, four);
        wait_until_listening(&mut transmission.process, address);
        Transmission {
            address,
            ..transmission
        }
    }

    /// It listens at one port alone: that of `address`, there and at the loopback address of IPv6.
    fn start_at(
        world: &World,
        torrent: &Torrent,
        folder: &Path,
        address: SocketAddr,
    ) -> Transmission {
        let config = world.folder(&format!("transmission-{}", address.ip()));
        let watched = config.join("watched");
        fs::create_dir(&watched).expect("the folder is ours");
        fs::copy(&torrent.path, watched.join("it.torrent")).expect("the folder is ours");
        let settings = json!({
            "bind-address-ipv4": address.ip().to_string(),
            "bind-address-ipv6": "::1",
            "blocklist-enabled": false,
            "dht-enabled": false,
            "download-dir": folder,
            "encryption": 0,
            "idle-seeding-limit-enabled": false,
            "incomplete-dir-enabled": false,
            "lpd-enabled": false,
            "message-level": 2,
            "peer-port": address.port(),
            "peer-port-random-on-start": false,
            "pex-enabled": false,
            "port-forwarding-enabled": false,
            "ratio-limit-enabled": false,
            "rename-partial-files": true,
            "rpc-enabled": false,
            "start-added-torrents": true,
            "trash-original-torrent-files": false,
            "utp-enabled": false,
            "watch-dir": watched,
            "watch-dir-enabled": true,
        });
        fs::write(config.join("settings.json"), settings.to_string()).expect("the folder is ours");
        let mut command = Command::new("transmission-daemon");
        command.arg("--foreground").arg("--config-dir").arg(&config);
        let mut process = world.start("transmission", command);
        wait_until_listening(&mut process, address);
        Transmission { process, address }
    }
}

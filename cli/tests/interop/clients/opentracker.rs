//! opentracker, as Debian builds it: it serves only what stands on its whitelist.

use std::fs;
use std::process::Command;

use crate::harness::{Process, Torrent, World, wait_until_listening};

/// An opentracker that has still to be told what it serves.
pub(crate) struct Opentracker {
    address: std::net::SocketAddr,
}

impl Opentracker {
    pub(crate) fn new() -> Opentracker {
        Opentracker {
            address: World::address(),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/announce", self.address)
    }

    /// Starts it for `torrent` alone.
    pub(crate) fn start(&self, world: &World, torrent: &Torrent) -> Process {
        let folder = world.folder("opentracker");
        let whitelist = format!("{}\n", torrent.info_hash);
        fs::write(folder.join("whitelist"), whitelist).expect("the folder is ours");
        let (ip, port) = (
            self.address.ip().to_string(),
            self.address.port().to_string(),
        );
        let mut command = Command::new("opentracker");
        // It shuts itself into its folder where it may (as root), and there looks for the list.
        command
            .current_dir(&folder)
            .arg("-d")
            .arg(&folder)
            .args(["-w", "whitelist"]);
        command.args(["-i", &ip, "-p", &port, "-P", &port, "-u", "nobody"]);
        let mut process = world.start("opentracker", command);
        wait_until_listening(&mut process, self.address);
        process
    }
}

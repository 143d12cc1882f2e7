//! The stage of one scene: a folder of its own, content, a torrent, addresses.

use std::collections::BTreeSet;
use std::fs;
use std::iter;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use tempfile::TempDir;

use super::content::{Content, same_bytes};
use super::{Process, eventually};
use crate::clients::ours;

/// A scene's stage. Everything on it goes with it.
pub(crate) struct World {
    folder: TempDir,
}

/// A torrent and the content it describes.
pub(crate) struct Torrent {
    /// The torrent file.
    pub(crate) path: PathBuf,
    /// The v1 info-hash in hexadecimal.
    pub(crate) info_hash: String,
    /// How many pieces it has.
    pub(crate) pieces: u32,
    /// The length of all pieces but the last, in bytes.
    pub(crate) piece_length: u64,
    /// The file or folder it was made of.
    pub(crate) content: PathBuf,
}

impl Torrent {
    /// The folder in which the content lies.
    pub(crate) fn seed_folder(&self) -> &Path {
        self.content.parent().expect("content lies in a folder")
    }

    /// The bytes per second at which all of it takes about so many seconds, as an option's value.
    pub(crate) fn rate_to_take(&self, seconds: u64) -> String {
        (u64::from(self.pieces) * self.piece_length / seconds).to_string()
    }

    /// Where the content comes to lie below `folder`.
    pub(crate) fn content_in(&self, folder: &Path) -> PathBuf {
        folder.join(self.content.file_name().expect("content has a name"))
    }

    /// Whether all of it lies in `folder`, byte for byte.
    pub(crate) fn is_whole_in(&self, folder: &Path) -> bool {
        same_bytes(&self.content, &self.content_in(folder))
    }
}

impl World {
    pub(crate) fn new() -> World {
        let folder = tempfile::Builder::new().prefix("ripcurrent-").tempdir();
        World {
            folder: folder.expect("a temporary folder"),
        }
    }

    /// A new folder of that name.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path
    }

    /// Makes content and a torrent of it.
    pub(crate) fn torrent(&self, content: Content, trackers: &[&str]) -> Torrent {
        let content = content.make(&self.folder("seeded"));
        let path = self.folder.path().join("it.torrent");
        ours::create(&content, &path, trackers);
        let facts = ours::inspect(&path);
        let number = |name: &str| facts[name].as_u64().expect("inspect knows its numbers");
        Torrent {
            info_hash: facts["info_hash_v1"]
                .as_str()
                .expect("a v1 torrent has it")
                .to_owned(),
            pieces: number("num_pieces").try_into().expect("a count of pieces"),
            piece_length: number("piece_length"),
            path,
            content,
        }
    }

    /// Starts a program.
    pub(crate) fn start(&self, name: &str, command: Command) -> Process {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("{name}-{number}.log"));
        Process::start(name, command, log)
    }

    /// How many TCP connections are established from or to `ip`, as the kernel lists them.
    pub(crate) fn connections(ip: IpAddr) -> usize {
        const ESTABLISHED: &str = "01";
        let IpAddr::V4(ip) = ip else {
            panic!("scenes play on 127.0.0.0/8");
        };
        let local = format!("{:08X}:", u32::from_le_bytes(ip.octets()));
        let table = fs::read_to_string("/proc/net/tcp").expect("proc(5)");
        let ends = table.lines().filter_map(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let ends = (fields.next()?, fields.next()?);
            let is_ours = ends.0.starts_with(&local) && fields.next()? == ESTABLISHED;
            is_ours.then_some(ends)
        });
        // The list is no snapshot: what moves in the kernel's table while it is read comes twice.
        ends.collect::<BTreeSet<_>>().len()
    }

    /// A loopback address that no other scene has, with a port that nobody listens on.
    pub(crate) fn address() -> SocketAddr {
        static NEXT: AtomicU32 = AtomicU32::new(2);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // Runs side by side differ in their process ids.
        let run = process::id();
        let [_, _, high, low] = number.to_be_bytes();
        let ip = Ipv4Addr::new(
            127,
            16 + (run % 200) as u8,
            high ^ (run / 200 % 256) as u8,
            low,
        );
        let free = TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr());
        free.expect("127.0.0.0/8 is ours")
    }

    /// The loopback address of IPv6, of which there is but one, with a port that no other scene has
    /// and that nobody listens on.
    pub(crate) fn address6() -> SocketAddr {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Below the ports that the system gives to those who dial.
        let first = 10_000 + (process::id() % 400) as u16 * 50;
        let mut addresses = iter::repeat_with(|| {
            let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 2_000;
            SocketAddr::from((Ipv6Addr::LOCALHOST, port))
        });
        let free = addresses
            .by_ref()
            .take(2_000)
            .find(|address| TcpListener::bind(address).is_ok());
        free.expect("a port of ::1 is free")
    }
}

/// Waits until somebody listens at `address`.
#[track_caller]
pub(crate) fn wait_until_listening(process: &mut Process, address: SocketAddr) {
    eventually(&format!("somebody listens at {address}"), || {
        let listening = TcpStream::connect(address).is_ok();
        assert!(
            listening || process.is_running(),
            "it ended before it listened at {address}"
        );
        listening.then_some(())
    });
}

//! A download that is killed again and again, by the process itself, as a power button would.

#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use common::{Row, Running, bytes, ripcurrent, run_to, tree};
use ripcurrent_proto::base::rng::Rng;

const SIZE: usize = 96 << 20;
const KILLS: u64 = 20;

/// Carries bytes between a downloader and a seed, and counts those that the seed sends.
struct Relay {
    addr: SocketAddr,
    carried: Arc<AtomicU64>,
}

impl Relay {
    fn new(ip: Ipv4Addr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let carried = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&carried);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                let (near_too, far_too) = (near.try_clone().unwrap(), far.try_clone().unwrap());
                let count = Arc::clone(&count);
                thread::spawn(move || carry(near, &far_too, &AtomicU64::new(0)));
                thread::spawn(move || carry(far, &near_too, &count));
            }
        });
        Relay { addr, carried }
    }

    fn carried(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

fn carry(mut from: TcpStream, mut to: &TcpStream, count: &AtomicU64) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..len]).is_err() {
            break;
        }
        count.fetch_add(len as u64, Ordering::Relaxed);
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

fn download(folder: &Path, row: &Row, peer: SocketAddr) -> Running {
    let ip = row.ip(3).to_string();
    let peer = peer.to_string();
    let args = ["download", "film.torrent", "-o", "here", "--no-seed"];
    let net = ["--bind", &ip, "--peer", &peer];
    Running::start(ripcurrent().current_dir(folder).args(args).args(net))
}

/// Killed at twenty random instants, a download ends with every byte, and what it fetched twice
/// is what was in memory: less than a tenth of the whole.
#[test]
fn twenty_kills_cost_less_than_a_tenth() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    std::fs::write(folder.join("film"), bytes("film", SIZE)).unwrap();
    run_to(folder, 0, &["create", "film", "-q", "-l", "64K"]);
    let row = Row::new();
    let ip = row.ip(2).to_string();
    // Limited there, so that what was asked for waits at the seed and not on its way.
    let seeding = ["seed", "film.torrent", "--bind", &ip, "--port", "0"];
    let seeding = seeding.iter().chain(&["--up-limit", "8MiB"]);
    let mut seed = Running::start(ripcurrent().current_dir(folder).args(seeding));
    let addr = seed.expect_address("listening on");
    seed.expect("are right");
    let relay = Relay::new(row.ip(4), addr);

    let mut rng = Rng::from_seed([4; 32]);
    let share = SIZE as u64 / (KILLS + 1);
    let mut kills = 0;
    for at in 0..KILLS {
        let instant = at * share + rng.below(share);
        let mut run = download(folder, &row, relay.addr);
        run.until(|| relay.carried() >= instant);
        kills += u64::from(run.kill());
    }
    assert!(
        kills >= KILLS - 1,
        "only {kills} runs were there to be killed"
    );
    let last = download(folder, &row, relay.addr).end();
    assert_eq!(last.status.code(), Some(0), "{last:?}");
    let whole = SIZE as u64;
    let fetched = relay.carried();
    println!("{fetched} bytes fetched of {whole}, in {kills} kills");
    assert!(
        fetched >= whole && fetched <= whole + whole / 10,
        "{fetched} of {whole}"
    );
    let there = tree(&folder.join("here"));
    assert_eq!(there.len(), 1, "no state and no part is left");
    assert!(there[0].0 == "film" && there[0].1 == bytes("film", SIZE));
    seed.interrupt();
    seed.end();
}

//! The host that the guide builds (`ripcurrent_proto::guide`), as a program.
//!
//! `cargo run -p ripcurrent-proto --example host -- FILE.torrent DIR LISTEN PEER...` downloads into
//! `DIR` from the peers named (`IP:PORT`), listens at `LISTEN`, and leaves when everything is there.
//! Stopped and started again, it goes on where it was.

use std::{env, error::Error, fs, io::Read, sync::Arc};

use ripcurrent_proto::api::{Add, Command, Config, Event, Input};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::drive::{Backend, turn};
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;

mod disk;
mod host;
mod net;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, dir, listen, peers @ ..] = &arguments[..] else {
        return Err("usage: host FILE.torrent DIR LISTEN PEER...".into());
    };
    let torrent = Arc::new(Torrent::parse(fs::read(file)?.into())?);
    let (mut host, _) = host::Host::new(listen.parse()?)?;
    let mut seed = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    let (id, now) = (TorrentId(0), host.now());
    let mut engine = Engine::new(Config::default(), seed, now)?;
    let mut command = |command| engine.handle(now, Input::Command(command));
    command(Command::Add(Add::new(id, torrent, dir)));
    for peer in peers {
        let addr = peer.parse()?;
        command(Command::AddPeer { torrent: id, addr });
    }
    while !engine.is_shut_down() {
        let next = turn(&mut engine, &mut host);
        while let Some(event) = engine.poll_event() {
            println!("{event:?}");
            match event {
                Event::Completed { .. } => {
                    engine.handle(host.now(), Input::Command(Command::ShutDown));
                }
                Event::Refused { .. } | Event::DiskFailed { .. } => return Err("refused".into()),
                _ => {}
            }
        }
        host.wait(next);
    }
    Ok(())
}

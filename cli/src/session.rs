//! One engine on one host at work on one torrent: the road that `download`, `seed` and `demo`
//! share.
//!
//! Invariant: whatever ends a session (success, Ctrl-C, a full disk, nobody there), it ends in good
//! order: trackers hear of it, writes are finished, and only then does [`run`] return.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ripcurrent_proto::api::{
    Add, Check, Command, Config, DiskError, Event, Input, Mode, Phase, TorrentStats,
};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_runtime_uring::{Choice, Control, Descriptors, Host, HostError, Listen, Options};

use crate::args::NetArgs;
use crate::backend;
use crate::chance;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::limits;
use crate::listen;
use crate::memory::Memory;
use crate::progress::{Progress, Status};
use crate::record::{Driven, Recording};
use crate::say::{self, Level};
use crate::stop::Stop;

/// How often progress is shown and a request to stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// The only torrent of a session.
const TORRENT: TorrentId = TorrentId(0);
/// Connections beside those of peers: handshakes that are not over, and one to a tracker.
const CONNECTIONS_BESIDE: usize = 32;

/// What to do.
pub(crate) struct Job {
    /// The torrent; it has a v1 half.
    pub(crate) torrent: Arc<Torrent>,
    /// The folder its data lies in.
    pub(crate) root: PathBuf,
    /// The pieces that are wanted; `None` for all.
    pub(crate) wanted: Option<Bitfield>,
    /// Pick pieces in their order.
    pub(crate) sequential: bool,
    /// Fetch, or only serve.
    pub(crate) mode: Mode,
    /// Whether to hash what is there.
    pub(crate) check: Check,
    /// Peers to speak to besides those of trackers.
    pub(crate) peers: Vec<SocketAddr>,
    /// Leave when everything is there.
    pub(crate) leave_when_complete: bool,
    /// Leave after this long without a byte while something is missing.
    pub(crate) stop_timeout: Option<Duration>,
    /// Write down what happens.
    pub(crate) record: Option<Recording>,
}

/// How to meet others.
pub(crate) struct Net {
    config: Config,
    addr: SocketAddr,
    listener: TcpListener,
    backend: Choice,
    open: Descriptors,
}

/// How a session ended.
pub(crate) struct Ended {
    /// Why.
    pub(crate) why: Why,
    /// Whether everything wanted was there.
    pub(crate) complete: bool,
    /// The last figures before it left.
    pub(crate) figures: Figures,
}

/// A session in figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// The torrent, seen from outside.
    pub(crate) stats: TorrentStats,
    /// From the end of the check at the start to completion, or to now.
    pub(crate) fetching: Duration,
    /// The most peers at once.
    pub(crate) peers_most: usize,
    /// Pieces that failed their hash.
    pub(crate) corrupt: u64,
    /// Peers that were banned.
    pub(crate) banned: u64,
}

/// Why a session ended.
pub(crate) enum Why {
    /// Everything is there, and nothing else was asked for.
    Complete,
    /// Somebody asked.
    Asked,
    /// No byte came for as long as [`Job::stop_timeout`].
    NoPeers,
    /// It could not go on.
    Failed(Failure),
}

impl Net {
    /// Listens as the command line says.
    pub(crate) fn new(args: &NetArgs, down_limit: u64) -> Result<Self, Failure> {
        let loopback_only = args.bind.is_some_and(|ip| ip.to_canonical().is_loopback());
        let outside = args
            .peers
            .iter()
            .find(|peer| !peer.ip().to_canonical().is_loopback());
        if let (true, Some(peer)) = (loopback_only, outside) {
            let what = format!("--peer {peer} cannot be reached from a loopback address");
            return Err(
                Failure::usage(what).remedy("Leave --bind out, or bind to another address.")
            );
        }
        let listener = listen::listen(args.bind, args.port)?;
        let config = Config {
            max_peers: args.max_peers,
            max_connections: args.max_peers.saturating_add(CONNECTIONS_BESIDE),
            down_limit: NonZeroU64::new(down_limit),
            up_limit: NonZeroU64::new(args.up_limit),
            loopback_only,
            ..Config::default()
        };
        Net::on(listener, config, args.backend.choice())
    }

    /// Uses a socket that listens already.
    pub(crate) fn on(
        listener: TcpListener,
        config: Config,
        backend: Choice,
    ) -> Result<Self, Failure> {
        let addr = listener.local_addr().map_err(|error| {
            Failure::new(Exit::Internal, "a listening socket has no address").because(error)
        })?;
        let open = Descriptors::of_process();
        Ok(Net {
            config: limits::fit(config, open),
            addr,
            listener,
            backend,
            open,
        })
    }

    /// Says where others reach us, the most memory that will be taken, and what few open files mean.
    pub(crate) fn introduce(&self, torrent: &Torrent, level: Level) {
        if level > Level::Quiet {
            say::line(format_args!("listening on {}", self.addr));
        }
        if level > Level::Normal {
            let config = with_room_for(self.config.clone(), torrent);
            say::line(Memory::of(&config, torrent.layout()));
            if let Some(scarcity) = limits::scarcity(&config, self.open) {
                say::line(scarcity);
            }
        }
    }
}

/// Works until the job is done, `stop` is asked, or nothing more can be done. `tell` hears of
/// everything that happens, before the session acts on it.
pub(crate) fn run(
    mut job: Job,
    net: Net,
    level: Level,
    stop: &Stop,
    tell: impl FnMut(&Event, &Figures),
) -> Result<Ended, Failure> {
    let loopback_only = net.config.loopback_only;
    let config = with_room_for(net.config, &job.torrent);
    let options = Options {
        backend: net.backend,
        bind: net.addr.ip(),
        listen: Listen::On(net.listener),
        loopback_only,
        max_open_files: net.open.files,
        ..Options::default()
    };
    let host = Host::new(options).map_err(refused_by_host)?;
    backend::tell(host.backend(), level);
    let begun = host.now();
    let seed = chance::seed()?;
    let engine = Engine::new(config.clone(), seed, begun)
        .map_err(|error| Failure::new(Exit::Usage, "the settings cannot work").because(error))?;
    let beginning = (&config, seed, begun);
    let mut engine = Driven::new(engine, beginning, &job.torrent, job.record.take())?;
    let mut session = Session::new(job, level, stop.clone(), begun, tell)?;
    host.run(&mut engine, |engine, now| session.look(engine, now))
        .map_err(refused_by_host)?;
    engine.finish()?;
    Ok(session.ended())
}

/// Large pieces need a larger budget: two in flight for downloads, which have three quarters of it.
fn with_room_for(config: Config, torrent: &Torrent) -> Config {
    let least = torrent.layout().piece_length() as usize * 4;
    Config {
        memory_budget: config.memory_budget.max(least),
        ..config
    }
}

/// Why the host does not run, and whether the system forbids it.
pub(crate) fn refused_by_host(error: HostError) -> Failure {
    let scarce = error.is_out_of_files();
    let exit = match scarce || error.is_forbidden() {
        true => Exit::Forbidden,
        false => Exit::Internal,
    };
    let failure = Failure::new(exit, "cannot work on this system").because(error);
    match scarce {
        true => failure.remedy("Raise `ulimit -n`, or close other programs."),
        false => failure,
    }
}

struct Session<T> {
    job: Job,
    root: Arc<str>,
    level: Level,
    stop: Stop,
    tell: T,
    progress: Progress,
    next_show: Instant,
    added: bool,
    leaving: Option<Why>,
    /// Whether the engine was told to leave.
    told: bool,
    shut_down: bool,
    /// When the check at the start was over.
    checked_at: Option<Instant>,
    completed_at: Option<Instant>,
    /// When the last byte came, and how many had come by then.
    last_byte: (Instant, u64),
    now: Instant,
    figures: Figures,
}

impl<T: FnMut(&Event, &Figures)> Session<T> {
    fn new(job: Job, level: Level, stop: Stop, now: Instant, tell: T) -> Result<Self, Failure> {
        let root = root_of(&job.root)?;
        let progress = Progress::new(level, job.torrent.name());
        Ok(Session {
            job,
            root,
            level,
            stop,
            tell,
            progress,
            next_show: now,
            added: false,
            leaving: None,
            told: false,
            shut_down: false,
            checked_at: None,
            completed_at: None,
            last_byte: (now, 0),
            now,
            figures: Figures::default(),
        })
    }

    /// A look at the engine before each of its turns.
    fn look(&mut self, engine: &mut Driven, now: Instant) -> Control {
        self.now = now;
        if !self.added {
            self.added = true;
            self.begin(engine);
        }
        while let Some(event) = engine.engine().poll_event() {
            self.measure(engine);
            self.take(&event);
        }
        if self.shut_down {
            return Control::Stop;
        }
        if now >= self.next_show {
            self.next_show = now + TICK;
            // Who leaves has figures of no news.
            if self.leaving.is_none() {
                self.measure(engine);
                self.progress.show(&Status::of_torrent(&self.figures.stats));
                self.look_for_an_end();
            }
        }
        if self.leaving.is_some() && !self.told {
            self.told = true;
            engine.handle(now, Input::Command(Command::ShutDown));
        }
        Control::Wait(Some(self.next_show))
    }

    fn begin(&mut self, engine: &mut Driven) {
        let add = Add {
            id: TORRENT,
            torrent: Arc::clone(&self.job.torrent),
            root: Arc::clone(&self.root),
            wanted: self.job.wanted.take(),
            sequential: self.job.sequential,
            mode: self.job.mode,
            check: self.job.check,
            announce: true,
            preallocate: false,
            files: None,
            overwrite: false,
            down_limit: None,
            up_limit: None,
        };
        engine.handle(self.now, Input::Command(Command::Add(add)));
        for &addr in &self.job.peers {
            engine.handle(
                self.now,
                Input::Command(Command::AddPeer {
                    torrent: TORRENT,
                    addr,
                }),
            );
        }
    }

    /// Keeps the figures; the last ones stay when the torrent is gone.
    fn measure(&mut self, engine: &mut Driven) {
        let Some(stats) = engine.engine().stats(self.now, TORRENT) else {
            return;
        };
        if self.leaving.is_none() {
            self.figures.peers_most = self.figures.peers_most.max(stats.peers);
            self.figures.stats = stats;
        }
        let fetching_since = self.checked_at.unwrap_or(self.now);
        self.figures.fetching = self.completed_at.unwrap_or(self.now).since(fetching_since);
    }

    fn take(&mut self, event: &Event) {
        (self.tell)(event, &self.figures);
        match event {
            Event::Checked { pieces, .. } => self.checked(*pieces),
            Event::Completed { .. } => {
                self.completed_at = Some(self.now);
                if self.job.leave_when_complete {
                    self.leave(Why::Complete);
                }
            }
            Event::Refused { reason, .. } => {
                let what = format!("the torrent cannot be taken up: {reason}");
                self.leave(Why::Failed(Failure::new(Exit::BadTorrent, what)));
            }
            Event::DiskFailed { action, error, .. } => {
                let failure = self.disk_failure(action, *error);
                self.leave(Why::Failed(failure));
            }
            Event::Corrupt { .. } => self.figures.corrupt += 1,
            Event::Banned { .. } => self.figures.banned += 1,
            Event::ShutDown => self.shut_down = true,
            Event::Added { .. }
            | Event::Announced { .. }
            | Event::DiskFull { .. }
            | Event::DiskRoom { .. }
            | Event::StateNotSaved { .. }
            | Event::Removed { .. } => {}
        }
    }

    /// The data that was there is known. A seed without any has nothing to do.
    fn checked(&mut self, pieces: u32) {
        self.checked_at = Some(self.now);
        self.last_byte.0 = self.now;
        if self.job.mode == Mode::Seed && pieces == 0 {
            let root = Escaped::path(&self.job.root).to_string();
            let what = format!("no piece of the torrent's data is right in {root}");
            let failure = Failure::new(Exit::CheckFailed, what);
            self.leave(Why::Failed(
                failure.remedy("Name the folder that holds it with --data."),
            ));
        }
    }

    fn look_for_an_end(&mut self) {
        if self.stop.is_asked() {
            if self.level > Level::Quiet {
                say::line("leaving in good order; Ctrl-C again leaves at once");
            }
            return self.leave(Why::Asked);
        }
        if self.figures.stats.phase != Phase::Downloading
            || self.figures.stats.downloaded > self.last_byte.1
        {
            self.last_byte = (self.now, self.figures.stats.downloaded);
        }
        let quiet = self.now.since(self.last_byte.0);
        if self
            .job
            .stop_timeout
            .is_some_and(|patience| quiet >= patience)
        {
            self.leave(Why::NoPeers);
        }
    }

    fn leave(&mut self, why: Why) {
        if self.leaving.is_none() {
            self.leaving = Some(why);
        }
    }

    fn disk_failure(&self, action: &str, error: DiskError) -> Failure {
        let file = error
            .file
            .and_then(|file| self.job.torrent.layout().files().get(file.at()));
        let mut path = self.job.root.clone();
        path.extend(file.into_iter().flat_map(|file| &file.path));
        match error.error.code {
            0 => {
                let cause = std::io::Error::other(error.error.kind.to_string());
                Failure::disk(action, &path, cause)
            }
            code => Failure::disk(action, &path, std::io::Error::from_raw_os_error(code)),
        }
    }

    fn ended(self) -> Ended {
        Ended {
            why: self.leaving.unwrap_or(Why::Asked),
            complete: self.completed_at.is_some(),
            figures: self.figures,
        }
    }
}

/// The engine's paths are text, so the folder's must be.
fn root_of(root: &Path) -> Result<Arc<str>, Failure> {
    let text = root.to_str().ok_or_else(|| {
        let what = format!("the name of {} is not UTF-8", Escaped::path(root));
        Failure::usage(what).remedy("Choose a folder whose name is.")
    })?;
    Ok(Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::meta::create::{Content, Creation};

    /// A system that forbids io_uring ends with the code for that, and the remedy is told.
    #[test]
    fn a_forbidden_ring_has_its_own_code() {
        let failure = refused_by_host(HostError::RingForbidden);
        assert_eq!(failure.exit(), Exit::Forbidden);
        assert!(failure.to_string().contains("seccomp"), "{failure}");
    }

    /// Pieces of any allowed length fit the budget, which grows only where it must.
    #[test]
    fn the_budget_grows_with_the_pieces() {
        for (piece_length, budget) in [(1 << 20, 64 << 20), (64 << 20, 256 << 20)] {
            let content = Content::File {
                len: 1,
                executable: false,
            };
            let creation = Creation::new("a", content, Some(piece_length)).unwrap();
            let bytes = creation.finish(&[[0; 20]]).unwrap();
            let torrent = Torrent::parse(bytes.into()).unwrap();
            assert_eq!(
                with_room_for(Config::default(), &torrent).memory_budget,
                budget
            );
        }
    }
}

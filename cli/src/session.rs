//! One engine on one host at work on torrents: the road that `download`, `seed` and `demo` share.
//!
//! Invariant: whatever ends a torrent (success, Ctrl-C, a full disk, nobody there), it ends in good
//! order: trackers hear of it, writes are finished, and only then is its end told. One that fails
//! stops no other. Only a disk that hangs is not waited for when somebody wants to leave.

mod ends;
mod net;
mod one;
mod refusal;
mod space;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ripcurrent_proto::api::{Check, Command, Data, Event, Input, Mode, TorrentStats};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_runtime_uring::{Control, Host, HostError};

use crate::backend;
use crate::chance;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::progress::{Progress, Status};
use crate::record::{Driven, Recording};
use crate::say::{self, Level};
use crate::stop::{self, Stop};

pub(crate) use ends::{Ends, Seeding, UntilRatio, owes};
pub(crate) use net::{Limits, Net, state_home};
pub(crate) use refusal::{cause, path_of};

use one::{One, Stage};

/// How often progress is shown and a request to stop is looked for.
const TICK: Duration = Duration::from_millis(100);
/// How often figures are told, and room is looked for on the disk.
const SECOND: Duration = Duration::from_secs(1);
/// How long after being asked to stop the disk is waited for. The process ends within three seconds.
const LEAVE_WITHIN: Duration = Duration::from_millis(2700);

/// What to do about a torrent.
#[derive(Debug)]
pub(crate) struct Job {
    /// The torrent; it has a v1 half.
    pub(crate) torrent: Arc<Torrent>,
    /// The folder its data lies in.
    pub(crate) root: PathBuf,
    /// The pieces that are wanted; `None` for all.
    pub(crate) wanted: Option<Bitfield>,
    /// The files that are wanted; `None` for all.
    pub(crate) files: Option<Bitfield>,
    /// Pick pieces in their order.
    pub(crate) sequential: bool,
    /// Fetch, or only serve.
    pub(crate) mode: Mode,
    /// What to do about data that is there.
    pub(crate) check: Check,
    /// Allocate files when they are made.
    pub(crate) preallocate: bool,
    /// Replace files that are in the way.
    pub(crate) overwrite: bool,
    /// The limits on it, in bytes per second; 0 for none.
    pub(crate) limits: Limits,
    /// Peers to speak to besides those of trackers.
    pub(crate) peers: Vec<std::net::SocketAddr>,
    /// When it is over.
    pub(crate) ends: Ends,
}

impl Job {
    /// Fetches or serves all of `torrent` in `root`, until everything is there. Change what does not
    /// suit.
    pub(crate) fn new(torrent: Arc<Torrent>, root: PathBuf, mode: Mode) -> Self {
        Job {
            torrent,
            root,
            wanted: None,
            files: None,
            sequential: false,
            mode,
            check: Check::Existing,
            preallocate: false,
            overwrite: false,
            limits: Limits::default(),
            peers: Vec::new(),
            ends: Ends::WHEN_COMPLETE,
        }
    }
}

/// What happens to a torrent of a session.
pub(crate) enum Happening<'a> {
    /// Work on it begins, or waits for room.
    Begun,
    /// The engine told something else.
    Event(&'a Event),
    /// A second has passed.
    Second,
    /// There is no room for `need` bytes that are still to be written below or to `path`.
    Full {
        /// The folder or file.
        path: &'a Path,
        /// Bytes.
        need: u64,
    },
    /// There is room again.
    Room,
    /// Work on it is over.
    Ended(&'a Ended),
}

/// How a torrent ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Why.
    pub(crate) why: Why,
    /// Whether everything wanted was there.
    pub(crate) complete: bool,
    /// The last figures before it left.
    pub(crate) figures: Figures,
}

/// A torrent of a session in figures.
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

/// Why a torrent ended.
#[derive(Debug)]
pub(crate) enum Why {
    /// Everything is there, and it was served for as long as was asked for.
    Complete,
    /// Somebody asked.
    Asked,
    /// It could not go on, or no byte came for as long as [`Ends::stop_timeout`].
    Failed(Failure),
}

/// Works until all `jobs` are done, `stop` is asked, or nothing more can be done; how each ended.
/// `tell` hears what happens to which of them, before the session acts on it.
pub(crate) fn run(
    jobs: Vec<Job>,
    net: Net,
    record: Option<Recording>,
    level: Level,
    stop: &Stop,
    tell: impl FnMut(usize, Happening<'_>, &Figures),
) -> Result<Vec<Ended>, Failure> {
    let torrents: Vec<Arc<Torrent>> = jobs.iter().map(|job| Arc::clone(&job.torrent)).collect();
    let (config, options) = net.settings(&torrents);
    let host = Host::new(options).map_err(refused_by_host)?;
    backend::tell(host.backend(), level);
    net::introduce(&config, host.backend().name, &torrents, level);
    let begun = host.now();
    let seed = chance::seed()?;
    let engine = Engine::new(config.clone(), seed, begun)
        .map_err(|error| Failure::new(Exit::Usage, "the settings cannot work").because(error))?;
    let mut engine = Driven::new(engine, (&config, seed, begun), &torrents, record)?;
    let mut session = Session::new(jobs, level, stop.clone(), begun, tell)?;
    host.run(&mut engine, |engine, now| session.look(engine, now))
        .map_err(refused_by_host)?;
    engine.finish()?;
    Ok(session.ones.into_iter().map(One::ended).collect())
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
    /// The place of each is the number of its id.
    ones: Vec<One>,
    level: Level,
    stop: Stop,
    tell: T,
    /// All together, where there are several.
    sum: Option<Progress>,
    next_show: Instant,
    next_second: Instant,
    asked: bool,
    /// Whether the engine was told to shut down.
    told: bool,
}

impl<T: FnMut(usize, Happening<'_>, &Figures)> Session<T> {
    fn new(
        jobs: Vec<Job>,
        level: Level,
        stop: Stop,
        now: Instant,
        tell: T,
    ) -> Result<Self, Failure> {
        let count = jobs.len();
        let ones = (0..).map(TorrentId).zip(jobs);
        let ones = ones.map(|(id, job)| One::new(job, id, level, now));
        Ok(Session {
            ones: ones.collect::<Result<_, _>>()?,
            level,
            stop,
            tell,
            sum: Progress::of_all(level, count),
            next_show: now,
            next_second: now,
            asked: false,
            told: false,
        })
    }

    /// A look at the engine before each of its turns.
    fn look(&mut self, engine: &mut Driven, now: Instant) -> Control {
        while let Some(event) = engine.engine().poll_event() {
            tracing::debug!(?event);
            let Some(at) = torrent_of(&event) else {
                return Control::Stop;
            };
            self.take(engine, at, &event, now);
        }
        if now >= self.next_show {
            self.next_show = now + TICK;
            self.tick(engine, now);
        }
        self.let_go(engine, now);
        Control::Wait(Some(self.next_show))
    }

    fn take(&mut self, engine: &mut Driven, at: usize, event: &Event, now: Instant) {
        let Some(one) = self.ones.get_mut(at) else {
            return;
        };
        one.measure(engine, now);
        match event {
            Event::DiskFull { error, need, .. } => {
                let path = one.path_of(*error);
                let full = Happening::Full {
                    path: &path,
                    need: *need,
                };
                (self.tell)(at, full, &one.figures);
            }
            Event::DiskRoom { .. } => (self.tell)(at, Happening::Room, &one.figures),
            event => (self.tell)(at, Happening::Event(event), &one.figures),
        }
        one.take(event, now);
        if one.stage == Stage::Over {
            self.tell_end(at);
        }
    }

    fn tick(&mut self, engine: &mut Driven, now: Instant) {
        let is_second = now >= self.next_second;
        if is_second {
            self.next_second = now + SECOND;
        }
        if self.stop.is_asked() {
            self.leave_all();
        }
        for at in 0..self.ones.len() {
            let one = &mut self.ones[at];
            match one.stage {
                Stage::New => {
                    (self.tell)(at, Happening::Begun, &one.figures);
                    one.stage = Stage::Waiting;
                    self.admit(engine, at, now);
                }
                Stage::Waiting if is_second => self.admit(engine, at, now),
                Stage::Working => {
                    one.measure(engine, now);
                    one.look_for_an_end(now);
                    one.progress.show(&Status::of_torrent(&one.figures.stats));
                    if is_second {
                        (self.tell)(at, Happening::Second, &one.figures);
                    }
                }
                Stage::Waiting | Stage::Leaving | Stage::Over => {}
            }
        }
        if let Some(sum) = &mut self.sum {
            let all = self.ones.iter().map(|one| &one.figures.stats);
            sum.show(&Status::of_all(all));
        }
    }

    /// Has the engine take a torrent up if there is room for it.
    fn admit(&mut self, engine: &mut Driven, at: usize, now: Instant) {
        let working = |one: &&One| matches!(one.stage, Stage::Working | Stage::Leaving);
        let others = self.ones.iter().filter(working).map(|one| &one.job);
        let room = space::look(&self.ones[at].job, others);
        let one = &mut self.ones[at];
        let was_full = one.full_since.is_some();
        match room {
            Ok(()) => {
                if was_full {
                    (self.tell)(at, Happening::Room, &one.figures);
                }
                one.begin(engine, now);
            }
            Err(lack) => {
                if !was_full {
                    let full = Happening::Full {
                        path: &lack.folder,
                        need: lack.need,
                    };
                    (self.tell)(at, full, &one.figures);
                }
                one.lacks_room(lack, now);
            }
        }
    }

    fn leave_all(&mut self) {
        if !std::mem::replace(&mut self.asked, true) && self.level > Level::Quiet {
            say::line("leaving in good order; Ctrl-C again leaves at once");
        }
        self.ones.iter_mut().for_each(|one| one.leave(Why::Asked));
        let is_late = self.stop.asked_for().is_some_and(|ago| ago >= LEAVE_WITHIN);
        if is_late && self.ones.iter().any(|one| one.stage == Stage::Leaving) {
            self.abandon();
        }
    }

    /// The disk hangs: what it has not taken is lost, and nobody is kept any longer.
    fn abandon(&mut self) {
        for at in 0..self.ones.len() {
            let one = &mut self.ones[at];
            if std::mem::replace(&mut one.stage, Stage::Over) == Stage::Over {
                continue;
            }
            let folder = Escaped::path(&one.job.root).to_string();
            say::line(format_args!(
                "{}: the disk does not answer: what came last was not saved in {folder} and is \
                 hashed or fetched again",
                Escaped(one.job.torrent.name()),
            ));
            self.tell_end(at);
        }
        stop::leave_at_once();
    }

    /// Has the engine let go of what is over, and ends when nothing is left.
    fn let_go(&mut self, engine: &mut Driven, now: Instant) {
        for at in 0..self.ones.len() {
            let one = &mut self.ones[at];
            if one.why.is_none() {
                continue;
            }
            match one.stage {
                Stage::Working => {
                    one.stage = Stage::Leaving;
                    let (torrent, data) = (one.id, Data::Keep);
                    engine.handle(now, Input::Command(Command::Remove { torrent, data }));
                }
                Stage::New | Stage::Waiting => {
                    one.stage = Stage::Over;
                    self.tell_end(at);
                }
                Stage::Leaving | Stage::Over => {}
            }
        }
        if !self.told && self.ones.iter().all(|one| one.stage == Stage::Over) {
            self.told = true;
            engine.handle(now, Input::Command(Command::ShutDown));
        }
    }

    fn tell_end(&mut self, at: usize) {
        let one = &mut self.ones[at];
        one.progress.clear();
        let ended = one.end();
        (self.tell)(at, Happening::Ended(ended), &ended.figures);
    }
}

/// The place of the torrent that `event` is about; `None` where it is about all.
fn torrent_of(event: &Event) -> Option<usize> {
    match event {
        Event::Added { torrent }
        | Event::Refused { torrent, .. }
        | Event::Checked { torrent, .. }
        | Event::Completed { torrent }
        | Event::Announced { torrent, .. }
        | Event::Banned { torrent, .. }
        | Event::Corrupt { torrent, .. }
        | Event::DiskFailed { torrent, .. }
        | Event::DiskFull { torrent, .. }
        | Event::DiskRoom { torrent }
        | Event::StateNotSaved { torrent, .. }
        | Event::TorrentWanted { torrent }
        | Event::Removed { torrent } => Some(torrent.0 as usize),
        Event::ShutDown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system that forbids io_uring ends with the code for that, and the remedy is told.
    #[test]
    fn a_forbidden_ring_has_its_own_code() {
        let failure = refused_by_host(HostError::RingForbidden);
        assert_eq!(failure.exit(), Exit::Forbidden);
        assert!(failure.to_string().contains("seccomp"), "{failure}");
    }
}

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

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ripcurrent_proto::api::{Check, Command, Data, Event, Input, Mode, TorrentStats};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;
use ripcurrent_proto::engine::Engine;
use ripcurrent_proto::meta::Torrent;
use ripcurrent_runtime_uring::{Arena, Control, Host, HostError};

use crate::backend;
use crate::chance;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::jobs::Item;
use crate::outline::Outline;
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
/// How many torrents are begun between two turns.
const BEGUN_AT_ONCE: usize = 64;
/// More torrents than this are told of together: nobody reads that many lines.
const CROWD: usize = 10;
/// How long after being asked to stop the disk is waited for. The process ends within three seconds.
const LEAVE_WITHIN: Duration = Duration::from_millis(2700);

/// What to do about a torrent.
#[derive(Debug)]
pub(crate) struct Job {
    /// What is kept of the torrent; it has a v1 half.
    pub(crate) outline: Arc<Outline>,
    /// The torrent, whole or without its pieces, until the engine has it.
    pub(crate) torrent: Option<Arc<Torrent>>,
    /// The folder its data lies in.
    pub(crate) root: Arc<str>,
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
    pub(crate) peers: Arc<[SocketAddr]>,
    /// When it is over.
    pub(crate) ends: Ends,
}

impl Job {
    /// Fetches or serves all of a torrent in `root`, until everything is there. Change what does not
    /// suit.
    pub(crate) fn new(item: Item, root: Arc<str>, mode: Mode) -> Self {
        Job {
            outline: item.outline,
            torrent: Some(item.torrent),
            root,
            wanted: None,
            files: None,
            sequential: false,
            mode,
            check: Check::Existing,
            preallocate: false,
            overwrite: false,
            limits: Limits::default(),
            peers: Arc::default(),
            ends: Ends::WHEN_COMPLETE,
        }
    }

    /// The folder its data lies in.
    pub(crate) fn root(&self) -> &Path {
        Path::new(&*self.root)
    }
}

/// The engine's paths are text, so the folder's must be.
pub(crate) fn root_of(root: &Path) -> Result<Arc<str>, Failure> {
    let text = root.to_str().ok_or_else(|| {
        let what = format!("the name of {} is not UTF-8", Escaped::path(root));
        Failure::usage(what).remedy("Choose a folder whose name is.")
    })?;
    Ok(Arc::from(text))
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
    let (config, options) = net.settings();
    let host = Host::new(options).map_err(refused_by_host)?;
    backend::tell(host.backend(), level);
    net::introduce(&config, host.backend().name, &jobs, level);
    let begun = host.now();
    let seed = chance::seed()?;
    let mut engine = Engine::new(config.clone(), seed, begun)
        .map_err(|error| Failure::new(Exit::Usage, "the settings cannot work").because(error))?;
    match Arena::new(config.memory_budget) {
        Ok(arena) => engine.set_slab_source(Box::new(arena)),
        // The allocator's memory does as well, if not as fast.
        Err(error) => tracing::debug!("no memory of our own for pieces: {error}"),
    }
    let torrents = jobs.iter().filter_map(|job| job.torrent.as_deref());
    let mut engine = Driven::new(engine, (&config, seed, begun), torrents, record)?;
    let mut session = Session::new(jobs, level, stop.clone(), begun, tell);
    host.run(&mut engine, |engine, now| session.look(engine, now))
        .map_err(refused_by_host)?;
    engine.finish()?;
    Ok(session.ones.into_iter().map(One::ended).collect())
}

/// Whether so many torrents are told of together rather than one by one.
pub(crate) fn is_crowd(torrents: usize) -> bool {
    torrents > CROWD
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
    /// The sum is not what it was when it was shown.
    is_sum_new: bool,
    /// The first that nobody has looked at.
    fresh: usize,
    /// Those that wait for room on the disk.
    waiting: BTreeSet<usize>,
    /// They are many: those whose figures do not change are not looked at again and again.
    is_crowd: bool,
    /// Those that are looked at all the time.
    lively: BTreeSet<usize>,
    /// Those that have a reason to end of which the engine does not know.
    parting: Vec<usize>,
    /// How many are not over.
    left: usize,
    /// Somebody ends by the time it is served.
    has_times: bool,
    next_show: Instant,
    next_second: Instant,
    asked: bool,
    /// Whether the engine was told to shut down.
    told: bool,
}

impl<T: FnMut(usize, Happening<'_>, &Figures)> Session<T> {
    fn new(jobs: Vec<Job>, level: Level, stop: Stop, now: Instant, tell: T) -> Self {
        let count = jobs.len();
        let has_time = |job: &Job| {
            job.ends
                .seeding
                .is_some_and(|seeding| seeding.time.is_some())
        };
        let has_times = jobs.iter().any(has_time);
        let is_crowd = is_crowd(count);
        let shown = match is_crowd {
            true => Level::Quiet,
            false => level,
        };
        let ones = (0..).map(TorrentId).zip(jobs);
        let ones = ones.map(|(id, job)| One::new(job, id, shown, now));
        Session {
            ones: ones.collect(),
            level,
            stop,
            tell,
            sum: Progress::of_all(level, count),
            is_sum_new: true,
            fresh: 0,
            waiting: BTreeSet::new(),
            is_crowd,
            lively: BTreeSet::new(),
            parting: Vec::new(),
            left: count,
            has_times,
            next_show: now,
            next_second: now + SECOND,
            asked: false,
            told: false,
        }
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
        if self.stop.is_asked() {
            self.leave_all(engine, now);
        }
        self.begin_some(engine, now);
        if now >= self.next_show {
            self.next_show = now + TICK;
            self.tick(engine, now);
        }
        self.let_go(engine, now);
        let has_more = self.fresh < self.ones.len() && !self.asked;
        Control::Wait(Some(if has_more { now } else { self.next_show }))
    }

    fn take(&mut self, engine: &mut Driven, at: usize, event: &Event, now: Instant) {
        let Some(one) = self.ones.get_mut(at) else {
            return;
        };
        one.measure(engine, now);
        self.is_sum_new = true;
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
        one.take(engine, event, now);
        if one.stage == Stage::Over {
            self.tell_end(at);
        }
        self.notice(at);
    }

    /// Begins with further torrents, not so many that what is under way has to wait.
    fn begin_some(&mut self, engine: &mut Driven, now: Instant) {
        for _ in 0..BEGUN_AT_ONCE {
            if self.asked || self.fresh == self.ones.len() {
                return;
            }
            let at = self.fresh;
            self.fresh += 1;
            let one = &mut self.ones[at];
            if one.stage != Stage::New {
                continue;
            }
            (self.tell)(at, Happening::Begun, &one.figures);
            one.stage = Stage::Waiting;
            self.admit(engine, at, now);
        }
    }

    fn tick(&mut self, engine: &mut Driven, now: Instant) {
        let is_second = now >= self.next_second;
        if is_second {
            self.next_second = now + SECOND;
            for at in std::mem::take(&mut self.waiting) {
                self.admit(engine, at, now);
            }
        }
        let busy = engine.engine().busy().map(|id| id.0 as usize);
        self.lively.extend(busy);
        for at in std::mem::take(&mut self.lively) {
            if self.look_at(engine, at, is_second, now) {
                self.lively.insert(at);
            }
        }
        if is_second && self.has_times {
            self.look_for_ends(now);
        }
        if let Some(sum) = &mut self.sum
            && std::mem::take(&mut self.is_sum_new)
        {
            let all = self.ones.iter().map(|one| &one.figures.stats);
            sum.show(&Status::of_all(all));
        }
    }

    /// Looks at one whose figures change by themselves; whether they still do.
    fn look_at(&mut self, engine: &mut Driven, at: usize, is_second: bool, now: Instant) -> bool {
        let Some(one) = self.ones.get_mut(at) else {
            return false;
        };
        if one.stage != Stage::Working {
            return false;
        }
        one.measure(engine, now);
        self.is_sum_new = true;
        one.look_for_an_end(now);
        one.progress.show(&Status::of_torrent(&one.figures.stats));
        if is_second {
            (self.tell)(at, Happening::Second, &one.figures);
        }
        let is_lively = !self.is_crowd || one.is_lively();
        self.notice(at);
        // Programs hear of the last change too.
        is_lively || !is_second
    }

    /// Those that are not lively may have had their time.
    fn look_for_ends(&mut self, now: Instant) {
        for at in 0..self.ones.len() {
            if self.ones[at].stage == Stage::Working {
                self.ones[at].look_for_an_end(now);
                self.notice(at);
            }
        }
    }

    /// Has the engine take a torrent up if there is room for it.
    fn admit(&mut self, engine: &mut Driven, at: usize, now: Instant) {
        let room = match self.ones[at].job.mode {
            Mode::Seed => Ok(()),
            Mode::Download => {
                let working = |one: &&One| matches!(one.stage, Stage::Working | Stage::Leaving);
                let others = self.ones.iter().filter(working).map(|one| &one.job);
                space::look(&self.ones[at].job, others)
            }
        };
        let one = &mut self.ones[at];
        if one.stage != Stage::Waiting {
            return;
        }
        let was_full = one.full_since.is_some();
        match room {
            Ok(()) => {
                if was_full {
                    (self.tell)(at, Happening::Room, &one.figures);
                }
                one.begin(engine, now);
                self.lively.insert(at);
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
                self.waiting.insert(at);
                self.notice(at);
            }
        }
    }

    /// Something was done to one: it may have a reason to end.
    fn notice(&mut self, at: usize) {
        let one = &mut self.ones[at];
        if one.why.is_some() && !std::mem::replace(&mut one.is_parting, true) {
            self.parting.push(at);
        }
    }

    /// Somebody asks for an end. All that are at work leave together.
    fn leave_all(&mut self, engine: &mut Driven, now: Instant) {
        if !std::mem::replace(&mut self.asked, true) {
            if self.level > Level::Quiet {
                say::line("leaving in good order; Ctrl-C again leaves at once");
            }
            for at in 0..self.ones.len() {
                self.ones[at].leave(Why::Asked);
                match self.ones[at].stage {
                    Stage::Working => self.ones[at].stage = Stage::Leaving,
                    Stage::New | Stage::Waiting => self.is_over(at),
                    Stage::Leaving | Stage::Over => {}
                }
            }
            self.shut_down(engine, now);
        }
        let is_late = self.stop.asked_for().is_some_and(|ago| ago >= LEAVE_WITHIN);
        if is_late && self.left > 0 {
            self.abandon();
        }
    }

    /// The disk hangs: what it has not taken is lost, and nobody is kept any longer.
    fn abandon(&mut self) {
        let left = self.ones.iter().filter(|one| one.stage != Stage::Over);
        let lost = left.filter(|one| one.job.mode == Mode::Download);
        for one in lost {
            let folder = Escaped::path(one.job.root()).to_string();
            say::line(format_args!(
                "{}: the disk does not answer: what came last was not saved in {folder} and is \
                 hashed or fetched again",
                Escaped(one.job.outline.name()),
            ));
        }
        for at in 0..self.ones.len() {
            if self.ones[at].stage != Stage::Over {
                self.ones[at].stage = Stage::Over;
                self.tell_end(at);
            }
        }
        stop::leave_at_once();
    }

    /// Has the engine let go of what is over, and ends when nothing is left.
    fn let_go(&mut self, engine: &mut Driven, now: Instant) {
        for at in std::mem::take(&mut self.parting) {
            let one = &mut self.ones[at];
            match one.stage {
                Stage::Working => {
                    one.stage = Stage::Leaving;
                    let (torrent, data) = (one.id, Data::Keep);
                    engine.handle(now, Input::Command(Command::Remove { torrent, data }));
                }
                Stage::New | Stage::Waiting => self.is_over(at),
                Stage::Leaving | Stage::Over => {}
            }
        }
        if self.left == 0 {
            self.shut_down(engine, now);
        }
    }

    fn shut_down(&mut self, engine: &mut Driven, now: Instant) {
        if !std::mem::replace(&mut self.told, true) {
            engine.handle(now, Input::Command(Command::ShutDown));
        }
    }

    /// One is over of which the engine never knew.
    fn is_over(&mut self, at: usize) {
        self.ones[at].stage = Stage::Over;
        self.waiting.remove(&at);
        self.tell_end(at);
    }

    fn tell_end(&mut self, at: usize) {
        let one = &mut self.ones[at];
        if std::mem::replace(&mut one.is_told, true) {
            return;
        }
        self.left -= 1;
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

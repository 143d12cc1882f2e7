//! One torrent of a session, from its job to its end.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use ripcurrent_proto::api::{Add, Command, DiskError, Event, Input, Mode, Phase};
use ripcurrent_proto::base::id::TorrentId;
use ripcurrent_proto::base::time::Instant;
use ripcurrent_proto::drive::Machine;

use super::space::Lack;
use super::{Ended, Figures, Job, Why, owes, refusal};
use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::record::Driven;
use crate::say::Level;
use crate::units::{Count, Size, Time};

/// How far a torrent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nobody has looked at it.
    New,
    /// It waits for room on the disk.
    Waiting,
    /// The engine is at work on it.
    Working,
    /// The engine lets go of it.
    Leaving,
    /// It is over.
    Over,
}

pub(super) struct One {
    pub(super) job: Job,
    pub(super) id: TorrentId,
    pub(super) stage: Stage,
    pub(super) figures: Figures,
    pub(super) progress: Progress,
    /// Why it is to end, or has ended.
    pub(super) why: Option<Why>,
    /// Since when the disk is full.
    pub(super) full_since: Option<Instant>,
    /// What is in want of room: the file or folder, and the bytes.
    lack: Option<(PathBuf, u64)>,
    /// It has a reason to end, and the session knows.
    pub(super) is_parting: bool,
    /// Its end was told.
    pub(super) is_told: bool,
    ended: Option<Box<Ended>>,
    /// When the check at the start was over.
    checked_at: Option<Instant>,
    completed_at: Option<Instant>,
    /// When the last byte came, and how many had come by then.
    last_byte: (Instant, u64),
}

impl One {
    pub(super) fn new(job: Job, id: TorrentId, level: Level, now: Instant) -> Self {
        One {
            progress: Progress::new(level, job.outline.name()),
            job,
            id,
            stage: Stage::New,
            figures: Figures::default(),
            why: None,
            full_since: None,
            lack: None,
            is_parting: false,
            is_told: false,
            ended: None,
            checked_at: None,
            completed_at: None,
            last_byte: (now, 0),
        }
    }

    /// Has the engine take it up.
    pub(super) fn begin(&mut self, engine: &mut Driven, now: Instant) {
        self.stage = Stage::Working;
        self.full_since = None;
        let id = self.id;
        let Some(torrent) = self.job.torrent.take() else {
            return;
        };
        let add = Add {
            id,
            torrent,
            root: Arc::clone(&self.job.root),
            wanted: self.job.wanted.clone(),
            files: self.job.files.clone(),
            sequential: self.job.sequential,
            mode: self.job.mode,
            check: self.job.check,
            announce: true,
            preallocate: self.job.preallocate,
            overwrite: self.job.overwrite,
            down_limit: NonZeroU64::new(self.job.limits.down),
            up_limit: NonZeroU64::new(self.job.limits.up),
        };
        engine.handle(now, Input::Command(Command::Add(add)));
        for &addr in &*self.job.peers {
            let torrent = id;
            engine.handle(now, Input::Command(Command::AddPeer { torrent, addr }));
        }
    }

    /// The engine needs what was let go of.
    fn supply(&mut self, engine: &mut Driven, now: Instant) {
        match self.job.outline.read_again() {
            Ok(whole) => {
                let torrent = self.id;
                engine.handle(now, Input::Command(Command::Supply { torrent, whole }));
            }
            Err(failure) => self.leave(Why::Failed(failure)),
        }
    }

    /// Whether its figures change though nothing is told of it.
    pub(super) fn is_lively(&self) -> bool {
        let stats = &self.figures.stats;
        let is_rated = stats.up_rate > 0 || stats.down_rate > 0;
        is_rated || self.job.mode == Mode::Download
    }

    /// There is no room for it, now or since.
    pub(super) fn lacks_room(&mut self, lack: Lack, now: Instant) {
        let since = *self.full_since.get_or_insert(now);
        self.lack = Some((lack.folder, lack.need));
        self.wait_for_room(since, now);
    }

    fn wait_for_room(&mut self, since: Instant, now: Instant) {
        let patience = self.job.ends.disk_wait;
        if now.since(since) < patience {
            return;
        }
        let Some((path, need)) = &self.lack else {
            return;
        };
        let (path, need, patience) = (Escaped::path(path), Size(*need), Time(patience));
        let what = format!("no room for {need} in {path} after {patience}");
        let remedy = "Make room, or choose another folder; the same command goes on from there.";
        self.leave(Why::Failed(Failure::new(Exit::Disk, what).remedy(remedy)));
    }

    /// Keeps the figures; the last ones stay when the torrent is gone.
    pub(super) fn measure(&mut self, engine: &mut Driven, now: Instant) {
        let Some(stats) = engine.engine().stats(now, self.id) else {
            return;
        };
        // Who leaves has figures of no news.
        if self.why.is_none() {
            self.figures.peers_most = self.figures.peers_most.max(stats.peers);
            self.figures.stats = stats;
        }
        let since = self.checked_at.unwrap_or(now);
        self.figures.fetching = self.completed_at.unwrap_or(now).since(since);
    }

    /// The engine told of it.
    pub(super) fn take(&mut self, engine: &mut Driven, event: &Event, now: Instant) {
        match event {
            Event::Checked { pieces, .. } => self.checked(*pieces, now),
            Event::Completed { .. } => self.completed(now),
            Event::Refused { reason, .. } => {
                let name = Escaped(self.job.outline.name());
                let what = format!("{name} cannot be taken up: {reason}");
                self.leave(Why::Failed(Failure::new(Exit::BadTorrent, what)));
                self.stage = Stage::Over;
            }
            Event::DiskFailed { action, error, .. } => {
                let (outline, root) = (&self.job.outline, self.job.root());
                let failure = refusal::failure(outline, root, action, *error);
                // Also where everything seemed to be over: it was not saved.
                if !matches!(self.why, Some(Why::Failed(_))) {
                    self.why = Some(Why::Failed(failure));
                }
            }
            Event::DiskFull { error, need, .. } => {
                self.full_since.get_or_insert(now);
                self.lack = Some((self.path_of(*error), *need));
            }
            Event::DiskRoom { .. } => self.full_since = None,
            Event::Corrupt { .. } => self.figures.corrupt += 1,
            Event::Banned { .. } => self.figures.banned += 1,
            Event::TorrentWanted { .. } => self.supply(engine, now),
            Event::Removed { .. } => self.stage = Stage::Over,
            Event::Added { .. }
            | Event::Announced { .. }
            | Event::StateNotSaved { .. }
            | Event::ShutDown => {}
        }
    }

    /// The data that was there is known. A seed without any has nothing to do.
    fn checked(&mut self, pieces: u32, now: Instant) {
        self.checked_at = Some(now);
        self.last_byte.0 = now;
        if self.job.mode == Mode::Seed && pieces == 0 {
            let root = Escaped::path(self.job.root()).to_string();
            let name = Escaped(self.job.outline.name());
            let what = format!("no piece of {name} is right in {root}");
            let failure = Failure::new(Exit::CheckFailed, what);
            self.leave(Why::Failed(
                failure.remedy("Name the folder that holds it with --data."),
            ));
        }
    }

    fn completed(&mut self, now: Instant) {
        self.completed_at = Some(now);
        let was_there = self.figures.stats.downloaded == 0;
        if self.job.ends.seeding.is_none() || (was_there && !self.job.ends.serves_again) {
            self.leave(Why::Complete);
        }
    }

    pub(super) fn look_for_an_end(&mut self, now: Instant) {
        if let Some(since) = self.full_since {
            self.wait_for_room(since, now);
        }
        let stats = &self.figures.stats;
        if stats.phase != Phase::Downloading || stats.downloaded > self.last_byte.1 {
            self.last_byte = (now, stats.downloaded);
        }
        let owes = owes(stats, self.job.outline.layout());
        let is_served = |since: Instant| {
            let seeding = self.job.ends.seeding;
            seeding.is_some_and(|s| s.is_over(stats.uploaded, owes, now.since(since)))
        };
        if self.completed_at.is_some_and(is_served) {
            return self.leave(Why::Complete);
        }
        let quiet = now.since(self.last_byte.0);
        let patience = self.job.ends.stop_timeout;
        if patience.is_some_and(|patience| quiet >= patience) {
            let name = Escaped(self.job.outline.name());
            let known = Count(stats.known, "peer");
            let what = format!("{name}: no byte came in time ({known} known)");
            let failure = Failure::new(Exit::NoPeers, what);
            let remedy = "Check the trackers with `announce`, or name a peer with --peer.";
            self.leave(Why::Failed(failure.remedy(remedy)));
        }
    }

    pub(super) fn leave(&mut self, why: Why) {
        if self.why.is_none() {
            self.why = Some(why);
        }
    }

    /// The file or folder that `error` is about.
    pub(super) fn path_of(&self, error: DiskError) -> PathBuf {
        refusal::path_of(&self.job.outline, self.job.root(), error)
    }

    /// How it ended, once it is over.
    pub(super) fn end(&mut self) -> &Ended {
        let why = self.why.take();
        let (complete, figures) = (self.completed_at.is_some(), &self.figures);
        let ended = self.ended.get_or_insert_with(|| {
            Box::new(Ended {
                why: why.unwrap_or(Why::Asked),
                complete,
                figures: figures.clone(),
            })
        });
        // Nothing of it comes or goes any more.
        let stats = &mut self.figures.stats;
        (stats.down_rate, stats.up_rate, stats.peers) = (0, 0, 0);
        ended
    }

    pub(super) fn ended(mut self) -> Ended {
        self.end();
        let asked = Ended {
            why: Why::Asked,
            complete: false,
            figures: self.figures,
        };
        self.ended.map_or(asked, |ended| *ended)
    }
}

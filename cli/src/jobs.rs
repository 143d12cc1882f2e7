//! The torrents of one command line.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ripcurrent_proto::meta::Torrent;

use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::load;
use crate::outline::Outline;
use crate::say;

/// What the names of torrent files end with.
const EXTENSION: &str = "torrent";

/// What is to be done with torrents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Fetch their data: no two may write the same.
    Fetch,
    /// Only serve it: they may be many, so none is kept whole.
    Serve,
}

/// The torrents that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) items: Vec<Item>,
    pub(crate) conclusion: Conclusion,
}

/// A torrent and what is kept of it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) outline: Arc<Outline>,
    /// Whole, or without its pieces.
    pub(crate) torrent: Arc<Torrent>,
}

/// What a command comes to because of the torrents that cannot be used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conclusion(Exit);

/// Reads torrent files; of a folder all that lie in it. Of several those that cannot be used are told
/// and left out, and so is what a folder has twice.
///
/// # Errors
/// If none can be used, or two that were named are the same or would write the same.
pub(crate) fn load(paths: &[PathBuf], purpose: Use) -> Result<Loaded, Failure> {
    let mut reading = Reading::new(purpose);
    for path in paths {
        match torrent_files(path) {
            None => reading.read(path.clone(), true)?,
            Some(Ok(files)) => files
                .into_iter()
                .try_for_each(|file| reading.read(file, false))?,
            Some(Err(failure)) => reading.leave_out(failure),
        }
    }
    reading.finish()
}

/// The torrent files in a folder, in the order of their names; `None` if it is no folder.
fn torrent_files(path: &Path) -> Option<Result<Vec<PathBuf>, Failure>> {
    if !path.is_dir() {
        return None;
    }
    let files = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(path)? {
            let file = entry?.path();
            if file.extension().is_some_and(|end| end == EXTENSION) && !file.is_dir() {
                files.push(file);
            }
        }
        files.sort_unstable();
        Ok(files)
    };
    let folder = Escaped::path(path).to_string();
    Some(match files() {
        Ok(files) if files.is_empty() => {
            let what = format!("no torrent file is in {folder}");
            let remedy = "Their names end in .torrent; folders below it are not looked into.";
            Err(Failure::new(Exit::BadTorrent, what).remedy(remedy))
        }
        Ok(files) => Ok(files),
        Err(error) => {
            let what = format!("cannot look into {folder}");
            Err(Failure::new(Exit::BadTorrent, what).because(error))
        }
    })
}

/// Torrents as they are read.
struct Reading {
    purpose: Use,
    items: Vec<Item>,
    /// The place of each in `items`, by its info-hash, and of those that are fetched by name.
    by_hash: BTreeMap<[u8; 20], usize>,
    by_name: BTreeMap<Box<str>, usize>,
    files: Vec<PathBuf>,
    worst: Exit,
    /// The last failure: the only one is told by who called.
    failed: Option<Failure>,
}

impl Reading {
    fn new(purpose: Use) -> Self {
        Reading {
            purpose,
            items: Vec::new(),
            by_hash: BTreeMap::new(),
            by_name: BTreeMap::new(),
            files: Vec::new(),
            worst: Exit::Done,
            failed: None,
        }
    }

    /// Reads one file; `is_named` if people named it, and not only its folder.
    fn read(&mut self, path: PathBuf, is_named: bool) -> Result<(), Failure> {
        let torrent = match load::transferable(&path) {
            Ok(torrent) => torrent,
            Err(failure) => {
                self.leave_out(failure);
                return Ok(());
            }
        };
        match self.collision(&torrent, &path) {
            Some(collision) if is_named => return Err(collision),
            Some(collision) => {
                say::line(format_args!("left out: {collision}"));
                return Ok(());
            }
            None => {}
        }
        let at = self.items.len();
        self.by_hash
            .extend(torrent.hashes().v1.map(|hash| (hash, at)));
        if self.purpose == Use::Fetch {
            self.by_name.insert(torrent.name().into(), at);
        }
        self.files.push(path.clone());
        let outline = Arc::new(Outline::new(&torrent, Some(path)));
        let torrent = match self.purpose {
            Use::Fetch => torrent,
            Use::Serve => torrent.without_pieces(),
        };
        self.items.push(Item {
            outline,
            torrent: Arc::new(torrent),
        });
        Ok(())
    }

    /// Two torrents must not be one; nor lie in one place, if they are written.
    fn collision(&self, torrent: &Torrent, path: &Path) -> Option<Failure> {
        let path = Escaped::path(path);
        let v1 = torrent.hashes().v1;
        if let Some(&same) = v1.and_then(|hash| self.by_hash.get(&hash)) {
            let other = Escaped::path(&self.files[same]);
            let what = format!("{other} and {path} are the same torrent");
            return Some(Failure::usage(what).remedy("Name it once."));
        }
        let same = *self.by_name.get(torrent.name())?;
        let (other, name) = (Escaped::path(&self.files[same]), Escaped(torrent.name()));
        let what = format!("{other} and {path} both lie in {name}");
        let remedy = "Run the command once for each, with another folder.";
        Some(Failure::usage(what).remedy(remedy))
    }

    fn leave_out(&mut self, failure: Failure) {
        self.worst = self.worst.max(failure.exit());
        if let Some(earlier) = self.failed.replace(failure) {
            tell(&earlier);
        }
    }

    fn finish(self) -> Result<Loaded, Failure> {
        match self.failed {
            Some(failure) if self.items.is_empty() => return Err(failure),
            Some(failure) => tell(&failure),
            None => {}
        }
        Ok(Loaded {
            items: self.items,
            conclusion: Conclusion(self.worst),
        })
    }
}

impl Item {
    /// A torrent that was not read from a file.
    pub(crate) fn made(torrent: Arc<Torrent>) -> Self {
        Item {
            outline: Arc::new(Outline::new(&torrent, None)),
            torrent,
        }
    }
}

impl Conclusion {
    /// What the command comes to, given what the torrents that can be used come to.
    pub(crate) fn of(self, outcome: Outcome) -> Outcome {
        let Conclusion(worst) = self;
        match outcome {
            Ok(exit) => Ok(exit.max(worst)),
            Err(failure) if failure.exit() >= worst => Err(failure),
            Err(failure) => {
                tell(&failure);
                Ok(worst)
            }
        }
    }
}

fn tell(failure: &Failure) {
    say::line(format_args!("error: {failure}"));
    json::emit_failure(failure);
}

//! The torrents of one command line.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ripcurrent_proto::meta::Torrent;

use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::json;
use crate::load;
use crate::say;

/// The torrents that can be used.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) torrents: Vec<Arc<Torrent>>,
    /// What the command comes to because of those that cannot.
    worst: Exit,
}

/// Reads torrent files. Of several those that cannot be used are told and left out.
///
/// # Errors
/// If none can be used, or two of them would write the same.
pub(crate) fn load(paths: &[PathBuf]) -> Result<Loaded, Failure> {
    let mut loaded = Loaded {
        torrents: Vec::new(),
        worst: Exit::Done,
    };
    let mut used: Vec<&Path> = Vec::new();
    let mut failed = None;
    for path in paths {
        match load::transferable(path) {
            Ok(torrent) => {
                for (other, other_path) in loaded.torrents.iter().zip(&used) {
                    must_differ((&torrent, path), (other, other_path))?;
                }
                loaded.torrents.push(Arc::new(torrent));
                used.push(path);
            }
            Err(failure) => {
                loaded.worst = loaded.worst.max(failure.exit());
                if let Some(earlier) = failed.replace(failure) {
                    tell(&earlier);
                }
            }
        }
    }
    match failed {
        Some(failure) if loaded.torrents.is_empty() => Err(failure),
        Some(failure) => {
            tell(&failure);
            Ok(loaded)
        }
        None => Ok(loaded),
    }
}

impl Loaded {
    /// What the command comes to, given what the torrents that can be used come to.
    pub(crate) fn conclude(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Ok(exit) => Ok(exit.max(self.worst)),
            Err(failure) if failure.exit() >= self.worst => Err(failure),
            Err(failure) => {
                tell(&failure);
                Ok(self.worst)
            }
        }
    }
}

fn tell(failure: &Failure) {
    say::line(format_args!("error: {failure}"));
    json::emit_failure(failure);
}

/// Two torrents must not be one, nor lie in one place.
fn must_differ(
    (one, one_path): (&Torrent, &Path),
    (other, other_path): (&Torrent, &Path),
) -> Result<(), Failure> {
    let (one_path, other_path) = (Escaped::path(one_path), Escaped::path(other_path));
    if one.hashes().v1 == other.hashes().v1 {
        let what = format!("{other_path} and {one_path} are the same torrent");
        return Err(Failure::usage(what).remedy("Name it once."));
    }
    if one.name() == other.name() {
        let name = Escaped(one.name());
        let what = format!("{other_path} and {one_path} both lie in {name}");
        return Err(
            Failure::usage(what).remedy("Run the command once for each, with another folder.")
        );
    }
    Ok(())
}

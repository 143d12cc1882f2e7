//! `create`: a torrent of a file or folder.
//!
//! The data is read once, in small steps: memory does not grow with it.

mod hash;
mod walk;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::create::{Content, CreateError, Creation, NewFile};

use crate::args::CreateArgs;
use crate::clock;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::load::hex;
use crate::progress::{Progress, Status};
use crate::say::{self, Level};
use crate::stop::Stop;
use crate::units::{Count, Size, Time};

pub(crate) use hash::hash_pieces;
use walk::{Rules, Walk, walk};

/// The name of this program in the torrents it makes.
pub(crate) const CREATED_BY: &str = concat!("Ripcurrent ", env!("CARGO_PKG_VERSION"));

/// Runs the command.
pub(crate) fn run(args: &CreateArgs, level: Level) -> Outcome {
    let stop = Stop::on_signals()?;
    let name = name_of(&args.path)?;
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{name}.torrent")));
    if !args.overwrite && output.symlink_metadata().is_ok() {
        return Err(is_there(&output));
    }
    let rules = Rules {
        hidden: args.hidden,
        follow_links: args.follow_links,
    };
    let walk = walk(&args.path, rules)?;
    tell_omissions(&walk, level);
    let creation = plan(args, &name, &walk).map_err(|error| {
        let what = format!("cannot make a torrent of {}", Escaped::path(&args.path));
        Failure::new(Exit::Usage, what).because(error)
    })?;
    let begun = clock::now();
    let Some(pieces) = hash_all(&creation, &walk, &stop, &name, level)? else {
        say::line("interrupted: no torrent was made");
        return Ok(Exit::Interrupted);
    };
    let bytes = creation
        .finish(&pieces)
        .map_err(|error| Failure::new(Exit::Usage, "cannot make the torrent").because(error))?;
    write(&output, &bytes, args.overwrite)?;
    let torrent = Torrent::parse(bytes.into()).map_err(|error| {
        Failure::new(Exit::Internal, "the torrent just made cannot be read").because(error)
    })?;
    if level > Level::Quiet {
        let layout = creation.layout();
        let files = Count(layout.files().len() as u64, "file");
        let pieces = Count(layout.pieces(), "piece");
        let (size, piece) = (Size(layout.total_len()), Size(layout.piece_length().into()));
        let time = Time(begun.elapsed());
        say::line(format_args!(
            "{size} in {files}, {pieces} of {piece}, hashed in {time}"
        ));
    }
    let info_hash = torrent
        .hashes()
        .v1
        .map(|hash| hex(&hash))
        .unwrap_or_default();
    say::data(format_args!("{info_hash}  {}\n", Escaped::path(&output)))?;
    Ok(Exit::Done)
}

/// The torrent's name: that of the file or folder itself, also where the path ends in `.` or `..`.
fn name_of(path: &Path) -> Result<String, Failure> {
    let resolved;
    let named = if path.file_name().is_some() {
        path
    } else {
        resolved = path
            .canonicalize()
            .map_err(|error| Failure::disk("read", path, error))?;
        &resolved
    };
    let name = named.file_name().and_then(|name| name.to_str());
    name.map(String::from).ok_or_else(|| {
        let what = format!(
            "{} has no name that a torrent can take",
            Escaped::path(path)
        );
        Failure::new(Exit::Usage, what).remedy("Names must be UTF-8; the root folder has none.")
    })
}

fn tell_omissions(walk: &Walk, level: Level) {
    if level == Level::Quiet {
        return;
    }
    let omitted = [
        (
            walk.hidden,
            "hidden files and folders",
            " (--hidden takes them)",
        ),
        (
            walk.links,
            "symbolic links",
            " (--follow-links takes what they point to)",
        ),
        (walk.special, "devices, sockets and pipes", ""),
    ];
    for (count, what, remedy) in omitted {
        if count > 0 {
            say::line(format_args!("left out: {count} {what}{remedy}"));
        }
    }
}

fn plan(args: &CreateArgs, name: &str, walk: &Walk) -> Result<Creation, CreateError> {
    let content = match &walk.files[..] {
        [only] if only.parts.is_empty() => Content::File {
            len: only.len,
            executable: only.executable,
        },
        files => Content::Folder(
            files
                .iter()
                .map(|file| NewFile {
                    path: file.parts.clone(),
                    len: file.len,
                    executable: file.executable,
                })
                .collect(),
        ),
    };
    let mut creation = Creation::new(name, content, args.piece_length)?;
    let tiers = args
        .trackers
        .iter()
        .map(|tier| tier.split(',').map(|url| url.trim().into()).collect());
    creation.set_trackers(&tiers.collect::<Vec<_>>())?;
    creation.set_web_seeds(&args.web_seeds)?;
    creation.set_private(args.private);
    creation.set_comment(args.comment.as_deref().unwrap_or_default());
    creation.set_source(args.source.as_deref().unwrap_or_default());
    creation.set_created_by(CREATED_BY);
    if !args.no_date {
        creation.set_creation_date(clock::unix_seconds());
    }
    Ok(creation)
}

fn hash_all(
    creation: &Creation,
    walk: &Walk,
    stop: &Stop,
    name: &str,
    level: Level,
) -> Result<Option<Vec<[u8; 20]>>, Failure> {
    let paths: Vec<PathBuf> = walk.files.iter().map(|file| file.path.clone()).collect();
    let total = creation.layout().total_len();
    let begun = clock::now();
    let mut progress = Progress::new(level, name);
    hash_pieces(creation.layout(), &paths, stop, |done| {
        progress.show(&Status::of_bytes(done, total, begun.elapsed()));
    })
}

fn write(path: &Path, bytes: &[u8], overwrite: bool) -> Result<(), Failure> {
    let failed = |error| Failure::disk("write", path, error);
    if overwrite {
        return fs::write(path, bytes).map_err(failed);
    }
    let mut file = File::create_new(path).map_err(failed)?;
    file.write_all(bytes).map_err(failed)
}

fn is_there(output: &Path) -> Failure {
    let what = format!("{} is there already", Escaped::path(output));
    Failure::new(Exit::Usage, what).remedy("Give --overwrite, or another name with --output.")
}

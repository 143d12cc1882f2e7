//! `verify`: hash what is there and tell, file by file, what of it is right. Nothing is changed.

mod hash;

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use ripcurrent_proto::meta::Torrent;
use ripcurrent_proto::meta::layout::{FileEntry, FileIndex, FileKind, PieceIndex};
use ripcurrent_proto::meta::parts::part_names;

use crate::args::VerifyArgs;
use crate::clock;
use crate::escape::Escaped;
use crate::exit::{Exit, Failure, Outcome};
use crate::json::{self, Event, FileState};
use crate::load;
use crate::progress::{Progress, Status};
use crate::say::{self, Level};
use crate::stop::Stop;
use crate::units::{Count, Rate, Size, Time};

use hash::{Data, Found};

/// Runs the command: what was found goes to stdout, a line for each file.
pub(crate) fn run(args: &VerifyArgs, level: Level) -> Outcome {
    let torrent = load::torrent(&args.torrent)?;
    let stop = Stop::on_signals()?;
    let begun = clock::now();
    let there = look_all(&torrent, &args.data)?;
    let paths: Vec<_> = there.iter().map(There::path).collect();
    let data = Data {
        torrent: &torrent,
        paths: &paths,
    };
    let judged = {
        let total = torrent.layout().total_len();
        let mut progress = Progress::new(level, torrent.name());
        data.judge(&stop, |done| {
            progress.show(&Status::of_bytes(done, total, begun.elapsed()));
        })?
    };
    let Some(pieces) = judged else {
        if level > Level::Quiet {
            say::line("interrupted: not everything was looked at");
        }
        return Ok(Exit::Interrupted);
    };
    let files = verdicts(&torrent, &there, &pieces);
    tell(&torrent, &files, &pieces)?;
    if level > Level::Quiet {
        let right = pieces.iter().filter(|piece| **piece == Found::Right);
        let (name, elapsed) = (Escaped(torrent.name()), begun.elapsed());
        let bytes = torrent.layout().total_len();
        say::line(format_args!(
            "{name}: {} of {} right, {} looked at in {} ({})",
            right.count(),
            Count(torrent.layout().pieces(), "piece"),
            Size(bytes),
            Time(elapsed),
            Rate::mean(bytes, elapsed)
        ));
    }
    conclude(args, &torrent, &files)
}

/// What is in the place of a file.
enum There {
    /// Nothing need be: padding.
    Padding,
    /// A file of the right length, or a link that leads where it should.
    Fit(PathBuf),
    /// A file of another length.
    Unfit(PathBuf),
    /// Nothing but a file that is being downloaded.
    Part(PathBuf),
    /// Something else than a file.
    Other,
    /// Nothing.
    Nothing,
}

impl There {
    fn path(&self) -> Option<PathBuf> {
        match self {
            There::Fit(path) | There::Unfit(path) | There::Part(path) => Some(path.clone()),
            There::Padding | There::Other | There::Nothing => None,
        }
    }
}

/// What was found of a file, padding left out.
struct Verdict<'a> {
    entry: &'a FileEntry,
    state: FileState,
    bytes_right: u64,
}

fn look_all(torrent: &Torrent, root: &Path) -> Result<Vec<There>, Failure> {
    if !root.is_dir() {
        let what = format!("{}: there is no such folder", Escaped::path(root));
        let remedy = "Name the folder that holds the data with --data.";
        return Err(Failure::new(Exit::Disk, what).remedy(remedy));
    }
    let layout = torrent.layout();
    let files = layout.files().iter().zip(part_names(layout));
    files
        .map(|(entry, part)| look(entry, &part, torrent.name(), root))
        .collect()
}

/// Looks for a file under its name, and under the name `part` that it has while it is downloaded.
fn look(entry: &FileEntry, part: &str, name: &str, root: &Path) -> Result<There, Failure> {
    let path = root.join(entry.path_string());
    match &entry.kind {
        FileKind::Pad => Ok(There::Padding),
        FileKind::Symlink { target } => {
            let target = target
                .iter()
                .fold(root.join(name), |at, part| at.join(part));
            Ok(look_at_link(path, &target))
        }
        FileKind::Regular { .. } => {
            if let Some(metadata) = metadata(&path)? {
                return Ok(There::file(path, &metadata, entry.len));
            }
            let part = path.with_file_name(part);
            match metadata(&part)? {
                Some(metadata) if metadata.is_file() => Ok(There::Part(part)),
                _ => Ok(There::Nothing),
            }
        }
    }
}

impl There {
    fn file(path: PathBuf, metadata: &Metadata, len: u64) -> Self {
        match metadata.is_file() {
            true if metadata.len() == len => There::Fit(path),
            true => There::Unfit(path),
            false => There::Other,
        }
    }
}

fn look_at_link(path: PathBuf, target: &Path) -> There {
    let Ok(points_to) = fs::read_link(&path) else {
        return if path.symlink_metadata().is_ok() {
            There::Other
        } else {
            There::Nothing
        };
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    let leads_there = match (folder.join(points_to).canonicalize(), target.canonicalize()) {
        (Ok(to), Ok(target)) => to == target,
        // What it should lead to is not there, and is told of itself.
        (_, Err(_)) => true,
        (Err(_), Ok(_)) => false,
    };
    if leads_there {
        There::Fit(path)
    } else {
        There::Other
    }
}

fn metadata(path: &Path) -> Result<Option<Metadata>, Failure> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if is_nothing(&error) => Ok(None),
        Err(error) => Err(Failure::disk("read", path, error)),
    }
}

fn is_nothing(error: &io::Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind())
}

fn verdicts<'a>(torrent: &'a Torrent, there: &[There], pieces: &[Found]) -> Vec<Verdict<'a>> {
    let layout = torrent.layout();
    let files = (0..).map(FileIndex).zip(layout.files()).zip(there);
    let files = files.filter(|((_, entry), _)| !entry.is_pad());
    files
        .map(|((index, entry), there)| {
            let its = layout.pieces_of(index);
            let (mut bytes_right, mut is_wrong) = (0, false);
            for piece in its {
                match pieces[piece as usize] {
                    Found::Right => {
                        let start = u64::from(piece) * u64::from(layout.piece_length());
                        let end = start + u64::from(layout.piece_len(PieceIndex(piece)));
                        bytes_right += end.min(entry.offset + entry.len) - start.max(entry.offset);
                    }
                    Found::Wrong => is_wrong = true,
                    Found::Absent => {}
                }
            }
            let state = match there {
                There::Nothing => FileState::Missing,
                There::Part(_) => FileState::Part,
                There::Other | There::Unfit(_) => FileState::Wrong,
                There::Fit(_) | There::Padding if is_wrong => FileState::Wrong,
                There::Fit(_) | There::Padding if bytes_right < entry.len => FileState::Unproven,
                There::Fit(_) | There::Padding => FileState::Right,
            };
            Verdict {
                entry,
                state,
                bytes_right,
            }
        })
        .collect()
}

fn tell(torrent: &Torrent, files: &[Verdict<'_>], pieces: &[Found]) -> Result<(), Failure> {
    if !json::is_on() {
        return say::data(listing(files));
    }
    let id = load::id(torrent);
    for file in files {
        json::emit(&Event::File {
            torrent: &id,
            path: &file.entry.path_string(),
            size: file.entry.len,
            state: file.state,
            bytes_right: file.bytes_right,
        });
    }
    let right = pieces.iter().filter(|piece| **piece == Found::Right);
    json::emit(&Event::Verified {
        torrent: &id,
        files: files.len(),
        files_right: count_right(files),
        pieces: torrent.layout().pieces(),
        pieces_right: right.count() as u32,
    });
    Ok(())
}

/// A line for each file.
fn listing(files: &[Verdict<'_>]) -> String {
    let line = |file: &Verdict<'_>| {
        let (size, path) = (Size(file.entry.len), file.entry.path_string());
        let right = Size(file.bytes_right);
        let remark = match file.state {
            FileState::Right | FileState::Missing => String::new(),
            FileState::Part => format!(": a download in progress, {right} right"),
            FileState::Unproven => {
                format!(": {right} right, the rest shares pieces with what is missing")
            }
            FileState::Wrong => format!(": {right} right"),
        };
        let state = word(file.state);
        format!("{state:<8} {size:>9}  {}{remark}\n", Escaped(&path))
    };
    files.iter().map(line).collect()
}

fn word(state: FileState) -> &'static str {
    match state {
        FileState::Right => "right",
        FileState::Part => "part",
        FileState::Unproven => "unproven",
        FileState::Wrong => "wrong",
        FileState::Missing => "missing",
    }
}

fn count_right(files: &[Verdict<'_>]) -> usize {
    let right = files.iter().filter(|file| file.state == FileState::Right);
    right.count()
}

fn conclude(args: &VerifyArgs, torrent: &Torrent, files: &[Verdict<'_>]) -> Outcome {
    let wrong = files.len() - count_right(files);
    if wrong == 0 {
        return Ok(Exit::Done);
    }
    let name = Escaped(torrent.name());
    let all = Count(files.len() as u64, "file");
    let failure = Failure::new(
        Exit::CheckFailed,
        format!("{name}: {wrong} of {all} not right"),
    );
    let nothing = files.iter().all(|file| file.state == FileState::Missing);
    Err(if nothing {
        let data = Escaped::path(&args.data);
        failure.remedy(format!(
            "Nothing of it is in {data}: name the folder that holds it with --data."
        ))
    } else {
        failure.remedy("`ripcurrent download` with the same folder as --output fetches the rest.")
    })
}

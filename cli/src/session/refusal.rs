//! What a disk refused, in words: the file with its whole path, why, and what to do next.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ripcurrent_proto::api::{DiskError, IoErrorKind};
use ripcurrent_proto::meta::parts::part_names;

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::outline::Outline;

/// The path that `error` is about: a file of the torrent, or what it has in `root`.
pub(crate) fn path_of(torrent: &Outline, root: &Path, error: DiskError) -> PathBuf {
    let layout = torrent.layout();
    let file = error.file.and_then(|file| {
        let part = part_names(layout).into_iter().nth(file.at())?;
        Some((layout.files().get(file.at())?, part))
    });
    let mut path = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
    match file {
        Some((file, part)) => {
            path.extend(&file.path);
            // Where it is still incomplete it has another name.
            let unfinished = path.with_file_name(part);
            if unfinished.exists() && !path.exists() {
                path = unfinished;
            }
        }
        None if error.error.kind == IoErrorKind::InUse => path.push(torrent.name()),
        None => {}
    }
    path
}

/// Why the system refused, as it says it.
pub(crate) fn cause(error: DiskError) -> io::Error {
    match (error.error.kind, error.error.code) {
        (IoErrorKind::InUse, _) | (_, 0) => io::Error::other(error.error.kind.to_string()),
        (_, code) => io::Error::from_raw_os_error(code),
    }
}

/// The end of a torrent to which the disk refused `action`.
pub(super) fn failure(torrent: &Outline, root: &Path, action: &str, error: DiskError) -> Failure {
    let path = path_of(torrent, root, error);
    let failure = |cause| Failure::disk(action, &path, cause);
    match error.error.kind {
        IoErrorKind::InUse => in_use(&path, error.error.code),
        IoErrorKind::InTheWay => failure(cause(error))
            .remedy("Move it away; --overwrite replaces files that hold nothing of the torrent."),
        IoErrorKind::NoSpace => failure(cause(error))
            .remedy("Make room, or choose another folder; the same command goes on from there."),
        IoErrorKind::ReadOnly => {
            failure(cause(error)).remedy("Choose a folder on a disk that can be written.")
        }
        IoErrorKind::Other | IoErrorKind::TooShort => failure(cause(error)).remedy(
            "Check the disk (`dmesg` tells of faults); the same command goes on from there.",
        ),
        _ => failure(cause(error)),
    }
}

fn in_use(path: &Path, process: i32) -> Failure {
    let path = Escaped::path(path);
    let what = match (process, name_of(process)) {
        (0, _) => format!("{path} is being worked on by another process"),
        (pid, None) => format!("{path} is being worked on by process {pid}"),
        (pid, Some(name)) => {
            let name = Escaped(&name);
            format!("{path} is being worked on by process {pid} ({name})")
        }
    };
    Failure::new(Exit::Disk, what).remedy("Wait until it is done, or end it, and try again.")
}

fn name_of(process: i32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ripcurrent_proto::api::IoError;
    use ripcurrent_proto::meta::Torrent;
    use ripcurrent_proto::meta::create::{Content, Creation};
    use ripcurrent_proto::meta::layout::FileIndex;

    fn said(action: &str, file: Option<FileIndex>, kind: IoErrorKind, code: i32) -> String {
        let content = Content::File {
            len: 1,
            executable: false,
        };
        let creation = Creation::new("film", content, None).unwrap();
        let bytes = creation.finish(&[[0; 20]]).unwrap();
        let torrent = Torrent::parse(bytes.into()).unwrap();
        let error = DiskError {
            file,
            error: IoError { kind, code },
        };
        let outline = Outline::new(&torrent, None);
        failure(&outline, Path::new("/data"), action, error).to_string()
    }

    /// The process that holds a torrent is named, also where nothing is known of it but its number.
    #[test]
    fn who_holds_a_torrent_is_named() {
        let pid = std::process::id() as i32;
        let comm = fs::read_to_string("/proc/self/comm").unwrap();
        let text = said("open", None, IoErrorKind::InUse, pid);
        assert!(text.contains(&format!("process {pid} ({})", comm.trim_end())));
        assert!(text.starts_with("/data/film is"), "{text}");
        let text = said("open", None, IoErrorKind::InUse, i32::MAX);
        assert!(text.contains(&format!("process {}.", i32::MAX)), "{text}");
        let text = said("open", None, IoErrorKind::InUse, 0);
        assert!(text.contains("another process"), "{text}");
    }

    /// The file, the system's reason and the next step stand in one line.
    #[test]
    fn a_refusal_names_file_reason_and_remedy() {
        let file = Some(FileIndex(0));
        let text = said("write", file, IoErrorKind::NoSpace, 28);
        assert!(
            text.starts_with("cannot write /data/film: No space left"),
            "{text}"
        );
        assert!(text.ends_with("goes on from there."), "{text}");
        let text = said("create", file, IoErrorKind::InTheWay, 0);
        assert!(text.contains("--overwrite"), "{text}");
    }
}

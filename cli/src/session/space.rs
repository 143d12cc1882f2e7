//! Whether there is room for what is to come, before anything is fetched.
//!
//! An estimate, on the safe side only as far as it is certain: what changes later is the engine's
//! to find out, and it waits as well.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ripcurrent_proto::api::Mode;
use ripcurrent_proto::meta::layout::{FileEntry, FileKind, Layout, PieceIndex};
use ripcurrent_proto::meta::parts::part_names;
use rustix::fs::{SeekFrom, seek, statvfs};

use super::Job;

/// The bytes of a block in `stat`, whatever the file system's own are.
const STAT_BLOCK: u64 = 512;

/// A file system with too little room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    /// The folder that is to be written to.
    pub(super) folder: PathBuf,
    /// Bytes that are still to be written there.
    pub(super) need: u64,
    /// Bytes that are free.
    pub(super) free: u64,
}

/// What a file of so many bytes has still to take, under its name while it is incomplete or under its
/// own.
type Measure = fn(&Path, &Path, u64) -> u64;

/// A file system, as far as it can be seen.
struct Volume {
    device: u64,
    free: u64,
}

/// Finds out whether what `job` lacks fits beside what `others` lack that have begun.
pub(super) fn look<'a>(job: &'a Job, others: impl Iterator<Item = &'a Job>) -> Result<(), Lack> {
    let Some(volume) = Volume::of(job.root()) else {
        return Ok(());
    };
    let same = others.filter(|other| {
        Volume::of(other.root()).is_some_and(|other| other.device == volume.device)
    });
    let jobs: Vec<&Job> = same.chain([job]).collect();
    let need_by = |measure: Measure| -> u64 { jobs.iter().map(|job| missing(job, measure)).sum() };
    let free = volume.free;
    // Counting holes takes a walk through them, so only where it matters.
    if missing(job, by_blocks) == 0 || need_by(by_blocks) <= free {
        return Ok(());
    }
    match need_by(by_holes) {
        need if missing(job, by_holes) > 0 && need > free => Err(Lack {
            folder: std::path::absolute(job.root()).unwrap_or_else(|_| job.root().into()),
            need,
            free,
        }),
        _ => Ok(()),
    }
}

impl Volume {
    /// The one that `folder` lies on, or will; `None` where nobody can tell.
    fn of(folder: &Path) -> Option<Self> {
        let folder = std::path::absolute(folder).ok()?;
        let there = folder.ancestors().find(|above| above.exists())?;
        let device = there.metadata().ok()?.dev();
        let volume = statvfs(there).ok()?;
        // Some file systems of programs tell nothing of their size.
        (volume.f_blocks > 0).then(|| Volume {
            device,
            free: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }
}

/// The bytes that the files of `job` have still to take, as `measure` sees each.
fn missing(job: &Job, measure: Measure) -> u64 {
    if job.mode == Mode::Seed {
        return 0;
    }
    let layout = job.outline.layout();
    // Those of one folder come together; where there is none, nothing is there.
    let (mut folder, mut is_there) = (PathBuf::new(), false);
    let wanted = |(index, (file, part)): (usize, (&FileEntry, String))| {
        let bytes = wanted_bytes(job, layout, index, file);
        if bytes == 0 {
            return 0;
        }
        let mut path = job.root().to_path_buf();
        path.extend(&file.path);
        if let Some(above) = path.parent().filter(|above| *above != folder) {
            (folder, is_there) = (above.into(), above.is_dir());
        }
        if !is_there {
            return bytes;
        }
        // A file whose half is wanted may have the other half.
        measure(&path.with_file_name(part), &path, file.len).min(bytes)
    };
    let files = layout.files().iter().zip(part_names(layout));
    files.enumerate().map(wanted).sum()
}

fn wanted_bytes(job: &Job, layout: &Layout, index: usize, file: &FileEntry) -> u64 {
    let is_data = matches!(file.kind, FileKind::Regular { .. });
    let is_unwanted = job
        .files
        .as_ref()
        .is_some_and(|files| !files.contains(index));
    if !is_data || is_unwanted {
        return 0;
    }
    let Some(pieces) = &job.wanted else {
        return file.len;
    };
    let length = u64::from(layout.piece_length());
    let (begin, end) = (file.offset, file.offset + file.len);
    let of_piece = |piece: u64| {
        let from = (piece * length).max(begin);
        let len = u64::from(layout.piece_len(PieceIndex(piece as u32)));
        (piece * length + len).min(end).saturating_sub(from)
    };
    let covered = begin / length..end.div_ceil(length);
    covered
        .filter(|piece| pieces.contains(*piece as usize))
        .map(of_piece)
        .sum()
}

/// What a file of `len` bytes lacks by the blocks that it has: too much where the file system
/// compresses.
fn by_blocks(part: &Path, own: &Path, len: u64) -> u64 {
    let has = |path: &Path| {
        let metadata = path.metadata().ok().filter(|there| there.is_file())?;
        Some(metadata.blocks().saturating_mul(STAT_BLOCK))
    };
    let has = has(part).or_else(|| has(own));
    len.saturating_sub(has.unwrap_or(0))
}

/// What it lacks by its holes and its end, if that is less: too much where blocks are allocated and
/// not written.
fn by_holes(part: &Path, own: &Path, len: u64) -> u64 {
    let lacking = by_blocks(part, own, len);
    let file = File::open(part).or_else(|_| File::open(own));
    match file.ok().and_then(|file| data_in(&file, len)) {
        Some(data) => lacking.min(len - data),
        None => lacking,
    }
}

/// The bytes of `file` before `len` that are in no hole.
fn data_in(file: &File, len: u64) -> Option<u64> {
    let end = file.metadata().ok()?.len().min(len);
    let (mut data, mut at) = (0, 0);
    while at < end {
        let Ok(from) = seek(file, SeekFrom::Data(at)) else {
            // Behind the last data there is only a hole.
            break;
        };
        let to = seek(file, SeekFrom::Hole(from)).ok()?.max(from + 1);
        data += to.min(end).saturating_sub(from.min(end));
        at = to;
    }
    Some(data)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::jobs::Item;
    use crate::session::root_of;
    use ripcurrent_proto::base::bits::Bitfield;
    use ripcurrent_proto::meta::Torrent;
    use ripcurrent_proto::meta::create::{Content, Creation};
    use std::os::unix::fs::FileExt;

    const LEN: u64 = 1 << 20;

    fn job(root: &Path, len: u64) -> Job {
        let content = Content::File {
            len,
            executable: false,
        };
        let creation = Creation::new("film", content, Some(1 << 18)).unwrap();
        let pieces = vec![[0; 20]; creation.layout().pieces() as usize];
        let bytes = creation.finish(&pieces).unwrap();
        let torrent = Arc::new(Torrent::parse(bytes.into()).unwrap());
        Job::new(Item::made(torrent), root_of(root).unwrap(), Mode::Download)
    }

    /// What is written already needs no room, in a sparse file no more than its holes; a folder that
    /// is not there yet needs room for everything; to serve needs none.
    #[test]
    fn only_what_is_missing_needs_room() {
        let dir = tempfile::tempdir().unwrap();
        let mut job = job(dir.path(), LEN);
        let lacks = |job: &Job| [missing(job, by_blocks), missing(job, by_holes)];
        assert_eq!(lacks(&job), [LEN; 2]);
        let part = File::create(dir.path().join("film.part")).unwrap();
        part.set_len(LEN).unwrap();
        part.write_all_at(&vec![1; 1 << 18], 1 << 19).unwrap();
        assert_eq!(lacks(&job), [LEN * 3 / 4; 2]);
        let mut pieces = Bitfield::new(4);
        pieces.insert(2);
        pieces.insert(3);
        job.wanted = Some(pieces);
        assert_eq!(lacks(&job), [LEN / 2; 2]);
        job.files = Some(Bitfield::new(1));
        assert_eq!(lacks(&job), [0; 2]);
        (job.wanted, job.files) = (None, None);
        job.root = root_of(&dir.path().join("new/folder")).unwrap();
        assert_eq!(lacks(&job), [LEN; 2]);
        job.mode = Mode::Seed;
        assert_eq!(lacks(&job), [0; 2]);
    }

    /// Torrents on one file system are added up, and the lack names the folder and both sizes.
    #[test]
    fn torrents_share_the_room() {
        let dir = tempfile::tempdir().unwrap();
        let free = Volume::of(dir.path()).unwrap().free;
        let piece = u64::from(u32::MAX);
        let half = job(dir.path(), (free / 3 * 2).min(piece));
        assert_eq!(look(&half, [].into_iter()), Ok(()));
        let others: Vec<Job> = (0..=free / half.outline.layout().total_len())
            .map(|at| {
                job(
                    &dir.path().join(at.to_string()),
                    half.outline.layout().total_len(),
                )
            })
            .collect();
        let lack = look(&half, others.iter()).unwrap_err();
        assert_eq!(lack.folder, dir.path());
        assert!(lack.need > lack.free, "{lack:?}");
    }
}

//! The folder a demonstration works in, and the data in it. Gone when the demonstration ends,
//! however it ends (but for a second Ctrl-C).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use ripcurrent_proto::base::rng::Rng;

use crate::escape::Escaped;
use crate::exit::{Exit, Failure};
use crate::say;
use crate::stop::Stop;
use crate::units::Size;

/// Bytes made or compared in one step.
const STEP: usize = 1 << 20;
/// Room for the torrent file and what the file system needs, in bytes.
const SLACK: u64 = 16 << 20;

/// A folder of our own.
#[derive(Debug)]
pub(crate) struct Room(PathBuf);

impl Room {
    /// Makes the folder below `dir`, in which there must be room for `size` bytes twice.
    pub(crate) fn make(dir: &Path, size: u64) -> Result<Self, Failure> {
        let read = |error: rustix::io::Errno| Failure::disk("use", dir, error.into());
        let volume = rustix::fs::statvfs(dir).map_err(read)?;
        let free = volume.f_bavail.saturating_mul(volume.f_frsize);
        let need = size.saturating_mul(2).saturating_add(SLACK);
        if free < need {
            let (dir, need, free) = (Escaped::path(dir), Size(need), Size(free));
            let what = format!("{dir} has room for {free}, but {need} are needed for a while");
            return Err(
                Failure::new(Exit::Disk, what).remedy("Choose another --dir or a smaller --size.")
            );
        }
        let path = dir.join(format!("ripcurrent-demo-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| Failure::disk("create", &path, error))?;
        Ok(Room(path))
    }

    /// A path in the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            say::line(Failure::disk("remove", &self.0, error));
        }
    }
}

/// Fills a new file at `path` with `size` random bytes; whether it was not stopped. `progress` is
/// told the bytes made so far.
pub(crate) fn fill(
    path: &Path,
    size: u64,
    rng: &mut Rng,
    stop: &Stop,
    mut progress: impl FnMut(u64),
) -> Result<bool, Failure> {
    let write = |error| Failure::disk("write", path, error);
    let mut file = File::create_new(path).map_err(write)?;
    let mut step = vec![0; STEP];
    let mut done = 0;
    while done < size {
        if stop.is_asked() {
            return Ok(false);
        }
        let step = &mut step[..(size - done).min(STEP as u64) as usize];
        rng.fill(step);
        file.write_all(step).map_err(write)?;
        done += step.len() as u64;
        progress(done);
    }
    Ok(true)
}

/// How two files compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Every byte is the same.
    Same,
    /// They first differ at this byte, counted from 0.
    DifferAt(u64),
    /// Somebody asked to stop before the end.
    Stopped,
}

/// Compares two files. `progress` is told the bytes compared so far.
pub(crate) fn compare(
    one: &Path,
    other: &Path,
    stop: &Stop,
    mut progress: impl FnMut(u64),
) -> Result<Comparison, Failure> {
    let open = |path: &Path| File::open(path).map_err(|error| Failure::disk("read", path, error));
    let (mut one_file, mut other_file) = (open(one)?, open(other)?);
    let (mut one_step, mut other_step) = (vec![0; STEP], vec![0; STEP]);
    let mut offset = 0;
    loop {
        if stop.is_asked() {
            return Ok(Comparison::Stopped);
        }
        let one_len = read_full(&mut one_file, &mut one_step)
            .map_err(|error| Failure::disk("read", one, error))?;
        let other_len = read_full(&mut other_file, &mut other_step)
            .map_err(|error| Failure::disk("read", other, error))?;
        let (one_read, other_read) = (&one_step[..one_len], &other_step[..other_len]);
        // Whole steps first: byte by byte takes a debug build minutes for a GiB.
        if one_read != other_read {
            let both = one_read.iter().zip(other_read);
            let same = both.take_while(|(a, b)| a == b).count();
            return Ok(Comparison::DifferAt(offset + same as u64));
        }
        offset += one_len as u64;
        progress(offset);
        if one_len < STEP {
            return Ok(Comparison::Same);
        }
    }
}

/// Reads until `buffer` is full or the file ends; the bytes read.
fn read_full(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One byte changed, dropped or added anywhere is found at its place.
    #[test]
    fn differences_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        let mut rng = Rng::from_seed([1; 32]);
        assert!(fill(&one, 3 << 20, &mut rng, &Stop::default(), |_| {}).unwrap());
        let good = fs::read(&one).unwrap();
        assert_eq!(good.len(), 3 << 20);
        let difference = |bytes: &[u8]| {
            fs::write(&other, bytes).unwrap();
            compare(&one, &other, &Stop::default(), |_| {}).unwrap()
        };
        assert_eq!(difference(&good), Comparison::Same);
        let mut bad = good.clone();
        bad[(2 << 20) + 5] ^= 1;
        assert_eq!(difference(&bad), Comparison::DifferAt((2 << 20) + 5));
        let shorter = &good[..good.len() - 1];
        assert_eq!(difference(shorter), Comparison::DifferAt((3 << 20) - 1));
        bad.clone_from(&good);
        bad.push(0);
        assert_eq!(difference(&bad), Comparison::DifferAt(3 << 20));
    }

    /// The folder is gone with its content, and too little room is said before anything is made.
    #[test]
    fn a_room_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let room = Room::make(dir.path(), 1000).unwrap();
        fs::write(room.join("file"), "x").unwrap();
        drop(room);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(
            Room::make(dir.path(), 1 << 60).unwrap_err().exit(),
            Exit::Disk
        );
    }

    /// Asked to stop, filling and comparing stop in the middle.
    #[test]
    fn filling_and_comparing_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let stop = Stop::default();
        let path = dir.path().join("file");
        let mut rng = Rng::from_seed([1; 32]);
        let whole = fill(&path, 1 << 40, &mut rng, &stop, |_| stop.ask()).unwrap();
        assert!(!whole);
        assert_eq!(fs::metadata(&path).unwrap().len(), STEP as u64);
        let mut steps = 0;
        let stop = Stop::default();
        let compared = compare(&path, &path, &stop, |_| {
            steps += 1;
            stop.ask();
        });
        assert_eq!((compared.unwrap(), steps), (Comparison::Stopped, 1));
    }
}

//! The most memory a transfer takes, as a sum that can be read.
//!
//! Whatever grows has its line: what the engine adds up itself, and what our host, the files of the
//! torrents and the program take around it.

use std::fmt;

use ripcurrent_proto::api::Config;
use ripcurrent_proto::engine::{ANNOUNCES_MAX, MemoryCeiling};
use ripcurrent_runtime_uring::BackendName;

use crate::outline::Outline;
use crate::session::{Job, is_crowd};
use crate::units::Size;

/// What carries out for one connection, in bytes: its futures, its place in the ring or in the
/// runtime, and its part of what is announced to the machine.
const HANDS: u64 = 8 << 10;
/// A protected connection to a tracker, in bytes: 144 KiB, as `runtime-uring/src/tls.rs` adds them
/// up, and the keys and certificates of the far end.
const PROTECTED: u64 = (144 + 64) << 10;
/// The roots of trust, as they are read and understood, in bytes.
const ROOTS: u64 = 2 << 20;
/// A file of a torrent, in bytes: its entry, its names finished and unfinished, what was found of it,
/// and the tokens it is read from.
const FILE: u64 = 2 << 10;
/// Code as far as it is used, the stacks of threads, what the terminal is shown, and what the
/// allocator cannot give back, in bytes.
const PROGRAM: u64 = 24 << 20;

/// The sum, its terms shown by `Display`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    torrents: u64,
    program: u64,
    torrent_files: u64,
    receiving: u64,
    mapped: u64,
    protected: u64,
    engine: MemoryCeiling,
}

impl Memory {
    /// Of an engine with these settings on our host, at work on these torrents.
    pub(crate) fn of(config: &Config, backend: BackendName, jobs: &[Job]) -> Self {
        let layouts: Vec<_> = jobs.iter().map(|job| &**job.outline.layout()).collect();
        let count = jobs.len() as u64;
        // Trackers are dialled however many connections there are.
        let announces = ANNOUNCES_MAX as u64;
        let connections = config.max_connections as u64 + count.min(announces);
        // Any of them may turn out to be protected, by a redirection for example.
        let is_announced = |job: &&Job| job.outline.has_trackers();
        let announced = jobs.iter().filter(is_announced).count() as u64;
        let announced = announced.min(announces);
        Memory {
            torrents: count,
            program: PROGRAM,
            torrent_files: jobs.iter().map(|job| torrent_file(&job.outline)).sum(),
            receiving: backend.receive_bytes(connections) + connections * HANDS,
            mapped: backend.mapped_bytes(),
            protected: announced.min(1) * ROOTS + announced * PROTECTED,
            engine: config.memory_ceiling(&layouts),
        }
    }

    /// The whole sum in bytes.
    pub(crate) fn total(self) -> u64 {
        let around = self.around().map(|(_, bytes)| bytes);
        around.iter().sum::<u64>() + self.engine.total()
    }

    /// What torrents take apart from what they share, all together, in bytes.
    fn of_torrents(self) -> u64 {
        self.torrent_files + self.engine.torrents
    }

    /// The terms that are not the engine's, with what they are for.
    fn around(self) -> [(&'static str, u64); 5] {
        [
            ("for the program", self.program),
            ("of torrent files", self.torrent_files),
            ("to receive into", self.receiving),
            ("of files to be sent", self.mapped),
            ("to speak TLS", self.protected),
        ]
    }
}

/// What a torrent takes as it was read and understood: all that describes it is kept, and the longest
/// part, the hashes of its pieces, may be there once more while it is read or recorded.
fn torrent_file(torrent: &Outline) -> u64 {
    let files = torrent.layout().files().len() as u64;
    4 * (torrent.info_len + torrent.trackers_len) as u64 + files * FILE
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory: ")?;
        for (what, bytes) in self.around() {
            write!(f, "{} {what} + ", Size(bytes))?;
        }
        for (at, (name, bytes)) in self.engine.terms().into_iter().enumerate() {
            let sign = if at == 0 { "" } else { " + " };
            write!(f, "{sign}{} of {name}", Size(bytes))?;
        }
        if !is_crowd(self.torrents as usize) {
            return write!(f, " = {} at most", Size(self.total()));
        }
        // Of many few are ever at work together.
        let (shared, each) = (
            self.total() - self.of_torrents(),
            self.of_torrents() / self.torrents,
        );
        write!(
            f,
            ": at most {} for all, and {} for each torrent that is at work",
            Size(shared),
            Size(each)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::Item;
    use ripcurrent_proto::api::Mode;
    use ripcurrent_proto::meta::Torrent;
    use ripcurrent_proto::meta::create::{Content, Creation};
    use std::sync::Arc;

    fn job(tracker: bool) -> Job {
        let content = Content::File {
            len: 5,
            executable: false,
        };
        let mut creation = Creation::new("a", content, Some(1 << 20)).unwrap();
        if tracker {
            let tier = vec!["http://tracker.example/announce".into()];
            creation.set_trackers(&[tier]).unwrap();
        }
        let bytes = creation.finish(&[[0; 20]]).unwrap();
        let torrent = Arc::new(Torrent::parse(bytes.into()).unwrap());
        Job::new(Item::made(torrent), "/d".into(), Mode::Download)
    }

    /// The line tells every term and their sum.
    #[test]
    fn the_sum_is_that_of_its_terms() {
        let config = Config {
            max_connections: 82,
            ..Config::default()
        };
        let jobs = [job(false)];
        let outline = &jobs[0].outline;
        let memory = Memory::of(&config, BackendName::Epoll, &jobs);
        let engine = config.memory_ceiling(&[&**outline.layout()]).total();
        let receiving = 83 * (136 << 10) + (4608 << 10);
        let around = (24 << 20) + torrent_file(outline) + receiving;
        assert_eq!(memory.total(), engine + around);
        let shared = Memory::of(&config, BackendName::Uring, &jobs);
        assert_eq!(shared.receiving, (4 << 20) + 83 * (8 << 10));
        assert_eq!(shared.mapped, BackendName::Uring.mapped_bytes());
        let line = memory.to_string();
        let begin = "memory: 24 MiB for the program + ";
        assert!(line.starts_with(begin), "{line}");
        assert!(
            line.contains(
                " to receive into + 0 B of files to be sent + 0 B to speak TLS + 64 MiB of slabs + "
            ),
            "{line}"
        );
        let end = format!(" = {} at most", Size(memory.total()));
        assert!(line.ends_with(&end), "{line}");
    }

    /// Of many torrents the sum of all that each could take says nothing: what they share is told, and
    /// what one takes.
    #[test]
    fn many_torrents_are_not_added_up() {
        let jobs: Vec<Job> = (0..1000).map(|_| job(true)).collect();
        let memory = Memory::of(&Config::default(), BackendName::Uring, &jobs);
        assert_eq!(memory.protected, ROOTS + ANNOUNCES_MAX as u64 * PROTECTED);
        let (shared, each) = (
            memory.total() - memory.of_torrents(),
            memory.of_torrents() / 1000,
        );
        let line = memory.to_string();
        let end = format!(
            ": at most {} for all, and {} for each torrent that is at work",
            Size(shared),
            Size(each)
        );
        assert!(line.ends_with(&end), "{line}");
        assert!(shared < 1 << 30 && each < 64 << 20, "{line}");
    }

    /// Every torrent adds what it takes, and only those that are announced a protected connection.
    #[test]
    fn each_torrent_has_its_share() {
        let of = |jobs: &[Job]| Memory::of(&Config::default(), BackendName::TokioUring, jobs);
        let jobs = [job(false), job(true)];
        let (one, two) = (of(&jobs[..1]), of(&jobs));
        assert_eq!(one.protected, 0);
        assert_eq!(two.protected, ROOTS + PROTECTED);
        assert_eq!(two.receiving - one.receiving, (128 << 10) + HANDS);
        let [alone, file] = [0, 1].map(|at: usize| torrent_file(&jobs[at].outline));
        assert!(file > alone);
        assert_eq!(two.torrent_files - one.torrent_files, file);
    }
}

//! Open files, the least recently used closed first.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::direct::Direct;
use super::lend::Windows;
use super::system::is_in_memory;
use crate::pool::lock;

/// A file: the number of its storage, and its index there.
pub(super) type Key = (u64, u32);

/// The index of what a storage keeps aside.
pub(super) const ASIDE: u32 = u32::MAX;

/// An open file and what was done to it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    /// See [`is_unfinished`](Self::is_unfinished).
    unfinished: AtomicBool,
    /// See [`is_in_memory`](Self::is_in_memory); nobody has asked yet.
    in_memory: OnceLock<bool>,
    /// For what need not be in the page cache.
    pub(super) direct: Option<Direct>,
}

impl Open {
    /// A file that is there, to be read or, if it is `unfinished`, to be written to.
    pub(super) fn new(file: File, unfinished: bool) -> Self {
        Open {
            file,
            unfinished: AtomicBool::new(unfinished),
            in_memory: OnceLock::new(),
            direct: None,
        }
    }

    /// Whether it is an unfinished file that can be written to and has its full length, or gets it
    /// by the write that opened it.
    pub(super) fn is_unfinished(&self) -> bool {
        self.unfinished.load(Ordering::Acquire)
    }

    /// Whether its file system keeps it in memory and nowhere else: reading it is copying.
    pub(super) fn is_in_memory(&self) -> bool {
        *self.in_memory.get_or_init(|| is_in_memory(&self.file))
    }

    fn descriptors(&self) -> usize {
        1 + usize::from(self.direct.is_some())
    }
}

/// Files that stay open between operations, of all storages together.
///
/// Invariant: `by_use` and `files` hold the same keys; the descriptors of `files`, counted in
/// `descriptors`, and those `held` are `most` at most, but one file may always be open.
pub(super) struct OpenFiles {
    most: usize,
    state: Mutex<State>,
    /// Parts of them that are mapped.
    pub(super) windows: Windows,
}

#[derive(Default)]
struct State {
    files: BTreeMap<Key, (u64, Arc<Open>)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    descriptors: usize,
    /// Descriptors that are held otherwise and count as well.
    held: usize,
}

impl OpenFiles {
    pub(super) fn new(most: usize) -> Self {
        OpenFiles {
            most: most.max(1),
            state: Mutex::default(),
            windows: Windows::default(),
        }
    }

    /// The file, if it is open.
    pub(super) fn get(&self, key: Key) -> Option<Arc<Open>> {
        let state = &mut *lock(&self.state);
        let (used, open) = state.files.get_mut(&key)?;
        state.by_use.remove(used);
        state.uses += 1;
        *used = state.uses;
        state.by_use.insert(state.uses, key);
        Some(Arc::clone(open))
    }

    /// Keeps the file open, in place of an older descriptor of it.
    pub(super) fn put(&self, key: Key, open: Open) -> Arc<Open> {
        let open = Arc::new(open);
        let mut closed = Vec::new();
        let mut state = lock(&self.state);
        state.uses += 1;
        let used = state.uses;
        closed.extend(state.remove(key));
        state.descriptors += open.descriptors();
        state.files.insert(key, (used, Arc::clone(&open)));
        state.by_use.insert(used, key);
        closed.extend(state.remove_surplus(self.most));
        drop(state);
        self.close(closed);
        open
    }

    /// Counts descriptors that are held otherwise.
    pub(super) fn hold(&self, count: usize) {
        let mut state = lock(&self.state);
        state.held += count;
        let closed = state.remove_surplus(self.most);
        drop(state);
        self.close(closed);
    }

    /// Counts them no more.
    pub(super) fn let_go(&self, count: usize) {
        lock(&self.state).held -= count;
    }

    /// The file has got its own name: it stays open to be read. What was open to write past the page
    /// cache is closed.
    pub(super) fn finished(&self, key: Key) {
        let mut state = lock(&self.state);
        let Some((_, open)) = state.files.get(&key) else {
            return;
        };
        open.unfinished.store(false, Ordering::Release);
        let closed = match open.direct {
            Some(_) => state.remove(key),
            None => None,
        };
        drop(state);
        self.close(closed);
    }

    /// Closes one file.
    pub(super) fn forget_one(&self, key: Key) {
        let mut state = lock(&self.state);
        let closed = state.remove(key);
        drop(state);
        self.close(closed);
    }

    /// Closes the files of a storage.
    pub(super) fn forget(&self, storage: u64) {
        let mut state = lock(&self.state);
        let keys: Vec<Key> = state
            .files
            .range((storage, 0)..=(storage, u32::MAX))
            .map(|(key, _)| *key)
            .collect();
        let mut closed = Vec::new();
        for key in keys {
            closed.extend(state.remove(key));
        }
        drop(state);
        self.close(closed);
    }

    /// Closes files; it may take its time, so not under the lock.
    fn close(&self, closed: impl IntoIterator<Item = Arc<Open>>) {
        let mut closed = closed.into_iter().peekable();
        if closed.peek().is_some() {
            closed.for_each(drop);
            self.windows.prune();
        }
    }
}

impl State {
    fn remove(&mut self, key: Key) -> Option<Arc<Open>> {
        let (used, open) = self.files.remove(&key)?;
        self.by_use.remove(&used);
        self.descriptors -= open.descriptors();
        Some(open)
    }

    /// Takes out what was used longest ago, of more than there may be.
    fn remove_surplus(&mut self, most: usize) -> Vec<Arc<Open>> {
        let most = most.saturating_sub(self.held);
        let mut surplus = Vec::new();
        while self.files.len() > 1 && self.descriptors > most {
            let oldest = self.by_use.first_key_value().map(|(_, key)| *key);
            surplus.extend(oldest.and_then(|key| self.remove(key)));
        }
        surplus
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::super::paths::open_folder;
    use super::*;

    fn open() -> Open {
        Open::new(File::open("/dev/null").unwrap(), false)
    }

    /// The file used longest ago is closed when there are too many.
    #[test]
    fn the_least_recently_used_goes_first() {
        let files = OpenFiles::new(2);
        files.put((1, 0), open());
        files.put((1, 1), open());
        assert!(files.get((1, 0)).is_some());
        files.put((2, 0), open());
        let there = [(1, 0), (1, 1), (2, 0)].map(|key| files.get(key).is_some());
        assert_eq!(there, [true, false, true]);
    }

    /// What is held otherwise counts, and one file may always be open.
    #[test]
    fn what_is_held_counts() {
        let files = OpenFiles::new(3);
        for file in 0..3 {
            files.put((1, file), open());
        }
        let there = || [0, 1, 2, 3].map(|file| files.get((1, file)).is_some());
        files.hold(2);
        assert_eq!(there(), [false, false, true, false]);
        files.hold(2);
        files.put((1, 3), open());
        assert_eq!(there(), [false, false, false, true]);
        files.let_go(4);
        files.put((1, 0), open());
        assert_eq!(there(), [true, false, false, true]);
    }

    /// A file that is written directly as well counts twice.
    #[test]
    fn every_descriptor_counts() {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("file")).unwrap();
        let mut twice = Open::new(file, true);
        let found = open_folder(folder.path()).unwrap();
        twice.direct = Direct::of(&twice.file, found.as_fd(), "file");
        if twice.direct.is_none() {
            return eprintln!("SKIPPED every_descriptor_counts: no direct writes here");
        }
        let files = OpenFiles::new(3);
        files.put((1, 0), open());
        files.put((1, 1), open());
        files.put((1, 2), twice);
        let there = || [0, 1, 2].map(|file| files.get((1, file)).is_some());
        assert_eq!(there(), [false, true, true]);
        // In its place comes one that counts once: there is room again.
        files.put((1, 2), open());
        files.put((1, 0), open());
        assert_eq!(there(), [true; 3]);
    }

    /// A finished file can be read still, and is not to be written to by that name any more.
    #[test]
    fn a_finished_file_stays_open() {
        let files = OpenFiles::new(2);
        let unfinished = Open::new(File::open("/dev/null").unwrap(), true);
        let held = files.put((1, 0), unfinished);
        assert!(held.is_unfinished());
        files.finished((1, 0));
        files.finished((1, 1));
        assert!(!held.is_unfinished());
        assert!(!files.get((1, 0)).unwrap().is_unfinished());
    }

    /// A storage takes all of its files along and nobody else's.
    #[test]
    fn a_storage_is_forgotten_whole() {
        let files = OpenFiles::new(10);
        for key in [(1, 0), (1, u32::MAX), (2, 0)] {
            files.put(key, open());
        }
        files.forget(1);
        let there = [(1, 0), (1, u32::MAX), (2, 0)].map(|key| files.get(key).is_some());
        assert_eq!(there, [false, false, true]);
    }
}

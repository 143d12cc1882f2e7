//! Open files, the least recently used closed first.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, Mutex};

use crate::pool::lock;

/// A file: the number of its storage, and its index there.
pub(super) type Key = (u64, u32);

/// The index of what a storage keeps aside.
pub(super) const ASIDE: u32 = u32::MAX;

/// An open file and what was done to it.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: File,
    /// It is an unfinished file that can be written to and has its full length.
    pub(super) unfinished: bool,
}

/// Files that stay open between operations, of all storages together.
///
/// Invariant: `by_use` and `files` hold the same keys, at most `most` of them without `held`, and
/// at least one.
pub(super) struct OpenFiles {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<Key, (u64, Arc<Open>)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
    /// Descriptors that are held otherwise and count as well.
    held: usize,
}

impl OpenFiles {
    pub(super) fn new(most: usize) -> Self {
        OpenFiles {
            most: most.max(1),
            state: Mutex::default(),
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
        if let Some((before, older)) = state.files.insert(key, (used, Arc::clone(&open))) {
            state.by_use.remove(&before);
            closed.push(older);
        }
        state.by_use.insert(used, key);
        closed.extend(state.remove_surplus(self.most));
        drop(state);
        // Closing may take its time: not under the lock.
        drop(closed);
        open
    }

    /// Counts descriptors that are held otherwise.
    pub(super) fn hold(&self, count: usize) {
        let mut state = lock(&self.state);
        state.held += count;
        let closed = state.remove_surplus(self.most);
        drop(state);
        drop(closed);
    }

    /// Counts them no more.
    pub(super) fn let_go(&self, count: usize) {
        lock(&self.state).held -= count;
    }

    /// Closes one file.
    pub(super) fn forget_one(&self, key: Key) {
        let mut state = lock(&self.state);
        let closed = state.remove(key);
        drop(state);
        drop(closed);
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
        drop(closed);
    }
}

impl State {
    fn remove(&mut self, key: Key) -> Option<Arc<Open>> {
        let (used, open) = self.files.remove(&key)?;
        self.by_use.remove(&used);
        Some(open)
    }

    /// Takes out what was used longest ago, of more than there may be.
    fn remove_surplus(&mut self, most: usize) -> Vec<Arc<Open>> {
        let most = most.saturating_sub(self.held).max(1);
        let mut surplus = Vec::new();
        while self.files.len() > most {
            let oldest = self.by_use.pop_first();
            surplus.extend(oldest.and_then(|(_, key)| self.files.remove(&key)));
        }
        surplus.into_iter().map(|(_, open)| open).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open() -> Open {
        Open {
            file: File::open("/dev/null").unwrap(),
            unfinished: false,
        }
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

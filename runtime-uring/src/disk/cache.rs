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
/// Invariant: `by_use` and `files` hold the same keys, at most `most` of them.
pub(super) struct OpenFiles {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    files: BTreeMap<Key, (u64, Arc<Open>)>,
    by_use: BTreeMap<u64, Key>,
    uses: u64,
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
        while state.files.len() > self.most {
            closed.extend(state.remove_oldest());
        }
        drop(state);
        // Closing may take its time: not under the lock.
        drop(closed);
        open
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

    fn remove_oldest(&mut self) -> Option<Arc<Open>> {
        let (_, key) = self.by_use.pop_first()?;
        self.files.remove(&key).map(|(_, open)| open)
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

//! What lies on the platter.

use std::sync::{Arc, Mutex, MutexGuard};

use ripcurrent_proto::api::{DiskError, IoErrorKind};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::FileEntry;

use super::faults::{Active, BROKEN, Faults};
use super::file::File;
use super::places::Place;
use super::storage::Storage;
use super::tree::Tree;
use super::{Layer, refuse};
use crate::content::Right;
use crate::content::known::Known;
use crate::content::tags::Tags;

/// What lies on a host's disk, and what is wrong with it. Clones look at the same disk.
#[derive(Clone, Debug, Default)]
pub struct Files {
    platter: Arc<Mutex<Platter>>,
    /// The torrent whose files are kept compact.
    known: Option<Arc<Known>>,
}

#[derive(Debug)]
pub(super) struct Platter {
    tree: Tree,
    pub(super) active: Active,
    /// Operations that were carried out.
    operations: u64,
    /// Operations that are yet to be carried out before the power fails.
    power_for: Option<u64>,
}

impl Default for Platter {
    fn default() -> Self {
        Platter {
            tree: Tree::default(),
            // Nothing goes wrong, so nothing is drawn.
            active: Active::new(Faults::default(), Rng::from_seed([0; 32])),
            operations: 0,
            power_for: None,
        }
    }
}

impl Platter {
    /// A sync of this storage begins, if there is power; what is written from now on it misses.
    pub(super) fn watch_sync(&mut self, storage: &mut Storage) {
        if self.power_for != Some(0) {
            storage.sync_begins(&mut self.tree);
        }
    }

    /// Begins an operation, if there is power.
    pub(super) fn begin(&mut self) -> Result<(&mut Tree, &mut Active), DiskError> {
        match &mut self.power_for {
            Some(0) => return Err(refuse(BROKEN)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.operations += 1;
        Ok((&mut self.tree, &mut self.active))
    }
}

/// What lies there.
impl Files {
    /// An empty disk in a compact world.
    pub(crate) fn compact(known: Arc<Known>) -> Self {
        Files {
            known: Some(known),
            ..Files::default()
        }
    }

    /// Puts a file there, in place of one that was there; it is durable.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if its path leads through a file or ends at a folder.
    pub fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), IoErrorKind> {
        self.lock().tree.put(path, File::of_bytes(bytes))
    }

    /// Removes a file, if it is there, and folders that this leaves empty; that is durable.
    pub fn remove(&self, path: &str) {
        let tree = &mut self.lock().tree;
        tree.remove(path);
        tree.sync(path);
    }

    /// Puts a whole file of a compact torrent there; it is durable.
    pub(crate) fn put_tags(
        &self,
        path: &str,
        tags: Tags,
        entry: &FileEntry,
    ) -> Result<(), IoErrorKind> {
        self.lock().tree.put(path, File::whole(tags, entry))
    }

    /// Makes a folder and those it needs.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if a file is there.
    pub fn make_folder(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().tree.make_folder(path)
    }

    /// Makes a symbolic link. Where it leads makes no difference: no link is ever followed.
    ///
    /// # Errors
    /// [`IoErrorKind::InTheWay`] if something is there already.
    pub fn link(&self, path: &str) -> Result<(), IoErrorKind> {
        self.lock().tree.make_link(path)
    }

    /// The bytes of a file that is there.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        self.lock().tree.file(path).ok().map(File::to_bytes)
    }

    /// Bytes of the disk that files take.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.lock().tree.taken()
    }

    /// Whether a file is there, under either name, and so long.
    pub(crate) fn has_len(&self, place: &Place, len: u64, layer: Layer) -> bool {
        let platter = self.lock();
        let file = platter.tree.file_at(place);
        file.is_ok_and(|file| file.has_len(len, layer))
    }

    /// Whether a file is there, under either name, and holds what is right at `from`.
    pub(crate) fn holds(&self, place: &Place, from: u64, right: &Right<'_>, layer: Layer) -> bool {
        let platter = self.lock();
        let file = platter.tree.file_at(place);
        file.is_ok_and(|file| file.holds(from, right, layer))
    }

    /// Whether what is right at `from` of the torrent is kept aside at `path`, where the file that
    /// it belongs to is not there.
    pub(crate) fn holds_aside(
        &self,
        place: &Place,
        path: &str,
        from: u64,
        right: &Right<'_>,
        layer: Layer,
    ) -> bool {
        let Platter { tree, .. } = &*self.lock();
        let is_there = tree.file_at(place).is_ok();
        let aside = tree.file(path);
        !is_there && aside.is_ok_and(|aside| aside.holds(from, right, layer))
    }

    /// Whether a file has its own name, and no loss of power takes that away.
    pub(crate) fn is_finished(&self, place: &Place) -> bool {
        let Platter { tree, .. } = &*self.lock();
        let is_own = tree.file(&place.own).is_ok() && tree.file(&place.part).is_err();
        is_own && tree.is_settled(&place.own)
    }

    /// Whether anything is at `path`.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.lock().tree.has(path)
    }
}

/// What goes wrong.
impl Files {
    /// From now on these faults are at work, and no others; all of their chance comes from `rng`.
    pub fn set_faults(&self, faults: Faults, rng: Rng) {
        self.lock().active.set(faults, rng);
    }

    /// Flips `bits` bits of what lies on the platter, each of a file that chance picks. Of a compact
    /// torrent they are bits of tags.
    pub fn flip(&self, bits: u64, rng: &mut Rng) {
        let mut platter = self.lock();
        let mut files: Vec<&mut File> = platter.tree.files_mut().collect();
        let taken: u64 = files.iter().map(|file| file.taken()).sum();
        for _ in 0..bits {
            if taken == 0 {
                return;
            }
            let mut at = rng.below(taken);
            let holder = files.iter_mut().find(|file| {
                let is_here = at < file.taken();
                at = at.saturating_sub(file.taken());
                is_here
            });
            if let Some(file) = holder {
                file.flip(rng);
            }
        }
    }

    /// How many operations were carried out, by whichever process.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Lets the power fail once so many further operations have been carried out: those after them
    /// fail and leave no trace. The host is then to be stopped, [`Files::lose_power`] called, and
    /// the host may start again.
    pub fn cut_power_after(&self, operations: u64) {
        self.lock().power_for = Some(operations);
    }

    /// Whether there is power: not after [`Files::cut_power_after`] has come true.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.lock().power_for != Some(0)
    }

    /// Goes back to what is on the platter, as when the power fails while no operation is under
    /// way, and has power again; no process holds anything any more. What was synced stays. Of what
    /// was written since, each sector (of a compact torrent each block) is there or is not, or is
    /// torn, and a new file may be short. What was done to names since (files made, renamed,
    /// removed) may be undone, whatever became of the data; so may a file's time of change. All
    /// that is left is durable.
    pub fn lose_power(&self, rng: &mut Rng) {
        let mut platter = self.lock();
        platter.power_for = None;
        platter.tree.lose_power(rng);
    }

    /// Whether its torrent is [compact](crate::content).
    pub(crate) fn is_compact(&self) -> bool {
        self.known.is_some()
    }

    pub(super) fn known(&self) -> Option<&Arc<Known>> {
        self.known.as_ref()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().expect("nobody panics while holding it")
    }
}

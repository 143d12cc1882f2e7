//! Identity: ids that are never mistaken for an older holder of the same slot.

use alloc::vec::Vec;
use core::fmt;

/// A slot and the generation of its holder.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    slot: u32,
    generation: u32,
}

impl Id {
    /// The slot: small and dense, fit to index a backend's own table.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many holders this slot has had before.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The id of slot `slot` in its generation `generation`; for decoders and scripts.
    #[must_use]
    pub const fn from_parts(slot: u32, generation: u32) -> Self {
        Id { slot, generation }
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

/// A connection, from `Connect` or `accept` to its `Closed`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnId(pub Id);

/// A disk, hash or name operation, from its output to its one completion.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OpId(pub Id);

/// A torrent of an engine. The host chooses the number; it is free again after
/// `Event::TorrentRemoved`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TorrentId(pub u32);

/// A table of values under generational ids. Slots are reused, ids are not (until a generation
/// wraps after 2^32 holders of one slot).
#[derive(Debug)]
pub struct Slots<T> {
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Slots {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slots<T> {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores `value` and names it. The slot freed last is reused first.
    ///
    /// # Panics
    /// If 2^32 values are stored at once.
    pub fn insert(&mut self, value: T) -> Id {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.value = Some(value);
            return Id {
                slot,
                generation: entry.generation,
            };
        }
        let slot = u32::try_from(self.entries.len()).expect("fewer than 2^32 slots");
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        Id {
            slot,
            generation: 0,
        }
    }

    /// Takes the value of `id` out; its slot may then be reused under another generation.
    pub fn remove(&mut self, id: Id) -> Option<T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(value)
    }

    /// The value of `id`, if it is still there.
    #[must_use]
    pub fn get(&self, id: Id) -> Option<&T> {
        let entry = self.entries.get(id.slot as usize)?;
        if entry.generation == id.generation {
            entry.value.as_ref()
        } else {
            None
        }
    }

    /// The value of `id`, if it is still there.
    pub fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation == id.generation {
            entry.value.as_mut()
        } else {
            None
        }
    }

    /// How many values are stored.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nothing is stored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every value with its id, in order of the slots.
    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.entries.iter().zip(0u32..).filter_map(|(entry, slot)| {
            entry.value.as_ref().map(|value| {
                (
                    Id {
                        slot,
                        generation: entry.generation,
                    },
                    value,
                )
            })
        })
    }

    /// Every value with its id, in order of the slots.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id, &mut T)> {
        self.entries
            .iter_mut()
            .zip(0u32..)
            .filter_map(|(entry, slot)| {
                let id = Id {
                    slot,
                    generation: entry.generation,
                };
                entry.value.as_mut().map(|value| (id, value))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_does_not_answer_to_the_old_id() {
        let mut slots = Slots::new();
        let old = slots.insert('a');
        assert_eq!(slots.remove(old), Some('a'));
        let new = slots.insert('b');
        assert_eq!(new.slot(), old.slot());
        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&'b'));
        assert_eq!(slots.len(), 1);
    }
}

//! Why a text is no scenario, told by the key that is wrong.

use std::fmt;

use super::Role;

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is not TOML, or a key is missing, unknown or of the wrong kind.
    #[error("line {line}, `{text}`: {message}")]
    Toml {
        /// The line, counted from 1; where a key is missing, that of its table.
        line: usize,
        /// What it says.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// A number is out of bounds.
    #[error("{key} is {got}; it must be from {least} to {most}")]
    Bounds {
        /// Which number.
        key: Key,
        /// What it is.
        got: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        most: u64,
    },
    /// A range ends before it begins.
    #[error("{key} ends before it begins")]
    Reversed {
        /// Which range.
        key: Key,
    },
    /// A key that says nothing beside the others.
    #[error("{key} has no meaning {beside}")]
    Meaningless {
        /// Which key.
        key: Key,
        /// Beside what.
        beside: &'static str,
    },
    /// A key that another needs.
    #[error("{key} is missing {beside}")]
    Missing {
        /// Which key.
        key: Key,
        /// Beside what.
        beside: &'static str,
    },
    /// The piece length is not a power of two.
    #[error("torrent.piece_length must be a power of two")]
    PieceLength,
    /// Two groups have the same name.
    #[error("two groups are called {name:?}")]
    SameName {
        /// The name.
        name: String,
    },
    /// A name that no group has.
    #[error("{key} names {name:?}, and no group is called that")]
    NoSuchGroup {
        /// Where it is named.
        key: Key,
        /// The name.
        name: String,
    },
    /// No host has a role without which nothing can happen.
    #[error("there is no {role}")]
    Nobody {
        /// The role.
        role: Role,
    },
}

/// The place of a value in a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    key: &'static str,
    table: Table,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Table {
    /// The key tells it.
    Named,
    Group(String),
    Tracker(usize),
    Fault(usize),
}

impl Key {
    /// A key that tells its table itself.
    pub(super) fn general(key: &'static str) -> Self {
        let table = Table::Named;
        Key { key, table }
    }

    pub(super) fn of_group(key: &'static str, name: &str) -> Self {
        let table = Table::Group(name.to_owned());
        Key { key, table }
    }

    /// Trackers are numbered from 1.
    pub(super) fn of_tracker(key: &'static str, number: usize) -> Self {
        let table = Table::Tracker(number);
        Key { key, table }
    }

    /// Faults are numbered from 1.
    pub(super) fn of_fault(key: &'static str, number: usize) -> Self {
        let table = Table::Fault(number);
        Key { key, table }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key)?;
        match &self.table {
            Table::Named => Ok(()),
            Table::Group(name) => write!(f, " of group {name:?}"),
            Table::Tracker(number) => write!(f, " of tracker {number}"),
            Table::Fault(number) => write!(f, " of fault {number}"),
        }
    }
}

pub(super) fn bounded(key: Key, got: u64, least: u64, most: u64) -> Result<(), ScenarioError> {
    if (least..=most).contains(&got) {
        return Ok(());
    }
    Err(ScenarioError::Bounds {
        key,
        got,
        least,
        most,
    })
}

/// A range of which both ends are within bounds, in order.
pub(super) fn ordered(
    key: Key,
    [from, to]: [u64; 2],
    least: u64,
    most: u64,
) -> Result<(), ScenarioError> {
    if from > to {
        return Err(ScenarioError::Reversed { key });
    }
    bounded(key.clone(), from, least, most)?;
    bounded(key, to, least, most)
}

/// That a key is not there which says nothing beside another.
pub(super) fn refuse<T>(
    key: Key,
    value: Option<&T>,
    beside: &'static str,
) -> Result<(), ScenarioError> {
    match value {
        Some(_) => Err(ScenarioError::Meaningless { key, beside }),
        None => Ok(()),
    }
}

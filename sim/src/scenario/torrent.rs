//! What is distributed.

use serde::{Deserialize, Serialize};

use super::error::{Key, ScenarioError, bounded};
use super::is_default;
use crate::quantity::Size;

/// What is distributed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TorrentPlan {
    /// The sizes of its files.
    pub files: Vec<Size>,
    /// The size of every piece but the last.
    pub piece_length: Size,
    /// Whether peers may be learnt from trackers alone (BEP 27).
    #[serde(default, skip_serializing_if = "is_default")]
    pub private: bool,
    /// What its payload is made of.
    #[serde(default, skip_serializing_if = "is_default")]
    pub content: ContentForm,
}

/// What payload is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ContentForm {
    /// Bytes while all copies together are small, else tags.
    #[default]
    Auto,
    /// Every byte looks random, is kept and is compared.
    Bytes,
    /// Each block begins with a tag that tells its place, and the rest is zeros: cheap to keep and
    /// to recognise.
    Compact,
}

/// The most bytes of all copies together that are kept as bytes without being asked to.
const AUTO_MAX: u64 = 512 << 20;
/// The most bytes of all copies together that are kept as bytes.
const BYTES_MAX: u64 = 8 << 30;
/// The most bytes of all copies together where only tags are kept.
const COMPACT_MAX: u64 = 4 << 40;

impl TorrentPlan {
    /// Whether payload is kept as tags, among so many hosts.
    pub(super) fn is_compact(&self, hosts: usize) -> bool {
        match self.content {
            ContentForm::Auto => self.copies(hosts) > AUTO_MAX,
            ContentForm::Bytes => false,
            ContentForm::Compact => true,
        }
    }

    /// The size of all copies together, if every host has one.
    fn copies(&self, hosts: usize) -> u64 {
        self.size().saturating_mul(hosts as u64)
    }

    fn size(&self) -> u64 {
        let add = |sum: u64, file: &Size| sum.saturating_add(file.0);
        self.files.iter().fold(0, add)
    }

    pub(super) fn check(&self, hosts: usize) -> Result<(), ScenarioError> {
        bounded(Key::general("torrent.files"), self.size(), 1, BYTES_MAX)?;
        let length = self.piece_length.0;
        bounded(
            Key::general("torrent.piece_length"),
            length,
            16 << 10,
            16 << 20,
        )?;
        if !length.is_power_of_two() {
            return Err(ScenarioError::PieceLength);
        }
        let most = match self.is_compact(hosts) {
            true => COMPACT_MAX,
            false => BYTES_MAX,
        };
        let key = Key::general("torrent.files on every host");
        bounded(key, self.copies(hosts), 1, most)
    }
}

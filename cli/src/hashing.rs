//! Reads what lies on the disk and hashes it: on all cores, and on each of them many pieces side by
//! side. Nothing is changed.

mod crew;
mod pieces;
mod reader;

use std::path::PathBuf;

use ripcurrent_proto::meta::layout::Layout;

pub(crate) use crew::{Crew, in_parallel};
pub(crate) use pieces::hash_pieces;
pub(crate) use reader::{Read, Reader};

/// Data on the disk.
#[derive(Clone, Copy)]
pub(crate) struct Data<'a> {
    pub(crate) layout: &'a Layout,
    /// The path of each file that is there, in the order of the torrent.
    pub(crate) paths: &'a [Option<PathBuf>],
}

//! A part of the pieces on a disk, as a client leaves it that was stopped halfway.

use std::sync::Arc;

use ripcurrent_proto::api::{self, Access, StorageId};
use ripcurrent_proto::base::id::{Id, OpId, TorrentId};
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::base::slab::Slab;
use ripcurrent_proto::meta::layout::PieceIndex;

use super::Content;
use crate::disk::{Disk, Files};
use crate::quantity::Share;

/// Operations are carried out at once, one after the other: they need no names of their own.
const OP: OpId = OpId(Id::from_parts(0, 0));
const STORAGE: StorageId = TorrentId(0);

impl Content {
    /// Writes a share of the pieces to an empty disk, below `root`, and returns how many bytes they
    /// have; chance says which.
    pub(crate) fn put_share(&self, files: &Files, root: &str, share: Share, rng: &mut Rng) -> u64 {
        let layout = self.layout();
        let mut pieces: Vec<PieceIndex> = (0..layout.pieces()).map(PieceIndex).collect();
        rng.shuffle(&mut pieces);
        pieces.truncate(share.of(pieces.len() as u64) as usize);
        let bytes = pieces
            .iter()
            .map(|piece| u64::from(layout.piece_len(*piece)));
        let bytes = bytes.sum();
        if bytes == 0 {
            return 0;
        }
        let mut disk = Disk::new(files.clone());
        disk.perform(api::Disk::Open {
            op: OP,
            storage: STORAGE,
            root: root.into(),
            layout: Arc::clone(layout),
            info_hash: [0; 20],
            access: Access::Write {
                preallocate: false,
                overwrite: false,
            },
        });
        for piece in pieces {
            let mut slab = Slab::new(layout.piece_length() as usize);
            slab.set_len(layout.piece_len(piece) as usize);
            self.block(piece.0, 0, slab.as_mut_slice());
            disk.perform(api::Disk::Write {
                op: OP,
                storage: STORAGE,
                slab,
                spans: layout.spans(layout.whole(piece)),
            });
        }
        disk.perform(api::Disk::Sync {
            op: OP,
            storage: STORAGE,
        });
        bytes
    }
}

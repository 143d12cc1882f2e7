//! What our client reads. The far end is not judged: it may be anybody.

use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::meta::layout::Layout;
use ripcurrent_proto::wire::message::EXTENDED_PAYLOAD_MAX;

use super::ours::whole_block;
use super::{Body, Conversation};
use crate::referee::frames::{Frame, id};

impl Conversation {
    pub(super) fn take_in(&mut self, layout: &Layout, frame: Frame<'_>) {
        match frame {
            Frame::KeepAlive => {}
            Frame::Whole(id, numbers) => self.heard(layout, id, numbers),
            Frame::Begins { id, numbers, body } => {
                self.long_one_begins(layout, id, numbers, body);
            }
            Frame::Body(bytes, left) => self.long_one_goes_on(bytes, left),
        }
    }

    fn heard(&mut self, layout: &Layout, id: u8, numbers: [u32; 3]) {
        let [piece, ..] = numbers;
        match id {
            id::CHOKE => {
                self.is_choking = true;
                if !self.is_fast() {
                    self.asked.void();
                    self.voided_lately = true;
                }
            }
            id::UNCHOKE => {
                self.is_choking = false;
                self.unchoked_lately = true;
            }
            id::HAVE if (piece as usize) < self.has.len() => {
                self.has.insert(piece as usize);
                // It may be of interest again.
                self.stale_since = self.stale_since.filter(|_| !self.is_interested);
            }
            id::HAVE_ALL => self.has = Bitfield::full(self.has.len()),
            id::REQUEST => self.wants.asked(numbers, self.is_fast()),
            id::CANCEL => self.wants.cancelled(numbers, self.is_fast()),
            id::REJECT => self.is_answered(layout, numbers),
            id::ALLOWED_FAST if (piece as usize) < self.has.len() => {
                let none = || Box::new(Bitfield::new(self.has.len()));
                self.allows.get_or_insert_with(none).insert(piece as usize);
            }
            _ => {}
        }
    }

    /// A piece or a rejection was read.
    fn is_answered(&mut self, layout: &Layout, range: [u32; 3]) {
        if let Some(block) = whole_block(layout, range) {
            self.asked.answered((block.piece.0, block.begin));
        }
    }

    fn long_one_begins(&mut self, layout: &Layout, id: u8, [piece, begin, _]: [u32; 3], body: u32) {
        self.theirs.body = match id {
            id::PIECE => {
                self.is_answered(layout, [piece, begin, body]);
                Body::Payload
            }
            id::BITFIELD if body as usize == self.has.len().div_ceil(8) => Body::Bits(0),
            id::EXTENDED if body <= EXTENDED_PAYLOAD_MAX + 1 => Body::Extended(Vec::new()),
            _ => Body::Skipped,
        };
    }

    fn long_one_goes_on(&mut self, bytes: &[u8], left: u32) {
        match &mut self.theirs.body {
            Body::Skipped => {}
            Body::Payload => self.traffic.down += bytes.len() as u64,
            Body::Bits(at) => {
                let pieces = self.has.len();
                for piece in set_bits(bytes, *at).filter(|piece| *piece < pieces) {
                    self.has.insert(piece);
                }
                *at += bytes.len();
            }
            Body::Extended(gathered) => {
                gathered.extend_from_slice(bytes);
                if let (0, Some((0, payload))) = (left, gathered.split_first()) {
                    self.extensions.told(payload);
                }
            }
        }
        if left == 0 {
            self.theirs.body = Body::Skipped;
        }
    }
}

/// The indices of the bits set in `bytes`, which stand at `from` in a bitfield: the high bit of the
/// first byte is index 0 (BEP 3).
pub(super) fn set_bits(bytes: &[u8], from: usize) -> impl Iterator<Item = usize> {
    bytes.iter().zip(from..).flat_map(|(byte, at)| {
        let bits = (0..8).filter(move |bit| byte & (0x80 >> bit) != 0);
        bits.map(move |bit| at * 8 + bit)
    })
}

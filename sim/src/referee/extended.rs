//! What the far end's extended handshakes tell (BEP 10): how many requests it lets wait, and which
//! extended messages it takes.

use super::bencode::{entries, number};

/// What a peer lets wait that does not say.
const REQQ_DEFAULT: usize = 250;
/// The most that our client keeps out, whatever it is allowed.
const OUT_MAX: usize = ripcurrent_proto::peer::pipeline::DEPTH_MAX;

/// What is known of the far end by its extended handshakes.
#[derive(Debug)]
pub(super) struct Extensions {
    reqq: usize,
    /// The most since our client spoke last.
    reqq_lately: usize,
    /// The ids under which it takes extended messages.
    ids: [u64; 4],
}

impl Default for Extensions {
    fn default() -> Self {
        Extensions {
            reqq: REQQ_DEFAULT,
            reqq_lately: REQQ_DEFAULT,
            ids: [0; 4],
        }
    }
}

impl Extensions {
    /// A handshake was read; its payload behind the id.
    pub(super) fn told(&mut self, payload: &[u8]) {
        for (key, value) in entries(payload).into_iter().flatten() {
            match key {
                b"reqq" => {
                    let most = number(value).and_then(|most| u32::try_from(most).ok());
                    if let Some(most) = most.filter(|most| *most > 0) {
                        self.reqq = (most as usize).min(OUT_MAX);
                        self.reqq_lately = self.reqq_lately.max(self.reqq);
                    }
                }
                b"m" => self.takes(value),
                _ => {}
            }
        }
    }

    /// The list adds to what was told before (BEP 10). An id that is switched off may still be on
    /// its way, so it counts for ever.
    fn takes(&mut self, list: &[u8]) {
        for (_, id) in entries(list).into_iter().flatten() {
            if let Some(id) = number(id).and_then(|id| u8::try_from(id).ok()) {
                self.ids[usize::from(id / 64)] |= 1 << (id % 64);
            }
        }
    }

    /// Whether the far end takes extended messages under `id`.
    pub(super) fn has(&self, id: u8) -> bool {
        self.ids[usize::from(id / 64)] >> (id % 64) & 1 == 1
    }

    /// How many requests our client may have out.
    pub(super) fn most_out(&self) -> usize {
        self.reqq_lately
    }

    /// Our client has spoken.
    pub(super) fn spoken(&mut self) {
        self.reqq_lately = self.reqq;
    }
}

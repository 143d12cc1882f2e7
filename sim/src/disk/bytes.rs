//! The content of a file that is kept byte by byte.

use std::collections::BTreeMap;
use std::ops::Range;

use ripcurrent_proto::base::rng::Rng;

use super::power::{Fate, Tear};
use super::{Layer, SECTOR};

/// The bytes of which a cache keeps track together.
const PAGE: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Bytes {
    /// What programs read.
    written: Vec<u8>,
    /// What lies on the platter instead, for every page written since it was synced; cut off after
    /// its last byte that is not zero.
    durable: BTreeMap<usize, Box<[u8]>>,
    /// The same of pages written before the sync under way began; these go first.
    in_sync: BTreeMap<usize, Box<[u8]>>,
    /// A sync is under way.
    syncs: bool,
}

impl Bytes {
    /// These bytes, all durable.
    pub(super) fn new(written: Vec<u8>) -> Self {
        Bytes {
            written,
            ..Bytes::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.written.len()
    }

    pub(super) fn read(&self, from: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.written[from..from + into.len()]);
    }

    pub(super) fn write(&mut self, at: usize, from: &[u8]) {
        let end = at + from.len();
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
        for page in at / PAGE..end.div_ceil(PAGE) {
            let written = &self.written;
            let old = || significant(&written[extent(page, written.len())]).into();
            self.durable.entry(page).or_insert_with(old);
        }
        self.written[at..end].copy_from_slice(from);
    }

    /// All of it, as programs read it or as it lies on the platter.
    pub(super) fn image(&self, layer: Layer) -> Vec<u8> {
        let mut image = self.written.clone();
        if layer == Layer::Durable {
            for (page, old) in self.durable.iter().chain(&self.in_sync) {
                restore(&mut image[extent(*page, self.written.len())], old, 0);
            }
        }
        image
    }

    /// Whether these bytes are at `from`.
    pub(super) fn holds(&self, from: usize, bytes: &[u8], layer: Layer) -> bool {
        let to = from + bytes.len();
        let Some(written) = self.written.get(from..to) else {
            return false;
        };
        let pages = from / PAGE..to.div_ceil(PAGE);
        let older = self.in_sync.range(pages.clone());
        let mut pages = self.durable.range(pages).chain(older);
        if layer == Layer::Written || pages.clone().next().is_none() {
            return written == bytes;
        }
        let mut image = written.to_vec();
        for (page, old) in pages.by_ref() {
            let Range { start, end } = extent(*page, self.written.len());
            let (first, last) = (start.max(from), end.min(to));
            restore(&mut image[first - from..last - from], old, first - start);
        }
        image == bytes
    }

    /// From here on, what is written is not covered by the next [`sync`](Bytes::sync).
    pub(super) fn sync_begins(&mut self) {
        self.syncs = true;
        for (page, old) in std::mem::take(&mut self.durable) {
            self.in_sync.entry(page).or_insert(old);
        }
    }

    /// Makes durable what was written before the sync began; all, if nobody told when that was.
    pub(super) fn sync(&mut self) {
        self.in_sync.clear();
        if !std::mem::take(&mut self.syncs) {
            self.durable.clear();
        }
    }

    /// Each sector of what was not synced is what it was or what it was to be.
    pub(super) fn lose_power(&mut self, tear: Tear, rng: &mut Rng) {
        let len = self.written.len();
        self.syncs = false;
        let newer = std::mem::take(&mut self.durable).into_iter();
        for (page, old) in newer.chain(std::mem::take(&mut self.in_sync)) {
            let written = &mut self.written[extent(page, len)];
            match tear.fate(rng) {
                Fate::Landed => {}
                Fate::Lost => restore(written, &old, 0),
                Fate::Torn => {
                    for (sector, at) in written.chunks_mut(SECTOR).zip((0..).step_by(SECTOR)) {
                        if rng.below(2) == 0 {
                            restore(sector, &old, at);
                        }
                    }
                }
            }
        }
    }

    /// Flips a bit of what lies on the platter at `at`.
    pub(super) fn flip(&mut self, at: usize, rng: &mut Rng) {
        let bit = 1 << rng.below(8);
        let page = at / PAGE;
        let oldest = self.in_sync.get_mut(&page);
        match oldest.or_else(|| self.durable.get_mut(&page)) {
            None => self.written[at] ^= bit,
            Some(old) => {
                let mut all = vec![0; PAGE];
                all[..old.len()].copy_from_slice(old);
                all[at % PAGE] ^= bit;
                *old = significant(&all).into();
            }
        }
    }

    /// Makes it shorter, or longer by zeros; only when all is durable.
    pub(super) fn set_len(&mut self, len: usize) {
        let waiting = self.durable.len() + self.in_sync.len();
        debug_assert_eq!(waiting, 0, "nothing waits to be synced");
        self.written.resize(len, 0);
    }
}

/// Where a page lies in a file of this length.
fn extent(page: usize, len: usize) -> Range<usize> {
    page * PAGE..len.min((page + 1) * PAGE)
}

/// All but the zeros at the end.
fn significant(bytes: &[u8]) -> &[u8] {
    let last = bytes.iter().rposition(|byte| *byte != 0);
    &bytes[..last.map_or(0, |last| last + 1)]
}

/// Puts what `old` has from `at` on in place of `bytes`: zeros past its end.
fn restore(bytes: &mut [u8], old: &[u8], at: usize) {
    let old = old.get(at..).unwrap_or_default();
    let known = old.len().min(bytes.len());
    bytes[..known].copy_from_slice(&old[..known]);
    bytes[known..].fill(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written is read at once and durable only after a sync.
    #[test]
    fn the_platter_lags_behind() {
        let mut file = Bytes::new(vec![1; 10_000]);
        file.write(4_000, &[2; 300]);
        file.write(4_100, &[3; 8_000]);
        let mut due = vec![1; 10_000];
        due.resize(12_100, 0);
        assert!(file.image(Layer::Durable) == due);
        due[4_000..4_100].fill(2);
        due[4_100..].fill(3);
        assert!(file.image(Layer::Written) == due);
        assert!(file.holds(4_050, &due[4_050..4_300], Layer::Written));
        assert!(!file.holds(4_050, &due[4_050..4_300], Layer::Durable));
        let platter = file.image(Layer::Durable);
        for range in [
            0..1,
            4_000..4_300,
            4_095..4_097,
            5_000..12_000,
            9_999..12_100,
        ] {
            let durable = &platter[range.clone()];
            assert!(
                file.holds(range.start, durable, Layer::Durable),
                "{range:?}"
            );
        }
        file.sync();
        assert!(file.image(Layer::Durable) == due);
    }

    /// Without power every sector is the old one or the one that was to be, and some writes tear.
    #[test]
    fn sectors_are_old_or_new() {
        let mut rng = Rng::from_seed([4; 32]);
        let mut torn = 0;
        for _ in 0..200 {
            let mut file = Bytes::new(vec![1; 20_000]);
            file.write(1_000, &[2; 17_000]);
            let written = file.image(Layer::Written);
            let tear = Tear::draw(&mut rng);
            file.lose_power(tear, &mut rng);
            let left = file.image(Layer::Durable);
            assert!(
                left == file.image(Layer::Written),
                "all that is left is durable"
            );
            assert!(left[..1_000] == written[..1_000] && left[18_000..] == written[18_000..]);
            let sectors = left.chunks(SECTOR).zip(written.chunks(SECTOR));
            for (left, written) in sectors.clone() {
                assert!(left == written || left.iter().all(|byte| *byte == 1));
            }
            let landed = sectors.filter(|(left, written)| left == written).count();
            torn += usize::from(landed > 5 && landed < left.len() / SECTOR);
        }
        assert!(torn > 50, "{torn}");
    }

    /// A flipped bit is read, unless what was written since covers it.
    #[test]
    fn flips_are_at_rest() {
        let mut rng = Rng::from_seed([4; 32]);
        let mut file = Bytes::new(vec![0; 10_000]);
        file.write(0, &[7; 10]);
        file.flip(4, &mut rng);
        file.flip(9_999, &mut rng);
        assert!(file.holds(0, &[7; 10], Layer::Written));
        assert!(!file.holds(0, &[0; 10], Layer::Durable));
        assert!(!file.holds(9_999, &[0], Layer::Written));
    }
}

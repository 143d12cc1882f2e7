//! One file, in either form.

use ripcurrent_proto::api::{IoErrorKind, Stamp};
use ripcurrent_proto::base::bits::Bitfield;
use ripcurrent_proto::base::rng::Rng;
use ripcurrent_proto::meta::layout::{FileEntry, FileKind};

use super::bytes::Bytes;
use super::compact::Compact;
use super::power::{Tear, len_left};
use super::{CLUSTER, Layer, SECTOR};
use crate::content::Right;
use crate::content::tags::{BLOCK, Tags};

#[derive(Debug)]
pub(super) struct File {
    body: Body,
    /// Its length on the platter; `None` if it was never synced.
    durable_len: Option<u64>,
    /// When it was last changed, and what the platter says of that.
    modified: u64,
    durable_modified: u64,
    /// The clusters that it takes.
    taken: Bitfield,
}

#[derive(Debug)]
enum Body {
    Bytes(Bytes),
    Compact(Compact),
}

impl File {
    /// So many zeros, which nobody wrote.
    pub(super) fn zeros(len: u64) -> Self {
        File::new(Body::Bytes(Bytes::new(vec![0; len as usize])))
    }

    /// A file of a compact torrent, of its full length, which nobody wrote.
    pub(super) fn compact(tags: Tags, entry: &FileEntry) -> Self {
        File::new(Body::Compact(Compact::new(tags, entry)))
    }

    /// These bytes, all durable.
    pub(super) fn of_bytes(bytes: Vec<u8>) -> Self {
        let mut file = File::new(Body::Bytes(Bytes::new(bytes)));
        file.allocate();
        file.sync();
        file
    }

    /// These bytes, none of them durable.
    pub(super) fn of_unsynced(bytes: &[u8]) -> Self {
        let mut file = File::zeros(0);
        file.write(0, bytes);
        file
    }

    /// A whole file of a compact torrent, all durable.
    pub(super) fn whole(tags: Tags, entry: &FileEntry) -> Self {
        let mut body = Compact::new(tags, entry);
        body.complete();
        let mut file = File::new(Body::Compact(body));
        file.allocate();
        file.sync();
        file
    }

    /// Bytes of a torrent of this length that lie where they do there; none of them yet.
    pub(super) fn aside(tags: Option<Tags>, total_len: u64) -> Self {
        let Some(tags) = tags else {
            return File::zeros(0);
        };
        let whole = FileEntry {
            path: Vec::new(),
            len: total_len,
            offset: 0,
            kind: FileKind::Regular { executable: false },
        };
        let mut body = Compact::new(tags, &whole);
        body.set_len(0);
        File::new(Body::Compact(body))
    }

    fn new(body: Body) -> Self {
        let mut file = File {
            body,
            durable_len: None,
            modified: 0,
            durable_modified: 0,
            taken: Bitfield::default(),
        };
        file.taken = Bitfield::new(clusters(file.len()));
        file
    }

    /// Its length in bytes.
    pub(super) fn len(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Compact(compact) => compact.len(),
        }
    }

    /// What it looks like from outside.
    pub(super) fn stamp(&self) -> Stamp {
        Stamp {
            len: self.len(),
            modified: self.modified,
        }
    }

    /// It was changed at this time.
    pub(super) fn touch(&mut self, time: u64) {
        self.modified = time;
    }

    /// What of a write lands or does not, in bytes: a sector, or a block.
    pub(super) fn unit(&self) -> u64 {
        match &self.body {
            Body::Bytes(_) => SECTOR as u64,
            Body::Compact(_) => BLOCK,
        }
    }

    /// How many bytes there are from `offset` to the next unit; blocks are counted in the torrent.
    pub(super) fn to_next_unit(&self, offset: u64) -> usize {
        let at = match &self.body {
            Body::Bytes(_) => offset,
            Body::Compact(compact) => compact.offset() + offset,
        };
        (self.unit() - at % self.unit()) as usize
    }

    /// Fills `into` with what begins at `offset`.
    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), IoErrorKind> {
        if offset.saturating_add(into.len() as u64) > self.len() {
            return Err(IoErrorKind::TooShort);
        }
        match &self.body {
            Body::Bytes(bytes) => bytes.read(offset as usize, into),
            Body::Compact(compact) => compact.read(offset, into, Layer::Written),
        }
        Ok(())
    }

    /// Writes `from` at `offset`; a file that ends before is made longer. Returns the bytes of the
    /// disk that this takes.
    pub(super) fn write(&mut self, offset: u64, from: &[u8]) -> u64 {
        match &mut self.body {
            Body::Bytes(bytes) => bytes.write(offset as usize, from),
            Body::Compact(compact) => compact.write(offset, from),
        }
        self.fit_taken();
        let mut taken = 0;
        for cluster in span(offset, from.len() as u64) {
            taken += u64::from(self.taken.insert(cluster)) * CLUSTER;
        }
        taken
    }

    /// The bytes of the disk that a write would take.
    pub(super) fn need(&self, offset: u64, len: u64) -> u64 {
        let clusters = span(offset, len).filter(|cluster| !self.taken.contains(*cluster));
        clusters.count() as u64 * CLUSTER
    }

    /// The bytes of the disk that it takes.
    pub(super) fn taken(&self) -> u64 {
        self.taken.count() as u64 * CLUSTER
    }

    /// Takes all that its length may need.
    pub(super) fn allocate(&mut self) {
        self.taken = Bitfield::full(clusters(self.len()));
    }

    /// A sync begins: it covers what was written before.
    pub(super) fn sync_begins(&mut self) {
        match &mut self.body {
            Body::Bytes(bytes) => bytes.sync_begins(),
            Body::Compact(compact) => compact.sync_begins(),
        }
    }

    /// Makes all durable that was written before the sync began, if that was told, else all.
    pub(super) fn sync(&mut self) {
        self.durable_len = Some(self.len());
        self.durable_modified = self.modified;
        match &mut self.body {
            Body::Bytes(bytes) => bytes.sync(),
            Body::Compact(compact) => compact.sync(),
        }
    }

    /// Cuts it to this length, at once durable as all of it.
    pub(super) fn cut(&mut self, len: u64) {
        // Once for a sync that may be under way, once for what came after it began.
        self.sync();
        self.sync();
        self.set_len(len);
        self.sync();
    }

    /// Goes back to what is on the platter and a part of what was written since. Its time of change
    /// goes its own way: file systems write it before the data, or after.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        if self.durable_len.is_some() && rng.below(2) == 0 {
            self.modified = self.durable_modified;
        }
        let left = len_left(self.durable_len, self.len(), rng);
        let tear = Tear::draw(rng);
        match &mut self.body {
            Body::Bytes(bytes) => bytes.lose_power(tear, rng),
            Body::Compact(compact) => compact.lose_power(tear, rng),
        }
        if left != self.len() {
            self.set_len(left);
        }
        self.sync();
    }

    /// Flips a bit of one of the clusters that it takes.
    pub(super) fn flip(&mut self, rng: &mut Rng) {
        if self.taken.count() == 0 || self.len() == 0 {
            return;
        }
        let nth = rng.index(self.taken.count());
        let Some(cluster) = self.taken.iter().nth(nth) else {
            return;
        };
        let start = cluster as u64 * CLUSTER;
        let at = start + rng.below(CLUSTER.min(self.len() - start));
        match &mut self.body {
            Body::Bytes(bytes) => bytes.flip(at as usize, rng),
            Body::Compact(compact) => compact.flip(at, rng),
        }
    }

    /// Whether it is there and so long, as programs see it or on the platter.
    pub(super) fn has_len(&self, len: u64, layer: Layer) -> bool {
        match layer {
            Layer::Written => self.len() == len,
            Layer::Durable => self.durable_len == Some(len),
        }
    }

    /// Whether it holds what is right at `from`.
    pub(super) fn holds(&self, from: u64, right: &Right<'_>, layer: Layer) -> bool {
        let end = from + right.len();
        let len = match layer {
            Layer::Written => Some(self.len()),
            Layer::Durable => self.durable_len,
        };
        if len.is_none_or(|len| end > len) {
            return false;
        }
        match (&self.body, right) {
            (Body::Compact(compact), Right::Tags { start, len, .. }) => {
                compact.holds(from, *start, *len, layer)
            }
            (Body::Bytes(bytes), right) => bytes.holds(from as usize, &right.to_bytes(), layer),
            (Body::Compact(compact), Right::Bytes(bytes)) => {
                let mut found = vec![0; bytes.len()];
                compact.read(from, &mut found, layer);
                found == *bytes
            }
        }
    }

    /// All of it.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        match &self.body {
            Body::Bytes(bytes) => bytes.image(Layer::Written),
            Body::Compact(compact) => {
                let mut bytes = vec![0; compact.len() as usize];
                compact.read(0, &mut bytes, Layer::Written);
                bytes
            }
        }
    }

    /// Only when all is durable.
    fn set_len(&mut self, len: u64) {
        match &mut self.body {
            Body::Bytes(bytes) => bytes.set_len(len as usize),
            Body::Compact(compact) => compact.set_len(len),
        }
        self.fit_taken();
    }

    /// Has a place for every cluster, and none past the end.
    fn fit_taken(&mut self) {
        let clusters = clusters(self.len());
        if clusters != self.taken.len() {
            let mut taken = Bitfield::new(clusters);
            for cluster in self.taken.iter().take_while(|cluster| *cluster < clusters) {
                taken.insert(cluster);
            }
            self.taken = taken;
        }
    }
}

/// How many clusters cover `len` bytes.
fn clusters(len: u64) -> usize {
    len.div_ceil(CLUSTER) as usize
}

/// The clusters that cover a range.
fn span(offset: u64, len: u64) -> std::ops::Range<usize> {
    (offset / CLUSTER) as usize..clusters(offset + len)
}
